//! How often known sequences of whole numbers occur: TfIdfVectorizer.

use super::choose::{MAX_VECTORS, vectors};
use super::{Translate, one};
use crate::graph::eval::Tensor;
use crate::graph::import::build::{Builder, Issue, Outcome, Value};
use crate::graph::import::call::{Call, length};
use crate::graph::{BinaryOp, ElementType, Op, ReduceOp};

pub(super) fn translator(operator: &str) -> Option<Translate> {
    (operator == "TfIdfVectorizer").then_some(count)
}

/// Sequences of one length. Each has an output of its own; those of other sequences hold nothing.
struct Grams {
    length: usize,
    /// For each output the sequence that it counts.
    of_outputs: Vec<Option<Vec<i32>>>,
}

impl Grams {
    /// The k-th numbers of all sequences, [outputs].
    fn numbers(&self, k: usize) -> Value {
        let numbers: Vec<i32> =
            self.of_outputs.iter().map(|gram| gram.as_ref().map_or(0, |gram| gram[k])).collect();
        Value::known(Tensor::i32([numbers.len()], numbers))
    }

    /// Which outputs count one, [outputs].
    fn present(&self) -> Value {
        let present: Vec<bool> = self.of_outputs.iter().map(Option::is_some).collect();
        Value::known(Tensor::bool([present.len()], present))
    }
}

/// The pool's sequences from `least` to `most` numbers long, and the output of each sequence of the pool.
fn pool(c: &Call<'_>, least: usize, most: usize) -> Outcome<(Vec<Grams>, Vec<usize>)> {
    let Some(pool) = c.ints("pool_int64s").filter(|pool| !pool.is_empty()) else {
        let reason = "it counts text, which the machine has no type for; give it numbers of words";
        return Err(Issue::Unsupported(reason.to_owned()));
    };
    let list =
        |name: &str| c.ints(name).unwrap_or_default().iter().map(|&n| length(n)).collect::<Outcome<Vec<_>>>();
    let (starts, places) = (list("ngram_counts")?, list("ngram_indexes")?);
    let outputs = outputs(&places);
    if outputs > pool.len().saturating_mul(2) {
        return Err(Issue::Unsupported(format!("{outputs} outputs for {} numbers in the pool", pool.len())));
    }
    let (mut grams, mut number) = (Vec::new(), 0);
    for (at, &start) in starts.iter().enumerate() {
        let (end, length) = (starts.get(at + 1).copied().unwrap_or(pool.len()), at + 1);
        let numbers = pool.get(start..end).filter(|numbers| numbers.len().is_multiple_of(length));
        let numbers = numbers.ok_or_else(|| {
            Issue::Invalid(format!("ngram_counts {starts:?} cut a pool of {} badly", pool.len()))
        })?;
        let mut of_outputs = vec![None; outputs];
        for gram in numbers.chunks_exact(length) {
            let place = *places
                .get(number)
                .ok_or_else(|| Issue::Invalid(format!("ngram_indexes has no element {number}")))?;
            number += 1;
            let gram = gram.iter().map(|&n| n.clamp(i32::MIN.into(), i32::MAX.into()) as i32).collect();
            if of_outputs[place].replace(gram).is_some() {
                return Err(Issue::Unsupported(format!("two sequences are counted by output {place}")));
            }
        }
        if (least..=most).contains(&length) && of_outputs.iter().any(Option::is_some) {
            grams.push(Grams { length, of_outputs });
        }
    }
    Ok((grams, places))
}

fn outputs(places: &[usize]) -> usize {
    places.iter().max().map_or(0, |&last| last + 1)
}

/// The counts (TF), the weights of what occurs (IDF), or their product (TFIDF), of each row.
fn count(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let x = c.input(0)?;
    let shape = c.ty(&x).shape;
    let (rows, items) = match shape[..] {
        [items] => (1, items),
        [rows, items] => (rows, items),
        _ => return Err(Issue::Invalid(format!("its input has shape {shape:?}, not one or two axes"))),
    };
    let (least, most) = (length(c.int("min_gram_length", 1))?, length(c.int("max_gram_length", 1))?);
    let skips = length(c.int("max_skip_count", 0))?;
    let (grams, places) = pool(c, least, most)?;
    let outputs = outputs(&places);
    let work = vectors(&[rows, items, outputs]).saturating_mul(most).saturating_mul(skips.min(items) + 1);
    if work > MAX_VECTORS {
        return Err(Issue::Unsupported(format!(
            "{outputs} sequences would be looked for at all places: {work} vectors, at most {MAX_VECTORS} are supported"
        )));
    }
    let x = c.build.reshape(&x, vec![rows, items, 1])?;
    let zeros = Value::known(Tensor::f32([rows, outputs], vec![0.0; rows * outputs]));
    let mut sum = zeros;
    for grams in &grams {
        // What is skipped lies between the numbers of a sequence, of which one has none.
        let farthest = if grams.length == 1 { 0 } else { skips.min(items) };
        for skip in 0..=farthest {
            if let Some(found) = found(c.build, &x, grams, skip + 1)? {
                sum = c.build.binary(BinaryOp::Add, &sum, &found)?;
            }
        }
    }
    let mode = c.text("mode", "TF");
    if mode != "TF" {
        let weights = c.attribute("weights").map(|weights| weights.floats.clone()).unwrap_or_default();
        let weights = match weights.len() {
            0 => Value::real(1.0),
            n if n == places.len() => {
                let mut of_outputs = vec![1.0; outputs];
                places.iter().zip(weights).for_each(|(&place, weight)| of_outputs[place] = weight);
                Value::known(Tensor::f32([outputs], of_outputs))
            }
            n => return Err(Issue::Invalid(format!("{n} weights for {} sequences", places.len()))),
        };
        if mode == "IDF" {
            sum = c.build.with_real(BinaryOp::Min, &sum, 1.0)?;
        }
        sum = c.build.binary(BinaryOp::Mul, &sum, &weights)?;
    }
    let made = [&shape[..shape.len() - 1], &[outputs]].concat();
    c.build.reshape(&sum, made).map(one)
}

/// How often sequences occur in rows [rows, items, 1] with their numbers so far apart, [rows, outputs]; nothing where they do not fit.
fn found(build: &mut Builder, x: &Value, grams: &Grams, apart: usize) -> Outcome<Option<Value>> {
    let (rows, items) = (build.shape(x)[0], build.shape(x)[1]);
    let Some(starts) = items.checked_sub((grams.length - 1) * apart).filter(|&starts| starts > 0) else {
        return Ok(None);
    };
    let mut all = grams.present();
    for k in 0..grams.length {
        let slice = Op::Slice { axis: 1, start: k * apart, count: starts, step: 1 };
        let here = build.apply(slice, std::slice::from_ref(x))?;
        let same = build.binary(BinaryOp::Equal, &here, &grams.numbers(k))?;
        all = build.binary(BinaryOp::And, &all, &same)?;
    }
    let ones = build.cast(&all, ElementType::F32)?;
    let sums = build.apply(Op::Reduce { op: ReduceOp::Sum, axis: 1 }, &[ones])?;
    let outputs = grams.of_outputs.len();
    build.reshape(&sums, vec![rows, outputs]).map(Some)
}
