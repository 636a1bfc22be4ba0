//! The VXM: ALUs that each do one operation on all lanes, take each other's recent results, and put results on streams.

use std::collections::VecDeque;

use isa::instruction::{Operand, Vxm, VxmOp};
use isa::stream::Format;
use isa::{Chip, Queue, Slice, numeric};

use crate::fault::{Dispatch, Raised};
use crate::stream::{Output, Pipeline, Registers};

/// All ALUs.
pub(crate) struct VxmSlice {
    position: i32,
    lanes: usize,
    cycles: u64,
    depth: u64,
    /// Per ALU, its results of the last `depth` cycles: cycle of dispatch, and one word per lane.
    results: Vec<VecDeque<(u64, Vec<u32>)>>,
    /// Results on their way to the streams, or to nowhere but other ALUs.
    finishing: Pipeline<Option<Output>>,
}

impl VxmSlice {
    /// The slice in the middle.
    pub(crate) fn new(chip: &Chip) -> VxmSlice {
        VxmSlice {
            position: Slice::Vxm.position(chip),
            lanes: chip.lanes,
            cycles: chip.latency.vxm.into(),
            depth: chip.vxm.forward_depth.into(),
            results: vec![VecDeque::new(); chip.vxm.alus.into()],
            finishing: Pipeline::new(),
        }
    }

    /// Nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.finishing.is_empty()
    }

    /// Results that arrive at the streams in `cycle`. Says whether any result was complete.
    pub(crate) fn put(&mut self, cycle: u64, registers: &mut Registers, faults: &mut Vec<Raised>) -> bool {
        let mut any = false;
        while let Some(output) = self.finishing.arrive(cycle) {
            faults.extend(output.and_then(|output| registers.put(cycle, self.position, &output).err()));
            any = true;
        }
        any
    }

    /// Does what an instruction does at its dispatch.
    pub(crate) fn dispatch(&mut self, by: &Dispatch, vxm: Vxm, registers: &Registers) -> Result<(), Raised> {
        let Queue::Vxm(alu) = by.queue else { return Ok(()) };
        if let Some((stream, format)) = vxm.result {
            let count = usize::from(format.streams());
            registers.check(by, stream, count, count)?;
        }
        let mut words = self.operand(by, vxm.a, registers)?;
        let second = vxm.b.map(|operand| self.operand(by, operand, registers)).transpose()?;
        apply(vxm.op, &mut words, second.as_deref());
        let output = vxm.result.map(|(stream, format)| Output {
            by: *by,
            stream,
            bytes: narrow(format, &words),
            merge: false,
        });
        self.finishing.send(by.cycle + self.cycles, output);
        let results = &mut self.results[usize::from(alu)];
        results.push_back((by.cycle, words));
        while results.front().is_some_and(|(cycle, _)| cycle + self.depth < by.cycle) {
            results.pop_front();
        }
        Ok(())
    }

    /// An operand, one word per lane.
    fn operand(&self, by: &Dispatch, operand: Operand, registers: &Registers) -> Result<Vec<u32>, Raised> {
        match operand {
            Operand::Immediate(word) => Ok(vec![word; self.lanes]),
            Operand::Stream(stream, format) => {
                Ok(widen(format, registers.take_group(by, stream, format, self.position)?, self.lanes))
            }
            Operand::Alu { alu, delay } => {
                let delay = u64::from(delay);
                if delay < self.cycles || delay > self.depth {
                    return Err(by.forward_delay(delay, self.cycles, self.depth));
                }
                let Some(results) = self.results.get(usize::from(alu)) else {
                    return Err(by.no_alu(alu, self.results.len()));
                };
                let result = results.iter().rev().find(|(cycle, _)| cycle + delay == by.cycle);
                result.map(|(_, words)| words.clone()).ok_or_else(|| by.forward_of_nothing(alu, delay))
            }
        }
    }
}

/// a = op(a, b) in every lane.
fn apply(op: VxmOp, a: &mut [u32], b: Option<&[u32]>) {
    match b {
        Some(b) => a.iter_mut().zip(b).for_each(|(a, b)| *a = numeric::alu(op, *a, *b)),
        None => a.iter_mut().for_each(|a| *a = numeric::alu(op, *a, 0)),
    }
}

/// A group of vectors, least significant bytes first, as one word per lane.
fn widen(format: Format, bytes: &[u8], lanes: usize) -> Vec<u32> {
    let mut words = vec![0; lanes];
    for (index, vector) in bytes.chunks(lanes).enumerate() {
        words.iter_mut().zip(vector).for_each(|(word, byte)| *word |= u32::from(*byte) << (8 * index));
    }
    words.iter_mut().for_each(|word| *word = numeric::widen(format, *word));
    words
}

/// The reverse: a group of vectors.
fn narrow(format: Format, words: &[u32]) -> Vec<u8> {
    let narrowed: Vec<u32> = words.iter().map(|word| numeric::narrow(format, *word)).collect();
    let byte = |index: u8| narrowed.iter().map(move |word| (word >> (8 * index)) as u8);
    (0..format.streams()).flat_map(byte).collect()
}
