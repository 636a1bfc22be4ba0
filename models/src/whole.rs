//! A whole model in pieces: an embedding, its layers, a head.

use compiler::graph::Graph;
use compiler::partition::groups::HANDED;
use compiler::system::{Model, Piece};

use crate::Config;
use crate::build::{self, Error};

/// All pieces of a model for one step of a batch over caches of so many tokens. Equal layers are one piece.
///
/// # Errors
/// As [`build::layer`].
pub fn model(config: &Config, batch: usize, context: usize) -> Result<Model, Error> {
    let embedding = handing_on(build::embedding(config, batch, context)?);
    let mut pieces = vec![Piece { name: "embedding".to_owned(), graph: embedding }];
    let kinds = config.distinct_layers();
    for (number, kind) in kinds.iter().enumerate() {
        let name = if kinds.len() == 1 { "layer".to_owned() } else { format!("layer kind {}", number + 1) };
        pieces.push(Piece { name, graph: build::layer(config, kind.first, batch, context)? });
    }
    let of_layer = |index: usize| {
        let shape = config.layer_shape(index);
        kinds.iter().position(|kind| kind.shape == shape).map_or(1, |kind| kind + 1)
    };
    let layers = (0..config.layers).map(of_layer);
    let order = std::iter::once(0).chain(layers).chain(std::iter::once(pieces.len())).collect();
    pieces.push(Piece { name: "head".to_owned(), graph: build::head(config, batch)? });
    Ok(Model { name: config.name.to_string(), pieces, order })
}

/// What an embedding puts out is handed on.
fn handing_on(mut graph: Graph) -> Graph {
    for (name, _) in &mut graph.outputs {
        if name == HANDED.1 {
            HANDED.0.clone_into(name);
        }
    }
    graph
}
