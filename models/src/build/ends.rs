//! What stands before the first layer and after the last.

use compiler::graph::eval::Tensor;
use compiler::graph::{BinaryOp, ElementType, Op, UnaryOp};

use super::parts::Parts;
use crate::config::Positions;

/// The embedding's matrix, which a head may share.
const TOKENS: &str = "model.embed_tokens.weight";

/// A decoder's embedding: one token of each sequence.
pub(super) fn embedding(parts: &mut Parts<'_>, batch: usize) -> Result<(), String> {
    let (vocabulary, hidden) = (parts.config.vocabulary, parts.config.hidden);
    let ids = parts.given("input_ids", ElementType::I32, &[batch, 1]);
    let table = parts.weight(TOKENS, &[vocabulary, hidden]);
    let mut x = parts.push(Op::Gather { axis: 0 }, &[table, ids], "model.embed_tokens")?;
    if parts.config.scaled_embedding {
        x = parts.scaled(x, (hidden as f32).sqrt(), "model.embed_tokens")?;
    }
    parts.output("hidden", x);
    Ok(())
}

/// A decoder's last norm and its head.
pub(super) fn head(parts: &mut Parts<'_>, batch: usize) -> Result<(), String> {
    let (vocabulary, hidden) = (parts.config.vocabulary, parts.config.hidden);
    let x = parts.given("hidden", ElementType::F32, &[batch, 1, hidden]);
    let x = parts.norm(x, "model.norm")?;
    let mut logits = match parts.config.tied {
        true => {
            let table = parts.weight(TOKENS, &[vocabulary, hidden]);
            parts.push(Op::MatMul { transpose_b: true }, &[x, table], "lm_head")?
        }
        false => parts.linear(x, "lm_head", vocabulary)?,
    };
    if let Some(cap) = parts.config.softcap {
        logits = parts.scaled(logits, cap.recip(), "softcap")?;
        logits = parts.unary(UnaryOp::Tanh, logits, "softcap")?;
        logits = parts.scaled(logits, cap, "softcap")?;
    }
    parts.output("logits", logits);
    Ok(())
}

/// An encoder's embedding: tokens, their places, and the texts that they belong to.
pub(super) fn encoder_embedding(
    parts: &mut Parts<'_>,
    token_types: usize,
    (batch, tokens): (usize, usize),
) -> Result<(), String> {
    let (vocabulary, hidden) = (parts.config.vocabulary, parts.config.hidden);
    let places = match parts.config.positions {
        Positions::Learned { places } => places,
        Positions::Rotary { .. } => return Err("an encoder's places are learned".to_owned()),
    };
    if tokens > places {
        return Err(format!("{} has {places} places, and not {tokens}", parts.config.name));
    }
    let name = "embeddings";
    let ids = parts.given("input_ids", ElementType::I32, &[batch, tokens]);
    let types = parts.given("token_type_ids", ElementType::I32, &[batch, tokens]);
    let words = parts.weight("embeddings.word_embeddings.weight", &[vocabulary, hidden]);
    let texts = parts.weight("embeddings.token_type_embeddings.weight", &[token_types, hidden]);
    let table = parts.weight("embeddings.position_embeddings.weight", &[places, hidden]);
    let order: Vec<i32> = (0..tokens as i32).collect();
    let order = parts.constant(Tensor::i32([tokens], order), "places");
    let [words, texts, table] = [(words, ids), (texts, types), (table, order)]
        .map(|(table, rows)| parts.push(Op::Gather { axis: 0 }, &[table, rows], name));
    let x = parts.binary(BinaryOp::Add, words?, texts?, name)?;
    let x = parts.binary(BinaryOp::Add, x, table?, name)?;
    let x = parts.layer_norm(x, "embeddings.LayerNorm")?;
    parts.output("hidden", x);
    Ok(())
}

/// An encoder's pooling product, which takes the first token.
pub(super) fn pooling(parts: &mut Parts<'_>, batch: usize) -> Result<(), String> {
    let hidden = parts.config.hidden;
    let x = parts.given("hidden", ElementType::F32, &[batch, 1, hidden]);
    let x = parts.affine(x, "pooler.dense", hidden, true)?;
    let x = parts.unary(UnaryOp::Tanh, x, "pooler")?;
    parts.output("pooled", x);
    Ok(())
}
