//! Graphs as text.

use super::constant;
use super::lexer::quote;
use crate::graph::{ElementType, Graph, Node, NodeId, Op};
use std::fmt;

/// The text form, which [`super::parse`] reads. Any graph prints, well formed or not.
impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Commented { graph: self, comment: &|_| String::new() }.fmt(f)
    }
}

/// A graph that prints with comments of one line above its nodes, where they are not empty.
pub struct Commented<'a> {
    /// The graph.
    pub graph: &'a Graph,
    /// What is said of a node.
    pub comment: &'a dyn Fn(NodeId) -> String,
}

impl fmt::Display for Commented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let graph = self.graph;
        writeln!(f, "graph {} {{", quote(&graph.name))?;
        for (id, node) in graph.nodes.iter() {
            let comment = (self.comment)(id);
            if !comment.is_empty() {
                writeln!(f, "  ; {comment}")?;
            }
            write!(f, "  {id} = ")?;
            print_node(node, f)?;
            write!(f, " : {}", node.ty)?;
            match node.origin.as_str() {
                "" => {}
                origin if stands_unquoted(origin) => write!(f, " ; {origin}")?,
                origin => write!(f, " ; {}", quote(origin))?,
            }
            writeln!(f)?;
        }
        if graph.inputs != default_inputs(graph) {
            writeln!(f, "  inputs {}", list(&graph.inputs))?;
        }
        for (name, id) in &graph.outputs {
            writeln!(f, "  output {} = {id}", quote(name))?;
        }
        for state in &graph.states {
            let [input, output] = [&state.input_name, &state.output_name].map(|name| quote(name));
            writeln!(f, "  state {input} -> {output} = {} -> {}", state.input, state.output)?;
        }
        writeln!(f, "}}")
    }
}

/// The inputs of a graph that does not list them: all Input nodes that are not states, in order.
pub(super) fn default_inputs(graph: &Graph) -> Vec<NodeId> {
    let is_state = |id: NodeId| graph.states.iter().any(|state| state.input == id);
    let inputs = graph.nodes.iter().filter(|(_, node)| matches!(node.op, Op::Input(_))).map(|(id, _)| id);
    inputs.filter(|&id| !is_state(id)).collect()
}

/// Whether an origin reads back as it is.
fn stands_unquoted(origin: &str) -> bool {
    origin.trim() == origin && !origin.starts_with('"') && !origin.chars().any(char::is_control)
}

fn list(ids: &[NodeId]) -> String {
    ids.iter().map(NodeId::to_string).collect::<Vec<_>>().join(", ")
}

/// The operator, its operands and its attributes. Shapes of Reshape and Expand and the element of Cast stand in the type.
fn print_node(node: &Node, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match &node.op {
        Op::Input(name) => return write!(f, "input {}", quote(name)),
        Op::Constant(constant) => return constant::print(constant, &node.ty, f),
        op => write!(f, "{} {}", op.name(), list(&node.inputs))?,
    }
    match &node.op {
        Op::MatMul { transpose_b: true } => f.write_str(", transpose_b"),
        Op::Conv { channels_last, strides, padding, dilations, groups } => {
            let padding = padding.concat();
            write!(
                f,
                ", strides={strides:?}, padding={padding:?}, dilations={dilations:?}, groups={groups}"
            )?;
            f.write_str(if *channels_last { ", channels_last" } else { "" })
        }
        Op::Transpose { permutation } => write!(f, ", permutation={permutation:?}"),
        Op::Slice { axis, start, count, step: 1 } => write!(f, ", axis={axis}, start={start}, count={count}"),
        Op::Slice { axis, start, count, step } => {
            write!(f, ", axis={axis}, start={start}, count={count}, step={step}")
        }
        Op::Pad { axis, before, after, value } => {
            write!(f, ", axis={axis}, before={before}, after={after}, value=")?;
            match node.ty.element {
                ElementType::F32 if !f32::from_bits(*value).is_nan() => {
                    write!(f, "{:?}", f32::from_bits(*value))
                }
                ElementType::I32 => write!(f, "{}", value.cast_signed()),
                ElementType::Bool if *value <= 1 => write!(f, "{value}"),
                ElementType::F32 | ElementType::Bool => write!(f, "{value:#x}"),
                ElementType::I8 | ElementType::F8 => write!(f, "{value}"),
            }
        }
        Op::Reduce { axis, .. }
        | Op::Concat { axis }
        | Op::Gather { axis }
        | Op::Softmax { axis }
        | Op::Append { axis } => write!(f, ", axis={axis}"),
        Op::AllGather { chips, stride, padded } => {
            write!(f, ", chips={chips}, stride={stride}")?;
            padded.map_or(Ok(()), |padded| write!(f, ", padded={padded}"))
        }
        Op::AllToAll { stride } => write!(f, ", stride={stride}"),
        Op::Cross { chips, stride, distance, gates } => {
            write!(f, ", chips={chips}, stride={stride}, distance={distance}, {gates}")
        }
        Op::FromGates(gates) => write!(f, ", {gates}"),
        Op::Blocks(few) => write!(f, ", {}", few.name()),
        Op::Input(_)
        | Op::Constant(_)
        | Op::MatMul { transpose_b: false }
        | Op::Unary(_)
        | Op::Binary(_)
        | Op::Select
        | Op::Reshape { .. }
        | Op::Expand { .. }
        | Op::Cast(_) => Ok(()),
    }
}
