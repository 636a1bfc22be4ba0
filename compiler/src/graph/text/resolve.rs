//! From syntax to a graph: names, numbers and types.

use super::lexer::unquote;
use super::print::default_inputs;
use super::syntax::{Argument, Body, File, Item, Spanned, Statement, Type};
use super::{Lookup, Problem, constant};
use crate::graph::eval::Tensor;
use crate::graph::{
    BinaryOp, ElementType, Encoding, Few, Gates, Graph, NodeId, Op, ReduceOp, State, TensorType, UnaryOp,
    shape,
};
use std::collections::BTreeMap;

/// The graph that a text means, or everything that is wrong with it.
pub(super) fn resolve(file: &File<'_>, lookup: &mut Lookup<'_>) -> Result<Graph, Vec<Problem>> {
    let mut resolver = Resolver { graph: Graph::default(), labels: BTreeMap::new(), problems: Vec::new() };
    resolver.graph.name = resolver.text(&file.name);
    let mut inputs = None;
    for item in &file.items {
        match item {
            Item::Node(statement) => resolver.define(statement, lookup),
            Item::Inputs(nodes) => inputs = Some(nodes),
            Item::Output { .. } | Item::State { .. } => {}
        }
    }
    for item in &file.items {
        resolver.declare(item);
    }
    resolver.graph.inputs = match inputs {
        Some(nodes) => nodes.iter().filter_map(|node| resolver.node(node)).collect(),
        None => default_inputs(&resolver.graph),
    };
    if resolver.problems.is_empty() {
        let whole = |message| Problem { span: file.name.span.clone(), message };
        resolver.problems.extend(resolver.graph.problems().into_iter().map(whole));
    }
    if resolver.problems.is_empty() { Ok(resolver.graph) } else { Err(resolver.problems) }
}

struct Resolver {
    graph: Graph,
    /// Nodes by label; nothing where the definition is wrong, which has been said.
    labels: BTreeMap<u32, Option<NodeId>>,
    problems: Vec<Problem>,
}

impl Resolver {
    fn text(&mut self, text: &Spanned<&str>) -> String {
        unquote(text.value).unwrap_or_else(|message| {
            self.problems.push(Problem { span: text.span.clone(), message });
            String::new()
        })
    }

    /// The node of a label. Where there is none, it is said once.
    fn node(&mut self, label: &Spanned<u32>) -> Option<NodeId> {
        if let Some(node) = self.labels.get(&label.value) {
            return *node;
        }
        self.problems.push(problem(label, format!("n{} is not defined above", label.value)));
        None
    }

    fn define(&mut self, statement: &Statement<'_>, lookup: &mut Lookup<'_>) {
        let label = &statement.label;
        if self.labels.contains_key(&label.value) {
            self.problems.push(problem(label, format!("n{} is defined twice", label.value)));
            return;
        }
        let node = self.statement(statement, lookup);
        self.labels.insert(label.value, node);
    }

    fn statement(&mut self, statement: &Statement<'_>, lookup: &mut Lookup<'_>) -> Option<NodeId> {
        let ty = match &statement.ty {
            None => None,
            Some(ty) => {
                Some((tensor_type(&ty.value).map_err(|p| self.problems.push(p)).ok()?, ty.span.clone()))
            }
        };
        let origin = match &statement.origin {
            None => String::new(),
            Some(origin) => match origin.value.trim_start_matches(';').trim() {
                quoted if quoted.starts_with('"') => {
                    self.text(&Spanned { value: quoted, span: origin.span.clone() })
                }
                plain => plain.to_owned(),
            },
        };
        let body = &statement.body;
        let given = ty.as_ref().map(|(ty, _)| ty);
        let (op, inputs) = match &body.value {
            Body::Operator { name, arguments } => self.operator(name, arguments, given)?,
            Body::Input(_) | Body::Constant { .. } => (self.leaf(body, given, lookup)?, Vec::new()),
        };
        let leaf = matches!(op, Op::Input(_) | Op::Constant(_));
        if let (true, Some((ty, _))) = (leaf, &ty) {
            return Some(self.graph.push_typed(op, &[], ty.clone(), &origin));
        }
        let id = self
            .graph
            .push(op, &inputs, &origin)
            .map_err(|what| self.problems.push(problem(body, what)))
            .ok()?;
        match ty {
            Some((ty, span)) if ty != *self.graph.ty(id) => {
                let message = format!("the operands make {}, not {ty}", self.graph.ty(id));
                self.problems.push(Problem { span, message });
                None
            }
            _ => Some(id),
        }
    }

    fn leaf(
        &mut self,
        body: &Spanned<Body<'_>>,
        ty: Option<&TensorType>,
        lookup: &mut Lookup<'_>,
    ) -> Option<Op> {
        let Some(ty) = ty else {
            self.problems.push(problem(
                body,
                "inputs and constants need a type: write `: f32[1, 64]` after them".to_owned(),
            ));
            return None;
        };
        match &body.value {
            Body::Input(name) => Some(Op::Input(self.text(name))),
            Body::Constant { encoding, content } => {
                let Some(&(kind, _)) = Encoding::ALL.iter().find(|(_, name)| *name == encoding.value) else {
                    let names: Vec<&str> = Encoding::ALL.iter().map(|(_, name)| *name).collect();
                    let message =
                        format!("`{}` is no encoding; encodings are {}", encoding.value, names.join(", "));
                    self.problems.push(problem(encoding, message));
                    return None;
                };
                let constant = constant::parse(kind, ty, content, lookup).and_then(|constant| {
                    Tensor::check_constant(&constant, ty).map_err(|what| problem(content, what))?;
                    Ok(constant)
                });
                constant.map(Op::Constant).map_err(|p| self.problems.push(p)).ok()
            }
            Body::Operator { .. } => None,
        }
    }

    fn operator(
        &mut self,
        name: &Spanned<&str>,
        arguments: &[Spanned<Argument<'_>>],
        ty: Option<&TensorType>,
    ) -> Option<(Op, Vec<NodeId>)> {
        let labels = arguments.iter().filter_map(|argument| match argument.value {
            Argument::Node(label) => Some(Spanned { value: label, span: argument.span.clone() }),
            Argument::Flag(_) | Argument::Number(..) | Argument::List(..) => None,
        });
        let nodes: Vec<Option<NodeId>> = labels.map(|label| self.node(&label)).collect();
        let inputs: Vec<NodeId> = nodes.into_iter().collect::<Option<_>>()?;
        let element = inputs.first().map(|&input| self.graph.ty(input).element);
        let mut attributes = Attributes { name, arguments, used: vec![false; arguments.len()] };
        let op = operator(&mut attributes, ty, element).and_then(|op| attributes.finish().map(|()| op));
        op.map(|op| (op, inputs)).map_err(|p| self.problems.push(p)).ok()
    }

    fn declare(&mut self, item: &Item<'_>) {
        match item {
            Item::Node(_) | Item::Inputs(_) => {}
            Item::Output { name, node } => {
                let name = self.text(name);
                if let Some(node) = self.node(node) {
                    self.graph.outputs.push((name, node));
                }
            }
            Item::State { names: [old, new], nodes: [input, output] } => {
                let (input_name, output_name) = (self.text(old), self.text(new));
                if let (Some(input), Some(output)) = (self.node(input), self.node(output)) {
                    self.graph.states.push(State { input, output, input_name, output_name });
                }
            }
        }
    }
}

fn problem<T>(at: &Spanned<T>, message: String) -> Problem {
    Problem { span: at.span.clone(), message }
}

fn tensor_type(ty: &Type<'_>) -> Result<TensorType, Problem> {
    let wanted = ty.element.value;
    let Some(&(element, _)) = ElementType::ALL.iter().find(|(_, name)| *name == wanted) else {
        let names = ElementType::ALL.map(|(_, name)| name).join(", ");
        return Err(problem(&ty.element, format!("`{wanted}` is no element type; these are {names}")));
    };
    let shape = ty.shape.iter().map(size).collect::<Result<Vec<_>, _>>()?;
    shape::count(&shape).map_err(|what| problem(&ty.element, what))?;
    Ok(TensorType { element, shape })
}

fn size(number: &Spanned<&str>) -> Result<usize, Problem> {
    number.value.parse().map_err(|_| problem(number, format!("{} is no size or index", number.value)))
}

fn gates(attributes: &mut Attributes<'_, '_>) -> Result<Gates, Problem> {
    Ok(Gates {
        node: attributes.size("node")?,
        from: attributes.list("from")?,
        to: attributes.list("to")?,
        shift: attributes.size("shift")?,
        each: attributes.size("each")?,
    })
}

/// The operator of a name, with its attributes. `element`: of the first operand.
fn operator(
    attributes: &mut Attributes<'_, '_>,
    ty: Option<&TensorType>,
    element: Option<ElementType>,
) -> Result<Op, Problem> {
    let name = attributes.name;
    let typed = || ty.ok_or_else(|| problem(name, format!("{} needs its result's type written", name.value)));
    Ok(match name.value {
        "matmul" => Op::MatMul { transpose_b: attributes.flag("transpose_b") },
        "conv" => Op::Conv {
            channels_last: attributes.flag("channels_last"),
            strides: attributes.list("strides")?,
            padding: attributes.pairs("padding")?,
            dilations: attributes.list("dilations")?,
            groups: attributes.size("groups")?,
        },
        "select" => Op::Select,
        "reshape" => Op::Reshape { shape: typed()?.shape.clone() },
        "expand" => Op::Expand { shape: typed()?.shape.clone() },
        "cast" => Op::Cast(typed()?.element),
        "transpose" => Op::Transpose { permutation: attributes.list("permutation")? },
        "slice" => Op::Slice {
            axis: attributes.size("axis")?,
            start: attributes.size("start")?,
            count: attributes.size("count")?,
            step: attributes.number("step").map_or(Ok(1), size)?,
        },
        "pad" => Op::Pad {
            axis: attributes.size("axis")?,
            before: attributes.size("before")?,
            after: attributes.size("after")?,
            value: attributes.bits("value", element)?,
        },
        "concat" => Op::Concat { axis: attributes.size("axis")? },
        "gather" => Op::Gather { axis: attributes.size("axis")? },
        "softmax" => Op::Softmax { axis: attributes.size("axis")? },
        "append" => Op::Append { axis: attributes.size("axis")? },
        "all_gather" => {
            let (chips, stride) = (attributes.size("chips")?, attributes.size("stride")?);
            let padded = attributes.number("padded").map(size).transpose()?;
            Op::AllGather { chips, stride, padded }
        }
        "all_to_all" => Op::AllToAll { stride: attributes.size("stride")? },
        "cross" => Op::Cross {
            chips: attributes.size("chips")?,
            stride: attributes.size("stride")?,
            distance: attributes.size("distance")?,
            gates: gates(attributes)?,
        },
        "from_gates" => Op::FromGates(gates(attributes)?),
        "blocks" => {
            let kind = Few::ALL.into_iter().find(|(_, kind)| attributes.flag(kind));
            let missing = || problem(name, "`blocks` needs `int4` or `mxfp4`".to_owned());
            Op::Blocks(kind.ok_or_else(missing)?.0)
        }
        other => {
            if let Some(&(op, _)) = UnaryOp::ALL.iter().find(|(_, name)| *name == other) {
                Op::Unary(op)
            } else if let Some(&(op, _)) = BinaryOp::ALL.iter().find(|(_, name)| *name == other) {
                Op::Binary(op)
            } else if let Some(&(op, _)) = ReduceOp::ALL.iter().find(|(_, name)| *name == other) {
                Op::Reduce { op, axis: attributes.size("axis")? }
            } else {
                return Err(problem(name, format!("`{other}` is no operator")));
            }
        }
    })
}

/// Attributes of one operator, each to be used once.
struct Attributes<'a, 's> {
    name: &'a Spanned<&'s str>,
    arguments: &'a [Spanned<Argument<'s>>],
    used: Vec<bool>,
}

impl<'a, 's> Attributes<'a, 's> {
    fn take<T>(&mut self, find: impl Fn(&'a Argument<'s>) -> Option<T>) -> Option<T> {
        let found = |(at, argument): (usize, &'a Spanned<Argument<'s>>)| Some((at, find(&argument.value)?));
        let (at, value) = self.arguments.iter().enumerate().find_map(found)?;
        self.used[at] = true;
        Some(value)
    }

    fn flag(&mut self, key: &str) -> bool {
        self.take(|argument| matches!(argument, Argument::Flag(name) if *name == key).then_some(())).is_some()
    }

    fn number(&mut self, key: &str) -> Option<&'a Spanned<&'s str>> {
        self.take(|argument| match argument {
            Argument::Number(name, number) if *name == key => Some(number),
            _ => None,
        })
    }

    fn size(&mut self, key: &str) -> Result<usize, Problem> {
        let missing = problem(self.name, format!("{} needs `{key}=` and a number", self.name.value));
        size(self.number(key).ok_or(missing)?)
    }

    fn list(&mut self, key: &str) -> Result<Vec<usize>, Problem> {
        let missing = problem(self.name, format!("{} needs `{key}=[…]`", self.name.value));
        let list = self.take(|argument| match argument {
            Argument::List(name, list) if *name == key => Some(list),
            _ => None,
        });
        list.ok_or(missing)?.iter().map(size).collect()
    }

    fn pairs(&mut self, key: &str) -> Result<Vec<[usize; 2]>, Problem> {
        let list = self.list(key)?;
        match list.as_chunks::<2>() {
            (pairs, []) => Ok(pairs.to_vec()),
            _ => Err(problem(self.name, format!("`{key}` is a list of pairs"))),
        }
    }

    /// The 32 bits of an element.
    fn bits(&mut self, key: &str, element: Option<ElementType>) -> Result<u32, Problem> {
        let missing = problem(self.name, format!("{} needs `{key}=` and a number", self.name.value));
        let number = self.number(key).ok_or(missing)?;
        let bits = match (number.value.strip_prefix("0x"), element) {
            (Some(bits), _) => u32::from_str_radix(bits, 16).ok(),
            (None, Some(ElementType::F32)) => number.value.parse().ok().map(f32::to_bits),
            (None, Some(ElementType::I32)) => number.value.parse().ok().map(i32::cast_unsigned),
            (None, _) => number.value.parse().ok(),
        };
        bits.ok_or_else(|| problem(number, format!("{} is no element of the operand", number.value)))
    }

    /// Errors where an attribute was given that the operator does not have.
    fn finish(self) -> Result<(), Problem> {
        for (argument, used) in self.arguments.iter().zip(self.used) {
            let (Argument::Flag(key) | Argument::Number(key, _) | Argument::List(key, _)) = &argument.value
            else {
                continue;
            };
            if !used {
                return Err(problem(argument, format!("{} takes no (further) `{key}`", self.name.value)));
            }
        }
        Ok(())
    }
}
