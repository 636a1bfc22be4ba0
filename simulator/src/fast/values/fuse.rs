//! Joins operations of ALUs that feed each other into chains, whose values stay in the host's registers.
//!
//! A producer moves to the place of its only reader. That is sound if nothing on the tape between the two overwrites what the producer
//! reads, and if nobody else wants its result.

use std::ops::Range;

use super::build::words_of;
use super::kernels::Kernels;
use super::memory::{Places, Word};
use super::tape::{Op, Tape};
use crate::fast::native::{Chain, Operand, Source};

/// Nodes of the longest chain: more would not stay in registers.
const MOST_NODES: usize = 12;

/// No operation.
const NONE: u32 = u32::MAX;

/// Joins what can be joined on a whole tape.
pub(crate) fn fuse(tape: &mut Tape, kernels: &mut Kernels, places: &Places) {
    let readers = count_readers(tape, kernels, places);
    let mut fusing = Fusing {
        written: vec![NONE; places.end as usize],
        producers: vec![NONE; places.alu_words().len()],
        places,
        readers,
    };
    for at in 0..tape.ops.len() {
        if let Op::Chain { kernel, operands } = tape.ops[at]
            && let Some(chain) = kernels.shape(kernel).cloned()
        {
            fusing.chain(tape, kernels, at, chain, operands);
        }
        fusing.note_writes(tape, kernels, at);
    }
    tape.ops.retain(|op| !matches!(op, Op::Chain { kernel: NONE, .. }));
}

/// How often the result of each chain on the tape is read by another.
fn count_readers(tape: &Tape, kernels: &Kernels, places: &Places) -> Vec<u32> {
    let mut readers = vec![0; tape.ops.len()];
    let mut producers = vec![NONE; places.alu_words().len()];
    for (at, op) in tape.ops.iter().enumerate() {
        let Op::Chain { kernel, operands } = *op else { continue };
        let Some(chain) = kernels.shape(kernel) else { continue };
        let mut kept = None;
        for (operand, number) in operands_of(chain, operands) {
            let word = tape.numbers[number];
            match operand {
                Operand::Wide => {
                    if let Some(producer) = places.alu_index(word).map(|index| producers[index])
                        && producer != NONE
                    {
                        readers[producer as usize] += 1;
                    }
                }
                Operand::Keep => kept = places.alu_index(word),
                Operand::Plane | Operand::Immediate | Operand::Result => {}
            }
        }
        if let Some(index) = kept {
            producers[index] = at as u32;
        }
    }
    // What is kept at the end may be read on the next tape.
    for producer in producers.into_iter().filter(|producer| *producer != NONE) {
        readers[producer as usize] += 1;
    }
    readers
}

/// The operands of a call, each with its place among the tape's numbers.
fn operands_of(chain: &Chain, first: u32) -> impl Iterator<Item = (Operand, usize)> {
    chain.operands().zip(first as usize..)
}

struct Fusing<'p> {
    /// Per word, the last operation that wrote it.
    written: Vec<u32>,
    /// Per word of the ALUs' results, the chain that made it.
    producers: Vec<u32>,
    places: &'p Places,
    readers: Vec<u32>,
}

impl Fusing<'_> {
    /// Takes into a chain the chains that only it reads.
    fn chain(&mut self, tape: &mut Tape, kernels: &mut Kernels, at: usize, chain: Chain, operands: u32) {
        let [node] = chain.nodes.as_slice() else { return };
        let mut joined = Chain { nodes: Vec::new() };
        let mut numbers = Vec::new();
        let mut sources = [Some(node.a), node.b];
        let mut place = operands as usize;
        let mut own = Vec::new();
        for source in sources.iter_mut().flatten() {
            let count = source.operands().count();
            let words = place..place + count;
            place += count;
            if *source == Source::Wide
                && let Some(producer) = self.joinable(tape, kernels, tape.numbers[words.start], &joined)
            {
                let taken = self.take(tape, kernels, producer, &mut joined, &mut numbers);
                *source = Source::Node(taken);
            } else {
                own.extend_from_slice(&tape.numbers[words]);
            }
        }
        if joined.nodes.is_empty() {
            return;
        }
        let [a, b] = sources;
        let mut last = node.clone();
        last.b = b;
        if let Some(a) = a {
            last.a = a;
        }
        let rest = node.result.map_or(0, |format| usize::from(format.streams())) + usize::from(node.keep);
        own.extend_from_slice(&tape.numbers[place..place + rest]);
        numbers.extend(own);
        joined.nodes.push(last);
        let first = tape.numbers.len() as u32;
        tape.numbers.extend(numbers);
        tape.ops[at] = Op::Chain { kernel: kernels.chain(joined), operands: first };
    }

    /// The operation that made a wide vector, if it may move here: nobody else reads it, it puts nothing on a stream, and what it reads is
    /// as it was.
    fn joinable(&self, tape: &Tape, kernels: &Kernels, word: Word, joined: &Chain) -> Option<usize> {
        let producer = self.producers[self.places.alu_index(word)?];
        if producer == NONE || self.readers[producer as usize] != 1 {
            return None;
        }
        let Op::Chain { kernel, operands } = tape.ops[producer as usize] else { return None };
        let chain = kernels.shape(kernel)?;
        if joined.nodes.len() + chain.nodes.len() >= MOST_NODES || chain.nodes.last()?.result.is_some() {
            return None;
        }
        let same = operands_of(chain, operands).all(|(operand, number)| {
            let words = match operand {
                Operand::Plane => 1,
                Operand::Wide => super::memory::WIDE,
                Operand::Immediate | Operand::Result | Operand::Keep => 0,
            };
            // Of immediates these are bits.
            let first = tape.numbers[number];
            (0..words).all(|word| {
                let writer = self.written[(first + word) as usize];
                writer == NONE || writer < producer
            })
        });
        same.then_some(producer as usize)
    }

    /// Moves a producer's nodes into a chain; returns the number of its last.
    fn take(
        &mut self,
        tape: &mut Tape,
        kernels: &Kernels,
        producer: usize,
        joined: &mut Chain,
        numbers: &mut Vec<u32>,
    ) -> u8 {
        let Op::Chain { kernel, operands } = tape.ops[producer] else { return 0 };
        let offset = joined.nodes.len() as u8;
        let Some(chain) = kernels.shape(kernel) else { return 0 };
        let read = operands_of(chain, operands).filter(|(operand, _)| *operand != Operand::Keep);
        numbers.extend(read.map(|(_, number)| tape.numbers[number]));
        let moved = |source: Source| match source {
            Source::Node(node) => Source::Node(node + offset),
            other => other,
        };
        for node in &chain.nodes {
            let mut node = node.clone();
            (node.a, node.b, node.keep) = (moved(node.a), node.b.map(moved), false);
            joined.nodes.push(node);
        }
        tape.ops[producer] = Op::Chain { kernel: NONE, operands: 0 };
        joined.nodes.len() as u8 - 1
    }

    /// Notes what an operation overwrites.
    fn note_writes(&mut self, tape: &Tape, kernels: &Kernels, at: usize) {
        let mut wrote = |words: Range<Word>| {
            self.written[words.start as usize..words.end as usize].fill(at as u32);
        };
        match tape.ops[at] {
            Op::Copy { to, .. } | Op::Write { to, .. } | Op::Or { to, .. } => wrote(to..to + 1),
            Op::Gather { indexed } => {
                let to = tape.indexed[indexed as usize].value;
                wrote(to..to + 1);
            }
            Op::Scatter { indexed } => {
                words_of(tape.indexed[indexed as usize]).for_each(|word| wrote(word..word + 1));
            }
            Op::Lanes { kernel, operands } => {
                let to = tape.numbers[operands as usize + kernels.sources(kernel)];
                wrote(to..to + 1);
            }
            Op::Multiply { numbers } => {
                let numbers = &tape.numbers[numbers as usize..];
                for vector in numbers[2..2 + 3 * numbers[1] as usize].chunks_exact(3) {
                    wrote(vector[2]..vector[2] + super::memory::WIDE);
                }
            }
            Op::Pack { .. } => {}
            Op::Chain { kernel, operands } => {
                let Some(chain) = kernels.shape(kernel) else { return };
                let producers = &mut self.producers;
                for (operand, number) in operands_of(chain, operands) {
                    let word = tape.numbers[number];
                    match operand {
                        Operand::Result => wrote(word..word + 1),
                        Operand::Keep => {
                            wrote(word..word + super::memory::WIDE);
                            if let Some(index) = self.places.alu_index(word) {
                                producers[index] = at as u32;
                            }
                        }
                        Operand::Plane | Operand::Wide | Operand::Immediate => {}
                    }
                }
            }
        }
    }
}
