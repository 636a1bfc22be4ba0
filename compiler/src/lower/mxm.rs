//! Matrix products: which rows of the left operand meet which matrix of the right one.
//!
//! out[j] = a[j] · b[j]ᵀ. Batches that share a b stream through the same installed tiles.

use isa::Chip;

use super::arrays::Arrays;
use super::context::Context;
use super::flow::Flow;
use super::needs::bad_node;
use super::storage::Storage;
use super::tiled::{Sharing, Tiled};
use crate::diagnostic::Diagnostic;
use crate::graph::NodeId;

/// Lowers a product.
pub fn product(
    context: &Context<'_>,
    arrays: &mut Arrays,
    chip: &Chip,
    node: NodeId,
) -> Result<Vec<Flow>, Diagnostic> {
    let data = &context.graph.nodes[node];
    let (a, b) = (data.inputs[0], data.inputs[1]);
    let shape = &data.ty.shape;
    let (m, n, k) = (shape[shape.len() - 2], shape[shape.len() - 1], context.columns(a));
    let choice = context.choice(context.base(b));
    let right = choice.map_or(context.base(b), |(table, _)| table);
    let forms = (
        arrays.forms[right].tiles.or(arrays.forms[right].striped),
        arrays.forms[context.base(a)].halves,
        arrays.forms[node].plain,
    );
    let (Some(weights), Some(left), Some(out)) = forms else {
        return Err(bad_node(format!("{node} ({}): an operand has no array", data.origin)));
    };
    if n == 1 {
        return Err(bad_node(format!(
            "{node} ({}): a product with one column is not supported yet",
            data.origin
        )));
    }
    let loaded = arrays.storages.arrays[weights].loaded();
    if let Some(problem) = chip.mxm.refuses(&chip.name, loaded) {
        return Err(bad_node(format!("{node} ({}): {problem}", data.origin)));
    }
    let with_last = |rows: usize, last: usize| {
        let mut target = shape[..shape.len() - 2].to_vec();
        target.extend([rows, last]);
        target
    };
    let a_rows: Vec<u32> = context
        .rows_for(a, &with_last(m, k))
        .into_iter()
        .map(|row| arrays.storages.arrays[left[0]].row(row))
        .collect();
    let b_rows = context.rows_for(b, &with_last(n, k));
    let array = &arrays.storages.arrays[weights];
    if Storage::rows_of(array.few, n as u32, chip) != array.rows
        || b_rows.chunks(n).any(|rows| {
            !(rows[0] as usize).is_multiple_of(n) || rows[n - 1] as usize != rows[0] as usize + n - 1
        })
    {
        return Err(bad_node(format!(
            "{node} ({}): the right operand is not made of whole matrices",
            data.origin
        )));
    }
    let index_rows = choice.map(|(_, index)| context.view(index).rows);
    let mut sharing = Sharing::new();
    for (batch, rows) in b_rows.chunks(n).enumerate() {
        let activations = (batch * m..(batch + 1) * m).map(|row| (a_rows[row], row as u32));
        let matrix = rows[0] / n as u32;
        let matrix = index_rows.as_ref().map_or(matrix, |rows| rows[matrix as usize]);
        sharing.entry(matrix).or_default().extend(activations);
    }
    let index = match choice {
        None => None,
        Some((_, index)) => {
            let [first, second] = arrays.forms[context.base(index)].indices;
            let Some(first) = first else {
                return Err(bad_node(format!("{node} ({}): the indices have no array", data.origin)));
            };
            Some([first, second.unwrap_or(first)])
        }
    };
    Tiled { chip, node, weights, left, index, out, taps: None }.flows(arrays, &sharing)
}
