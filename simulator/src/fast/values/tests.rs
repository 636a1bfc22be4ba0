//! Neither short stretches of tape nor tiles that are not kept change what a program does.

use isa::{Chip, ChipProgram};

use super::{Memory, Tiles, Values};
use crate::fast::time::check;
use crate::fast::time::tests::make::{Maker, chip};
use crate::fast::time::tests::rng::Rng;
use crate::image::Image;
use crate::ports::Words;

/// Every word of SRAM that holds something, after some runs.
fn after(chip: &Chip, program: &ChipProgram, stretch: usize, runs: usize) -> Vec<Option<Vec<u8>>> {
    run(chip, program, Values { stretch, ..Values::new(chip, program) }, runs)
}

fn run(chip: &Chip, program: &ChipProgram, mut values: Values, runs: usize) -> Vec<Option<Vec<u8>>> {
    let mut memory = Memory::new(chip, Image::all(chip, program).expect("no segments overlap"));
    for _ in 0..runs {
        values.run(chip, program, &mut memory, None).expect("the program was checked");
    }
    let word = |(slice, word)| {
        let mut bytes = vec![0; chip.lanes];
        memory.read_word(slice, word, &mut bytes).then_some(bytes)
    };
    let slices = 2 * usize::from(chip.mem.slices_per_hemisphere);
    (0..slices)
        .flat_map(|slice| (0..chip.words_per_slice()).map(move |word| (slice, word)))
        .map(word)
        .collect()
}

#[test]
fn stretches_and_kept_tiles_do_not_show() {
    let (mut sound, mut changed) = (0, 0);
    for seed in 0..400 {
        let mut rng = Rng::new(seed);
        let chip = chip(&mut rng);
        let mut maker = Maker::new(&chip, &mut rng);
        maker.sound();
        let program = maker.program;
        let Ok(images) = Image::all(&chip, &program) else { continue };
        let present = Memory::new(&chip, images).present();
        let timing = check(&chip, &program, &present);
        if timing.fault.is_some() || timing.depends_on_values {
            continue;
        }
        sound += 1;
        let whole = after(&chip, &program, usize::MAX, 2);
        changed += u32::from(whole != after(&chip, &program, usize::MAX, 0));
        for stretch in [1, 2, 5, 17] {
            assert!(whole == after(&chip, &program, stretch, 2), "seed {seed}, stretches of {stretch}");
        }
        let without = Values { tiles: Tiles::new(0), ..Values::new(&chip, &program) };
        assert!(whole == run(&chip, &program, without, 2), "seed {seed}, no tile is kept");
    }
    assert!(sound > 100 && changed > 50, "{sound} sound programs, {changed} of them write");
}
