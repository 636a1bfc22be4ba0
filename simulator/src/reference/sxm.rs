//! The SXM of one hemisphere: moves bytes from lane to lane.

use isa::Chip;
use isa::instruction::Sxm;
use isa::program::ZERO_LANE;
use isa::stream::Stream;

use crate::fault::{Dispatch, FaultKind, Raised};
use crate::stream::{Output, Pipeline, Registers};

/// One slice; its queues differ in nothing.
pub(crate) struct SxmSlice {
    position: i32,
    lanes: usize,
    lanes_per_superlane: usize,
    cycles: u64,
    /// What crosses superlanes waits for the last of them.
    crossing_cycles: u64,
    switching: Pipeline<Output>,
}

impl SxmSlice {
    /// A slice at `position`.
    pub(crate) fn new(chip: &Chip, position: i32) -> SxmSlice {
        let cycles = u64::from(chip.latency.sxm);
        SxmSlice {
            position,
            lanes: chip.lanes,
            lanes_per_superlane: chip.lanes_per_superlane,
            cycles,
            crossing_cycles: cycles + u64::from(chip.stagger()),
            switching: Pipeline::new(),
        }
    }

    /// Nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.switching.is_empty()
    }

    /// Results that arrive at the streams in `cycle`. Says whether there was any.
    pub(crate) fn put(&mut self, cycle: u64, registers: &mut Registers, faults: &mut Vec<Raised>) -> bool {
        let mut any = false;
        while let Some(output) = self.switching.arrive(cycle) {
            faults.extend(registers.put(cycle, self.position, &output).err());
            any = true;
        }
        any
    }

    /// Does what an instruction does at its dispatch.
    pub(crate) fn dispatch(
        &mut self,
        by: &Dispatch,
        sxm: Sxm,
        maps: &[Vec<u16>],
        registers: &Registers,
    ) -> Result<(), Raised> {
        let take = |stream: Stream, count: usize| registers.take(by, stream, count, self.position);
        let (to, count, cycles, bytes) = match sxm {
            Sxm::Shift { lanes, streams, from, to } => {
                let source = take(from, streams.into())?;
                (
                    to,
                    streams,
                    self.crossing_cycles,
                    self.each(source, |lane| lane.checked_add_signed(-isize::from(lanes))),
                )
            }
            Sxm::Select { map, streams, from, other, to } => {
                let map = find(by, maps, map)?;
                let (zero, one) = (take(from, streams.into())?, take(other, streams.into())?);
                check_selection(by, map)?;
                (to, streams, self.cycles, self.select(map, zero, one))
            }
            Sxm::Permute { map, streams, from, to } => {
                let map = find(by, maps, map)?;
                check_permutation(by, map, self.lanes)?;
                let source = take(from, streams.into())?;
                let lane = |lane: usize| (map[lane] != ZERO_LANE).then(|| usize::from(map[lane]));
                (to, streams, self.crossing_cycles, self.each(source, lane))
            }
            Sxm::Distribute { map, streams, from, to } => {
                let map = find(by, maps, map)?;
                let width = self.lanes_per_superlane;
                check_distribution(by, map, width)?;
                let source = take(from, streams.into())?;
                let lane = |lane: usize| {
                    let entry = map[lane % width];
                    (entry != ZERO_LANE).then(|| lane - lane % width + usize::from(entry))
                };
                (to, streams, self.cycles, self.each(source, lane))
            }
            Sxm::Rotate { n, from, to } => {
                let source = take(from, n.into())?;
                (to, n * n, self.crossing_cycles, self.rotate(usize::from(n), source))
            }
            Sxm::Transpose { from, to } => {
                let source = take(from, self.lanes_per_superlane)?;
                (to, self.lanes_per_superlane as u8, self.cycles, self.transpose(source))
            }
        };
        registers.check(by, to, count.into(), 1)?;
        self.switching.send(by.cycle + cycles, Output { by: *by, stream: to, bytes, merge: false });
        Ok(())
    }

    /// Every vector of `source` with lane i replaced by lane `from(i)`, or by zero where there is none.
    fn each(&self, source: &[u8], from: impl Fn(usize) -> Option<usize>) -> Vec<u8> {
        let mut bytes = vec![0; source.len()];
        for lane in 0..self.lanes {
            if let Some(from) = from(lane).filter(|from| *from < self.lanes) {
                for vector in (0..source.len()).step_by(self.lanes) {
                    bytes[vector + lane] = source[vector + from];
                }
            }
        }
        bytes
    }

    fn select(&self, map: &[u16], zero: &[u8], one: &[u8]) -> Vec<u8> {
        let choose = |index: usize| match map[index % self.lanes] {
            0 => zero[index],
            1 => one[index],
            _ => 0,
        };
        (0..zero.len()).map(choose).collect()
    }

    /// Destination i·n + j is source i with lane l replaced by lane (l + j) mod lanes.
    fn rotate(&self, n: usize, source: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(n * n * self.lanes);
        for vector in source.chunks(self.lanes) {
            for by in 0..n {
                bytes.extend((0..self.lanes).map(|lane| vector[(lane + by) % self.lanes]));
            }
        }
        bytes
    }

    /// In each superlane, lane i of destination j is lane j of source i.
    fn transpose(&self, source: &[u8]) -> Vec<u8> {
        let width = self.lanes_per_superlane;
        let mut bytes = vec![0; width * self.lanes];
        for to in 0..width {
            for lane in 0..self.lanes {
                let from = lane % width;
                bytes[to * self.lanes + lane] = source[from * self.lanes + lane - from + to];
            }
        }
        bytes
    }
}

/// Every entry of a Permute's map names a lane, and no lane is named twice.
pub(crate) fn check_permutation(by: &Dispatch, map: &[u16], lanes: usize) -> Result<(), Raised> {
    let mut used = vec![false; lanes];
    for &entry in map.iter().filter(|entry| **entry != ZERO_LANE) {
        match used.get_mut(usize::from(entry)) {
            None => return Err(by.fault(FaultKind::BadMap, format!("lane {entry} of {lanes}"))),
            Some(true) => return Err(by.fault(FaultKind::BadMap, format!("lane {entry} is used twice"))),
            Some(used) => *used = true,
        }
    }
    Ok(())
}

/// Every entry of a Distribute's map that counts names a lane of a superlane of `width`.
pub(crate) fn check_distribution(by: &Dispatch, map: &[u16], width: usize) -> Result<(), Raised> {
    if map[..width].iter().any(|entry| *entry != ZERO_LANE && usize::from(*entry) >= width) {
        return Err(by.fault(FaultKind::BadMap, format!("an entry past the superlane's {width} lanes")));
    }
    Ok(())
}

/// Every entry of a Select's map is a choice.
pub(crate) fn check_selection(by: &Dispatch, map: &[u16]) -> Result<(), Raised> {
    if map.iter().any(|entry| ![0, 1, ZERO_LANE].contains(entry)) {
        return Err(by.fault(FaultKind::BadMap, "an entry that is neither 0 nor 1 nor zero"));
    }
    Ok(())
}

/// The map with this number.
pub(crate) fn find<'m>(by: &Dispatch, maps: &'m [Vec<u16>], map: u16) -> Result<&'m [u16], Raised> {
    maps.get(usize::from(map))
        .map(Vec::as_slice)
        .ok_or_else(|| by.fault(FaultKind::AddressOutOfRange, format!("lane map {map} of {}", maps.len())))
}
