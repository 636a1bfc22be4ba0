//! Pooling: axis by axis, the elements at one place of all windows are a slice, and slices are compared or added.

use super::choose::{self, Joined};
use super::convolution::Window;
use super::reduce::mean;
use super::{Translate, one, patches};
use crate::graph::eval::Tensor;
use crate::graph::import::build::{Builder, Issue, Outcome, Value};
use crate::graph::import::call::{Call, length};
use crate::graph::{BinaryOp, Op, ReduceOp, UnaryOp, shape};

/// Longest window on an axis that is worth slices.
const MAX_WINDOW: usize = 64;

pub(super) fn translator(operator: &str) -> Option<Translate> {
    Some(match operator {
        "MaxPool" => |c| pool(c, BinaryOp::Max),
        "AveragePool" => |c| pool(c, BinaryOp::Add),
        "GlobalAveragePool" => |c| {
            let x = c.input(0)?;
            let axes: Vec<usize> = (2..c.ty(&x).shape.len()).collect();
            mean(c.build, &x, &axes).map(one)
        },
        "LpPool" => power,
        "GlobalLpPool" => |c| {
            let (x, p) = (c.input(0)?, c.int("p", 2));
            let powers = raised(c.build, &x, p)?;
            let mut axes = 2..c.ty(&x).shape.len();
            let sum =
                axes.try_fold(powers, |x, axis| c.build.apply(Op::Reduce { op: ReduceOp::Sum, axis }, &[x]))?;
            root(c.build, &sum, p).map(one)
        },
        "MaxUnpool" => unpool,
        "GlobalMaxPool" => |c| {
            let x = c.input(0)?;
            let mut axes = 2..c.ty(&x).shape.len();
            axes.try_fold(x, |x, axis| c.build.apply(Op::Reduce { op: ReduceOp::Max, axis }, &[x])).map(one)
        },
        _ => return None,
    })
}

/// One spatial axis: where its windows are.
struct Axis {
    axis: usize,
    length: usize,
    kernel: usize,
    stride: usize,
    padding: [usize; 2],
    dilation: usize,
    /// Number of windows.
    count: usize,
}

/// Where a node's windows are.
fn window(c: &Call<'_>, x: &Value) -> Outcome<Vec<Axis>> {
    let ty = c.ty(x);
    let kernel = c.ints("kernel_shape").unwrap_or_default();
    let kernel = kernel.iter().map(|&k| length(k)).collect::<Outcome<Vec<_>>>()?;
    if ty.shape.len() < 3 || kernel.is_empty() {
        return Err(Issue::Invalid(format!("windows of {kernel:?} on {ty}")));
    }
    if kernel.iter().any(|&k| k > MAX_WINDOW) {
        return Err(Issue::Unsupported(format!("windows of {kernel:?}; at most {MAX_WINDOW} on an axis")));
    }
    let window = Window::read(c, kernel, &ty.shape[2..])?;
    axes(&window, &ty.shape, c.int("ceil_mode", 0) != 0)
}

fn pool(c: &mut Call<'_>, op: BinaryOp) -> Outcome<Vec<Value>> {
    let mut x = c.input(0)?;
    let axes = window(c, &x)?;
    if c.wants(1) {
        return with_places(c, &x, &axes);
    }
    for axis in &axes {
        x = slices(c, &x, axis, op)?;
    }
    if op == BinaryOp::Add {
        x = divided(c, &x, &axes, c.int("count_include_pad", 0) != 0)?;
    }
    Ok(vec![x])
}

fn axes(window: &Window, shape: &[usize], ceil: bool) -> Outcome<Vec<Axis>> {
    let axis = |i: usize| {
        let (kernel, stride, dilation) = (window.kernel[i], window.strides[i], window.dilations[i]);
        let (padding, length) = (window.padding[i], shape[i + 2]);
        let reach = (kernel - 1).checked_mul(dilation).and_then(|reach| reach.checked_add(1));
        let padded = length.checked_add(padding[0]).and_then(|n| n.checked_add(padding[1]));
        let free = padded.zip(reach).and_then(|(padded, reach)| padded.checked_sub(reach));
        let free = free
            .ok_or_else(|| Issue::Invalid(format!("a window of {kernel} does not fit on axis {}", i + 2)))?;
        let mut count = if ceil { free.div_ceil(stride) } else { free / stride } + 1;
        // A window does not begin behind the data.
        if ceil && (count - 1) * stride >= length + padding[0] {
            count -= 1;
        }
        Ok(Axis { axis: i + 2, length, kernel, stride, padding, dilation, count })
    };
    (0..window.kernel.len()).map(axis).collect()
}

/// All windows of an axis at once: their first elements, their second ones, and so on, joined by `op`.
fn slices(c: &mut Call<'_>, x: &Value, a: &Axis, op: BinaryOp) -> Outcome {
    let [before, _] = a.padding;
    let end = (a.count - 1) * a.stride + (a.kernel - 1) * a.dilation + 1;
    let after = end.saturating_sub(a.length + before);
    let mut x = x.clone();
    if op == BinaryOp::Add {
        x = c.build.apply(Op::Pad { axis: a.axis, before, after, value: 0 }, &[x])?;
    }
    let mut joined: Option<Value> = None;
    for element in 0..a.kernel {
        let part = match op {
            BinaryOp::Add => {
                let start = element * a.dilation;
                let slice = Op::Slice { axis: a.axis, start, count: a.count, step: a.stride };
                c.build.apply(slice, std::slice::from_ref(&x))?
            }
            _ => inside(c, &x, a, element)?,
        };
        joined = Some(match joined {
            None => part,
            Some(joined) => c.build.binary(op, &joined, &part)?,
        });
    }
    joined.ok_or_else(|| Issue::Invalid("an empty window".to_owned()))
}

/// Where one element of each window lies; of those outside, where the nearest of the same window does that is inside.
fn places_inside(a: &Axis, element: usize) -> Outcome<Vec<usize>> {
    let at = |window: usize| {
        let at = window * a.stride + element * a.dilation;
        let end = a.length + a.padding[0];
        let up = a.padding[0].saturating_sub(at).next_multiple_of(a.dilation);
        let down = (at + 1).saturating_sub(end).next_multiple_of(a.dilation);
        (at + up).checked_sub(down + a.padding[0]).filter(|&at| at < a.length)
    };
    let places: Option<Vec<usize>> = (0..a.count).map(at).collect();
    places.ok_or_else(|| Issue::Unsupported("a window with nothing but padding".to_owned()))
}

/// One element of each window, or one that changes no maximum.
fn inside(c: &mut Call<'_>, x: &Value, a: &Axis, element: usize) -> Outcome {
    let places = places_inside(a, element)?;
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for (window, &start) in places.iter().enumerate() {
        let goes_on = window > 0 && start == places[window - 1] + a.stride;
        match parts.last_mut().filter(|_| goes_on) {
            Some((_, count)) => *count += 1,
            None => parts.push((start, 1)),
        }
    }
    let mut slices = Vec::new();
    for (start, count) in parts {
        let step = if count == 1 { 1 } else { a.stride };
        slices.push(c.build.apply(Op::Slice { axis: a.axis, start, count, step }, std::slice::from_ref(x))?);
    }
    match slices.len() {
        1 => slices.pop().ok_or_else(|| Issue::Invalid("an empty window".to_owned())),
        _ => c.build.apply(Op::Concat { axis: a.axis }, &slices),
    }
}

/// The sum of the elements' powers, and its root.
fn power(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (x, p) = (c.input(0)?, c.int("p", 2));
    let axes = window(c, &x)?;
    let mut sum = raised(c.build, &x, p)?;
    for axis in &axes {
        sum = slices(c, &sum, axis, BinaryOp::Add)?;
    }
    root(c.build, &sum, p).map(one)
}

/// |x|^p
pub(super) fn raised(build: &mut Builder, x: &Value, p: i64) -> Outcome {
    match p {
        1 => build.unary(UnaryOp::Abs, x),
        2 => build.binary(BinaryOp::Mul, x, x),
        3.. => {
            let x = build.unary(UnaryOp::Abs, x)?;
            build.with_real(BinaryOp::Pow, &x, p as f32)
        }
        _ => Err(Issue::Invalid(format!("its p is {p}"))),
    }
}

/// x^(1 / p) of what is not negative.
pub(super) fn root(build: &mut Builder, x: &Value, p: i64) -> Outcome {
    match p {
        1 => Ok(x.clone()),
        2 => build.unary(UnaryOp::Sqrt, x),
        _ => {
            let log = build.unary(UnaryOp::Log, x)?;
            let part = build.with_real(BinaryOp::Mul, &log, 1.0 / p as f32)?;
            build.unary(UnaryOp::Exp, &part)
        }
    }
}

/// Greatest elements, and their places in the whole tensor: place by place of the windows, what is greater than all before it.
fn with_places(c: &mut Call<'_>, x: &Value, axes: &[Axis]) -> Outcome<Vec<Value>> {
    let shape = c.ty(x).shape;
    let by_columns = c.int("storage_order", 0) != 0;
    let all = shape::count(&shape)?;
    i32::try_from(all).map_err(|_| Issue::Unsupported(format!("places in {shape:?} are too many")))?;
    patches::places(&axes.iter().map(|axis| axis.kernel).collect::<Vec<_>>())?;
    // For each place of a window: its elements, and where each is among those of its channel.
    let mut parts: Vec<(Value, Vec<usize>)> = vec![(x.clone(), vec![0])];
    for (a, step) in axes.iter().zip(strides(axes, by_columns)) {
        let mut next = Vec::new();
        for (part, before) in parts {
            for element in 0..a.kernel {
                let along = places_inside(a, element)?;
                let all = before.iter().flat_map(|&before| along.iter().map(move |&at| before + at * step));
                next.push((inside(c, &part, a, element)?, all.collect()));
            }
        }
        parts = next;
    }
    let space: Vec<usize> = axes.iter().map(|a| a.count).collect();
    let mut found: Option<(Value, Value)> = None;
    for (part, places) in parts {
        let places: Vec<i32> = places.iter().map(|&place| place as i32).collect();
        let here = Value::known(Tensor::i32(space.clone(), places));
        found = Some(match found {
            None => (part, here),
            Some((best, place)) => {
                let greater = c.build.binary(BinaryOp::Less, &best, &part)?;
                let place = c.build.apply(Op::Select, &[greater, here, place])?;
                (c.build.binary(BinaryOp::Max, &best, &part)?, place)
            }
        });
    }
    let (best, place) = found.ok_or_else(|| Issue::Invalid("an empty window".to_owned()))?;
    let channels: usize = shape[..2].iter().product();
    let each = all.checked_div(channels).unwrap_or(0);
    let starts: Vec<i32> = (0..channels).map(|channel| (channel * each) as i32).collect();
    let ones = vec![1; axes.len()];
    let starts = Value::known(Tensor::i32([&shape[..2], &ones[..]].concat(), starts));
    Ok(vec![best, c.build.binary(BinaryOp::Add, &place, &starts)?])
}

/// Elements of a channel from one place of an axis to the next.
fn strides(axes: &[Axis], by_columns: bool) -> Vec<usize> {
    let product = |axes: &[Axis]| axes.iter().map(|axis| axis.length).product();
    (0..axes.len()).map(|i| if by_columns { product(&axes[..i]) } else { product(&axes[i + 1..]) }).collect()
}

/// Elements at the places of a tensor that indices name, zeros elsewhere.
fn unpool(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (x, places) = (c.input(0)?, c.input(1)?);
    let ty = c.ty(&x);
    let shape = match c.optional_ints(2, "output shape")? {
        Some(shape) => shape.iter().map(|&axis| length(axis)).collect::<Outcome<Vec<_>>>()?,
        None => {
            let kernel = c.ints("kernel_shape").unwrap_or_default();
            let kernel = kernel.iter().map(|&k| length(k)).collect::<Outcome<Vec<_>>>()?;
            if ty.shape.len() < 3 {
                return Err(Issue::Invalid(format!("windows of {kernel:?} on {ty}")));
            }
            let window = Window::read(c, kernel, &ty.shape[2..])?;
            let axis = |i: usize| {
                let full = (ty.shape[i + 2].saturating_sub(1)).saturating_mul(window.strides[i]);
                let [before, after] = window.padding[i];
                full.saturating_add(window.kernel[i]).saturating_sub(before.saturating_add(after))
            };
            [ty.shape[..2].to_vec(), (0..window.kernel.len()).map(axis).collect()].concat()
        }
    };
    let (all, count) = (shape::count(&shape)?, ty.elements());
    let zeros = c.build.apply(Op::Expand { shape: vec![all] }, &[choose::zero(ty.element)])?;
    let (x, places) = (c.build.reshape(&x, vec![count])?, c.build.reshape(&places, vec![count])?);
    let y = choose::scatter(c.build, &zeros, &places, &x, 0, Joined::Replaced)?;
    c.build.reshape(&y, shape).map(one)
}

/// Sums over windows, divided by how many elements there are in each.
fn divided(c: &mut Call<'_>, sums: &Value, axes: &[Axis], include_padding: bool) -> Outcome {
    let counts = |a: &Axis| -> Vec<usize> {
        let [before, after] = a.padding;
        let inside = if include_padding { 0..before + a.length + after } else { before..before + a.length };
        let elements = |window: usize| (0..a.kernel).map(move |k| window * a.stride + k * a.dilation);
        (0..a.count).map(|window| elements(window).filter(|at| inside.contains(at)).count()).collect()
    };
    let mut total = vec![1.0f32];
    for axis in axes {
        let counts = counts(axis);
        total = total.iter().flat_map(|&sofar| counts.iter().map(move |&n| sofar * n as f32)).collect();
    }
    let shape: Vec<usize> = axes.iter().map(|axis| axis.count).collect();
    let first = total.first().copied().unwrap_or(1.0);
    let by = if total.iter().all(|&n| n == first) {
        Value::real(first)
    } else {
        Value::known(Tensor::f32(shape, total))
    };
    c.build.binary(BinaryOp::Div, sums, &by)
}
