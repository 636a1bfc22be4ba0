//! One run of a model: which arrays its inputs get, and which arrays its outputs are.

use std::collections::BTreeMap;

use compiler::graph::import::{Decoder, POSITION};
use compiler::graph::{ElementType, Graph, NodeId, Op};
use simulator::Array as Data;

use crate::failure::Failure;
use crate::npz::Array;

/// An input that the host gives each time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Input {
    pub name: String,
    pub shape: Vec<usize>,
    pub element: ElementType,
    /// Of indices, how many there are of what they name.
    pub of: Option<usize>,
}

impl Input {
    /// Indices as the program takes them, from 0 on: negative ones count from the end. Names the first that is out of range.
    fn counted(&self, data: Data) -> Result<Data, String> {
        let (Some(length), Data::I32(values)) = (self.of, &data) else { return Ok(data) };
        let length = length as i32;
        match values.iter().find(|index| !(-length..length).contains(index)) {
            Some(index) => Err(format!("input `{}`: index {index} of {length}", self.name)),
            None => Ok(Data::I32(values.iter().map(|&i| if i < 0 { i + length } else { i }).collect())),
        }
    }
}

/// A state: a KV cache's half.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct State {
    pub input_name: String,
    pub output_name: String,
    /// With the full capacity along `axis`.
    pub shape: Vec<usize>,
    /// The axis of the slots.
    pub axis: usize,
}

/// What goes into and comes out of a model.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Interface {
    pub inputs: Vec<Input>,
    /// Names, and the shapes that the model gives them.
    pub outputs: Vec<(String, Vec<usize>)>,
    pub states: Vec<State>,
    /// The parts that inputs and outputs play, where the model is a decoder.
    pub decoder: Option<Decoder>,
}

impl Interface {
    /// The interface of an imported graph, whose states are its KV caches.
    pub(crate) fn of(graph: &Graph, decoder: Option<Decoder>) -> Interface {
        let input = |id| {
            let node = &graph.nodes[id];
            let Op::Input(name) = &node.op else { return None };
            let of = indexed(graph, id);
            Some(Input { name: name.clone(), shape: node.ty.shape.clone(), element: node.ty.element, of })
        };
        let state = |state: &compiler::graph::State| {
            let Op::Append { axis } = graph.nodes[state.output].op else { return None };
            Some(State {
                input_name: state.input_name.clone(),
                output_name: state.output_name.clone(),
                shape: graph.shape(state.input).to_vec(),
                axis,
            })
        };
        Interface {
            inputs: graph.inputs.iter().filter_map(|&id| input(id)).collect(),
            outputs: graph
                .outputs
                .iter()
                .map(|(name, node)| (name.clone(), graph.shape(*node).to_vec()))
                .collect(),
            states: graph.states.iter().filter_map(state).collect(),
            decoder,
        }
    }

    /// The inputs of a step whose first token goes to slot `position`: token ids `token`, positions from `position` on, and a
    /// mask that shows the slots up to the last new one. A model that is no decoder gets zeros, and masks of ones.
    pub(crate) fn step(&self, token: i32, position: usize) -> Vec<(String, Data)> {
        let visible = self.decoder.as_ref().map_or(usize::MAX, |decoder| position + decoder.sequence);
        let values = |input: &Input| -> Vec<i32> {
            let last = input.shape.last().copied().unwrap_or(1).max(1);
            let each = 0..input.shape.iter().product::<usize>();
            match self.role(&input.name) {
                Role::Slot => vec![position as i32; each.len()],
                Role::Positions => each.map(|i| (position + i % last) as i32).collect(),
                Role::Mask => each.map(|i| i32::from(i % last < visible)).collect(),
                Role::Tokens => vec![token; each.len()],
                Role::Other => vec![0; each.len()],
            }
        };
        self.inputs.iter().map(|input| (input.name.clone(), typed(values(input), input.element))).collect()
    }

    /// What an input is for: what the importer says of a decoder, else by its name.
    fn role(&self, name: &str) -> Role {
        let is = |input: &Option<String>| input.as_deref() == Some(name);
        match &self.decoder {
            _ if name == POSITION => Role::Slot,
            Some(decoder) if decoder.ids_input == name => Role::Tokens,
            Some(decoder) if is(&decoder.mask_input) => Role::Mask,
            Some(decoder) if is(&decoder.position_ids_input) => Role::Positions,
            Some(_) => Role::Other,
            None if name.contains("mask") => Role::Mask,
            None if name.contains("position") => Role::Positions,
            None => Role::Other,
        }
    }

    /// Matches a user's arrays to the inputs and states. States are padded with zeros to their capacity, and the new token's
    /// slot follows from the length of the given caches. Lists every array that does not fit.
    pub(crate) fn given(&self, arrays: &[(String, Array)]) -> Result<Given, Failure> {
        let named: BTreeMap<&str, &Array> =
            arrays.iter().map(|(name, array)| (name.as_str(), array)).collect();
        let mut problems = Vec::new();
        let mut writes = Vec::new();
        let used = self.used_slots(&named);
        for state in &self.states {
            let Some(array) = named.get(state.input_name.as_str()) else { continue };
            match padded(array, &state.shape, state.axis) {
                Some(data) => writes.push((state.input_name.clone(), data)),
                None => problems.push(misshapen(&state.input_name, &array.shape, &state.shape)),
            }
        }
        for input in &self.inputs {
            match (named.get(input.name.as_str()), input.name.as_str()) {
                (None, POSITION) => {
                    writes.push((input.name.clone(), typed(vec![used as i32], input.element)))
                }
                (None, name) => problems.push(format!("input `{name}` {:?} is missing", input.shape)),
                (Some(array), name) => match self.fitted(array, input) {
                    Some(data) => match input.counted(data) {
                        Ok(data) => writes.push((name.to_owned(), data)),
                        Err(problem) => problems.push(problem),
                    },
                    None => problems.push(misshapen(name, &array.shape, &input.shape)),
                },
            }
        }
        let known = |name: &str| {
            self.inputs.iter().any(|input| input.name == name)
                || self.states.iter().any(|s| s.input_name == name)
        };
        for (name, _) in arrays.iter().filter(|(name, _)| !known(name)) {
            problems.push(format!("the model has no input `{name}`"));
        }
        if problems.is_empty() {
            return Ok(Given { writes, position: self.slot(&named).unwrap_or(used) });
        }
        let list = problems.join("\n  ");
        Err(Failure::input(format!(
            "error[bad-inputs]: the arrays of --inputs do not fit the model\n  {list}"
        )))
    }

    /// An array for an input, if it has its shape; in its type.
    fn fitted(&self, array: &Array, input: &Input) -> Option<Data> {
        let data = match self.role(&input.name) {
            _ if array.shape == input.shape => array.data.clone(),
            Role::Slot if array.data.len() == 1 => array.data.clone(),
            _ => return None,
        };
        Some(match (data, input.element) {
            (Data::I32(values), element) => typed(values, element),
            (Data::Bool(values), ElementType::F32 | ElementType::I32) => {
                typed(values.into_iter().map(i32::from).collect(), input.element)
            }
            (data, _) => data,
        })
    }

    /// Length of the caches that were given.
    fn used_slots(&self, named: &BTreeMap<&str, &Array>) -> usize {
        let length = |state: &State| named.get(state.input_name.as_str())?.shape.get(state.axis).copied();
        let length = self.states.iter().filter_map(length).max().unwrap_or(0);
        // A cache that is full already: the new tokens take the last slots.
        self.decoder
            .as_ref()
            .map_or(0, |decoder| length.min(decoder.context.saturating_sub(decoder.sequence)))
    }

    fn slot(&self, named: &BTreeMap<&str, &Array>) -> Option<usize> {
        match &named.get(POSITION)?.data {
            Data::I32(values) => usize::try_from(*values.first()?).ok(),
            _ => None,
        }
    }
}

/// A user's arrays, in the machine's shapes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Given {
    pub writes: Vec<(String, Data)>,
    /// The slot of the new token.
    pub position: usize,
}

enum Role {
    Tokens,
    Positions,
    Mask,
    Slot,
    Other,
}

fn typed(values: Vec<i32>, element: ElementType) -> Data {
    match element {
        ElementType::F32 | ElementType::F8 => {
            Data::F32(values.into_iter().map(|value| value as f32).collect())
        }
        ElementType::I32 | ElementType::I8 => Data::I32(values),
        ElementType::Bool => Data::Bool(values.into_iter().map(|value| value != 0).collect()),
    }
}

fn misshapen(name: &str, given: &[usize], wanted: &[usize]) -> String {
    format!("`{name}` has shape {given:?}, the model takes {wanted:?}")
}

/// The array with zeros after it along `axis`, up to `shape`; nothing where it differs from `shape` in another way.
fn padded(array: &Array, shape: &[usize], axis: usize) -> Option<Data> {
    let agree = |(i, (have, want)): (usize, (&usize, &usize))| have == want || i == axis && have < want;
    if array.shape.len() != shape.len() || !array.shape.iter().zip(shape).enumerate().all(agree) {
        return None;
    }
    let inner: usize = shape[axis + 1..].iter().product();
    let (have, want) = (array.shape[axis] * inner, shape[axis] * inner);
    Some(match &array.data {
        Data::F32(values) => Data::F32(resized(values, have, want, shape)),
        Data::I32(values) => Data::I32(resized(values, have, want, shape)),
        Data::Bool(values) => Data::Bool(resized(values, have, want, shape)),
    })
}

/// Rows of `have` elements made into rows of `want`: cut, or filled up with zeros.
fn resized<T: Copy + Default>(values: &[T], have: usize, want: usize, shape: &[usize]) -> Vec<T> {
    let mut out = Vec::with_capacity(shape.iter().product());
    if have == 0 {
        out.resize(shape.iter().product(), T::default());
        return out;
    }
    for row in values.chunks(have) {
        out.extend(&row[..have.min(want)]);
        out.resize(out.len() + want.saturating_sub(have), T::default());
    }
    out
}

/// The first `count` slots of a state that was read back.
pub(crate) fn used_part(state: &State, data: &Data, count: usize) -> Array {
    let mut shape = state.shape.clone();
    let inner: usize = shape[state.axis + 1..].iter().product();
    let (have, want) = (shape[state.axis] * inner, count.min(shape[state.axis]) * inner);
    shape[state.axis] = count.min(shape[state.axis]);
    let data = match data {
        Data::F32(values) => Data::F32(resized(values, have, want, &shape)),
        Data::I32(values) => Data::I32(resized(values, have, want, &shape)),
        Data::Bool(values) => Data::Bool(resized(values, have, want, &shape)),
    };
    Array { shape, data }
}

/// How many there are of what an input names, if all of it is indices along axes of that length.
fn indexed(graph: &Graph, input: NodeId) -> Option<usize> {
    let users = graph.nodes.values().filter(|node| node.inputs.contains(&input));
    let mut lengths = users.map(|node| match node.op {
        Op::Gather { axis } if node.inputs[0] != input => Some(graph.shape(node.inputs[0])[axis]),
        _ => None,
    });
    let first = lengths.next()??;
    lengths.all(|length| length == Some(first)).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoder() -> Interface {
        let input = |name: &str, shape: &[usize]| Input {
            of: None,
            name: name.to_owned(),
            shape: shape.to_vec(),
            element: ElementType::I32,
        };
        let decoder = Decoder {
            context: 4,
            sequence: 1,
            batch: 1,
            ids_input: "input_ids".to_owned(),
            mask_input: Some("attention_mask".to_owned()),
            position_ids_input: None,
            position_input: POSITION.to_owned(),
            logits_output: "logits".to_owned(),
            generates: true,
        };
        Interface {
            decoder: Some(decoder),
            inputs: vec![
                input("input_ids", &[1, 1]),
                input("attention_mask", &[1, 4]),
                input(POSITION, &[1]),
            ],
            outputs: vec![("logits".to_owned(), vec![1, 1, 8])],
            states: vec![State {
                input_name: "past".to_owned(),
                output_name: "present".to_owned(),
                shape: vec![1, 2, 4, 1],
                axis: 2,
            }],
        }
    }

    #[test]
    fn a_step_sees_the_slots_up_to_its_own() {
        let writes = decoder().step(7, 2);
        let values: Vec<&Data> = writes.iter().map(|(_, data)| data).collect();
        assert_eq!(values, [&Data::I32(vec![7]), &Data::I32(vec![1, 1, 1, 0]), &Data::I32(vec![2])]);
    }

    #[test]
    fn given_arrays_are_padded_and_checked() {
        let array = |shape: &[usize], data| Array { shape: shape.to_vec(), data };
        let mut arrays = vec![
            ("input_ids".to_owned(), array(&[1, 1], Data::I32(vec![5]))),
            ("attention_mask".to_owned(), array(&[1, 4], Data::I32(vec![1, 0, 1, 0]))),
            ("past".to_owned(), array(&[1, 2, 2, 1], Data::F32(vec![1.0, 2.0, 3.0, 4.0]))),
        ];
        let given = decoder().given(&arrays).expect("all fit");
        assert_eq!(given.position, 2);
        let expected = [
            ("past".to_owned(), Data::F32(vec![1.0, 2.0, 0.0, 0.0, 3.0, 4.0, 0.0, 0.0])),
            ("input_ids".to_owned(), Data::I32(vec![5])),
            ("attention_mask".to_owned(), Data::I32(vec![1, 0, 1, 0])),
            (POSITION.to_owned(), Data::I32(vec![2])),
        ];
        assert_eq!(given.writes, expected);
        let back = used_part(&decoder().states[0], &given.writes[0].1, 2);
        assert_eq!(back, arrays[2].1);

        arrays[0].1.shape = vec![2, 1];
        arrays.push(("extra".to_owned(), array(&[], Data::Bool(vec![true]))));
        arrays.remove(1);
        let text = decoder().given(&arrays).expect_err("three problems").text;
        insta::assert_snapshot!(text, @"
        error[bad-inputs]: the arrays of --inputs do not fit the model
          `input_ids` has shape [2, 1], the model takes [1, 1]
          input `attention_mask` [1, 4] is missing
          the model has no input `extra`
        ");
    }
}
