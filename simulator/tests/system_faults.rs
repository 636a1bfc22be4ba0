//! Each way in which a link can be misused, found in the same cycle and at the same place by both ways to run a system.

mod support;
#[path = "support/system.rs"]
mod small;

use isa::{C2c, Queue};
use simulator::{FaultKind, SystemFault};
use small::{BUFFER, LATENCY, RECEIVE, VECTOR, agreed, each, link, node};
use support::{Draft, East, e, w};

/// Sends on its one link what it reads in cycles `reads`, as it passes 11 cycles later.
fn sender(queue: Queue, reads: &[u64]) -> Draft {
    let mut draft = Draft::default();
    draft.word(East, 0, 0, |lane| lane as u8);
    for &cycle in reads {
        draft.read(cycle, East, 0, 0, e(0)).send(cycle + 11, queue, e(0));
    }
    draft
}

/// Receives in these cycles.
fn receiver(queue: Queue, cycles: &[u64]) -> Draft {
    let mut draft = Draft::default();
    draft.deskew(0, queue);
    for &cycle in cycles {
        draft.receive(cycle, queue, w(0));
    }
    draft
}

/// Two chips, of which the second starts 100 cycles after the first; the fault if there is one.
fn fault(make: impl Fn(Queue, Queue) -> (Draft, Draft)) -> Option<SystemFault> {
    let system = node(2);
    let (out, into) = link(&system, 0, 1, East);
    let (first, second) = make(out, into);
    agreed(&system, &each(&[(&first, 0), (&second, 100)])).err()
}

/// The fault must be this: kind, cycle of the system, chip, cycle of its program, cycle of the dispatch.
#[track_caller]
fn check(found: Option<SystemFault>, kind: FaultKind, cycle: u64, chip: u32, dispatched: u64) {
    let found = found.expect("a fault");
    let fault = &found.fault;
    let start = u64::from(chip) * 100;
    assert_eq!(
        (fault.kind, found.cycle, found.chip, fault.dispatched),
        (kind, cycle, chip, dispatched),
        "{found}"
    );
    assert_eq!(fault.cycle + start, cycle, "{found}");
    assert!(matches!(fault.place.queue, Queue::C2c(East, 0)), "{found}");
}

const LONG: u64 = 200;

#[test]
fn a_link_takes_a_vector_after_the_other() {
    let sends = |apart: u64| {
        fault(|out, into| (sender(out, &[LONG, LONG + apart]), receiver(into, &[LONG, LONG + VECTOR])))
    };
    assert_eq!(sends(VECTOR), None);
    check(sends(VECTOR - 1), FaultKind::LinkBusy, LONG + 11 + VECTOR - 1, 0, LONG + 11 + VECTOR - 1);
    // In one run.
    let run = |interval: u64| {
        fault(|out, into| {
            let mut draft = Draft::default();
            draft.word(East, 0, 0, |lane| lane as u8);
            for cycle in 0..5 {
                draft.read(interval * cycle, East, 0, 0, e(0));
            }
            draft.repeat(11, out, C2c::Send { stream: e(0) }, &[(5, interval as u32, 0)]);
            (draft, receiver(into, &[0, 1, 2, 3, 4].map(|n| 1 + n * interval)))
        })
    };
    check(run(VECTOR - 1), FaultKind::LinkBusy, 11 + VECTOR - 1, 0, 11 + VECTOR - 1);
    assert_eq!(run(29), None);
    // The message, once.
    let shown = sends(3).unwrap().to_string();
    assert!(
        shown.starts_with("chip 0, in cycle 214 of the system: link busy in cycle 214 at east.c2c0: the link takes the next vector from cycle 215 on\n"),
        "{shown}"
    );
    let hint = "\n  hint: dispatch Send vector_cycles after the link's last one, or later";
    assert!(shown.contains("for node `node`") && shown.ends_with(hint), "{shown}");
}

#[test]
fn a_link_is_deskewed_before_it_is_received_from() {
    let found = fault(|out, into| {
        let mut late = Draft::default();
        late.receive(LONG, into, w(0)).deskew(LONG + 1, into);
        (sender(out, &[LONG]), late)
    });
    check(found, FaultKind::NotDeskewed, 100 + LONG, 1, LONG);
    let after = fault(|out, into| {
        let mut late = Draft::default();
        // Vectors may arrive before.
        late.deskew(LONG, into).receive(LONG + 1, into, w(0));
        (sender(out, &[0]), late)
    });
    assert_eq!(after, None);
}

#[test]
fn nothing_is_received_before_it_has_arrived() {
    let arrives = LONG + 11 + LATENCY - 100;
    let at = |cycles: &'static [i64]| {
        fault(move |out, into| {
            let cycles: Vec<u64> = cycles.iter().map(|late| arrives.saturating_add_signed(*late)).collect();
            (sender(out, &[LONG]), receiver(into, &cycles))
        })
    };
    assert_eq!(at(&[0]), None);
    check(at(&[-1]), FaultKind::NothingArrived, 100 + arrives - 1, 1, arrives - 1);
    check(at(&[0, 1]), FaultKind::NothingArrived, 100 + arrives + 1, 1, arrives + 1);
    check(at(&[-1, 0]), FaultKind::NothingArrived, 100 + arrives - 1, 1, arrives - 1);
}

#[test]
fn no_more_wait_than_the_end_of_a_link_holds() {
    let reads: Vec<u64> = (0..=BUFFER as u64).map(|n| LONG + n * VECTOR).collect();
    // The vector that is one too many.
    let arrives = LONG + 11 + BUFFER as u64 * VECTOR + LATENCY;
    let from = |first: u64| {
        fault(|out, into| {
            let cycles: Vec<u64> = (0..=BUFFER as u64).map(|n| first - 100 + n).collect();
            (sender(out, &reads), receiver(into, &cycles))
        })
    };
    // Whoever is received in the cycle of its arrival makes room in time.
    assert_eq!(from(arrives), None);
    check(from(arrives + 1), FaultKind::ReceiverFull, arrives, 0, LONG + 11 + BUFFER as u64 * VECTOR);
    // Before the receiver's program has begun.
    let early = fault(|out, into| {
        let reads: Vec<u64> = (0..=BUFFER as u64).map(|n| n * VECTOR).collect();
        (sender(out, &reads), receiver(into, &[1, 2, 3, 4]))
    });
    let arrives = 11 + BUFFER as u64 * VECTOR + LATENCY;
    check(early, FaultKind::ReceiverFull, arrives, 0, arrives - LATENCY);
}

#[test]
fn every_vector_is_received() {
    let found = fault(|out, into| (sender(out, &[0, 50]), receiver(into, &[1])));
    check(found, FaultKind::LeftOnLink, 61 + LATENCY, 0, 61);
    let none = fault(|out, into| (sender(out, &[7]), receiver(into, &[])));
    check(none, FaultKind::LeftOnLink, 18 + LATENCY, 0, 18);
    // Whatever else goes wrong comes first, even if it is later.
    let found = fault(|out, into| {
        let mut second = receiver(into, &[]);
        second.send(LONG, into, w(0));
        (sender(out, &[7]), second)
    });
    check(found, FaultKind::EmptySlot, 100 + LONG, 1, LONG);
}

#[test]
fn links_take_and_put_like_any_slice() {
    // Nothing passes.
    let found = fault(|out, into| {
        let mut first = Draft::default();
        first.send(5, out, e(0));
        (first, receiver(into, &[]))
    });
    check(found, FaultKind::EmptySlot, 5, 0, 5);
    let found = fault(|out, into| {
        let mut first = Draft::default();
        first.send(5, out, e(40));
        (first, receiver(into, &[]))
    });
    check(found, FaultKind::StreamOutOfRange, 5, 0, 5);
    let found = fault(|out, into| {
        let mut second = Draft::default();
        second.deskew(0, into).receive(1, into, w(40));
        (sender(out, &[0]), second)
    });
    check(found, FaultKind::StreamOutOfRange, 101, 1, 1);
    // An eastward stream ends at C2C in the east; what came with it is lost if nobody has taken it.
    let found = fault(|out, into| {
        let mut second = Draft::default();
        second.word(East, 0, 0, |lane| lane as u8).deskew(0, into);
        second.receive(50, into, e(5)).read(50 + RECEIVE - 11, East, 0, 0, e(5));
        (sender(out, &[0]), second)
    });
    check(found, FaultKind::SlotOccupied, 150 + RECEIVE, 1, 50);
}

#[test]
fn the_earliest_fault_of_any_chip_comes_first() {
    let both = |late: u64| {
        fault(|out, into| {
            let mut first = sender(out, &[0]);
            first.send(100 + late, out, e(1));
            (first, receiver(into, &[1, 50]))
        })
    };
    check(both(49), FaultKind::EmptySlot, 149, 0, 149);
    check(both(50), FaultKind::EmptySlot, 150, 0, 150);
    check(both(51), FaultKind::NothingArrived, 150, 1, 50);
}
