//! Chains against `isa::numeric`.

use isa::instruction::VxmOp;
use isa::numeric::{alu, narrow, widen};
use isa::stream::Format;

use super::{Chain, Node, Source};
use crate::fast::native::{Library, stride};

const LANES: usize = 48;
const WORDS: usize = 256;
const FORMATS: [Format; 5] = Format::OF_ALUS;

/// An arena, and a supply of words in it and of bits to fill them with.
struct Arena {
    bytes: Vec<u8>,
    next: u32,
    state: u64,
}

impl Arena {
    fn new(state: u64) -> Arena {
        Arena { bytes: vec![0xa5; WORDS * stride(LANES)], next: 0, state }
    }

    fn words(&mut self, count: u32) -> u32 {
        self.next += count;
        self.next - count
    }

    /// Random bits, but often such as are special to some operation or format.
    fn bits(&mut self) -> u32 {
        const EDGES: [u32; 44] = [
            0,
            0x8000_0000,
            1,
            2,
            31,
            32,
            33,
            127,
            128,
            255,
            0xffff_ff80,
            0xffff_ff7f,
            u32::MAX,
            i32::MAX as u32,
            0x3f80_0000,
            0xbf80_0000,
            0x3f00_0000,
            0x3fc0_0000,
            0xc020_0000,
            0x4b00_0001,
            0x4eff_ffff,
            0x4f00_0000,
            0xcf00_0000,
            0x7f7f_ffff,
            0x7f80_0000,
            0xff80_0000,
            0x7fc0_0000,
            0xffa0_1234,
            0x7f80_0001,
            0x0080_0000,
            0x007f_ffff,
            0x477f_efff,
            0x477f_f000,
            0x477f_e000,
            0x4780_0000,
            0x3300_0000,
            0x3300_0001,
            0x3380_0000,
            0x3880_0000,
            0x387f_ffff,
            0x387f_e000,
            0x387f_d000,
            0x3880_1000,
            0x3880_3000,
        ];
        const HALVES: [u16; 12] =
            [0, 0x8000, 1, 0x03ff, 0x0400, 0x83ff, 0x7bff, 0x7c00, 0xfc00, 0x7c01, 0xfe55, 0x3c00];
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let random = (self.state >> 32) as u32;
        let choice = (self.state >> 10) as usize;
        match choice % 8 {
            0 | 1 => EDGES[choice / 8 % EDGES.len()],
            2 => EDGES[choice / 8 % EDGES.len()].wrapping_add(random % 5).wrapping_sub(2),
            3 => u32::from(HALVES[choice / 8 % HALVES.len()]) | random & 0xffff_0000,
            // Numbers that F8 has room for, subnormal or too large there, and ties between them.
            4 if random % 2 == 1 => random & 0x87f8_0002 | 0x3800_0000,
            // Numbers that binary16 has room for, and ties between them.
            4 => random & 0x8fff_f000 | 0x3000_0000,
            5 => random & 0x9fff_ffff | 0x2000_0000,
            _ => random,
        }
    }

    fn set(&mut self, word: u32, lane: usize, byte: u8) {
        self.bytes[word as usize * stride(LANES) + lane] = byte;
    }

    fn get(&self, word: u32, lane: usize) -> u8 {
        self.bytes[word as usize * stride(LANES) + lane]
    }

    fn get_wide(&self, word: u32, lane: usize) -> u32 {
        let at = word as usize * stride(LANES) + 4 * lane;
        u32::from_le_bytes(self.bytes[at..at + 4].try_into().expect("four bytes"))
    }

    /// Fills an operand; adds to the operands of a call; gives what the lanes see.
    fn source(&mut self, source: Source, operands: &mut Vec<u32>, results: &[Vec<u32>]) -> Vec<u32> {
        match source {
            Source::Planes(format) => {
                let first = self.words(format.streams().into());
                operands.extend(first..self.next);
                let lane = |lane| {
                    let bits = self.bits();
                    (first..self.next)
                        .zip(bits.to_le_bytes())
                        .for_each(|(word, byte)| self.set(word, lane, byte));
                    widen(format, bits)
                };
                (0..LANES).map(lane).collect()
            }
            Source::Wide => {
                let first = self.words(4);
                operands.push(first);
                let lane = |lane| {
                    let bits = self.bits();
                    bits.to_le_bytes()
                        .iter()
                        .enumerate()
                        .for_each(|(i, byte)| self.set(first, 4 * lane + i, *byte));
                    bits
                };
                (0..LANES).map(lane).collect()
            }
            Source::Immediate => {
                let bits = self.bits();
                operands.push(bits);
                vec![bits; LANES]
            }
            Source::Node(node) => results[usize::from(node)].clone(),
        }
    }
}

/// Runs the chain on random operands. In place: what a node keeps goes where its `a` came from.
fn check(library: &mut Library, chain: &Chain, seed: u64, in_place: bool) {
    let mut arena = Arena::new(seed);
    let (mut operands, mut results, mut outputs) = (Vec::new(), Vec::<Vec<u32>>::new(), Vec::new());
    for node in &chain.nodes {
        let first = operands.len();
        let a = arena.source(node.a, &mut operands, &results);
        let updated = operands.get(first).copied();
        let b = node.b.map(|b| arena.source(b, &mut operands, &results));
        let result =
            (0..LANES).map(|lane| alu(node.op, a[lane], b.as_ref().map_or(0, |b| b[lane]))).collect();
        let planes = node.result.map(|format| (format, arena.words(format.streams().into())));
        operands
            .extend(planes.iter().flat_map(|(format, first)| *first..first + u32::from(format.streams())));
        let keep = node.keep.then(|| if in_place { updated.expect("an operand") } else { arena.words(4) });
        operands.extend(keep);
        results.push(result);
        outputs.push((planes, keep));
    }
    assert_eq!(operands.len(), chain.operands().count());
    assert!(arena.next as usize <= WORDS);
    let code = library.chain(chain);
    // SAFETY: the words are in the arena, and each output has its own, but what is updated in place.
    unsafe { code.call(arena.bytes.as_mut_ptr(), &operands) };
    for ((result, (planes, keep)), node) in results.iter().zip(outputs).zip(&chain.nodes) {
        for (lane, &word) in result.iter().enumerate() {
            if let Some((format, first)) = planes {
                for (plane, byte) in (0..format.streams()).zip(narrow(format, word).to_le_bytes()) {
                    let found = arena.get(first + u32::from(plane), lane);
                    assert_eq!(found, byte, "{node:?} plane {plane} lane {lane} of {word:#x}");
                }
            }
            if let Some(keep) = keep {
                let found = arena.get_wide(keep, lane);
                assert_eq!(found, word, "{node:?} lane {lane}: {found:#x} {word:#x}");
            }
        }
    }
    for word in arena.next..WORDS as u32 {
        assert!((0..stride(LANES)).all(|lane| arena.get(word, lane) == 0xa5), "word {word} is not ours");
    }
}

fn node(op: VxmOp, a: Source, b: Source, result: Option<Format>, keep: bool) -> Node {
    Node { op, a, b: (op.operands() == 2).then_some(b), result, keep }
}

#[test]
fn every_operation_on_every_kind_of_operand() {
    let mut library = Library::new(LANES);
    let kinds = [
        Source::Planes(Format::F16),
        Source::Planes(Format::I8),
        Source::Wide,
        Source::Immediate,
        Source::Planes(Format::F8),
    ];
    for op in VxmOp::ALL {
        for (seed, &a) in kinds.iter().enumerate() {
            for &b in &kinds[..if op.operands() == 2 { kinds.len() } else { 1 }] {
                let chain = Chain { nodes: vec![node(op, a, b, None, true)] };
                (0..24).for_each(|round| check(&mut library, &chain, (seed + 10 * round) as u64, false));
            }
        }
    }
}

#[test]
fn every_format_in_and_out() {
    let mut library = Library::new(LANES);
    for from in FORMATS {
        for to in FORMATS {
            let pass = node(VxmOp::Pass, Source::Planes(from), Source::Immediate, Some(to), true);
            let chain = Chain { nodes: vec![pass] };
            (0..400).for_each(|seed| check(&mut library, &chain, seed, false));
        }
    }
}

#[test]
fn every_binary16_number_both_ways() {
    let mut library = Library::new(LANES);
    let pass = |from| Chain { nodes: vec![node(VxmOp::Pass, from, from, Some(Format::F16), true)] };
    let (widening, narrowing) =
        (library.chain(&pass(Source::Planes(Format::F16))), library.chain(&pass(Source::Wide)));
    let mut arena = Arena::new(0);
    for start in (0..=u16::MAX).step_by(16) {
        for lane in 0..16 {
            let [low, high] = (start + lane as u16).to_le_bytes();
            arena.set(0, lane, low);
            arena.set(1, lane, high);
        }
        // SAFETY: words 0 and 1 are read, 2 and 3 and 4 to 7 written.
        unsafe { widening.call(arena.bytes.as_mut_ptr(), &[0, 1, 2, 3, 4]) };
        for around in -1..=1i32 {
            for lane in 0..16 {
                let half = start + lane as u16;
                let bits = widen(Format::F16, half.into());
                assert!(around != -1 || arena.get_wide(4, lane) == bits, "{half:04x}");
                // The numbers themselves, and what is in the middle between two or next to it.
                let word = bits.wrapping_add(0x1000).wrapping_add_signed(around);
                let word = if around == -1 && lane % 2 == 0 { bits } else { word };
                word.to_le_bytes().iter().enumerate().for_each(|(i, byte)| arena.set(8, 4 * lane + i, *byte));
            }
            // SAFETY: words 8 to 11 are read, 12 to 17 written.
            unsafe { narrowing.call(arena.bytes.as_mut_ptr(), &[8, 12, 13, 14]) };
            for lane in 0..16 {
                let word = arena.get_wide(8, lane);
                let found = u16::from_le_bytes([arena.get(12, lane), arena.get(13, lane)]);
                assert_eq!(u32::from(found), narrow(Format::F16, word), "{word:#x}");
            }
        }
    }
}

#[test]
fn every_f8_number_both_ways() {
    let mut library = Library::new(LANES);
    let f8 = Source::Planes(Format::F8);
    let pass = |from| Chain { nodes: vec![node(VxmOp::Pass, from, from, Some(Format::F8), true)] };
    let (widening, narrowing) = (library.chain(&pass(f8)), library.chain(&pass(Source::Wide)));
    let mut arena = Arena::new(0);
    for start in (0..=u8::MAX).step_by(16) {
        (0..16).for_each(|lane| arena.set(0, lane, start + lane as u8));
        // SAFETY: word 0 is read, 1 and 4 to 7 written.
        unsafe { widening.call(arena.bytes.as_mut_ptr(), &[0, 1, 4]) };
        for lane in 0..16 {
            let code = start + lane as u8;
            assert_eq!(arena.get(1, lane), code);
            assert_eq!(arena.get_wide(4, lane), widen(Format::F8, code.into()), "{code:02x}");
        }
    }
    // All words but for their lowest bits, of which it only matters whether there are any.
    for start in (0..1u32 << 17).step_by(8) {
        for lane in 0..16 {
            let word = ((start + lane as u32 / 2) << 15) | (lane as u32 % 2);
            word.to_le_bytes().iter().enumerate().for_each(|(i, byte)| arena.set(8, 4 * lane + i, *byte));
        }
        // SAFETY: words 8 to 11 are read, 12 and 16 to 19 written.
        unsafe { narrowing.call(arena.bytes.as_mut_ptr(), &[8, 12, 16]) };
        for lane in 0..16 {
            let word = arena.get_wide(8, lane);
            assert_eq!(u32::from(arena.get(12, lane)), narrow(Format::F8, word), "{word:#x}");
        }
    }
}

#[test]
fn nodes_take_results_of_nodes() {
    let mut library = Library::new(LANES);
    let ops = VxmOp::ALL;
    for seed in 0..60u64 {
        let mut arena = Arena::new(seed);
        let mut pick = |count: usize| arena.bits() as usize / 7 % count;
        let nodes = (0..1 + seed as u8 % 8).map(|index| {
            let mut source = || match pick(5) {
                0 => Source::Wide,
                1 => Source::Immediate,
                2 => Source::Planes(FORMATS[pick(5)]),
                _ if index > 0 => Source::Node(pick(index.into()) as u8),
                _ => Source::Planes(Format::F16),
            };
            let (a, b) = (source(), source());
            let result = [None, Some(FORMATS[pick(5)])][pick(2)];
            node(ops[pick(ops.len())], a, b, result, pick(2) == 0)
        });
        let chain = Chain { nodes: nodes.collect() };
        (0..20).for_each(|round| check(&mut library, &chain, 100 * seed + round, false));
    }
}

#[test]
fn accumulators_are_updated_in_place() {
    let mut library = Library::new(LANES);
    for op in [VxmOp::Add, VxmOp::IntAdd, VxmOp::Pass] {
        let chain = Chain { nodes: vec![node(op, Source::Wide, Source::Wide, Some(Format::F32), true)] };
        (0..50).for_each(|seed| check(&mut library, &chain, seed, true));
    }
}

#[test]
fn the_same_input_twice() {
    let mut library = Library::new(LANES);
    let half = Source::Planes(Format::F16);
    let chain = Chain { nodes: vec![node(VxmOp::Mul, half, half, Some(Format::F16), false)] };
    let code = library.chain(&chain);
    let mut arena = Arena::new(3);
    (0..LANES).for_each(|lane| (arena.set(0, lane, lane as u8), arena.set(1, lane, 0x40)).1);
    // SAFETY: words 0 and 1 are read, 2 and 3 written.
    unsafe { code.call(arena.bytes.as_mut_ptr(), &[0, 1, 0, 1, 2, 3]) };
    for lane in 0..LANES {
        let x = widen(Format::F16, 0x4000 | lane as u32);
        let expected = narrow(Format::F16, alu(VxmOp::Mul, x, x)).to_le_bytes();
        assert_eq!([arena.get(2, lane), arena.get(3, lane)], expected[..2]);
    }
}
