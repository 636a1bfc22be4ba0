//! How busy each kind of slice is, read off a program.

use isa::place::MxmPort;
use isa::{Chip, Format, Instruction, Mxm, Program, Queue};

/// Port-cycles in use over port-cycles there are, by kind of slice, in the order of the JSON schema.
///
/// Ports: each VXM ALU; an MXM plane's loading and its multiplying (F16 takes both planes of the pair, an F16
/// activation vector for two cycles); each SXM queue; each MEM slice's read and write; each link.
pub(crate) fn fractions(chip: &Chip, program: &Program, cycles: u64) -> Vec<(&'static str, f64)> {
    let mut used = [0u64; 5];
    for (queue, runs) in program.chips.iter().flat_map(|chip| &chip.queues) {
        for run in runs {
            let (kind, port_cycles) = port_cycles(*queue, &run.instruction);
            used[kind] += run.instructions() * port_cycles;
        }
    }
    let ports = [
        2 * 2 * u64::from(chip.mxm.planes_per_hemisphere),
        u64::from(chip.vxm.alus),
        2 * u64::from(chip.sxm.queues_per_hemisphere),
        2 * 2 * u64::from(chip.mem.slices_per_hemisphere),
        2 * u64::from(chip.c2c.links_per_hemisphere),
    ];
    let kinds = ["mxm", "vxm", "sxm", "mem", "c2c"];
    let fraction =
        |kind: usize| used[kind] as f64 / (ports[kind] * cycles * program.chips.len() as u64).max(1) as f64;
    kinds.iter().enumerate().map(|(kind, name)| (*name, fraction(kind))).collect()
}

/// Index of the kind of slice, and port-cycles that one dispatch takes.
fn port_cycles(queue: Queue, instruction: &Instruction) -> (usize, u64) {
    let planes = |format: Format| if format == Format::F16 { 2 } else { 1 };
    match (queue, instruction) {
        (Queue::Mxm(_, _, MxmPort::Load), Instruction::Mxm(Mxm::Lw { format, .. })) => (0, planes(*format)),
        (Queue::Mxm(_, _, MxmPort::Stream), Instruction::Mxm(Mxm::Abc { format, .. })) => {
            (0, planes(*format) * planes(*format))
        }
        (Queue::Mxm(..), _) => (0, 0),
        (Queue::Vxm(_), _) => (1, 1),
        (Queue::Sxm(..), _) => (2, 1),
        (Queue::MemRead(..) | Queue::MemWrite(..), _) => (3, 1),
        (Queue::C2c(..), _) => (4, 1),
    }
}
