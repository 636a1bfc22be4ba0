//! A schedule as text: each flow with its start, and the streams, ALUs and queues that it got.

use std::fmt;

use super::Schedule;
use crate::graph::Graph;
use crate::lower::flow::Kernels;

/// A schedule beside what it is a schedule of.
pub(crate) struct Listing<'a> {
    /// Names of nodes.
    pub(crate) graph: &'a Graph,
    /// What was scheduled.
    pub(crate) kernels: &'a Kernels,
    /// Where and when.
    pub(crate) schedule: &'a Schedule,
}

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (flow, fit)) in self.kernels.flows.iter().zip(&self.schedule.fits).enumerate() {
            write!(f, "@{:<8} flow {index} {} {}", fit.start, flow.name, flow.node)?;
            for (needed, first) in flow.streams.iter().zip(&fit.streams) {
                let direction = needed.direction;
                write!(f, " s{first}{direction}")?;
                if needed.width > 1 {
                    write!(f, "+{}", needed.width - 1)?;
                }
            }
            for alu in &fit.alus {
                write!(f, " vxm.alu{alu}")?;
            }
            for ((hemisphere, ..), queue) in flow.sxm.iter().zip(&fit.sxm) {
                write!(f, " {hemisphere}.sxm{queue}")?;
            }
            writeln!(f, " ; {}", self.graph.nodes[flow.node].origin)?;
        }
        Ok(())
    }
}
