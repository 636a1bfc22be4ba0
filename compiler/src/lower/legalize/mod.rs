//! Brings a graph into legal form: the operators that the machine's units do directly.
//!
//! A tensor lives in SRAM as rows of vectors: its last axis is on the lanes (cut into chunks of a vector), all other axes
//! are rows. A tensor whose last axis is 1 is stored with its element in all lanes. Every tensor has an axis: scalars become [1].
//!
//! **Legal form** ([`check`]). Constant expressions (all ancestors are constants) may hold any operator: they are evaluated when the
//! program is made. Other nodes are:
//! 1. Input. Several nodes of one name with equally many elements are views of the host's array: the host writes each in its layout.
//!    Append along the second to last axis. Or along the last one (a state by columns, [`columns`]): then a superlane of columns, as the Transpose of
//!    another state, at a whole superlane's position; a fourth operand says which words that means ([rotations, lanes]).
//! 2. MatMul with `transpose_b`, k >= 2 and n >= 2. Leading axes broadcast, ranks may differ. One operand may be a constant expression;
//!    a left identity matrix makes it a transpose.
//!    Conv with channels last, two spatial axes and one group, of two channels or more with constant weights of two outputs or more.
//! 3. Pointwise with numpy broadcasting: Unary Neg, Abs, Exp, Tanh, Rsqrt, Relu, Not, Floor, Round, RoundF16, Mantissa, Exponent, Bits; Binary Add, Sub, Mul, Max, Min, Less,
//!    LessEqual, Equal, And, Or, Xor, ShiftLeft, ShiftRight; Select; every Cast, but F32 to I32 only of what Floor or Round made.
//! 4. Reduce Sum and Max over the last axis.
//! 5. Free views: Reshape that keeps the last axis' length, Transpose that keeps the last axis last, Slice of another axis, Expand of axes of
//!    length 1 (rank unchanged).
//! 6. Lane moves: Slice of two or more elements of the last axis with step 1, Concat on any axis, Pad with zeros on any axis, Reshape that only cuts the last axis in two ([.., h·d] to
//!    [.., h, d]) or only joins the last two.
//! 7. Gather of axis 0 from a constant table [v, d] by indices [.., 1]. Indices are at least 0: computed ones are made so, the host's are
//!    taken as they are. Or matrices of a constant [v, n, k], if only products take them, as right operands ([`Graph::choice`]).
//!
//! **Accuracy.** Reciprocals, roots and the like are within a few units in the last place of binary32; erf, sine and cosine (|x| up to 10,000)
//! within 5e-7; arc tangent within 3e-7 of its size; log within two units; powers within 2^-22 |y log x| of their size where they are not products. Quotients
//! that are rounded are those of binary32. With [`Precision::Fp16`] operands of products are rounded to binary16 by the machine, and that includes
//! transposes that had to become products. With [`Precision::Fp32`] every product becomes up to three products of binary16 parts with 22
//! significant bits together; operands above 65,504 overflow in both.

mod builder;
mod caches;
mod channels;
mod check;
mod columns;
mod constants;
mod convolution;
mod divide;
mod gather;
mod narrow;
mod pointwise;
mod power;
mod precision;
mod quantize;
mod product;
mod prune;
mod reduce;
mod sink;
mod special;
mod view;

pub use caches::narrow as narrow_caches;
pub use check::check;
pub use columns::{COLUMNS, RECENT, appends_columns};
pub use quantize::takes;

use crate::Precision;
use crate::diagnostic::Diagnostic;
use crate::graph::{BinaryOp, ElementType, Graph, NodeId, Op, State, TensorType, UnaryOp, eval, fold};
use builder::Builder;
use columns::{Columns, Lanes};
use cranelift_entity::SecondaryMap;
use std::collections::{BTreeMap, BTreeSet};

/// The graph with the channels of convolutions last. What is turned before it is rewritten has no transposes that rewriting could spread.
pub fn turn(graph: Graph) -> Graph {
    channels::channels_last(graph)
}

/// The graph in legal form: same inputs, outputs and states by name, same values. Scalar inputs and outputs have shape [1]. The
/// error lists every operation that has no legal form.
pub fn legalize(graph: Graph, precision: Precision, chip: &isa::Chip) -> Result<Graph, Diagnostic> {
    let graph = turn(fold::fold(graph));
    check::refuse(&graph)?;
    let lanes = Lanes { all: chip.lanes, superlane: chip.lanes_per_superlane };
    // Parts of binary16 are made from rows.
    let chosen = match precision {
        Precision::Fp32 => BTreeSet::new(),
        Precision::Fp16 | Precision::Int8 | Precision::Fp8 | Precision::Int4 => {
            columns::candidates(&graph, chip, lanes)
        }
    };
    let legal = with_columns(&graph, lanes, chosen);
    // What cannot be lowered is reported in the model's terms, before products multiply.
    check(&legal)?;
    let narrow = match precision {
        Precision::Fp32 => precision::split(&legal),
        _ => quantize::quantize(&legal, precision, chip),
    };
    let narrow = prune::prune(&narrow);
    check(&narrow)?;
    Ok(narrow)
}

/// The legal graph, with the states by columns that no product wants by rows.
fn with_columns(graph: &Graph, lanes: Lanes, mut chosen: BTreeSet<usize>) -> Graph {
    loop {
        let (legal, by_columns) = Pass::new(graph, lanes, &chosen).run();
        let roots: Vec<NodeId> = (legal.outputs.iter().map(|(_, node)| *node))
            .chain(legal.states.iter().map(|state| state.output))
            .collect();
        let live = eval::ancestors(&legal, &roots);
        let wanted = by_columns.into_iter().filter(|(_, columns)| live.contains(&columns.rows));
        let wanted: BTreeSet<usize> = wanted.map(|(number, _)| number).collect();
        if wanted.is_empty() {
            return prune::prune(&legal);
        }
        chosen.retain(|number| !wanted.contains(number));
    }
}

/// One walk over the source in topological order.
struct Pass<'a> {
    source: &'a Graph,
    lanes: Lanes,
    /// Numbers of the states that are to lie by columns.
    chosen: &'a BTreeSet<usize>,
    /// Those that do.
    columns: BTreeMap<usize, Columns>,
    constant: SecondaryMap<NodeId, bool>,
    users: SecondaryMap<NodeId, Vec<NodeId>>,
    map: SecondaryMap<NodeId, NodeId>,
    b: Builder,
}

impl<'a> Pass<'a> {
    fn new(source: &'a Graph, lanes: Lanes, chosen: &'a BTreeSet<usize>) -> Self {
        let mut users: SecondaryMap<NodeId, Vec<NodeId>> = SecondaryMap::new();
        for (id, node) in source.nodes.iter() {
            node.inputs.iter().for_each(|&input| users[input].push(id));
        }
        // An output counts as a user of itself.
        source.outputs.iter().for_each(|&(_, node)| users[node].push(node));
        let mut b = Builder::default();
        b.graph.name.clone_from(&source.name);
        for state in &source.states {
            if let Op::Input(name) = &source.nodes[state.input].op {
                b.states.insert(name.clone());
            }
        }
        let map = SecondaryMap::with_default(NodeId::from_u32(0));
        let constant = eval::is_constant(source);
        Pass { source, lanes, chosen, columns: BTreeMap::new(), constant, users, map, b }
    }

    fn run(mut self) -> (Graph, BTreeMap<usize, Columns>) {
        let mut roots: Vec<NodeId> = self.source.outputs.iter().map(|(_, node)| *node).collect();
        roots.extend(self.source.states.iter().flat_map(|state| [state.input, state.output]));
        roots.extend(&self.source.inputs);
        for id in eval::ancestors(self.source, &roots) {
            self.b.origin.clone_from(&self.source.nodes[id].origin);
            let made = self.node(id);
            if self.users[id].len() > 1 {
                self.b.set_shared(made);
            }
            self.map[id] = made;
        }
        let mut graph = std::mem::take(&mut self.b.graph);
        graph.inputs = self.source.inputs.iter().map(|&input| self.map[input]).collect();
        graph.outputs =
            (self.source.outputs.iter()).map(|(name, node)| (name.clone(), self.map[*node])).collect();
        for (number, state) in self.source.states.iter().enumerate() {
            match self.columns.get(&number) {
                Some(columns) => graph.states.extend(columns.states.iter().cloned()),
                None => graph.states.push(State {
                    input: self.map[state.input],
                    output: self.map[state.output],
                    ..state.clone()
                }),
            }
        }
        (graph, self.columns)
    }

    /// The state that is to lie by columns whose input or output this is.
    fn by_columns(&self, id: NodeId) -> Option<usize> {
        let is = |&number: &usize| {
            let state = &self.source.states[number];
            state.input == id || state.output == id
        };
        self.chosen.iter().copied().find(is)
    }

    /// A source node in legal form, or as it is where it has none.
    fn node(&mut self, id: NodeId) -> NodeId {
        let node = &self.source.nodes[id];
        if self.constant[id] {
            // Shapes inside constant expressions stay the model's.
            let inputs: Vec<NodeId> = node.inputs.iter().map(|&input| self.map[input]).collect();
            return self.b.emit_typed(node.op.clone(), &inputs, node.ty.clone());
        }
        let inputs: Vec<NodeId> = node.inputs.iter().map(|&input| self.operand(input)).collect();
        let (by_columns, chooses, settles) = (self.by_columns(id), self.is_choice(id), self.settles(id));
        let b = &mut self.b;
        match &node.op {
            Op::Input(name) if by_columns.is_some() => columns::input(b, name, &node.ty.shape),
            Op::Input(_) | Op::Constant(_) => {
                let shape = if node.ty.shape.is_empty() { vec![1] } else { node.ty.shape.clone() };
                b.emit_typed(node.op.clone(), &[], TensorType::new(node.ty.element, shape))
            }
            Op::MatMul { transpose_b } => product::matmul(b, inputs[0], inputs[1], *transpose_b),
            op @ Op::Conv { .. } => convolution::conv(b, inputs[0], inputs[1], op),
            Op::Unary(op @ (UnaryOp::Floor | UnaryOp::Round)) if !settles => divide::whole(b, *op, inputs[0]),
            Op::Unary(op) => pointwise::unary(b, *op, inputs[0]),
            Op::Binary(op) => pointwise::binary(b, *op, inputs[0], inputs[1]),
            Op::Select => b.select(inputs[0], inputs[1], inputs[2]),
            Op::Reduce { op, axis } => reduce::reduce(b, *op, *axis, inputs[0]),
            Op::Reshape { shape } => view::reshape(b, inputs[0], if shape.is_empty() { &[1] } else { shape }),
            Op::Transpose { permutation } if permutation.is_empty() => inputs[0],
            Op::Transpose { permutation } => view::transpose(b, inputs[0], permutation),
            Op::Slice { axis, start, count, step } => {
                self.slice(node.inputs[0], inputs[0], *axis, (*start, *count, *step))
            }
            Op::Concat { axis } => view::concat(b, &inputs, *axis),
            Op::Pad { axis, before, after, value } => {
                view::pad(b, inputs[0], *axis, (*before, *after), *value)
            }
            Op::Expand { shape } => view::expand(b, inputs[0], if shape.is_empty() { &[1] } else { shape }),
            Op::Gather { axis: 0 } if chooses => gather::matrices(b, inputs[0], inputs[1]),
            Op::Gather { axis } => {
                let gathered = gather::gather(b, *axis, inputs[0], inputs[1]);
                self.with_shape(gathered, id)
            }
            Op::Softmax { axis } => reduce::softmax(b, *axis, inputs[0]),
            // The host's numbers become bytes as in a cast.
            Op::Cast(ElementType::I8) if b.is_given(inputs[0], ElementType::I32) => {
                let (op, shape) = (b.op(inputs[0]).clone(), b.shape(inputs[0]));
                b.emit_typed(op, &[], TensorType::new(ElementType::I8, shape))
            }
            Op::Cast(ElementType::I32)
                if b.element(inputs[0]) == ElementType::F32
                    && !matches!(b.op(inputs[0]), Op::Unary(UnaryOp::Floor | UnaryOp::Round)) =>
            {
                divide::truncated(b, inputs[0])
            }
            Op::Cast(element) => b.cast(*element, inputs[0]),
            Op::Append { axis } => {
                let position = view::reshape(b, inputs[2], &[1]);
                if let Some(number) = by_columns {
                    let state = (inputs[0], &self.source.states[number]);
                    let columns = columns::append(b, state, inputs[1], position, self.lanes);
                    return self.columns.entry(number).or_insert(columns).rows;
                }
                b.emit(Op::Append { axis: *axis }, &[inputs[0], inputs[1], position])
            }
            op @ (Op::AllGather { .. }
            | Op::AllToAll { .. }
            | Op::Cross { .. }
            | Op::FromGates(_)
            | Op::Blocks(_)) => b.emit(op.clone(), &[inputs[0]]),
        }
    }

    /// The tensor that stands for a source tensor where a runtime node takes it: never without axes.
    fn operand(&mut self, source: NodeId) -> NodeId {
        let made = self.map[source];
        if self.b.graph.shape(made).is_empty() { view::reshape(&mut self.b, made, &[1]) } else { made }
    }

    /// Undoes the axis that a scalar operand brought into a result.
    fn with_shape(&mut self, made: NodeId, source: NodeId) -> NodeId {
        let shape = self.source.shape(source);
        view::reshape(&mut self.b, made, if shape.is_empty() { &[1] } else { shape })
    }

    /// Slices that cut a product with constant weights into pieces cut the weights.
    fn slice(&mut self, source: NodeId, x: NodeId, axis: usize, range: (usize, usize, usize)) -> NodeId {
        let (start, count, step) = range;
        if axis + 1 == self.b.rank(x)
            && self.is_cut(source, axis)
            && let Some(piece) = sink::slice_product(&mut self.b, x, start, count, step)
        {
            return piece;
        }
        view::slice(&mut self.b, x, axis, start, count, step)
    }

    /// Whether a rounded number only becomes an integer, which saturates anyway.
    fn settles(&self, id: NodeId) -> bool {
        self.users[id].iter().all(|&user| match self.source.nodes[user].op {
            Op::Cast(ElementType::I32 | ElementType::I8) => true,
            Op::Binary(BinaryOp::Add | BinaryOp::Max | BinaryOp::Min) => user != id && self.settles(user),
            _ => false,
        })
    }

    /// Whether an index chooses from several constant matrices, for products alone.
    fn is_choice(&self, id: NodeId) -> bool {
        let Some((table, index)) = self.source.choice(id) else { return false };
        let matrices = matches!(self.source.shape(table), &[_, n, k] if n > 1 && k > 1);
        let mut users = self.users[id].iter().map(|&user| &self.source.nodes[user]);
        matrices && self.constant[table] && !self.constant[index] && users.all(|user| user.multiplies_by(id))
    }

    /// Whether a source tensor is only used in disjoint pieces of an axis.
    fn is_cut(&self, source: NodeId, axis: usize) -> bool {
        let mut pieces = Vec::new();
        for &user in &self.users[source] {
            match self.source.nodes[user].op {
                Op::Slice { axis: own, start, count, step: 1 } if own == axis && user != source => {
                    pieces.push((start, start + count));
                }
                _ => return false,
            }
        }
        pieces.sort_unstable();
        pieces.windows(2).all(|pair| pair[0].1 <= pair[1].0)
    }
}

#[cfg(test)]
mod tests;
