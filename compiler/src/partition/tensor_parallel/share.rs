//! The graph of one chip, operation by operation.

use cranelift_entity::SecondaryMap;

use super::constants::Cut;
use super::rounds::Round;
use super::splits::{Split, aligned, joined, local, projected, reshaped};
use super::{Cuts, Group, Plan, Share, is_choice};
use crate::graph::{Graph, NodeId, Op, ReduceOp, State, TensorType, eval};

/// How often longer than its results a product's left operand must be, so that results are exchanged in its place: they need adding.
const LONGER: usize = 2;

/// What a chip has of a tensor.
#[derive(Clone, Debug, Default)]
pub(super) struct Forms {
    /// All of it.
    pub(super) whole: Option<NodeId>,
    /// A part.
    pub(super) parts: Option<(NodeId, Vec<Split>)>,
    /// All of it, the last axis in the order in which the chip gathers it.
    pub(super) round: Option<Round>,
}

/// The graph of one chip in the making. The error of each step is the node of the source that cannot work on what the chip has.
pub(super) struct Builder<'a> {
    pub(super) source: &'a Graph,
    pub(super) rank: usize,
    pub(super) chips: usize,
    pub(super) graph: Graph,
    pub(super) forms: SecondaryMap<NodeId, Forms>,
    pub(super) group: &'a Group<'a>,
    parts: &'a SecondaryMap<NodeId, usize>,
    pub(super) constant: &'a SecondaryMap<NodeId, bool>,
    cuts: Cuts,
}

impl<'a> Builder<'a> {
    pub(super) fn new(
        plan: &'a Plan<'a>,
        rank: usize,
        constant: &'a SecondaryMap<NodeId, bool>,
    ) -> Builder<'a> {
        Builder {
            source: plan.source,
            rank,
            chips: plan.group.chips(),
            graph: Graph { name: plan.source.name.clone(), ..Graph::default() },
            forms: SecondaryMap::new(),
            group: &plan.group,
            parts: &plan.parts,
            constant,
            cuts: Cuts::new(),
        }
    }

    pub(super) fn run(mut self) -> Result<Share, NodeId> {
        let source = self.source;
        let outputs = source.outputs.iter().map(|(_, node)| *node);
        let roots: Vec<NodeId> = outputs.chain(source.states.iter().map(|state| state.output)).collect();
        let live = eval::ancestors(source, &roots);
        for id in source.nodes.keys().filter(|id| live.contains(id) && !self.constant[*id]) {
            self.node(id)?;
        }
        self.graph.inputs =
            source.inputs.iter().filter_map(|&input| self.any(input).map(|(node, _)| node)).collect();
        for (name, node) in &source.outputs {
            let departs = self.group.departures.contains(&name.as_str());
            let (made, splits) = match &self.forms[*node].parts {
                Some(parts) if departs => parts.clone(),
                _ if departs && self.chips > 1 => return Err(*node),
                _ if self.constant[*node] => (self.whole_constant(*node), Vec::new()),
                _ => self.any(*node).ok_or(*node)?,
            };
            if departs && self.chips > 1 && splits != [self.even(*node)] {
                return Err(*node);
            }
            self.note(name, splits);
            self.graph.outputs.push((name.clone(), made));
        }
        Ok(Share { graph: self.graph, cuts: self.cuts })
    }

    /// Ranks in the order in which the chip gathers their parts.
    pub(super) fn round_of_ranks(&self) -> Vec<usize> {
        self.group.round(self.rank)
    }

    /// Ranks in the order in which the chip sends sums to them.
    pub(super) fn ranks_ahead(&self) -> Vec<usize> {
        self.group.ahead(self.rank)
    }

    /// The last axis, a part for each chip.
    pub(super) fn even(&self, id: NodeId) -> Split {
        Split { axis: self.source.shape(id).len().saturating_sub(1), parts: self.chips, stride: 1 }
    }

    fn note(&mut self, name: &str, splits: Vec<Split>) {
        if !splits.is_empty() {
            self.cuts.insert(name.to_owned(), splits);
        }
    }

    /// All of a tensor or a part.
    fn any(&self, id: NodeId) -> Option<(NodeId, Vec<Split>)> {
        let forms = &self.forms[id];
        forms.whole.map(|node| (node, Vec::new())).or_else(|| forms.parts.clone())
    }

    fn set(&mut self, id: NodeId, node: NodeId, splits: Vec<Split>) {
        match splits.is_empty() {
            true => self.forms[id].whole = Some(node),
            false => self.forms[id].parts = Some((node, splits)),
        }
    }

    /// Adds an operation with the origin of the source's node.
    pub(super) fn push(&mut self, id: NodeId, op: Op, inputs: &[NodeId]) -> Result<NodeId, NodeId> {
        self.graph.push(op, inputs, &self.source.nodes[id].origin).map_err(|_| id)
    }

    fn node(&mut self, id: NodeId) -> Result<(), NodeId> {
        let source = self.source;
        let node = &source.nodes[id];
        match &node.op {
            Op::Input(name) => self.input(id, name),
            Op::Append { axis } => self.append(id, *axis),
            Op::MatMul { transpose_b } => self.product(id, *transpose_b),
            Op::Gather { axis: 0 } if self.parts[id] > 1 => self.gather(id),
            // Products that take the matrices say how their table is cut.
            Op::Gather { axis: 0 } if self.is_for_products(id) => Ok(()),
            _ if node
                .inputs
                .iter()
                .all(|&input| self.constant[input] || self.forms[input].whole.is_some()) =>
            {
                let inputs: Vec<NodeId> =
                    node.inputs.iter().map(|&input| self.whole(input, id)).collect::<Result<_, _>>()?;
                let made = self.push(id, node.op.clone(), &inputs)?;
                self.set(id, made, Vec::new());
                Ok(())
            }
            Op::Unary(_) | Op::Binary(_) | Op::Select | Op::Cast(_) => self.pointwise(id),
            Op::Reduce { op, axis } => self.reduce(id, *op, *axis),
            Op::Softmax { axis } | Op::Slice { axis, .. } | Op::Pad { axis, .. } | Op::Concat { axis } => {
                self.along(id, *axis)
            }
            Op::Reshape { shape } => {
                let (x, splits) = self.part(node.inputs[0], id)?;
                let splits = reshaped(&splits, source.shape(node.inputs[0]), shape).ok_or(id)?;
                let made = self.push(id, Op::Reshape { shape: local(shape, &splits) }, &[x])?;
                self.set(id, made, splits);
                Ok(())
            }
            Op::Transpose { permutation } => {
                let (x, splits) = self.part(node.inputs[0], id)?;
                let new = |axis: usize| permutation.iter().position(|&from| from == axis).unwrap_or(axis);
                let mut splits: Vec<Split> =
                    splits.iter().map(|split| Split { axis: new(split.axis), ..*split }).collect();
                splits.sort_unstable();
                let made = self.push(id, node.op.clone(), &[x])?;
                self.set(id, made, splits);
                Ok(())
            }
            Op::Expand { shape } => {
                let (x, splits) = self.part(node.inputs[0], id)?;
                let splits = aligned(&splits, source.shape(node.inputs[0]).len(), shape.len());
                let made = self.push(id, Op::Expand { shape: local(shape, &splits) }, &[x])?;
                self.set(id, made, splits);
                Ok(())
            }
            _ => Err(id),
        }
    }

    /// All of a tensor, for a node.
    pub(super) fn whole(&mut self, id: NodeId, by: NodeId) -> Result<NodeId, NodeId> {
        if self.constant[id] { Ok(self.whole_constant(id)) } else { self.forms[id].whole.ok_or(by) }
    }

    /// A part of a tensor, for a node.
    pub(super) fn part(&self, id: NodeId, by: NodeId) -> Result<(NodeId, Vec<Split>), NodeId> {
        self.forms[id].parts.clone().ok_or(by)
    }

    /// A tensor cut as said, for a node.
    fn cut(&mut self, id: NodeId, splits: &[Split], by: NodeId) -> Result<NodeId, NodeId> {
        if self.constant[id] {
            let cuts: Vec<Cut> = splits.iter().map(|&split| Cut::Part(split)).collect();
            return self.constant(id, &cuts);
        }
        match (&self.forms[id].parts, self.forms[id].whole) {
            (Some((node, own)), _) if own == splits => Ok(*node),
            (_, Some(node)) if splits.is_empty() => Ok(node),
            (Some(_), None) => Err(id),
            _ => Err(by),
        }
    }

    fn input(&mut self, id: NodeId, name: &str) -> Result<(), NodeId> {
        let ty = &self.source.nodes[id].ty;
        if self.source.states.iter().any(|state| state.input == id) {
            // How it is cut follows from what is appended.
            return Ok(());
        }
        let splits = match self.group.arrivals.contains(&name) {
            true => vec![self.even(id)],
            false => Vec::new(),
        };
        if splits.iter().any(|split| !ty.shape[split.axis].is_multiple_of(split.parts)) {
            return Err(id);
        }
        self.source_node(id, splits);
        Ok(())
    }

    fn source_node(&mut self, id: NodeId, splits: Vec<Split>) -> NodeId {
        let node = &self.source.nodes[id];
        let ty = TensorType::new(node.ty.element, local(&node.ty.shape, &splits));
        let made = self.graph.push_typed(node.op.clone(), &[], ty, &node.origin);
        if let Op::Input(name) = &node.op {
            self.note(name, splits.clone());
        }
        self.set(id, made, splits);
        made
    }

    fn append(&mut self, id: NodeId, axis: usize) -> Result<(), NodeId> {
        let source = self.source;
        let node = &source.nodes[id];
        let [before, new, position] = node.inputs[..] else { return Err(id) };
        let state =
            source.states.iter().find(|state| state.input == before && state.output == id).ok_or(id)?;
        let (new, splits) = self.any(new).ok_or(id)?;
        if splits.iter().any(|split| split.axis == axis) {
            return Err(id);
        }
        let position = self.whole(position, id)?;
        let input = self.source_node(before, splits.clone());
        let output = self.push(id, node.op.clone(), &[input, new, position])?;
        self.set(id, output, splits);
        self.graph.states.push(State { input, output, ..state.clone() });
        Ok(())
    }

    /// Rows of a table, of which each chip has some columns.
    fn gather(&mut self, id: NodeId) -> Result<(), NodeId> {
        let node = &self.source.nodes[id];
        let (table, indices) = (node.inputs[0], node.inputs[1]);
        let parts = self.parts[id];
        let split = Split { parts, stride: self.chips / parts, ..self.even(id) };
        let indices = self.whole(indices, id)?;
        let table = self.constant(table, &[Cut::Part(Split { axis: 1, ..split })])?;
        let made = self.push(id, node.op.clone(), &[table, indices])?;
        self.set(id, made, vec![split]);
        Ok(())
    }

    fn pointwise(&mut self, id: NodeId) -> Result<(), NodeId> {
        let source = self.source;
        let node = &source.nodes[id];
        let shape = &node.ty.shape;
        let mut splits = Vec::new();
        for &input in node.inputs.iter().filter(|&&input| self.forms[input].whole.is_none()) {
            if let Some((_, own)) = &self.forms[input].parts {
                splits = joined(&splits, &aligned(own, source.shape(input).len(), shape.len())).ok_or(id)?;
            }
        }
        let mut inputs = Vec::new();
        for &input in &node.inputs {
            let own = projected(&splits, shape, source.shape(input));
            inputs.push(self.cut(input, &own, id)?);
        }
        let made = self.push(id, node.op.clone(), &inputs)?;
        self.set(id, made, splits);
        Ok(())
    }

    /// An operation along an axis that must not be cut.
    fn along(&mut self, id: NodeId, axis: usize) -> Result<(), NodeId> {
        let source = self.source;
        let node = &source.nodes[id];
        let first = node.inputs.iter().find_map(|&input| self.forms[input].parts.clone());
        let (_, splits) = first.ok_or(id)?;
        if splits.iter().any(|split| split.axis == axis) {
            return Err(id);
        }
        let inputs: Vec<NodeId> =
            node.inputs.iter().map(|&input| self.cut(input, &splits, id)).collect::<Result<_, _>>()?;
        let made = self.push(id, node.op.clone(), &inputs)?;
        self.set(id, made, splits);
        Ok(())
    }

    fn reduce(&mut self, id: NodeId, op: ReduceOp, axis: usize) -> Result<(), NodeId> {
        let input = self.source.nodes[id].inputs[0];
        let (_, splits) = self.part(input, id)?;
        if splits.iter().all(|split| split.axis != axis) {
            return self.along(id, axis);
        }
        // What else is computed from the tensor whose sum this is will need all of it, too.
        self.round(self.root(input), id)?;
        let round = self.round(input, id)?;
        if op != ReduceOp::Sum || !round.zeros {
            return Err(id);
        }
        let made = self.push(id, Op::Reduce { op, axis }, &[round.node])?;
        self.set(id, made, Vec::new());
        Ok(())
    }

    fn product(&mut self, id: NodeId, transpose_b: bool) -> Result<(), NodeId> {
        let source = self.source;
        let (a, b) = (source.nodes[id].inputs[0], source.nodes[id].inputs[1]);
        let weights = self.constant[b] || is_choice(source, self.constant, b);
        if weights && !self.constant[a] {
            self.weighted(id, transpose_b)
        } else {
            self.computed(id, transpose_b)
        }
    }

    /// Whether a node is matrices that an index chooses, for products alone.
    fn is_for_products(&self, id: NodeId) -> bool {
        let mut users = self.source.nodes.values().filter(|node| node.inputs.contains(&id));
        is_choice(self.source, self.constant, id) && users.all(|user| user.multiplies_by(id))
    }

    /// A product with weights, or with those that an index chooses; they are cut along their outputs; or along their batches, where the left operand is.
    fn weighted(&mut self, id: NodeId, transpose_b: bool) -> Result<(), NodeId> {
        let source = self.source;
        let node = &source.nodes[id];
        let (a, b) = (node.inputs[0], node.inputs[1]);
        let (shape, a_shape) = (&node.ty.shape, source.shape(a));
        let choice = source.choice(b).filter(|_| !self.constant[b]);
        let table = choice.map_or(b, |(table, _)| table);
        let b_shape = source.shape(table);
        let rank = b_shape.len();
        let (k_axis, n_axis) = if transpose_b { (rank - 1, rank - 2) } else { (rank - 2, rank - 1) };
        if !transpose_b && self.sums_are_shorter(id) {
            return self.summed(id);
        }
        let mut cuts = Vec::new();
        let (x, mut splits) = match self.any(a).ok_or(id)? {
            (_, own) if own.iter().any(|split| split.axis + 1 == a_shape.len()) => {
                let round = self.round(a, id)?;
                cuts.push(Cut::Round { axis: k_axis, padded: round.padded });
                (round.node, Vec::new())
            }
            (x, own) => (x, aligned(&own, a_shape.len(), shape.len())),
        };
        if choice.is_none() {
            let matrices = projected(&splits, shape, b_shape);
            cuts.extend(matrices.into_iter().filter(|split| split.axis + 2 < rank).map(Cut::Part));
        } else if !splits.is_empty() {
            return Err(a);
        }
        let parts = self.parts[id];
        if splits.is_empty() && parts > 1 {
            let split = Split { parts, stride: self.chips / parts, ..self.even(id) };
            cuts.push(Cut::Part(Split { axis: n_axis, ..split }));
            splits.push(split);
        }
        let mut weights = self.constant(table, &cuts)?;
        if let Some((_, index)) = choice {
            let index = self.whole(index, id)?;
            weights = self.push(b, Op::Gather { axis: 0 }, &[weights, index])?;
        }
        let made = self.push(id, node.op.clone(), &[x, weights])?;
        self.set(id, made, splits);
        Ok(())
    }

    /// Whether a product's results, of which every chip would have a share of each sum, are less to exchange than its left operand, of which every
    /// chip has a part and nobody has gathered it.
    fn sums_are_shorter(&self, id: NodeId) -> bool {
        let (a, b) = (self.source.nodes[id].inputs[0], self.source.nodes[id].inputs[1]);
        let last = |node: NodeId| self.source.shape(node).last().copied().unwrap_or(1);
        let forms = &self.forms[a];
        let parts = forms.parts.as_ref().is_some_and(|(_, splits)| *splits == [self.even(a)]);
        let gathered =
            forms.whole.is_some() || forms.round.is_some() || self.forms[self.root(a)].round.is_some();
        parts
            && !gathered
            && self.source.shape(b).len() == 2
            && self.parts[id] == self.chips
            && LONGER * last(id) <= last(a)
    }

    /// A product with weights that are cut along k: each chip has a share of every sum, sends those of other chips' parts to them, and adds what it
    /// gets for its own part, its own share first.
    fn summed(&mut self, id: NodeId) -> Result<(), NodeId> {
        let (a, b) = (self.source.nodes[id].inputs[0], self.source.nodes[id].inputs[1]);
        let (x, _) = self.part(a, id)?;
        let own = self.graph.shape(x).to_vec();
        let (rows, k) = (own[..own.len() - 1].iter().product::<usize>(), own[own.len() - 1]);
        let x = self.push(id, Op::Reshape { shape: vec![1, rows, k] }, &[x])?;
        let weights = self.ahead_constant(b)?;
        let mut sums = self.push(id, Op::MatMul { transpose_b: false }, &[x, weights])?;
        let columns = self.graph.shape(sums)[2];
        let mut parts = self.chips;
        let axes: Vec<(usize, usize)> = self.group.axes().collect();
        for (chips, stride) in axes {
            parts /= chips;
            sums = self.push(id, Op::Reshape { shape: vec![chips, parts * rows, columns] }, &[sums])?;
            sums = self.push(id, Op::AllToAll { stride }, &[sums])?;
            sums = self.push(id, Op::Reduce { op: ReduceOp::Sum, axis: 0 }, &[sums])?;
        }
        let shape = [&own[..own.len() - 1], &[columns]].concat();
        let made = self.push(id, Op::Reshape { shape }, &[sums])?;
        self.set(id, made, vec![self.even(id)]);
        Ok(())
    }

    /// A product of two computed matrices, cut along batches and rows.
    fn computed(&mut self, id: NodeId, transpose_b: bool) -> Result<(), NodeId> {
        let source = self.source;
        let node = &source.nodes[id];
        let shape = &node.ty.shape;
        let splits_of = |input: NodeId| self.any(input).map_or_else(Vec::new, |(_, splits)| splits);
        let (a, b) = (node.inputs[0], node.inputs[1]);
        let (a_shape, b_shape) = (source.shape(a), source.shape(b));
        let own = aligned(&splits_of(a), a_shape.len(), shape.len());
        let other = aligned(&splits_of(b), b_shape.len(), shape.len());
        // Sums and columns are whole.
        let uncut =
            |splits: &[Split], axes: usize| splits.iter().all(|split| split.axis + axes < shape.len());
        if !uncut(&own, 1) {
            return Err(a);
        }
        if !uncut(&other, 2) {
            return Err(b);
        }
        let splits = joined(&own, &other).ok_or(id)?;
        let of_a = projected(&splits, shape, a_shape);
        let of_b: Vec<Split> = projected(&splits, shape, b_shape);
        let of_b: Vec<Split> = of_b.into_iter().filter(|split| split.axis + 2 < b_shape.len()).collect();
        let inputs = [self.cut(a, &of_a, id)?, self.cut(b, &of_b, id)?];
        let made = self.push(id, Op::MatMul { transpose_b }, &inputs)?;
        self.set(id, made, splits);
        Ok(())
    }
}
