//! One step of a recurrent operator.

use super::activation::Activation;
use super::integer::{Bytes, quantized_product};
use crate::graph::import::build::{Builder, Outcome, Value};
use crate::graph::{BinaryOp, Op};

/// Which operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    /// RNN.
    Rnn,
    /// GRU; the reset gate may come after the product with h.
    Gru { after: bool },
    /// LSTM; what is forgotten may be what is not let in.
    Lstm { coupled: bool },
}

impl Cell {
    /// Number of gates.
    pub(super) fn gates(self) -> usize {
        match self {
            Cell::Rnn => 1,
            Cell::Gru { .. } => 3,
            Cell::Lstm { .. } => 4,
        }
    }

    /// Whether there is a second state.
    pub(super) fn has_state(self) -> bool {
        matches!(self, Cell::Lstm { .. })
    }

    /// Names of the activations of a direction.
    pub(super) fn activations(self) -> &'static [&'static str] {
        match self {
            Cell::Rnn => &["Tanh"],
            Cell::Gru { .. } => &["Sigmoid", "Tanh"],
            Cell::Lstm { .. } => &["Sigmoid", "Tanh", "Tanh"],
        }
    }
}

/// What a step multiplies by.
#[derive(Clone, Debug)]
pub(super) enum Matrix {
    /// Reals [gates · hidden, in].
    Real(Value),
    /// Bytes [in, gates · hidden] and their scale: what they multiply is quantised as it comes.
    Bytes(Bytes, Value),
}

/// What the steps of one direction have in common.
pub(super) struct Weights {
    cell: Cell,
    /// Of the input.
    w: Matrix,
    /// Of h.
    r: Matrix,
    /// [gates · hidden], of the input's product.
    bias: Option<Value>,
    /// [hidden], within the reset gate's reach.
    inner_bias: Option<Value>,
    /// [3 · hidden], for the gates input, output, forget.
    peepholes: Option<Value>,
    pub(super) hidden: usize,
    activations: Vec<Activation>,
    clip: Option<f32>,
}

/// Elements start, … of an axis.
fn cut(build: &mut Builder, a: &Value, axis: usize, start: usize, count: usize) -> Outcome {
    build.apply(Op::Slice { axis, start, count, step: 1 }, std::slice::from_ref(a))
}

impl Matrix {
    /// x [.., in] times the matrix, or so many of its outputs from one on.
    fn times(&self, build: &mut Builder, x: &Value, outputs: Option<(usize, usize)>) -> Outcome {
        match self {
            Matrix::Real(rows) => {
                let rows = match outputs {
                    Some((start, count)) => cut(build, rows, 0, start, count)?,
                    None => rows.clone(),
                };
                build.apply(Op::MatMul { transpose_b: true }, &[x.clone(), rows])
            }
            Matrix::Bytes(bytes, scale) => {
                let y = quantized_product(build, x, bytes.clone(), scale.clone())?;
                let axis = build.shape(&y).len() - 1;
                match outputs {
                    Some((start, count)) => cut(build, &y, axis, start, count),
                    None => Ok(y),
                }
            }
        }
    }
}

impl Weights {
    /// From matrices, the two biases after each other, and peepholes; hidden values, activations and a limit for what these take.
    pub(super) fn new(
        build: &mut Builder,
        cell: Cell,
        (w, r, both, peepholes): (Matrix, Matrix, Option<Value>, Option<Value>),
        (hidden, activations, clip): (usize, Vec<Activation>, Option<f32>),
    ) -> Outcome<Weights> {
        let (mut bias, mut inner_bias) = (None, None);
        if let Some(both) = both {
            let rows = cell.gates() * hidden;
            let (of_w, of_r) = (cut(build, &both, 0, 0, rows)?, cut(build, &both, 0, rows, rows)?);
            bias = Some(if cell == (Cell::Gru { after: true }) {
                inner_bias = Some(cut(build, &of_r, 0, 2 * hidden, hidden)?);
                let gates = [cut(build, &of_w, 0, 0, 2 * hidden)?, cut(build, &of_r, 0, 0, 2 * hidden)?];
                let gates = build.apply(Op::Binary(BinaryOp::Add), &gates)?;
                let rest = cut(build, &of_w, 0, 2 * hidden, hidden)?;
                build.apply(Op::Concat { axis: 0 }, &[gates, rest])?
            } else {
                build.binary(BinaryOp::Add, &of_w, &of_r)?
            });
        }
        Ok(Weights { cell, w, r, bias, inner_bias, peepholes, hidden, activations, clip })
    }

    /// What all steps [steps · batch, input] add to the gates' sums.
    pub(super) fn of_input(&self, build: &mut Builder, x: &Value) -> Outcome {
        let product = self.w.times(build, x, None)?;
        match &self.bias {
            Some(bias) => build.binary(BinaryOp::Add, &product, bias),
            None => Ok(product),
        }
    }

    /// The next h and cell, from what the input adds to the sums [batch, gates · hidden], and the old ones; without one it is zero.
    pub(super) fn step(
        &self,
        build: &mut Builder,
        own: &Value,
        h: Option<&Value>,
        cell: Option<&Value>,
    ) -> Outcome<(Value, Option<Value>)> {
        match self.cell {
            Cell::Rnn => {
                let sums = self.sums(build, own, h, (0, 1))?;
                Ok((self.activate(build, 0, &sums)?, None))
            }
            Cell::Gru { after } => Ok((self.gru(build, own, h, after)?, None)),
            Cell::Lstm { coupled } => {
                let (h, cell) = self.lstm(build, own, (h, cell), coupled)?;
                Ok((h, Some(cell)))
            }
        }
    }

    /// h times a range of gates of the matrix, [batch, count · hidden].
    fn product(&self, build: &mut Builder, h: &Value, (first, count): (usize, usize)) -> Outcome {
        self.r.times(build, h, Some((first * self.hidden, count * self.hidden)))
    }

    /// What the input and h add up to, of a range of gates.
    fn sums(&self, build: &mut Builder, own: &Value, h: Option<&Value>, gates: (usize, usize)) -> Outcome {
        let own = cut(build, own, 1, gates.0 * self.hidden, gates.1 * self.hidden)?;
        let Some(h) = h else { return Ok(own) };
        let product = self.product(build, h, gates)?;
        build.binary(BinaryOp::Add, &own, &product)
    }

    /// One of several gates.
    fn gate(&self, build: &mut Builder, sums: &Value, index: usize) -> Outcome {
        cut(build, sums, 1, index * self.hidden, self.hidden)
    }

    /// An activation, within the limit of what it takes.
    fn activate(&self, build: &mut Builder, index: usize, a: &Value) -> Outcome {
        let mut a = a.clone();
        if let Some(clip) = self.clip {
            a = build.with_real(BinaryOp::Max, &a, -clip)?;
            a = build.with_real(BinaryOp::Min, &a, clip)?;
        }
        self.activations[index].apply(build, &a)
    }

    fn gru(&self, build: &mut Builder, own: &Value, h: Option<&Value>, after: bool) -> Outcome {
        let sums = self.sums(build, own, h, (0, 2))?;
        let (update, reset) = (self.gate(build, &sums, 0)?, self.gate(build, &sums, 1)?);
        let (update, reset) = (self.activate(build, 0, &update)?, self.activate(build, 0, &reset)?);
        let mut candidate = self.gate(build, own, 2)?;
        let mut inner = None;
        if let Some(h) = h {
            let reduced = if after { h.clone() } else { build.binary(BinaryOp::Mul, &reset, h)? };
            inner = Some(self.product(build, &reduced, (2, 1))?);
        }
        if after {
            inner = match (inner, &self.inner_bias) {
                (Some(product), Some(bias)) => Some(build.binary(BinaryOp::Add, &product, bias)?),
                (product, bias) => product.or(bias.clone()),
            };
            inner = inner.map(|inner| build.binary(BinaryOp::Mul, &reset, &inner)).transpose()?;
        }
        if let Some(inner) = inner {
            candidate = build.binary(BinaryOp::Add, &candidate, &inner)?;
        }
        let candidate = self.activate(build, 1, &candidate)?;
        // (1 − z) n + z h
        let rest = build.binary(BinaryOp::Sub, &Value::real(1.0), &update)?;
        let new = build.binary(BinaryOp::Mul, &rest, &candidate)?;
        let Some(h) = h else { return Ok(new) };
        let kept = build.binary(BinaryOp::Mul, &update, h)?;
        build.binary(BinaryOp::Add, &new, &kept)
    }

    /// The gates are in the order input, output, forget, cell.
    fn lstm(
        &self,
        build: &mut Builder,
        own: &Value,
        (h, cell): (Option<&Value>, Option<&Value>),
        coupled: bool,
    ) -> Outcome<(Value, Value)> {
        let sums = self.sums(build, own, h, (0, 4))?;
        let input = self.seen(build, &sums, 0, cell)?;
        let candidate = self.gate(build, &sums, 3)?;
        let candidate = self.activate(build, 1, &candidate)?;
        let mut new = build.binary(BinaryOp::Mul, &input, &candidate)?;
        if let Some(cell) = cell {
            let forget = if coupled {
                build.binary(BinaryOp::Sub, &Value::real(1.0), &input)?
            } else {
                self.seen(build, &sums, 2, Some(cell))?
            };
            let kept = build.binary(BinaryOp::Mul, &forget, cell)?;
            new = build.binary(BinaryOp::Add, &kept, &new)?;
        }
        let output = self.seen(build, &sums, 1, Some(&new))?;
        // The limit is for what the gates take, not for the cell.
        let shown = self.activations[2].apply(build, &new)?;
        Ok((build.binary(BinaryOp::Mul, &output, &shown)?, new))
    }

    /// A gate that sees a cell through its peephole.
    fn seen(&self, build: &mut Builder, sums: &Value, index: usize, cell: Option<&Value>) -> Outcome {
        let mut gate = self.gate(build, sums, index)?;
        if let (Some(peepholes), Some(cell)) = (&self.peepholes, cell) {
            let weights = cut(build, peepholes, 0, index * self.hidden, self.hidden)?;
            let part = build.binary(BinaryOp::Mul, &weights, cell)?;
            gate = build.binary(BinaryOp::Add, &gate, &part)?;
        }
        self.activate(build, 0, &gate)
    }
}
