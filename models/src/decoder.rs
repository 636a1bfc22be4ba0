//! A decoder layer as a graph: one new token for each of some sequences, over a cache that lives in SRAM.

use compiler::graph::eval::Tensor;
use compiler::graph::{
    BinaryOp, Constant, ElementType, Encoding, Graph, NodeId, Op, ReduceOp, State, TensorType, UnaryOp,
};

use crate::Config;
use crate::config::{Attention, FeedForward, Grouped, Positions};

/// Why there is no graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The model has parts that no graph is built for yet; the text names the model and the parts.
    NotBuilt(String),
    /// The graph cannot be made with these lengths.
    Shape(String),
}

/// One layer of a decoder without its weights: `hidden` [batch, 1, hidden] in, `output` of that shape out, and the caches
/// [batch, kv_heads, context, head_dim] as states. All sequences stand at `position` [1].
///
/// Weights are binary16 constants [inputs, outputs] with the names that the models are published under.
pub fn layer(config: &Config, batch: usize, context: usize) -> Result<Graph, Error> {
    let shape = Shape::of(config)?;
    build(config, shape, batch, context).map_err(Error::Shape)
}

fn build(config: &Config, shape: Shape, batch: usize, context: usize) -> Result<Graph, String> {
    let name = format!("{}-layer", config.name);
    let mut b = Layer { config, shape, graph: Graph { name, ..Graph::default() } };
    let x = b.input("hidden", ElementType::F32, &[batch, 1, config.hidden]);
    let position = b.input("position", ElementType::I32, &[1]);
    b.graph.inputs.extend([x, position]);
    let h = b.norm(x, "input_layernorm")?;
    let h = b.attention(h, position, (batch, context))?;
    let x = b.binary(BinaryOp::Add, x, h, "attention_residual")?;
    let h = b.norm(x, "post_attention_layernorm")?;
    let h = b.feed_forward(h)?;
    let x = b.binary(BinaryOp::Add, x, h, "feed_forward_residual")?;
    b.graph.outputs.push(("output".to_owned(), x));
    Ok(b.graph)
}

/// What the plain Llama family has.
#[derive(Clone, Copy)]
struct Shape {
    attention: Grouped,
    /// Elements between the feed-forward's products.
    inner: usize,
    /// Base of the rotary angles.
    theta: f64,
}

impl Shape {
    fn of(config: &Config) -> Result<Shape, Error> {
        let missing = config.not_built();
        match (config.attention, config.feed_forward, config.positions) {
            (
                Attention::Grouped(attention),
                FeedForward::Gated { inner },
                Positions::Rotary { theta, .. },
            ) if missing.is_empty() => Ok(Shape { attention, inner, theta }),
            _ => Err(Error::NotBuilt(format!(
                "layer graphs of {} are not built yet: {}",
                config.name,
                missing.join(", ")
            ))),
        }
    }
}

struct Layer<'a> {
    config: &'a Config,
    shape: Shape,
    graph: Graph,
}

impl Layer<'_> {
    fn input(&mut self, name: &str, element: ElementType, shape: &[usize]) -> NodeId {
        let ty = TensorType { element, shape: shape.to_vec() };
        self.graph.push_typed(Op::Input(name.to_owned()), &[], ty, name)
    }

    fn constant(&mut self, tensor: Tensor, name: &str) -> NodeId {
        let ty = tensor.ty();
        self.graph.push_typed(Op::Constant(tensor.to_constant()), &[], ty, name)
    }

    fn real(&mut self, value: f32) -> NodeId {
        self.constant(Tensor::f32([1], vec![value]), "")
    }

    fn weight(&mut self, name: &str, shape: &[usize]) -> NodeId {
        let ty = TensorType { element: ElementType::F32, shape: shape.to_vec() };
        let absent = Constant { encoding: Encoding::F16, bytes: None };
        self.graph.push_typed(Op::Constant(absent), &[], ty, &format!("{name}.weight"))
    }

    fn binary(&mut self, op: BinaryOp, a: NodeId, b: NodeId, name: &str) -> Result<NodeId, String> {
        self.graph.push(Op::Binary(op), &[a, b], name)
    }

    fn unary(&mut self, op: UnaryOp, a: NodeId, name: &str) -> Result<NodeId, String> {
        self.graph.push(Op::Unary(op), &[a], name)
    }

    fn reshape(&mut self, a: NodeId, shape: &[usize], name: &str) -> Result<NodeId, String> {
        self.graph.push(Op::Reshape { shape: shape.to_vec() }, &[a], name)
    }

    fn linear(&mut self, x: NodeId, name: &str, outputs: usize) -> Result<NodeId, String> {
        let inputs = self.graph.shape(x).last().copied().unwrap_or(1);
        let weight = self.weight(name, &[inputs, outputs]);
        self.graph.push(Op::MatMul { transpose_b: false }, &[x, weight], name)
    }

    /// x / sqrt(mean(x²) + epsilon) · weight, over the last axis.
    fn norm(&mut self, x: NodeId, name: &str) -> Result<NodeId, String> {
        let axis = self.graph.shape(x).len() - 1;
        let length = self.graph.shape(x)[axis];
        let square = self.binary(BinaryOp::Mul, x, x, name)?;
        let sum = self.graph.push(Op::Reduce { op: ReduceOp::Sum, axis }, &[square], name)?;
        let share = self.real(1.0 / length as f32);
        let mean = self.binary(BinaryOp::Mul, sum, share, name)?;
        let epsilon = self.real(self.config.epsilon);
        let mean = self.binary(BinaryOp::Add, mean, epsilon, name)?;
        let root = self.unary(UnaryOp::Rsqrt, mean, name)?;
        let x = self.binary(BinaryOp::Mul, x, root, name)?;
        let weight = self.weight(name, &[length]);
        self.binary(BinaryOp::Mul, x, weight, name)
    }

    /// Cosines and sines of the rotary angles, each [head_dim].
    fn rotary(&mut self, position: NodeId) -> Result<(NodeId, NodeId), String> {
        let dim = self.shape.attention.head_dim;
        let inverse = |i: usize| self.shape.theta.powf(-((2 * (i % (dim / 2))) as f64) / dim as f64) as f32;
        let inverse = Tensor::f32([dim], (0..dim).map(inverse).collect::<Vec<_>>());
        let inverse = self.constant(inverse, "rotary.inverse_frequency");
        let position = self.graph.push(Op::Cast(ElementType::F32), &[position], "rotary")?;
        let angle = self.binary(BinaryOp::Mul, inverse, position, "rotary")?;
        Ok((self.unary(UnaryOp::Cos, angle, "rotary.cos")?, self.unary(UnaryOp::Sin, angle, "rotary.sin")?))
    }

    /// x cos + [−x₂, x₁] sin, over the last axis.
    fn rotate(&mut self, x: NodeId, (cos, sin): (NodeId, NodeId), name: &str) -> Result<NodeId, String> {
        let axis = self.graph.shape(x).len() - 1;
        let half = self.shape.attention.head_dim / 2;
        let piece = |start| Op::Slice { axis, start, count: half, step: 1 };
        let (first, second) =
            (self.graph.push(piece(0), &[x], name)?, self.graph.push(piece(half), &[x], name)?);
        let second = self.unary(UnaryOp::Neg, second, name)?;
        let turned = self.graph.push(Op::Concat { axis }, &[second, first], name)?;
        let (x, turned) =
            (self.binary(BinaryOp::Mul, x, cos, name)?, self.binary(BinaryOp::Mul, turned, sin, name)?);
        self.binary(BinaryOp::Add, x, turned, name)
    }

    /// A cache with the new rows at the position.
    fn cache(&mut self, kind: &str, new: NodeId, position: NodeId, context: usize) -> Result<NodeId, String> {
        let mut shape = self.graph.shape(new).to_vec();
        shape[2] = context;
        let (input_name, output_name) = (format!("past_key_values.{kind}"), format!("present.{kind}"));
        let input = self.input(&input_name, ElementType::F32, &shape);
        let output = self.graph.push(Op::Append { axis: 2 }, &[input, new, position], &output_name)?;
        self.graph.states.push(State { input, output, input_name, output_name });
        Ok(output)
    }

    fn attention(
        &mut self,
        h: NodeId,
        position: NodeId,
        (batch, context): (usize, usize),
    ) -> Result<NodeId, String> {
        let Grouped { heads, kv_heads, head_dim, qk_norm, .. } = self.shape.attention;
        let name = |part: &str| format!("self_attn.{part}");
        let q = self.linear(h, &name("q_proj"), heads * head_dim)?;
        let k = self.linear(h, &name("k_proj"), kv_heads * head_dim)?;
        let v = self.linear(h, &name("v_proj"), kv_heads * head_dim)?;
        let q = self.reshape(q, &[batch, kv_heads, heads / kv_heads, head_dim], &name("q"))?;
        let k = self.reshape(k, &[batch, kv_heads, 1, head_dim], &name("k"))?;
        let v = self.reshape(v, &[batch, kv_heads, 1, head_dim], &name("v"))?;
        let (q, k) = match qk_norm {
            true => (self.norm(q, &name("q_norm"))?, self.norm(k, &name("k_norm"))?),
            false => (q, k),
        };
        let angles = self.rotary(position)?;
        let (q, k) = (self.rotate(q, angles, &name("q_rotary"))?, self.rotate(k, angles, &name("k_rotary"))?);
        let k = self.cache("key", k, position, context)?;
        let v = self.cache("value", v, position, context)?;
        let scores = self.graph.push(Op::MatMul { transpose_b: true }, &[q, k], &name("scores"))?;
        let scale = self.real((head_dim as f32).sqrt().recip());
        let scores = self.binary(BinaryOp::Mul, scores, scale, &name("scale"))?;
        let places = self.constant(Tensor::i32([context], (0..context as i32).collect::<Vec<_>>()), "places");
        let seen = self.binary(BinaryOp::LessEqual, places, position, &name("seen"))?;
        let lowest = self.real(f32::MIN);
        let scores = self.graph.push(Op::Select, &[seen, scores, lowest], &name("mask"))?;
        let shares = self.graph.push(Op::Softmax { axis: 3 }, &[scores], &name("softmax"))?;
        let mixed = self.graph.push(Op::MatMul { transpose_b: false }, &[shares, v], &name("mixed"))?;
        let mixed = self.reshape(mixed, &[batch, 1, heads * head_dim], &name("joined"))?;
        self.linear(mixed, &name("o_proj"), self.config.hidden)
    }

    fn feed_forward(&mut self, h: NodeId) -> Result<NodeId, String> {
        let gate = self.linear(h, "mlp.gate_proj", self.shape.inner)?;
        let up = self.linear(h, "mlp.up_proj", self.shape.inner)?;
        let open = self.unary(UnaryOp::Sigmoid, gate, "mlp.act")?;
        let gate = self.binary(BinaryOp::Mul, gate, open, "mlp.act")?;
        let inner = self.binary(BinaryOp::Mul, gate, up, "mlp.gated")?;
        self.linear(inner, "mlp.down_proj", self.config.hidden)
    }
}
