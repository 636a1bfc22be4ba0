//! From an ONNX model to a [`Graph`]: shapes bound, plumbing computed, operators decomposed, KV caches made states.
//!
//! Exporters write shapes and masks as operators. All that follows from shapes and constants is computed here, so that the graph
//! has tensors of fixed shapes and only the work that depends on data.
//!
//! **States.** An input `past` and an output `present` = Concat(past, new) become a state: one tensor of the full capacity C that
//! [`Op::Append`](super::Op) writes in place, at the position that the extra input [`POSITION`] gives. The model's own operators
//! then see C − S old tokens (S: tokens in this step), whatever the cache holds. That is the same computation with its keys in
//! another order, provided that nothing depends on their order but the attention mask, which is given in the order of the
//! cache's slots: slot j takes part where `attention_mask[:, j]` is 1. The module `slots` checks that proviso.

mod bind;
mod build;
mod call;
mod catalogue;
mod control;
mod dimension;
mod moving;
mod narrow;
mod quotient;
mod ops;
mod problems;
mod slots;
mod state;
#[cfg(test)]
mod tests;
mod translate;
mod width;

pub use catalogue::{Operator, operators};
pub use problems::{Checked, State as NodeState};

use super::{Graph, NodeId, Op};
use crate::diagnostic::Diagnostic;
use crate::onnx::Model;
use cranelift_entity::{PrimaryMap, SecondaryMap};
use moving::Moving;
use std::collections::BTreeMap;

/// Name of the input (I32, shape [1]) that says how many tokens the states hold before this step.
pub const POSITION: &str = "lpuc.position";

/// Origin of the constant that numbers the slots of a cache, for operators that take tokens by their place in it.
const SLOTS: &str = "lpuc.slots";

/// What the user says about a model's free dimensions.
#[derive(Clone, Debug, PartialEq)]
pub struct Bindings {
    /// Lengths by the model's name of the dimension.
    pub dims: BTreeMap<String, usize>,
    /// Sequences at a time, for dimensions that are a batch by their name or place.
    pub batch: usize,
    /// Tokens that a decoder's cache holds at most, the current step's included; for an encoder, the length of the sequence.
    pub context: Option<usize>,
    /// Shapes of the arrays that the model will be given, by input name; they bind dimensions too.
    pub input_shapes: BTreeMap<String, Vec<usize>>,
    /// Inputs that are constants in this program, by name: the number that all elements have (a sampling rate; which branch to take).
    pub values: BTreeMap<String, f32>,
}

impl Default for Bindings {
    fn default() -> Self {
        Bindings {
            dims: BTreeMap::new(),
            batch: 1,
            context: None,
            input_shapes: BTreeMap::new(),
            values: BTreeMap::new(),
        }
    }
}

/// An imported model.
#[derive(Clone, Debug)]
pub struct Import {
    /// What it computes. Nodes that nothing needs are gone; all inputs of the model are there, needed or not.
    pub graph: Graph,
    /// How to generate tokens with it, where it has states.
    pub decoder: Option<Decoder>,
    /// What a user may want to know: lengths that were assumed, outputs that were left out.
    pub notes: Vec<String>,
}

/// The parts that the inputs and outputs of a decoder play.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoder {
    /// Capacity of the cache in tokens (C).
    pub context: usize,
    /// Tokens in a step (S).
    pub sequence: usize,
    /// Sequences at a time.
    pub batch: usize,
    /// Token ids, [batch, S].
    pub ids_input: String,
    /// 1 for each cache slot that takes part, the current tokens' included; [batch, C].
    pub mask_input: Option<String>,
    /// Position of each token of the step in its text, [batch, S].
    pub position_ids_input: Option<String>,
    /// Tokens in the cache before the step, [1]: [`POSITION`].
    pub position_input: String,
    /// Scores of the next token, [batch, S, vocabulary].
    pub logits_output: String,
    /// Whether step after step can be run on growing caches. Without it only a step whose past has exactly
    /// C − S tokens is right.
    pub generates: bool,
}

/// Imports a model.
///
/// # Errors
///
/// Kind Input: `unbound-dimension` (all of them), `unknown-dimension`, `bad-binding`, `bad-model`. Kind Unsupported:
/// `unsupported-operator` (all of them), `unsupported-input`, `unsupported-cache`.
pub fn import(model: &Model, bindings: &Bindings) -> Result<Import, Diagnostic> {
    let pairs = state::pairs(model);
    let bound = bind::bind(model, bindings, &pairs)?;
    let mut graph = translate::translate(model, &bound, &Moving::new())?;
    let mut notes = model.notes.clone();
    notes.extend(bound.notes.iter().cloned());
    let Some(roles) = &bound.decoder else {
        return Ok(Import { graph, decoder: None, notes });
    };
    // A longer cache must give the same computation on a longer axis: then nothing else depends on the cache's length.
    let generates = match &bound.longer {
        Some(longer) => {
            let other = translate::translate(model, longer, &Moving::new())?;
            if let Err(refusal) = slots::check(&graph, &other) {
                // Positions that the model counts by itself are counted by the host instead.
                let moving = moving::names(model, [&bound, longer])?;
                if moving.is_empty() {
                    return Err(refusal);
                }
                graph = translate::translate(model, &bound, &moving)?;
                slots::check(&graph, &translate::translate(model, longer, &moving)?)?;
            }
            true
        }
        None => false,
    };
    let decoder = Decoder { generates, ..roles.clone() };
    Ok(Import { graph, decoder: Some(decoder), notes })
}

/// What becomes of each node of a model, and the error that [`import`] gives for those that cannot be compiled.
///
/// # Errors
///
/// As [`import`], but for `unsupported-operator`.
pub fn check(model: &Model, bindings: &Bindings) -> Result<(Vec<Checked>, Option<Diagnostic>), Diagnostic> {
    let pairs = state::pairs(model);
    translate::check(model, &bind::bind(model, bindings, &pairs)?)
}

/// The same graph without the nodes that no output and no state needs. Inputs stay.
fn prune(graph: Graph) -> Graph {
    let mut needed: SecondaryMap<NodeId, bool> = SecondaryMap::with_capacity(graph.nodes.len());
    let mut work: Vec<NodeId> = graph.inputs.clone();
    work.extend(graph.outputs.iter().map(|(_, node)| *node));
    work.extend(graph.states.iter().flat_map(|state| [state.input, state.output]));
    while let Some(id) = work.pop() {
        if !std::mem::replace(&mut needed[id], true) {
            work.extend(&graph.nodes[id].inputs);
        }
    }
    let mut place: SecondaryMap<NodeId, NodeId> = SecondaryMap::with_default(NodeId::from_u32(0));
    let mut nodes = PrimaryMap::new();
    for (id, mut node) in graph.nodes {
        if needed[id] {
            node.inputs.iter_mut().for_each(|input| *input = place[*input]);
            place[id] = nodes.push(node);
        }
    }
    let mut states = graph.states;
    for state in &mut states {
        (state.input, state.output) = (place[state.input], place[state.output]);
    }
    Graph {
        name: graph.name,
        nodes,
        inputs: graph.inputs.into_iter().map(|id| place[id]).collect(),
        outputs: graph.outputs.into_iter().map(|(name, id)| (name, place[id])).collect(),
        states,
    }
}

/// Name of an input node.
fn input_name(graph: &Graph, id: NodeId) -> &str {
    match &graph.nodes[id].op {
        Op::Input(name) => name,
        _ => "",
    }
}
