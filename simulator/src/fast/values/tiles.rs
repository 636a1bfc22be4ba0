//! Matrix tiles of constant weights, packed when they are first used and kept; and those that are packed in every step.

use indexmap::IndexMap;
use std::rc::Rc;

use isa::numeric;
use isa::stream::Format;

use super::memory::{Memory, Word};
use super::tape::{NO_ROW, is_word, which_half};
use crate::fast::native::Tile;

/// A tile of constant weights.
struct Constant {
    format: Format,
    /// Two words for each row, or what stands for them in [`super::tape::Op::Pack`].
    rows: Rc<[Word]>,
    tile: Option<Tile>,
}

/// All tiles.
pub(crate) struct Tiles {
    /// Bytes that tiles of constant weights may still take; without them they are packed in every run, as others are.
    room: usize,
    numbers: IndexMap<Rc<[Word]>, u32>,
    constants: Vec<Constant>,
    packed: Vec<Option<Tile>>,
}

impl Tiles {
    /// None yet; those of constant weights may take `room` bytes.
    pub(crate) fn new(room: usize) -> Tiles {
        Tiles { room, numbers: IndexMap::new(), constants: Vec::new(), packed: Vec::new() }
    }

    /// Can another tile of constant weights be kept?
    pub(crate) fn has_room(&self) -> bool {
        self.room > 0
    }

    /// The number of a tile of constant weights.
    pub(crate) fn constant(&mut self, format: Format, rows: &[Word]) -> u32 {
        if let Some(number) = self.numbers.get(rows) {
            // The same words in another format are another tile.
            if self.constants[*number as usize].format == format {
                return *number;
            }
        }
        let rows: Rc<[Word]> = rows.into();
        let number = self.constants.len() as u32;
        self.constants.push(Constant { format, rows: rows.clone(), tile: None });
        self.numbers.insert(rows, number);
        number
    }

    /// Packs a tile of constant weights, unless that was done before.
    pub(crate) fn prepare(&mut self, number: u32, memory: &mut Memory) {
        let constant = &mut self.constants[number as usize];
        if constant.tile.is_none() {
            for &word in constant.rows.iter().filter(|word| is_word(**word)) {
                if memory.brought(word).is_none() {
                    memory.touch(word);
                }
            }
            let bytes =
                |word| memory.brought(word).unwrap_or_else(|| &memory.bytes()[memory.places.bytes(word)]);
            let expanded = expanded(&constant.rows, bytes);
            let rows = row_bytes(constant.format, &constant.rows, &expanded, bytes);
            let tile = Tile::pack(constant.format, memory.places.lanes, &rows);
            self.room = self.room.saturating_sub(tile.bytes());
            constant.tile = Some(tile);
        }
    }

    /// A tile that has been prepared.
    pub(crate) fn prepared(&self, number: u32) -> Option<&Tile> {
        self.constants.get(number as usize)?.tile.as_ref()
    }

    /// Packs what the rows' words hold now.
    pub(crate) fn pack(&mut self, number: u32, format: Format, rows: &[Word], memory: &Memory) {
        if self.packed.len() <= number as usize {
            self.packed.resize_with(number as usize + 1, || None);
        }
        let bytes = |word| &memory.bytes()[memory.places.bytes(word)];
        let expanded = expanded(rows, bytes);
        let rows = row_bytes(format, rows, &expanded, bytes);
        match &mut self.packed[number as usize] {
            Some(tile) => tile.repack(format, memory.places.lanes, &rows),
            empty => *empty = Some(Tile::pack(format, memory.places.lanes, &rows)),
        }
    }

    /// The tile that was packed last under this number.
    pub(crate) fn packed(&self, number: u32) -> Option<&Tile> {
        self.packed.get(number as usize)?.as_ref()
    }
}

/// For each row of weights of four bits, its bytes as the plane holds them; nothing at all where there is no such row.
fn expanded<'m>(rows: &[Word], bytes: impl Fn(Word) -> &'m [u8]) -> Vec<Option<Box<[u8]>>> {
    if rows.chunks_exact(2).all(|row| which_half(row[1]).is_none()) {
        return Vec::new();
    }
    let row = |row: &[Word]| {
        let (format, high) = which_half(row[1])?;
        let values: [u8; 16] = std::array::from_fn(|code| numeric::pair(format, code as u8)[0] as u8);
        let shift = if high { 4 } else { 0 };
        Some(bytes(row[0]).iter().map(|byte| values[usize::from(byte >> shift & 0xf)]).collect())
    };
    rows.chunks_exact(2).map(row).collect()
}

/// The planes of each row.
fn row_bytes<'m>(
    format: Format,
    rows: &[Word],
    expanded: &'m [Option<Box<[u8]>>],
    bytes: impl Fn(Word) -> &'m [u8],
) -> Vec<Option<[&'m [u8]; 2]>> {
    let row = |(index, row): (usize, &[Word])| {
        (row[0] != NO_ROW).then(|| {
            let own = expanded.get(index).and_then(Option::as_deref);
            let low = own.unwrap_or_else(|| bytes(row[0]));
            [low, if format == Format::F16 { bytes(row[1]) } else { low }]
        })
    };
    rows.chunks_exact(2).enumerate().map(row).collect()
}
