//! Graphs of several chips that exchange tensors, evaluated side by side.

use std::collections::{BTreeMap, BTreeSet};

use super::{Tensor, ancestors, apply, fault, given, layout, source, wanted};
use crate::diagnostic::Diagnostic;
use crate::graph::{Gates, Graph, NodeId, Op};
use crate::links::ahead;

/// As [`super::evaluate`], for the graphs of a group of chips in their order; each with its own inputs. States are zero at first. The graphs
/// differ in what their constants hold only.
///
/// Errors: as [`super::evaluate`]; and an exchange among more or fewer chips than there are graphs.
pub fn evaluate_group(
    graphs: &[Graph],
    inputs: &[BTreeMap<String, Tensor>],
) -> Result<Vec<BTreeMap<String, Tensor>>, Diagnostic> {
    let Some(first) = graphs.first() else { return Ok(Vec::new()) };
    let wanted = wanted(first);
    let keep: Vec<NodeId> = wanted.iter().map(|&(_, node)| node).collect();
    let mut values: Vec<BTreeMap<NodeId, Tensor>> = vec![BTreeMap::new(); graphs.len()];
    let nodes: BTreeSet<NodeId> = ancestors(first, &keep);
    for &id in &nodes {
        let made = (0..graphs.len()).map(|chip| {
            let graph = &graphs[chip];
            let node = &graph.nodes[id];
            let operand = |of: usize| values[of].get(node.inputs.first()?);
            let missing = || fault(graph, id, "an input comes after its use");
            match &node.op {
                Op::Input(_) | Op::Constant(_) => source(graph, id, &given(graph, &inputs[chip], None)),
                Op::AllGather { chips, stride, padded } => {
                    let ranks = behind(chip, graphs.len(), (*chips, *stride))
                        .map_err(|what| fault(graph, id, &what))?;
                    let parts: Option<Vec<_>> = ranks.into_iter().map(operand).collect();
                    Ok(gathered(&parts.ok_or_else(missing)?, *padded))
                }
                Op::AllToAll { stride } => {
                    let chips = node.ty.shape[0];
                    let ranks = behind(chip, graphs.len(), (chips, *stride))
                        .map_err(|what| fault(graph, id, &what))?;
                    let part = |(d, rank): (usize, usize)| Some(layout::slice(operand(rank)?, 0, d, 1, 1));
                    let parts: Option<Vec<Tensor>> = ranks.into_iter().enumerate().map(part).collect();
                    let parts = parts.ok_or_else(missing)?;
                    Ok(layout::concat(&parts.iter().collect::<Vec<_>>(), 0, node.ty.shape.clone()))
                }
                Op::Cross { chips, stride, distance, gates } => {
                    let (axis, all) = ((*chips, *stride), graphs.len());
                    let from = crossing(chip, all, axis, (*distance, gates));
                    let from = from.map_err(|what| fault(graph, id, &what))?;
                    let nothing = || Some(zeros(node.ty.shape.clone()));
                    let sent = from.map_or_else(nothing, |rank| operand(rank).map(|x| sent(x, gates)));
                    sent.ok_or_else(missing)
                }
                Op::FromGates(gates) => {
                    let nobody = || fault(graph, id, "no gate brings this chip's part");
                    let receiver = gates.receiver(chip).filter(|&(rank, _)| rank < graphs.len());
                    let (rank, ahead) = receiver.ok_or_else(nobody)?;
                    let row = layout::slice(operand(rank).ok_or_else(missing)?, 0, ahead, 1, 1);
                    Ok(Tensor { shape: node.ty.shape.clone(), data: row.data })
                }
                op => {
                    let operands: Option<Vec<_>> = node.inputs.iter().map(|x| values[chip].get(x)).collect();
                    apply(op, &operands.ok_or_else(missing)?).map_err(|what| fault(graph, id, &what))
                }
            }
        });
        let made: Vec<Tensor> = made.collect::<Result<_, _>>()?;
        values.iter_mut().zip(made).for_each(|(values, value)| {
            values.insert(id, value);
        });
    }
    let named = |values: BTreeMap<NodeId, Tensor>| {
        let of = |&(name, node): &(&str, NodeId)| Some((name.to_owned(), values.get(&node)?.clone()));
        wanted.iter().filter_map(of).collect()
    };
    Ok(values.into_iter().map(named).collect())
}

/// Ranks of the chips along an axis of a group: the chip itself, the one behind it, and so on round.
fn behind(rank: usize, all: usize, (chips, stride): (usize, usize)) -> Result<Vec<usize>, String> {
    if chips == 0 || stride == 0 || !all.is_multiple_of(chips * stride) {
        return Err(format!("an exchange among {chips} chips, {stride} ranks apart, in a group of {all}"));
    }
    Ok((0..chips).map(|distance| ahead((chips, stride), rank, chips - distance)).collect())
}

/// The rank that sends to a rank over the gates, if any does.
fn crossing(
    rank: usize,
    all: usize,
    axis: (usize, usize),
    (distance, gates): (usize, &Gates),
) -> Result<Option<usize>, String> {
    if gates.node == 0 || !axis.1.is_multiple_of(gates.node) || !all.is_multiple_of(gates.node) {
        return Err(format!("gates of nodes of {} along chips {} ranks apart", gates.node, axis.1));
    }
    let behind = behind(rank, all, axis)?;
    let from = gates.ahead(behind[distance % behind.len()], gates.node - gates.shift);
    Ok((gates.to.contains(&rank) && gates.from.contains(&from)).then_some(from))
}

/// What a chip sends over its gate, of what it gathered in its node.
fn sent(gathered: &Tensor, gates: &Gates) -> Tensor {
    let rows: Vec<Tensor> =
        (0..gates.each).map(|ahead| layout::slice(gathered, 0, gates.part(ahead), 1, 1)).collect();
    let mut shape = gathered.shape.clone();
    shape[0] = gates.each;
    layout::concat(&rows.iter().collect::<Vec<_>>(), 0, shape)
}

fn zeros(shape: Vec<usize>) -> Tensor {
    let count = shape.iter().product();
    Tensor::f32(shape, vec![0.0; count])
}

/// Parts one after the other along a new first axis, or along the last one, each followed by zeros up to `padded` elements.
fn gathered(parts: &[&Tensor], padded: Option<usize>) -> Tensor {
    let Some(padded) = padded else {
        let first =
            |part: &&Tensor| Tensor { shape: [&[1], &part.shape[..]].concat(), data: part.data.clone() };
        let shape = [&[parts.len()], &parts[0].shape[..]].concat();
        let parts: Vec<Tensor> = parts.iter().map(first).collect();
        return layout::concat(&parts.iter().collect::<Vec<_>>(), 0, shape);
    };
    let axis = parts[0].shape.len() - 1;
    let with_zeros = |part: &&Tensor| layout::pad(part, axis, 0, padded - part.shape[axis], 0);
    let parts: Vec<Tensor> = parts.iter().map(with_zeros).collect();
    let mut shape = parts[0].shape.clone();
    shape[axis] *= parts.len();
    layout::concat(&parts.iter().collect::<Vec<_>>(), axis, shape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::text;

    /// Three chips that hold [1, 2], [3, 4] and [5, 6], and each run a graph of x.
    fn outputs(graph: &str) -> Vec<Vec<f32>> {
        let graph = text::parse(graph).expect("the graph is right");
        let inputs: Vec<BTreeMap<String, Tensor>> = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
            .map(|x| BTreeMap::from([("x".to_owned(), Tensor::f32([1, 2], x.to_vec()))]))
            .to_vec();
        let outputs = evaluate_group(&vec![graph; 3], &inputs).expect("it has values");
        outputs.iter().map(|values| values["y"].as_f32().expect("real").to_vec()).collect()
    }

    #[test]
    fn gathered_parts_begin_with_the_chips_own() {
        let graph = r#"graph "g" {
  n0 = input "x" : f32[1, 2]
  n1 = all_gather n0, chips=3, stride=1, padded=3 : f32[1, 9]
  inputs n0
  output "y" = n1
}"#;
        assert_eq!(
            outputs(graph),
            [
                [1.0, 2.0, 0.0, 5.0, 6.0, 0.0, 3.0, 4.0, 0.0],
                [3.0, 4.0, 0.0, 1.0, 2.0, 0.0, 5.0, 6.0, 0.0],
                [5.0, 6.0, 0.0, 3.0, 4.0, 0.0, 1.0, 2.0, 0.0],
            ]
        );
    }

    #[test]
    fn all_to_all_sends_row_d_to_the_chip_d_ahead() {
        let graph = r#"graph "g" {
  n0 = input "x" : f32[1, 2]
  n1 = constant f32 [1.0, 10.0, 100.0] : f32[3, 1]
  n2 = mul n0, n1 : f32[3, 2]
  n3 = all_to_all n2, stride=1 : f32[3, 2]
  inputs n0
  output "y" = n3
}"#;
        assert_eq!(
            outputs(graph),
            [
                [1.0, 2.0, 50.0, 60.0, 300.0, 400.0],
                [3.0, 4.0, 10.0, 20.0, 500.0, 600.0],
                [5.0, 6.0, 30.0, 40.0, 100.0, 200.0],
            ]
        );
    }
}
