//! The binary form of a [`Program`]: our own, since no vendor's is public.
//!
//! ```text
//! file   = "LPUC" version:u8 chip:text nodes:list(text) chips:list(chip) blake3:32 bytes of all before
//! chip   = 0 body | 1 index:n                      as an earlier chip
//! body   = maps:list(list(n)) memory:list(segment) ports:list(port) queues:list(queue) pages
//! queue  = id runs:n text:bytes nodes              nodes: run-length pairs (times:n node:n)
//! text   = ( run | again )…
//! run    = [NOP n] [Repeat count interval step window]… instruction
//! again  = Again runs:n times:n interval:n steps       the last few runs so often again, each so many cycles later
//! pages  = list(queue list(place address:n))
//! ```
//! Numbers are LEB128, signed ones zigzag before that; a list is its length and its items. In a queue's text, NOP is the gap between the
//! end of the last run (or cycle 0) and the start of the next; Repeat stands before what it repeats, outermost first. In Again the number
//! of runs is doubled, and odd if there are steps of their main operands, one for each run. What a queue must hold of its text, [`crate::text`] says.
//! Gaps wrap modulo 2^64, so that any program has a binary form, even one that [`crate::verify`] refuses.

use std::collections::BTreeMap;

use crate::instruction::{AccMode, Operand, Window};
use crate::text::text;
use crate::{
    C2c, ChipProgram, Direction, Element, Format, Hemisphere, Icu, Instruction, Mem, Mxm, Placement, Port,
    PortKind, Program, Queue, Run, Segment, SegmentData, Stream, Sxm, Vxm, place::MxmPort,
};

/// First bytes of a file.
pub(crate) const MAGIC: &[u8; 4] = b"LPUC";

/// Version of the form.
pub(crate) const VERSION: u8 = 2;

/// Most runs that are said once to be done again.
pub(crate) const MOST_AGAIN_RUNS: usize = 8;

/// Bytes of the checksum at the end.
pub(crate) const CHECKSUM_BYTES: usize = 32;

/// First byte of everything that stands in instruction text.
#[rustfmt::skip]
pub(crate) mod opcode {
    pub(crate) const NOP: u8 = 0x00;
    pub(crate) const REPEAT: u8 = 0x01;
    pub(crate) const SYNC: u8 = 0x02;
    pub(crate) const NOTIFY: u8 = 0x03;
    pub(crate) const IFETCH: u8 = 0x04;
    pub(crate) const CONFIG: u8 = 0x05;
    pub(crate) const AGAIN: u8 = 0x06;
    pub(crate) const READ: u8 = 0x10;
    pub(crate) const WRITE: u8 = 0x11;
    pub(crate) const GATHER: u8 = 0x12;
    pub(crate) const SCATTER: u8 = 0x13;
    pub(crate) const VXM: u8 = 0x20;
    pub(crate) const LW: u8 = 0x30;
    pub(crate) const IW: u8 = 0x31;
    pub(crate) const ABC: u8 = 0x32;
    pub(crate) const ACC: u8 = 0x33;
    pub(crate) const SHIFT: u8 = 0x40;
    pub(crate) const SELECT: u8 = 0x41;
    pub(crate) const PERMUTE: u8 = 0x42;
    pub(crate) const DISTRIBUTE: u8 = 0x43;
    pub(crate) const ROTATE: u8 = 0x44;
    pub(crate) const TRANSPOSE: u8 = 0x45;
    pub(crate) const SEND: u8 = 0x50;
    pub(crate) const RECEIVE: u8 = 0x51;
    pub(crate) const DESKEW: u8 = 0x52;
}

/// Port kinds in the order of their codes.
pub(crate) const PORT_KINDS: [PortKind; 3] = [PortKind::Input, PortKind::Output, PortKind::State];

/// Element types in the order of their codes.
pub(crate) const ELEMENTS: [Element; 7] =
    [Element::F32, Element::F16, Element::F16Low, Element::I32, Element::Mask, Element::I8, Element::F8];

/// The program as a file.
pub fn encode(program: &Program) -> Vec<u8> {
    let mut out = Writer(MAGIC.to_vec());
    out.0.push(VERSION);
    out.text(&program.chip);
    out.number(program.nodes.len() as u64);
    program.nodes.iter().for_each(|name| out.text(name));
    out.number(program.chips.len() as u64);
    let mut written: BTreeMap<[u8; 32], usize> = BTreeMap::new();
    for (index, chip) in program.chips.iter().enumerate() {
        let mut body = Writer(Vec::new());
        body.chip(chip);
        let same = *written.entry(blake3::hash(&body.0).into()).or_insert(index);
        if same == index {
            out.0.push(0);
            out.0.append(&mut body.0);
        } else {
            out.0.push(1);
            out.number(same as u64);
        }
    }
    let checksum = blake3::hash(&out.0);
    out.0.extend_from_slice(checksum.as_bytes());
    out.0
}

/// Bytes of instruction text and lane maps (two bytes a lane) of all chips together: what the program itself takes of SRAM.
pub fn text_bytes(program: &Program) -> u64 {
    program.chips.iter().map(chip_text_bytes).sum()
}

/// Bytes of instruction text and lane maps (two bytes a lane) of one chip.
pub fn chip_text_bytes(chip: &ChipProgram) -> u64 {
    let maps: usize = chip.maps.iter().map(|map| 2 * map.len()).sum();
    let texts: usize = chip.queues.values().map(|runs| text(runs).bytes.len()).sum();
    (maps + texts) as u64
}

/// The cycle after a run's last dispatch, modulo 2^64.
pub(crate) fn cycle_after(run: &Run) -> u64 {
    let span = |end: u64, repeat: &crate::Repeat| {
        end.wrapping_add(u64::from(repeat.count).wrapping_sub(1).wrapping_mul(u64::from(repeat.interval)))
    };
    run.repeats.iter().fold(run.cycle, span).wrapping_add(1)
}

/// Place of `item` in the table of its codes.
fn code<T: PartialEq>(table: &[T], item: T) -> u8 {
    table.iter().position(|entry| *entry == item).expect("tables of codes are complete") as u8
}

/// Code of a format, also in the operand bits of [`opcode::VXM`].
fn format_code(format: Format) -> u8 {
    code(&Format::ALL, format)
}

/// Bytes that grow.
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn signed(&mut self, number: i32) {
        let zigzag = (number << 1) ^ (number >> 31);
        self.number(u64::from(zigzag as u32));
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn stream(&mut self, stream: Stream) {
        self.number(u64::from(stream.number) << 1 | u64::from(stream.direction == Direction::West));
    }

    fn hemisphere_and(&mut self, hemisphere: Hemisphere, number: u64) {
        self.number(number << 1 | u64::from(hemisphere == Hemisphere::West));
    }

    fn chip(&mut self, chip: &ChipProgram) {
        self.number(chip.maps.len() as u64);
        for map in &chip.maps {
            self.number(map.len() as u64);
            map.iter().for_each(|&lane| self.number(u64::from(lane)));
        }
        self.number(chip.memory.len() as u64);
        chip.memory.iter().for_each(|segment| self.segment(segment));
        self.number(chip.ports.len() as u64);
        chip.ports.iter().for_each(|port| self.port(port));
        self.number(chip.queues.len() as u64);
        for (queue, runs) in &chip.queues {
            self.queue(*queue);
            self.number(runs.len() as u64);
            self.bytes(&text(runs).bytes);
            for same in runs.chunk_by(|a, b| a.node == b.node) {
                self.number(same.len() as u64);
                self.number(u64::from(same[0].node));
            }
        }
        self.number(chip.text.len() as u64);
        for (queue, pages) in &chip.text {
            self.queue(*queue);
            self.number(pages.len() as u64);
            for page in pages {
                self.hemisphere_and(page.hemisphere, u64::from(page.slice));
                self.number(u64::from(page.address));
            }
        }
    }

    /// A run, of a queue that is free from cycle `free` on.
    pub(crate) fn run(&mut self, free: u64, run: &Run) {
        let gap = run.cycle.wrapping_sub(free);
        if gap != 0 {
            self.0.push(opcode::NOP);
            self.number(gap);
        }
        for repeat in &run.repeats {
            self.0.push(opcode::REPEAT);
            self.number(u64::from(repeat.count));
            self.number(u64::from(repeat.interval));
            self.signed(repeat.step);
            self.signed(repeat.window_step);
        }
        self.instruction(&run.instruction);
    }

    /// As many runs as there are steps are done again.
    pub(crate) fn again(&mut self, times: usize, interval: u64, steps: &[i32]) {
        let moves = steps.iter().any(|&step| step != 0);
        self.0.push(opcode::AGAIN);
        self.number((steps.len() as u64) << 1 | u64::from(moves));
        self.number(times as u64);
        self.number(interval);
        steps.iter().filter(|_| moves).for_each(|&step| self.signed(step));
    }

    fn segment(&mut self, segment: &Segment) {
        self.hemisphere_and(segment.hemisphere, u64::from(segment.slice));
        self.number(u64::from(segment.address));
        self.number(u64::from(segment.words));
        self.number(u64::from(segment.node));
        match &segment.data {
            SegmentData::Bytes(bytes) => {
                self.0.push(0);
                self.bytes(bytes);
            }
            SegmentData::Fill(byte) => self.0.extend([1, *byte]),
            SegmentData::Absent => self.0.push(2),
            SegmentData::Digest(digest) => {
                self.0.push(3);
                self.0.extend_from_slice(digest);
            }
        }
    }

    fn port(&mut self, port: &Port) {
        self.text(&port.name);
        self.0.push(code(&PORT_KINDS, port.kind));
        self.0.push(code(&ELEMENTS, port.element));
        self.number(port.shape.len() as u64);
        port.shape.iter().for_each(|&size| self.number(u64::from(size)));
        self.number(port.parts.len() as u64);
        for part in &port.parts {
            let Placement { batches, rows, columns, broadcast, tile_rows, rows_per_stripe, address, stripes } =
                part;
            self.0.push(u8::from(*broadcast));
            for number in [batches, rows, columns, tile_rows, rows_per_stripe, address] {
                self.number(u64::from(*number));
            }
            self.number(stripes.len() as u64);
            for stripe in stripes {
                self.number(stripe.len() as u64);
                for &(hemisphere, slice) in stripe {
                    self.hemisphere_and(hemisphere, u64::from(slice));
                }
            }
        }
    }

    fn queue(&mut self, queue: Queue) {
        let (kind, hemisphere, number) = match queue {
            Queue::MemRead(hemisphere, slice) => (0, hemisphere, u64::from(slice)),
            Queue::MemWrite(hemisphere, slice) => (1, hemisphere, u64::from(slice)),
            Queue::Vxm(alu) => (2, Hemisphere::East, u64::from(alu)),
            Queue::Mxm(hemisphere, plane, port) => {
                (3, hemisphere, u64::from(plane) << 2 | u64::from(code(&MxmPort::ALL, port)))
            }
            Queue::Sxm(hemisphere, queue) => (4, hemisphere, u64::from(queue)),
            Queue::C2c(hemisphere, link) => (5, hemisphere, u64::from(link)),
        };
        self.0.push(kind);
        self.hemisphere_and(hemisphere, number);
    }

    fn instruction(&mut self, instruction: &Instruction) {
        match *instruction {
            Instruction::Icu(icu) => match icu {
                Icu::Sync => self.0.push(opcode::SYNC),
                Icu::Notify => self.0.push(opcode::NOTIFY),
                Icu::Ifetch { stream } => self.with_stream(opcode::IFETCH, stream),
                Icu::Config { superlanes } => self.0.extend([opcode::CONFIG, superlanes]),
            },
            Instruction::Mem(mem) => match mem {
                Mem::Read { address, stream } => {
                    self.with_stream(opcode::READ, stream);
                    self.number(u64::from(address));
                }
                Mem::Write { address, stream } => {
                    self.with_stream(opcode::WRITE, stream);
                    self.number(u64::from(address));
                }
                Mem::Gather { window, index, stream } => self.indirect(opcode::GATHER, window, index, stream),
                Mem::Scatter { window, index, stream } => {
                    self.indirect(opcode::SCATTER, window, index, stream);
                }
            },
            Instruction::Vxm(vxm) => self.vxm(vxm),
            Instruction::Mxm(mxm) => self.mxm(mxm),
            Instruction::Sxm(sxm) => self.sxm(sxm),
            Instruction::C2c(c2c) => match c2c {
                C2c::Send { stream } => self.with_stream(opcode::SEND, stream),
                C2c::Receive { stream } => self.with_stream(opcode::RECEIVE, stream),
                C2c::Deskew => self.0.push(opcode::DESKEW),
            },
        }
    }

    fn with_stream(&mut self, opcode: u8, stream: Stream) {
        self.0.push(opcode);
        self.stream(stream);
    }

    fn indirect(&mut self, opcode: u8, window: Window, index: Stream, stream: Stream) {
        self.with_stream(opcode, stream);
        self.stream(index);
        self.signed(window.first);
        for number in [window.count, window.base, window.stride] {
            self.number(u64::from(number));
        }
    }

    /// One byte of kinds (a, b, whether there is a result), the operation, then a, b and the result.
    fn vxm(&mut self, vxm: Vxm) {
        let kind = |operand: &Operand| match operand {
            Operand::Stream(..) => 1u8,
            Operand::Alu { .. } => 2,
            Operand::Immediate(_) => 3,
        };
        let b = vxm.b.as_ref().map_or(0, kind);
        let kinds = kind(&vxm.a) | b << 2 | u8::from(vxm.result.is_some()) << 4;
        self.0.extend([opcode::VXM, kinds, code(&crate::instruction::VxmOp::ALL, vxm.op)]);
        for operand in std::iter::once(vxm.a).chain(vxm.b) {
            match operand {
                Operand::Stream(stream, format) => self.formatted(stream, format),
                Operand::Alu { alu, delay } => self.0.extend([alu, delay]),
                Operand::Immediate(word) => self.0.extend(word.to_le_bytes()),
            }
        }
        if let Some((stream, format)) = vxm.result {
            self.formatted(stream, format);
        }
    }

    fn formatted(&mut self, stream: Stream, format: Format) {
        self.stream(stream);
        self.0.push(format_code(format));
    }

    fn mxm(&mut self, mxm: Mxm) {
        match mxm {
            Mxm::Lw { stream, count, row, row_stride, format } => {
                self.0.push(opcode::LW);
                self.formatted(stream, format);
                self.0.push(count);
                self.number(u64::from(row));
                self.number(u64::from(row_stride));
            }
            Mxm::Iw => self.0.push(opcode::IW),
            Mxm::Abc { stream, format } => {
                self.0.push(opcode::ABC);
                self.formatted(stream, format);
            }
            Mxm::Acc { address, mode, emit } => {
                let add = mode == AccMode::Add;
                self.0.extend([opcode::ACC, u8::from(add) | u8::from(emit.is_some()) << 1]);
                self.number(u64::from(address));
                if let Some(stream) = emit {
                    self.stream(stream);
                }
            }
        }
    }

    fn sxm(&mut self, sxm: Sxm) {
        match sxm {
            Sxm::Shift { lanes, streams, from, to } => {
                self.switch(opcode::SHIFT, streams, from, to);
                self.signed(i32::from(lanes));
            }
            Sxm::Select { map, streams, from, other, to } => {
                self.switch(opcode::SELECT, streams, from, to);
                self.stream(other);
                self.number(u64::from(map));
            }
            Sxm::Permute { map, streams, from, to } => {
                self.switch(opcode::PERMUTE, streams, from, to);
                self.number(u64::from(map));
            }
            Sxm::Distribute { map, streams, from, to } => {
                self.switch(opcode::DISTRIBUTE, streams, from, to);
                self.number(u64::from(map));
            }
            Sxm::Rotate { n, from, to } => self.switch(opcode::ROTATE, n, from, to),
            Sxm::Transpose { from, to } => {
                self.with_stream(opcode::TRANSPOSE, from);
                self.stream(to);
            }
        }
    }

    fn switch(&mut self, opcode: u8, streams: u8, from: Stream, to: Stream) {
        self.0.extend([opcode, streams]);
        self.stream(from);
        self.stream(to);
    }
}
