//! Which pointwise nodes become one pass through the VXM.

use cranelift_entity::SecondaryMap;
use isa::Chip;

use super::alu::{AluProgram, Value, is_pointwise, operand_type};
use super::context::Context;
use super::legalize::appends_columns;
use crate::graph::NodeId;

/// Arrays that a group may read and write. Those that share slices are read in turns, which costs less than another pass while they are few.
const MOST_ARRAYS: usize = 7;

/// A set of pointwise nodes of one iteration space, computed in one pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Members, in graph order.
    pub nodes: Vec<NodeId>,
}

/// A group as ALU operations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupProgram {
    /// Tensors read from SRAM.
    pub inputs: Vec<GroupInput>,
    /// Operations.
    pub alu: AluProgram,
    /// Members whose value leaves the group, and that value.
    pub results: Vec<(NodeId, Value)>,
}

/// A tensor that a group reads, and the shape that it is broadcast to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupInput {
    /// The tensor, as it stands in the member's input list.
    pub node: NodeId,
    /// The member's shape.
    pub target: Vec<usize>,
}

/// All groups, and the group of each node.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    /// Groups.
    pub groups: Vec<Group>,
    /// Group of each pointwise runtime node.
    pub of: SecondaryMap<NodeId, Option<u32>>,
    /// Their operations.
    pub programs: Vec<GroupProgram>,
}

/// Forms groups greedily in graph order: a node joins the group of one of its operands if the ALUs suffice and no group comes to
/// depend on itself.
pub fn groups(context: &Context<'_>, chip: &Chip) -> Result<Groups, String> {
    let mut result = Groups::default();
    let users = users(context);
    for (node, data) in context.graph.nodes.iter() {
        if context.constant[node] || !is_pointwise(&data.op) {
            continue;
        }
        let mut chosen = None;
        for &input in &data.inputs {
            let Some(producer) = context.producer(input) else { continue };
            let Some(group) = result.of[producer] else { continue };
            if chosen == Some(group)
                || !context.same_space(node, input)
                || cyclic(context, &result, node, group)
            {
                continue;
            }
            let mut members = result.groups[group as usize].nodes.clone();
            members.push(node);
            if fits(context, chip, &members, &users)? {
                chosen = Some(group);
            }
        }
        match chosen {
            Some(group) => {
                result.groups[group as usize].nodes.push(node);
                result.of[node] = Some(group);
            }
            None => {
                result.of[node] = Some(result.groups.len() as u32);
                result.groups.push(Group { nodes: vec![node] });
            }
        }
    }
    let programs = result.groups.iter().map(|group| program(context, &group.nodes, &users));
    result.programs = programs.collect::<Result<_, _>>()?;
    Ok(result)
}

/// Nodes that use each node's value, directly or through views, outputs counted as a use by nobody.
fn users(context: &Context<'_>) -> SecondaryMap<NodeId, Vec<Option<NodeId>>> {
    let mut users: SecondaryMap<NodeId, Vec<Option<NodeId>>> = SecondaryMap::new();
    for (node, data) in context.graph.nodes.iter() {
        if context.constant[node] || context.is_pure_view(node) {
            continue;
        }
        for (at, &input) in data.inputs.iter().enumerate() {
            // The machine takes the index in place of the position.
            let unused = at == 2 && appends_columns(data);
            let seen = if again(context, node, input) { source(context, input) } else { input };
            if let Some(producer) = context.producer(seen).filter(|_| !unused) {
                users[producer].push(Some(node));
            }
        }
    }
    for (_, node) in &context.graph.outputs {
        if let Some(producer) = context.producer(*node) {
            users[producer].push(None);
        }
    }
    users
}

/// Whether an operand of `node` from outside `group` depends on the group.
fn cyclic(context: &Context<'_>, groups: &Groups, node: NodeId, group: u32) -> bool {
    let first = groups.groups[group as usize].nodes[0];
    let mut seen: SecondaryMap<NodeId, bool> = SecondaryMap::new();
    let mut stack: Vec<NodeId> = Vec::new();
    let push_inputs = |of: NodeId, stack: &mut Vec<NodeId>| {
        stack.extend(context.graph.nodes[of].inputs.iter().filter_map(|&input| context.producer(input)));
    };
    push_inputs(node, &mut stack);
    stack.retain(|&producer| groups.of[producer] != Some(group));
    while let Some(next) = stack.pop() {
        if std::mem::replace(&mut seen[next], true) {
            continue;
        }
        let before = stack.len();
        match groups.of[next] {
            Some(other) => {
                let nodes = &groups.groups[other as usize].nodes;
                if nodes[nodes.len() - 1] < first {
                    continue;
                }
                for &member in nodes {
                    seen[member] = true;
                    push_inputs(member, &mut stack);
                }
            }
            None if next < first => continue,
            None => push_inputs(next, &mut stack),
        }
        if stack[before..].iter().any(|&producer| groups.of[producer] == Some(group)) {
            return true;
        }
    }
    false
}

fn fits(
    context: &Context<'_>,
    chip: &Chip,
    members: &[NodeId],
    users: &SecondaryMap<NodeId, Vec<Option<NodeId>>>,
) -> Result<bool, String> {
    let program = program(context, members, users)?;
    // Each result may need up to three more ALUs (a mask, and a copy for the other hemisphere twice), each input a loader.
    let alus = program.alu.ops.len() + program.inputs.len() + 3 * program.results.len();
    let depth = u16::from(chip.vxm.forward_depth) / chip.latency.vxm;
    let arrays = program.inputs.len() + program.results.len();
    Ok(arrays <= MOST_ARRAYS
        && alus <= usize::from(chip.vxm.alus.min(16))
        && program.alu.ops.len() + 4 <= usize::from(depth))
}

/// Operations on a number a row that whoever uses it rather does again than wait for another pass.
const AGAIN: usize = 3;

/// Whether `node` computes an operand again: one element for whole rows of its own, made of another such one in a few operations.
fn again(context: &Context<'_>, node: NodeId, input: NodeId) -> bool {
    is_pointwise(&context.graph.nodes[node].op)
        && context.columns(node) > 1
        && !context.same_space(node, input)
        && source(context, input) != input
}

/// What a number a row is made of, some operations before; itself, if there are too many, or more than one such operand.
fn source(context: &Context<'_>, node: NodeId) -> NodeId {
    let mut at = node;
    for _ in 0..AGAIN {
        let Some(operand) = only_operand(context, at) else { return at };
        at = operand;
    }
    if only_operand(context, at).is_some() { node } else { at }
}

/// The only operand that is no constant, of a pointwise node of one column.
fn only_operand(context: &Context<'_>, node: NodeId) -> Option<NodeId> {
    let data = &context.graph.nodes[node];
    if context.constant[node] || !is_pointwise(&data.op) || context.columns(node) > 1 {
        return None;
    }
    let mut operands = data.inputs.iter().copied().filter(|&input| context.uniform[input].is_none());
    let first = operands.next()?;
    (operands.all(|other| other == first) && context.rows(first) == context.rows(node)).then_some(first)
}

/// A group's operations.
fn program(
    context: &Context<'_>,
    members: &[NodeId],
    users: &SecondaryMap<NodeId, Vec<Option<NodeId>>>,
) -> Result<GroupProgram, String> {
    let mut maker = Maker { context, alu: AluProgram::default(), inputs: Vec::new(), values: Vec::new() };
    for &node in members {
        let value = maker.node(node, node)?;
        maker.values.push((node, value));
    }
    let Maker { alu, inputs, values, .. } = maker;
    let leaves = |node: &NodeId| {
        users[*node]
            .iter()
            .any(|user| user.is_none_or(|user| !members.contains(&user) || !internal(context, *node, user)))
    };
    let results = values.into_iter().filter(|(node, _)| leaves(node)).collect();
    Ok(GroupProgram { inputs, alu, results })
}

/// A group's operations in the making.
struct Maker<'a, 'g> {
    context: &'a Context<'g>,
    alu: AluProgram,
    inputs: Vec<GroupInput>,
    values: Vec<(NodeId, Value)>,
}

impl Maker<'_, '_> {
    /// The operations of a node, in the space of a member.
    fn node(&mut self, node: NodeId, member: NodeId) -> Result<Value, String> {
        let graph = self.context.graph;
        let data = &graph.nodes[node];
        let mut operands = Vec::new();
        for &input in &data.inputs {
            operands.push(self.operand(input, member)?);
        }
        let types: Vec<_> = data.inputs.iter().map(|&input| graph.nodes[input].ty.element).collect();
        let value = self.alu.lower(&data.op, operand_type(&data.op, &types), &operands);
        value.map_err(|problem| format!("{} ({}): {problem}", node, data.origin))
    }

    fn operand(&mut self, input: NodeId, member: NodeId) -> Result<Value, String> {
        let producer = self.context.producer(input);
        let inner = producer.and_then(|p| self.values.iter().find(|(n, _)| *n == p)).map(|(_, value)| *value);
        if let Some(value) = inner.filter(|_| self.context.same_space(member, input)) {
            return Ok(value);
        }
        if let Some(bits) = self.context.uniform[input] {
            return Ok(Value::Immediate(bits));
        }
        if again(self.context, member, input) {
            return self.node(input, member);
        }
        let target = self.context.graph.nodes[member].ty.shape.clone();
        let new = GroupInput { node: input, target };
        let at = self.inputs.iter().position(|old| *old == new);
        Ok(Value::Input(at.unwrap_or_else(|| {
            self.inputs.push(new);
            self.inputs.len() - 1
        })))
    }
}

fn internal(context: &Context<'_>, producer: NodeId, user: NodeId) -> bool {
    let inputs = &context.graph.nodes[user].inputs;
    inputs
        .iter()
        .filter(|&&input| context.producer(input) == Some(producer))
        .all(|&input| context.same_space(user, input))
}
