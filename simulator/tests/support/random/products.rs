//! The products of a legal program: tiles loaded, installed, multiplied, summed. Work on a plane comes in the order of time.

use std::collections::BTreeMap;

use isa::instruction::AccMode;
use isa::place::MxmPort;
use isa::{Chip, Format, Hemisphere, Instruction, Mxm, Queue, Repeat, Run, Slice};

use super::memory::Flavour;
use super::pieces::{Cadence, Flow, Maker};

/// What the planes of a hemisphere are up to.
pub struct Planes {
    planes: Vec<Plane>,
    /// The format in use, and from when another may be.
    format: Option<Format>,
    /// From when on plane 1 may work, after plane 0 was one half of a pair.
    alone_from: Option<u64>,
}

#[derive(Clone, Default)]
struct Plane {
    /// A piece was left half done: rows that nobody installs.
    spoiled: bool,
    /// From when on LW fills a new tile.
    load_from: u64,
    /// From when on the array may change.
    swap_from: u64,
    /// From when on ABC may follow, if the array holds a tile.
    stream_from: Option<u64>,
    /// Everything is over.
    quiet_from: u64,
    /// Accumulators that hold sums, and in which format these are.
    sums: BTreeMap<u16, Format>,
}

/// Products of one run of ABC: when, how often, and into which accumulators.
struct Vectors {
    cycle: u64,
    /// Of the tiles, if there are several, and of the vectors of each.
    tiles: Option<(u32, u32)>,
    vectors: Cadence,
}

impl Planes {
    pub fn new(chip: &Chip) -> Planes {
        let planes = vec![Plane::default(); chip.mxm.planes_per_hemisphere.into()];
        Planes { planes, format: None, alone_from: Some(0) }
    }

    /// When work in this format may begin on a plane; none if never.
    fn begin(&mut self, plane: usize, format: Format) -> Option<u64> {
        if self.planes[..self.planes.len().min(2)].iter().any(|plane| plane.spoiled)
            || self.planes[plane].spoiled
        {
            return None;
        }
        let mut from = 0;
        if self.format != Some(format) {
            from = self.planes.iter().map(|plane| plane.quiet_from).max().unwrap_or(0);
            if format != Format::F16 && self.format == Some(Format::F16) {
                // Plane 0 is half of a pair until it holds other weights.
                self.alone_from = None;
                self.planes.iter_mut().skip(1).for_each(|plane| plane.stream_from = None);
            }
            self.planes.iter_mut().for_each(|plane| plane.load_from = plane.load_from.max(from));
            self.format = Some(format);
        }
        if plane == 1 { self.alone_from.map(|alone| alone.max(from)) } else { Some(from) }
    }
}

fn side(hemisphere: Hemisphere) -> usize {
    usize::from(hemisphere == Hemisphere::West)
}

impl Maker {
    /// A tile or several, with products; perhaps more vectors for the last tile.
    pub fn product(&mut self) {
        let chip = self.board.chip.clone();
        let half = *self.rng.pick(&Hemisphere::BOTH);
        let state = &self.planes[side(half)];
        let switch = state.format.is_none() || self.rng.chance(10);
        let pairs = chip.mxm.planes_per_hemisphere >= 2;
        let byte = *self.rng.pick(&[Format::I8, Format::F8]);
        let other = if pairs && self.rng.chance(50) { Format::F16 } else { byte };
        let format = if switch { other } else { state.format.unwrap_or(Format::I8) };
        let plane =
            if format == Format::F16 { 0 } else { self.rng.below(chip.mxm.planes_per_hemisphere.into()) };
        let Some(from) = self.planes[side(half)].begin(plane, format) else { return };
        if !self.tiles(half, plane, format, from) {
            return;
        }
        while self.rng.chance(40) {
            self.more_vectors(half, plane, format);
        }
    }

    /// Loads and installs; multiplies in the same cadence of tiles. False if nothing more should be tried.
    fn tiles(&mut self, half: Hemisphere, plane: usize, format: Format, from: u64) -> bool {
        let chip = self.board.chip.clone();
        let d = chip.latency.clone();
        let queue = |port| Queue::Mxm(half, plane as u8, port);
        let position = Slice::Mxm(half).position(&chip);
        let count = if self.rng.chance(25) { 2 + self.rng.below(2) as u32 } else { 1 };
        let mut loads = self.loads(format);
        if count > 1 {
            loads.truncate(1);
        }
        let state = self.planes[side(half)].planes[plane].clone();
        let room = 12 + i64::from(d.read) + 2 * i64::from(chip.mem.slices_per_hemisphere);
        let mut cycle = state.load_from.max(from).max(room as u64) + self.rng.below(4) as u64;
        let first = cycle;
        let mut runs = Vec::new();
        for (lw, cadence, step) in &loads {
            let mut run = self.run(cycle, Instruction::Mxm(*lw), cadence, &[*step]);
            run.repeats.retain(|repeat| repeat.count > 1);
            cycle = run.last_cycle() + 1 + self.rng.below(3) as u64;
            runs.push(run);
        }
        let last = runs.last().map_or(cycle, Run::last_cycle);
        // Tight, or with some room; never before what streams through the old weights is in.
        let slack = |maker: &mut Maker| if maker.rng.chance(60) { 0 } else { maker.rng.below(6) as u64 };
        let install = u64::from(d.install);
        let iw = (last + u64::from(d.load) + slack(self)).max(state.swap_from.saturating_sub(install));
        let abc = (iw + install + slack(self)).max(state.stream_from.unwrap_or(0));
        let vectors = self.vectors(format);
        let span: u64 = vectors.iter().map(|(count, gap)| u64::from(count - 1) * u64::from(*gap)).sum();
        let apart = if format == Format::F16 { 2 } else { 1 };
        let period = (iw + 1 - first)
            .saturating_sub(u64::from(d.load))
            .max(abc + span + apart - iw - install)
            .max(span + apart)
            .max(last - first + 1);
        let tiles = (count > 1).then_some((count, period as u32 + self.rng.below(2) as u32));
        let tiled = |run: &Run| {
            let mut run = run.clone();
            if let Some((count, interval)) = tiles {
                run.repeats.insert(0, Repeat { count, interval, step: 0, window_step: 0 });
            }
            run
        };
        for run in &runs {
            let run = tiled(run);
            let Instruction::Mxm(Mxm::Lw { stream, count, format, .. }) = run.instruction else {
                return false;
            };
            let width = usize::from(format.streams());
            let streams = usize::from(count) * width;
            let cadence: Cadence = run.repeats.iter().map(|r| (r.count, r.interval)).collect();
            let flavour = if self.rng.chance(70) { Flavour::Any } else { Flavour::Small };
            let brought = self.bring(&cadence, position, run.cycle, &vec![flavour; streams], width, None);
            let Some(found) = brought else {
                // Rows may be in the buffer that nobody installs.
                self.planes[side(half)].planes[plane].spoiled |= run.cycle != first;
                return false;
            };
            let mut run = run;
            if let Instruction::Mxm(Mxm::Lw { stream, .. }) = &mut run.instruction {
                *stream = found;
            }
            let _ = (stream, format);
            if !self.add(queue(MxmPort::Load), &run) {
                self.planes[side(half)].planes[plane].spoiled |= run.cycle != first;
                return false;
            }
        }
        let iw_run = tiled(&self.run(iw, Instruction::Mxm(Mxm::Iw), &Cadence::new(), &[]));
        let installed = self.add(queue(MxmPort::Install), &iw_run);
        let state = &mut self.planes[side(half)].planes[plane];
        if !installed {
            state.spoiled = true;
            return false;
        }
        state.load_from = iw_run.last_cycle() + 1 - u64::from(d.load);
        state.swap_from = iw_run.last_cycle() + install + apart;
        state.stream_from = Some(iw_run.last_cycle() + install);
        state.quiet_from = state.quiet_from.max(iw_run.last_cycle() + install + 1);
        if plane == 0 && format != Format::F16 {
            let planes = &mut self.planes[side(half)];
            planes.alone_from = planes.alone_from.or(Some(iw + install));
        }
        let vectors = Vectors { cycle: abc, tiles, vectors };
        self.multiply(half, plane, format, &vectors)
    }

    /// More vectors for the tile that is in the array.
    fn more_vectors(&mut self, half: Hemisphere, plane: usize, format: Format) {
        let Some(from) = self.planes[side(half)].planes[plane].stream_from else { return };
        let vectors = self.vectors(format);
        let cycle = from.max(20) + self.rng.below(5) as u64;
        self.multiply(half, plane, format, &Vectors { cycle, tiles: None, vectors });
    }

    /// Vectors of a tile, as far apart as their format wants.
    fn vectors(&mut self, format: Format) -> Cadence {
        let mut cadence = self.cadence(2);
        if format == Format::F16 {
            cadence.iter_mut().for_each(|(_, interval)| *interval *= 2);
        }
        cadence
    }

    /// LWs that together fill a tile, or part of it: the instruction, its cadence, and the step of its rows. Tiles of F16 may come in fewer bits.
    fn loads(&mut self, format: Format) -> Vec<(Mxm, Cadence, i32)> {
        let mxm = self.board.chip.mxm.clone();
        let most = mxm.load_streams_per_plane as usize * if format == Format::F16 { 2 } else { 1 };
        let few = format == Format::F16 && mxm.formats.contains(&Format::I4);
        let format = if few && self.rng.chance(60) {
            *self.rng.pick(&[Format::I4, Format::F4, Format::F8Wide])
        } else {
            format
        };
        let width = format.streams();
        let rows = usize::from(self.board.chip.buffer_rows(format));
        let count = 1 + self.rng.below((most / usize::from(width)).clamp(1, 4)).min(rows - 1);
        let stream = isa::Stream { number: 0, direction: half_direction() };
        let lw = |row, row_stride| Mxm::Lw { stream, count: count as u8, row, row_stride, format };
        let times = rows / count;
        let gap = if self.rng.chance(70) { 1 } else { 2 };
        let n = if self.rng.chance(50) { times } else { 1 + self.rng.below(times) }.min(12);
        let cadence = |n: usize| if n > 1 { vec![(n as u32, gap)] } else { Cadence::new() };
        match self.rng.below(4) {
            // From the first row on.
            0 => vec![(lw(0, 1), cadence(n), count as i32)],
            // From the last on.
            1 => {
                let last = rows - count;
                vec![(lw(last as u16, 1), cadence(n), -(count as i32))]
            }
            // Each LW takes rows far apart.
            2 => vec![(lw(0, times as u16), cadence(n), 1)],
            // In parts.
            _ => {
                let first = self.rng.below(n);
                let mut all = Vec::new();
                if first > 0 {
                    all.push((lw(0, 1), cadence(first), count as i32));
                }
                all.push((lw((first * count) as u16, 1), cadence(n - first), count as i32));
                all
            }
        }
    }

    /// Vectors through the array, and their sums. False if they could not be placed.
    fn multiply(&mut self, half: Hemisphere, plane: usize, format: Format, vectors: &Vectors) -> bool {
        let chip = self.board.chip.clone();
        let queue = |port| Queue::Mxm(half, plane as u8, port);
        let width = usize::from(format.streams());
        let cadence: Cadence = vectors.tiles.iter().chain(&vectors.vectors).copied().collect();
        let position = Slice::Mxm(half).position(&chip);
        let flavour = if self.rng.chance(70) { Flavour::Any } else { Flavour::Small };
        let brought = self.bring(&cadence, position, vectors.cycle, &vec![flavour; width], width, None);
        let Some(stream) = brought else { return false };
        let abc = self.run(vectors.cycle, Instruction::Mxm(Mxm::Abc { stream, format }), &cadence, &[]);
        let delay = u64::from(chip.latency.product) + u64::from(chip.stagger());
        let Some((accs, sums)) = self.sums(half, plane, format, vectors, vectors.cycle + delay) else {
            return false;
        };
        let fits = self.board.accepts(queue(MxmPort::Stream), &abc, false)
            && accs.iter().all(|acc| self.board.accepts(queue(MxmPort::Accumulate), acc, false));
        if !fits {
            return false;
        }
        self.put(queue(MxmPort::Stream), &abc);
        for acc in &accs {
            self.put(queue(MxmPort::Accumulate), acc);
            let Instruction::Mxm(Mxm::Acc { emit: Some(stream), .. }) = acc.instruction else { continue };
            let put = acc.cycle + u64::from(chip.latency.accumulate);
            let cadence = acc.repeats.iter().map(|repeat| (repeat.count, repeat.interval)).collect();
            let slot = stream.direction.slot(put as i64, position);
            self.flows.push(Flow { stream, count: 4, cadence, slot, position });
        }
        let state = &mut self.planes[side(half)].planes[plane];
        let apart = if format == Format::F16 { 2 } else { 1 };
        state.sums = sums;
        state.stream_from = Some(abc.last_cycle() + apart);
        state.swap_from = state.swap_from.max(abc.last_cycle() + apart);
        state.quiet_from = state.quiet_from.max(abc.last_cycle() + delay + 1);
        true
    }

    /// The ACCs of some vectors: all begin sums, or all add to some, or the later tiles add to what the first began.
    fn sums(
        &mut self,
        half: Hemisphere,
        plane: usize,
        format: Format,
        vectors: &Vectors,
        cycle: u64,
    ) -> Option<(Vec<Run>, BTreeMap<u16, Format>)> {
        let mut sums = self.planes[side(half)].planes[plane].sums.clone();
        let accumulators = self.board.chip.mxm.accumulators;
        let (base, steps) = self.stepping(&vectors.vectors, 0..u32::from(accumulators))?;
        let emit = |maker: &mut Maker| maker.rng.chance(70).then(|| maker.stream(4, half.inward()));
        let acc = |mode, emit| Instruction::Mxm(Mxm::Acc { address: base as u16, mode, emit });
        let mut first = self.run(cycle, acc(AccMode::Start, None), &vectors.vectors, &steps);
        let addresses: Vec<u16> = super::board::elements(&first)?
            .into_iter()
            .filter_map(|(_, instruction)| match instruction {
                Instruction::Mxm(Mxm::Acc { address, .. }) => Some(address),
                _ => None,
            })
            .collect();
        let mode = if addresses.iter().all(|address| sums.get(address) == Some(&format.sums()))
            && self.rng.chance(60)
        {
            AccMode::Add
        } else {
            AccMode::Start
        };
        let mut runs = Vec::new();
        match vectors.tiles {
            Some((count, interval)) if self.rng.chance(60) => {
                first.instruction = acc(mode, if self.rng.chance(30) { emit(self) } else { None });
                runs.push(first.clone());
                let rest = Repeat { count: count - 1, interval, step: 0, window_step: 0 };
                first.cycle += u64::from(interval);
                first.repeats.insert(0, rest);
                first.instruction = acc(AccMode::Add, emit(self));
                runs.push(first);
            }
            tiles => {
                first.instruction = acc(mode, emit(self));
                if let Some((count, interval)) = tiles {
                    first.repeats.insert(0, Repeat { count, interval, step: 0, window_step: 0 });
                }
                runs.push(first);
            }
        }
        sums.extend(addresses.into_iter().map(|address| (address, format.sums())));
        Some((runs, sums))
    }
}

/// Replaced as soon as it is known where the rows come from.
fn half_direction() -> isa::stream::Direction {
    isa::stream::Direction::East
}
