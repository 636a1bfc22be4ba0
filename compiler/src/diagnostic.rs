//! What the compiler says to people: what is wrong, where, and what to do.

use std::fmt;

/// Whose fault it is, and so the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A check failed: exit 1.
    Check,
    /// The input is damaged or the request makes no sense: exit 2.
    Input,
    /// The input is sound, but this compiler does not support it or it does not fit the machine: exit 3.
    Unsupported,
    /// A pass broke its own rules: a bug of ours; exit 101.
    Bug,
}

/// One message; several problems found together are notes of one diagnostic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whose fault.
    pub kind: Kind,
    /// Short stable word for the problem, e.g. `unsupported-operator`; each is triggered by a test.
    pub code: &'static str,
    /// What is wrong, and where.
    pub message: String,
    /// Further lines: each problem of a list, or what to do.
    pub notes: Vec<String>,
}

impl Diagnostic {
    /// A diagnostic without notes.
    pub fn new(kind: Kind, code: &'static str, message: impl Into<String>) -> Self {
        Diagnostic { kind, code, message: message.into(), notes: Vec::new() }
    }

    /// Adds a note.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error[{}]: {}", self.code, self.message)?;
        for note in &self.notes {
            write!(f, "\n  {note}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostic {}
