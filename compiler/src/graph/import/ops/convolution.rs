//! Convolutions of reals and of bytes.
//!
//! A convolution that looks at one place at a time is a matrix product. One whose result goes through a batch
//! normalisation takes the normalisation's factors into its weights.

use super::integer::{Bytes, bytes, flat, requantized, scaled};
use super::quantize::is_zero;
use super::{Translate, patches};
use crate::graph::eval::{self, Tensor};
use crate::graph::import::build::{Builder, Issue, Outcome, Value, uniform};
use crate::graph::import::call::{Call, length};
use crate::graph::{BinaryOp, ElementType, Op};

pub(super) fn translator(operator: &str) -> Option<Translate> {
    Some(match operator {
        "Conv" => conv,
        "ConvInteger" => |c| integer(c, [0, 1], [2, 3]).map(|y| vec![y]),
        "QLinearConv" => linear,
        _ => return None,
    })
}

/// Where windows lie on the spatial axes.
#[derive(Clone, Debug)]
pub(super) struct Window {
    pub(super) kernel: Vec<usize>,
    pub(super) strides: Vec<usize>,
    /// Elements added before and after.
    pub(super) padding: Vec<[usize; 2]>,
    pub(super) dilations: Vec<usize>,
}

/// A convolution that was imported, for what comes after it.
#[derive(Clone, Debug)]
pub(in crate::graph::import) struct Convolution {
    x: Value,
    weights: Value,
    bias: Option<Value>,
    window: Window,
    groups: usize,
}

impl Window {
    /// As a node's attributes say, on axes of the given lengths.
    pub(super) fn read(c: &Call<'_>, kernel: Vec<usize>, space: &[usize]) -> Outcome<Window> {
        let axes = space.len();
        let list =
            |name: &str, default: usize, count: usize| match c.ints(name).filter(|list| !list.is_empty()) {
                None => Ok(vec![default; count]),
                Some(list) if list.len() == count => list.iter().map(|&value| length(value)).collect(),
                Some(list) => Err(Issue::Invalid(format!("{name} {list:?} for {axes} spatial axes"))),
            };
        let (strides, dilations) = (list("strides", 1, axes)?, list("dilations", 1, axes)?);
        if kernel.len() != axes || [&kernel, &strides, &dilations].iter().any(|list| list.contains(&0)) {
            return Err(Issue::Invalid(format!(
                "windows of {kernel:?}, strides {strides:?} and dilations {dilations:?} on {axes} spatial axes"
            )));
        }
        let how = c.text("auto_pad", "NOTSET");
        let padding = match how.as_str() {
            "NOTSET" | "" => {
                let pads = list("pads", 0, 2 * axes)?;
                (0..axes).map(|axis| [pads[axis], pads[axes + axis]]).collect()
            }
            "VALID" => vec![[0; 2]; axes],
            "SAME_UPPER" | "SAME_LOWER" => (0..axes)
                .map(|axis| {
                    let reach = (space[axis].div_ceil(strides[axis]).saturating_sub(1) * strides[axis])
                        .saturating_add((kernel[axis] - 1).saturating_mul(dilations[axis]))
                        .saturating_add(1);
                    let total = reach.saturating_sub(space[axis]);
                    let (less, more) = (total / 2, total.div_ceil(2));
                    if how == "SAME_UPPER" { [less, more] } else { [more, less] }
                })
                .collect(),
            other => return Err(Issue::Invalid(format!("auto_pad is `{other}`"))),
        };
        Ok(Window { kernel, strides, padding, dilations })
    }

    /// Whether each window is one element, and each element a window.
    fn is_point(&self) -> bool {
        let ones = |list: &[usize]| list.iter().all(|&x| x == 1);
        ones(&self.kernel) && ones(&self.strides) && !self.is_padded()
    }

    /// The window on the first axis, and that on the others.
    fn split(&self) -> (Window, Window) {
        let of = |range: std::ops::Range<usize>| Window {
            kernel: self.kernel[range.clone()].to_vec(),
            strides: self.strides[range.clone()].to_vec(),
            padding: self.padding[range.clone()].to_vec(),
            dilations: self.dilations[range].to_vec(),
        };
        (of(0..1), of(1..self.kernel.len()))
    }

    fn is_padded(&self) -> bool {
        self.padding.iter().any(|pair| *pair != [0; 2])
    }
}

/// The window and groups of a convolution of x with weights.
fn attributes(c: &Call<'_>, x: &Value, weights: &Value) -> Outcome<(Window, usize)> {
    let (x, weights) = (c.ty(x).shape, c.ty(weights).shape);
    if x.len() != weights.len() || x.len() < 3 {
        return Err(Issue::Invalid(format!("it convolves {x:?} with {weights:?}")));
    }
    if c.ints("kernel_shape").is_some_and(|kernel| {
        !kernel.iter().eq(weights[2..].iter().map(|&k| k as i64).collect::<Vec<_>>().iter())
    }) {
        return Err(Issue::Invalid("its kernel_shape is not that of its weights".to_owned()));
    }
    Ok((Window::read(c, weights[2..].to_vec(), &x[2..])?, length(c.int("group", 1))?))
}

fn conv(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (x, weights) = (c.input(0)?, c.input(1)?);
    let (window, groups) = attributes(c, &x, &weights)?;
    emit(c.build, Convolution { x, weights, bias: c.optional(2), window, groups }).map(|y| vec![y])
}

/// A real convolution, which is remembered.
fn emit(build: &mut Builder, convolution: Convolution) -> Outcome {
    let Convolution { x, weights, bias, window, groups } = &convolution;
    let y = convolve(build, x, weights, bias.as_ref(), window, *groups)?;
    if let Value::Node(node) = y {
        build.convolutions.insert(node, convolution);
    }
    Ok(y)
}

/// Convolution, of reals or of bytes. The bias has an element for each output channel.
pub(super) fn convolve(
    build: &mut Builder,
    x: &Value,
    weights: &Value,
    bias: Option<&Value>,
    window: &Window,
    groups: usize,
) -> Outcome {
    let (shape, out) = (build.shape(x), build.shape(weights)[0]);
    if groups != 1 || !window.is_point() {
        let narrow = build.ty(x).element == ElementType::I8;
        let y = if shape.len() > 4 || !narrow && !is_constant(build, weights) {
            by_products(build, x, weights, window, groups)?
        } else {
            let Window { strides, padding, dilations, .. } = window.clone();
            let op = Op::Conv { channels_last: false, strides, padding, dilations, groups };
            build.apply(op, &[x.clone(), weights.clone()])?
        };
        let Some(bias) = bias else { return Ok(y) };
        let bias = along_channels(build, bias, shape.len())?;
        return build.binary(BinaryOp::Add, &y, &bias);
    }
    // Channels last, each place is a row.
    let (n, channels, places) = (shape[0], shape[1], shape[2..].iter().product());
    let rows = build.reshape(x, vec![n, channels, places])?;
    let rows = build.apply(Op::Transpose { permutation: vec![0, 2, 1] }, &[rows])?;
    let inner = build.shape(weights)[1];
    let matrix = build.reshape(weights, vec![out, inner])?;
    let mut y = build.apply(Op::MatMul { transpose_b: true }, &[rows, matrix])?;
    if let Some(bias) = bias {
        y = build.binary(BinaryOp::Add, &y, bias)?;
    }
    let y = build.apply(Op::Transpose { permutation: vec![0, 2, 1] }, &[y])?;
    build.reshape(&y, [&[n, out], &shape[2..]].concat())
}

/// Where there is no convolution of its own. With known weights each place of a window on the first of more than two spatial axes is a convolution of
/// the others, and these are added; else the windows' elements are laid side by side.
fn by_products(build: &mut Builder, x: &Value, weights: &Value, window: &Window, groups: usize) -> Outcome {
    let shape = build.shape(x);
    if build.ty(x).element != ElementType::F32 {
        return Err(Issue::Unsupported(format!(
            "a convolution of bytes on {} spatial axes",
            shape.len() - 2
        )));
    }
    if !is_constant(build, weights) {
        let rows = patches::channels_last(build, x)?;
        let windows = patches::windows(build, &rows, window)?;
        return patches::weighted(build, &windows, weights, groups);
    }
    let (first, rest) = window.split();
    // [N, D, C, ..]: slices of the first axis are so many images.
    let swapped: Vec<usize> = [0, 2, 1].into_iter().chain(3..shape.len()).collect();
    let images = build.apply(Op::Transpose { permutation: swapped.clone() }, std::slice::from_ref(x))?;
    let mut sum: Option<Value> = None;
    for (at, part) in patches::windows(build, &images, &first)?.into_iter().enumerate() {
        let count = build.shape(&part)[1];
        let part = build.reshape(&part, [&[shape[0] * count, shape[1]], &shape[3..]].concat())?;
        let own = build.element(weights, 2, at)?;
        let y = convolve(build, &part, &own, None, &rest, groups)?;
        let made = build.shape(&y);
        let y = build.reshape(&y, [&[shape[0], count], &made[1..]].concat())?;
        sum = Some(match sum {
            Some(sum) => build.binary(BinaryOp::Add, &sum, &y)?,
            None => y,
        });
    }
    let sum = sum.ok_or_else(|| Issue::Invalid("a window without places".to_owned()))?;
    build.apply(Op::Transpose { permutation: swapped }, &[sum])
}

/// A value for each channel, in a shape that broadcasts to [N, C, ..] of `rank` axes; a single value as it is.
pub(super) fn along_channels(build: &mut Builder, value: &Value, rank: usize) -> Outcome {
    let count = build.ty(value).elements();
    if count == 1 {
        return build.reshape(value, vec![]);
    }
    let mut shape = vec![1; rank - 1];
    shape[0] = count;
    build.reshape(value, shape)
}

/// A batch normalisation (x − center) · factor + offset of a convolution's result is a convolution: where all of them and
/// the weights are constant it is made here. All have an element for each channel.
pub(super) fn normalized(
    build: &mut Builder,
    x: &Value,
    [center, factor, offset]: [&Value; 3],
) -> Outcome<Option<Value>> {
    let Value::Node(node) = x else { return Ok(None) };
    let Some(before) = build.convolutions.get(node).cloned() else { return Ok(None) };
    let constants = [Some(&before.weights), before.bias.as_ref(), Some(center), Some(factor), Some(offset)];
    if !constants.into_iter().flatten().all(|value| is_constant(build, value)) {
        return Ok(None);
    }
    let rank = build.shape(&before.weights).len();
    let count = build.shape(&before.weights)[0];
    let per_output = [vec![count], vec![1; rank - 1]].concat();
    let [center, factor, offset] = [center, factor, offset].map(|value| build.reshape(value, vec![count]));
    let (center, factor, offset) = (center?, factor?, offset?);
    let gains = build.reshape(&factor, per_output)?;
    let weights = build.binary(BinaryOp::Mul, &before.weights, &gains)?;
    let bias = before.bias.clone().unwrap_or_else(|| Value::real(0.0));
    let bias = build.binary(BinaryOp::Sub, &bias, &center)?;
    let bias = build.binary(BinaryOp::Mul, &bias, &factor)?;
    let bias = build.binary(BinaryOp::Add, &bias, &offset)?;
    emit(build, Convolution { weights, bias: Some(bias), ..before }).map(Some)
}

/// Whether a value is the same whatever the model's inputs are.
pub(super) fn is_constant(build: &Builder, value: &Value) -> bool {
    match value {
        Value::Known(_) => true,
        Value::Past(_) => false,
        Value::Node(node) => {
            let inside = eval::ancestors(&build.graph, &[*node]);
            !inside.iter().any(|&id| matches!(build.graph.nodes[id].op, Op::Input(_)))
        }
    }
}

/// The integer convolution of the inputs at two places, with zero points at two others: as that of bytes is linear in x, it is that of x less
/// x's zero point times that of ones.
fn integer(c: &mut Call<'_>, at: [usize; 2], zeros: [usize; 2]) -> Outcome {
    let (mut x, weights) = (c.input(at[0])?, c.input(at[1])?);
    let (mut window, groups) = attributes(c, &x, &weights)?;
    let (x_kind, zero) = (c.kind(at[0])?, c.optional(zeros[0]));
    let zero = zero.map(|zero| flat(c.build, zero)).transpose()?;
    let mut a = bytes(c.build, &x, x_kind, zero.clone())?;
    // What is around x counts as its zero point: written there where it is known, else what is around the ones is zero.
    let around = zero.as_ref().map_or(Some(0), |zero| zero.tensor().and_then(uniform));
    if let Some(value) = around
        && window.is_padded()
        && !is_zero(&a.zero)
    {
        for (axis, pair) in window.padding.iter_mut().enumerate() {
            let [before, after] = std::mem::take(pair);
            x = c.build.apply(Op::Pad { axis: axis + 2, before, after, value }, &[x])?;
        }
        a = bytes(c.build, &x, x_kind, zero)?;
    }
    let b = bytes(c.build, &weights, c.kind(at[1])?, c.optional(zeros[1]))?;
    let y = less_zero(c.build, &a.value, &b, &window, groups)?;
    if is_zero(&a.zero) {
        return Ok(y);
    }
    let mut ones = c.ty(&a.value).shape;
    ones[0] = 1;
    if !window.is_padded() {
        // One window is like another.
        for (axis, length) in ones[2..].iter_mut().enumerate() {
            *length = (window.kernel[axis] - 1) * window.dilations[axis] + 1;
        }
    }
    let ones = byte_ones(c.build, ones)?;
    let sums = less_zero(c.build, &ones, &b, &window, groups)?;
    let less = c.build.binary(BinaryOp::Mul, &sums, &a.zero)?;
    c.build.binary(BinaryOp::Sub, &y, &less)
}

/// A convolution of bytes with weights less their zero points.
fn less_zero(build: &mut Builder, a: &Value, b: &Bytes, window: &Window, groups: usize) -> Outcome {
    let y = convolve(build, a, &b.value, None, window, groups)?;
    if is_zero(&b.zero) {
        return Ok(y);
    }
    // Every output sums the same, in its own lane.
    let kernel = build.shape(&b.value);
    let rank = kernel.len();
    let ones = byte_ones(build, kernel)?;
    let sums = convolve(build, a, &ones, None, window, groups)?;
    let zero = along_channels(build, &b.zero, rank)?;
    let less = build.binary(BinaryOp::Mul, &sums, &zero)?;
    build.binary(BinaryOp::Sub, &y, &less)
}

fn byte_ones(build: &mut Builder, shape: Vec<usize>) -> Outcome {
    build.apply(Op::Expand { shape }, &[Value::known(Tensor::i8([], [1]))])
}

/// x, its scale and zero point; the weights, theirs; the output's scale and zero point; bias.
fn linear(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let rank = c.ty(&c.input(0)?).shape.len();
    let mut y = integer(c, [0, 3], [2, 5])?;
    if let Some(bias) = c.optional(8) {
        let bias = along_channels(c.build, &bias, rank)?;
        y = c.build.binary(BinaryOp::Add, &y, &bias)?;
    }
    let (x_scale, scale) = (c.input(1)?, c.input(4)?);
    let (x_scale, scale) = (flat(c.build, x_scale)?, along_channels(c.build, &scale, rank)?);
    let y = scaled(c.build, &y, &x_scale, &scale)?;
    requantized(c, &y, 6).map(|y| vec![y])
}
