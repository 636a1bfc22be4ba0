//! Is a program well formed for a chip? Whatever depends on time is left to the run.

use isa::instruction::{Instruction, Mem, Mxm, Operand, Sxm, Vxm};
use isa::place::{MxmPort, Queue};
use isa::program::{MAX_REPEATS, Run, Segment, SegmentData};
use isa::stream::Format;
use isa::{Chip, ChipProgram, Hemisphere, Icu, Port, Program, Slice};

/// Later cycles than this are refused; it is centuries.
const LAST_CYCLE: u128 = 1 << 62;

/// All problems of a program, one sentence each.
pub(crate) fn check(chip: &Chip, program: &Program) -> Result<(), Vec<String>> {
    let mut problems = Vec::new();
    check_chip(chip, &mut problems);
    match program.chips.as_slice() {
        [one] if problems.is_empty() => check_program(chip, program, one, &mut problems),
        [_] => {}
        chips => problems.push(format!(
            "the program is for {} chips; this simulator runs programs of one chip",
            chips.len()
        )),
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// All problems of a system's chip programs, one sentence each.
pub(crate) fn check_system(chip: &Chip, program: &Program) -> Result<(), Vec<String>> {
    let mut problems = Vec::new();
    check_chip(chip, &mut problems);
    if program.chip != chip.name {
        problems.push(format!("the program is for chips {}, and these are {}", program.chip, chip.name));
    }
    if problems.is_empty() {
        for (index, one) in program.chips.iter().enumerate() {
            let mut own = Vec::new();
            check_program(chip, program, one, &mut own);
            problems.extend(own.into_iter().map(|problem| format!("program {index}: {problem}")));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

fn check_chip(chip: &Chip, problems: &mut Vec<String>) {
    let superlanes = chip.lanes.checked_div(chip.lanes_per_superlane).unwrap_or(0);
    if superlanes == 0 || superlanes > 64 || superlanes * chip.lanes_per_superlane != chip.lanes {
        problems.push(format!(
            "chip {}: {} lanes in superlanes of {}; this simulator takes 1 to 64 whole superlanes",
            chip.name, chip.lanes, chip.lanes_per_superlane
        ));
    }
    if usize::from(chip.mxm.rows) > chip.lanes {
        problems.push(format!(
            "chip {}: {} weight rows, more than {} lanes",
            chip.name, chip.mxm.rows, chip.lanes
        ));
    }
    let l = &chip.latency;
    let latencies =
        [l.read, l.write, l.gather, l.vxm, l.load, l.install, l.product, l.accumulate, l.sxm, l.c2c];
    if latencies.contains(&0) || chip.mem.banks == 0 || chip.mem.words_per_bank == 0 || chip.mxm.rows == 0 {
        problems.push(format!("chip {}: latencies, banks, words and rows must be at least 1", chip.name));
    }
}

fn check_program(chip: &Chip, program: &Program, one: &ChipProgram, problems: &mut Vec<String>) {
    for (number, map) in one.maps.iter().enumerate() {
        if map.len() != chip.lanes {
            problems.push(format!("lane map {number} has {} entries for {} lanes", map.len(), chip.lanes));
        }
    }
    for (&queue, runs) in &one.queues {
        if !exists(chip, queue) {
            problems.push(format!("the chip has no queue {queue}"));
            continue;
        }
        for run in runs {
            if let Err(problem) = check_run(chip, queue, run, program.nodes.len()) {
                problems.push(format!("{queue}, run of cycle {}: {problem}", run.cycle));
            }
        }
    }
    for segment in &one.memory {
        if let Err(problem) = check_segment(chip, segment) {
            problems.push(format!(
                "segment at word {} of {}: {problem}",
                segment.address,
                Slice::Mem(segment.hemisphere, segment.slice)
            ));
        }
    }
    problems.extend(isa::text::problems(chip, one));
    for port in &one.ports {
        if let Err(problem) = check_port(chip, port) {
            problems.push(format!("port `{}`: {problem}", port.name));
        }
    }
}

/// Does the chip have this queue?
fn exists(chip: &Chip, queue: Queue) -> bool {
    match queue {
        Queue::MemRead(_, index) | Queue::MemWrite(_, index) => index < chip.mem.slices_per_hemisphere,
        Queue::Vxm(alu) => alu < chip.vxm.alus,
        Queue::Mxm(_, plane, _) => plane < chip.mxm.planes_per_hemisphere,
        Queue::Sxm(_, index) => index < chip.sxm.queues_per_hemisphere,
        Queue::C2c(_, link) => link < chip.c2c.links_per_hemisphere,
    }
}

fn check_run(chip: &Chip, queue: Queue, run: &Run, nodes: usize) -> Result<(), String> {
    if run.repeats.len() > MAX_REPEATS || run.repeats.iter().any(|repeat| repeat.count == 0) {
        return Err(format!("at most {MAX_REPEATS} repeats, of at least one time each"));
    }
    let span = |repeat: &isa::Repeat| u128::from(repeat.count - 1) * u128::from(repeat.interval);
    if u128::from(run.cycle) + run.repeats.iter().map(span).sum::<u128>() > LAST_CYCLE {
        return Err("it ends too late".to_owned());
    }
    if run.node as usize >= nodes {
        return Err(format!("node {} of {nodes}", run.node));
    }
    match (run.instruction, queue) {
        (Instruction::Icu(Icu::Ifetch { .. }), _) => Ok(()),
        (Instruction::Icu(icu), _) => Err(format!("{icu:?}: instruction control is not simulated")),
        (Instruction::Mem(Mem::Read { .. } | Mem::Gather { .. }), Queue::MemRead(..))
        | (Instruction::Mem(Mem::Write { .. } | Mem::Scatter { .. }), Queue::MemWrite(..))
        | (Instruction::C2c(_), Queue::C2c(..)) => Ok(()),
        (Instruction::Vxm(vxm), Queue::Vxm(_)) => check_vxm(&vxm),
        (Instruction::Mxm(mxm), Queue::Mxm(_, plane, port)) => check_mxm(chip, &mxm, plane, port),
        (Instruction::Sxm(sxm), Queue::Sxm(..)) => check_sxm(chip, &sxm),
        (instruction, _) => Err(format!("{instruction:?} does not belong in this queue")),
    }
}

fn check_vxm(vxm: &Vxm) -> Result<(), String> {
    let two = vxm.op.operands() == 2;
    if vxm.b.is_some() != two {
        return Err(format!("{:?} takes {} operands", vxm.op, if two { 2 } else { 1 }));
    }
    let operand = |operand| match operand {
        Operand::Stream(_, format) => Some(format),
        Operand::Alu { .. } | Operand::Immediate(_) => None,
    };
    let mut formats = [operand(vxm.a), vxm.b.and_then(operand), vxm.result.map(|(_, format)| format)];
    match formats.iter_mut().find_map(|format| format.take_if(|format| format.only_weights())) {
        Some(format) => Err(format!("{format} is a format of weights, which only LW takes")),
        None => Ok(()),
    }
}

fn check_mxm(chip: &Chip, mxm: &Mxm, plane: u8, port: MxmPort) -> Result<(), String> {
    let (right, format) = match mxm {
        Mxm::Lw { format, .. } => (MxmPort::Load, Some(*format)),
        Mxm::Iw => (MxmPort::Install, None),
        Mxm::Abc { format, .. } => (MxmPort::Stream, Some(*format)),
        Mxm::Acc { .. } => (MxmPort::Accumulate, None),
    };
    if port != right {
        return Err(format!("{mxm:?} belongs in the queue {right}"));
    }
    if matches!(mxm, Mxm::Lw { count: 0, .. }) {
        return Err("LW of no vectors".to_owned());
    }
    let Some(format) = format else { return Ok(()) };
    let refused = match mxm {
        Mxm::Lw { .. } => chip.mxm.refuses(&chip.name, format),
        Mxm::Iw | Mxm::Abc { .. } | Mxm::Acc { .. } => chip.mxm.refuses_activations(&chip.name, format),
    };
    if let Some(problem) = refused {
        return Err(format!("`{}`: {problem}", Instruction::Mxm(*mxm)));
    }
    match format.held() {
        Format::I8 | Format::F8 => Ok(()),
        Format::F16 if plane == 0 && chip.mxm.planes_per_hemisphere >= 2 => Ok(()),
        Format::F16 | Format::I4 | Format::F4 | Format::F8Wide => {
            Err("F16 work belongs in plane 0, which forms a pair with plane 1".to_owned())
        }
        Format::I32 | Format::F32 => Err(format!("the MXM does not multiply {format}")),
    }
}

fn check_sxm(chip: &Chip, sxm: &Sxm) -> Result<(), String> {
    match *sxm {
        Sxm::Shift { streams, .. }
        | Sxm::Select { streams, .. }
        | Sxm::Permute { streams, .. }
        | Sxm::Distribute { streams, .. } => match streams {
            1..=4 => Ok(()),
            _ => Err(format!("{streams} streams, where 1 to 4 are possible")),
        },
        Sxm::Rotate { n, .. } => match n {
            3 | 4 => Ok(()),
            _ => Err(format!("Rotate of {n}, where 3 and 4 are possible")),
        },
        Sxm::Transpose { .. } if chip.lanes_per_superlane > usize::from(u8::MAX) => {
            Err("Transpose of more streams than there can be".to_owned())
        }
        Sxm::Transpose { .. } => Ok(()),
    }
}

fn check_segment(chip: &Chip, segment: &Segment) -> Result<(), String> {
    check_words(chip, &[(segment.hemisphere, segment.slice)], segment.address, segment.words.into())?;
    match &segment.data {
        SegmentData::Bytes(bytes) if bytes.len() as u64 != u64::from(segment.words) * chip.lanes as u64 => {
            Err(format!("{} bytes for {} words of {}", bytes.len(), segment.words, chip.lanes))
        }
        SegmentData::Bytes(_) | SegmentData::Fill(_) | SegmentData::Absent | SegmentData::Digest(_) => Ok(()),
    }
}

/// Do these slices exist, and have they these words?
fn check_words(chip: &Chip, slices: &[(Hemisphere, u16)], address: u32, words: u64) -> Result<(), String> {
    if let Some((hemisphere, slice)) =
        slices.iter().find(|(_, slice)| *slice >= chip.mem.slices_per_hemisphere)
    {
        return Err(format!("the chip has no {}", Slice::Mem(*hemisphere, *slice)));
    }
    if u64::from(address).saturating_add(words) > u64::from(chip.words_per_slice()) {
        return Err(format!("words {address} and {words} more, in slices of {}", chip.words_per_slice()));
    }
    Ok(())
}

fn check_port(chip: &Chip, port: &Port) -> Result<(), String> {
    let product =
        |extents: &[u32]| extents.iter().fold(1u128, |all, extent| all.saturating_mul((*extent).into()));
    let mut elements = 0u128;
    for part in &port.parts {
        elements = elements.saturating_add(product(&[part.batches, part.rows, part.columns]));
        if part.tile_rows == 0 || part.rows_per_stripe == 0 {
            return Err("a placement with no rows in a tile or a stripe".to_owned());
        }
        if part.broadcast && part.columns != 1 {
            return Err(format!("{} columns cannot be broadcast", part.columns));
        }
        if part.stripes.len() != part.tile_rows.div_ceil(part.rows_per_stripe) as usize
            || part.stripes.iter().any(|stripe| stripe.len() != port.element.bytes())
        {
            return Err("its stripes do not fit its tiles and its elements".to_owned());
        }
        let tiles = part.rows.div_ceil(part.tile_rows);
        let words = product(&[part.batches, tiles, part.chunks(chip.lanes), part.rows_per_stripe]);
        let words = u64::try_from(words).unwrap_or(u64::MAX);
        for stripe in &part.stripes {
            check_words(chip, stripe, part.address, words)?;
        }
    }
    if elements != product(&port.shape) {
        return Err(format!(
            "its shape {:?} has {} elements, its parts have {elements}",
            port.shape,
            product(&port.shape)
        ));
    }
    Ok(())
}
