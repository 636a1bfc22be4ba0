//! Damages, and the faults they must cause.

use simulator::{Fault, FaultKind, Machine};

use super::{Draft, ENGINES, tiny};

/// A damage: its name, what it does, and the fault it must cause.
pub type Case = (&'static str, fn(&mut Draft), FaultKind, u64, &'static str);

/// The fault of a well-formed program, if it has one; the same on every engine.
pub fn fault_of(draft: &Draft) -> Option<Fault> {
    let fault = |engine| {
        Machine::load(engine, &tiny(), &draft.program())
            .unwrap_or_else(|problems| panic!("{problems:?}"))
            .run()
            .err()
    };
    let first = fault(ENGINES[0]);
    for engine in &ENGINES[1..] {
        assert_eq!(fault(*engine), first, "{engine:?}");
    }
    first
}

/// The sound program runs, and every damage causes its fault, twice the same.
pub fn check(sound: &Draft, cases: &[Case]) {
    assert_eq!(fault_of(sound), None);
    for (name, damage, kind, cycle, place) in cases {
        let mut draft = sound.clone();
        damage(&mut draft);
        let fault = fault_of(&draft).unwrap_or_else(|| panic!("{name}: not refused"));
        assert_eq!(
            (fault.kind, fault.cycle, fault.place.to_string().as_str()),
            (*kind, *cycle, *place),
            "{name}: {fault}"
        );
        assert_eq!(fault_of(&draft), Some(fault), "{name}: the same fault again");
    }
}
