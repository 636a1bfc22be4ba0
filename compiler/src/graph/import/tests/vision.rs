//! Operators on images and by indices, where no case of the ONNX project looks: attributes, sizes that go part by part, refusals.

use super::operators::{check, check_at, f, i, run};
use crate::graph::eval::Tensor;
use crate::onnx::testing::{int, ints, text};

/// Elements of an axis other than in a row.
fn scrambled(count: usize, modulus: usize) -> Vec<usize> {
    (0..count).map(|at| at * 7919 % modulus).collect()
}

fn whole(values: &[usize]) -> Vec<i32> {
    values.iter().map(|&value| value as i32).collect()
}

fn real(values: &[usize]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

#[test]
fn one_hot() {
    let inputs = [i(&[2], &[2, -3]), i(&[], &[3]), f(&[2], &[0.5, 2.0])];
    let want = [0.5, 2.0, 0.5, 0.5, 2.0, 0.5];
    let got = run(13, "OneHot", &[int("axis", 0)], &inputs, 1, |at| at == 1).unwrap();
    assert_eq!(got, [f(&[3, 2], &want)]);
}

#[test]
fn windows_laid_over_each_other() {
    let inputs = [f(&[1, 1, 2], &[1., 2.]), f(&[1, 1, 3], &[1., 10., 100.])];
    let all = [1., 10., 102., 20., 200.];
    let with = |attributes: &[_], want: &[f32]| {
        let attributes = [&[ints("strides", &[2])], attributes].concat();
        check("ConvTranspose", &attributes, &inputs, f(&[1, 1, want.len()], want));
    };
    with(&[], &all);
    // One element too many: where it is cut off depends on auto_pad.
    with(&[ints("output_shape", &[4])], &all[1..]);
    with(&[ints("output_shape", &[4]), text("auto_pad", "SAME_UPPER")], &all[..4]);
    with(&[ints("pads", &[1, 1]), ints("output_padding", &[1])], &all[1..]);
}

#[test]
fn pools() {
    check("GlobalLpPool", &[], &[f(&[1, 1, 2], &[3., 4.])], f(&[1, 1, 1], &[5.]));
    let x = f(&[1, 1, 2, 3], &[1., 5., 2., 3., 4., 9.]);
    for (order, places) in [(0, [1, 5]), (1, [2, 5])] {
        let attributes = [ints("kernel_shape", &[2, 2]), int("storage_order", order)];
        let want = [f(&[1, 1, 1, 2], &[5., 9.]), i(&[1, 1, 1, 2], &places)];
        check_at(17, "MaxPool", &attributes, std::slice::from_ref(&x), 1, &want);
    }
}

#[test]
fn regions() {
    let x = f(&[1, 1, 2, 2], &[0., 1., 2., 3.]);
    let inputs = [x, f(&[1, 4], &[0., 0., 1., 1.]), i(&[1], &[0])];
    let old = [text("coordinate_transformation_mode", "output_half_pixel"), int("sampling_ratio", 1)];
    check("RoiAlign", &old, &inputs, f(&[1, 1, 1, 1], &[1.5]));
    check("RoiAlign", &[int("sampling_ratio", 2)], &inputs, f(&[1, 1, 1, 1], &[0.375]));
}

#[test]
fn padded_with_what_is_not_known() {
    let inputs = [f(&[2], &[1., 2.]), i(&[2], &[1, 2]), f(&[], &[7.])];
    let got = run(17, "Pad", &[], &inputs, 1, |at| at == 1).unwrap();
    assert_eq!(got, [f(&[5], &[7., 1., 2., 7., 7.])]);
    check_at(19, "Pad", &[text("mode", "wrap")], &inputs[..2], 1, &[f(&[5], &[2., 1., 2., 1., 2.])]);
}

#[test]
fn sums_over_letters() {
    let x = || f(&[2, 2], &[1., 2., 3., 4.]);
    check("Einsum", &[text("equation", "ii -> i")], &[x()], f(&[2], &[1., 4.]));
    check("Einsum", &[text("equation", "ba")], &[x()], f(&[2, 2], &[1., 3., 2., 4.]));
    check(
        "Einsum",
        &[text("equation", "ij,...j,i->...")],
        &[x(), x(), f(&[2], &[1., 10.])],
        f(&[2], &[115., 261.]),
    );
    let error = run(17, "Einsum", &[text("equation", "ij,jk->il")], &[x(), x()], 1, |_| false).unwrap_err();
    assert!(error.contains("an axis that no input has"), "{error}");
}

/// More comparisons than are made at once.
#[test]
fn part_by_part() {
    let (length, count) = (2048, 700);
    let places = scrambled(count, length);
    let data: Vec<usize> = (0..length).collect();
    let gathered =
        run(17, "Gather", &[], &[f(&[length], &real(&data)), i(&[count], &whole(&places))], 1, |_| false);
    assert_eq!(gathered.unwrap(), [f(&[count], &real(&places))]);

    let mut want = vec![0.0; length];
    places.iter().enumerate().for_each(|(at, &place)| want[place] = at as f32);
    let updates: Vec<usize> = (0..count).collect();
    let inputs =
        [f(&[length], &vec![0.0; length]), i(&[count, 1], &whole(&places)), f(&[count], &real(&updates))];
    let scattered = run(18, "ScatterND", &[], &inputs, 1, |_| false);
    assert_eq!(scattered.unwrap(), [f(&[length], &want)]);

    // Ranks part by part, and for a longer axis one after the other.
    for length in [1500, 12000] {
        let x = f(&[length], &real(&scrambled(length, 1000)));
        let first = (0..length).find(|at| at * 7919 % 1000 == 999).unwrap() as i32;
        let want = [f(&[2], &[999., 999.]), i(&[2], &[first, first + 1000])];
        check_at(17, "TopK", &[], &[x, i(&[1], &[2])], 1, &want);
    }
}

#[test]
fn refused() {
    let x = || f(&[2, 3], &[1., 0., 2., 0., 3., 0.]);
    let index: Tensor = i(&[1], &[1]);
    for (op, inputs, reason) in [
        ("NonZero", vec![x()], "--outputs-at"),
        ("Unique", vec![x()], "--outputs-at"),
        ("Compress", vec![x(), index.clone()], "which must be known"),
        ("TopK", vec![x(), index], "number k of elements"),
        ("Det", vec![f(&[9, 9], &[0.0; 81])], "at most 8"),
    ] {
        let error = run(13, op, &[], &inputs, 1, |_| false).unwrap_err();
        assert!(error.contains(reason), "{op}: {error}");
    }
    let error = run(13, "LRN", &[], &[f(&[1, 1, 1], &[1.0])], 1, |_| false).unwrap_err();
    assert!(error.contains("0 channels"), "{error}");
}
