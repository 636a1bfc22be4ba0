//! From a chain to code: a loop over blocks of 16 lanes, in which every node is computed for one block.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    AbiParam, Endianness, Function, InstBuilder, MemFlagsData, Signature, StackSlot, StackSlotData,
    StackSlotKind, Value, types,
};
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use isa::stream::Format;

use super::{Chain, Node, Source};
use crate::fast::native::library::stride;
use crate::fast::native::math::Helpers;

/// Lanes of a block.
pub(super) const BLOCK: usize = 16;

/// One block of lanes: four vectors of four 32-bit integers.
pub(super) type Block = [Value; 4];

/// A function under construction.
pub(super) struct Emit<'a> {
    pub(super) builder: FunctionBuilder<'a>,
    pub(super) helpers: Helpers,
    signature: Signature,
    /// Where a block is handed to a helper, and comes back.
    slot: Option<StackSlot>,
}

/// Where an operand is, known before the loop.
#[derive(Clone, Copy)]
enum Place {
    /// Addresses of the first bytes of planes; 32-bit integers of one vector for `Source::Wide`.
    Planes(Format, [Value; 4]),
    Wide(Value),
    /// The scalar, and its block.
    Immediate(Value, Value),
    Node(u8),
}

/// A node's places.
struct Places {
    a: Place,
    b: Option<Place>,
    result: Option<Output>,
    keep: Option<Value>,
}

/// Where a result goes.
#[derive(Clone, Copy)]
enum Output {
    Planes(Format, [Value; 4]),
    /// Kept as words until the loop is over, then narrowed.
    Halves {
        words: Value,
        planes: [Value; 2],
    },
}

/// Nothing is known of the alignment.
pub(super) fn flags() -> MemFlagsData {
    MemFlagsData::new().with_notrap()
}

/// Builds the code of `chain` for vectors of `lanes` lanes.
pub(in crate::fast::native) fn build(
    chain: &Chain,
    lanes: usize,
    function: &mut Function,
    context: &mut FunctionBuilderContext,
    isa: &dyn TargetIsa,
    helpers: Helpers,
) {
    let mut signature = Signature::new(function.signature.call_conv);
    signature.params.push(AbiParam::new(types::I64));
    let builder = FunctionBuilder::new(function, context);
    let mut emit = Emit { builder, helpers, signature, slot: None };
    let entry = emit.builder.create_block();
    emit.builder.append_block_params_for_function_params(entry);
    emit.builder.switch_to_block(entry);
    emit.builder.seal_block(entry);
    let [arena, operands] = [0, 1].map(|index| emit.builder.block_params(entry)[index]);
    let mut reader = Reader { arena, operands, next: 0, stride: stride(lanes) as i64, lanes };
    let places: Vec<Places> = chain.nodes.iter().map(|node| reader.places(&mut emit, node)).collect();

    let body = emit.builder.create_block();
    let exit = emit.builder.create_block();
    let lane = emit.builder.append_block_param(body, types::I64);
    let zero = emit.builder.ins().iconst(types::I64, 0);
    emit.builder.ins().jump(body, &[zero.into()]);
    emit.builder.switch_to_block(body);
    let mut results: Vec<Block> = Vec::with_capacity(chain.nodes.len());
    for (node, places) in chain.nodes.iter().zip(&places) {
        let (a, _) = emit.operand(places.a, lane, &results);
        let b = places.b.map(|place| emit.operand(place, lane, &results));
        let result = emit.apply(node.op, a, b);
        match places.result {
            Some(Output::Planes(format, planes)) => {
                emit.narrow(format, result, &planes.map(|plane| (plane, lane)));
            }
            Some(Output::Halves { words, .. }) => emit.store_wide(words, lane, result),
            None => {}
        }
        if let Some(base) = places.keep {
            emit.store_wide(base, lane, result);
        }
        results.push(result);
    }
    let next = emit.builder.ins().iadd_imm_s(lane, BLOCK as i64);
    let more = emit.builder.ins().icmp_imm_u(IntCC::UnsignedLessThan, next, lanes as i64);
    emit.builder.ins().brif(more, body, &[next.into()], exit, &[]);
    emit.builder.seal_block(body);
    emit.builder.switch_to_block(exit);
    emit.builder.seal_block(exit);
    for places in &places {
        if let Some(Output::Halves { words, planes: [low, high] }) = places.result {
            let narrow = emit.helpers.halves.narrow as usize;
            emit.call_on_vectors(narrow, [words, low, high], lanes);
        }
    }
    emit.builder.ins().return_(&[]);
    emit.builder.finalize(isa.frontend_config());
}

/// Reads the operands of a call, in order.
struct Reader {
    arena: Value,
    operands: Value,
    next: i32,
    stride: i64,
    lanes: usize,
}

impl Reader {
    fn places(&mut self, emit: &mut Emit<'_>, node: &Node) -> Places {
        Places {
            a: self.source(emit, node.a),
            b: node.b.map(|b| self.source(emit, b)),
            result: node.result.map(|format| match format {
                Format::F16 => {
                    let planes = [self.address(emit), self.address(emit)];
                    Output::Halves { words: emit.vector(self.stride), planes }
                }
                _ => Output::Planes(format, self.planes(emit, format)),
            }),
            keep: node.keep.then(|| self.address(emit)),
        }
    }

    fn source(&mut self, emit: &mut Emit<'_>, source: Source) -> Place {
        match source {
            Source::Planes(Format::F16) => {
                let [low, high] = [self.address(emit), self.address(emit)];
                let words = emit.vector(self.stride);
                let widen = emit.helpers.halves.widen as usize;
                emit.call_on_vectors(widen, [low, high, words], self.lanes);
                Place::Wide(words)
            }
            Source::Planes(format) => Place::Planes(format, self.planes(emit, format)),
            Source::Wide => Place::Wide(self.address(emit)),
            Source::Immediate => {
                let scalar = self.operand(emit);
                Place::Immediate(scalar, emit.builder.ins().splat(types::I32X4, scalar))
            }
            Source::Node(node) => Place::Node(node),
        }
    }

    fn planes(&mut self, emit: &mut Emit<'_>, format: Format) -> [Value; 4] {
        let first = self.address(emit);
        let mut planes = [first; 4];
        for plane in &mut planes[1..format.streams().into()] {
            *plane = self.address(emit);
        }
        planes
    }

    fn operand(&mut self, emit: &mut Emit<'_>) -> Value {
        let offset = 4 * self.next;
        self.next += 1;
        emit.builder.ins().load(types::I32, flags(), self.operands, offset)
    }

    fn address(&mut self, emit: &mut Emit<'_>) -> Value {
        let word = self.operand(emit);
        let word = emit.builder.ins().uextend(types::I64, word);
        let offset = emit.builder.ins().imul_imm_s(word, self.stride);
        emit.builder.ins().iadd(self.arena, offset)
    }
}

impl Emit<'_> {
    /// A block of an operand; and the scalar, if it is the same in all lanes.
    fn operand(&mut self, place: Place, lane: Value, results: &[Block]) -> (Block, Option<Value>) {
        match place {
            Place::Planes(format, planes) => (self.widen(format, &planes.map(|plane| (plane, lane))), None),
            Place::Wide(base) => {
                let address = self.wide(base, lane);
                let load = |index: i32| self.builder.ins().load(types::I32X4, flags(), address, 16 * index);
                ([0, 1, 2, 3].map(load), None)
            }
            Place::Immediate(scalar, block) => ([block; 4], Some(scalar)),
            Place::Node(node) => (results[usize::from(node)], None),
        }
    }

    fn wide(&mut self, base: Value, lane: Value) -> Value {
        let offset = self.builder.ins().ishl_imm_u(lane, 2);
        self.builder.ins().iadd(base, offset)
    }

    fn store_wide(&mut self, base: Value, lane: Value, block: Block) {
        let address = self.wide(base, lane);
        for (index, value) in (0..).zip(block) {
            self.builder.ins().store(flags(), value, address, 16 * index);
        }
    }

    /// Room on the stack for a wide vector.
    fn vector(&mut self, stride: i64) -> Value {
        let data = StackSlotData::new(StackSlotKind::ExplicitSlot, 4 * stride as u32, 6);
        let slot = self.builder.create_sized_stack_slot(data);
        self.builder.ins().stack_addr(types::I64, slot, 0)
    }

    /// Calls a helper that takes three vectors, and a number of blocks.
    fn call_on_vectors(&mut self, helper: usize, [a, b, c]: [Value; 3], lanes: usize) {
        let mut signature = Signature::new(self.signature.call_conv);
        signature.params.extend([AbiParam::new(types::I64); 4]);
        let signature = self.builder.import_signature(signature);
        let callee = self.builder.ins().iconst(types::I64, helper as i64);
        let blocks = self.builder.ins().iconst(types::I64, lanes.div_ceil(BLOCK) as i64);
        self.builder.ins().call_indirect(signature, callee, &[a, b, c, blocks]);
    }

    /// What a helper makes of a block.
    pub(super) fn call(&mut self, helper: unsafe extern "C" fn(*mut u32), block: Block) -> Block {
        let slot = *self.slot.get_or_insert_with(|| {
            let data = StackSlotData::new(StackSlotKind::ExplicitSlot, 4 * BLOCK as u32, 4);
            self.builder.create_sized_stack_slot(data)
        });
        let address = self.builder.ins().stack_addr(types::I64, slot, 0);
        for (index, value) in (0..).zip(block) {
            self.builder.ins().store(flags(), value, address, 16 * index);
        }
        let signature = self.builder.import_signature(self.signature.clone());
        let callee = self.builder.ins().iconst(types::I64, helper as usize as i64);
        self.builder.ins().call_indirect(signature, callee, &[address]);
        [0, 1, 2, 3].map(|index| self.builder.ins().load(types::I32X4, flags(), address, 16 * index))
    }

    /// The same bits in every lane.
    pub(super) fn all(&mut self, bits: u32) -> Value {
        let bytes: Vec<u8> = bits.to_le_bytes().repeat(4);
        let constant = self.builder.func.dfg.constants.insert(bytes.as_slice().into());
        self.builder.ins().vconst(types::I32X4, constant)
    }

    /// The same bits, seen as another type of vector.
    pub(super) fn cast(&mut self, to: cranelift_codegen::ir::Type, value: Value) -> Value {
        let flags = MemFlagsData::new().with_endianness(Endianness::Little);
        self.builder.ins().bitcast(to, flags, value)
    }
}
