//! The text form of a [`Program`]: printed for people, parsed back without loss.
//!
//! ```text
//! program "lp30"
//!
//! nodes {
//!   n0 ""
//!   n1 "/layer/MatMul"
//! }
//!
//! chip 0 {
//!   map m0 { 16..320 0..16 }
//!
//!   memory {
//!     east.mem12 @0 words 36 fill 0x00 n1
//!   }
//!
//!   text east.mxm0.load {
//!     west.mem3 @0
//!   }
//!
//!   queue east.mem12.read {
//!     @120 x12 every 1 step 1: Read 0 -> s0e n1 ; /layer/MatMul
//!   }
//! }
//! ```
//!
//! A run is `@cycle`, its repeats from the outermost in, the instruction, and its node; `;` begins a comment. `n0` may be left out.
//! A queue that does not hold all of its instructions has its pages of text under `text`, in order; what they hold follows from its runs.
//! Memory content of more than [`MOST_HEX_BYTES`] bytes prints as its BLAKE3 hash, and parses as [`crate::SegmentData::Digest`].

use std::fmt;
use std::ops::Range;

use lalrpop_util::lalrpop_mod;

use crate::Program;

mod lexer;
mod print;
mod sink;

lalrpop_mod!(
    #[allow(clippy::all, unreachable_pub, unused, reason = "generated")]
    grammar,
    "/asm/grammar.rs"
);

pub use print::{MOST_HEX_BYTES, print, print_with};

/// One problem of an assembly text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsmError {
    /// Bytes of the text that are meant; empty where the text ends too early.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What would be right, where that can be said.
    pub help: Option<String>,
}

impl AsmError {
    /// Line and column of the start in `text`, both from 1; columns count characters.
    pub fn position(&self, text: &str) -> (usize, usize) {
        let start =
            (0..=self.span.start.min(text.len())).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
        let before = &text[..start];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (1 + before.matches('\n').count(), 1 + before[line_start..].chars().count())
    }
}

impl fmt::Display for AsmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for AsmError {}

/// Reads a program. It is well formed as text; whether it fits a chip is for [`crate::verify::verify`] to say.
///
/// # Errors
/// Every problem found, in the order of the text, up to fifty.
pub fn parse(text: &str) -> Result<Program, Vec<AsmError>> {
    let mut sink = sink::Sink::new(text);
    let parsed = grammar::ProgramParser::new().parse(&mut sink, lexer::tokens(text));
    match parsed {
        Ok(program) if sink.errors.is_empty() => return Ok(program),
        Ok(_) => {}
        Err(error) => sink.parse_error(error),
    }
    sink.errors.sort_by_key(|error| error.span.start);
    Err(sink.errors)
}

#[cfg(test)]
mod tests;
