//! From a schedule to a program: streams, ALUs and addresses filled in, runs sorted into queues, the memory image, the ports.

mod fetch;
mod image;
mod order;
mod ports;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use isa::instruction::{Operand, Window};
use isa::place::Queue;
use isa::stream::Stream;
use isa::{C2c, Chip, ChipProgram, Instruction, Mem, Mxm, Program, Run, Sxm, Vxm};

use crate::diagnostic::{Diagnostic, Kind};
use crate::graph::Graph;
use crate::lower::flow::{Act, AluOperand, Flow, FlowQueue, FlowRun, Kernels, StreamRef, WordRef};
use crate::schedule::Schedule;
use crate::schedule::reservation::Fit;

/// Puts a program together for the chips of a group, or for one: a chip program for each set of roles, and which of them each rank runs. `graph` is
/// the one that the kernels refer to.
pub fn assemble(
    graph: &Graph,
    kernels: &Kernels,
    schedule: &Schedule,
    (chip, ranks): (&Chip, usize),
) -> Result<(Program, Vec<usize>), Diagnostic> {
    let mut names = Names::default();
    let roles: BTreeSet<&Vec<usize>> = kernels.flows.iter().flat_map(|flow| &flow.roles).collect();
    let mut known: Vec<Vec<bool>> = Vec::new();
    let (mut chips, mut of_rank) = (Vec::new(), Vec::new());
    for rank in 0..ranks {
        let own: Vec<bool> = roles.iter().map(|role| role.contains(&rank)).collect();
        let number = known.iter().position(|other| *other == own).unwrap_or(known.len());
        if number == known.len() {
            known.push(own);
            chips.push(chip_program((graph, &mut names), kernels, schedule, (chip, rank))?);
        }
        of_rank.push(number);
    }
    Ok((Program { chip: chip.name.clone(), nodes: names.names, chips }, of_rank))
}

/// What the chip of a rank runs.
fn chip_program(
    (graph, names): (&Graph, &mut Names),
    kernels: &Kernels,
    schedule: &Schedule,
    (chip, rank): (&Chip, usize),
) -> Result<ChipProgram, Diagnostic> {
    let mut queues: BTreeMap<Queue, Vec<Run>> = BTreeMap::new();
    for (flow, fit) in kernels.flows.iter().zip(&schedule.fits) {
        let node = names.index(&graph.nodes[flow.node].origin);
        let assembler = Assembler { kernels, schedule, flow, fit };
        let own = |run: &&FlowRun| run.role.is_none_or(|role| flow.roles[role].contains(&rank));
        for run in flow.runs.iter().filter(own) {
            let (queue, run) = assembler.run(run, node)?;
            queues.entry(queue).or_default().push(run);
        }
    }
    for runs in queues.values_mut() {
        *runs = order::ordered(std::mem::take(runs));
        deskew(runs);
    }
    let memory = image::image(graph, kernels, schedule, chip, names)?;
    let ports = ports::ports(graph, kernels, schedule, chip.lanes)?;
    let words = words::FreeWords::of(kernels, schedule, chip);
    let text = fetch::fetch(&mut queues, words, schedule.reservations.clone(), chip)?;
    Ok(ChipProgram { queues, maps: kernels.maps.clone(), memory, ports, text })
}

/// A link that receives is aligned first. What passes a link comes from memory, which takes longer than that.
fn deskew(runs: &mut Vec<Run>) {
    let receives = |run: &Run| matches!(run.instruction, Instruction::C2c(C2c::Receive { .. }));
    if runs.iter().any(receives) {
        let instruction = Instruction::C2c(C2c::Deskew);
        runs.insert(0, Run { cycle: 0, instruction, repeats: Vec::new(), node: 0 });
    }
}

/// Node names, each once.
#[derive(Debug)]
pub(crate) struct Names {
    names: Vec<String>,
    index: BTreeMap<String, u32>,
}

impl Default for Names {
    fn default() -> Names {
        Names { names: vec![String::new()], index: BTreeMap::from([(String::new(), 0)]) }
    }
}

impl Names {
    /// Index of a name.
    pub(crate) fn index(&mut self, name: &str) -> u32 {
        if let Some(&index) = self.index.get(name) {
            return index;
        }
        let index = self.names.len() as u32;
        self.names.push(name.to_owned());
        self.index.insert(name.to_owned(), index);
        index
    }
}

/// Fills in one flow.
struct Assembler<'a> {
    kernels: &'a Kernels,
    schedule: &'a Schedule,
    flow: &'a Flow,
    fit: &'a Fit,
}

impl Assembler<'_> {
    fn run(&self, run: &FlowRun, node: u32) -> Result<(Queue, Run), Diagnostic> {
        let queue = match run.queue {
            FlowQueue::Fixed(queue) => queue,
            FlowQueue::Alu(n) => Queue::Vxm(self.fit.alus[n]),
            FlowQueue::Sxm(n) => Queue::Sxm(self.flow.sxm[n].0, self.fit.sxm[n]),
        };
        let cycle = u64::try_from(self.fit.start + run.cycle).map_err(|_| {
            let message = format!("a {} of {} would start before cycle 0", self.flow.name, self.flow.node);
            Diagnostic::new(Kind::Bug, "emit", message)
        })?;
        let instruction = self.instruction(&run.act)?;
        Ok((queue, Run { cycle, instruction, repeats: run.repeats.clone(), node }))
    }

    fn stream(&self, at: StreamRef) -> Stream {
        let number = self.fit.streams[at.0] + at.1;
        Stream { number: number as u8, direction: self.flow.streams[at.0].direction }
    }

    fn address(&self, word: WordRef) -> Result<u32, Diagnostic> {
        let storages = &self.kernels.storages;
        let base = self.schedule.bases.in_slice(storages, word.storage, word.hemisphere, word.slice);
        let missing = || Diagnostic::new(Kind::Bug, "emit", format!("{} has no address", word.storage));
        Ok(base.ok_or_else(missing)? + word.word)
    }

    fn operand(&self, operand: AluOperand) -> Operand {
        match operand {
            AluOperand::Stream(at, format) => Operand::Stream(self.stream(at), format),
            AluOperand::Alu(n, delay) => Operand::Alu { alu: self.fit.alus[n], delay },
            AluOperand::Immediate(bits) => Operand::Immediate(bits),
        }
    }

    fn instruction(&self, act: &Act) -> Result<Instruction, Diagnostic> {
        Ok(match *act {
            Act::Read(word, to) => {
                Instruction::Mem(Mem::Read { address: self.address(word)?, stream: self.stream(to) })
            }
            Act::Write(word, from) => {
                Instruction::Mem(Mem::Write { address: self.address(word)?, stream: self.stream(from) })
            }
            Act::Gather(word, first, count, index, to) => Instruction::Mem(Mem::Gather {
                window: Window { first, count, base: self.address(word)?, stride: 1 },
                index: self.stream(index),
                stream: self.stream(to),
            }),
            Act::Scatter(word, first, count, index, from) => Instruction::Mem(Mem::Scatter {
                window: Window { first, count, base: self.address(word)?, stride: 1 },
                index: self.stream(index),
                stream: self.stream(from),
            }),
            Act::Alu { op, a, b, result } => Instruction::Vxm(Vxm {
                op,
                a: self.operand(a),
                b: b.map(|b| self.operand(b)),
                result: result.map(|(to, format)| (self.stream(to), format)),
            }),
            Act::Permute(map, from, to) => Instruction::Sxm(Sxm::Permute {
                map,
                streams: 4,
                from: self.stream(from),
                to: self.stream(to),
            }),
            Act::Transpose(from, to) => {
                Instruction::Sxm(Sxm::Transpose { from: self.stream(from), to: self.stream(to) })
            }
            Act::Lw(stream, count, row, row_stride, format) => {
                Instruction::Mxm(Mxm::Lw { stream: self.stream(stream), count, row, row_stride, format })
            }
            Act::Iw => Instruction::Mxm(Mxm::Iw),
            Act::Abc(stream, format) => Instruction::Mxm(Mxm::Abc { stream: self.stream(stream), format }),
            Act::Send(from) => Instruction::C2c(C2c::Send { stream: self.stream(from) }),
            Act::Receive(to) => Instruction::C2c(C2c::Receive { stream: self.stream(to) }),
            Act::Acc(address, mode, emit) => {
                Instruction::Mxm(Mxm::Acc { address, mode, emit: emit.map(|to| self.stream(to)) })
            }
        })
    }
}
