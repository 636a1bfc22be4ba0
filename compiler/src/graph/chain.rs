//! Graphs one after the other: what one puts out under a name is what the next takes in under another.

use std::collections::BTreeMap;

use cranelift_entity::SecondaryMap;

use super::{Graph, NodeId, Op, State};

/// One graph of several, in their order. Each takes `from` of the one before it as its input `to`; other inputs of the same name are one input, and
/// must agree in type. States and origins get the prefix of their graph. All outputs but those taken over are kept, those of a name that an earlier
/// graph has too with their prefix.
///
/// # Errors
/// A graph has no such output or input, or types differ.
pub fn chain(name: &str, graphs: &[(String, Graph)], (from, to): (&str, &str)) -> Result<Graph, String> {
    let mut whole = Graph { name: name.to_owned(), ..Graph::default() };
    let mut inputs: BTreeMap<String, NodeId> = BTreeMap::new();
    let mut before: Option<NodeId> = None;
    for (number, (prefix, graph)) in graphs.iter().enumerate() {
        let mut map: SecondaryMap<NodeId, NodeId> = SecondaryMap::with_default(NodeId::from_u32(0));
        let mut taken = before.is_none();
        for (id, node) in graph.nodes.iter() {
            let state = graph.states.iter().find(|state| state.input == id);
            let shared = match (&node.op, before) {
                (Op::Input(name), Some(value)) if name == to => {
                    taken = true;
                    Some(value)
                }
                (Op::Input(name), _) if state.is_none() => inputs.get(name).copied(),
                _ => None,
            };
            if let Some(value) = shared {
                if *whole.ty(value) != node.ty {
                    return Err(format!("{prefix}: {} where {} is wanted", whole.ty(value), node.ty));
                }
                map[id] = value;
                continue;
            }
            let op = match (&node.op, state) {
                (Op::Input(name), Some(_)) => Op::Input(format!("{prefix}{name}")),
                (op, _) => op.clone(),
            };
            let operands: Vec<NodeId> = node.inputs.iter().map(|&input| map[input]).collect();
            let common = node.origin.is_empty() || matches!((&node.op, state), (Op::Input(_), None));
            let origin = if common { node.origin.clone() } else { format!("{prefix}{}", node.origin) };
            map[id] = whole.push_typed(op, &operands, node.ty.clone(), &origin);
            if let (Op::Input(name), None) = (&node.op, state) {
                inputs.insert(name.clone(), map[id]);
                whole.inputs.push(map[id]);
            }
        }
        if !taken {
            return Err(format!("{prefix}: no input is named `{to}`"));
        }
        whole.states.extend(graph.states.iter().map(|state| State {
            input: map[state.input],
            output: map[state.output],
            input_name: format!("{prefix}{}", state.input_name),
            output_name: format!("{prefix}{}", state.output_name),
        }));
        let last = number + 1 == graphs.len();
        before = None;
        for (name, node) in &graph.outputs {
            if name == from && !last {
                before = Some(map[*node]);
                continue;
            }
            let known = whole.outputs.iter().any(|(other, _)| other == name);
            let name = if known { format!("{prefix}{name}") } else { name.clone() };
            whole.outputs.push((name, map[*node]));
        }
        if before.is_none() && !last {
            return Err(format!("{prefix}: no output is named `{from}`"));
        }
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::text;

    const STEP: &str = r#"graph "step" {
  n0 = input "hidden" : f32[1, 2] ; hidden
  n1 = input "past" : f32[4, 2]
  n2 = input "position" : i32[1]
  n3 = add n0, n0 : f32[1, 2] ; double
  n4 = append n1, n3, n2, axis=0 : f32[4, 2]
  n5 = reduce_sum n4, axis=0 : f32[1, 2]
  inputs n0, n2
  output "output" = n5
  state "past" -> "present" = n1 -> n4
}
"#;

    #[test]
    fn layers_share_a_position_and_have_states_of_their_own() {
        let step = text::parse(STEP).expect("a graph");
        let graphs = [("a.".to_owned(), step.clone()), ("b.".to_owned(), step)];
        let whole = chain("two", &graphs, ("output", "hidden")).expect("they fit");
        insta::assert_snapshot!(whole, @r#"
        graph "two" {
          n0 = input "hidden" : f32[1, 2] ; hidden
          n1 = input "a.past" : f32[4, 2]
          n2 = input "position" : i32[1]
          n3 = add n0, n0 : f32[1, 2] ; a.double
          n4 = append n1, n3, n2, axis=0 : f32[4, 2]
          n5 = reduce_sum n4, axis=0 : f32[1, 2]
          n6 = input "b.past" : f32[4, 2]
          n7 = add n5, n5 : f32[1, 2] ; b.double
          n8 = append n6, n7, n2, axis=0 : f32[4, 2]
          n9 = reduce_sum n8, axis=0 : f32[1, 2]
          output "output" = n9
          state "a.past" -> "a.present" = n1 -> n4
          state "b.past" -> "b.present" = n6 -> n8
        }
        "#);
        assert_eq!(
            chain("two", &graphs, ("logits", "hidden")).expect_err("no such output"),
            "a.: no output is named `logits`"
        );
    }
}
