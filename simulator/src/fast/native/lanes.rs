//! Moves between lanes: one target word, each lane from some lane of some source word, or zero.

use cranelift_codegen::ir::Function;
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::FunctionBuilderContext;

use super::library::Code;

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

/// Builds the code of `lane_move`.
pub(super) fn build(
    lane_move: &LaneMove,
    lanes: usize,
    function: &mut Function,
    context: &mut FunctionBuilderContext,
    isa: &dyn TargetIsa,
) {
    let _ = (lane_move, lanes, function, context, isa);
    unimplemented!("moves between lanes")
}
