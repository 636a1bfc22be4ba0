//! An encoder layer as BERT's, for a whole text: every token sees every other, and nothing is kept.

use compiler::graph::{BinaryOp, ElementType, NodeId, Op};

use super::parts::{Made, Parts};
use crate::layers::{LayerAttention, LayerFeedForward, LayerHeads, LayerShape};

/// `hidden` in, `output` out.
pub(super) fn layer(
    parts: &mut Parts<'_>,
    shape: LayerShape,
    (batch, tokens): (usize, usize),
) -> Result<(), String> {
    let hidden = parts.config.hidden;
    let (LayerAttention::Grouped(heads), LayerFeedForward::Plain { inner }) =
        (shape.attention, shape.feed_forward)
    else {
        return Err("an encoder's layer is as BERT's".to_owned());
    };
    let x = parts.given("hidden", ElementType::F32, &[batch, tokens, hidden]);
    let h = attention(parts, x, heads, (batch, tokens))?;
    let x = parts.binary(BinaryOp::Add, h, x, "attention_residual")?;
    let x = parts.layer_norm(x, "attention.output.LayerNorm")?;
    let h = parts.affine(x, "intermediate.dense", inner, true)?;
    let h = parts.activation(h, "intermediate.act")?;
    let h = parts.affine(h, "output.dense", hidden, true)?;
    let x = parts.binary(BinaryOp::Add, h, x, "feed_forward_residual")?;
    let x = parts.layer_norm(x, "output.LayerNorm")?;
    parts.output("output", x);
    Ok(())
}

fn attention(
    parts: &mut Parts<'_>,
    x: NodeId,
    LayerHeads { heads, head_dim, .. }: LayerHeads,
    (batch, tokens): (usize, usize),
) -> Made {
    let mut by_heads = |part: &str| {
        let name = format!("attention.self.{part}");
        let made = parts.affine(x, &name, heads * head_dim, true)?;
        let made = parts.reshape(made, &[batch, tokens, heads, head_dim], &name)?;
        parts.transpose(made, &[0, 2, 1, 3], &name)
    };
    let (q, k, v) = (by_heads("query")?, by_heads("key")?, by_heads("value")?);
    let scores = parts.push(Op::MatMul { transpose_b: true }, &[q, k], "attention.self.scores")?;
    let scores = parts.scaled(scores, (head_dim as f32).sqrt().recip(), "attention.self.scale")?;
    let shares = parts.push(Op::Softmax { axis: 3 }, &[scores], "attention.self.softmax")?;
    let mixed = parts.matmul(shares, v, "attention.self.mixed")?;
    let mixed = parts.transpose(mixed, &[0, 2, 1, 3], "attention.self.joined")?;
    let mixed = parts.reshape(mixed, &[batch, tokens, heads * head_dim], "attention.self.joined")?;
    parts.affine(mixed, "attention.output.dense", parts.config.hidden, true)
}
