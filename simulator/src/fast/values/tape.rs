//! A stretch of a program as a list of operations on words, in the order in which they are to be done.

use super::bits::Bits;
use super::memory::Word;

/// One operation. Numbers are indices: of words in the arena, of kernels, or of the first of its numbers in [`Tape::numbers`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    /// Calls a compiled chain.
    Chain { kernel: u32, operands: u32 },
    /// Calls a compiled move between lanes.
    Lanes { kernel: u32, operands: u32 },
    /// Copies a word.
    Copy { from: Word, to: Word },
    /// Write: copies a word to SRAM.
    Write { from: Word, to: Word },
    /// ORs a word into another.
    Or { from: Word, to: Word },
    /// Gather: an [`Indexed`].
    Gather { indexed: u32 },
    /// Scatter: an [`Indexed`].
    Scatter { indexed: u32 },
    /// Packs weight rows into a tile: for each row its two words.
    Pack { tile: u32, rows: u32 },
    /// Multiplies vectors by a tile: the tile, the number of vectors, and for each its two words and the word of its product.
    Multiply { numbers: u32 },
}

/// A Gather or Scatter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Indexed {
    /// The index, least significant byte first.
    pub(crate) index: [Word; 4],
    /// First index of the window, and how many there are.
    pub(crate) first: i32,
    pub(crate) count: u32,
    /// The word of the first index.
    pub(crate) base: Word,
    /// Words from one index to the next.
    pub(crate) stride: u32,
    /// Gather: where to. Scatter: where from.
    pub(crate) value: Word,
}

/// A row that was not loaded, in [`Op::Pack`] and in tiles.
pub(crate) const NO_ROW: Word = Word::MAX;

/// In [`Op::Multiply`]: the tile is one that [`Op::Pack`] fills, and not one of constants.
pub(crate) const PACKED: u32 = 1 << 31;

/// Whose write it is: of the operations that write SRAM, in order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writer {
    pub(crate) cycle: u64,
    pub(crate) queue: isa::Queue,
    pub(crate) node: u32,
}

/// Operations and what they refer to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tape {
    pub(crate) ops: Vec<Op>,
    pub(crate) numbers: Vec<u32>,
    pub(crate) indexed: Vec<Indexed>,
    /// One for each Write and Scatter; only for those who watch.
    pub(crate) writers: Vec<Writer>,
    /// Words that are written whole.
    pub(crate) written: Bits,
    /// Words that are read, whose values nobody had brought when the tape was made.
    pub(crate) unknown: Bits,
}

impl Tape {
    /// An empty tape over `words` words of SRAM.
    pub(crate) fn new(words: usize) -> Tape {
        Tape { written: Bits::new(words), unknown: Bits::new(words), ..Tape::default() }
    }

    /// Makes room for the next stretch.
    pub(crate) fn clear(&mut self) {
        self.ops.clear();
        self.numbers.clear();
        self.indexed.clear();
        self.writers.clear();
        self.written.clear();
        self.unknown.clear();
    }
}
