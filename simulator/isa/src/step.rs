//! The main operand of an instruction: the one that repeats move on.

use crate::{Instruction, Mem, Mxm, Sxm};

/// Where a main operand is kept.
enum Main<'a> {
    Word(&'a mut u32),
    Short(&'a mut u16),
    Signed(&'a mut i16),
}

impl Instruction {
    /// The operand that a repeat's `step` moves; none if there is none.
    pub fn main_operand(mut self) -> Option<i64> {
        self.main().map(|main| match main {
            Main::Word(word) => i64::from(*word),
            Main::Short(short) => i64::from(*short),
            Main::Signed(signed) => i64::from(*signed),
        })
    }

    /// The same with its main operand moved on; none where that would leave its range of values, or there is none to move.
    pub fn moved(mut self, by: i64) -> Option<Instruction> {
        match self.main() {
            Some(Main::Word(word)) => *word = u32::try_from(i64::from(*word).checked_add(by)?).ok()?,
            Some(Main::Short(short)) => *short = u16::try_from(i64::from(*short).checked_add(by)?).ok()?,
            Some(Main::Signed(signed)) => {
                *signed = i16::try_from(i64::from(*signed).checked_add(by)?).ok()?
            }
            None if by == 0 => {}
            None => return None,
        }
        Some(self)
    }

    fn main(&mut self) -> Option<Main<'_>> {
        match self {
            Instruction::Mem(Mem::Read { address, .. } | Mem::Write { address, .. }) => {
                Some(Main::Word(address))
            }
            Instruction::Mem(Mem::Gather { window, .. } | Mem::Scatter { window, .. }) => {
                Some(Main::Word(&mut window.base))
            }
            Instruction::Mxm(Mxm::Lw { row, .. }) => Some(Main::Short(row)),
            Instruction::Mxm(Mxm::Acc { address, .. }) => Some(Main::Short(address)),
            Instruction::Sxm(
                Sxm::Permute { map, .. } | Sxm::Select { map, .. } | Sxm::Distribute { map, .. },
            ) => Some(Main::Short(map)),
            Instruction::Sxm(Sxm::Shift { lanes, .. }) => Some(Main::Signed(lanes)),
            Instruction::Icu(_)
            | Instruction::Vxm(_)
            | Instruction::Mxm(Mxm::Iw | Mxm::Abc { .. })
            | Instruction::Sxm(Sxm::Rotate { .. } | Sxm::Transpose { .. })
            | Instruction::C2c(_) => None,
        }
    }
}
