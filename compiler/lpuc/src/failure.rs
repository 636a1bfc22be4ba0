//! What ends a run early, the exit code it gives, and how it looks.

use std::ops::Range;
use std::path::Path;

use ariadne::{Config, IndexType, Label, Report, ReportKind, Source};
use compiler::diagnostic::{Diagnostic, Kind};

/// An error, ready to print.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Exit code: 1 a check failed, 2 bad usage or input, 3 valid but not supported or does not fit, 101 a bug of ours.
    pub code: u8,
    /// What is wrong, where, and what to do; may be several lines.
    pub text: String,
}

/// The exit code of what is valid, but not supported or does not fit.
pub(crate) const UNSUPPORTED: u8 = 3;

/// Most problems of one text that are shown in full.
const MAX_SHOWN: usize = 20;

impl Failure {
    /// A check failed.
    pub(crate) fn check(text: impl Into<String>) -> Self {
        Failure { code: 1, text: text.into() }
    }

    /// The input or the usage is wrong.
    pub(crate) fn input(text: impl Into<String>) -> Self {
        Failure { code: 2, text: text.into() }
    }

    /// The input is sound, but not supported.
    pub(crate) fn unsupported(text: impl Into<String>) -> Self {
        Failure { code: UNSUPPORTED, text: text.into() }
    }

    /// An input that cannot be read.
    pub(crate) fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        let advice = match error.kind() {
            std::io::ErrorKind::NotFound => "check the path",
            std::io::ErrorKind::PermissionDenied => "check the file's permissions",
            _ => "check that it is a file",
        };
        Failure::input(format!("error[unreadable]: cannot read {}: {error}\n  {advice}", path.display()))
    }

    /// An output that cannot be written.
    pub(crate) fn unwritable(path: &Path, error: &std::io::Error) -> Self {
        let advice = "check that its folder exists and may be written to";
        Failure::input(format!("error[unwritable]: cannot write {}: {error}\n  {advice}", path.display()))
    }

    /// Problems in a text, each underlined at its place (byte ranges).
    pub(crate) fn in_text(path: &Path, text: &str, problems: &[(Range<usize>, String)]) -> Self {
        let name = path.display().to_string();
        let mut rendered = Vec::new();
        for (span, message) in problems.iter().take(MAX_SHOWN) {
            let span = span.start.min(text.len())..span.end.clamp(span.start, text.len()).min(text.len());
            let report = Report::build(ReportKind::Error, (name.as_str(), span.clone()))
                .with_config(Config::default().with_color(false).with_index_type(IndexType::Byte))
                .with_message(message)
                .with_label(Label::new((name.as_str(), span)).with_message("here"))
                .finish();
            // Writing to memory does not fail.
            let _ = report.write((name.as_str(), Source::from(text)), &mut rendered);
        }
        let mut text = String::from_utf8_lossy(&rendered).trim_end().to_owned();
        if problems.len() > MAX_SHOWN {
            text += &format!("\nand {} more", problems.len() - MAX_SHOWN);
        }
        Failure::input(text)
    }

    /// Says which file the failure is about.
    pub(crate) fn about(mut self, path: &Path) -> Self {
        self.text = format!("{}: {}", path.display(), self.text);
        self
    }
}

impl From<Diagnostic> for Failure {
    fn from(diagnostic: Diagnostic) -> Self {
        let code = match diagnostic.kind {
            Kind::Check => 1,
            Kind::Input => 2,
            Kind::Unsupported => UNSUPPORTED,
            Kind::Bug => 101,
        };
        Failure { code, text: diagnostic.to_string() }
    }
}
