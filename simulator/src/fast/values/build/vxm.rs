//! The VXM: each operation is a call of compiled code; its result is kept as 32-bit words only if another ALU takes it.

use isa::Chip;
use isa::Queue;
use isa::instruction::{Operand, Vxm, VxmOp};

use super::{Builder, Workshop, adjacent};
use crate::fast::native::{Chain, Node, Source};
use crate::fast::values::tape::{Op, Tape};
use crate::fast::values::unroll::Element;

/// What each ALU did in its last cycles.
pub(super) struct Alus {
    /// Per ALU and cycle (modulo the depth): the operation on the tape.
    recent: Vec<Vec<Option<Done>>>,
}

/// An operation on the tape that may yet have to keep its result.
#[derive(Clone, Debug)]
struct Done {
    cycle: u64,
    /// Index of the operation.
    op: usize,
    node: Node,
}

impl Alus {
    pub(super) fn new(chip: &Chip) -> Alus {
        let depth = usize::from(chip.vxm.forward_depth) + 1;
        Alus { recent: vec![vec![None; depth]; chip.vxm.alus.into()] }
    }

    fn entry(&mut self, alu: u8, cycle: u64) -> &mut Option<Done> {
        let ring = &mut self.recent[usize::from(alu)];
        let depth = ring.len() as u64;
        &mut ring[(cycle % depth) as usize]
    }

    /// The tape will be left: whatever may still be taken is kept.
    pub(super) fn keep_all(&mut self, shop: &mut Workshop<'_>, tape: &mut Tape) {
        for done in self.recent.iter_mut().flatten() {
            if let Some(done) = done.take() {
                keep(done, shop, tape);
            }
        }
    }
}

/// The operation's code becomes the one that keeps the result.
fn keep(done: Done, shop: &mut Workshop<'_>, tape: &mut Tape) {
    let kernel = shop.kernels.chain(Chain { nodes: vec![Node { keep: true, ..done.node }] });
    let Op::Chain { operands, .. } = tape.ops[done.op] else { return };
    tape.ops[done.op] = Op::Chain { kernel, operands };
}

impl Builder {
    pub(super) fn vxm(
        &mut self,
        shop: &mut Workshop<'_>,
        tape: &mut Tape,
        by: &Element,
        vxm: Vxm,
    ) -> Option<()> {
        let Queue::Vxm(alu) = by.queue else { return Some(()) };
        let operands = tape.numbers.len() as u32;
        let a = self.operand(shop, tape, by, vxm.a)?;
        let b = match vxm.b {
            Some(operand) => Some(self.operand(shop, tape, by, operand)?),
            None => None,
        };
        if let Some((stream, format)) = vxm.result {
            for stream in adjacent(stream, format.streams()) {
                let word = self.put(shop.chip, by, stream, shop.chip.latency.vxm.into())?;
                tape.numbers.push(word);
            }
        }
        tape.numbers.push(shop.memory.places.alu(alu, by.cycle));
        let node = Node { op: vxm.op, a, b, result: vxm.result.map(|(_, format)| format), keep: false };
        let op = match node.result {
            Some(_) => {
                Op::Chain { kernel: shop.kernels.chain(Chain { nodes: vec![node.clone()] }), operands }
            }
            // Until somebody takes it, nobody needs it.
            None => Op::Chain { kernel: u32::MAX, operands },
        };
        *self.alus.entry(alu, by.cycle) = Some(Done { cycle: by.cycle, op: tape.ops.len(), node });
        tape.ops.push(op);
        Some(())
    }

    fn operand(
        &mut self,
        shop: &mut Workshop<'_>,
        tape: &mut Tape,
        by: &Element,
        operand: Operand,
    ) -> Option<Source> {
        match operand {
            Operand::Immediate(bits) => {
                tape.numbers.push(bits);
                Some(Source::Immediate)
            }
            Operand::Stream(stream, format) => {
                let words = self.take_group(shop, by, stream, format)?;
                tape.numbers.extend(&words[..usize::from(format.streams())]);
                Some(Source::Planes(format))
            }
            Operand::Alu { alu, delay } => {
                let cycle = by.cycle.checked_sub(delay.into())?;
                tape.numbers.push(shop.memory.places.alu(alu, cycle));
                let entry = self.alus.entry(alu, cycle);
                if let Some(done) = entry.take_if(|done| done.cycle == cycle) {
                    keep(done, shop, tape);
                }
                Some(Source::Wide)
            }
        }
    }
}

/// The operation that adds what ACC adds.
pub(super) fn plus(format: isa::Format) -> VxmOp {
    match format {
        isa::Format::I8 | isa::Format::I32 => VxmOp::IntAdd,
        _ => VxmOp::Add,
    }
}
