//! Random graphs of all kinds of operators.

use compiler::graph::eval::Tensor;
use compiler::graph::{BinaryOp, ElementType, Graph, NodeId, Op, ReduceOp, State, TensorType, UnaryOp};

/// Small numbers that follow from a seed.
pub(crate) struct Random(u64);

impl Random {
    /// Begins.
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// Lengths of axes: less than a superlane, less than a vector, more than one, whole vectors.
const COLUMNS: [usize; 7] = [8, 32, 96, 320, 400, 640, 1000];
const ROWS: [usize; 4] = [1, 1, 3, 10];

struct Builder {
    graph: Graph,
    random: Random,
    /// Matrices [rows, columns] made so far.
    made: Vec<NodeId>,
}

/// A graph of some ten operators. All tensors are matrices of real numbers.
pub(crate) fn graph(seed: u32) -> Graph {
    let graph = Graph { name: format!("random {seed}"), ..Graph::default() };
    let mut b = Builder { graph, random: Random::new(seed.into()), made: Vec::new() };
    for number in 0..1 + b.random.below(2) {
        let shape = [b.random.of(&ROWS), b.random.of(&COLUMNS)];
        b.input(&format!("x{number}"), ElementType::F32, &shape);
    }
    if seed.is_multiple_of(3) {
        b.cache();
    }
    let count = 4 + b.random.below(8);
    while b.made.len() < count {
        b.grow();
    }
    let used: Vec<NodeId> = b.graph.nodes.values().flat_map(|node| node.inputs.clone()).collect();
    let ends = b.made.iter().copied().filter(|node| !used.contains(node));
    b.graph.outputs = ends.map(|node| (format!("y{}", node.as_u32()), node)).collect();
    b.graph
}

impl Builder {
    fn input(&mut self, name: &str, element: ElementType, shape: &[usize]) -> NodeId {
        let ty = TensorType { element, shape: shape.to_vec() };
        let node = self.graph.push_typed(Op::Input(name.to_owned()), &[], ty, name);
        self.graph.inputs.push(node);
        if element == ElementType::F32 {
            self.made.push(node);
        }
        node
    }

    fn constant(&mut self, shape: &[usize]) -> NodeId {
        let count = shape.iter().product();
        let data: Vec<f32> = (0..count).map(|_| self.random.below(2001) as f32 / 1000.0 - 1.0).collect();
        let tensor = Tensor::f32(shape, data);
        self.graph.push_typed(Op::Constant(tensor.to_constant()), &[], tensor.ty(), "constant")
    }

    fn push(&mut self, op: Op, inputs: &[NodeId]) -> NodeId {
        let origin = format!("{}{}", op.name(), self.graph.nodes.len());
        self.graph.push(op, inputs, &origin).expect("types agree")
    }

    fn shape(&self, node: NodeId) -> [usize; 2] {
        let shape = self.graph.shape(node);
        [shape[0], shape[1]]
    }

    /// Attention of one row over a cache that the row becomes part of.
    fn cache(&mut self) {
        let (slots, width) = (self.random.of(&[40, 330]), self.random.of(&[32, 320]));
        let position = self.input("lpuc.position", ElementType::I32, &[1]);
        let x = self.made[0];
        let w = self.constant(&[width, self.shape(x)[1]]);
        let row = self.push(Op::Slice { axis: 0, start: 0, count: 1, step: 1 }, &[x]);
        let new = self.push(Op::MatMul { transpose_b: true }, &[row, w]);
        let ty = TensorType { element: ElementType::F32, shape: vec![slots, width] };
        let state = self.graph.push_typed(Op::Input("past".to_owned()), &[], ty, "past");
        let full = self.push(Op::Append { axis: 0 }, &[state, new, position]);
        let (input_name, output_name) = ("past".to_owned(), "present".to_owned());
        self.graph.states.push(State { input: state, output: full, input_name, output_name });
        let scores = self.push(Op::MatMul { transpose_b: true }, &[new, full]);
        let softmax = self.push(Op::Softmax { axis: 1 }, &[scores]);
        self.made.push(softmax);
    }

    /// One more matrix.
    fn grow(&mut self) {
        let x = self.made[self.random.below(self.made.len())];
        let [rows, columns] = self.shape(x);
        let made = match self.random.below(9) {
            0 | 1 => {
                let n = self.random.of(&COLUMNS);
                let w = self.constant(&[n, columns]);
                self.push(Op::MatMul { transpose_b: true }, &[x, w])
            }
            2 => {
                let op = self.random.of(&[
                    UnaryOp::Tanh,
                    UnaryOp::Neg,
                    UnaryOp::Relu,
                    UnaryOp::Floor,
                    UnaryOp::Abs,
                ]);
                self.push(Op::Unary(op), &[x])
            }
            3 => {
                let constant = self.constant(&[columns]);
                let op = self.random.of(&[BinaryOp::Add, BinaryOp::Mul, BinaryOp::Max, BinaryOp::Sub]);
                self.push(Op::Binary(op), &[x, constant])
            }
            4 => self.two(x),
            5 => {
                // A reduction, back on all columns: what follows waits for it.
                let op = self.random.of(&[ReduceOp::Max, ReduceOp::Sum]);
                let reduced = self.push(Op::Reduce { op, axis: 1 }, &[x]);
                self.push(Op::Binary(BinaryOp::Sub), &[x, reduced])
            }
            6 => {
                let count = columns / 2;
                let start = self.random.of(&[0, 1, count]).min(columns - count);
                self.push(Op::Slice { axis: 1, start, count, step: 1 }, &[x])
            }
            7 => self.push(Op::Concat { axis: 1 }, &[x, x]),
            _ => {
                let count = rows.div_ceil(2);
                self.push(Op::Slice { axis: 0, start: rows - count, count, step: 1 }, &[x])
            }
        };
        if self.shape(made)[1] <= 2000 {
            self.made.push(made);
        }
    }

    /// Something of x and another matrix: pointwise where that goes, else a product, which may be of a matrix with itself.
    fn two(&mut self, x: NodeId) -> NodeId {
        let shape = self.shape(x);
        let alike = |b: &Builder, node: NodeId| b.shape(node)[1] == shape[1];
        let others: Vec<NodeId> = self.made.iter().copied().filter(|&node| alike(self, node)).collect();
        let other = self.random.of(&others);
        let rows = self.shape(other)[0];
        if rows > 1 && self.random.below(2) == 0 {
            return self.push(Op::MatMul { transpose_b: true }, &[x, other]);
        }
        match rows == shape[0] || rows == 1 || shape[0] == 1 {
            true => {
                let less = self.push(Op::Binary(BinaryOp::Less), &[x, other]);
                let sum = self.push(Op::Binary(BinaryOp::Add), &[x, other]);
                self.push(Op::Select, &[less, sum, x])
            }
            false => self.push(Op::Unary(UnaryOp::Tanh), &[x]),
        }
    }
}
