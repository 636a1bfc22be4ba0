//! The text form of graphs, which is what people read and tests compare.
//!
//! ```text
//! ; a comment stands alone on its line
//! graph "tiny" {
//!   n0 = input "x" : f32[1, 64]
//!   n1 = constant f16 splat 0.5 : f32[64, 64] ; model.w
//!   n2 = matmul n0, n1, transpose_b : f32[1, 64] ; /q/MatMul
//!   n3 = reduce_max n2, axis=1 : f32[1, 1]
//!   output "max" = n3
//! }
//! ```
//!
//! What follows `;` after a node is its origin. Types may be left out where they follow from the operands; they are always
//! printed. A constant's content is `absent`, `splat 0.5`, `[1, 2, 3]`, `hex "00ff"` or, where it is large, the BLAKE3 digest
//! of its bytes. Graph inputs are all inputs that are not states, in order, unless an `inputs n3, n0` says otherwise.

mod constant;
mod lexer;
mod print;
mod resolve;
mod syntax;

pub use print::Commented;

use crate::diagnostic::{Diagnostic, Kind};
use crate::graph::Graph;
use bytes::Bytes;
use lalrpop_util::{ParseError as Syntax, lalrpop_mod};
use std::fmt;
use std::ops::Range;

lalrpop_mod!(
    #[allow(
        clippy::all,
        clippy::iter_over_hash_type,
        unreachable_pub,
        missing_docs,
        private_interfaces,
        reason = "generated"
    )]
    grammar,
    "/graph/text/grammar.rs"
);

/// Finds the bytes of a large constant by their digest.
type Lookup<'a> = dyn FnMut(&str) -> Option<Bytes> + 'a;

/// Something wrong in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, in bytes of the source.
    pub span: Range<usize>,
    /// What, and what to do.
    pub message: String,
}

/// Everything wrong in a text; prints each problem with its line underlined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The text.
    pub source: String,
    /// At least one.
    pub problems: Vec<Problem>,
}

/// The graph that a text means. Large constants stand in the text as digests only: they come out absent.
pub fn parse(source: &str) -> Result<Graph, ParseError> {
    parse_with(source, &mut |_| None)
}

/// As [`parse`], with the bytes of large constants looked up by their BLAKE3 digest (64 hexadecimal digits).
pub fn parse_with(source: &str, lookup: &mut dyn FnMut(&str) -> Option<Bytes>) -> Result<Graph, ParseError> {
    let file =
        grammar::FileParser::new().parse(lexer::words(source)).map_err(|error| vec![syntax_problem(error)]);
    file.and_then(|file| resolve::resolve(&file, lookup))
        .map_err(|problems| ParseError { source: source.to_owned(), problems })
}

fn syntax_problem(error: Syntax<usize, lexer::Token<'_>, Problem>) -> Problem {
    let expect = |expected: Vec<String>| {
        let words: Vec<String> = expected.iter().map(|word| word.replace('"', "`")).collect();
        format!("expected {}", words.join(" or "))
    };
    match error {
        Syntax::User { error } => error,
        Syntax::UnrecognizedToken { token: (start, _, end), expected } => {
            Problem { span: start..end, message: expect(expected) }
        }
        Syntax::ExtraToken { token: (start, _, end) } => {
            Problem { span: start..end, message: "the graph has ended before this".to_owned() }
        }
        Syntax::UnrecognizedEof { location, expected } => {
            Problem { span: location..location, message: format!("the text ends here: {}", expect(expected)) }
        }
        Syntax::InvalidToken { location } => {
            Problem { span: location..location, message: "this is no word of the graph language".to_owned() }
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            underline(&self.source, problem, f)?;
        }
        Ok(())
    }
}

/// `line:column: message`, the line, and a mark under the place (as far as it reaches on that line).
fn underline(source: &str, problem: &Problem, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let start = source.floor_char_boundary(problem.span.start);
    let end = source.floor_char_boundary(problem.span.end).max(start);
    let before = &source[..start];
    let number = before.matches('\n').count() + 1;
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = source[line_start..].lines().next().unwrap_or("");
    let column = source[line_start..start].chars().count();
    let length = source[start..end].lines().next().map_or(0, |part| part.chars().count()).max(1);
    let (margin, empty) = (number.to_string(), " ".repeat(number.to_string().len()));
    let (space, mark) = (" ".repeat(column), "^".repeat(length));
    // Tabs are one column wide here, as they are under the mark.
    let line = line.replace('\t', " ");
    write!(f, "{number}:{}: {}\n{margin} | {line}\n{empty} | {space}{mark}", column + 1, problem.message)
}

impl std::error::Error for ParseError {}

impl From<ParseError> for Diagnostic {
    fn from(error: ParseError) -> Self {
        let count = error.problems.len();
        let message = format!("the graph's text has {count} problem{}", if count == 1 { "" } else { "s" });
        error.to_string().lines().fold(Diagnostic::new(Kind::Input, "graph-text", message), Diagnostic::note)
    }
}

#[cfg(test)]
mod tests;
