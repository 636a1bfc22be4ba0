//! Kernels as text: arrays, then each flow with what it needs and what it does, at cycles relative to its start.

use std::fmt;

use super::flow::{Act, AluOperand, Flow, FlowQueue, FlowRun, Kernels, StreamRef, WordRef};
use super::storage::Storage;

impl fmt::Display for Kernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (id, array) in self.storages.arrays.iter() {
            write_array(f, &format!("{id}"), array)?;
        }
        for (index, flow) in self.flows.iter().enumerate() {
            writeln!(f, "flow {index} {} {}", flow.name, flow.node)?;
            write_needs(f, flow)?;
            for run in &flow.runs {
                writeln!(f, "  {}", RunText(run))?;
            }
        }
        Ok(())
    }
}

fn write_array(f: &mut fmt::Formatter<'_>, id: &str, array: &Storage) -> fmt::Result {
    let Storage { node, element, role, batches, rows, columns, tile_rows, rows_per_stripe, .. } = array;
    writeln!(
        f,
        "array {id} {node} {element:?} [{batches}, {rows}, {columns}] tiles of {tile_rows} rows, {rows_per_stripe} a stripe: {role:?}"
    )
}

fn write_needs(f: &mut fmt::Formatter<'_>, flow: &Flow) -> fmt::Result {
    for (index, needed) in flow.streams.iter().enumerate() {
        write!(f, "  u{index}: {} streams {} ", needed.width, needed.direction)?;
        write!(f, "from {} to {}, slots", needed.from, needed.to)?;
        for (from, to) in &needed.slots {
            write!(f, " {from}..{to}")?;
        }
        writeln!(f)?;
    }
    for (index, (from, to)) in flow.alus.iter().enumerate() {
        writeln!(f, "  alu{index}: {from}..{to}")?;
    }
    for (index, (hemisphere, from, to)) in flow.sxm.iter().enumerate() {
        writeln!(f, "  sxm{index}: {hemisphere} {from}..{to}")?;
    }
    match flow.mxm {
        Some(role) => writeln!(f, "  mxm: {role:?}"),
        None => Ok(()),
    }
}

/// A run of a flow; streams, ALUs and words by their place in the flow.
pub(crate) struct RunText<'a>(pub(crate) &'a FlowRun);

impl fmt::Display for RunText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.queue {
            FlowQueue::Fixed(queue) => write!(f, "{queue} ")?,
            FlowQueue::Alu(index) => write!(f, "alu{index} ")?,
            FlowQueue::Sxm(index) => write!(f, "sxm{index} ")?,
        }
        write!(f, "@{}", self.0.cycle)?;
        for repeat in &self.0.repeats {
            write!(f, " x{} every {} step {}", repeat.count, repeat.interval, repeat.step)?;
        }
        write!(f, ": ")?;
        write_act(f, &self.0.act)
    }
}

fn write_act(f: &mut fmt::Formatter<'_>, act: &Act) -> fmt::Result {
    match act {
        Act::Read(at, to) => write!(f, "Read {} -> {}", Word(at), Group(to)),
        Act::Write(at, from) => write!(f, "Write {} <- {}", Word(at), Group(from)),
        Act::Gather(at, first, count, index, to) => {
            write!(f, "Gather {} of {first}+{count} by {} -> {}", Word(at), Group(index), Group(to))
        }
        Act::Scatter(at, first, count, index, from) => {
            write!(f, "Scatter {} of {first}+{count} by {} <- {}", Word(at), Group(index), Group(from))
        }
        Act::Alu { op, a, b, result } => {
            write!(f, "{op:?} {}", Operand(a))?;
            if let Some(b) = b {
                write!(f, ", {}", Operand(b))?;
            }
            match result {
                Some((to, format)) => write!(f, " -> {} {format}", Group(to)),
                None => Ok(()),
            }
        }
        Act::Permute(map, from, to) => write!(f, "Permute m{map} {} -> {}", Group(from), Group(to)),
        Act::Transpose(from, to) => write!(f, "Transpose {} -> {}", Group(from), Group(to)),
        Act::Lw(from, count, row, stride, format) => {
            write!(f, "LW {} x{count} row {row} stride {stride} {format}", Group(from))
        }
        Act::Iw => write!(f, "IW"),
        Act::Abc(from, format) => write!(f, "ABC {} {format}", Group(from)),
        Act::Send(from) => write!(f, "Send {}", Group(from)),
        Act::Receive(to) => write!(f, "Receive -> {}", Group(to)),
        Act::Acc(address, mode, emit) => {
            write!(f, "ACC {address} {mode:?}")?;
            match emit {
                Some(to) => write!(f, " -> {}", Group(to)),
                None => Ok(()),
            }
        }
    }
}

struct Word<'a>(&'a WordRef);

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WordRef { storage, hemisphere, slice, word } = self.0;
        write!(f, "{storage}.{hemisphere}.mem{slice}+{word}")
    }
}

struct Group<'a>(&'a StreamRef);

impl fmt::Display for Group<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "u{}.{}", self.0.0, self.0.1)
    }
}

struct Operand<'a>(&'a AluOperand);

impl fmt::Display for Operand<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            AluOperand::Stream(group, format) => write!(f, "{} {format}", Group(group)),
            AluOperand::Alu(index, delay) => write!(f, "alu{index}-{delay}"),
            AluOperand::Immediate(bits) => write!(f, "{bits:#010x}"),
        }
    }
}
