//! Reading description files: TOML in which a field is a value, or a table with the value, its unit and its source. Every problem is listed.

use std::fmt;
use std::ops::{Range, RangeInclusive};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One problem of the description of a chip or a system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescriptionError {
    /// Dotted name of the field, e.g. `mem.slices_per_hemisphere`; empty where the text is not TOML.
    pub field: String,
    /// What is wrong, and what would be right.
    pub message: String,
    /// Bytes of the text that are meant, where there are any.
    pub span: Option<Range<usize>>,
    /// Line of the text, from 1.
    pub line: Option<usize>,
}

impl fmt::Display for DescriptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for DescriptionError {}

/// The source of a value whose file does not name one.
const NO_SOURCE: &str = "given without source";

/// A description while it is read, with the problems found so far.
pub(crate) struct Reader<'a> {
    text: &'a str,
    errors: Vec<DescriptionError>,
}

/// What a file says of one field.
pub(crate) struct Given<'v, 'i> {
    /// The value.
    pub(crate) content: &'v Spanned<DeValue<'i>>,
    /// Its unit, if the file names one.
    unit: Option<&'v Spanned<DeValue<'i>>>,
    source: Option<&'v Spanned<DeValue<'i>>>,
}

/// What a number must be.
pub(crate) struct Bounds<'n> {
    /// Its unit, in the plural.
    pub(crate) unit: &'n str,
    /// Fractions make no sense.
    pub(crate) whole: bool,
    /// Least and greatest value.
    pub(crate) range: RangeInclusive<f64>,
}

impl<'a> Reader<'a> {
    /// Nothing is read, and nothing wrong yet.
    pub(crate) fn new(text: &'a str) -> Reader<'a> {
        Reader { text, errors: Vec::new() }
    }

    /// The text as TOML; none if it is broken.
    pub(crate) fn table(&mut self) -> Option<Spanned<DeTable<'a>>> {
        let (table, broken) = DeTable::parse_recoverable(self.text);
        for error in &broken {
            self.error("", error.span(), error.message().to_string());
        }
        broken.is_empty().then_some(table)
    }

    /// Notes a problem.
    pub(crate) fn error(&mut self, field: &str, span: Option<Range<usize>>, message: String) {
        let line_of = |span: &Range<usize>| {
            1 + self.text.bytes().take(span.start).filter(|&byte| byte == b'\n').count()
        };
        let line = span.as_ref().map(line_of);
        self.errors.push(DescriptionError { field: field.to_string(), message, span, line });
    }

    /// The part of the text that a span means.
    pub(crate) fn shown(&self, span: Range<usize>) -> &'a str {
        self.text.get(span).unwrap_or_default()
    }

    /// Takes a field apart.
    pub(crate) fn given<'v, 'i>(
        &mut self,
        field: &str,
        value: &'v Spanned<DeValue<'i>>,
    ) -> Option<Given<'v, 'i>> {
        let DeValue::Table(parts) = value.get_ref() else {
            return Some(Given { content: value, unit: None, source: None });
        };
        let (mut content, mut unit, mut source) = (None, None, None);
        for (part, value) in parts {
            match part.get_ref().as_ref() {
                "value" => content = Some(value),
                "unit" => unit = Some(value),
                "source" => source = Some(value),
                other => {
                    let message = format!("`{other}` is not one of value, unit, source");
                    self.error(field, Some(part.span()), message);
                }
            }
        }
        if content.is_none() {
            self.error(field, Some(value.span()), "has no `value`".to_string());
        }
        content.map(|content| Given { content, unit, source })
    }

    /// Where a value comes from.
    pub(crate) fn source(&mut self, field: &str, given: &Given<'_, '_>) -> String {
        self.string(field, "source", given.source).unwrap_or_else(|| NO_SOURCE.to_string())
    }

    /// Checks the unit, and says by what to multiply the value: `scales` are other units that may stand in its place.
    pub(crate) fn scale(
        &mut self,
        field: &str,
        expected: &str,
        scales: &[(&str, f64)],
        given: &Given<'_, '_>,
    ) -> f64 {
        let Some(unit) = self.string(field, "unit", given.unit) else { return 1.0 };
        if unit == expected {
            return 1.0;
        }
        if let Some((_, scale)) = scales.iter().find(|(other, _)| *other == unit) {
            return *scale;
        }
        let message = format!("the unit is \"{expected}\", not \"{unit}\"");
        self.error(field, given.unit.map(Spanned::span), message);
        1.0
    }

    fn string(&mut self, field: &str, part: &str, value: Option<&Spanned<DeValue<'_>>>) -> Option<String> {
        let value = value?;
        let text = value.get_ref().as_str().map(str::to_string);
        if text.is_none() {
            self.error(field, Some(value.span()), format!("`{part}` must be a string"));
        }
        text
    }

    /// A number, multiplied by `scale`.
    pub(crate) fn number(
        &mut self,
        field: &str,
        bounds: &Bounds<'_>,
        value: &Spanned<DeValue<'_>>,
        scale: f64,
    ) -> Option<f64> {
        let number = match value.get_ref() {
            DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
                .ok()
                .map(|integer| integer as f64)
                .or_else(|| (integer.radix() == 10).then(|| integer.as_str().parse().ok()).flatten()),
            DeValue::Float(float) => float.as_str().parse::<f64>().ok(),
            _ => None,
        };
        let unit = bounds.unit;
        let Some(number) = number.map(|number| number * scale) else {
            self.error(field, Some(value.span()), format!("must be a number of {unit}"));
            return None;
        };
        let (least, most) = (bounds.range.start(), bounds.range.end());
        if bounds.whole && number.fract() != 0.0 {
            self.error(field, Some(value.span()), format!("must be a whole number of {unit}"));
        } else if !bounds.range.contains(&number) {
            let range = if least == most { format!("{most}") } else { format!("{least} to {most}") };
            self.error(field, Some(value.span()), format!("is {number} {unit}, must be {range}"));
        } else {
            return Some(number);
        }
        None
    }

    /// Nothing is wrong so far.
    pub(crate) fn is_sound(&self) -> bool {
        self.errors.is_empty()
    }

    /// What was read, if nothing is wrong with it; else the problems, in the order of the text.
    pub(crate) fn finish<T>(mut self, read: T) -> Result<T, Vec<DescriptionError>> {
        self.errors.sort_by_key(|error| (error.span.is_none(), error.span.as_ref().map(|span| span.start)));
        if self.errors.is_empty() { Ok(read) } else { Err(self.errors) }
    }
}
