//! Norms over the last axis.

use compiler::graph::{BinaryOp, NodeId, ReduceOp, UnaryOp};

use super::parts::{Made, Parts};
use crate::config::Norms;

impl Parts<'_> {
    /// x / sqrt(mean(x²) + epsilon) · weight.
    pub(super) fn norm(&mut self, x: NodeId, name: &str) -> Made {
        self.weighted_norm(x, self.config.epsilon, name)
    }

    /// As [`Parts::norm`], with another epsilon.
    pub(super) fn weighted_norm(&mut self, x: NodeId, epsilon: f32, name: &str) -> Made {
        let x = self.bare_norm(x, epsilon, name)?;
        let length = self.graph.shape(x).last().copied().unwrap_or(1);
        let weight = self.weight(&format!("{name}.weight"), &[length]);
        let weight = match self.config.norms {
            Norms::BeforeLessOne => {
                let one = self.real(1.0);
                self.binary(BinaryOp::Add, weight, one, name)?
            }
            Norms::Before | Norms::BeforeAndAfter | Norms::After => weight,
        };
        self.binary(BinaryOp::Mul, x, weight, name)
    }

    /// x / sqrt(mean(x²) + epsilon).
    pub(super) fn bare_norm(&mut self, x: NodeId, epsilon: f32, name: &str) -> Made {
        let square = self.binary(BinaryOp::Mul, x, x, name)?;
        let mean = self.mean(square, name)?;
        let epsilon = self.real(epsilon);
        let mean = self.binary(BinaryOp::Add, mean, epsilon, name)?;
        let root = self.unary(UnaryOp::Rsqrt, mean, name)?;
        self.binary(BinaryOp::Mul, x, root, name)
    }

    /// LayerNorm: what x differs from its mean by, over the root of the mean of its squares, times a weight, plus a bias.
    pub(super) fn layer_norm(&mut self, x: NodeId, name: &str) -> Made {
        let mean = self.mean(x, name)?;
        let x = self.binary(BinaryOp::Sub, x, mean, name)?;
        let x = self.weighted_norm(x, self.config.epsilon, name)?;
        let length = self.graph.shape(x).last().copied().unwrap_or(1);
        let bias = self.weight(&format!("{name}.bias"), &[length]);
        self.binary(BinaryOp::Add, x, bias, name)
    }

    fn mean(&mut self, x: NodeId, name: &str) -> Made {
        let shape = self.graph.shape(x);
        let (axis, length) = (shape.len().saturating_sub(1), shape.last().copied().unwrap_or(1));
        let sum = self.reduce(ReduceOp::Sum, x, axis, name)?;
        self.scaled(sum, 1.0 / length as f32, name)
    }
}
