//! Convolutions the other way round: each element becomes a window, and windows are laid over each other.

use super::convolution::{Window, along_channels};
use super::patches::{channels_last, dense, overlapped};
use super::{Translate, one};
use crate::graph::import::build::{Issue, Outcome, Value};
use crate::graph::import::call::{Call, length};
use crate::graph::{BinaryOp, Op};

pub(super) fn translator(operator: &str) -> Option<Translate> {
    Some(match operator {
        "ConvTranspose" => conv_transpose,
        "Col2Im" => columns_to_image,
        _ => return None,
    })
}

/// x [N, C, ..] and weights [C, M / groups, ..] make [N, M, ..].
fn conv_transpose(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (x, weights) = (c.input(0)?, c.input(1)?);
    let (of_x, of_weights) = (c.ty(&x).shape, c.ty(&weights).shape);
    let groups = length(c.int("group", 1))?;
    let fits = of_x.len() == of_weights.len() && of_x.len() > 2 && of_x[1] == of_weights[0];
    if !fits || groups == 0 || of_x[1] % groups != 0 {
        return Err(Issue::Invalid(format!("it takes {of_x:?} and {of_weights:?} in {groups} groups")));
    }
    let (n, channels, each) = (of_x[0], of_x[1], of_weights[1]);
    let (space, kernel) = (&of_x[2..], &of_weights[2..]);
    let mut window = Window::read(c, kernel.to_vec(), space)?;
    let lengths = lengths(c, &mut window, space)?;
    // Each element times the weights of its channel: [N · places, window · M].
    let rows = channels_last(c.build, &x)?;
    let places: usize = n * space.iter().product::<usize>();
    let (inside, out) = (kernel.iter().product::<usize>(), groups * each);
    let rows = c.build.reshape(&rows, vec![places, channels])?;
    let weights = c.build.reshape(&weights, vec![channels, each, inside])?;
    let weights = dense(c.build, &weights, groups)?;
    let weights = c.build.apply(Op::Transpose { permutation: vec![2, 1, 0] }, &[weights])?;
    let weights = c.build.reshape(&weights, vec![inside * out, channels])?;
    let parts = c.build.apply(Op::MatMul { transpose_b: true }, &[rows, weights])?;
    let parts = c.build.reshape(&parts, [&[n], space, kernel, &[out]].concat())?;
    let mut y = overlapped(c.build, &parts, &window, &lengths)?;
    if let Some(bias) = c.optional(2) {
        let bias = along_channels(c.build, &bias, of_x.len())?;
        y = c.build.binary(BinaryOp::Add, &y, &bias)?;
    }
    Ok(vec![y])
}

/// Lengths of the result's axes; the window's padding is what is cut off before them.
fn lengths(c: &Call<'_>, window: &mut Window, space: &[usize]) -> Outcome<Vec<usize>> {
    let axes = space.len();
    let list = |name: &str| match c.ints(name).filter(|list| !list.is_empty()) {
        None => Ok(None),
        Some(list) if list.len() >= axes => list[list.len() - axes..]
            .iter()
            .map(|&value| length(value))
            .collect::<Outcome<Vec<_>>>()
            .map(Some),
        Some(list) => Err(Issue::Invalid(format!("{name} {list:?} for {axes} spatial axes"))),
    };
    let (added, shape) = (list("output_padding")?.unwrap_or(vec![0; axes]), list("output_shape")?);
    let how = c.text("auto_pad", "NOTSET");
    let same = how.starts_with("SAME");
    let mut lengths = Vec::with_capacity(axes);
    for i in 0..axes {
        let reach = (window.kernel[i] - 1).saturating_mul(window.dilations[i]).saturating_add(1);
        let full = (space[i].saturating_sub(1)).saturating_mul(window.strides[i]).saturating_add(reach);
        let full = full.saturating_add(added[i]);
        let wanted = match &shape {
            Some(shape) => Some(shape[i]),
            None if same => Some(space[i].saturating_mul(window.strides[i])),
            None => None,
        };
        if let Some(wanted) = wanted {
            let total = full.saturating_sub(wanted);
            let (less, more) = (total / 2, total.div_ceil(2));
            window.padding[i] = if how == "SAME_UPPER" { [less, more] } else { [more, less] };
            lengths.push(wanted);
            continue;
        }
        let [before, after] = window.padding[i];
        let rest = full.checked_sub(before).and_then(|rest| rest.checked_sub(after));
        lengths.push(rest.ok_or_else(|| {
            Issue::Invalid(format!("padding of {before} and {after} cuts off more than {full} elements"))
        })?);
    }
    Ok(lengths)
}

/// Columns [N, C · window, places] laid over each other in an image.
fn columns_to_image(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let x = c.input(0)?;
    let known = |at: usize, what: &str| -> Outcome<Vec<usize>> {
        c.known_ints(at, what)?.iter().map(|&value| length(value)).collect()
    };
    let (image, kernel) = (known(1, "image shape")?, known(2, "block shape")?);
    let axes = image.len();
    let window = Window::read(c, kernel.clone(), &image)?;
    let count = |i: usize| {
        let [before, after] = window.padding[i];
        let reach = (kernel[i] - 1).saturating_mul(window.dilations[i]).saturating_add(1);
        let free = image[i].saturating_add(before).saturating_add(after).checked_sub(reach);
        free.map(|free| free / window.strides[i] + 1)
    };
    let counts: Option<Vec<usize>> = (0..axes).map(count).collect();
    let shape = c.ty(&x).shape;
    let inside: usize = kernel.iter().product();
    let fits = |counts: &Vec<usize>| {
        matches!(shape[..], [_, rows, places]
            if rows % inside == 0 && places == counts.iter().product::<usize>())
    };
    let Some(counts) = counts.filter(fits) else {
        return Err(Issue::Invalid(format!(
            "{shape:?} are not the windows {kernel:?} of an image of {image:?}"
        )));
    };
    let channels = shape[1] / inside;
    let parts = c.build.reshape(&x, [&[shape[0], channels], &kernel[..], &counts].concat())?;
    let permutation = [0].into_iter().chain(2 + axes..2 + 2 * axes).chain(2..2 + axes).chain([1]).collect();
    let parts = c.build.apply(Op::Transpose { permutation }, &[parts])?;
    overlapped(c.build, &parts, &window, &image).map(one)
}
