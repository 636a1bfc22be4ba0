//! Reading a system's description from TOML, with every problem found listed.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Range, RangeInclusive};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Level, Link, System, Wiring, wiring};
use crate::description::{Bounds, DescriptionError, Reader};
use crate::nearest::nearest;

/// The descriptions that come with the program, by name.
const PRESETS: [(&str, &str); 9] = [
    ("tsp-v1-node", include_str!("../../systems/tsp-v1-node.toml")),
    ("tsp-v1-rack", include_str!("../../systems/tsp-v1-rack.toml")),
    ("tsp-v1-dragonfly", include_str!("../../systems/tsp-v1-dragonfly.toml")),
    ("tsp-v1-racks", include_str!("../../systems/tsp-v1-racks.toml")),
    ("tsp-v1-ring", include_str!("../../systems/tsp-v1-ring.toml")),
    ("lp30-tray", include_str!("../../systems/lp30-tray.toml")),
    ("lp30-node", include_str!("../../systems/lp30-node.toml")),
    ("lp30-rack", include_str!("../../systems/lp30-rack.toml")),
    ("lp30-racks", include_str!("../../systems/lp30-racks.toml")),
];

/// A field of a level that is a number.
struct Field {
    name: &'static str,
    unit: &'static str,
    whole: bool,
    range: RangeInclusive<f64>,
    set: fn(&mut Level, f64),
}

const FIELDS: [Field; 6] = [
    Field {
        name: "count",
        unit: "units",
        whole: true,
        range: 1.0..=1048576.0,
        set: |to, n| to.count = n as u32,
    },
    Field {
        name: "ports_per_chip",
        unit: "ports",
        whole: true,
        range: 1.0..=255.0,
        set: |to, n| to.ports_per_chip = n as u8,
    },
    Field {
        name: "gigabits_per_second",
        unit: "Gb/s",
        whole: false,
        range: 1e-3..=1e6,
        set: |to, n| to.link.gigabits_per_second = n,
    },
    Field {
        name: "packet_bytes",
        unit: "bytes",
        whole: true,
        range: 1.0..=1048576.0,
        set: |to, n| to.link.packet_bytes = n as u32,
    },
    Field { name: "hop_ns", unit: "ns", whole: false, range: 1e-3..=1e9, set: |to, n| to.link.hop_ns = n },
    Field {
        name: "buffer_vectors",
        unit: "vectors",
        whole: true,
        range: 1.0..=1048576.0,
        set: |to, n| to.link.buffer_vectors = n as u32,
    },
];

/// Bounds of `host_us`.
const HOST_US: Bounds<'static> = Bounds { unit: "us", whole: false, range: 0.0..=1e9 };

impl System {
    /// Names of the descriptions that come with the program.
    pub fn presets() -> &'static [&'static str] {
        const NAMES: [&str; PRESETS.len()] = {
            let mut names = [""; PRESETS.len()];
            let mut i = 0;
            while i < names.len() {
                names[i] = PRESETS[i].0;
                i += 1;
            }
            names
        };
        &NAMES
    }

    /// A description that comes with the program, or `None` if there is none of this name.
    pub fn preset(name: &str) -> Option<System> {
        let (_, text) = PRESETS.iter().find(|(preset, _)| *preset == name)?;
        Some(System::parse(name, text).expect("presets are sound: a test parses each"))
    }

    /// Reads a description: `chip`, `host_us`, and a table `[[levels]]` for each level, innermost first. A field is a plain value or a table
    /// `{ value, unit, source }`. A text that begins with `base = "lp30-rack"` says only what differs from that preset, with the names of
    /// the levels that it changes.
    ///
    /// # Errors
    /// Every problem found: broken TOML, unknown or missing fields, wrong types or units, values out of range, and levels that cannot be joined.
    pub fn parse(name: &str, text: &str) -> Result<System, Vec<DescriptionError>> {
        let mut reader = Reader::new(text);
        let system = System {
            name: name.to_string(),
            chip: String::new(),
            host_us: 0.0,
            levels: Vec::new(),
            sources: BTreeMap::new(),
        };
        let Some(table) = reader.table() else { return reader.finish(system) };
        let mut loader = Loader { reader, system, seen: BTreeSet::new(), spans: Vec::new(), complete: false };
        if let Some(base) = table.get_ref().get("base") {
            loader.base(base);
        }
        loader.fields(table.get_ref());
        loader.finish()
    }
}

/// A description on its way from text to [`System`].
struct Loader<'a> {
    reader: Reader<'a>,
    system: System,
    /// Fields that the text has, right or wrong: they are not missing.
    seen: BTreeSet<String>,
    /// Where the text has each level, by its number.
    spans: Vec<Option<Range<usize>>>,
    /// Every field has a value already, from a base.
    complete: bool,
}

impl Loader<'_> {
    fn base(&mut self, value: &Spanned<DeValue<'_>>) {
        self.complete = true; // a wrong base is one error, not one for each field
        let Some(base) = value.get_ref().as_str().and_then(System::preset) else {
            let known = System::presets().join(", ");
            let message = format!("must name one of the presets: {known}");
            return self.reader.error("base", Some(value.span()), message);
        };
        self.spans = vec![None; base.levels.len()];
        self.system = System { name: std::mem::take(&mut self.system.name), ..base };
    }

    fn fields(&mut self, table: &DeTable<'_>) {
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "base" => {}
                "chip" => {
                    if let Some(chip) = self.text("chip", value) {
                        self.system.chip = chip;
                    }
                }
                "host_us" => {
                    if let Some(host_us) = self.number("host_us", &HOST_US, value) {
                        self.system.host_us = host_us;
                    }
                }
                "levels" => match value.get_ref().as_array() {
                    Some(levels) => levels.iter().for_each(|level| self.level(level)),
                    None => self.refuse("levels", Some(value.span()), "must be tables: [[levels]]".into()),
                },
                other => self.unknown(other, other, key.span(), &["base", "chip", "host_us", "levels"]),
            }
        }
    }

    fn level(&mut self, value: &Spanned<DeValue<'_>>) {
        let DeValue::Table(table) = value.get_ref() else {
            return self.refuse("levels", Some(value.span()), "must be tables: [[levels]]".into());
        };
        let Some(name) = table.get("name").and_then(|name| name.get_ref().as_str()) else {
            let message = "has no `name`: node, rack, or what else its units are called".to_string();
            return self.refuse("levels", Some(value.span()), message);
        };
        let Some(index) = self.index(name, value.span()) else { return };
        self.spans[index] = Some(value.span());
        for (key, value) in table {
            let (part, field) = (key.get_ref().as_ref(), format!("{name}.{}", key.get_ref()));
            if part == "name" {
            } else if part == "wiring" {
                self.wiring(index, &field, value);
            } else if let Some(known) = FIELDS.iter().find(|known| known.name == part) {
                let bounds = Bounds { unit: known.unit, whole: known.whole, range: known.range.clone() };
                if let Some(number) = self.number(&field, &bounds, value) {
                    (known.set)(&mut self.system.levels[index], number);
                }
            } else {
                let names: Vec<&str> = level_fields().collect();
                self.unknown(&field, part, key.span(), &names);
            }
        }
    }

    /// The number of the level of this name, which is a new one unless there is a base.
    fn index(&mut self, name: &str, span: Range<usize>) -> Option<usize> {
        let known = self.system.levels.iter().position(|level| level.name == name);
        let twice = known.is_some_and(|index| self.spans[index].is_some());
        if twice {
            self.refuse("levels", Some(span), format!("two levels have the name `{name}`"));
            return None;
        }
        if known.is_none() && self.complete {
            let names: Vec<&str> = self.system.levels.iter().map(|level| level.name.as_str()).collect();
            let message = format!("the base has no level `{name}`: it has {}", names.join(", "));
            self.refuse("levels", Some(span), message);
            return None;
        }
        Some(known.unwrap_or_else(|| {
            self.system.levels.push(Level {
                name: name.to_string(),
                count: 1,
                wiring: Wiring::AllToAll,
                ports_per_chip: 1,
                link: Link::default(),
            });
            self.spans.push(None);
            self.system.levels.len() - 1
        }))
    }

    fn wiring(&mut self, index: usize, field: &str, value: &Spanned<DeValue<'_>>) {
        let Some(text) = self.text(field, value) else { return };
        match Wiring::ALL.into_iter().find(|wiring| wiring.to_string() == text) {
            Some(wiring) => self.system.levels[index].wiring = wiring,
            None => {
                let names = Wiring::ALL.map(|wiring| wiring.to_string()).join(", ");
                self.refuse(
                    field,
                    Some(value.span()),
                    format!("there is no wiring `{text}`; there are {names}"),
                );
            }
        }
    }

    fn number(&mut self, field: &str, bounds: &Bounds<'_>, value: &Spanned<DeValue<'_>>) -> Option<f64> {
        self.seen.insert(field.to_string());
        let given = self.reader.given(field, value)?;
        let scale = self.reader.scale(field, bounds.unit, &[], &given);
        let number = self.reader.number(field, bounds, given.content, scale)?;
        let source = self.reader.source(field, &given);
        self.system.sources.insert(field.to_string(), source);
        Some(number)
    }

    fn text(&mut self, field: &str, value: &Spanned<DeValue<'_>>) -> Option<String> {
        self.seen.insert(field.to_string());
        let given = self.reader.given(field, value)?;
        let Some(text) = given.content.get_ref().as_str() else {
            self.reader.error(field, Some(given.content.span()), "must be a string".to_string());
            return None;
        };
        let source = self.reader.source(field, &given);
        self.system.sources.insert(field.to_string(), source);
        Some(text.to_string())
    }

    fn refuse(&mut self, field: &str, span: Option<Range<usize>>, message: String) {
        self.seen.insert(field.to_string());
        self.reader.error(field, span, message);
    }

    fn unknown(&mut self, field: &str, part: &str, span: Range<usize>, known: &[&str]) {
        let near = nearest(part, known.iter().copied());
        let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        self.reader.error(field, Some(span), format!("no such field{hint}"));
    }

    fn finish(mut self) -> Result<System, Vec<DescriptionError>> {
        let levels = self.system.levels.iter().map(|level| &level.name);
        let of_levels = levels.flat_map(|name| {
            level_fields().filter(|field| *field != "name").map(move |field| format!("{name}.{field}"))
        });
        let all: Vec<String> =
            ["chip".to_string(), "host_us".to_string()].into_iter().chain(of_levels).collect();
        if !self.complete {
            for field in all.iter().filter(|field| !self.seen.contains(*field)) {
                self.reader.error(field, None, "missing".to_string());
            }
            if self.system.levels.is_empty() && !self.seen.contains("levels") {
                let message = "missing: give a table [[levels]] for each, innermost first".to_string();
                self.reader.error("levels", None, message);
            }
        }
        if self.reader.is_sound() {
            for (level, problem) in wiring::problems(&self.system) {
                let span = self.spans.get(level).cloned().flatten();
                self.reader.error("levels", span, problem);
            }
        }
        self.reader.finish(self.system)
    }
}

/// Names of a level's fields.
fn level_fields() -> impl Iterator<Item = &'static str> {
    ["name", "wiring"].into_iter().chain(FIELDS.iter().map(|field| field.name))
}
