//! Moves between lanes: one target word, each lane from some lane of some source word, or zero.

use cranelift_codegen::ir::{Function, InstBuilder, MemFlagsData, Value, types};
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};

use super::library::{Code, stride};

/// The shape of a move: compiled once, called often.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LaneMove {
    /// How many source words there are.
    pub(crate) sources: u8,
    /// For each lane of the target, the source and its lane, or none for zero.
    pub(crate) map: Box<[Option<(u8, u16)>]>,
}

/// The code of a move. It lives as long as the library that it is from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LaneCode(Code);

impl LaneCode {
    pub(super) fn new(code: Code) -> LaneCode {
        LaneCode(code)
    }

    /// Moves one vector.
    ///
    /// # Safety
    ///
    /// The library is alive; `operands` lists the words of the sources and then that of the target, which is none of the sources; all
    /// lie in the arena, which nobody else uses meanwhile.
    pub(crate) unsafe fn call(self, arena: *mut u8, operands: &[u32]) {
        // SAFETY: the caller's promise is the code's.
        unsafe { (self.0)(arena, operands.as_ptr()) }
    }
}

/// Lanes that are made at once.
const BLOCK: usize = 16;

/// Builds the code of `lane_move`: for each block of target lanes, stretches of sources are loaded, shuffled, and joined; lanes that come
/// alone are inserted one by one.
pub(super) fn build(
    lane_move: &LaneMove,
    lanes: usize,
    function: &mut Function,
    context: &mut FunctionBuilderContext,
    isa: &dyn TargetIsa,
) {
    assert_eq!(lane_move.map.len(), lanes, "an entry for each lane");
    let stride = stride(lanes);
    let flags = MemFlagsData::new().with_notrap();
    let mut builder = FunctionBuilder::new(function, context);
    let entry = builder.create_block();
    builder.append_block_params_for_function_params(entry);
    builder.switch_to_block(entry);
    builder.seal_block(entry);
    let [arena, operands] = [0, 1].map(|index| builder.block_params(entry)[index]);
    let words = (0..=i32::from(lane_move.sources)).map(|index| {
        let word = builder.ins().load(types::I32, flags, operands, 4 * index);
        let word = builder.ins().uextend(types::I64, word);
        let offset = builder.ins().imul_imm_s(word, stride as i64);
        builder.ins().iadd(arena, offset)
    });
    let mut words: Vec<Value> = words.collect();
    let target = words.pop().expect("a target");
    let has_pshufb = isa.name() == "x64";
    for (block, wanted) in lane_move.map.chunks(BLOCK).enumerate() {
        let (stretches, single) = plan(wanted, stride);
        let mut joined = None;
        for stretch in stretches {
            let loaded = builder.ins().load(types::I8X16, flags, words[stretch.source], stretch.start as i32);
            let part = if stretch.from == IDENTITY {
                loaded
            } else {
                let mask = builder.func.dfg.constants.insert(stretch.from.as_slice().into());
                let mask = builder.ins().vconst(types::I8X16, mask);
                if has_pshufb {
                    builder.ins().x86_pshufb(loaded, mask)
                } else {
                    builder.ins().swizzle(loaded, mask)
                }
            };
            joined = Some(joined.map_or(part, |joined| builder.ins().bor(joined, part)));
        }
        let mut value = joined.unwrap_or_else(|| {
            let zeros = builder.func.dfg.constants.insert([0; BLOCK].as_slice().into());
            builder.ins().vconst(types::I8X16, zeros)
        });
        for (lane, source, from) in single {
            let byte = builder.ins().load(types::I8, flags, words[source], from as i32);
            value = builder.ins().insertlane(value, byte, lane);
        }
        builder.ins().store(flags, value, target, (BLOCK * block) as i32);
    }
    builder.ins().return_(&[]);
    builder.finalize(isa.frontend_config());
}

/// Sixteen lanes of a source, and where in the target they go.
struct Stretch {
    source: usize,
    start: usize,
    /// For each target lane, the lane of the stretch, or [`NONE`].
    from: [u8; BLOCK],
}

/// Makes zero.
const NONE: u8 = 0xff;

/// Every lane stays where it is.
const IDENTITY: [u8; BLOCK] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// A target lane, and its source and lane.
type Single = (u8, usize, usize);

/// How to make a block of target lanes.
fn plan(wanted: &[Option<(u8, u16)>], stride: usize) -> (Vec<Stretch>, Vec<Single>) {
    let entries = wanted.iter().zip(0..).filter_map(|(entry, lane)| {
        entry.map(|(source, from)| (usize::from(source), usize::from(from), lane))
    });
    let mut entries: Vec<(usize, usize, u8)> = entries.collect();
    entries.sort_unstable();
    let (mut stretches, mut single) = (Vec::new(), Vec::new());
    while let Some(&(source, first, _)) = entries.first() {
        // A stretch starts at the least lane that is left, but ends within the word.
        let start = first.min(stride - BLOCK);
        let count = entries.partition_point(|(s, from, _)| (*s, *from) < (source, start + BLOCK));
        let taken = entries.drain(..count);
        // An insertion takes about as long as a shuffle with what belongs to it.
        if count <= 1 {
            single.extend(taken.map(|(source, from, lane)| (lane, source, from)));
        } else {
            let mut from = [NONE; BLOCK];
            taken.for_each(|(_, lane, to)| from[usize::from(to)] = (lane - start) as u8);
            stretches.push(Stretch { source, start, from });
        }
    }
    (stretches, single)
}

#[cfg(test)]
mod tests;
