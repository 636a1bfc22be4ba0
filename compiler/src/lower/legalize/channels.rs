//! Channels on lanes: a graph with convolutions is turned so that channels are the last axis of everything between them.
//!
//! Each tensor of the source has one or both of two forms: its own, and that with axis 1 moved to the end. Convolutions take and make the second;
//! what is pointwise or works along an axis follows its operands; all else takes the first. Transposes are left where one form becomes the other:
//! at the model's inputs and outputs.

use cranelift_entity::SecondaryMap;

use crate::graph::{Graph, Node, NodeId, Op, State, TensorType, eval, shape};

/// The same graph with channels last, if it has convolutions.
pub(super) fn channels_last(source: Graph) -> Graph {
    let constant = eval::is_constant(&source);
    let convolves = |(id, node): (NodeId, &Node)| {
        matches!(node.op, Op::Conv { channels_last: false, .. }) && !constant[id]
    };
    if !source.nodes.iter().any(convolves) {
        return source;
    }
    let graph = Graph { name: source.name.clone(), ..Graph::default() };
    let mut turn =
        Turn { source: &source, graph, own: SecondaryMap::new(), last: SecondaryMap::new(), origin: "" };
    for (id, node) in source.nodes.iter() {
        turn.origin = &node.origin;
        if constant[id] || !turn.turned(id, node) {
            let inputs: Vec<NodeId> = node.inputs.iter().map(|&input| turn.own(input)).collect();
            turn.own[id] =
                Some(turn.graph.push_typed(node.op.clone(), &inputs, node.ty.clone(), &node.origin));
        }
    }
    turn.graph.inputs = source.inputs.iter().map(|&input| turn.own(input)).collect();
    let outputs = source.outputs.iter().map(|(name, node)| (name.clone(), turn.own(*node))).collect();
    turn.graph.outputs = outputs;
    let states = source.states.iter().map(|state| State {
        input: turn.own(state.input),
        output: turn.own(state.output),
        ..state.clone()
    });
    let states = states.collect();
    turn.graph.states = states;
    turn.graph
}

struct Turn<'a> {
    source: &'a Graph,
    graph: Graph,
    own: SecondaryMap<NodeId, Option<NodeId>>,
    last: SecondaryMap<NodeId, Option<NodeId>>,
    origin: &'a str,
}

/// Where an axis is when axis 1 has moved to the end.
fn moved(axis: usize, rank: usize) -> usize {
    match axis {
        0 => 0,
        1 => rank - 1,
        _ => axis - 1,
    }
}

/// The permutation that moves axis 1 to the end.
fn to_last(rank: usize) -> Vec<usize> {
    [0].into_iter().chain(2..rank).chain([1]).collect()
}

/// The permutation that moves the last axis to place 1.
fn to_second(rank: usize) -> Vec<usize> {
    [0, rank - 1].into_iter().chain(1..rank - 1).collect()
}

impl Turn<'_> {
    fn push(&mut self, op: Op, inputs: &[NodeId]) -> NodeId {
        let types: Vec<&TensorType> = inputs.iter().map(|&input| &self.graph.nodes[input].ty).collect();
        match shape::infer(&op, &types) {
            Ok(ty) => self.graph.push_typed(op, inputs, ty, self.origin),
            Err(what) => panic!("turning {} made an ill-typed node: {what}", self.origin),
        }
    }

    /// A source tensor as it is.
    fn own(&mut self, id: NodeId) -> NodeId {
        if let Some(own) = self.own[id] {
            return own;
        }
        let last = self.last[id].expect("a source node has a form once it was visited");
        let permutation = to_second(self.source.shape(id).len());
        let own = self.push(Op::Transpose { permutation }, &[last]);
        self.own[id] = Some(own);
        own
    }

    /// A source tensor with its axis 1 last.
    fn last(&mut self, id: NodeId) -> NodeId {
        if let Some(last) = self.last[id] {
            return last;
        }
        let permutation = to_last(self.source.shape(id).len());
        let own = self.own(id);
        let last = self.push(Op::Transpose { permutation }, &[own]);
        self.last[id] = Some(last);
        last
    }

    /// An operand of a pointwise operator whose result has a rank.
    fn operand(&mut self, id: NodeId, rank: usize) -> NodeId {
        let shape = self.source.shape(id).to_vec();
        if shape.len() == rank {
            return self.last(id);
        }
        let own = self.own(id);
        if shape.iter().all(|&n| n == 1) {
            return own;
        }
        let padded = [vec![1; rank - shape.len()], shape].concat();
        let padded = self.push(Op::Reshape { shape: padded }, &[own]);
        self.push(Op::Transpose { permutation: to_last(rank) }, &[padded])
    }

    /// Makes a source node with its axis 1 last, if that is the form for it.
    fn turned(&mut self, id: NodeId, node: &Node) -> bool {
        let rank = node.ty.shape.len();
        if let Op::Conv { channels_last: false, .. } = node.op {
            let inputs = [0, 1].map(|at| self.last(node.inputs[at]));
            let mut op = node.op.clone();
            if let Op::Conv { channels_last, .. } = &mut op {
                *channels_last = true;
            }
            self.last[id] = Some(self.push(op, &inputs));
            return true;
        }
        if let Op::Transpose { permutation } = &node.op {
            return self.transpose(id, node.inputs[0], permutation);
        }
        let any = node.inputs.iter().any(|&input| self.last[input].is_some());
        if !any {
            return false;
        }
        let along = |axis: usize| moved(axis, rank);
        let op = match &node.op {
            Op::Unary(_) | Op::Binary(_) | Op::Select | Op::Cast(_) => node.op.clone(),
            Op::Reduce { op, axis } => Op::Reduce { op: *op, axis: along(*axis) },
            Op::Softmax { axis } => Op::Softmax { axis: along(*axis) },
            Op::Concat { axis } => Op::Concat { axis: along(*axis) },
            Op::Slice { axis, start, count, step } => {
                Op::Slice { axis: along(*axis), start: *start, count: *count, step: *step }
            }
            Op::Pad { axis, before, after, value } => {
                Op::Pad { axis: along(*axis), before: *before, after: *after, value: *value }
            }
            Op::Reshape { shape } => return self.reshape(id, node.inputs[0], shape),
            _ => return false,
        };
        let inputs: Vec<NodeId> = node.inputs.iter().map(|&input| self.operand(input, rank)).collect();
        self.last[id] = Some(self.push(op, &inputs));
        true
    }

    fn transpose(&mut self, id: NodeId, input: NodeId, permutation: &[usize]) -> bool {
        let rank = permutation.len();
        if let Some(last) = self.last[input] {
            let permutation: Vec<usize> = permutation.iter().map(|&axis| moved(axis, rank)).collect();
            self.own[id] = Some(match permutation.iter().copied().eq(0..rank) {
                true => last,
                false => self.push(Op::Transpose { permutation }, &[last]),
            });
            return true;
        }
        let brings_second = rank > 2 && permutation == to_second(rank);
        if brings_second {
            self.last[id] = Some(self.own(input));
        }
        brings_second
    }

    /// Shapes that differ in space alone; or images of one place, whose elements lie the same in both forms.
    fn reshape(&mut self, id: NodeId, input: NodeId, shape: &[usize]) -> bool {
        let (Some(last), from) = (self.last[input], self.source.shape(input)) else { return false };
        if from[2..].iter().all(|&n| n == 1) {
            self.own[id] = Some(self.push(Op::Reshape { shape: shape.to_vec() }, &[last]));
            return true;
        }
        let [n, channels, space @ ..] = shape else { return false };
        if space.is_empty() || from[..2] != [*n, *channels] {
            return false;
        }
        let shape = [&[*n], space, &[*channels]].concat();
        self.last[id] = Some(self.push(Op::Reshape { shape }, &[last]));
        true
    }
}
