//! Chains of ALU operations: what they are, and how their code is called.

use isa::instruction::VxmOp;
use isa::stream::Format;

use super::library::Code;

mod build;
mod operations;
mod planes;
#[cfg(test)]
mod tests;

pub(super) use build::build;

/// Where a node's operand comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// The planes of a stream group, one word each (least significant first), widened as `numeric::widen` does.
    Planes(Format),
    /// A wide vector.
    Wide,
    /// The same 32 bits in every lane; the bits are an operand at call time.
    Immediate,
    /// The result of an earlier node of the chain.
    Node(u8),
}

/// One operation of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    /// What it does.
    pub(crate) op: VxmOp,
    /// The first operand.
    pub(crate) a: Source,
    /// The second, where the operation has one.
    pub(crate) b: Option<Source>,
    /// The result, narrowed as `numeric::narrow` does, is stored in planes.
    pub(crate) result: Option<Format>,
    /// The result is stored as a wide vector.
    pub(crate) keep: bool,
}

/// The shape of a chain: compiled once, called often.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Chain {
    /// In an order in which each uses only nodes before it.
    pub(crate) nodes: Vec<Node>,
}

/// What one of the numbers of a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operand {
    /// The word of a plane that is read.
    Plane,
    /// The first word of a wide vector that is read.
    Wide,
    /// Bits.
    Immediate,
    /// The word of a plane that is written.
    Result,
    /// The first word of a wide vector that is written.
    Keep,
}

impl Source {
    /// The operands that it takes at a call.
    pub(crate) fn operands(self) -> impl Iterator<Item = Operand> {
        let (operand, count) = match self {
            Source::Planes(format) => (Operand::Plane, format.streams().into()),
            Source::Wide => (Operand::Wide, 1),
            Source::Immediate => (Operand::Immediate, 1),
            Source::Node(_) => (Operand::Immediate, 0),
        };
        std::iter::repeat_n(operand, count)
    }
}

impl Chain {
    /// What a call lists, node by node: for `a`, then for `b`: of planes, the word of each; of a wide vector, the first of its words; of an
    /// immediate, its bits; of a node, nothing. Then for `result` the word of each plane, and for `keep` the first word.
    pub(crate) fn operands(&self) -> impl Iterator<Item = Operand> {
        self.nodes.iter().flat_map(|node| {
            let sources = [Some(node.a), node.b].into_iter().flatten().flat_map(Source::operands);
            let results = node.result.map_or(0, |format| format.streams().into());
            sources
                .chain(std::iter::repeat_n(Operand::Result, results))
                .chain(std::iter::repeat_n(Operand::Keep, node.keep.into()))
        })
    }
}

/// The code of a chain. It lives as long as the library that it is from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChainCode(Code);

impl ChainCode {
    pub(super) fn new(code: Code) -> ChainCode {
        ChainCode(code)
    }

    /// Computes one vector.
    ///
    /// # Safety
    ///
    /// The library is alive; `operands` lists what [`Chain::operands`] says; the words that it names lie in the arena, which nobody
    /// else uses meanwhile. A word that is written is not read by the same chain, except a wide vector that a node reads as `a` and
    /// keeps.
    pub(crate) unsafe fn call(self, arena: *mut u8, operands: &[u32]) {
        // SAFETY: the caller's promise is the code's.
        unsafe { (self.0)(arena, operands.as_ptr()) }
    }
}
