//! Forests of decision trees: TreeEnsemble and TreeEnsembleRegressor.
//!
//! All decisions of all trees are made at once, as 1 and −1. A leaf is reached if the sum of the decisions on its path, taken with the sign that the
//! path wants, is as great as the path is long: a product with a known matrix, which is exact.

use super::index::from_proto_tensor;
use super::learned::{reals, rows, shown};
use super::{Translate, one, take};
use crate::graph::eval::Tensor;
use crate::graph::import::build::{Builder, Issue, Outcome, Value};
use crate::graph::import::call::{Call, length};
use crate::graph::{BinaryOp, ElementType, Op, ReduceOp, UnaryOp};
use std::collections::BTreeMap;

pub(super) fn translator(operator: &str) -> Option<Translate> {
    Some(match operator {
        "TreeEnsemble" => ensemble,
        "TreeEnsembleRegressor" => regressor,
        _ => return None,
    })
}

/// Most elements of the matrix of paths.
const MAX_PATHS: usize = 1 << 24;

/// How a number is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mode {
    LessEqual,
    Less,
    GreaterEqual,
    Greater,
    Equal,
    NotEqual,
    /// Whether it is one of several.
    Member,
}

impl Mode {
    /// By its number, in the order of the operator's description.
    const ALL: [(Mode, &'static str); 7] = [
        (Mode::LessEqual, "BRANCH_LEQ"),
        (Mode::Less, "BRANCH_LT"),
        (Mode::GreaterEqual, "BRANCH_GTE"),
        (Mode::Greater, "BRANCH_GT"),
        (Mode::Equal, "BRANCH_EQ"),
        (Mode::NotEqual, "BRANCH_NEQ"),
        (Mode::Member, "BRANCH_MEMBER"),
    ];
}

#[derive(Clone, Copy, Debug)]
enum Child {
    Split(usize),
    Leaf(usize),
}

#[derive(Clone, Debug)]
struct Split {
    feature: usize,
    mode: Mode,
    /// What it compares with: one number, or any of a set.
    values: Vec<f32>,
    /// What is no number passes.
    missing: bool,
    /// Where it goes on if the comparison holds, and if not.
    children: [Child; 2],
}

#[derive(Debug, Default)]
struct Forest {
    splits: Vec<Split>,
    roots: Vec<Child>,
    /// What a leaf adds to which outputs.
    leaves: Vec<Vec<(usize, f32)>>,
}

/// A tree's splits, and its leaves with the way to each: places in `splits`, and whether they hold.
#[derive(Default)]
struct Tree {
    splits: Vec<usize>,
    paths: Vec<(usize, Vec<(usize, bool)>)>,
}

impl Forest {
    fn tree(&self, root: Child) -> Outcome<Tree> {
        let mut tree = Tree::default();
        let mut open: Vec<(Child, Vec<(usize, bool)>)> = vec![(root, Vec::new())];
        while let Some((child, path)) = open.pop() {
            match child {
                Child::Leaf(leaf) if leaf < self.leaves.len() => tree.paths.push((leaf, path)),
                Child::Split(split) if split < self.splits.len() && path.len() <= self.splits.len() => {
                    let here = tree.splits.len();
                    tree.splits.push(split);
                    for (child, holds) in self.splits[split].children.into_iter().zip([true, false]) {
                        open.push((child, [&path[..], &[(here, holds)]].concat()));
                    }
                    if tree.splits.len() > MAX_PATHS {
                        return Err(Issue::Unsupported("trees that share their branches".to_owned()));
                    }
                }
                _ => return Err(Issue::Invalid(format!("a tree has no {child:?}, or goes in a circle"))),
            }
        }
        Ok(tree)
    }

    /// What each tree says of each row, [trees, rows, outputs].
    fn scores(&self, build: &mut Builder, x: &Value, features: usize, outputs: usize) -> Outcome {
        let trees = self.roots.iter().map(|&root| self.tree(root)).collect::<Outcome<Vec<_>>>()?;
        let most = |of: fn(&Tree) -> usize| trees.iter().map(of).max().unwrap_or(0).max(1);
        let (count, splits, leaves) =
            (trees.len(), most(|tree| tree.splits.len()), most(|tree| tree.paths.len()));
        let paths = count.saturating_mul(splits).saturating_mul(leaves);
        if paths > MAX_PATHS {
            return Err(Issue::Unsupported(format!(
                "{count} trees of up to {splits} splits: {paths} numbers of their paths, at most {MAX_PATHS} are supported"
            )));
        }
        let decisions = self.decisions(build, x, features, &trees, splits)?;
        let (mut signs, mut lengths) = (vec![0.0; paths], vec![-1.0; count * leaves]);
        let mut weights = vec![0.0; count * outputs * leaves];
        for (number, tree) in trees.iter().enumerate() {
            for (at, (leaf, path)) in tree.paths.iter().enumerate() {
                let row = number * leaves + at;
                lengths[row] = path.len() as f32;
                path.iter().for_each(|&(split, holds)| {
                    signs[row * splits + split] = if holds { 1.0 } else { -1.0 };
                });
                for &(output, weight) in &self.leaves[*leaf] {
                    if output >= outputs {
                        return Err(Issue::Invalid(format!("a leaf is of output {output} of {outputs}")));
                    }
                    weights[(number * outputs + output) * leaves + at] += weight;
                }
            }
        }
        let signs = Value::known(Tensor::f32([count, leaves, splits], signs));
        // A way that no tree has is shorter than none.
        let lengths = lengths.iter().map(|&n| if n < 0.0 { splits as f32 + 1.0 } else { n });
        let lengths = Value::known(Tensor::f32([count, 1, leaves], lengths.collect::<Vec<_>>()));
        let agreed = build.apply(Op::MatMul { transpose_b: true }, &[decisions, signs])?;
        let reached = build.binary(BinaryOp::Equal, &agreed, &lengths)?;
        let reached = build.cast(&reached, ElementType::F32)?;
        let weights = Value::known(Tensor::f32([count, outputs, leaves], weights));
        build.apply(Op::MatMul { transpose_b: true }, &[reached, weights])
    }

    /// 1 where a split's comparison holds, else −1: [trees, rows, splits].
    fn decisions(
        &self,
        build: &mut Builder,
        x: &Value,
        features: usize,
        trees: &[Tree],
        splits: usize,
    ) -> Outcome {
        let (rows, count) = (build.shape(x)[0], trees.len());
        let all: Vec<Option<&Split>> = trees
            .iter()
            .flat_map(|tree| (0..splits).map(|at| tree.splits.get(at).map(|&split| &self.splits[split])))
            .collect();
        let own: Vec<usize> = all.iter().map(|split| split.map_or(0, |split| split.feature)).collect();
        if let Some(outside) = own.iter().find(|&&feature| feature >= features) {
            return Err(Issue::Invalid(format!("a tree asks for number {outside} of {features}")));
        }
        let x = if features == 1 {
            build.apply(Op::Expand { shape: vec![rows, own.len()] }, std::slice::from_ref(x))?
        } else {
            // Moved as whole numbers they are not rounded.
            let bits = build.unary(UnaryOp::Bits, x)?;
            let moved = take(build, &bits, &Value::integers(&own), 1)?;
            build.unary(UnaryOp::Bits, &moved)?
        };
        let x = build.reshape(&x, vec![rows, count, splits])?;
        let x = build.apply(Op::Transpose { permutation: vec![1, 0, 2] }, &[x])?;
        let mut holds: Option<Value> = None;
        for (mode, _) in Mode::ALL {
            let here: Vec<bool> =
                all.iter().map(|split| split.is_some_and(|split| split.mode == mode)).collect();
            if !here.contains(&true) {
                continue;
            }
            let compared = compared(build, &x, mode, &all, &[count, 1, splits])?;
            let here = Value::known(Tensor::bool([count, 1, splits], here));
            holds = Some(match holds {
                Some(others) => build.apply(Op::Select, &[here, compared, others])?,
                None => compared,
            });
        }
        let mut holds =
            holds.unwrap_or_else(|| Value::known(Tensor::bool([count, 1, 1], vec![false; count])));
        if all.iter().flatten().any(|split| split.missing) {
            let passes = all.iter().map(|split| split.is_some_and(|split| split.missing));
            let passes = Value::known(Tensor::bool([count, 1, splits], passes.collect::<Vec<_>>()));
            let number = build.binary(BinaryOp::Equal, &x, &x)?;
            let missing = build.unary(UnaryOp::Not, &number)?;
            let passes = build.binary(BinaryOp::And, &missing, &passes)?;
            holds = build.binary(BinaryOp::Or, &holds, &passes)?;
        }
        let signs = build.apply(Op::Select, &[holds, Value::real(1.0), Value::real(-1.0)])?;
        build.apply(Op::Expand { shape: vec![count, rows, splits] }, &[signs])
    }
}

/// x compared with the values of all splits in one way.
fn compared(
    build: &mut Builder,
    x: &Value,
    mode: Mode,
    splits: &[Option<&Split>],
    shape: &[usize; 3],
) -> Outcome {
    // Nothing is equal to what is no number.
    let value = |at: usize| {
        let of = |split: &Option<&Split>| split.and_then(|split| split.values.get(at).copied());
        let values = splits.iter().map(|split| of(split).unwrap_or(f32::NAN));
        Value::known(Tensor::f32(*shape, values.collect::<Vec<_>>()))
    };
    let first = value(0);
    match mode {
        Mode::LessEqual => build.binary(BinaryOp::LessEqual, x, &first),
        Mode::Less => build.binary(BinaryOp::Less, x, &first),
        Mode::GreaterEqual => build.binary(BinaryOp::LessEqual, &first, x),
        Mode::Greater => build.binary(BinaryOp::Less, &first, x),
        Mode::Equal => build.binary(BinaryOp::Equal, x, &first),
        Mode::NotEqual => {
            let equal = build.binary(BinaryOp::Equal, x, &first)?;
            build.unary(UnaryOp::Not, &equal)
        }
        Mode::Member => {
            let most = splits.iter().flatten().map(|split| split.values.len()).max().unwrap_or(0);
            let first = build.binary(BinaryOp::Equal, x, &first)?;
            (1..most).try_fold(first, |any, at| {
                let equal = build.binary(BinaryOp::Equal, x, &value(at))?;
                build.binary(BinaryOp::Or, &any, &equal)
            })
        }
    }
}

/// The trees' scores put together, with base values and what is to become of them.
fn together(
    c: &mut Call<'_>,
    forest: &Forest,
    how: &str,
    base: Vec<f32>,
    shape: &str,
) -> Outcome<Vec<Value>> {
    let (x, features) = rows(c)?;
    let outputs = length(c.int("n_targets", 1))?;
    let (count, trees) = (c.ty(&x).shape[0], forest.roots.len());
    if trees == 0 || outputs == 0 {
        return Err(Issue::Invalid("it has no trees or no outputs".to_owned()));
    }
    let scores = forest.scores(c.build, &x, features, outputs)?;
    let op = match how {
        "SUM" | "AVERAGE" => ReduceOp::Sum,
        "MIN" if outputs == 1 => ReduceOp::Min,
        "MAX" if outputs == 1 => ReduceOp::Max,
        other => return Err(Issue::Unsupported(format!("aggregate `{other}` of {outputs} outputs"))),
    };
    let mut y = c.build.apply(Op::Reduce { op, axis: 0 }, &[scores])?;
    y = c.build.reshape(&y, vec![count, outputs])?;
    if how == "AVERAGE" {
        y = c.build.with_real(BinaryOp::Div, &y, trees as f32)?;
    }
    match base.len() {
        0 => {}
        n if n == outputs => y = c.build.binary(BinaryOp::Add, &y, &Value::known(Tensor::f32([n], base)))?,
        n => return Err(Issue::Invalid(format!("{n} base values for {outputs} outputs"))),
    }
    shown(c.build, &y, shape).map(one)
}

/// Element i of a list.
fn at<T: Copy>(list: &[T], i: usize, name: &str) -> Outcome<T> {
    list.get(i).copied().ok_or_else(|| Issue::Invalid(format!("`{name}` has no element {i}")))
}

/// Numbers of a tensor in an attribute.
fn numbers(c: &Call<'_>, name: &str) -> Outcome<Vec<f32>> {
    let Some(proto) = c.tensor(name) else { return Ok(Vec::new()) };
    let tensor = from_proto_tensor(proto)?;
    Ok(match (tensor.as_f32(), tensor.as_i32()) {
        (Some(reals), _) => reals.to_vec(),
        (None, ints) => ints.unwrap_or_default().iter().map(|&n| n as f32).collect(),
    })
}

/// TreeEnsemble (version 5 of the domain): splits, leaves and roots by their place in lists.
fn ensemble(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let list =
        |name: &str| c.ints(name).unwrap_or_default().iter().map(|&n| length(n)).collect::<Outcome<Vec<_>>>();
    let (features, missing) = (list("nodes_featureids")?, list("nodes_missing_value_tracks_true")?);
    let (modes, values) = (numbers(c, "nodes_modes")?, numbers(c, "nodes_splits")?);
    let children = [
        (list("nodes_truenodeids")?, list("nodes_trueleafs")?),
        (list("nodes_falsenodeids")?, list("nodes_falseleafs")?),
    ];
    let members = numbers(c, "membership_values")?;
    let mut sets = members.split(|value| value.is_nan());
    let mut forest = Forest::default();
    for (i, &feature) in features.iter().enumerate() {
        let number = at(&modes, i, "nodes_modes")?;
        let mode = Mode::ALL.get(number as usize).map(|&(mode, _)| mode);
        let mode = mode.ok_or_else(|| Issue::Invalid(format!("mode {number} does not exist")))?;
        let values = match mode {
            Mode::Member => sets.next().unwrap_or_default().to_vec(),
            _ => vec![at(&values, i, "nodes_splits")?],
        };
        let child = |(ids, leaves): &(Vec<usize>, Vec<usize>)| {
            let id = at(ids, i, "the ids of branches")?;
            Ok(if at(leaves, i, "the list of leaves")? != 0 { Child::Leaf(id) } else { Child::Split(id) })
        };
        let children: Outcome<Vec<Child>> = children.iter().map(child).collect();
        let [yes, no] = children?[..] else { continue };
        let missing = missing.get(i).is_some_and(|&tracks| tracks != 0);
        forest.splits.push(Split { feature, mode, values, missing, children: [yes, no] });
    }
    forest.roots = list("tree_roots")?.into_iter().map(Child::Split).collect();
    let (targets, weights) = (list("leaf_targetids")?, numbers(c, "leaf_weights")?);
    for (i, &target) in targets.iter().enumerate() {
        forest.leaves.push(vec![(target, at(&weights, i, "leaf_weights")?)]);
    }
    let named = |name: &str, default: i64, names: &[&'static str]| {
        let number = usize::try_from(c.int(name, default)).ok();
        number
            .and_then(|number| names.get(number).copied())
            .ok_or_else(|| Issue::Invalid(format!("`{name}` is {}", c.int(name, default))))
    };
    let how = named("aggregate_function", 1, &["AVERAGE", "SUM", "MIN", "MAX"])?;
    let after = named("post_transform", 0, &["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"])?;
    together(c, &forest, how, Vec::new(), after)
}

/// TreeEnsembleRegressor: nodes, leaves among them, by the ids of their tree and of themselves.
fn regressor(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let list = |name: &'static str| c.ints(name).unwrap_or_default();
    let (trees, ids) = (list("nodes_treeids"), list("nodes_nodeids"));
    let (yes, no) = (list("nodes_truenodeids"), list("nodes_falsenodeids"));
    let (features, missing) = (list("nodes_featureids"), list("nodes_missing_value_tracks_true"));
    let (values, modes) = (reals(c, "nodes_values"), c.attribute("nodes_modes"));
    let modes = modes.map_or(&[][..], |modes| &modes.strings);
    if c.attribute("nodes_values_as_tensor").is_some() || c.attribute("base_values_as_tensor").is_some() {
        return Err(Issue::Unsupported("trees of binary64".to_owned()));
    }
    // Where each node is: among the splits, or among the leaves.
    let (mut places, mut forest, mut splits) = (BTreeMap::new(), Forest::default(), 0);
    for (i, &tree) in trees.iter().enumerate() {
        let name = modes.get(i).ok_or_else(|| Issue::Invalid(format!("`nodes_modes` has no element {i}")))?;
        let place = if &name[..] == b"LEAF" {
            forest.leaves.push(Vec::new());
            Child::Leaf(forest.leaves.len() - 1)
        } else {
            splits += 1;
            Child::Split(splits - 1)
        };
        if i == 0 || trees[i - 1] != tree {
            forest.roots.push(place);
        }
        places.insert((tree, at(ids, i, "nodes_nodeids")?), place);
    }
    let there = |tree: i64, id: i64| {
        places
            .get(&(tree, id))
            .copied()
            .ok_or_else(|| Issue::Invalid(format!("tree {tree} has no node {id}")))
    };
    for (i, &tree) in trees.iter().enumerate() {
        let Some(&(mode, _)) = Mode::ALL.iter().find(|(_, name)| name.as_bytes() == &modes[i][..]) else {
            continue;
        };
        forest.splits.push(Split {
            feature: length(at(features, i, "nodes_featureids")?)?,
            mode,
            values: vec![at(&values, i, "nodes_values")?],
            missing: missing.get(i).is_some_and(|&tracks| tracks != 0),
            children: [
                there(tree, at(yes, i, "nodes_truenodeids")?)?,
                there(tree, at(no, i, "nodes_falsenodeids")?)?,
            ],
        });
    }
    if forest.splits.len() != splits {
        return Err(Issue::Invalid("a mode that does not exist".to_owned()));
    }
    let weights = reals(c, "target_weights");
    for (i, (&tree, &id)) in list("target_treeids").iter().zip(list("target_nodeids")).enumerate() {
        let target = length(at(list("target_ids"), i, "target_ids")?)?;
        let weight = at(&weights, i, "target_weights")?;
        if let Child::Leaf(leaf) = there(tree, id)? {
            forest.leaves[leaf].push((target, weight));
        }
    }
    let (how, after) = (c.text("aggregate_function", "SUM"), c.text("post_transform", "NONE"));
    together(c, &forest, &how, reals(c, "base_values"), &after)
}
