//! A model file, decoded and imported with the dimensions of the command line.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Component, Path};

use bytes::Bytes;
use compiler::graph::Graph;
use compiler::graph::import::{Bindings, import};
use compiler::onnx;
use models::build;
use models::config::Run;

use crate::cli::{Experts, Subject};
use crate::failure::Failure;
use crate::files;
use crate::models::{built, shape};
use crate::npz::{self, Array};
use crate::step::Interface;

/// A model, ready to compile.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    /// What it computes.
    pub graph: Graph,
    /// What goes in and comes out.
    pub interface: Interface,
    /// Sequences at once.
    pub batch: u64,
    /// Slots of the KV cache, or the sequence length that was asked for.
    pub context: Option<u64>,
    /// The model's own properties.
    pub metadata: BTreeMap<String, String>,
    /// What the user may want to know.
    pub notes: Vec<String>,
}

/// Slots of a layer's caches, if nothing is said.
const CONTEXT: usize = 256;

/// One decoder layer of a published model, without weights: `NAME/layer` or `CONFIG.json/layer`, where there is no such file.
fn layer(subject: &Subject) -> Result<Option<Loaded>, Failure> {
    let name = subject.model.to_str().and_then(|path| path.strip_suffix("/layer"));
    let Some(name) = name.filter(|_| !subject.model.exists()) else { return Ok(None) };
    let Some(config) = shape(name)? else { return Ok(None) };
    let config = config.running(if subject.experts == Experts::Gather { Run::Gather } else { Run::Resident });
    let (batch, context) = (subject.batch.unwrap_or(1), subject.context.unwrap_or(CONTEXT));
    let graph = build::layer(&config, 0, batch, context).map_err(not_built)?;
    Ok(Some(Loaded {
        interface: Interface::of(&graph, None),
        batch: batch as u64,
        context: Some(context as u64),
        metadata: BTreeMap::new(),
        notes: Vec::new(),
        graph,
    }))
}

/// A published model that no graph is built for.
pub(crate) fn not_built(error: build::Error) -> Failure {
    match error {
        build::Error::NotBuilt(what) => {
            Failure::unsupported(format!("error[not-built]: {what}\n  built are those of {}", built()))
        }
        build::Error::Shape(what) => Failure::input(what),
    }
}

/// The arrays that a subject's model is given. One for an input that is fixed is passed over: it says no more than its value.
pub(crate) fn arrays(subject: &Subject) -> Result<Option<Vec<(String, Array)>>, Failure> {
    let Some(path) = &subject.inputs else { return Ok(None) };
    let mut arrays = npz::read(path, files::map(path)?)?;
    arrays.retain(|(name, _)| subject.fixed.iter().all(|(fixed, _)| fixed != name));
    Ok(Some(arrays))
}

/// Reads and decodes the model of a subject, up to the outputs that are asked for.
pub(crate) fn decoded(subject: &Subject) -> Result<onnx::Model, Failure> {
    let path = &subject.model;
    let bytes = files::map(path)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let side_files = RefCell::new(BTreeMap::new());
    let external = |location: &str, offset: u64, length: Option<u64>| {
        side_file(folder, &mut side_files.borrow_mut(), location, offset, length)
    };
    let mut model = onnx::decode(bytes, &external).map_err(|error| Failure::from(error).about(path))?;
    if !subject.outputs_at.is_empty() {
        onnx::cut(&mut model, &subject.outputs_at).map_err(|error| Failure::from(error).about(path))?;
    }
    Ok(model)
}

/// Reads, decodes and imports the model of a subject.
pub(crate) fn load(subject: &Subject, arrays: Option<&[(String, Array)]>) -> Result<Loaded, Failure> {
    if let Some(layer) = layer(subject)? {
        return Ok(layer);
    }
    let path = &subject.model;
    let model = decoded(subject)?;
    let metadata = model.metadata.clone();
    let imported =
        import(&model, &bindings(subject, arrays)).map_err(|error| Failure::from(error).about(path))?;
    if imported.graph.outputs.is_empty() && imported.graph.states.is_empty() {
        let text = "error[no-outputs]: the model has no outputs\n  export it with the tensors you want as its outputs";
        return Err(Failure::input(text).about(path));
    }
    let decoder = imported.decoder.as_ref();
    Ok(Loaded {
        interface: Interface::of(&imported.graph, imported.decoder.clone()),
        batch: decoder.map_or(subject.batch.unwrap_or(1), |decoder| decoder.batch) as u64,
        context: decoder.map(|decoder| decoder.context).or(subject.context).map(|context| context as u64),
        metadata,
        notes: imported.notes,
        graph: imported.graph,
    })
}

pub(crate) fn bindings(subject: &Subject, arrays: Option<&[(String, Array)]>) -> Bindings {
    let shapes = arrays.unwrap_or_default().iter().map(|(name, array)| (name.clone(), array.shape.clone()));
    Bindings {
        dims: subject.dims.iter().cloned().collect(),
        batch: subject.batch.unwrap_or(1),
        context: subject.context,
        input_shapes: shapes.collect(),
        values: subject.fixed.iter().cloned().collect(),
    }
}

/// A range of a side file, which must lie in the model's own folder; nothing where there is no such file.
fn side_file(
    folder: &Path,
    opened: &mut BTreeMap<String, Bytes>,
    location: &str,
    offset: u64,
    length: Option<u64>,
) -> Result<Option<Bytes>, String> {
    let inside =
        Path::new(location).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if location.is_empty() || !inside {
        return Err(format!("side file `{location}` is not in the model's folder"));
    }
    let path = folder.join(location);
    if !opened.contains_key(location) {
        if !path.exists() {
            return Ok(None);
        }
        let bytes = files::map(&path).map_err(|failure| failure.text)?;
        opened.insert(location.to_owned(), bytes);
    }
    let bytes = &opened[location];
    let start = usize::try_from(offset).ok().filter(|&start| start <= bytes.len());
    let end = start.and_then(|start| match length {
        Some(length) => start.checked_add(usize::try_from(length).ok()?).filter(|&end| end <= bytes.len()),
        None => Some(bytes.len()),
    });
    match (start, end) {
        (Some(start), Some(end)) => Ok(Some(bytes.slice(start..end))),
        _ => Err(format!(
            "side file `{location}` has {} bytes, the model refers to {} bytes from byte {offset} on; is it complete?",
            bytes.len(),
            length.map_or("the".to_owned(), |length| length.to_string())
        )),
    }
}
