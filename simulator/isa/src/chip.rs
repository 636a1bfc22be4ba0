//! What a chip has: the numbers of its description file, validated, and the peaks that follow from them.

use std::collections::BTreeMap;

use crate::stream::Format;

mod field;
mod load;
mod peaks;

pub use peaks::Peaks;

/// A chip description. Loaded from TOML, where every field carries its unit and its source, or the word *assumed*.
#[derive(Clone, Debug, PartialEq)]
pub struct Chip {
    /// Preset or file name without its ending.
    pub name: String,
    /// Clock, Hz.
    pub clock_hz: f64,
    /// Lanes of a vector (bytes on one stream per cycle).
    pub lanes: usize,
    /// Lanes of a superlane.
    pub lanes_per_superlane: usize,
    /// Streams in each direction.
    pub streams: u16,
    /// Memory.
    pub mem: MemUnits,
    /// Matrix planes.
    pub mxm: MxmUnits,
    /// Vector ALUs.
    pub vxm: VxmUnits,
    /// Lane switching.
    pub sxm: SxmUnits,
    /// Links.
    pub c2c: C2cUnits,
    /// Instruction queues.
    pub icu: IcuUnits,
    /// Cycles from dispatch to effect (d_func).
    pub latency: Latency,
    /// Where each value comes from, by field name (`mem.banks`).
    pub sources: BTreeMap<&'static str, String>,
}

/// MEM slices.
#[derive(Clone, Debug, PartialEq)]
pub struct MemUnits {
    /// Slices in each hemisphere.
    pub slices_per_hemisphere: u16,
    /// Banks in a slice.
    pub banks: u8,
    /// Words (one byte per lane) in a bank.
    pub words_per_bank: u32,
}

/// MXM planes.
#[derive(Clone, Debug, PartialEq)]
pub struct MxmUnits {
    /// Planes in each hemisphere (two: F16 uses them as a pair).
    pub planes_per_hemisphere: u8,
    /// Weight rows of a plane, which are also its outputs.
    pub rows: u16,
    /// Streams that one plane can load weights from in a cycle.
    pub load_streams_per_plane: u16,
    /// Accumulators (vectors of 32-bit sums) per plane.
    pub accumulators: u16,
    /// Formats of weights that the planes load: some of [`Format::OF_WEIGHTS`], in that order. They multiply in those of [`Format::OF_PLANES`]
    /// among them, at least one.
    pub formats: Vec<Format>,
}

/// The VXM.
#[derive(Clone, Debug, PartialEq)]
pub struct VxmUnits {
    /// ALUs per lane.
    pub alus: u8,
    /// Longest delay, in cycles, with which an ALU can take another's result.
    pub forward_depth: u8,
}

/// The SXM.
#[derive(Clone, Debug, PartialEq)]
pub struct SxmUnits {
    /// Instruction queues in each hemisphere.
    pub queues_per_hemisphere: u8,
}

/// C2C links.
#[derive(Clone, Debug, PartialEq)]
pub struct C2cUnits {
    /// Links in each hemisphere.
    pub links_per_hemisphere: u8,
}

/// Instruction queues, all alike.
#[derive(Clone, Debug, PartialEq)]
pub struct IcuUnits {
    /// Bytes of instruction text that a queue holds.
    pub queue_bytes: u32,
    /// Vectors that one Ifetch takes, in as many cycles.
    pub fetch_vectors: u8,
}

/// d_func of each instruction, in cycles, at least 1 each.
#[derive(Clone, Debug, PartialEq)]
pub struct Latency {
    /// Read, to the stream.
    pub read: u16,
    /// Write and Scatter, until the word can be read.
    pub write: u16,
    /// Gather, from the index to the stream.
    pub gather: u16,
    /// Any ALU operation.
    pub vxm: u16,
    /// LW, to the buffer.
    pub load: u16,
    /// IW, until the array multiplies by the new weights.
    pub install: u16,
    /// ABC, to the accumulators, without the stagger.
    pub product: u16,
    /// ACC, to the stream.
    pub accumulate: u16,
    /// SXM, without the stagger.
    pub sxm: u16,
    /// Send and Receive.
    pub c2c: u16,
}

impl MxmUnits {
    /// Why the planes cannot take weights of this format; none if they can. `chip` is the chip's name.
    pub fn refuses(&self, chip: &str, format: Format) -> Option<String> {
        if self.formats.contains(&format) {
            return None;
        }
        if !format.only_weights() {
            return self.refuses_activations(chip, format);
        }
        let names: Vec<String> = self.formats.iter().map(Format::to_string).collect();
        Some(format!("the planes of {chip} load weights in {}, not in {format}", names.join(", ")))
    }

    /// Why the planes cannot multiply by activations of this format; none if they can. `chip` is the chip's name.
    pub fn refuses_activations(&self, chip: &str, format: Format) -> Option<String> {
        let own: Vec<Format> = self.formats.iter().copied().filter(|own| !own.only_weights()).collect();
        if own.contains(&format) {
            return None;
        }
        let names: Vec<String> = own.iter().map(Format::to_string).collect();
        Some(format!("the planes of {chip} multiply in {}, not in {format}", names.join(", ")))
    }
}

impl Chip {
    /// Superlanes, which is also the number of cycles by which the last superlane runs behind the first.
    pub fn stagger(&self) -> u16 {
        (self.lanes / self.lanes_per_superlane) as u16
    }

    /// Lanes of a block of weights of four bits, which share a scale in each row: 32, or a superlane where vectors are not made of such blocks.
    pub fn block_lanes(&self) -> usize {
        if self.lanes.is_multiple_of(32) { 32 } else { self.lanes_per_superlane }
    }

    /// Rows of the weight buffer that so many weight rows of four bits take: for each [`Chip::block_lanes`] of them two of scales, and then one for
    /// each pair.
    pub fn four_bit_rows(&self, rows: u32) -> u32 {
        let block = self.block_lanes() as u32;
        let rest = rows % block;
        rows / block * (2 + block.div_ceil(2)) + if rest > 0 { 2 + rest.div_ceil(2) } else { 0 }
    }

    /// Rows that the weight buffer has for a format.
    pub fn buffer_rows(&self, format: Format) -> u16 {
        if format.in_blocks() { self.four_bit_rows(self.mxm.rows.into()) as u16 } else { self.mxm.rows }
    }

    /// Bytes of a page of instruction text: what one Ifetch brings.
    pub fn page_bytes(&self) -> usize {
        usize::from(self.icu.fetch_vectors) * self.lanes
    }

    /// Words in a slice.
    pub fn words_per_slice(&self) -> u32 {
        u32::from(self.mem.banks) * self.mem.words_per_bank
    }

    /// SRAM of the chip, bytes.
    pub fn sram_bytes(&self) -> u64 {
        2 * u64::from(self.mem.slices_per_hemisphere) * u64::from(self.words_per_slice()) * self.lanes as u64
    }
}
