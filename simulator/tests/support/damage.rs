//! Damages, and the faults they must cause.

use simulator::{Fault, FaultKind, Machine};

use super::{Draft, ENGINES, tiny};
use isa::Chip;

/// A damage: its name, what it does, and the fault it must cause.
pub type Case = (&'static str, fn(&mut Draft), FaultKind, u64, &'static str);

/// The fault of a well-formed program, if it has one; the same on every engine.
pub fn fault_of(draft: &Draft) -> Option<Fault> {
    fault_on(&tiny(), draft)
}

/// The same, on another chip.
pub fn fault_on(chip: &Chip, draft: &Draft) -> Option<Fault> {
    let fault = |engine| {
        Machine::load(engine, chip, &draft.program())
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
    check_on(&tiny(), sound, cases);
}

/// The same, on another chip.
pub fn check_on(chip: &Chip, sound: &Draft, cases: &[Case]) {
    assert_eq!(fault_on(chip, sound), None);
    for (name, damage, kind, cycle, place) in cases {
        let mut draft = sound.clone();
        damage(&mut draft);
        let fault = fault_on(chip, &draft).unwrap_or_else(|| panic!("{name}: not refused"));
        assert_eq!(
            (fault.kind, fault.cycle, fault.place.to_string().as_str()),
            (*kind, *cycle, *place),
            "{name}: {fault}"
        );
        assert_eq!(fault_on(chip, &draft), Some(fault), "{name}: the same fault again");
    }
}
