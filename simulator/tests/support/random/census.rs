//! What a program uses, in words, so that a test can see that the random ones use everything.

use isa::instruction::{AccMode, Operand};
use isa::{Format, Instruction, Mem, Mxm, Queue, Run, Sxm};

use super::Case;
use super::board::Board;

/// Every feature that random legal programs must show, over all of them.
pub const ALL: [&str; 38] = [
    "read",
    "write",
    "gather",
    "scatter",
    "lw i8",
    "lw f8",
    "lw f16",
    "lw i4",
    "lw f4",
    "lw f8wide",
    "iw",
    "abc i8",
    "abc f8",
    "abc f16",
    "plane 1",
    "plane 2",
    "start",
    "add",
    "emit",
    "shift",
    "select",
    "permute",
    "distribute",
    "rotate",
    "transpose",
    "forward",
    "immediate",
    "f8 result",
    "operand twice",
    "rows far apart",
    "one level",
    "two levels",
    "three levels",
    "step down",
    "tiles",
    "east and west",
    "replaced",
    "replaced by gather",
];

/// The features of a legal program.
pub fn features(case: &Case) -> Vec<&'static str> {
    let (mut found, program) = (Vec::new(), &case.program);
    let mut board = Board::new(&case.chip);
    board.program.maps.clone_from(&program.chips[0].maps);
    for (queue, runs) in &program.chips[0].queues {
        runs.iter().for_each(|run| board.put(*queue, run));
    }
    let (plain, gathers) = board.replaced();
    found.extend((plain > 0).then_some("replaced"));
    found.extend((gathers > 0).then_some("replaced by gather"));
    for (queue, runs) in program.chips.iter().flat_map(|chip| &chip.queues) {
        runs.iter().for_each(|run| of_run(*queue, run, &mut found));
    }
    let sides = |half| move |queue: &Queue| matches!(queue, Queue::Mxm(side, ..) if *side == half);
    let queues = || program.chips.iter().flat_map(|chip| chip.queues.keys());
    if queues().any(sides(isa::Hemisphere::East)) && queues().any(sides(isa::Hemisphere::West)) {
        found.push("east and west");
    }
    found
}

fn of_run(queue: Queue, run: &Run, found: &mut Vec<&'static str>) {
    found.extend(["once", "one level", "two levels", "three levels", "four levels"].get(run.repeats.len()));
    if run.repeats.iter().any(|repeat| repeat.step < 0) {
        found.push("step down");
    }
    match queue {
        Queue::Mxm(_, 1, _) => found.push("plane 1"),
        Queue::Mxm(_, 2, _) => found.push("plane 2"),
        _ => {}
    }
    match run.instruction {
        Instruction::Mem(mem) => found.push(match mem {
            Mem::Read { .. } => "read",
            Mem::Write { .. } => "write",
            Mem::Gather { .. } => "gather",
            Mem::Scatter { .. } => "scatter",
        }),
        Instruction::Vxm(vxm) => {
            found.push(vxm.op.name());
            if vxm.b == Some(vxm.a) {
                found.push("operand twice");
            }
            if matches!(vxm.result, Some((_, Format::F8))) {
                found.push("f8 result");
            }
            found.extend([Some(vxm.a), vxm.b].into_iter().flatten().map(|operand| match operand {
                Operand::Alu { .. } => "forward",
                Operand::Immediate(_) => "immediate",
                Operand::Stream(..) => "stream",
            }));
        }
        Instruction::Mxm(mxm) => of_plane(mxm, run, found),
        Instruction::Sxm(sxm) => found.push(match sxm {
            Sxm::Shift { .. } => "shift",
            Sxm::Select { .. } => "select",
            Sxm::Permute { .. } => "permute",
            Sxm::Distribute { .. } => "distribute",
            Sxm::Rotate { .. } => "rotate",
            Sxm::Transpose { .. } => "transpose",
        }),
        Instruction::Icu(_) | Instruction::C2c(_) => {}
    }
}

fn of_plane(mxm: Mxm, run: &Run, found: &mut Vec<&'static str>) {
    let named = |format, [i8, f8, f16]: [&'static str; 3]| match format {
        Format::F8 => f8,
        Format::F16 => f16,
        _ => i8,
    };
    match mxm {
        Mxm::Lw { format, row_stride, .. } => {
            found.push(match format {
                Format::I4 => "lw i4",
                Format::F4 => "lw f4",
                Format::F8Wide => "lw f8wide",
                other => named(other, ["lw i8", "lw f8", "lw f16"]),
            });
            if row_stride > 1 {
                found.push("rows far apart");
            }
        }
        Mxm::Iw => {
            found.push("iw");
            if run.instructions() > 1 {
                found.push("tiles");
            }
        }
        Mxm::Abc { format, .. } => found.push(named(format, ["abc i8", "abc f8", "abc f16"])),
        Mxm::Acc { mode, emit, .. } => {
            found.push(if mode == AccMode::Add { "add" } else { "start" });
            found.extend(emit.map(|_| "emit"));
        }
    }
}
