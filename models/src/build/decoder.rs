//! A decoder layer, for one new token of each sequence.

use compiler::graph::{BinaryOp, ElementType, NodeId};

use super::parts::{Made, Parts};
use crate::config::{Attention, Norms};
use crate::layers::{LayerAttention, LayerFeedForward, LayerShape};

/// The halves of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Halves {
    pub(super) attention: bool,
    pub(super) feed_forward: bool,
}

/// `hidden` in, and `position` where there is attention; `output` out.
pub(super) fn layer(
    parts: &mut Parts<'_>,
    halves: Halves,
    shape: LayerShape,
    (batch, context): (usize, usize),
) -> Result<(), String> {
    let hidden = parts.config.hidden;
    let mut x = parts.given("hidden", ElementType::F32, &[batch, 1, hidden]);
    if halves.attention {
        let position = parts.given("position", ElementType::I32, &[1]);
        x = with_attention(parts, x, position, (shape.attention, batch, context))?;
    }
    if halves.feed_forward {
        x = with_feed_forward(parts, x, shape.feed_forward)?;
    }
    parts.output("output", x);
    Ok(())
}

fn with_attention(
    parts: &mut Parts<'_>,
    x: NodeId,
    position: NodeId,
    shape: (LayerAttention, usize, usize),
) -> Made {
    let h = parts.norm(x, "input_layernorm")?;
    let mut h = attention(parts, h, position, shape)?;
    if parts.config.norms == Norms::BeforeAndAfter {
        h = parts.norm(h, "post_attention_layernorm")?;
    }
    parts.binary(BinaryOp::Add, x, h, "attention_residual")
}

fn with_feed_forward(parts: &mut Parts<'_>, x: NodeId, shape: LayerFeedForward) -> Made {
    let around = parts.config.norms == Norms::BeforeAndAfter;
    // With norms around, what is called the norm after attention is just that.
    let before = if around { "pre_feedforward_layernorm" } else { "post_attention_layernorm" };
    let h = parts.norm(x, before)?;
    let h = match shape {
        LayerFeedForward::Gated { inner } => parts.gated(h, "mlp", inner)?,
        LayerFeedForward::Experts(experts) => parts.experts(h, experts)?,
        LayerFeedForward::Plain { .. } => return Err("a decoder's feed-forward has a gate".to_owned()),
    };
    if !around {
        return parts.binary(BinaryOp::Add, x, h, "feed_forward_residual");
    }
    let h = parts.norm(h, "post_feedforward_layernorm")?;
    let x = parts.binary(BinaryOp::Add, x, h, "feed_forward_residual")?;
    let scalar = parts.weight("layer_scalar", &[1]);
    parts.binary(BinaryOp::Mul, x, scalar, "layer_scalar")
}

fn attention(
    parts: &mut Parts<'_>,
    h: NodeId,
    position: NodeId,
    (shape, batch, context): (LayerAttention, usize, usize),
) -> Made {
    match (shape, parts.config.attention) {
        (LayerAttention::Latent(latent), _) => parts.latent(h, position, latent, (batch, context)),
        (LayerAttention::Grouped(heads), Attention::Grouped(grouped)) => {
            parts.grouped(h, position, (grouped, heads), (batch, context))
        }
        (LayerAttention::Grouped(_), Attention::Latent(_)) => Err("no heads for a layer".to_owned()),
    }
}
