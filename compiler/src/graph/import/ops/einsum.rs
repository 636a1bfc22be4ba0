//! Einstein sums: operands are joined one after the other, each time by a product over the labels that nothing else needs.

use super::reduce::sequence;
use super::{Translate, one};
use crate::graph::import::build::{Builder, Issue, Outcome, Value};
use crate::graph::import::call::Call;
use crate::graph::{BinaryOp, ElementType, Op, ReduceOp, shape};

pub(super) fn translator(operator: &str) -> Option<Translate> {
    Some(match operator {
        "Einsum" => einsum,
        "Det" => determinant,
        _ => return None,
    })
}

/// An axis' name: a letter, or a place counted from the end of those that `...` stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Label {
    Rest(usize),
    Letter(char),
}

/// A tensor whose axes have names, each once.
struct Term {
    value: Value,
    labels: Vec<Label>,
}

fn einsum(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let equation: String = c.text("equation", "").split_whitespace().collect();
    let inputs = c.all()?;
    let (left, right) = match equation.split_once("->") {
        Some((left, right)) => (left, Some(right)),
        None => (&equation[..], None),
    };
    let names: Vec<&str> = left.split(',').collect();
    if names.len() != inputs.len() {
        return Err(Issue::Invalid(format!("`{equation}` is not for {} inputs", inputs.len())));
    }
    let ranks: Vec<usize> = inputs.iter().map(|input| c.ty(input).shape.len()).collect();
    let labels: Vec<Vec<Label>> =
        names.iter().zip(&ranks).map(|(names, &rank)| named(names, Some(rank))).collect::<Outcome<_>>()?;
    let result = match right {
        Some(right) => {
            let rest = labels.iter().flatten().filter(|label| matches!(label, Label::Rest(_)));
            let rest = rest.max().map_or(0, |&label| if let Label::Rest(at) = label { at + 1 } else { 0 });
            let letters = right.replace("...", "").len();
            named(right, Some(if right.contains("...") { letters + rest } else { letters }))?
        }
        None => implied(&labels),
    };
    let mut terms = Vec::new();
    for (value, labels) in inputs.iter().zip(labels) {
        terms.push(distinct(c.build, value, labels)?);
    }
    squeeze(c.build, &mut terms)?;
    let mut terms = terms.into_iter();
    let Some(mut joined) = terms.next() else {
        return Err(Issue::Invalid("it has no inputs".to_owned()));
    };
    let mut rest: Vec<Term> = terms.collect();
    while !rest.is_empty() {
        let next = rest.remove(0);
        let needed =
            |label: &Label| result.contains(label) || rest.iter().any(|term| term.labels.contains(label));
        joined = product(c.build, &joined, &next, needed)?;
    }
    let joined = summed(c.build, &joined, |label| result.contains(label))?;
    let order: Option<Vec<usize>> =
        result.iter().map(|label| joined.labels.iter().position(|own| own == label)).collect();
    let Some(permutation) = order.filter(|order| order.len() == joined.labels.len()) else {
        return Err(Issue::Invalid(format!(
            "`{equation}` asks for an axis that no input has, or twice for one"
        )));
    };
    c.build.apply(Op::Transpose { permutation }, &[joined.value]).map(one)
}

/// Labels of an operand of so many axes.
fn named(names: &str, rank: Option<usize>) -> Outcome<Vec<Label>> {
    let wrong =
        || Issue::Invalid(format!("`{names}` are not the axes of a tensor of {} axes", rank.unwrap_or(0)));
    let letters = |part: &str| -> Outcome<Vec<Label>> {
        let fine = part.chars().all(|letter| letter.is_ascii_alphabetic());
        if fine { Ok(part.chars().map(Label::Letter).collect()) } else { Err(wrong()) }
    };
    let Some((before, after)) = names.split_once("...") else {
        let labels = letters(names)?;
        return if rank.is_none_or(|rank| rank == labels.len()) { Ok(labels) } else { Err(wrong()) };
    };
    let (before, after) = (letters(before)?, letters(after)?);
    let rest = rank.unwrap_or(0).checked_sub(before.len() + after.len()).ok_or_else(wrong)?;
    Ok([before, (0..rest).rev().map(Label::Rest).collect(), after].concat())
}

/// What the result has where nothing is said: what `...` stands for, and letters that occur once, in alphabetical order.
fn implied(labels: &[Vec<Label>]) -> Vec<Label> {
    let mut all: Vec<Label> = labels.iter().flatten().copied().collect();
    all.sort_unstable();
    let once = |label: &Label| all.iter().filter(|other| *other == label).count() == 1;
    let mut rest: Vec<Label> = all.iter().copied().filter(|label| matches!(label, Label::Rest(_))).collect();
    rest.dedup();
    rest.reverse();
    let letters = all.iter().copied().filter(|label| matches!(label, Label::Letter(_)) && once(label));
    rest.into_iter().chain(letters).collect()
}

/// An operand with each label once: of two axes with one name the diagonal.
fn distinct(build: &mut Builder, value: &Value, mut labels: Vec<Label>) -> Outcome<Term> {
    let mut value = value.clone();
    while let Some((first, second)) = twice(&labels) {
        let shape = build.shape(&value);
        let n = shape[first];
        if shape[second] != n {
            return Err(Issue::Invalid(format!("two axes of {shape:?} with one name are not equally long")));
        }
        let others: Vec<usize> = (0..labels.len()).filter(|&axis| axis != first && axis != second).collect();
        let permutation = [&[first, second], &others[..]].concat();
        let turned = build.apply(Op::Transpose { permutation }, &[value])?;
        let rest: Vec<usize> = others.iter().map(|&axis| shape[axis]).collect();
        let flat = build.reshape(&turned, [&[n * n], &rest[..]].concat())?;
        value = build.apply(Op::Slice { axis: 0, start: 0, count: n, step: n + 1 }, &[flat])?;
        labels = [first].iter().chain(&others).map(|&axis| labels[axis]).collect();
    }
    Ok(Term { value, labels })
}

fn twice(labels: &[Label]) -> Option<(usize, usize)> {
    let second = |first: usize| (first + 1..labels.len()).find(|&second| labels[second] == labels[first]);
    (0..labels.len()).find_map(|first| Some((first, second(first)?)))
}

/// An axis of one element that is longer elsewhere broadcasts: the operand does without it.
fn squeeze(build: &mut Builder, terms: &mut [Term]) -> Outcome<()> {
    let lengths: Vec<(Label, usize)> =
        terms.iter().flat_map(|term| term.labels.iter().copied().zip(build.shape(&term.value))).collect();
    let most = |label: Label| lengths.iter().filter(|(other, _)| *other == label).map(|(_, n)| *n).max();
    for term in terms {
        let shape = build.shape(&term.value);
        let kept: Vec<usize> =
            (0..shape.len()).filter(|&axis| shape[axis] != 1 || most(term.labels[axis]) == Some(1)).collect();
        if let Some(&axis) = kept.iter().find(|&&axis| Some(shape[axis]) != most(term.labels[axis])) {
            return Err(Issue::Invalid(format!("axis {axis} of {shape:?} is longer in another input")));
        }
        term.value = build.reshape(&term.value, kept.iter().map(|&axis| shape[axis]).collect())?;
        term.labels = kept.iter().map(|&axis| term.labels[axis]).collect();
    }
    Ok(())
}

/// A term without the axes that nothing needs.
fn summed(build: &mut Builder, term: &Term, needed: impl Fn(&Label) -> bool) -> Outcome<Term> {
    let gone: Vec<usize> = (0..term.labels.len()).filter(|&axis| !needed(&term.labels[axis])).collect();
    let sum = sequence(build, ReduceOp::Sum, &term.value, &gone)?;
    let shape = build.shape(&sum);
    let kept = (0..shape.len()).filter(|axis| !gone.contains(axis));
    let value = build.reshape(&sum, kept.clone().map(|axis| shape[axis]).collect())?;
    Ok(Term { value, labels: kept.map(|axis| term.labels[axis]).collect() })
}

/// Two terms times each other: [both, left, summed] times [both, right, summed].
fn product(build: &mut Builder, a: &Term, b: &Term, needed: impl Fn(&Label) -> bool) -> Outcome<Term> {
    let a = summed(build, a, |label| needed(label) || b.labels.contains(label))?;
    let b = summed(build, b, |label| needed(label) || a.labels.contains(label))?;
    let of = |from: &Term, other: &Term, common: bool, wanted: bool| -> Vec<Label> {
        let is = |label: &&Label| other.labels.contains(label) == common && needed(label) == wanted;
        from.labels.iter().filter(is).copied().collect()
    };
    let (both, inner) = (of(&a, &b, true, true), of(&a, &b, true, false));
    let (left, right) = (of(&a, &b, false, true), of(&b, &a, false, true));
    let lengths = |build: &Builder, term: &Term, labels: &[Label]| -> Vec<usize> {
        let shape = build.shape(&term.value);
        let at =
            |label: &Label| term.labels.iter().position(|own| own == label).map_or(1, |axis| shape[axis]);
        labels.iter().map(at).collect()
    };
    let shape = [lengths(build, &a, &both), lengths(build, &a, &left), lengths(build, &b, &right)].concat();
    let [n, rows, columns, k] = [(&a, &both), (&a, &left), (&b, &right), (&a, &inner)]
        .map(|(term, labels)| lengths(build, term, labels).iter().product::<usize>());
    shape::count(&shape)?;
    let mut matrix = |term: &Term, own: &[Label], length: usize| {
        let order = [&both[..], own, &inner[..]].concat();
        let permutation =
            order.iter().filter_map(|label| term.labels.iter().position(|have| have == label)).collect();
        let turned = build.apply(Op::Transpose { permutation }, std::slice::from_ref(&term.value))?;
        build.reshape(&turned, vec![n, length, k])
    };
    let (x, y) = (matrix(&a, &left, rows)?, matrix(&b, &right, columns)?);
    let value = if build.ty(&x).element == ElementType::F32 {
        build.apply(Op::MatMul { transpose_b: true }, &[x, y])?
    } else {
        // Integers are exact.
        let x = build.reshape(&x, vec![n, rows, 1, k])?;
        let y = build.reshape(&y, vec![n, 1, columns, k])?;
        let products = build.binary(BinaryOp::Mul, &x, &y)?;
        build.apply(Op::Reduce { op: ReduceOp::Sum, axis: 3 }, &[products])?
    };
    let value = build.reshape(&value, shape)?;
    Ok(Term { value, labels: [both, left, right].concat() })
}

/// Most rows of a matrix whose determinant is taken.
const MAX_ROWS: usize = 8;

/// Determinants of the last rows, of each choice of as many columns: each from those of the rows below it.
fn determinant(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let a = c.input(0)?;
    let shape = c.ty(&a).shape;
    let &[ref batch @ .., n, columns] = &shape[..] else {
        return Err(Issue::Invalid(format!("a determinant of {shape:?}")));
    };
    if n != columns || n == 0 {
        return Err(Issue::Invalid(format!("a determinant of {n} × {columns}")));
    }
    if n > MAX_ROWS {
        return Err(Issue::Unsupported(format!(
            "a determinant of {n} rows; at most {MAX_ROWS} are supported"
        )));
    }
    let count: usize = batch.iter().product();
    // Elements of a place are a row.
    let flat = c.build.reshape(&a, vec![count, n * n])?;
    let flat = c.build.apply(Op::Transpose { permutation: vec![1, 0] }, &[flat])?;
    let mut element = |row: usize, column: usize| c.build.one_of(&flat, 0, row * n + column);
    let elements: Vec<Value> = (0..n * n).map(|at| element(at / n, at % n)).collect::<Outcome<_>>()?;
    let mut minors: Vec<Option<Value>> = vec![None; 1 << n];
    for (column, element) in elements[(n - 1) * n..].iter().enumerate() {
        minors[1 << column] = Some(element.clone());
    }
    for size in 2..=n {
        for chosen in (1usize..1 << n).filter(|chosen| chosen.count_ones() as usize == size) {
            let mut sum: Option<Value> = None;
            for (turn, column) in (0..n).filter(|column| chosen >> column & 1 == 1).enumerate() {
                let Some(minor) = minors[chosen & !(1 << column)].clone() else { continue };
                let term = c.build.binary(BinaryOp::Mul, &elements[(n - size) * n + column], &minor)?;
                let op = if turn % 2 == 0 { BinaryOp::Add } else { BinaryOp::Sub };
                sum = Some(match sum {
                    Some(sum) => c.build.binary(op, &sum, &term)?,
                    None => term,
                });
            }
            minors[chosen] = sum;
        }
    }
    let whole = minors.pop().flatten().ok_or_else(|| Issue::Invalid("a matrix without rows".to_owned()))?;
    c.build.reshape(&whole, batch.to_vec()).map(one)
}
