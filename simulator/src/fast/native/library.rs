//! Compiled code, kept by shape.

use cranelift_codegen::Context;
use cranelift_codegen::ir::{AbiParam, Function, types};
use cranelift_codegen::settings::{self, Configurable};
use cranelift_frontend::FunctionBuilderContext;
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{Module, default_libcall_names};
use indexmap::IndexMap;

use super::chain::{self, Chain, ChainCode};
use super::lanes::{self, LaneCode, LaneMove};
use super::math::Helpers;

/// What compiled code looks like from outside: the arena, then the operands.
pub(super) type Code = unsafe extern "C" fn(*mut u8, *const u32);

/// Bytes of a word in the arena: the lanes, rounded up to a multiple of 64.
pub(crate) fn stride(lanes: usize) -> usize {
    lanes.next_multiple_of(64)
}

/// The code of one chip, compiled when it is first asked for. Handles to code must not outlive the library: its memory is freed with it.
pub(crate) struct Library {
    lanes: usize,
    helpers: Helpers,
    /// Only taken out when the library is dropped.
    module: Option<JITModule>,
    context: Context,
    builder: FunctionBuilderContext,
    chains: IndexMap<Chain, ChainCode>,
    moves: IndexMap<LaneMove, LaneCode>,
}

impl Library {
    /// An empty library for vectors of `lanes` lanes.
    pub(crate) fn new(lanes: usize) -> Library {
        let mut flags = settings::builder();
        for (name, value) in
            [("opt_level", "speed"), ("enable_verifier", if cfg!(test) { "true" } else { "false" })]
        {
            flags.set(name, value).expect("a setting of Cranelift");
        }
        let isa = cranelift_native::builder().expect("a host that Cranelift compiles for");
        let isa = isa.finish(settings::Flags::new(flags)).expect("the flags suit the host");
        let module = JITModule::new(JITBuilder::with_isa(isa, default_libcall_names()));
        Library {
            lanes,
            helpers: Helpers::new(),
            context: module.make_context(),
            module: Some(module),
            builder: FunctionBuilderContext::new(),
            chains: IndexMap::new(),
            moves: IndexMap::new(),
        }
    }

    /// Lanes of a vector.
    #[cfg(test)]
    pub(crate) fn lanes(&self) -> usize {
        self.lanes
    }

    /// The code of `chain`.
    pub(crate) fn chain(&mut self, chain: &Chain) -> ChainCode {
        if let Some(code) = self.chains.get(chain) {
            return *code;
        }
        let (lanes, helpers) = (self.lanes, self.helpers);
        let code = self.compile(|function, builder, module| {
            chain::build(chain, lanes, function, builder, module.isa(), helpers);
        });
        let code = ChainCode::new(code);
        self.chains.insert(chain.clone(), code);
        code
    }

    /// The code of `lane_move`, whose map has one entry per lane.
    pub(crate) fn lane_move(&mut self, lane_move: &LaneMove) -> LaneCode {
        if let Some(code) = self.moves.get(lane_move) {
            return *code;
        }
        let lanes = self.lanes;
        let code = self.compile(|function, builder, module| {
            lanes::build(lane_move, lanes, function, builder, module.isa());
        });
        let code = LaneCode::new(code);
        self.moves.insert(lane_move.clone(), code);
        code
    }

    fn compile(
        &mut self,
        build: impl FnOnce(&mut Function, &mut FunctionBuilderContext, &JITModule),
    ) -> Code {
        let module = self.module.as_mut().expect("the module is there until the library is dropped");
        let pointer = module.target_config().pointer_type();
        debug_assert_eq!(pointer, types::I64);
        self.context.func.signature = module.make_signature();
        self.context.func.signature.params.extend([AbiParam::new(pointer), AbiParam::new(pointer)]);
        build(&mut self.context.func, &mut self.builder, module);
        let signature = &self.context.func.signature;
        let id = module.declare_anonymous_function(signature).expect("a name of its own");
        module.define_function(id, &mut self.context).expect("what was built compiles");
        module.clear_context(&mut self.context);
        module.finalize_definitions().expect("memory can be made executable");
        let code = module.get_finalized_function(id);
        // SAFETY: the function was just compiled with this signature, in the C calling convention of the host.
        unsafe { std::mem::transmute::<*const u8, Code>(code) }
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        if let Some(module) = self.module.take() {
            // SAFETY: handles do not outlive the library, so nobody calls the code any more.
            unsafe { module.free_memory() };
        }
    }
}
