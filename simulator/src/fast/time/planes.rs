//! The MXM of one hemisphere without its values: what waits in buffers, arrays and accumulators, in which format, and what is on its way.
//!
//! Says the same of every instruction as the reference does; in which cycles it is asked is up to [`super::planes_run`] and [`super::moment`].

use std::collections::VecDeque;

use isa::Chip;
use isa::instruction::{AccMode, Instruction, Mxm};
use isa::place::{Hemisphere, Queue, Slice};
use isa::stream::{Format, Stream};

use super::world::World;
use crate::fault::{Dispatch, Raised};

/// All planes of a hemisphere.
#[derive(Clone)]
pub(super) struct Planes {
    half: Hemisphere,
    position: i32,
    rows: u16,
    /// Rows of the buffer for weights of four bits.
    four_bit_rows: u16,
    load: u64,
    install: u64,
    product: u64,
    load_streams: usize,
    pub(super) planes: Vec<Plane>,
}

/// One plane.
#[derive(Clone)]
pub(super) struct Plane {
    /// Rows on their way to the buffer; each LW says by itself which.
    loading: VecDeque<Due>,
    /// Format of the rows in the buffer, when there are any.
    buffer: Option<Format>,
    /// A bit per row.
    loaded: Vec<u64>,
    /// Tiles on their way into the array.
    installing: VecDeque<Due>,
    array: Option<Format>,
    /// Cycle of the last ABC, if it was one of F16.
    f16_streaming: Option<u64>,
    /// Products on their way.
    products: VecDeque<Due>,
    /// The product that arrives in this cycle.
    arrived: Option<Due>,
    /// Format of each sum that was started, I32 or F32.
    pub(super) accumulators: Vec<Option<Format>>,
}

/// Something on its way: when it arrives, of which instruction, in which format.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Due {
    cycle: u64,
    by: Dispatch,
    format: Format,
}

impl Due {
    /// The same, this much later.
    fn later(mut self, cycles: u64) -> Due {
        self.cycle += cycles;
        self.by.cycle += cycles;
        self
    }
}

/// What an ACC did to its accumulator.
#[derive(Clone, Copy)]
pub(super) struct Accumulated {
    pub(super) plane: usize,
    pub(super) address: u16,
    pub(super) mode: AccMode,
    /// That of the sum.
    pub(super) format: Format,
}

/// Of F16, or to become so.
fn is_f16(due: &Due) -> bool {
    due.format.held() == Format::F16
}

impl Planes {
    /// Empty planes.
    pub(super) fn new(chip: &Chip, half: Hemisphere) -> Planes {
        let four_bit_rows = chip.buffer_rows(Format::I4);
        let plane = Plane {
            loading: VecDeque::new(),
            buffer: None,
            loaded: vec![0; usize::from(chip.mxm.rows.max(four_bit_rows)).div_ceil(64)],
            installing: VecDeque::new(),
            array: None,
            f16_streaming: None,
            products: VecDeque::new(),
            arrived: None,
            accumulators: vec![None; chip.mxm.accumulators.into()],
        };
        Planes {
            half,
            position: Slice::Mxm(half).position(chip),
            rows: chip.mxm.rows,
            four_bit_rows,
            load: chip.latency.load.into(),
            install: chip.latency.install.into(),
            product: u64::from(chip.latency.product) + u64::from(chip.stagger()),
            load_streams: chip.mxm.load_streams_per_plane.into(),
            planes: vec![plane; chip.mxm.planes_per_hemisphere.into()],
        }
    }

    /// The cycle of the next arrival.
    pub(super) fn next_arrival(&self) -> Option<u64> {
        let fronts = |plane: &Plane| {
            [plane.loading.front(), plane.installing.front(), plane.products.front()]
                .into_iter()
                .flatten()
                .map(|due| due.cycle)
                .min()
        };
        self.planes.iter().filter_map(fronts).min()
    }

    /// What arrives in `cycle` at the planes themselves.
    pub(super) fn arrive(&mut self, cycle: u64, faults: &mut Vec<Raised>) {
        let mut joined = false;
        for plane in &mut self.planes {
            while let Some(rows) = arrived(&mut plane.loading, cycle) {
                let count = if rows.format.in_blocks() { self.four_bit_rows } else { self.rows };
                faults.extend(plane.fill(cycle, &rows, count).err());
            }
            while let Some(tile) = arrived(&mut plane.installing, cycle) {
                joined |= is_f16(&tile);
                if plane.is_busy(cycle) {
                    faults.push(tile.by.array_swapped(cycle));
                }
                plane.array = Some(tile.format);
            }
            plane.arrived = arrived(&mut plane.products, cycle);
        }
        if let Some(second) = self.planes.get_mut(1).filter(|_| joined) {
            second.array = None;
        }
    }

    /// After all dispatches: products that nobody took.
    pub(super) fn drop_products(&mut self, cycle: u64, faults: &mut Vec<Raised>) {
        let left = self.planes.iter_mut().filter_map(|plane| plane.arrived.take());
        faults.extend(left.map(|product| product.by.product_dropped(cycle)));
    }

    /// Does what an instruction does at its dispatch.
    pub(super) fn dispatch(
        &mut self,
        by: &Dispatch,
        world: &impl World,
    ) -> Result<Option<Accumulated>, Raised> {
        let (Queue::Mxm(_, plane, _), Instruction::Mxm(mxm)) = (by.queue, by.instruction) else {
            return Ok(None);
        };
        let plane = usize::from(plane);
        if plane == 1 && self.planes[0].is_paired() {
            return Err(by.pair_taken());
        }
        match mxm {
            Mxm::Lw { stream, count, format, .. } => {
                self.check_load(by, stream, count, format, world)?;
                let cycle = by.cycle + self.load;
                self.planes[plane].loading.push_back(Due { cycle, by: *by, format });
                Ok(None)
            }
            Mxm::Iw => {
                let format = self.planes[plane].unload(by)?;
                let cycle = by.cycle + self.install;
                self.planes[plane].installing.push_back(Due { cycle, by: *by, format: format.held() });
                Ok(None)
            }
            Mxm::Abc { stream, format } => {
                let cycle = by.cycle + self.product;
                let plane = &mut self.planes[plane];
                if plane.is_busy(by.cycle) {
                    return Err(by.array_busy());
                }
                let weights = plane.array.ok_or_else(|| by.no_weights())?;
                if weights != format {
                    return Err(by.activations_differ(format, weights));
                }
                world.take_group(by, stream, format, self.position)?;
                plane.f16_streaming = (format == Format::F16).then_some(by.cycle);
                plane.products.push_back(Due { cycle, by: *by, format });
                Ok(None)
            }
            Mxm::Acc { address, mode, emit } => {
                let format = self.accumulate(by, plane, (address, mode), emit, world)?;
                Ok(Some(Accumulated { plane, address, mode, format }))
            }
        }
    }

    fn check_load(
        &self,
        by: &Dispatch,
        stream: Stream,
        count: u8,
        format: Format,
        world: &impl World,
    ) -> Result<(), Raised> {
        let paired = format.held() == Format::F16;
        if paired && self.planes.get(1).is_some_and(Plane::is_working) {
            return Err(by.pair_working());
        }
        let width = usize::from(format.streams());
        let streams = usize::from(count) * width;
        let most = self.load_streams * if paired { 2 } else { 1 };
        if streams > most {
            return Err(by.too_many_load_streams(streams, most));
        }
        world.check(by, stream, streams, width)?;
        world.take(by, stream, streams, self.position)
    }

    fn accumulate(
        &mut self,
        by: &Dispatch,
        plane: usize,
        (address, mode): (u16, AccMode),
        emit: Option<Stream>,
        world: &impl World,
    ) -> Result<Format, Raised> {
        let plane = &mut self.planes[plane];
        let product = plane.arrived.take().ok_or_else(|| by.no_product())?;
        if let Some(stream) = emit {
            world.check(by, stream, 4, 4)?;
            if stream.direction != self.half.inward() {
                return Err(by.emits_outward());
            }
        }
        let count = plane.accumulators.len();
        let accumulator = plane
            .accumulators
            .get_mut(usize::from(address))
            .ok_or_else(|| by.no_accumulator(address, count))?;
        match (mode, *accumulator) {
            (AccMode::Add, None) => return Err(by.not_started(address)),
            (AccMode::Add, Some(old)) if old != product.format.sums() => return Err(by.sums_differ(address)),
            _ => *accumulator = Some(product.format.sums()),
        }
        Ok(product.format.sums())
    }

    /// Is this, in cycle `cycle`, what `other` is this many cycles later? `addressed` tells of which planes the accumulators do not count.
    pub(super) fn is_same(&self, cycle: u64, other: &Planes, later: u64, moved: &[bool]) -> bool {
        let same = |a: &VecDeque<Due>, b: &VecDeque<Due>| {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.later(later) == *b)
        };
        self.planes.iter().zip(&other.planes).zip(moved).all(|((a, b), moved)| {
            a.buffer == b.buffer
                && a.array == b.array
                && a.is_busy(cycle) == b.is_busy(cycle + later)
                && same(&a.loading, &b.loading)
                && same(&a.installing, &b.installing)
                && same(&a.products, &b.products)
                && a.loaded == b.loaded
                && (*moved || a.accumulators == b.accumulators)
        })
    }

    /// Moves all that is on its way into the future.
    pub(super) fn delay(&mut self, cycles: u64) {
        for plane in &mut self.planes {
            for dues in [&mut plane.loading, &mut plane.installing, &mut plane.products] {
                dues.iter_mut().for_each(|due| *due = due.later(cycles));
            }
            plane.f16_streaming = plane.f16_streaming.map(|cycle| cycle + cycles);
        }
    }
}

fn arrived(dues: &mut VecDeque<Due>, cycle: u64) -> Option<Due> {
    dues.pop_front_if(|due| due.cycle <= cycle)
}

impl Plane {
    /// F16 rows, weights or products are here, so this plane and the next are one.
    fn is_paired(&self) -> bool {
        self.loading.iter().any(is_f16)
            || self.buffer.is_some_and(|format| format.held() == Format::F16)
            || self.installing.iter().any(is_f16)
            || self.array == Some(Format::F16)
            || self.products.iter().chain(&self.arrived).any(is_f16)
    }

    /// Rows or products are here that other work would lose.
    fn is_working(&self) -> bool {
        !self.loading.is_empty()
            || self.buffer.is_some()
            || !self.installing.is_empty()
            || !self.products.is_empty()
            || self.arrived.is_some()
    }

    /// An F16 vector that began in the cycle before is still entering.
    fn is_busy(&self, cycle: u64) -> bool {
        self.f16_streaming.is_some_and(|abc| abc + 1 == cycle)
    }

    /// IW: empties the buffer.
    fn unload(&mut self, by: &Dispatch) -> Result<Format, Raised> {
        self.loaded.fill(0);
        self.buffer.take().ok_or_else(|| by.empty_buffer())
    }

    /// The end of LW: its rows are in the buffer.
    fn fill(&mut self, cycle: u64, rows: &Due, count: u16) -> Result<(), Raised> {
        let Instruction::Mxm(Mxm::Lw { count: vectors, row, row_stride, .. }) = rows.by.instruction else {
            return Ok(());
        };
        let buffer = *self.buffer.get_or_insert(rows.format);
        if buffer != rows.format {
            return Err(rows.by.rows_differ(cycle, rows.format, buffer));
        }
        for vector in 0..usize::from(vectors) {
            let row = usize::from(row) + vector * usize::from(row_stride);
            let bits = self.loaded.get_mut(row / 64).filter(|_| row < count.into());
            let bits = bits.ok_or_else(|| rows.by.no_row(cycle, row, count))?;
            if *bits >> (row % 64) & 1 == 1 {
                return Err(rows.by.row_overwritten(cycle, row));
            }
            *bits |= 1 << (row % 64);
        }
        Ok(())
    }
}
