//! The MXM of one hemisphere: per plane a weight buffer, an array that multiplies, and accumulators.

use std::rc::Rc;

use isa::instruction::{AccMode, Mxm};
use isa::stream::{Format, Stream};
use isa::{Chip, Hemisphere, Queue, numeric};

use super::tile::{Tile, decode};
use crate::fault::{Dispatch, Raised};
use crate::stream::{Output, Pipeline, Registers};

/// Two planes or more; in F16, planes 0 and 1 work as one under plane 0's name.
pub(crate) struct MxmSlice {
    chip: Chip,
    position: i32,
    hemisphere: Hemisphere,
    planes: Vec<Plane>,
    /// Sums on their way to the streams.
    emitting: Pipeline<Sum>,
}

/// A sum on its way: the end of an ACC, with or without an output.
struct Sum(Option<Output>);

/// One plane.
struct Plane {
    /// Weight rows on their way to the buffer.
    loading: Pipeline<Rows>,
    buffer: Buffer,
    /// Tiles on their way into the array.
    installing: Pipeline<(Dispatch, Tile)>,
    array: Option<Rc<Tile>>,
    /// The last ABC.
    streaming: Option<Dispatch>,
    /// Products on their way to the accumulators, each the exact sum for every row, rounded nowhere.
    products: Pipeline<Product>,
    /// The product that arrives in this cycle.
    arrived: Option<Product>,
    accumulators: Vec<Option<Sums>>,
}

/// The rows of one LW.
struct Rows {
    by: Dispatch,
    format: Format,
    first: u16,
    stride: u16,
    /// One vector of `lanes` weights per row.
    weights: Vec<f32>,
}

/// The weight buffer.
struct Buffer {
    tile: Option<Tile>,
    /// Which rows of it are loaded.
    loaded: Vec<bool>,
}

/// A product of one activation vector with the weights.
struct Product {
    by: Dispatch,
    /// That of the weights and activations.
    format: Format,
    sums: Sums,
}

/// One 32-bit sum per weight row.
#[derive(Clone)]
enum Sums {
    I32(Vec<i32>),
    F32(Vec<f32>),
}

impl MxmSlice {
    /// The planes of `hemisphere`, at `position`.
    pub(crate) fn new(chip: &Chip, hemisphere: Hemisphere, position: i32) -> MxmSlice {
        let plane = |_| Plane {
            loading: Pipeline::new(),
            buffer: Buffer { tile: None, loaded: Vec::new() },
            installing: Pipeline::new(),
            array: None,
            streaming: None,
            products: Pipeline::new(),
            arrived: None,
            accumulators: vec![None; chip.mxm.accumulators.into()],
        };
        MxmSlice {
            chip: chip.clone(),
            position,
            hemisphere,
            planes: (0..chip.mxm.planes_per_hemisphere).map(plane).collect(),
            emitting: Pipeline::new(),
        }
    }

    /// Nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        let idle = |plane: &Plane| {
            plane.loading.is_empty()
                && plane.installing.is_empty()
                && plane.products.is_empty()
                && plane.arrived.is_none()
        };
        self.emitting.is_empty() && self.planes.iter().all(idle)
    }

    /// What arrives in `cycle`: rows in buffers, tiles in arrays, products at accumulators, sums at the streams. Says whether anything did.
    pub(crate) fn arrive(&mut self, cycle: u64, registers: &mut Registers, faults: &mut Vec<Raised>) -> bool {
        let mut any = false;
        let mut joined = false;
        for plane in &mut self.planes {
            while let Some(rows) = plane.loading.arrive(cycle) {
                faults.extend(plane.buffer.fill(cycle, rows, &self.chip).err());
                any = true;
            }
            while let Some((by, tile)) = plane.installing.arrive(cycle) {
                joined |= tile.format == Format::F16;
                faults.extend(plane.swap(cycle, &by, tile).err());
                any = true;
            }
            plane.arrived = plane.products.arrive(cycle);
            any |= plane.arrived.is_some();
        }
        if let Some(second) = self.planes.get_mut(1).filter(|_| joined) {
            // F16 weights fill both planes.
            second.array = None;
        }
        while let Some(Sum(output)) = self.emitting.arrive(cycle) {
            faults.extend(output.and_then(|output| registers.put(cycle, self.position, &output).err()));
            any = true;
        }
        any
    }

    /// After all dispatches of `cycle`: a product that nobody took is lost.
    pub(crate) fn drop_products(&mut self, cycle: u64, faults: &mut Vec<Raised>) {
        for plane in &mut self.planes {
            if let Some(product) = plane.arrived.take() {
                faults.push(product.by.product_dropped(cycle));
            }
        }
    }

    /// Does what an instruction does at its dispatch.
    pub(crate) fn dispatch(&mut self, by: &Dispatch, mxm: Mxm, registers: &Registers) -> Result<(), Raised> {
        let Queue::Mxm(_, plane, _) = by.queue else { return Ok(()) };
        let plane = usize::from(plane);
        if plane == 1 && self.planes[0].is_paired() {
            return Err(by.pair_taken());
        }
        match mxm {
            Mxm::Lw { stream, count, row, row_stride, format } => {
                let rows = self.load(by, stream, count, format, registers)?;
                let weights = decode(format, &rows, self.chip.lanes);
                let rows = Rows { by: *by, format, first: row, stride: row_stride, weights };
                self.planes[plane].loading.send(by.cycle + u64::from(self.chip.latency.load), rows);
                Ok(())
            }
            Mxm::Iw => {
                let tile = self.planes[plane].unload(by)?.installed(&self.chip);
                self.planes[plane]
                    .installing
                    .send(by.cycle + u64::from(self.chip.latency.install), (*by, tile));
                Ok(())
            }
            Mxm::Abc { stream, format } => self.multiply(by, plane, stream, format, registers),
            Mxm::Acc { address, mode, emit } => self.accumulate(by, plane, address, mode, emit, registers),
        }
    }

    /// Takes the vectors of an LW off the streams.
    fn load(
        &self,
        by: &Dispatch,
        stream: Stream,
        count: u8,
        format: Format,
        registers: &Registers,
    ) -> Result<Vec<u8>, Raised> {
        let paired = format.held() == Format::F16;
        if paired && self.planes.get(1).is_some_and(Plane::is_working) {
            return Err(by.pair_working());
        }
        let width = usize::from(format.streams());
        let streams = usize::from(count) * width;
        let most = usize::from(self.chip.mxm.load_streams_per_plane) * if paired { 2 } else { 1 };
        if streams > most {
            return Err(by.too_many_load_streams(streams, most));
        }
        registers.check(by, stream, streams, width)?;
        Ok(registers.take(by, stream, streams, self.position)?.to_vec())
    }

    fn multiply(
        &mut self,
        by: &Dispatch,
        plane: usize,
        stream: Stream,
        format: Format,
        registers: &Registers,
    ) -> Result<(), Raised> {
        let plane = &mut self.planes[plane];
        if plane.is_busy(by.cycle) {
            return Err(by.array_busy());
        }
        let Some(tile) = plane.array.clone() else {
            return Err(by.no_weights());
        };
        if tile.format != format {
            return Err(by.activations_differ(format, tile.format));
        }
        let vector = registers.take_group(by, stream, format, self.position)?;
        let sums = tile.multiply(&decode(format, vector, self.chip.lanes));
        let sums = match format {
            Format::I8 | Format::I32 => Sums::I32(sums.into_iter().map(|sum| sum as i32).collect()),
            _ => Sums::F32(sums.into_iter().map(|sum| canonical(sum as f32)).collect()),
        };
        let due = by.cycle + u64::from(self.chip.latency.product) + u64::from(self.chip.stagger());
        plane.streaming = Some(*by);
        plane.products.send(due, Product { by: *by, format, sums });
        Ok(())
    }

    fn accumulate(
        &mut self,
        by: &Dispatch,
        plane: usize,
        address: u16,
        mode: AccMode,
        emit: Option<Stream>,
        registers: &Registers,
    ) -> Result<(), Raised> {
        let plane = &mut self.planes[plane];
        let Some(product) = plane.arrived.take() else {
            return Err(by.no_product());
        };
        if let Some(stream) = emit {
            registers.check(by, stream, 4, 4)?;
            if stream.direction != self.hemisphere.inward() {
                return Err(by.emits_outward());
            }
        }
        let count = plane.accumulators.len();
        let Some(accumulator) = plane.accumulators.get_mut(usize::from(address)) else {
            return Err(by.no_accumulator(address, count));
        };
        let sums = match (mode, accumulator.take()) {
            (AccMode::Start, _) => product.sums,
            (AccMode::Add, None) => return Err(by.not_started(address)),
            (AccMode::Add, Some(old)) => old.plus(product.sums).ok_or_else(|| by.sums_differ(address))?,
        };
        let output =
            emit.map(|stream| Output { by: *by, stream, bytes: sums.bytes(self.chip.lanes), merge: false });
        *accumulator = Some(sums);
        self.emitting.send(by.cycle + u64::from(self.chip.latency.accumulate), Sum(output));
        Ok(())
    }
}

impl Plane {
    /// F16 rows, weights or products are here, so this plane and the next are one.
    fn is_paired(&self) -> bool {
        let f16 = |tile: &Tile| tile.format.held() == Format::F16;
        self.loading.iter().any(|rows| rows.format.held() == Format::F16)
            || self.buffer.tile.as_ref().is_some_and(f16)
            || self.installing.iter().any(|(_, tile)| f16(tile))
            || self.array.as_deref().is_some_and(f16)
            || self.products.iter().chain(&self.arrived).any(|product| product.format == Format::F16)
    }

    /// Rows or products are here that other work would lose.
    fn is_working(&self) -> bool {
        !self.loading.is_empty()
            || self.buffer.tile.is_some()
            || !self.installing.is_empty()
            || !self.products.is_empty()
            || self.arrived.is_some()
    }

    /// An F16 vector that began in the cycle before is still entering.
    fn is_busy(&self, cycle: u64) -> bool {
        let f16 = |abc: &Dispatch| {
            matches!(abc.instruction, isa::Instruction::Mxm(Mxm::Abc { format: Format::F16, .. }))
        };
        self.streaming.filter(f16).is_some_and(|abc| abc.cycle + 1 == cycle)
    }

    /// IW: empties the buffer. Rows that arrive later belong to the next tile.
    fn unload(&mut self, by: &Dispatch) -> Result<Tile, Raised> {
        self.buffer.tile.take().ok_or_else(|| by.empty_buffer())
    }

    /// The end of IW: the array holds the new weights.
    fn swap(&mut self, cycle: u64, by: &Dispatch, tile: Tile) -> Result<(), Raised> {
        let busy = self.is_busy(cycle);
        self.array = Some(Rc::new(tile));
        if busy {
            return Err(by.array_swapped(cycle));
        }
        Ok(())
    }
}

impl Buffer {
    /// The end of LW: its rows are in the buffer.
    fn fill(&mut self, cycle: u64, rows: Rows, chip: &Chip) -> Result<(), Raised> {
        let count = chip.buffer_rows(rows.format);
        let tile = self.tile.get_or_insert_with(|| {
            self.loaded = vec![false; count.into()];
            Tile::new(rows.format, chip.lanes, count.into())
        });
        if tile.format != rows.format {
            return Err(rows.by.rows_differ(cycle, rows.format, tile.format));
        }
        let numbers: Vec<usize> = (0..rows.weights.len() / chip.lanes)
            .map(|row| usize::from(rows.first) + row * usize::from(rows.stride))
            .collect();
        for &row in &numbers {
            match self.loaded.get_mut(row) {
                None => return Err(rows.by.no_row(cycle, row, count)),
                Some(true) => return Err(rows.by.row_overwritten(cycle, row)),
                Some(loaded) => *loaded = true,
            }
        }
        tile.set_rows(&numbers, &rows.weights);
        Ok(())
    }
}

impl Sums {
    /// The sum of two sums; none if they differ in format.
    fn plus(self, other: Sums) -> Option<Sums> {
        match (self, other) {
            (Sums::I32(a), Sums::I32(b)) => {
                Some(Sums::I32(a.into_iter().zip(b).map(|(a, b)| a.wrapping_add(b)).collect()))
            }
            (Sums::F32(a), Sums::F32(b)) => {
                Some(Sums::F32(a.into_iter().zip(b).map(|(a, b)| canonical(a + b)).collect()))
            }
            (Sums::I32(_), Sums::F32(_)) | (Sums::F32(_), Sums::I32(_)) => None,
        }
    }

    /// Four vectors, least significant bytes first; lanes past the last row hold zero.
    fn bytes(&self, lanes: usize) -> Vec<u8> {
        let mut bytes = vec![0; 4 * lanes];
        let mut set = |lane: usize, word: [u8; 4]| {
            for (byte, value) in word.into_iter().enumerate() {
                bytes[byte * lanes + lane] = value;
            }
        };
        match self {
            Sums::I32(sums) => sums.iter().enumerate().for_each(|(lane, sum)| set(lane, sum.to_le_bytes())),
            Sums::F32(sums) => sums.iter().enumerate().for_each(|(lane, sum)| set(lane, sum.to_le_bytes())),
        }
        bytes
    }
}

/// Arithmetic makes one NaN only.
fn canonical(value: f32) -> f32 {
    f32::from_bits(numeric::bits(value))
}
