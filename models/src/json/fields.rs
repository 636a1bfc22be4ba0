//! Fields of a JSON object, read by name; what is missing or not understood is gathered.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

/// Layers, heads: as many as may be, so that counts of weights stay far from what a number can hold.
pub(super) const NUMBERS: RangeInclusive<usize> = 1..=1024;
/// Experts.
pub(super) const EXPERTS: RangeInclusive<usize> = 1..=4096;
/// Elements of vectors, tokens of a vocabulary.
pub(super) const LENGTHS: RangeInclusive<usize> = 1..=1 << 19;

/// An object and what is wrong with it. A field that is `null` counts as missing.
pub(super) struct Fields<'a> {
    object: &'a Map<String, Value>,
    /// What stands before a field's name: the fields that the object lies in.
    prefix: String,
    /// One sentence each, with the field's name.
    pub(super) problems: Vec<String>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(object: &'a Map<String, Value>) -> Fields<'a> {
        Fields { object, prefix: String::new(), problems: Vec::new() }
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.object.get(name).filter(|value| !value.is_null())
    }

    /// Whether a field is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Notes that a field's value is not understood.
    pub(super) fn refuse(&mut self, name: &str, what: &str) {
        let value = self.get(name).map_or("missing".to_owned(), short);
        self.note(format!("`{}{name}` is {value}: {what}", self.prefix));
    }

    fn missing(&mut self, name: &str) {
        self.note(format!("`{}{name}` is missing", self.prefix));
    }

    /// Notes a problem, once: some fields are read by several.
    fn note(&mut self, problem: String) {
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Runs `read` on the object in a field, and keeps its problems.
    pub(super) fn within<T>(&mut self, name: &str, read: impl FnOnce(&mut Fields<'a>) -> T) -> Option<T> {
        let Some(value) = self.get(name) else {
            self.missing(name);
            return None;
        };
        let Some(object) = value.as_object() else {
            self.refuse(name, "an object is expected");
            return None;
        };
        let prefix = format!("{}{name}.", self.prefix);
        let mut inner = Fields { object, prefix, problems: Vec::new() };
        let result = read(&mut inner);
        for problem in inner.problems {
            self.note(problem);
        }
        Some(result)
    }

    /// A whole number; the least that may be, where there is none.
    pub(super) fn number(&mut self, name: &str, may_be: RangeInclusive<usize>) -> usize {
        if self.get(name).is_none() {
            self.missing(name);
            return *may_be.start();
        }
        self.number_or(name, may_be, 0)
    }

    /// A whole number that has a default.
    pub(super) fn number_or(&mut self, name: &str, may_be: RangeInclusive<usize>, default: usize) -> usize {
        let Some(value) = self.get(name) else { return default };
        let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
        match number.filter(|number| may_be.contains(number)) {
            Some(number) => number,
            None => {
                let (least, most) = (may_be.start(), may_be.end());
                self.refuse(name, &format!("a whole number from {least} to {most} is expected"));
                *least
            }
        }
    }

    /// A positive number.
    pub(super) fn real(&mut self, name: &str) -> f64 {
        if self.get(name).is_none() {
            self.missing(name);
        }
        self.real_or(name, 1.0)
    }

    /// A positive number that has a default.
    pub(super) fn real_or(&mut self, name: &str, default: f64) -> f64 {
        let Some(value) = self.get(name) else { return default };
        match value.as_f64().filter(|number| number.is_finite() && *number > 0.0) {
            Some(number) => number,
            None => {
                self.refuse(name, "a positive number is expected");
                default
            }
        }
    }

    /// A truth that has a default.
    pub(super) fn truth_or(&mut self, name: &str, default: bool) -> bool {
        let Some(value) = self.get(name) else { return default };
        value.as_bool().unwrap_or_else(|| {
            self.refuse(name, "true or false is expected");
            default
        })
    }

    /// One of some words.
    pub(super) fn word<T: Copy>(&mut self, name: &str, known: &[(&str, T)]) -> Option<T> {
        let Some(value) = self.get(name) else {
            self.missing(name);
            return None;
        };
        let found = known.iter().find(|(word, _)| value.as_str() == Some(word));
        if found.is_none() {
            let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
            self.refuse(name, &format!("not understood; understood: {}", words.join(", ")));
        }
        found.map(|(_, meaning)| *meaning)
    }

    /// A field that is understood only if it is missing or has this value.
    pub(super) fn only(&mut self, name: &str, value: &Value) {
        let same =
            |given: &Value| given == value || given.as_f64().is_some_and(|a| value.as_f64() == Some(a));
        if self.get(name).is_some_and(|given| !same(given)) {
            self.refuse(name, &format!("not understood; understood: {value}"));
        }
    }
}

/// A value as text, cut where it is long.
fn short(value: &Value) -> String {
    const MOST: usize = 40;
    let text = value.to_string();
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
