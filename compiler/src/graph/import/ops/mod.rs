//! Translation of ONNX operators into the graph's closed set, by family.

mod index;
mod matrix;
mod normalize;
mod pointwise;
mod reduce;
mod shape;

use super::build::{Outcome, Value};
use super::call::Call;

/// Translates one node: values of its outputs, in order; fewer where the rest is not asked for.
pub(super) type Translate = fn(&mut Call<'_>) -> Outcome<Vec<Value>>;

/// The translator of an operator of the default domain.
pub(super) fn translator(operator: &str) -> Option<Translate> {
    let families: [fn(&str) -> Option<Translate>; 6] = [
        pointwise::translator,
        reduce::translator,
        shape::translator,
        index::translator,
        matrix::translator,
        normalize::translator,
    ];
    families.iter().find_map(|family| family(operator))
}

/// Whether an operator gives its first input on, up to its element type.
pub(super) fn is_pass_through(operator: &str) -> bool {
    matches!(operator, "Identity" | "Cast" | "CastLike" | "Dropout")
}

pub(super) use index::from_tensor;
pub(super) use pointwise::element;
