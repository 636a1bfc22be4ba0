//! Random programs for property tests: any values that the types can hold, sensible or not.

use bytes::Bytes;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::encode::ELEMENTS;
use crate::instruction::{AccMode, Operand, Window};
use crate::place::MxmPort;
use crate::{
    C2c, ChipProgram, Direction, Format, Hemisphere, Icu, Instruction, Mem, Mxm, Page, Placement, Port,
    PortKind, Program, Queue, Repeat, Run, Segment, SegmentData, Stream, Sxm, Vxm, instruction::VxmOp,
};

fn hemisphere() -> impl Strategy<Value = Hemisphere> + Clone {
    select(&Hemisphere::BOTH)
}

fn stream() -> impl Strategy<Value = Stream> + Clone {
    (any::<u8>(), any::<bool>()).prop_map(|(number, east)| Stream {
        number,
        direction: if east { Direction::East } else { Direction::West },
    })
}

fn format() -> impl Strategy<Value = Format> + Clone {
    select(&Format::ALL)
}

fn queue() -> impl Strategy<Value = Queue> {
    prop_oneof![
        (hemisphere(), any::<u16>()).prop_map(|(h, i)| Queue::MemRead(h, i)),
        (hemisphere(), any::<u16>()).prop_map(|(h, i)| Queue::MemWrite(h, i)),
        any::<u8>().prop_map(Queue::Vxm),
        (hemisphere(), any::<u8>(), select(&MxmPort::ALL)).prop_map(|(h, p, q)| Queue::Mxm(h, p, q)),
        (hemisphere(), any::<u8>()).prop_map(|(h, i)| Queue::Sxm(h, i)),
        (hemisphere(), any::<u8>()).prop_map(|(h, i)| Queue::C2c(h, i)),
    ]
}

fn window() -> impl Strategy<Value = Window> {
    any::<(i32, u32, u32, u32)>().prop_map(|(first, count, base, stride)| Window {
        first,
        count,
        base,
        stride,
    })
}

fn operand() -> impl Strategy<Value = Operand> + Clone {
    prop_oneof![
        (stream(), format()).prop_map(|(stream, format)| Operand::Stream(stream, format)),
        any::<(u8, u8)>().prop_map(|(alu, delay)| Operand::Alu { alu, delay }),
        any::<u32>().prop_map(Operand::Immediate),
    ]
}

fn mem() -> impl Strategy<Value = Mem> {
    prop_oneof![
        (any::<u32>(), stream()).prop_map(|(address, stream)| Mem::Read { address, stream }),
        (any::<u32>(), stream()).prop_map(|(address, stream)| Mem::Write { address, stream }),
        (window(), stream(), stream()).prop_map(|(window, index, stream)| Mem::Gather {
            window,
            index,
            stream
        }),
        (window(), stream(), stream()).prop_map(|(window, index, stream)| Mem::Scatter {
            window,
            index,
            stream
        }),
    ]
}

fn mxm() -> impl Strategy<Value = Mxm> {
    prop_oneof![
        (stream(), any::<u8>(), any::<u16>(), any::<u16>(), format()).prop_map(
            |(stream, count, row, row_stride, format)| Mxm::Lw { stream, count, row, row_stride, format }
        ),
        Just(Mxm::Iw),
        (stream(), format()).prop_map(|(stream, format)| Mxm::Abc { stream, format }),
        (any::<u16>(), select(&[AccMode::Start, AccMode::Add]), option::of(stream()))
            .prop_map(|(address, mode, emit)| Mxm::Acc { address, mode, emit }),
    ]
}

fn sxm() -> impl Strategy<Value = Sxm> {
    let common = || (any::<u16>(), any::<u8>(), stream(), stream());
    prop_oneof![
        (any::<i16>(), any::<u8>(), stream(), stream()).prop_map(|(lanes, streams, from, to)| Sxm::Shift {
            lanes,
            streams,
            from,
            to
        }),
        (common(), stream()).prop_map(|((map, streams, from, to), other)| Sxm::Select {
            map,
            streams,
            from,
            other,
            to
        }),
        common().prop_map(|(map, streams, from, to)| Sxm::Permute { map, streams, from, to }),
        common().prop_map(|(map, streams, from, to)| Sxm::Distribute { map, streams, from, to }),
        (any::<u8>(), stream(), stream()).prop_map(|(n, from, to)| Sxm::Rotate { n, from, to }),
        (stream(), stream()).prop_map(|(from, to)| Sxm::Transpose { from, to }),
    ]
}

fn instruction() -> impl Strategy<Value = Instruction> {
    let icu = prop_oneof![
        Just(Icu::Sync),
        Just(Icu::Notify),
        stream().prop_map(|stream| Icu::Ifetch { stream }),
        any::<u8>().prop_map(|superlanes| Icu::Config { superlanes }),
    ];
    let vxm = (select(&VxmOp::ALL), operand(), option::of(operand()), option::of((stream(), format())))
        .prop_map(|(op, a, b, result)| Vxm { op, a, b, result });
    let c2c = prop_oneof![
        stream().prop_map(|stream| C2c::Send { stream }),
        stream().prop_map(|stream| C2c::Receive { stream }),
        Just(C2c::Deskew),
    ];
    prop_oneof![
        icu.prop_map(Instruction::Icu),
        mem().prop_map(Instruction::Mem),
        vxm.prop_map(Instruction::Vxm),
        mxm().prop_map(Instruction::Mxm),
        sxm().prop_map(Instruction::Sxm),
        c2c.prop_map(Instruction::C2c),
    ]
}

fn run() -> impl Strategy<Value = Run> {
    let repeat = any::<(u32, u32, i32, i32)>().prop_map(|(count, interval, step, window_step)| Repeat {
        count,
        interval,
        step,
        window_step,
    });
    (any::<u64>(), instruction(), vec(repeat, 0..4), any::<u32>())
        .prop_map(|(cycle, instruction, repeats, node)| Run { cycle, instruction, repeats, node })
}

/// A few runs, and the same again.
pub(crate) fn runs() -> impl Strategy<Value = Vec<Run>> {
    (vec(run(), 1..4), 0u64..4, any::<u64>(), select(&[0i64, 1, -3, 70000])).prop_map(
        |(body, times, interval, step)| {
            let again = |run: &Run, n: u64| Run {
                cycle: run.cycle.wrapping_add(n.wrapping_mul(interval)),
                instruction: run.instruction.moved(step * n as i64).unwrap_or(run.instruction),
                ..run.clone()
            };
            (0..=times).flat_map(|n| body.iter().map(move |run| again(run, n)).collect::<Vec<_>>()).collect()
        },
    )
}

fn page() -> impl Strategy<Value = Page> {
    (hemisphere(), any::<(u16, u32)>()).prop_map(|(hemisphere, (slice, address))| Page {
        hemisphere,
        slice,
        address,
    })
}

fn segment() -> impl Strategy<Value = Segment> {
    let data = prop_oneof![
        vec(any::<u8>(), 0..100).prop_map(|bytes| SegmentData::Bytes(Bytes::from(bytes))),
        any::<u8>().prop_map(SegmentData::Fill),
        Just(SegmentData::Absent),
        any::<[u8; 32]>().prop_map(SegmentData::Digest),
    ];
    (hemisphere(), any::<(u16, u32, u32, u32)>(), data).prop_map(
        |(hemisphere, (slice, address, words, node), data)| Segment {
            hemisphere,
            slice,
            address,
            words,
            data,
            node,
        },
    )
}

fn port() -> impl Strategy<Value = Port> {
    let placement =
        (any::<(u32, u32, u32, bool, u32, u32, u32)>(), vec(vec((hemisphere(), any::<u16>()), 0..5), 0..3))
            .prop_map(
                |((batches, rows, columns, broadcast, tile_rows, rows_per_stripe, address), stripes)| {
                    Placement {
                        batches,
                        rows,
                        columns,
                        broadcast,
                        tile_rows,
                        rows_per_stripe,
                        address,
                        stripes,
                    }
                },
            );
    let kind = select(&[PortKind::Input, PortKind::Output, PortKind::State]);
    let element = select(&ELEMENTS);
    (any::<String>(), kind, element, vec(any::<u32>(), 0..4), vec(placement, 0..3))
        .prop_map(|(name, kind, element, shape, parts)| Port { name, kind, element, shape, parts })
}

fn map() -> impl Strategy<Value = Vec<u16>> {
    let piece = prop_oneof![
        any::<u16>().prop_map(|lane| vec![lane]),
        (any::<u16>(), 0u16..9).prop_map(|(lane, count)| (lane..lane.saturating_add(count)).collect()),
        (any::<u16>(), 0usize..9).prop_map(|(lane, count)| vec![lane; count]),
        (0usize..9).prop_map(|count| vec![u16::MAX; count]),
    ];
    vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

fn chip() -> impl Strategy<Value = ChipProgram> {
    let queues = btree_map(queue(), vec(runs(), 0..6).prop_map(|runs| runs.concat()), 0..6);
    let text = btree_map(queue(), vec(page(), 0..4), 0..3);
    (queues, vec(map(), 0..3), vec(segment(), 0..4), vec(port(), 0..3), text)
        .prop_map(|(queues, maps, memory, ports, text)| ChipProgram { queues, maps, memory, ports, text })
}

/// Programs of up to three chips; some chips stand twice.
pub(crate) fn program() -> impl Strategy<Value = Program> {
    (any::<String>(), vec(any::<String>(), 0..4), vec((chip(), 1usize..3), 0..3)).prop_map(
        |(chip, nodes, chips)| Program {
            chip,
            nodes,
            chips: chips.into_iter().flat_map(|(chip, times)| vec![chip; times]).collect(),
        },
    )
}
