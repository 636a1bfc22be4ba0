//! Printing programs as assembly text.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write};

use crate::instruction::{AccMode, Operand, Window};
use crate::program::ZERO_LANE;
use crate::{
    C2c, ChipProgram, Element, Icu, Instruction, Mem, Mxm, Placement, Port, PortKind, Program, Run, Segment,
    SegmentData, Sxm, Vxm,
};

/// Longer memory content prints as its hash.
pub const MOST_HEX_BYTES: usize = 640;

/// Bytes of memory content on one line.
const HEX_BYTES_PER_LINE: usize = 32;

/// Column at which a run's node stands, counted from its `@`.
const NODE_COLUMN: usize = 56;

/// The program as text.
pub fn print(program: &Program) -> String {
    print_with(program, &|_| String::new())
}

/// The program as text, where comments that name a node say more about it. `about` gives that by the node's name, or nothing.
pub fn print_with(program: &Program, about: &dyn Fn(&str) -> String) -> String {
    let mut out = String::new();
    print_to(&mut out, program, about).expect("writing to a String does not fail");
    out
}

fn print_to(out: &mut impl Write, program: &Program, about: &dyn Fn(&str) -> String) -> fmt::Result {
    let comments: Vec<String> = program.nodes.iter().map(|name| format!("{name}{}", about(name))).collect();
    summary(out, program)?;
    writeln!(out, "program {}\n\nnodes {{", Quoted(&program.chip))?;
    for (index, name) in program.nodes.iter().enumerate() {
        writeln!(out, "  n{index} {}", Quoted(name))?;
    }
    writeln!(out, "}}")?;
    // Chips that print alike are printed once: their texts are told apart by hash.
    let mut printed: BTreeMap<[u8; 32], usize> = BTreeMap::new();
    for (index, chip) in program.chips.iter().enumerate() {
        let mut body = String::new();
        chip_body(&mut body, chip, &comments)?;
        let same = *printed.entry(blake3::hash(body.as_bytes()).into()).or_insert(index);
        if same == index {
            writeln!(out, "\nchip {index} {{\n{body}}}")?;
        } else {
            writeln!(out, "\nchip {index} = chip {same}")?;
        }
    }
    Ok(())
}

/// The comment at the top.
fn summary(out: &mut impl Write, program: &Program) -> fmt::Result {
    let runs = || program.chips.iter().flat_map(|chip| chip.queues.values()).flatten();
    let queues: usize = program.chips.iter().map(|chip| chip.queues.len()).sum();
    let instructions = runs().map(Run::instructions).fold(0, u64::saturating_add);
    let chips = program.chips.len();
    writeln!(out, "; {chips} chips, {queues} queues, {} runs, {instructions} instructions", runs().count())
}

fn chip_body(out: &mut String, chip: &ChipProgram, nodes: &[String]) -> fmt::Result {
    for (index, map) in chip.maps.iter().enumerate() {
        writeln!(out, "  map m{index} {{{}}}", Lanes(map))?;
    }
    if !chip.memory.is_empty() {
        writeln!(out, "\n  memory {{")?;
        for segment in &chip.memory {
            self::segment(out, segment, nodes)?;
        }
        writeln!(out, "  }}")?;
    }
    for port in &chip.ports {
        self::port(out, port)?;
    }
    for (queue, pages) in &chip.text {
        writeln!(out, "\n  text {queue} {{")?;
        for page in pages {
            writeln!(out, "    {}.mem{} @{}", page.hemisphere, page.slice, page.address)?;
        }
        writeln!(out, "  }}")?;
    }
    for (queue, runs) in &chip.queues {
        writeln!(out, "\n  queue {queue} {{")?;
        for run in runs {
            self::run(out, run, nodes)?;
        }
        writeln!(out, "  }}")?;
    }
    Ok(())
}

fn segment(out: &mut String, segment: &Segment, nodes: &[String]) -> fmt::Result {
    let Segment { hemisphere, slice, address, words, data, node } = segment;
    write!(out, "    {hemisphere}.mem{slice} @{address} words {words} ")?;
    match data {
        SegmentData::Bytes(bytes) if bytes.len() <= MOST_HEX_BYTES => {
            write!(out, "hex")?;
            let lines = bytes.len().div_ceil(HEX_BYTES_PER_LINE).max(1);
            for line in 0..lines {
                let start = line * HEX_BYTES_PER_LINE;
                let end = bytes.len().min(start + HEX_BYTES_PER_LINE);
                let separator = if lines > 1 { "\n      " } else { " " };
                write!(out, "{separator}\"{}\"", HexDigits(&bytes[start..end]))?;
            }
        }
        SegmentData::Bytes(bytes) => write!(out, "blake3 \"{}\"", blake3::hash(bytes).to_hex())?,
        SegmentData::Digest(digest) => write!(out, "blake3 \"{}\"", HexDigits(digest))?,
        SegmentData::Fill(byte) => write!(out, "fill 0x{byte:02x}")?,
        SegmentData::Absent => write!(out, "absent")?,
    }
    writeln!(out, "{}", Node(*node, nodes, None))
}

fn port(out: &mut String, port: &Port) -> fmt::Result {
    let kind = match port.kind {
        PortKind::Input => "input",
        PortKind::Output => "output",
        PortKind::State => "state",
    };
    let element = match port.element {
        Element::F32 => "f32",
        Element::F16 => "f16",
        Element::F16Low => "f16low",
        Element::I32 => "i32",
        Element::Mask => "mask",
        Element::I8 => "i8",
        Element::F8 => "f8",
    };
    let shape = Commas(&port.shape);
    writeln!(out, "\n  port {kind} {} {element} [{shape}] {{", Quoted(&port.name))?;
    for part in &port.parts {
        let Placement { batches, rows, columns, broadcast, tile_rows, rows_per_stripe, address, stripes } =
            part;
        let broadcast = if *broadcast { " broadcast" } else { "" };
        write!(out, "    part batches {batches} rows {rows} columns {columns}{broadcast}")?;
        write!(out, " tile {tile_rows} stripe {rows_per_stripe} @{address}")?;
        for stripe in stripes {
            let slices: Vec<String> =
                stripe.iter().map(|(hemisphere, slice)| format!("{hemisphere}.mem{slice}")).collect();
            write!(out, " [{}]", Commas(&slices))?;
        }
        writeln!(out)?;
    }
    writeln!(out, "  }}")
}

fn run(out: &mut String, run: &Run, nodes: &[String]) -> fmt::Result {
    write!(out, "    ")?;
    let start = out.len();
    write!(out, "{run}")?;
    let tail = Node(run.node, nodes, float_note(&run.instruction)).to_string();
    if !tail.is_empty() {
        let column = out.len() - start;
        write!(out, "{:1$}{tail}", "", NODE_COLUMN.saturating_sub(column))?;
    }
    writeln!(out)
}

/// `@120 x12 every 1 step 1: Read 0 -> s0e`: a run without its node.
impl Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{}", self.cycle)?;
        for (level, repeat) in self.repeats.iter().enumerate() {
            let comma = if level > 0 { "," } else { "" };
            write!(f, "{comma} x{} every {}", repeat.count, repeat.interval)?;
            if repeat.step != 0 {
                write!(f, " step {}", repeat.step)?;
            }
            if repeat.window_step != 0 {
                write!(f, " window {}", repeat.window_step)?;
            }
        }
        write!(f, ": {}", self.instruction)
    }
}

impl Display for Instruction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Instruction::Icu(icu) => match icu {
                Icu::Sync => write!(f, "Sync"),
                Icu::Notify => write!(f, "Notify"),
                Icu::Ifetch { stream } => write!(f, "Ifetch {stream}"),
                Icu::Config { superlanes } => write!(f, "Config {superlanes}"),
            },
            Instruction::Mem(mem) => match mem {
                Mem::Read { address, stream } => write!(f, "Read {address} -> {stream}"),
                Mem::Write { address, stream } => write!(f, "Write {stream} -> {address}"),
                Mem::Gather { window, index, stream } => {
                    write!(f, "Gather {window} index {index} -> {stream}")
                }
                Mem::Scatter { window, index, stream } => {
                    write!(f, "Scatter {stream} -> {window} index {index}")
                }
            },
            Instruction::Vxm(vxm) => vxm.fmt(f),
            Instruction::Mxm(mxm) => mxm.fmt(f),
            Instruction::Sxm(sxm) => sxm.fmt(f),
            Instruction::C2c(c2c) => match c2c {
                C2c::Send { stream } => write!(f, "Send {stream}"),
                C2c::Receive { stream } => write!(f, "Receive {stream}"),
                C2c::Deskew => write!(f, "Deskew"),
            },
        }
    }
}

impl Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Window { first, count, base, stride } = self;
        write!(f, "first {first} count {count} base {base} stride {stride}")
    }
}

impl Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operand::Stream(stream, format) => write!(f, "{format} {stream}"),
            Operand::Alu { alu, delay } => write!(f, "alu{alu}[{delay}]"),
            Operand::Immediate(word) => write!(f, "0x{word:08x}"),
        }
    }
}

impl Display for Vxm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.op.name(), self.a)?;
        if let Some(b) = self.b {
            write!(f, ", {b}")?;
        }
        match self.result {
            Some((stream, format)) => write!(f, " -> {format} {stream}"),
            None => Ok(()),
        }
    }
}

impl Display for Mxm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mxm::Lw { stream, count, row, row_stride, format } => {
                write!(f, "LW {format} {stream}{} -> row {row} by {row_stride}", Times(*count))
            }
            Mxm::Iw => write!(f, "IW"),
            Mxm::Abc { stream, format } => write!(f, "ABC {format} {stream}"),
            Mxm::Acc { address, mode, emit } => {
                let mode = match mode {
                    AccMode::Start => "start",
                    AccMode::Add => "add",
                };
                write!(f, "ACC {mode} {address}")?;
                emit.map_or(Ok(()), |stream| write!(f, " -> {stream}"))
            }
        }
    }
}

impl Display for Sxm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sxm::Shift { lanes, streams, from, to } => {
                write!(f, "Shift {lanes}, {from}{} -> {to}", Times(*streams))
            }
            Sxm::Select { map, streams, from, other, to } => {
                write!(f, "Select m{map}, {from}, {other}{} -> {to}", Times(*streams))
            }
            Sxm::Permute { map, streams, from, to } => {
                write!(f, "Permute m{map}, {from}{} -> {to}", Times(*streams))
            }
            Sxm::Distribute { map, streams, from, to } => {
                write!(f, "Distribute m{map}, {from}{} -> {to}", Times(*streams))
            }
            Sxm::Rotate { n, from, to } => write!(f, "Rotate {n}, {from} -> {to}"),
            Sxm::Transpose { from, to } => write!(f, "Transpose {from} -> {to}"),
        }
    }
}

/// ` x4`, or nothing for 1.
struct Times(u8);

impl Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 1 { Ok(()) } else { write!(f, " x{}", self.0) }
    }
}

/// What the immediates of a float operation mean: `0x3f800000 is 1`.
fn float_note(instruction: &Instruction) -> Option<String> {
    let Instruction::Vxm(vxm) = instruction else { return None };
    let word = std::iter::once(vxm.a).chain(vxm.b).find_map(|operand| match operand {
        Operand::Immediate(word) => Some(word),
        Operand::Stream(..) | Operand::Alu { .. } => None,
    })?;
    vxm.op.takes_floats().then(|| format!("0x{word:08x} is {}", f32::from_bits(word)))
}

/// A node, and a comment of its name and another note. Node 0 goes without saying.
struct Node<'a>(u32, &'a [String], Option<String>);

impl Display for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Node(index, names, note) = self;
        if *index > 0 {
            write!(f, " n{index}")?;
        }
        let name = names.get(*index as usize).filter(|name| !name.is_empty());
        match (name, note) {
            (Some(name), Some(note)) => write!(f, " ; {}, {note}", Escaped(name)),
            (Some(name), None) => write!(f, " ; {}", Escaped(name)),
            (None, Some(note)) => write!(f, " ; {note}"),
            (None, None) => Ok(()),
        }
    }
}

/// A text in quotes.
struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", Escaped(self.0))
    }
}

/// A text with quotes, backslashes and control characters escaped.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in self.0.chars() {
            match char {
                '"' | '\\' => write!(f, "\\{char}")?,
                char if char.is_control() => write!(f, "\\u{{{:x}}}", u32::from(char))?,
                char => f.write_char(char)?,
            }
        }
        Ok(())
    }
}

struct HexDigits<'a>(&'a [u8]);

impl Display for HexDigits<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

struct Commas<'a, T>(&'a [T]);

impl<T: Display> Display for Commas<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, item) in self.0.iter().enumerate() {
            write!(f, "{}{item}", if index > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

/// A lane map in pieces: `16..320` counts up, `5 x3` is three times lane 5, `zero x4` four lanes of zeros.
struct Lanes<'a>(&'a [u16]);

impl Display for Lanes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some(&first) = rest.first() {
            let equal = rest.iter().take_while(|&&lane| lane == first).count();
            let rising = rest
                .iter()
                .zip(usize::from(first)..usize::from(ZERO_LANE))
                .take_while(|&(&lane, expected)| usize::from(lane) == expected)
                .count();
            let taken = if rising > 1 {
                write!(f, " {first}..{}", usize::from(first) + rising)?;
                rising
            } else {
                if first == ZERO_LANE {
                    write!(f, " zero")?
                } else {
                    write!(f, " {first}")?
                }
                if equal > 1 {
                    write!(f, " x{equal}")?;
                }
                equal
            };
            rest = &rest[taken..];
        }
        f.write_str(" ")
    }
}
