//! Lengths for every free dimension: from the user, from the arrays, and for a decoder from the parts its inputs play.

use super::dimension::Dimension;
use super::state::Pair;
use super::{Bindings, Decoder, POSITION, width};
use crate::diagnostic::{Diagnostic, Kind};
use crate::graph::eval::Tensor;
use crate::graph::{ElementType, TensorType, shape};
use crate::onnx::proto::tensor_proto::DataType;
use crate::onnx::proto::tensor_shape_proto::dimension::Value as DimValue;
use crate::onnx::proto::{ValueInfoProto, type_proto};
use crate::onnx::{Model, shape_of};
use std::collections::{BTreeMap, BTreeSet};

/// Capacity of a decoder's cache where the user gives none.
pub(super) const DEFAULT_CONTEXT: usize = 256;

/// A model's inputs with all lengths known.
#[derive(Clone, Debug, Default)]
pub(super) struct Bound {
    /// Inputs in the model's order.
    pub(super) inputs: Vec<Input>,
    /// The parts that inputs and outputs play, where there are caches.
    pub(super) decoder: Option<Decoder>,
    /// The same model with one more old token, where the cache's length is free and steps are to follow each other.
    pub(super) longer: Option<Box<Bound>>,
    /// What was assumed.
    pub(super) notes: Vec<String>,
    pairs: Vec<Pair>,
}

/// One input.
#[derive(Clone, Debug)]
pub(super) struct Input {
    pub(super) name: String,
    /// Type as the model's operators see it.
    pub(super) ty: TensorType,
    /// Set for the old content of a cache.
    pub(super) state: Option<StateAxis>,
    /// Set where the user makes it a constant.
    pub(super) value: Option<Tensor>,
}

/// How a cache grows.
#[derive(Clone, Copy, Debug)]
pub(super) struct StateAxis {
    pub(super) axis: usize,
    pub(super) capacity: usize,
}

impl Bound {
    /// The cache input that an output continues.
    pub(super) fn state_of_output(&self, output: &str) -> Option<&str> {
        self.pairs.iter().find(|pair| pair.output == output).map(|pair| pair.input.as_str())
    }
}

/// An input as the model declares it.
struct Declared<'m> {
    name: &'m str,
    element: ElementType,
    dims: Vec<Dimension>,
}

type Names = BTreeMap<String, usize>;

/// Binds all dimensions.
///
/// # Errors
///
/// `unbound-dimension` with all that are left; `unknown-dimension`, `bad-binding`, `unsupported-input`, `bad-model`.
pub(super) fn bind(model: &Model, bindings: &Bindings, pairs: &[Pair]) -> Result<Bound, Diagnostic> {
    let declared = declared(model, bindings)?;
    let mut names = Names::new();
    user_dims(&declared, bindings, &mut names)?;
    arrays(&declared, bindings, &mut names)?;
    let given = names.clone();
    let mut notes = Vec::new();
    // What grows without tokens is no cache that steps could follow each other on.
    let pairs = match ids(&declared, pairs) {
        None if !pairs.is_empty() => {
            notes.push("caches are plain inputs and outputs: there is no input of token ids".to_owned());
            &[]
        }
        _ => pairs,
    };
    let decoder = match pairs {
        [] => {
            encoder(&declared, bindings, &mut names);
            None
        }
        pairs => Some(decoder(model, &declared, bindings, pairs, &mut names, &mut notes)?),
    };
    let free = free(&declared, &names);
    if !free.is_empty() {
        return Err(unbound(&declared, &free, decoder.is_some()));
    }
    let assumed: Vec<String> = names
        .iter()
        .filter(|(name, _)| !given.contains_key(*name))
        .map(|(name, value)| format!("{name} = {value}"))
        .collect();
    if !assumed.is_empty() {
        notes.push(format!("free dimensions: {}", assumed.join(", ")));
    }
    let mut bound = with(&declared, &names, pairs, decoder.as_ref())?;
    agree(&bound, bindings)?;
    fix(&mut bound, &bindings.values)?;
    bound.notes = notes;
    if let Some(roles) = &decoder {
        bound.longer = longer(&declared, bindings, pairs, roles, &names)?.map(Box::new);
    }
    if let Some(longer) = &mut bound.longer {
        fix(longer, &bindings.values)?;
    }
    Ok(bound)
}

/// Makes constants of the inputs that the user gives a value.
fn fix(bound: &mut Bound, values: &BTreeMap<String, f32>) -> Result<(), Diagnostic> {
    for (name, &value) in values {
        let names: Vec<String> = bound.inputs.iter().map(|input| format!("`{}`", input.name)).collect();
        let Some(input) = bound.inputs.iter_mut().find(|input| input.name == *name) else {
            return Err(bad_binding(format!("the model has no input `{name}` that could be fixed"))
                .note(format!("its inputs are {}", names.join(", "))));
        };
        if input.state.is_some() {
            return Err(bad_binding(format!("`{name}` is a cache, which changes from step to step")));
        }
        let (count, shape) = (input.ty.elements(), input.ty.shape.clone());
        input.value = Some(match input.ty.element {
            ElementType::Bool => Tensor::bool(shape, vec![value != 0.0; count]),
            ElementType::F32 | ElementType::F8 => Tensor::f32(shape, vec![value; count]),
            ElementType::I32 | ElementType::I8 if value.fract() == 0.0 => {
                Tensor::i32(shape, vec![value as i32; count])
            }
            ElementType::I32 | ElementType::I8 => {
                return Err(bad_binding(format!("`{name}` is an integer, {value} is none")));
            }
        });
    }
    Ok(())
}

fn bad_binding(what: impl Into<String>) -> Diagnostic {
    Diagnostic::new(Kind::Input, "bad-binding", what)
}

fn declared<'m>(model: &'m Model, bindings: &Bindings) -> Result<Vec<Declared<'m>>, Diagnostic> {
    let constants = model.constants();
    let inputs = model.graph.input.iter().filter(|input| !constants.contains(input.name()));
    inputs.map(|input| declare(input, bindings.input_shapes.get(input.name()))).collect()
}

fn declare<'m>(input: &'m ValueInfoProto, array: Option<&Vec<usize>>) -> Result<Declared<'m>, Diagnostic> {
    let name = input.name();
    let unsupported = |what: &str| {
        Diagnostic::new(Kind::Unsupported, "unsupported-input", format!("input `{name}` {what}"))
    };
    let Some(type_proto::Value::TensorType(tensor)) = input.r#type.as_ref().and_then(|ty| ty.value.as_ref())
    else {
        return Err(unsupported("is not a tensor"));
    };
    let data_type = DataType::try_from(tensor.elem_type()).unwrap_or(DataType::Undefined);
    let element = super::ops::element(data_type)
        .ok_or_else(|| unsupported(&format!("has element type {}", data_type.as_str_name())))?;
    let dims = match (shape_of(input), array) {
        (Some(shape), _) => shape
            .dim
            .iter()
            .enumerate()
            .map(|(axis, dim)| match &dim.value {
                Some(DimValue::DimValue(value)) if *value >= 0 => Dimension::Number(*value),
                // "?" is what some exporters call every length they do not know: no two of them need be the same.
                Some(DimValue::DimParam(text)) if !matches!(text.trim(), "" | "?") => Dimension::parse(text),
                _ => Dimension::Symbol(format!("{name}.{axis}")),
            })
            .collect(),
        (None, Some(array)) => array.iter().map(|&axis| Dimension::Number(axis as i64)).collect(),
        (None, None) => {
            return Err(unsupported("has no shape in the model; give an array for it")
                .note("pass --inputs with an array of this name"));
        }
    };
    Ok(Declared { name, element, dims })
}

/// What `--dim` says.
fn user_dims(declared: &[Declared<'_>], bindings: &Bindings, names: &mut Names) -> Result<(), Diagnostic> {
    let known: BTreeSet<&str> =
        declared.iter().flat_map(|input| &input.dims).flat_map(Dimension::symbols).collect();
    let unknown: Vec<String> = bindings
        .dims
        .keys()
        .filter(|name| !known.contains(name.as_str()))
        .map(|name| format!("`{name}`"))
        .collect();
    if !unknown.is_empty() {
        let known: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
        let known =
            if known.is_empty() { "it has none".to_owned() } else { format!("it has {}", known.join(", ")) };
        return Err(Diagnostic::new(
            Kind::Input,
            "unknown-dimension",
            format!("the model has no free dimension {}", unknown.join(", ")),
        )
        .note(known));
    }
    names.extend(bindings.dims.clone());
    Ok(())
}

/// What the shapes of the given arrays say.
fn arrays(declared: &[Declared<'_>], bindings: &Bindings, names: &mut Names) -> Result<(), Diagnostic> {
    for (name, _) in bindings.input_shapes.iter().filter(|(name, _)| name.as_str() != POSITION) {
        if !declared.iter().any(|input| input.name == name) {
            let inputs: Vec<String> = declared.iter().map(|input| format!("`{}`", input.name)).collect();
            return Err(bad_binding(format!("the model has no input `{name}`"))
                .note(format!("its inputs are {}", inputs.join(", "))));
        }
    }
    // Sums can be solved once their other names are known, so the arrays are gone through until nothing new is learnt.
    loop {
        let before = names.len();
        for input in declared {
            let Some(array) = bindings.input_shapes.get(input.name) else { continue };
            if array.len() != input.dims.len() {
                return Err(bad_binding(format!(
                    "the array for `{}` has shape {array:?}, the model's input has {} axes",
                    input.name,
                    input.dims.len()
                )));
            }
            for (dim, &length) in input.dims.iter().zip(array) {
                if let Some((name, value)) = dim.solve(names, length) {
                    names.insert(name, value);
                }
            }
        }
        if names.len() == before {
            return Ok(());
        }
    }
}

/// Gives a value to a dimension if it is free.
fn set(dim: Option<&Dimension>, value: usize, names: &mut Names) {
    if let Some((name, value)) = dim.and_then(|dim| dim.solve(names, value)) {
        names.insert(name, value);
    }
}

/// The input of token ids.
fn ids<'a, 'm>(declared: &'a [Declared<'m>], pairs: &[Pair]) -> Option<&'a Declared<'m>> {
    let plain = |input: &&Declared<'_>| {
        input.element == ElementType::I32
            && input.dims.len() == 2
            && !pairs.iter().any(|pair| pair.input == input.name)
    };
    let other = |name: &str| ["mask", "position", "type"].iter().any(|part| name.contains(part));
    declared
        .iter()
        .find(|input| plain(input) && input.name.contains("input_ids"))
        .or_else(|| declared.iter().find(|input| plain(input) && !other(input.name)))
}

fn encoder(declared: &[Declared<'_>], bindings: &Bindings, names: &mut Names) {
    let ids = ids(declared, &[]);
    set(ids.and_then(|ids| ids.dims.first()), bindings.batch, names);
    if let Some(context) = bindings.context {
        set(ids.and_then(|ids| ids.dims.get(1)), context, names);
    }
    for name in free(declared, names) {
        if name.to_lowercase().contains("batch") {
            names.insert(name, bindings.batch);
        } else if let Some(context) = bindings.context
            && name.to_lowercase().contains("seq")
        {
            names.insert(name, context);
        }
    }
}

fn decoder(
    model: &Model,
    declared: &[Declared<'_>],
    bindings: &Bindings,
    pairs: &[Pair],
    names: &mut Names,
    notes: &mut Vec<String>,
) -> Result<Decoder, Diagnostic> {
    let part = |word: &str| declared.iter().find(|input| input.name.contains(word) && input.dims.len() >= 2);
    let ids = ids(declared, pairs).ok_or_else(|| bad_binding("there is no input of token ids"))?;
    let (mask, positions) = (part("mask"), part("position"));
    let caches: Vec<&Dimension> = cache_axes(declared, pairs);
    set(ids.dims.first(), bindings.batch, names);
    set(ids.dims.get(1), 1, names);
    let value = |dim: Option<&Dimension>, names: &Names| {
        dim.and_then(|dim| dim.eval(names)).and_then(|value| usize::try_from(value).ok())
    };
    let sequence = value(ids.dims.get(1), names).unwrap_or(1);
    let total_dim = mask.and_then(|mask| mask.dims.last());
    let past = match (value(caches.first().copied(), names), value(total_dim, names)) {
        (Some(past), _) => past,
        (None, Some(total)) => total.checked_sub(sequence).ok_or_else(|| {
            bad_binding(format!(
                "the mask covers {total} tokens, less than the {sequence} of the step itself"
            ))
        })?,
        (None, None) => {
            let context = bindings.context.unwrap_or_else(|| {
                notes.push(format!(
                    "the cache holds {DEFAULT_CONTEXT} tokens, as --context does not say otherwise"
                ));
                DEFAULT_CONTEXT
            });
            context.checked_sub(sequence).ok_or_else(|| {
                bad_binding(format!("a context of {context} tokens does not hold the {sequence} of one step"))
            })?
        }
    };
    let context = past.checked_add(sequence).ok_or_else(|| bad_binding("the context is too long"))?;
    if let Some(asked) = bindings.context.filter(|&asked| asked != context) {
        notes.push(format!("the context is {context}, not {asked}: the model or the given lengths fix it"));
    }
    caches.iter().for_each(|dim| set(Some(dim), past, names));
    set(total_dim, context, names);
    set(positions.and_then(|positions| positions.dims.last()), sequence, names);
    by_name(declared, bindings.batch, [context, past, sequence], names);
    // What is still free in front of a cache is its batch, and behind its slots what a head takes.
    for pair in pairs.iter().filter(|pair| pair.axis != 0) {
        let Some(input) = declared.iter().find(|input| input.name == pair.input) else { continue };
        set(input.dims.first(), bindings.batch, names);
        let last =
            input.dims.last().filter(|dim| pair.axis + 1 < input.dims.len() && dim.eval(names).is_none());
        if let Some((last, width)) = last.zip(width::of_heads(model, pair)) {
            set(Some(last), width, names);
        }
    }
    let outputs = &model.graph.output;
    let logits = outputs
        .iter()
        .find(|output| output.name().contains("logits"))
        .or_else(|| outputs.iter().find(|output| !pairs.iter().any(|pair| pair.output == output.name())));
    Ok(Decoder {
        context,
        sequence,
        batch: value(ids.dims.first(), names).unwrap_or(bindings.batch),
        ids_input: ids.name.to_owned(),
        mask_input: mask.map(|mask| mask.name.to_owned()),
        position_ids_input: positions.map(|positions| positions.name.to_owned()),
        position_input: POSITION.to_owned(),
        logits_output: logits.map_or(String::new(), |output| output.name().to_owned()),
        generates: false,
    })
}

/// Lengths for what is still free, by what its name says; `lengths` are those of the cache, of its old tokens, and of the step.
fn by_name(declared: &[Declared<'_>], batch: usize, lengths: [usize; 3], names: &mut Names) {
    let [context, past, sequence] = lengths;
    for name in free(declared, names) {
        let lower = name.to_lowercase();
        let value = match () {
            () if lower.contains("batch") => batch,
            () if lower.contains("total") => context,
            () if lower.contains("past") => past,
            () if lower.contains("seq") => sequence,
            () => continue,
        };
        names.insert(name, value);
    }
}

/// The growing dimension of every cache.
fn cache_axes<'a>(declared: &'a [Declared<'_>], pairs: &[Pair]) -> Vec<&'a Dimension> {
    pairs
        .iter()
        .filter_map(|pair| declared.iter().find(|input| input.name == pair.input)?.dims.get(pair.axis))
        .collect()
}

/// Names without a value, sorted.
fn free(declared: &[Declared<'_>], names: &Names) -> Vec<String> {
    let symbols = declared.iter().flat_map(|input| &input.dims).flat_map(Dimension::symbols);
    let free: BTreeSet<&str> = symbols.filter(|name| !names.contains_key(*name)).collect();
    free.into_iter().map(str::to_owned).collect()
}

fn unbound(declared: &[Declared<'_>], free: &[String], decoder: bool) -> Diagnostic {
    let mut error = Diagnostic::new(
        Kind::Input,
        "unbound-dimension",
        format!("{} free dimension(s) of the model have no length", free.len()),
    );
    for name in free {
        let places: Vec<String> = declared
            .iter()
            .flat_map(|input| input.dims.iter().enumerate().map(move |(axis, dim)| (input.name, axis, dim)))
            .filter(|(_, _, dim)| dim.symbols().contains(&name.as_str()))
            .map(|(input, axis, _)| format!("axis {axis} of `{input}`"))
            .take(3)
            .collect();
        error = error.note(format!("`{name}`, {}: give --dim {name}=N", places.join(", ")));
    }
    let also = if decoder { "" } else { ", or --context N for the length of the sequence" };
    error.note(format!("or pass --inputs with arrays of the wanted shapes{also}"))
}

/// The inputs under an assignment of all names.
fn with(
    declared: &[Declared<'_>],
    names: &Names,
    pairs: &[Pair],
    decoder: Option<&Decoder>,
) -> Result<Bound, Diagnostic> {
    let mut inputs = Vec::new();
    for input in declared {
        let lengths: Option<Vec<usize>> =
            input.dims.iter().map(|dim| usize::try_from(dim.eval(names)?).ok()).collect();
        let lengths = lengths.filter(|lengths| shape::count(lengths).is_ok()).ok_or_else(|| {
            bad_binding(format!("the shape of input `{}` comes out negative or too large", input.name))
        })?;
        let ty = TensorType { element: input.element, shape: lengths };
        let state = match (pairs.iter().find(|pair| pair.input == input.name), decoder) {
            (Some(pair), Some(decoder)) => {
                let past = decoder.context - decoder.sequence;
                if ty.shape[pair.axis] != past {
                    return Err(bad_binding(format!(
                        "cache `{}` has {} old tokens where others or the mask have {past}",
                        input.name, ty.shape[pair.axis]
                    )));
                }
                Some(StateAxis { axis: pair.axis, capacity: decoder.context })
            }
            _ => None,
        };
        inputs.push(Input { name: input.name.to_owned(), ty, state, value: None });
    }
    Ok(Bound { inputs, decoder: decoder.cloned(), pairs: pairs.to_vec(), ..Bound::default() })
}

/// Checks the arrays against the shapes that came out.
fn agree(bound: &Bound, bindings: &Bindings) -> Result<(), Diagnostic> {
    let mut wrong = Vec::new();
    for input in &bound.inputs {
        if let Some(array) = bindings.input_shapes.get(&input.name)
            && *array != input.ty.shape
        {
            wrong.push(format!(
                "`{}`: the array has shape {array:?}, the model takes {:?}",
                input.name, input.ty.shape
            ));
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let mut error = bad_binding("arrays do not fit the model");
    error.notes = wrong;
    Err(error)
}

/// The same with one more old token; nothing where the model fixes the length, or where the given past is exactly what it sees.
fn longer(
    declared: &[Declared<'_>],
    bindings: &Bindings,
    pairs: &[Pair],
    roles: &Decoder,
    names: &Names,
) -> Result<Option<Bound>, Diagnostic> {
    let past = roles.context - roles.sequence;
    if past == 0 || pairs.iter().any(|pair| bindings.input_shapes.contains_key(&pair.input)) {
        return Ok(None);
    }
    let input = |name: &str| declared.iter().find(|input| input.name == name);
    let step: BTreeSet<&str> =
        input(&roles.ids_input).into_iter().flat_map(|ids| &ids.dims).flat_map(Dimension::symbols).collect();
    let caches = cache_axes(declared, pairs);
    let total = roles.mask_input.as_deref().and_then(input).and_then(|mask| mask.dims.last());
    let mut names = names.clone();
    // Everything that names the cache's length gets a new value; the rest stays.
    let growing = caches.iter().copied().chain(total).flat_map(Dimension::symbols);
    let mut growing: BTreeSet<String> =
        growing.filter(|name| !step.contains(name)).map(str::to_owned).collect();
    for (name, &value) in &names {
        if value == roles.context && name.to_lowercase().contains("total") {
            growing.insert(name.clone());
        }
    }
    names.retain(|name, _| !growing.contains(name));
    caches.iter().for_each(|dim| set(Some(dim), past + 1, &mut names));
    set(total, roles.context + 1, &mut names);
    for name in growing {
        names.entry(name).or_insert(roles.context + 1);
    }
    let longer = Decoder { context: roles.context + 1, ..roles.clone() };
    if caches.iter().any(|dim| dim.eval(&names) != i64::try_from(past + 1).ok()) {
        return Ok(None);
    }
    with(declared, &names, pairs, Some(&longer)).map(Some)
}
