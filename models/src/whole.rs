//! A whole model in pieces: an embedding, its layers, a head.

use compiler::graph::Graph;
use compiler::partition::groups::HANDED;
use compiler::system::{Model, Piece};

use crate::Config;
use crate::build::{self, Error};
use crate::config::Kind;
use crate::layers::{LayerAttention, LayerFeedForward, LayerHeads, LayerShape};

/// All pieces of a model for one step of a batch over caches of so many tokens. A decoder's layers are two pieces each, attention and feed-forward;
/// equal ones are one piece.
///
/// # Errors
/// As [`build::layer`].
pub fn model(config: &Config, batch: usize, context: usize) -> Result<Model, Error> {
    let embedding = handing_on(build::embedding(config, batch, context)?);
    let mut made =
        Pieces { pieces: vec![Piece { name: "embedding".to_owned(), graph: embedding }], order: vec![0] };
    let (mut attentions, mut feed_forwards, mut layers) = (Vec::new(), Vec::new(), Vec::new());
    for index in 0..config.layers {
        let shape = config.layer_shape(index);
        if config.kind != Kind::Decoder {
            made.add(&mut layers, shape, "layer", || build::layer(config, index, batch, context))?;
            continue;
        }
        let LayerShape { attention, feed_forward } = shape;
        let built = || build::attention(config, attention, batch, context);
        made.add(&mut attentions, attention, &called(attention), built)?;
        let name = match feed_forward {
            LayerFeedForward::Experts(_) => "experts",
            LayerFeedForward::Gated { .. } | LayerFeedForward::Plain { .. } => "feed-forward",
        };
        let built = || build::feed_forward(config, feed_forward, batch);
        made.add(&mut feed_forwards, feed_forward, name, built)?;
    }
    let Pieces { mut pieces, mut order } = made;
    order.push(pieces.len());
    pieces.push(Piece { name: "head".to_owned(), graph: build::head(config, batch)? });
    Ok(Model { name: config.name.to_string(), pieces, order })
}

/// The model as it is where the host looks up the embedding: the first layer's `hidden` is an input.
pub fn without_embedding(mut model: Model) -> Model {
    let embedding = model.order.remove(0);
    model.pieces.remove(embedding);
    model.order.iter_mut().filter(|piece| **piece > embedding).for_each(|piece| *piece -= 1);
    model
}

/// What kind of attention it is, in a word or two.
fn called(attention: LayerAttention) -> String {
    match attention {
        LayerAttention::Grouped(LayerHeads { window: Some(window), .. }) => format!("attention of {window}"),
        LayerAttention::Grouped(_) => "attention".to_owned(),
        LayerAttention::Latent(_) => "latent attention".to_owned(),
    }
}

/// Pieces so far.
struct Pieces {
    pieces: Vec<Piece>,
    order: Vec<usize>,
}

impl Pieces {
    /// Adds a piece to the order; it is made if none of its shape is known.
    fn add<S: PartialEq>(
        &mut self,
        known: &mut Vec<(S, usize)>,
        shape: S,
        name: &str,
        make: impl FnOnce() -> Result<Graph, Error>,
    ) -> Result<(), Error> {
        let number = match known.iter().find(|(other, _)| *other == shape) {
            Some((_, number)) => *number,
            None => {
                let alike = known.iter().filter(|(_, at)| self.pieces[*at].name.starts_with(name)).count();
                let name = if alike == 0 { name.to_owned() } else { format!("{name} ({})", alike + 1) };
                self.pieces.push(Piece { name, graph: make()? });
                known.push((shape, self.pieces.len() - 1));
                self.pieces.len() - 1
            }
        };
        self.order.push(number);
        Ok(())
    }
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
