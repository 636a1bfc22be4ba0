//! Vectors of one row that follow each other, combined into one by chained ALUs; rows follow each other at an interval.

use isa::Chip;
use isa::instruction::VxmOp;

use crate::lower::compress::Item;
use crate::lower::flow::{Act, AluOperand, Flow, FlowQueue, StreamRef};
use crate::lower::pass::{Feed, Pass, emit};

/// What one ALU is to dispatch for each row, in `count` cycles from `cycle` on (of the first row).
#[derive(Clone, Copy, Debug)]
pub(super) struct Series {
    /// The operation.
    pub(super) op: VxmOp,
    /// First operand.
    pub(super) a: AluOperand,
    /// Second operand.
    pub(super) b: Option<AluOperand>,
    /// First dispatch.
    pub(super) cycle: i64,
    /// Dispatches.
    pub(super) count: i64,
}

/// A series that an ALU dispatches.
#[derive(Clone, Copy, Debug)]
struct Made {
    alu: usize,
    cycle: i64,
    count: i64,
}

/// Rows of vectors to combine.
pub(super) struct Fold<'a> {
    /// The machine.
    pub(super) chip: &'a Chip,
    /// What combines two vectors.
    pub(super) op: VxmOp,
    /// Rows.
    pub(super) rows: i64,
    /// Cycles from row to row, at least as many as any series of a row has.
    pub(super) interval: i64,
}

impl Fold<'_> {
    fn d(&self) -> i64 {
        i64::from(self.chip.latency.vxm)
    }

    /// Vectors as they come from a stream.
    pub(super) fn stream(&self, stream: AluOperand, cycle: i64, count: i64) -> Series {
        Series { op: VxmOp::Pass, a: stream, b: None, cycle, count }
    }

    /// Streams that bring a vector each in the same cycles: pairs, pairs of pairs, ….
    pub(super) fn across(&self, flow: &mut Flow, streams: &[AluOperand], cycle: i64, count: i64) -> Series {
        let pairs = streams.chunks(2).map(|pair| match *pair {
            [a, b] => Series { op: self.op, a, b: Some(b), cycle, count },
            _ => self.stream(pair[0], cycle, count),
        });
        let mut level: Vec<Series> = pairs.collect();
        while level.len() > 1 {
            let mut next: Vec<Series> = Vec::new();
            for pair in level.chunks(2) {
                next.push(match *pair {
                    [one, other] => self.join(flow, one, other),
                    _ => pair[0],
                });
            }
            level = next;
        }
        level[0]
    }

    /// Two series of equally many vectors, vector by vector.
    pub(super) fn join(&self, flow: &mut Flow, one: Series, other: Series) -> Series {
        let (one, other) = (self.make(flow, one), self.make(flow, other));
        self.combine(one, other)
    }

    /// All vectors of a series.
    pub(super) fn along(&self, flow: &mut Flow, series: Series) -> Series {
        if series.count == 1 {
            return series;
        }
        let made =
            if series.count > 2 * self.d() { self.accumulate(flow, series) } else { self.make(flow, series) };
        if made.count == 1 { self.pass(made) } else { self.tree(flow, made) }
    }

    /// Sends the one vector of each row to arrays, by an ALU for each.
    pub(super) fn put(&self, flow: &mut Flow, pass: &Pass<'_>, last: Series, out: &[Feed]) {
        for Feed { storage, vectors } in out {
            let (row, chunk) = vectors[0];
            let hemisphere = pass.arrays.storages.arrays[*storage].locate(row, chunk).region.hemisphere();
            let vectors: Vec<(usize, (u32, u32))> = vectors.iter().copied().enumerate().collect();
            let stream = pass.result(flow, *storage, hemisphere, &vectors, last.cycle, self.interval);
            let result = Some((StreamRef(stream, 0), pass.format(*storage)));
            let act = Act::Alu { op: last.op, a: last.a, b: last.b, result };
            self.alu(flow, act, &[last.cycle]);
        }
    }

    /// An ALU that keeps as many partial results as it has stages: each vector is added to what came out of it last.
    fn accumulate(&self, flow: &mut Flow, series: Series) -> Made {
        let d = self.d();
        let (x, cycle) = match series {
            Series { op: VxmOp::Pass, a: a @ AluOperand::Stream(..), .. } => (a, series.cycle),
            _ => (AluOperand::Alu(self.make(flow, series).alu, d as u8), series.cycle + d),
        };
        let alu = flow.alus.len();
        let end = cycle + (self.rows - 1) * self.interval + series.count;
        flow.alus.push((cycle, end));
        let first = Act::Alu { op: VxmOp::Pass, a: x, b: None, result: None };
        let own = Some(AluOperand::Alu(alu, d as u8));
        let more = Act::Alu { op: self.op, a: x, b: own, result: None };
        for row in 0..self.rows {
            let start = cycle + row * self.interval;
            for (act, cycles) in [(first, 0..d), (more, d..series.count)] {
                let items = cycles.map(|at| Item::once(start + at, 0)).collect();
                emit(flow, FlowQueue::Alu(alu), items, |_, _| act);
            }
        }
        Made { alu, cycle: cycle + series.count - d, count: d }
    }

    /// Pairs, pairs of pairs, …, then what is left by the binary digits of their number.
    fn tree(&self, flow: &mut Flow, of: Made) -> Series {
        let (d, n) = (self.d(), of.count);
        let mut levels = vec![of.alu];
        let mut size = 1;
        while 2 * size <= n {
            let level = levels.len() as i64;
            let below = levels[levels.len() - 1];
            let b = Some(AluOperand::Alu(below, (d + size) as u8));
            size *= 2;
            let first = of.cycle + size - 1 + level * d;
            let pair = Series { op: self.op, a: AluOperand::Alu(below, d as u8), b, cycle: first, count: 1 };
            if size == n {
                return pair;
            }
            let cycles: Vec<i64> = (0..n / size).map(|block| first + block * size).collect();
            levels.push(self.alu(flow, pair.act(), &cycles));
        }
        let of_level = |level: usize, done: i64| Made {
            alu: levels[level],
            cycle: of.cycle + done - 1 + level as i64 * d,
            count: 1,
        };
        let mut level = levels.len() - 1;
        let mut done = size;
        let mut last = of_level(level, done);
        loop {
            level -= 1;
            if n & (1 << level) == 0 {
                continue;
            }
            done += 1 << level;
            let sum = self.combine(last, of_level(level, done));
            if done == n {
                return sum;
            }
            last = self.make(flow, sum);
        }
    }

    fn combine(&self, one: Made, other: Made) -> Series {
        let cycle = one.cycle.max(other.cycle) + self.d();
        let operand = |of: Made| AluOperand::Alu(of.alu, (cycle - of.cycle) as u8);
        Series { op: self.op, a: operand(one), b: Some(operand(other)), cycle, count: one.count }
    }

    fn pass(&self, made: Made) -> Series {
        let d = self.d();
        let a = AluOperand::Alu(made.alu, d as u8);
        Series { op: VxmOp::Pass, a, b: None, cycle: made.cycle + d, count: made.count }
    }

    fn make(&self, flow: &mut Flow, series: Series) -> Made {
        let cycles: Vec<i64> = (0..series.count).map(|at| series.cycle + at).collect();
        Made { alu: self.alu(flow, series.act(), &cycles), cycle: series.cycle, count: series.count }
    }

    /// An ALU that dispatches in the given cycles of the first row, and so for every other.
    fn alu(&self, flow: &mut Flow, act: Act, cycles: &[i64]) -> usize {
        let index = flow.alus.len();
        let rows = (0..self.rows).map(|row| row * self.interval);
        let items = rows.flat_map(|row| cycles.iter().map(move |cycle| Item::once(cycle + row, 0)));
        let span = emit(flow, FlowQueue::Alu(index), items.collect(), |_, _| act);
        flow.alus.push(span);
        index
    }
}

impl Series {
    fn act(&self) -> Act {
        Act::Alu { op: self.op, a: self.a, b: self.b, result: None }
    }
}
