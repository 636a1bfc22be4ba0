//! Small systems of the tiny chip, and programs for them.
#![allow(dead_code, unreachable_pub, reason = "as in the rest of the support")]

use std::collections::BTreeMap;

use isa::chip::C2cUnits;
use isa::system::{port_of_queue, queue_of_port};
use isa::{C2c, Chip, Hemisphere, Placed, Program, Queue, System, SystemProgram};
use simulator::{ComposeError, SystemFault, SystemMachine, SystemReport, compose};

use crate::support::{Draft, tiny};

/// A link takes a vector every 4 cycles, which arrives after 20; d_c2c is 10; 3 vectors may wait.
pub const VECTOR: u64 = 4;
pub const LATENCY: u64 = 20;
pub const RECEIVE: u64 = 10;
pub const BUFFER: usize = 3;

/// The tiny chip with three links a hemisphere, at 1 GHz. C2C is at position 7.
pub fn chip() -> Chip {
    Chip { c2c: C2cUnits { links_per_hemisphere: 3 }, clock_hz: 1e9, ..tiny() }
}

/// Chips that each have two links with each other one: an even port with an even one, an odd with an odd one. With two, three or four chips.
pub fn node(chips: u32) -> System {
    let text = format!(
        "chip = \"tiny\"\nhost_us = 0\n[[levels]]\nname = \"node\"\ncount = {chips}\nwiring = \"all-to-all\"\n\
         ports_per_chip = {}\ngigabits_per_second = 80\npacket_bytes = 40\nhop_ns = 30\nbuffer_vectors = {BUFFER}\n",
        2 * (chips - 1)
    );
    System::parse("small", &text).expect("a sound description")
}

/// The queues of a link from one chip to another: the sender's and the receiver's, in this hemisphere.
pub fn link(system: &System, from: u32, to: u32, side: Hemisphere) -> (Queue, Queue) {
    let mut ways = system.neighbours(from).filter(|(_, end)| end.chip == to);
    let in_side = |queue: &Queue| matches!(queue, Queue::C2c(half, _) if *half == side);
    let (port, end) = ways.find(|(port, _)| in_side(&queue_of_port(*port))).expect("they are linked");
    (queue_of_port(port), queue_of_port(end.port))
}

/// Each chip its own program, whose links are its ports by the same names; with the cycle in which it starts.
pub fn each(drafts: &[(&Draft, u64)]) -> SystemProgram {
    let place = |(index, (draft, start)): (usize, &(&Draft, u64))| {
        let queues = draft.program.queues.keys();
        let ports = queues.filter_map(|&queue| Some((queue, port_of_queue(queue)?))).collect();
        Placed { chip: index as u32, program: index as u32, start_cycle: *start, ports }
    };
    let placed = drafts.iter().enumerate().map(place).collect();
    let chips = drafts.iter().map(|(draft, _)| draft.program.clone()).collect();
    SystemProgram { program: program(chips), placed }
}

/// One program on many chips: each has its own ports for the program's links.
pub fn shared(draft: &Draft, chips: &[(u32, BTreeMap<Queue, u8>)]) -> SystemProgram {
    let place = |(chip, ports): &(u32, BTreeMap<Queue, u8>)| Placed {
        chip: *chip,
        program: 0,
        start_cycle: 0,
        ports: ports.clone(),
    };
    SystemProgram { program: program(vec![draft.program.clone()]), placed: chips.iter().map(place).collect() }
}

fn program(chips: Vec<isa::ChipProgram>) -> Program {
    Program { chip: "tiny".to_owned(), nodes: vec![String::new(), "node".to_owned()], chips }
}

/// What both ways to run a system say, which is the same.
pub fn agreed(system: &System, program: &SystemProgram) -> Result<SystemReport, SystemFault> {
    let mut machine = SystemMachine::load(system, &chip(), program).expect("well formed");
    let run = machine.run().map_err(|fault| *fault);
    match compose(system, &chip(), program) {
        Ok(report) => assert_eq!(Ok(report), run),
        Err(ComposeError::Fault(fault)) => assert_eq!(Err(*fault), run),
        Err(ComposeError::IllFormed(problems)) => panic!("{problems:?}"),
    }
    run
}

impl Draft {
    pub fn send(&mut self, cycle: u64, queue: Queue, stream: isa::Stream) -> &mut Draft {
        self.at(cycle, queue, C2c::Send { stream })
    }

    pub fn receive(&mut self, cycle: u64, queue: Queue, stream: isa::Stream) -> &mut Draft {
        self.at(cycle, queue, C2c::Receive { stream })
    }

    pub fn deskew(&mut self, cycle: u64, queue: Queue) -> &mut Draft {
        self.at(cycle, queue, C2c::Deskew)
    }
}
