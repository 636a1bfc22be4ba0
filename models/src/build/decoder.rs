//! A decoder layer, for one new token of each sequence.

use compiler::graph::{BinaryOp, ElementType, NodeId};

use super::parts::{Made, Parts};
use crate::config::{Attention, Norms};
use crate::layers::{LayerAttention, LayerFeedForward, LayerShape};

/// `hidden` and `position` in, `output` out.
pub(super) fn layer(
    parts: &mut Parts<'_>,
    shape: LayerShape,
    (batch, context): (usize, usize),
) -> Result<(), String> {
    let hidden = parts.config.hidden;
    let x = parts.given("hidden", ElementType::F32, &[batch, 1, hidden]);
    let position = parts.given("position", ElementType::I32, &[1]);
    let around = parts.config.norms == Norms::BeforeAndAfter;
    let h = parts.norm(x, "input_layernorm")?;
    let mut h = attention(parts, h, position, (shape.attention, batch, context))?;
    if around {
        h = parts.norm(h, "post_attention_layernorm")?;
    }
    let x = parts.binary(BinaryOp::Add, x, h, "attention_residual")?;
    // With norms around, what is called the norm after attention is just that.
    let before = if around { "pre_feedforward_layernorm" } else { "post_attention_layernorm" };
    let h = parts.norm(x, before)?;
    let mut h = match shape.feed_forward {
        LayerFeedForward::Gated { inner } => parts.gated(h, "mlp", inner)?,
        LayerFeedForward::Experts(experts) => parts.experts(h, experts, batch)?,
        LayerFeedForward::Plain { .. } => return Err("a decoder's feed-forward has a gate".to_owned()),
    };
    if around {
        h = parts.norm(h, "post_feedforward_layernorm")?;
    }
    let mut x = parts.binary(BinaryOp::Add, x, h, "feed_forward_residual")?;
    if around {
        let scalar = parts.weight("layer_scalar", &[1]);
        x = parts.binary(BinaryOp::Mul, x, scalar, "layer_scalar")?;
    }
    parts.output("output", x);
    Ok(())
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
