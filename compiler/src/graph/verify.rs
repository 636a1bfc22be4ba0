//! Whether a graph is well formed.
//!
//! Checked: every input of a node has a smaller id; types are as inferred; constants have as many bytes as their type says;
//! the declared inputs and the states' inputs are exactly the Input nodes; outputs and states exist, with distinct names;
//! a state's output is an Append that leads back to the state's input.

use super::eval::Tensor;
use super::{Graph, Node, NodeId, Op, State, shape};
use crate::diagnostic::{Diagnostic, Kind};
use std::collections::{BTreeMap, BTreeSet};

impl Graph {
    /// Errors where the graph is not well formed: a bug of the pass that made it. All problems are listed.
    pub fn verify(&self) -> Result<(), Diagnostic> {
        let problems = self.problems();
        if problems.is_empty() {
            return Ok(());
        }
        let message = format!("graph `{}` is not well formed", self.name);
        Err(problems.into_iter().fold(Diagnostic::new(Kind::Bug, "graph-verify", message), Diagnostic::note))
    }

    /// What is not well formed, a sentence each.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (id, node) in self.nodes.iter() {
            if let Err(what) = self.check_node(id, node) {
                problems.push(format!("{id} `{}`: {what}", node.origin));
            }
        }
        // The rest follows edges, which must be sound first.
        if problems.is_empty() {
            self.check_inputs(&mut problems);
            self.check_outputs(&mut problems);
        }
        problems
    }

    fn check_node(&self, id: NodeId, node: &Node) -> Result<(), String> {
        if let Some(late) = node.inputs.iter().find(|&&input| input >= id) {
            return Err(format!("{} uses {late}, which does not come before it", node.op.name()));
        }
        match &node.op {
            Op::Input(_) | Op::Constant(_) if !node.inputs.is_empty() => {
                Err(format!("{} takes no inputs", node.op.name()))
            }
            Op::Input(_) => shape::count(&node.ty.shape).map(drop),
            Op::Constant(constant) => {
                shape::count(&node.ty.shape)?;
                Tensor::check_constant(constant, &node.ty)
            }
            op => {
                let types: Vec<_> = node.inputs.iter().map(|&input| &self.nodes[input].ty).collect();
                let ty = shape::infer(op, &types)?;
                if ty == node.ty { Ok(()) } else { Err(format!("{} makes {ty}, not {}", op.name(), node.ty)) }
            }
        }
    }

    fn check_inputs(&self, problems: &mut Vec<String>) {
        let mut declared = BTreeSet::new();
        let mut elements = BTreeMap::new();
        for &id in self.inputs.iter().chain(self.states.iter().map(|state| &state.input)) {
            let Some(Node { op: Op::Input(name), ty, .. }) = self.nodes.get(id) else {
                problems.push(format!("{id} is declared as an input, and is none"));
                continue;
            };
            if !declared.insert(id) {
                problems.push(format!("{id} `{name}` is declared as an input or state twice"));
            }
            let kind = (ty.element, ty.elements());
            if *elements.entry(name).or_insert(kind) != kind {
                problems.push(format!(
                    "{id} is not a view of the other inputs named `{name}`: {ty} does not hold their elements"
                ));
            }
        }
        for (id, node) in self.nodes.iter() {
            if matches!(node.op, Op::Input(_)) && !declared.contains(&id) {
                problems.push(format!("{id} is an input, but neither among the graph's inputs nor a state"));
            }
        }
    }

    fn check_outputs(&self, problems: &mut Vec<String>) {
        let mut names = BTreeSet::new();
        let outputs = self.outputs.iter().map(|(name, id)| (name, *id));
        for (name, id) in outputs.chain(self.states.iter().map(|state| (&state.output_name, state.output))) {
            if !self.nodes.is_valid(id) {
                problems.push(format!("output `{name}` is {id}, which does not exist"));
            }
            if !names.insert(name) {
                problems.push(format!("two outputs are named `{name}`"));
            }
        }
        let mut held = BTreeSet::new();
        for state in self.states.iter().filter(|state| self.nodes.is_valid(state.output)) {
            if let Err(what) = self.check_state(state) {
                problems.push(format!("state `{}`: {what}", state.input_name));
            }
            if !held.insert(&state.input_name) {
                problems.push(format!("two states are named `{}`", state.input_name));
            }
        }
    }

    /// The output is an Append to the input, possibly by way of other Appends.
    fn check_state(&self, state: &State) -> Result<(), String> {
        let mut at = state.output;
        while let Op::Append { .. } = self.nodes[at].op {
            at = self.nodes[at].inputs[0];
            if at == state.input {
                return Ok(());
            }
        }
        Err(format!("its output {} is not an append to its input {}", state.output, state.input))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Constant, ElementType, Encoding, TensorType, UnaryOp};

    fn good() -> Graph {
        let mut graph = Graph { name: "g".into(), ..Graph::default() };
        let ty = TensorType::new(ElementType::F32, [2]);
        let x = graph.push_typed(Op::Input("x".into()), &[], ty.clone(), "");
        let past = graph.push_typed(Op::Input("past".into()), &[], ty.clone(), "");
        let bytes = Some(vec![0; 4].into());
        let zero = Op::Constant(Constant { encoding: Encoding::I32, bytes });
        let zero = graph.push_typed(zero, &[], TensorType::new(ElementType::I32, []), "");
        let y = graph.push(Op::Unary(UnaryOp::Exp), &[x], "y").unwrap();
        let present = graph.push(Op::Append { axis: 0 }, &[past, y, zero], "").unwrap();
        graph.inputs = vec![x];
        graph.outputs = vec![("y".into(), y)];
        let (input_name, output_name) = ("past".into(), "present".into());
        graph.states = vec![State { input: past, output: present, input_name, output_name }];
        graph
    }

    #[test]
    fn problems_are_found() {
        assert_eq!(good().verify(), Ok(()));
        let id = NodeId::from_u32;
        type Damage = fn(&mut Graph);
        let table: Vec<(Damage, &str)> = vec![
            (
                |g| g.nodes[NodeId::from_u32(3)].inputs[0] = NodeId::from_u32(4),
                "exp uses n4, which does not come before it",
            ),
            (|g| g.nodes[NodeId::from_u32(3)].ty.shape = vec![3], "exp makes f32[2], not f32[3]"),
            (
                |g| g.nodes[NodeId::from_u32(2)].ty.shape = vec![2],
                "a constant i32[2] in i32 has 8 bytes, not 4",
            ),
            (|g| g.inputs.clear(), "n0 is an input, but neither among the graph's inputs nor a state"),
            (|g| g.inputs.push(g.inputs[0]), "n0 `x` is declared as an input or state twice"),
            (|g| g.inputs.push(g.outputs[0].1), "n3 is declared as an input, and is none"),
            (|g| g.outputs[0].1 = NodeId::from_u32(9), "output `y` is n9, which does not exist"),
            (|g| g.outputs[0].0 = "present".into(), "two outputs are named `present`"),
            (
                |g| g.states[0].output = NodeId::from_u32(3),
                "state `past`: its output n3 is not an append to its input n1",
            ),
            (|g| g.nodes[NodeId::from_u32(1)].op = Op::Input("x".into()), ""),
        ];
        assert_eq!(good().nodes[id(3)].op, Op::Unary(UnaryOp::Exp));
        for (damage, expected) in table {
            let mut graph = good();
            damage(&mut graph);
            let found = graph.problems().join("\n");
            assert!(found.contains(expected), "expected {expected:?} in {found:?}");
            assert_eq!(found.is_empty(), expected.is_empty());
            let code = graph.verify().map_err(|diagnostic| diagnostic.code);
            assert_eq!(code, if found.is_empty() { Ok(()) } else { Err("graph-verify") });
        }
    }
}
