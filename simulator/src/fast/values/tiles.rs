//! Matrix tiles of constant weights, packed when they are first used and kept; and those that are packed in every step.

use indexmap::IndexMap;
use std::rc::Rc;

use isa::stream::Format;
use isa::{Chip, numeric};

use super::memory::{Memory, Word};
use super::tape::NO_ROW;
use crate::fast::native::Tile;

/// A tile of constant weights.
struct Constant {
    /// That in which it is loaded.
    format: Format,
    /// Two words for each row of the buffer.
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
    pub(crate) fn prepare(&mut self, number: u32, chip: &Chip, memory: &mut Memory) {
        let constant = &mut self.constants[number as usize];
        if constant.tile.is_none() {
            for &word in constant.rows.iter().filter(|word| **word != NO_ROW) {
                if memory.brought(word).is_none() {
                    memory.touch(word);
                }
            }
            let bytes =
                |word| memory.brought(word).unwrap_or_else(|| &memory.bytes()[memory.places.bytes(word)]);
            let expanded = expanded(chip, constant.format, &constant.rows, bytes);
            let rows = row_bytes(constant.format, &constant.rows, &expanded, bytes);
            let tile = Tile::pack(constant.format.held(), memory.places.lanes, &rows);
            self.room = self.room.saturating_sub(tile.bytes());
            constant.tile = Some(tile);
        }
    }

    /// A tile that has been prepared.
    pub(crate) fn prepared(&self, number: u32) -> Option<&Tile> {
        self.constants.get(number as usize)?.tile.as_ref()
    }

    /// Packs what the rows' words hold now.
    pub(crate) fn pack(
        &mut self,
        number: u32,
        format: Format,
        rows: &[Word],
        (chip, memory): (&Chip, &Memory),
    ) {
        if self.packed.len() <= number as usize {
            self.packed.resize_with(number as usize + 1, || None);
        }
        let bytes = |word| &memory.bytes()[memory.places.bytes(word)];
        let expanded = expanded(chip, format, rows, bytes);
        let rows = row_bytes(format, rows, &expanded, bytes);
        let format = format.held();
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

/// Of weights that become F16, the two planes of each row as the array holds it.
fn expanded<'m>(
    chip: &Chip,
    format: Format,
    rows: &[Word],
    bytes: impl Fn(Word) -> &'m [u8],
) -> Vec<[Box<[u8]>; 2]> {
    if !format.only_weights() {
        return Vec::new();
    }
    let vector = |row: usize| (rows[2 * row] != NO_ROW).then(|| bytes(rows[2 * row]));
    if !format.in_blocks() {
        let halves: Vec<[u8; 2]> = (0..=u8::MAX).map(wide).collect();
        let plane = |row: usize, half: usize| -> Box<[u8]> {
            let codes = vector(row).map_or_else(|| vec![0; chip.lanes], <[u8]>::to_vec);
            codes.into_iter().map(|code| halves[usize::from(code)][half]).collect()
        };
        return (0..rows.len() / 2).map(|row| [plane(row, 0), plane(row, 1)]).collect();
    }
    let block = chip.block_lanes();
    let row = |row: usize| {
        let (group, within) = (row / block * (2 + block.div_ceil(2)), row % block);
        let scales = [vector(group), vector(group + 1)];
        let codes = vector(group + 2 + within / 2);
        let mut planes = [vec![0; chip.lanes], vec![0; chip.lanes]];
        for first in (0..chip.lanes).step_by(block) {
            let scale = scales.map(|half| half.map_or(0, |bytes| bytes[first + within]));
            let scale = u16::from_le_bytes(scale);
            let values: [[u8; 2]; 16] =
                std::array::from_fn(|code| numeric::scaled(format, code as u8, scale).to_le_bytes());
            for lane in first..first + block {
                let code = codes.map_or(0, |codes| codes[lane]) >> (within % 2 * 4) & 0xf;
                let [low, high] = values[usize::from(code)];
                (planes[0][lane], planes[1][lane]) = (low, high);
            }
        }
        planes.map(Vec::into_boxed_slice)
    };
    (0..chip.mxm.rows.into()).map(row).collect()
}

/// A number of F8 in F16, which has all of them.
fn wide(code: u8) -> [u8; 2] {
    (numeric::narrow(Format::F16, numeric::widen(Format::F8, code.into())) as u16).to_le_bytes()
}

/// The planes of each row; of weights that become F16, those that they have become.
fn row_bytes<'m>(
    format: Format,
    rows: &[Word],
    expanded: &'m [[Box<[u8]>; 2]],
    bytes: impl Fn(Word) -> &'m [u8],
) -> Vec<Option<[&'m [u8]; 2]>> {
    if format.only_weights() {
        return expanded.iter().map(|[low, high]| Some([&**low, &**high])).collect();
    }
    let row = |row: &[Word]| {
        (row[0] != NO_ROW).then(|| {
            let low = bytes(row[0]);
            [low, if format == Format::F16 { bytes(row[1]) } else { low }]
        })
    };
    rows.chunks_exact(2).map(row).collect()
}
