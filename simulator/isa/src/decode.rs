//! Reading the binary form of a [`Program`]; the form is described in [`crate::encode`].

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;

use crate::encode::{
    CHECKSUM_BYTES, ELEMENTS, MAGIC, MOST_AGAIN_RUNS, PORT_KINDS, VERSION, cycle_after, opcode,
};
use crate::instruction::{AccMode, Operand, VxmOp, Window};
use crate::place::MxmPort;
use crate::{
    C2c, ChipProgram, Direction, Format, Hemisphere, Icu, Instruction, Mem, Mxm, Page, Placement, Port,
    Program, Queue, Repeat, Run, Segment, SegmentData, Stream, Sxm, Vxm,
};

/// Most bytes that chips said to be as an earlier one may stand for: a small file must not fill the host's memory.
const MOST_EXPANDED_BYTES: usize = 1 << 32;

/// Most runs of a queue that has some said once and done again, for the same reason.
const MOST_REPEATED_RUNS: usize = 1 << 24;

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// Byte of the file at which reading stopped.
    pub offset: usize,
    /// What is wrong there.
    pub message: String,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: {}", self.offset, self.message)
    }
}

impl std::error::Error for DecodeError {}

/// Reads a file. Whether the program fits a chip is for [`crate::verify`] to say.
///
/// # Errors
/// Not a program, another version, a wrong checksum, or (in a file that somebody made so) content that makes no sense. Never panics,
/// and takes memory in proportion to the file.
pub fn decode(file: &[u8]) -> Result<Program, DecodeError> {
    let error = |offset: usize, message: &str| Err(DecodeError { offset, message: message.to_string() });
    if !file.starts_with(MAGIC) {
        return error(0, "not a program file: it does not begin with LPUC");
    }
    match file.get(MAGIC.len()) {
        Some(&VERSION) => {}
        Some(other) => {
            let message =
                format!("the file has version {other} of the form, this program reads version {VERSION}");
            return error(MAGIC.len(), &message);
        }
        None => return error(file.len(), "the file ends too early"),
    }
    let start = MAGIC.len() + 1;
    let Some(end) = file.len().checked_sub(CHECKSUM_BYTES).filter(|&end| end >= start) else {
        return error(file.len(), "the file ends too early");
    };
    if blake3::hash(&file[..end]).as_bytes() != &file[end..] {
        return error(end, "the checksum is wrong: the file is damaged or cut short");
    }
    let mut reader = Reader { bytes: &file[..end], offset: start };
    let program = reader.program()?;
    if reader.offset < end {
        return error(reader.offset, "the program ends before the file does");
    }
    Ok(program)
}

struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

type Read<T> = Result<T, DecodeError>;

impl<'a> Reader<'a> {
    fn error<T>(&self, message: impl Into<String>) -> Read<T> {
        Err(DecodeError { offset: self.offset, message: message.into() })
    }

    fn byte(&mut self) -> Read<u8> {
        match self.bytes.get(self.offset) {
            Some(&byte) => {
                self.offset += 1;
                Ok(byte)
            }
            None => self.error("the content ends too early"),
        }
    }

    fn take(&mut self, count: usize) -> Read<&'a [u8]> {
        let end = self.offset.checked_add(count).filter(|&end| end <= self.bytes.len());
        let Some(end) = end else {
            return self.error(format!("{count} bytes are announced, but the content ends before that"));
        };
        let taken = &self.bytes[self.offset..end];
        self.offset = end;
        Ok(taken)
    }

    fn long(&mut self) -> Read<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        self.error("a number has more than 64 bits")
    }

    /// A number in the range of its type.
    fn number<T: TryFrom<u64>>(&mut self) -> Read<T> {
        let number = self.long()?;
        T::try_from(number).or_else(|_| self.error(format!("{number} is too large here")))
    }

    fn signed(&mut self) -> Read<i32> {
        let zigzag: u32 = self.number()?;
        Ok((zigzag >> 1) as i32 ^ -((zigzag & 1) as i32))
    }

    /// A list; its length is checked against what is left, as every item takes a byte at least.
    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Read<T>) -> Read<Vec<T>> {
        let length: usize = self.number()?;
        if length > self.bytes.len() - self.offset {
            return self.error(format!("{length} items are announced, but the content ends before that"));
        }
        (0..length).map(|_| item(self)).collect()
    }

    fn text(&mut self) -> Read<String> {
        let length = self.number()?;
        let bytes = self.take(length)?;
        String::from_utf8(bytes.to_vec()).or_else(|_| self.error("a name is not UTF-8"))
    }

    /// An entry of a table of codes.
    fn entry<T: Copy>(&mut self, table: &[T], what: &str) -> Read<T> {
        let code = self.byte()?;
        match table.get(usize::from(code)) {
            Some(&entry) => Ok(entry),
            None => self.error(format!("{code} is no {what}")),
        }
    }

    fn stream(&mut self) -> Read<Stream> {
        let number: u16 = self.number()?;
        let direction = if number & 1 == 1 { Direction::West } else { Direction::East };
        match u8::try_from(number >> 1) {
            Ok(number) => Ok(Stream { number, direction }),
            Err(_) => self.error(format!("stream {} does not exist", number >> 1)),
        }
    }

    fn hemisphere_and(&mut self) -> Read<(Hemisphere, u16)> {
        let number: u32 = self.number()?;
        let hemisphere = if number & 1 == 1 { Hemisphere::West } else { Hemisphere::East };
        match u16::try_from(number >> 1) {
            Ok(number) => Ok((hemisphere, number)),
            Err(_) => self.error(format!("{} is too large here", number >> 1)),
        }
    }

    fn program(&mut self) -> Read<Program> {
        let chip = self.text()?;
        let nodes = self.list(Self::text)?;
        let mut chips: Vec<ChipProgram> = Vec::new();
        let mut sizes: Vec<usize> = Vec::new();
        let mut expanded = 0usize;
        self.list(|reader| {
            let start = reader.offset;
            match reader.byte()? {
                0 => {
                    chips.push(reader.chip()?);
                    sizes.push(reader.offset - start);
                }
                1 => {
                    let same: usize = reader.number()?;
                    let Some(chip) = chips.get(same) else {
                        return reader.error(format!("there is no chip {same} before this one"));
                    };
                    expanded = expanded.saturating_add(sizes[same]);
                    if expanded > MOST_EXPANDED_BYTES {
                        return reader.error("the chips together are too large");
                    }
                    chips.push(chip.clone());
                    sizes.push(sizes[same]);
                }
                other => return reader.error(format!("{other} is no kind of chip")),
            }
            Ok(())
        })?;
        Ok(Program { chip, nodes, chips })
    }

    fn chip(&mut self) -> Read<ChipProgram> {
        let maps = self.list(|reader| reader.list(Self::number::<u16>))?;
        let memory = self.list(Self::segment)?;
        let ports = self.list(Self::port)?;
        let mut queues = BTreeMap::new();
        self.list(|reader| {
            let queue = reader.queue()?;
            let runs = reader.runs()?;
            match queues.insert(queue, runs) {
                None => Ok(()),
                Some(_) => reader.error(format!("queue {queue} stands twice")),
            }
        })?;
        let mut text = BTreeMap::new();
        self.list(|reader| {
            let queue = reader.queue()?;
            match text.insert(queue, reader.list(Self::page)?) {
                None => Ok(()),
                Some(_) => reader.error(format!("the pages of {queue} stand twice")),
            }
        })?;
        Ok(ChipProgram { queues, maps, memory, ports, text })
    }

    fn page(&mut self) -> Read<Page> {
        let (hemisphere, slice) = self.hemisphere_and()?;
        Ok(Page { hemisphere, slice, address: self.number()? })
    }

    fn segment(&mut self) -> Read<Segment> {
        let (hemisphere, slice) = self.hemisphere_and()?;
        let (address, words, node) = (self.number()?, self.number()?, self.number()?);
        let data = match self.byte()? {
            0 => {
                let length = self.number()?;
                SegmentData::Bytes(Bytes::copy_from_slice(self.take(length)?))
            }
            1 => SegmentData::Fill(self.byte()?),
            2 => SegmentData::Absent,
            3 => {
                let mut digest = [0; 32];
                digest.copy_from_slice(self.take(32)?);
                SegmentData::Digest(digest)
            }
            other => return self.error(format!("{other} is no kind of content")),
        };
        Ok(Segment { hemisphere, slice, address, words, data, node })
    }

    fn port(&mut self) -> Read<Port> {
        let name = self.text()?;
        let kind = self.entry(&PORT_KINDS, "kind of port")?;
        let element = self.entry(&ELEMENTS, "element type")?;
        let shape = self.list(Self::number::<u32>)?;
        let parts = self.list(|reader| {
            Ok(Placement {
                broadcast: reader.entry(&[false, true], "truth value")?,
                batches: reader.number()?,
                rows: reader.number()?,
                columns: reader.number()?,
                tile_rows: reader.number()?,
                rows_per_stripe: reader.number()?,
                address: reader.number()?,
                stripes: reader.list(|reader| reader.list(Self::hemisphere_and))?,
            })
        })?;
        Ok(Port { name, kind, element, shape, parts })
    }

    fn queue(&mut self) -> Read<Queue> {
        let kind = self.byte()?;
        let (hemisphere, number) = self.hemisphere_and()?;
        let small = |reader: &Self, number: u16| {
            u8::try_from(number).or_else(|_| reader.error(format!("{number} is too large here")))
        };
        Ok(match kind {
            0 => Queue::MemRead(hemisphere, number),
            1 => Queue::MemWrite(hemisphere, number),
            2 => Queue::Vxm(small(self, number)?),
            3 => Queue::Mxm(hemisphere, small(self, number >> 2)?, MxmPort::ALL[usize::from(number & 3)]),
            4 => Queue::Sxm(hemisphere, small(self, number)?),
            5 => Queue::C2c(hemisphere, small(self, number)?),
            other => return self.error(format!("{other} is no kind of queue")),
        })
    }

    fn runs(&mut self) -> Read<Vec<Run>> {
        let count: usize = self.number()?;
        let length = self.number()?;
        let start = self.offset;
        self.take(length)?;
        let mut text = Reader { bytes: &self.bytes[..self.offset], offset: start };
        let mut runs = Vec::new();
        let mut free = 0;
        while text.offset < text.bytes.len() {
            if text.bytes[text.offset] == opcode::AGAIN {
                text.again(&mut runs, count)?;
            } else {
                runs.push(text.run(free)?);
            }
            free = runs.last().map_or(0, cycle_after);
        }
        if runs.len() != count {
            return self.error(format!("the queue has {} runs, not {count}", runs.len()));
        }
        let mut named = 0;
        while named < count {
            let times: usize = self.number()?;
            let node = self.number()?;
            if times == 0 || times > count - named {
                return self.error(format!("{times} runs of a node, of {} left", count - named));
            }
            runs[named..named + times].iter_mut().for_each(|run| run.node = node);
            named += times;
        }
        Ok(runs)
    }

    /// The last few runs again, as often as it says; a queue has `most` runs in all.
    fn again(&mut self, runs: &mut Vec<Run>, most: usize) -> Read<()> {
        self.byte()?;
        let (kinds, times, interval): (usize, usize, u64) = (self.number()?, self.number()?, self.number()?);
        let body = kinds / 2;
        if body == 0 || body > MOST_AGAIN_RUNS.min(runs.len()) {
            return self.error(format!("the last {body} runs cannot be done again"));
        }
        let more = body.saturating_mul(times);
        if more > most.min(MOST_REPEATED_RUNS).saturating_sub(runs.len()) {
            return self.error(format!("{more} runs more are too many"));
        }
        let steps = (0..body).map(|_| if kinds % 2 == 1 { self.signed() } else { Ok(0) });
        let steps: Vec<i32> = steps.collect::<Read<_>>()?;
        for at in 0..more {
            let run = &runs[runs.len() - body];
            let Some(instruction) = run.instruction.moved(steps[at % body].into()) else {
                return self.error("an operand moves out of its range");
            };
            runs.push(Run { cycle: run.cycle.wrapping_add(interval), instruction, ..run.clone() });
        }
        Ok(())
    }

    /// One run of a queue whose last run left cycle `free` as the next.
    fn run(&mut self, free: u64) -> Read<Run> {
        let mut cycle = free;
        let mut code = self.byte()?;
        if code == opcode::NOP {
            cycle = free.wrapping_add(self.long()?);
            code = self.byte()?;
        }
        let mut repeats = Vec::new();
        while code == opcode::REPEAT {
            repeats.push(Repeat {
                count: self.number()?,
                interval: self.number()?,
                step: self.signed()?,
                window_step: self.signed()?,
            });
            code = self.byte()?;
        }
        Ok(Run { cycle, instruction: self.instruction(code)?, repeats, node: 0 })
    }

    fn instruction(&mut self, code: u8) -> Read<Instruction> {
        Ok(match code {
            opcode::SYNC => Instruction::Icu(Icu::Sync),
            opcode::NOTIFY => Instruction::Icu(Icu::Notify),
            opcode::IFETCH => Instruction::Icu(Icu::Ifetch { stream: self.stream()? }),
            opcode::CONFIG => Instruction::Icu(Icu::Config { superlanes: self.byte()? }),
            opcode::READ => Instruction::Mem(Mem::Read { stream: self.stream()?, address: self.number()? }),
            opcode::WRITE => Instruction::Mem(Mem::Write { stream: self.stream()?, address: self.number()? }),
            opcode::GATHER | opcode::SCATTER => {
                let (stream, index) = (self.stream()?, self.stream()?);
                let window = Window {
                    first: self.signed()?,
                    count: self.number()?,
                    base: self.number()?,
                    stride: self.number()?,
                };
                Instruction::Mem(match code {
                    opcode::GATHER => Mem::Gather { window, index, stream },
                    _ => Mem::Scatter { window, index, stream },
                })
            }
            opcode::VXM => Instruction::Vxm(self.vxm()?),
            opcode::LW | opcode::IW | opcode::ABC | opcode::ACC => Instruction::Mxm(self.mxm(code)?),
            opcode::SHIFT..=opcode::TRANSPOSE => Instruction::Sxm(self.sxm(code)?),
            opcode::SEND => Instruction::C2c(C2c::Send { stream: self.stream()? }),
            opcode::RECEIVE => Instruction::C2c(C2c::Receive { stream: self.stream()? }),
            opcode::DESKEW => Instruction::C2c(C2c::Deskew),
            other => return self.error(format!("{other:#04x} is no instruction")),
        })
    }

    fn formatted(&mut self) -> Read<(Stream, Format)> {
        Ok((self.stream()?, self.entry(&Format::ALL, "format")?))
    }

    fn operand(&mut self, kind: u8) -> Read<Operand> {
        Ok(match kind {
            1 => {
                let (stream, format) = self.formatted()?;
                Operand::Stream(stream, format)
            }
            2 => Operand::Alu { alu: self.byte()?, delay: self.byte()? },
            3 => {
                let mut word = [0; 4];
                word.copy_from_slice(self.take(4)?);
                Operand::Immediate(u32::from_le_bytes(word))
            }
            other => return self.error(format!("{other} is no kind of operand")),
        })
    }

    fn vxm(&mut self) -> Read<Vxm> {
        let kinds = self.byte()?;
        if kinds >> 5 != 0 {
            return self.error(format!("{kinds:#04x} says no kinds of operands"));
        }
        let op = self.entry(&VxmOp::ALL, "ALU operation")?;
        let a = self.operand(kinds & 3)?;
        let b = match kinds >> 2 & 3 {
            0 => None,
            kind => Some(self.operand(kind)?),
        };
        let result = if kinds >> 4 == 1 { Some(self.formatted()?) } else { None };
        Ok(Vxm { op, a, b, result })
    }

    fn mxm(&mut self, code: u8) -> Read<Mxm> {
        Ok(match code {
            opcode::LW => {
                let (stream, format) = self.formatted()?;
                let count = self.byte()?;
                Mxm::Lw { stream, count, row: self.number()?, row_stride: self.number()?, format }
            }
            opcode::IW => Mxm::Iw,
            opcode::ABC => {
                let (stream, format) = self.formatted()?;
                Mxm::Abc { stream, format }
            }
            _ => {
                let table = [
                    (AccMode::Start, false),
                    (AccMode::Add, false),
                    (AccMode::Start, true),
                    (AccMode::Add, true),
                ];
                let (mode, emits) = self.entry(&table, "mode of ACC")?;
                let address = self.number()?;
                let emit = if emits { Some(self.stream()?) } else { None };
                Mxm::Acc { address, mode, emit }
            }
        })
    }

    fn sxm(&mut self, code: u8) -> Read<Sxm> {
        if code == opcode::TRANSPOSE {
            return Ok(Sxm::Transpose { from: self.stream()?, to: self.stream()? });
        }
        let streams = self.byte()?;
        let (from, to) = (self.stream()?, self.stream()?);
        Ok(match code {
            opcode::SHIFT => {
                let lanes = self.signed()?;
                let lanes =
                    i16::try_from(lanes).or_else(|_| self.error(format!("{lanes} is too far to shift")))?;
                Sxm::Shift { lanes, streams, from, to }
            }
            opcode::SELECT => {
                let other = self.stream()?;
                Sxm::Select { map: self.number()?, streams, from, other, to }
            }
            opcode::PERMUTE => Sxm::Permute { map: self.number()?, streams, from, to },
            opcode::DISTRIBUTE => Sxm::Distribute { map: self.number()?, streams, from, to },
            _ => Sxm::Rotate { n: streams, from, to },
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::encode::{encode, text_bytes};
    use crate::testing;

    /// `file` with the checksum that belongs to its content.
    fn sealed(mut file: Vec<u8>) -> Vec<u8> {
        file.truncate(file.len().saturating_sub(CHECKSUM_BYTES));
        let checksum = blake3::hash(&file);
        file.extend_from_slice(checksum.as_bytes());
        file
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn encode_then_decode_is_the_same_program(program in testing::program()) {
            prop_assert_eq!(decode(&encode(&program)), Ok(program));
        }

        #[test]
        fn any_flipped_or_missing_byte_is_noticed(
            program in testing::program(), place in any::<prop::sample::Index>(), flip in 1u8..
        ) {
            let mut file = encode(&program);
            let place = place.index(file.len());
            prop_assert!(decode(&file[..place]).is_err());
            file[place] ^= flip;
            prop_assert!(decode(&file).is_err());
        }

        #[test]
        fn damage_under_a_right_checksum_never_panics(
            program in testing::program(), places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)
        ) {
            let mut file = encode(&program);
            for (place, byte) in places {
                let content = file.len() - CHECKSUM_BYTES;
                file[place.index(content)] = byte;
            }
            // Any answer will do; a program that comes out must have a binary form again.
            if let Ok(program) = decode(&sealed(file)) {
                prop_assert_eq!(decode(&encode(&program)), Ok(program));
            }
        }
    }

    #[test]
    fn errors_say_what_and_where() {
        let empty = encode(&Program { chip: "c".to_string(), nodes: vec![], chips: vec![] });
        assert_eq!(empty.len(), 4 + 1 + 2 + 1 + 1 + CHECKSUM_BYTES);
        let with = |content: &[u8]| sealed([b"LPUC\x02", content, &[0; CHECKSUM_BYTES]].concat());
        let huge = [&b"\x01c"[..], &[0xff; 9], &[0x01]].concat();
        for (file, expected) in [
            (b"ELF".to_vec(), "byte 0: not a program file: it does not begin with LPUC"),
            (b"LPUC".to_vec(), "byte 4: the file ends too early"),
            (
                b"LPUC\x01".to_vec(),
                "byte 4: the file has version 1 of the form, this program reads version 2",
            ),
            (empty[..20].to_vec(), "byte 20: the file ends too early"),
            (
                [&empty[..], b"\0"].concat(),
                "byte 10: the checksum is wrong: the file is damaged or cut short",
            ),
            (with(b"\x01c\x00\x00\x07"), "byte 9: the program ends before the file does"),
            (with(b"\x09c"), "byte 6: 9 bytes are announced, but the content ends before that"),
            (
                with(&huge),
                "byte 17: 18446744073709551615 items are announced, but the content ends before that",
            ),
            (with(b"\x01c\x00\x01\x01\x00"), "byte 11: there is no chip 0 before this one"),
            (with(b"\x01\xff"), "byte 7: a name is not UTF-8"),
        ] {
            assert_eq!(decode(&file).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn text_is_compact_and_equal_chips_are_written_once() {
        let stream = Stream { number: 0, direction: Direction::East };
        let run = |cycle| Run {
            cycle,
            instruction: Instruction::Mem(Mem::Read { address: 5, stream }),
            repeats: vec![Repeat { count: 100, interval: 1, step: 1, window_step: 0 }],
            node: 0,
        };
        let queue = Queue::MemRead(Hemisphere::East, 0);
        let chip = ChipProgram {
            queues: BTreeMap::from([(queue, vec![run(0), run(100), run(210)])]),
            maps: vec![vec![0; 320]],
            ..ChipProgram::default()
        };
        let program = |chips| Program { chip: "c".to_string(), nodes: vec![String::new()], chips };
        let (one, many) = (program(vec![chip.clone()]), program(vec![chip; 100]));
        // Read takes 3 bytes, its Repeat 5, Again 4; only the third run needs a NOP, of 2 bytes.
        assert_eq!(text_bytes(&one), 640 + 2 * 8 + 4 + 2);
        assert_eq!(text_bytes(&many), 100 * text_bytes(&one));
        assert_eq!(encode(&many).len(), encode(&one).len() + 99 * 2);
        assert_eq!(decode(&encode(&many)), Ok(many));
    }
}
