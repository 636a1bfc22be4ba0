//! The C2C links of one hemisphere. A program of one chip has none that lead anywhere.

use crate::fault::{Dispatch, FaultKind, Raised};

/// Refuses any use of a link: nothing is at its other end.
pub(crate) fn dispatch(by: &Dispatch) -> Raised {
    by.fault(FaultKind::LinkNotConnected, "no chip is at the other end")
}
