//! The memory image: constants and states as words of slices.

use bytes::Bytes;
use half::f16;
use isa::program::SegmentData;
use isa::{Chip, Element, Format, Segment, numeric};

use super::Names;
use crate::diagnostic::Diagnostic;
use crate::graph::blocks::BLOCK;
use crate::graph::eval::Tensor;
use crate::graph::{Few, Graph, eval};
use crate::lower::context::words;
use crate::lower::flow::Kernels;
use crate::lower::storage::{MaskKind, Region, Role, Storage, StorageId};
use crate::schedule::Schedule;

/// Segments of all arrays that hold something before the first cycle, by slice and address.
pub(crate) fn image(
    graph: &Graph,
    kernels: &Kernels,
    schedule: &Schedule,
    chip: &Chip,
    names: &mut Names,
) -> Result<Vec<Segment>, Diagnostic> {
    let mut segments = Vec::new();
    for (id, array) in kernels.storages.arrays.iter() {
        let node = match array.role {
            Role::Mask { .. } => 0,
            _ => names.index(&graph.nodes[array.node].origin),
        };
        let content = match &array.role {
            Role::Constant => match eval::constant(graph, array.node)? {
                Some(tensor) => Content::Bytes(planes(array, kernels, chip, &encode(array, chip, &tensor))),
                None => Content::Absent,
            },
            Role::Mask { lanes, kind } => {
                Content::Bytes(planes(array, kernels, chip, &mask(chip, *lanes, *kind)))
            }
            Role::State(..) => Content::Zero,
            Role::Input(_) | Role::Output(_) | Role::Temporary => continue,
        };
        push(&mut segments, (id, array), kernels, schedule, content, node);
    }
    segments.sort_by_key(|segment| (segment.hemisphere, segment.slice, segment.address));
    Ok(segments)
}

enum Content {
    /// Per region, per slice of it.
    Bytes(Vec<(Region, Vec<Vec<u8>>)>),
    Zero,
    Absent,
}

fn push(
    segments: &mut Vec<Segment>,
    (id, array): (StorageId, &Storage),
    kernels: &Kernels,
    schedule: &Schedule,
    content: Content,
    node: u32,
) {
    let mut content = content;
    for (region, words) in array.regions() {
        let address = schedule.bases.base(id, region).unwrap_or(0);
        for (at, slice) in kernels.storages.plan.slices(region).enumerate() {
            let data = match &mut content {
                Content::Zero => SegmentData::Fill(0),
                Content::Absent => SegmentData::Absent,
                Content::Bytes(planes) => match planes.iter_mut().find(|(r, _)| *r == region) {
                    Some((_, slices)) if !slices[at].is_empty() => {
                        SegmentData::Bytes(Bytes::from(std::mem::take(&mut slices[at])))
                    }
                    _ => continue,
                },
            };
            segments.push(Segment { hemisphere: region.hemisphere(), slice, address, words, data, node });
        }
    }
}

/// Elements as little-endian bytes of the array's type, row-major.
fn encode(array: &Storage, chip: &Chip, tensor: &Tensor) -> Vec<u32> {
    let words = words(tensor);
    if let Some(few) = array.few {
        return tiles(array, (few, chip), (tensor.shape.last().copied().unwrap_or(1), &words));
    }
    match array.element {
        Element::F16 => {
            words.iter().map(|&word| u32::from(f16::from_f32(f32::from_bits(word)).to_bits())).collect()
        }
        Element::I8 => words.iter().map(|&word| numeric::narrow(Format::I8, word)).collect(),
        Element::F8 => words.iter().map(|&word| numeric::narrow(Format::F8, word)).collect(),
        _ => words,
    }
}

/// Tiles of weights of four bits as the planes load them ([`isa::instruction::Mxm::Lw`]): of each block of rows two rows of scales, and then pairs.
fn tiles(array: &Storage, (few, chip): (Few, &Chip), (columns, words): (usize, &[u32])) -> Vec<u32> {
    let mut encoded = Vec::new();
    let batch = words.len() / array.batches as usize;
    let tiles = words.chunks(batch).flat_map(|batch| batch.chunks(usize::from(chip.mxm.rows) * columns));
    for rows in tiles.flat_map(|tile| tile.chunks(BLOCK * columns)) {
        let mut bytes = vec![0; chip.four_bit_rows((rows.len() / columns) as u32) as usize * array.columns];
        for (row, elements) in rows.chunks(columns).enumerate() {
            for (first, block) in (0..).step_by(BLOCK).zip(elements.chunks(BLOCK)) {
                let block: Vec<f32> = block.iter().map(|&word| f32::from_bits(word)).collect();
                let (scale, codes) = few.quantize(&block);
                for (half, byte) in scale.to_le_bytes().into_iter().enumerate() {
                    bytes[half * array.columns + first + row] = byte.into();
                }
                let pair = &mut bytes[(2 + row / 2) * array.columns + first..];
                pair.iter_mut().zip(codes).for_each(|(byte, code)| *byte |= u32::from(code) << (row % 2 * 4));
            }
        }
        encoded.append(&mut bytes);
    }
    encoded
}

/// Two rows: all lanes, and the lanes below a number.
fn mask(chip: &Chip, lanes: usize, kind: MaskKind) -> Vec<u32> {
    let (inside, outside) = match kind {
        MaskKind::Zero => (u32::MAX, 0),
        MaskKind::NegativeInfinity => (f32::INFINITY.to_bits(), f32::NEG_INFINITY.to_bits()),
        MaskKind::LeastInteger => (i32::MAX.cast_unsigned(), i32::MIN.cast_unsigned()),
    };
    let full = std::iter::repeat_n(inside, chip.lanes);
    full.chain((0..chip.lanes).map(|lane| if lane < lanes { inside } else { outside })).collect()
}

/// Byte planes: for each region, for each of its slices, `words` × lanes bytes.
fn planes(array: &Storage, kernels: &Kernels, chip: &Chip, elements: &[u32]) -> Vec<(Region, Vec<Vec<u8>>)> {
    let width = array.element.bytes();
    let regions = array.regions();
    let stripes = array.units.iter().map(|unit| unit.rows.div_ceil(unit.per_stripe)).max();
    let dealt = array.units.iter().any(|unit| unit.deal.is_some());
    let used = if dealt { usize::MAX } else { stripes.unwrap_or(0) as usize * width };
    let mut planes: Vec<(Region, Vec<Vec<u8>>)> = regions
        .iter()
        .map(|&(region, words)| {
            let slices = kernels.storages.plan.slices(region).len();
            let plane = |at: usize| if at < used { vec![0; words as usize * chip.lanes] } else { Vec::new() };
            (region, (0..slices).map(plane).collect())
        })
        .collect();
    let columns = array.columns;
    let per_tap = array.chunks / array.taps;
    for unit in &array.units {
        let Some((_, slices)) = planes.iter_mut().find(|(region, _)| *region == unit.region) else {
            continue;
        };
        let rows = unit.row..unit.row + unit.rows;
        let chunks = unit.chunk..unit.chunk + unit.chunks;
        let vectors = rows.flat_map(|row| chunks.clone().map(move |chunk| (row, chunk)));
        let choices = 0..array.choices;
        for ((row, chunk), choice) in vectors.flat_map(|at| choices.clone().map(move |choice| (at, choice))) {
            let (tap, lane) = (chunk / per_tap, (chunk % per_tap) as usize * chip.lanes);
            let first = ((choice * array.rows + row) * array.taps + tap) as usize * columns + lane;
            let lanes = chip.lanes.min(columns - lane);
            let (place, in_stripe) = ((row - unit.row) / unit.per_stripe, (row - unit.row) % unit.per_stripe);
            let (stripe, block) = unit.place(chunk, place, (slices.len() / width) as u32);
            let word = ((block + in_stripe) * array.choices + choice) as usize;
            for byte in 0..width {
                let plane = &mut slices[stripe as usize * width + byte];
                let word = &mut plane[word * chip.lanes..][..chip.lanes];
                if array.broadcast {
                    word.fill((elements[first] >> (8 * byte)) as u8);
                    continue;
                }
                for (to, element) in word.iter_mut().zip(&elements[first..first + lanes]) {
                    *to = (element >> (8 * byte)) as u8;
                }
            }
        }
    }
    planes
}
