//! The host's arrays arrive where the placements say, and come back; state stays; what nobody brought is known to be unknown.

mod support;

use isa::{Element, Placement, Port, PortKind, Segment, SegmentData};
use simulator::{Array, Engine, FaultKind, Machine};
use support::*;

fn placement(rows: u32, columns: u32, address: u32, stripes: Vec<Vec<(isa::Hemisphere, u16)>>) -> Placement {
    let broadcast = false;
    Placement {
        batches: 1,
        rows,
        columns,
        broadcast,
        tile_rows: rows,
        rows_per_stripe: rows,
        address,
        stripes,
    }
}

fn machine(engine: Engine, ports: Vec<Port>) -> Machine {
    let mut draft = Draft::default();
    draft.program.ports = ports;
    Machine::load(engine, &tiny(), &draft.program()).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn port(name: &str, kind: PortKind, element: Element, shape: &[u32], parts: Vec<Placement>) -> Port {
    Port { name: name.to_owned(), kind, element, shape: shape.to_vec(), parts }
}

const WORD: [(isa::Hemisphere, u16); 4] = [(East, 0), (East, 1), (East, 2), (East, 3)];

/// What the elements of a port at plain places hold, of any kind of memory image.
fn peek(
    ports: &mut Vec<Port>,
    name: &str,
    element: Element,
    rows: u32,
    address: u32,
    slices: &[(isa::Hemisphere, u16)],
) {
    let part = placement(rows, LANES as u32, address, vec![slices.to_vec()]);
    ports.push(port(name, PortKind::State, element, &[rows, LANES as u32], vec![part]));
}

#[test]
fn tiles_stripes_chunks_and_parts() {
    for &engine in ENGINES {
        // Two parts: 1 batch of 5 rows of 40 columns in tiles of 4 rows over 2 stripes; and 2 batches of 5 × 40, plain.
        let tiled = Placement {
            tile_rows: 4,
            rows_per_stripe: 2,
            ..placement(5, 40, 10, vec![WORD.to_vec(), WORD.map(|(_, slice)| (West, slice)).to_vec()])
        };
        let plain = Placement { batches: 2, ..placement(5, 40, 60, vec![WORD.to_vec()]) };
        let mut ports = vec![port("x", PortKind::Input, Element::F32, &[3, 5, 40], vec![tiled, plain])];
        peek(&mut ports, "east", Element::F32, 8, 10, &WORD);
        peek(&mut ports, "west", Element::F32, 8, 10, &WORD.map(|(_, slice)| (West, slice)));
        let mut machine = machine(engine, ports);
        let x: Vec<f32> = (0..600).map(|i| 1.0 + i as f32).collect();
        machine.write("x", &Array::F32(x.clone())).unwrap();
        assert_eq!(machine.read("x"), Ok(Array::F32(x.clone())));
        // Words of a stripe: tile, chunk, row in stripe.
        for (name, stripe) in [("east", 0), ("west", 1)] {
            let Ok(Array::F32(found)) = machine.read(name) else { panic!() };
            for tile in 0..2 {
                for chunk in 0..2 {
                    for in_stripe in 0..2 {
                        for lane in 0..LANES {
                            let (row, column) = (tile * 4 + stripe * 2 + in_stripe, chunk * LANES + lane);
                            let want = if row < 5 && column < 40 { x[row * 40 + column] } else { 0.0 };
                            let word = (tile * 2 + chunk) * 2 + in_stripe;
                            assert_eq!(found[word * LANES + lane], want, "{name} word {word} lane {lane}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn one_array_in_several_places_and_halves() {
    for &engine in ENGINES {
        let broadcast = Placement { broadcast: true, ..placement(2, 1, 0, vec![WORD.to_vec()]) };
        let low = port(
            "x",
            PortKind::Input,
            Element::F16Low,
            &[2],
            vec![placement(1, 2, 8, vec![WORD[2..].to_vec()])],
        );
        let high = port(
            "x",
            PortKind::Input,
            Element::F16,
            &[1, 2],
            vec![placement(1, 2, 8, vec![WORD[..2].to_vec()])],
        );
        let mut ports =
            vec![port("x", PortKind::Input, Element::F32, &[2, 1], vec![broadcast]), low.clone(), high];
        peek(&mut ports, "lanes", Element::F32, 2, 0, &WORD);
        peek(&mut ports, "high", Element::F16, 1, 8, &WORD[..2]);
        let mut machine = machine(engine, ports);
        let third = 1.0f32 / 3.0;
        machine.write("x", &Array::F32(vec![third, -2.0])).unwrap();
        let lanes: Vec<f32> = [[third; LANES], [-2.0; LANES]].concat();
        assert_eq!(machine.read("lanes"), Ok(Array::F32(lanes)));
        let mut halves = vec![0.0; LANES];
        (halves[0], halves[1]) = (half::f16::from_f32(third).to_f32(), -2.0);
        assert_eq!(machine.read("high"), Ok(Array::F32(halves)));
        // Read back, the F32 placement comes first.
        assert_eq!(machine.read("x"), Ok(Array::F32(vec![third, -2.0])));
    }
}

#[test]
fn masks_and_integers() {
    for &engine in ENGINES {
        let part = |address| vec![placement(1, 3, address, vec![WORD.to_vec()])];
        let mut machine = machine(
            engine,
            vec![
                port("m", PortKind::Input, Element::Mask, &[3], part(0)),
                port("i", PortKind::State, Element::I32, &[3], part(1)),
            ],
        );
        let (mask, integers) = (Array::Bool(vec![true, false, true]), Array::I32(vec![i32::MIN, -1, 7]));
        assert_eq!(machine.read("i"), Ok(Array::I32(vec![0; 3])), "state is zero at first");
        machine.write("m", &mask).unwrap();
        machine.write("i", &integers).unwrap();
        assert_eq!((machine.read("m"), machine.read("i")), (Ok(mask), Ok(integers)));
    }
}

#[test]
fn bytes_are_rounded_as_their_format_says() {
    for &engine in ENGINES {
        let part = |address, slice| vec![placement(1, 3, address, vec![vec![(West, slice)]])];
        let mut ports = vec![
            port("i", PortKind::Input, Element::I8, &[3], part(0, 2)),
            port("f", PortKind::State, Element::F8, &[3], part(1, 3)),
        ];
        // The same bytes, seen in the other format.
        ports.push(port("codes", PortKind::Output, Element::I8, &[3], part(1, 3)));
        let mut machine = machine(engine, ports);
        assert_eq!(machine.read("f"), Ok(Array::F32(vec![0.0; 3])), "state is zero at first");
        machine.write("i", &Array::I32(vec![-129, 127, 1000])).unwrap();
        machine.write("f", &Array::F32(vec![1.0, 1.0625, -1e9])).unwrap();
        assert_eq!(machine.read("i"), Ok(Array::I32(vec![-128, 127, 127])));
        assert_eq!(machine.read("f"), Ok(Array::F32(vec![1.0, 1.0, -448.0])));
        assert_eq!(machine.read("codes"), Ok(Array::I32(vec![0x38, 0x38, -2])));
    }
}

#[test]
fn wrong_names_types_and_sizes() {
    for &engine in ENGINES {
        let part = |address| vec![placement(1, 3, address, vec![WORD.to_vec()])];
        let mut machine = machine(
            engine,
            vec![
                port("x", PortKind::Input, Element::F32, &[3], part(0)),
                port("y", PortKind::Output, Element::F32, &[3], part(1)),
            ],
        );
        for (name, array, words) in [
            ("z", Array::F32(vec![0.0; 3]), "there are x, y"),
            ("y", Array::F32(vec![0.0; 3]), "no input or state is named `y`"),
            ("x", Array::F32(vec![0.0; 4]), "has 3 elements (shape [3]), and the array has 4"),
            ("x", Array::I32(vec![0; 3]), "the array is of i32"),
        ] {
            let problem = machine.write(name, &array).unwrap_err();
            assert!(problem.contains(words), "{words}: {problem}");
        }
        assert!(machine.read("y").unwrap_err().contains("word 1 of east.mem0 holds nothing"));
        assert!(machine.read("q").unwrap_err().contains("no port is named `q`"));
    }
}

/// A word of east.mem0 copied to west.mem0.
fn copy(data: Option<SegmentData>) -> Draft {
    let mut draft = Draft::default();
    if let Some(data) = data {
        draft.program.memory.push(Segment {
            hemisphere: East,
            slice: 0,
            address: 5,
            words: 1,
            data,
            node: 0,
        });
    }
    draft.read(0, East, 0, 5, w(0)).write(7, West, 0, 5, w(0)).clone()
}

#[test]
fn what_nobody_brought() {
    for &engine in ENGINES {
        let run = |draft: &Draft| {
            let mut machine = Machine::load(engine, &tiny(), &draft.program()).unwrap();
            machine.run().map(|_| machine.values_known())
        };
        assert_eq!(run(&copy(Some(SegmentData::Fill(3)))), Ok(true));
        assert_eq!(run(&copy(Some(SegmentData::Absent))), Ok(false));
        assert_eq!(run(&copy(None)).unwrap_err().kind, FaultKind::ReadBeforeWritten);
        let mut input = copy(None);
        input.port("x", PortKind::Input, Element::I32, 1, 5, &[(East, 0), (East, 1), (East, 2), (East, 3)]);
        assert_eq!(run(&input), Ok(false), "an input that was not written");
        let mut machine = Machine::load(engine, &tiny(), &input.program()).unwrap();
        machine.write("x", &Array::I32(vec![1; LANES])).unwrap();
        machine.run().unwrap();
        assert!(machine.values_known());
    }
}

#[test]
fn state_stays_from_run_to_run() {
    for &engine in ENGINES {
        // Adds 1 to every lane of a word of bytes.
        let mut draft = Draft::default();
        let stream = isa::instruction::Operand::Stream(w(0), isa::Format::I8);
        let one = isa::instruction::Operand::Immediate(1);
        draft.read(0, East, 0, 5, w(0)).alu(
            6,
            0,
            isa::instruction::VxmOp::IntAdd,
            &[stream, one],
            Some((e(0), isa::Format::I8)),
        );
        draft.write(11, East, 0, 5, e(0)).port("count", PortKind::State, Element::I32, 1, 5, &WORD);
        let mut machine = Machine::load(engine, &tiny(), &draft.program()).unwrap();
        for count in 1..=3 {
            machine.run().unwrap_or_else(|fault| panic!("{fault}"));
            assert_eq!(machine.read("count"), Ok(Array::I32(vec![count; LANES])));
        }
    }
}
