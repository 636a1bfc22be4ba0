//! Shares of small graphs, and their values beside those of the whole.

use super::*;
use crate::graph::eval::{Tensor, evaluate, evaluate_group};
use crate::graph::text;
