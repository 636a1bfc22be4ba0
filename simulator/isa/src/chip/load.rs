//! Reading a chip description from TOML, with every problem found listed.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use super::Chip;
use super::field::{FIELDS, Field, Kind, TABLES, blank, find, format_name, format_names};
use crate::description::{Bounds, DescriptionError, Reader};
use crate::nearest::nearest;
use crate::stream::Format;

/// The descriptions that come with the program, by name.
const PRESETS: &[(&str, &str)] = &[
    ("tsp-v1", include_str!("../../chips/tsp-v1.toml")),
    ("lp30", include_str!("../../chips/lp30.toml")),
    ("lp30-narrow", include_str!("../../chips/lp30-narrow.toml")),
    ("lp30-wide", include_str!("../../chips/lp30-wide.toml")),
    ("ftlpu", include_str!("../../chips/ftlpu.toml")),
];

/// Most SRAM that a description may ask for: simulated memory is real memory.
const MOST_SRAM_BYTES: u64 = 16 << 30;

impl Chip {
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
    pub fn preset(name: &str) -> Option<Chip> {
        let (_, text) = PRESETS.iter().find(|(preset, _)| *preset == name)?;
        Some(Chip::parse(name, text).expect("presets are sound: a test parses each"))
    }

    /// Reads a description. A field is a plain number or a table `{ value, unit, source }`; a text that begins with `base = "lp30"`
    /// says only what differs from that preset.
    ///
    /// # Errors
    /// Every problem found: broken TOML, unknown or missing fields, wrong types or units, values out of range, and fields that
    /// do not go together.
    pub fn parse(name: &str, text: &str) -> Result<Chip, Vec<DescriptionError>> {
        let mut reader = Reader::new(text);
        let Some(table) = reader.table() else { return reader.finish(blank(name)) };
        let mut loader = Loader { reader, chip: blank(name), spans: BTreeMap::new() };
        let mut complete = false;
        for (key, value) in table.get_ref() {
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("base", value_of_base) => {
                    complete = true; // a wrong base is one error, not one for each field
                    loader.base(name, value.span(), value_of_base);
                }
                (group, DeValue::Table(fields)) if TABLES.contains(&group) => {
                    for (key, value) in fields {
                        loader.field(&format!("{group}.{}", key.get_ref()), key.span(), value);
                    }
                }
                (group, _) if TABLES.contains(&group) => {
                    loader.error(group, Some(value.span()), format!("must be a table: [{group}]"));
                }
                (other, _) => loader.field(other, key.span(), value),
            }
        }
        loader.finish(complete)
    }
}

/// A description on its way from text to [`Chip`].
struct Loader<'a> {
    reader: Reader<'a>,
    chip: Chip,
    spans: BTreeMap<&'static str, Range<usize>>,
}

impl Loader<'_> {
    fn error(&mut self, field: &str, span: Option<Range<usize>>, message: String) {
        self.reader.error(field, span, message);
    }

    /// Takes the values of the base for all fields that the text has not set (whatever the order in the text).
    fn base(&mut self, name: &str, span: Range<usize>, value: &DeValue<'_>) {
        let base = value.as_str().and_then(Chip::preset);
        let Some(mut base) = base else {
            let known = Chip::presets().join(", ");
            return self.error("base", Some(span), format!("must name one of the presets: {known}"));
        };
        base.name = name.to_string();
        for field in FIELDS.iter().filter(|field| self.spans.contains_key(field.name)) {
            field.copy(&self.chip, &mut base);
            base.sources.extend(self.chip.sources.remove_entry(field.name));
        }
        self.chip = base;
    }

    fn field(&mut self, name: &str, key: Range<usize>, value: &Spanned<DeValue<'_>>) {
        let Some(field) = find(name) else {
            let near = nearest(name, FIELDS.iter().map(|field| field.name));
            let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            return self.error(name, Some(key), format!("no such field{hint}"));
        };
        let Some(given) = self.reader.given(name, value) else { return };
        let scales: &[(&str, f64)] = if field.unit == "Hz" { &[("MHz", 1e6), ("GHz", 1e9)] } else { &[] };
        let scale = self.reader.scale(name, field.unit, scales, &given);
        self.chip.sources.insert(field.name, self.reader.source(name, &given));
        self.spans.insert(field.name, given.content.span());
        match &field.kind {
            Kind::Number(number) => {
                let bounds =
                    Bounds { unit: field.unit, whole: field.whole(), range: number.least..=number.most };
                if let Some(value) = self.reader.number(name, &bounds, given.content, scale) {
                    (number.set)(&mut self.chip, value);
                }
            }
            Kind::Formats => self.formats(field, given.content),
        }
    }

    fn formats(&mut self, field: &Field, value: &Spanned<DeValue<'_>>) {
        let Some(names) = value.get_ref().as_array() else {
            return self.error(field.name, Some(value.span()), format!("must be {}", field.wanted()));
        };
        if names.is_empty() {
            let message = format!("is empty: planes multiply in some format, of {}", format_names());
            return self.error(field.name, Some(value.span()), message);
        }
        let mut given = Vec::new();
        for name in names {
            let known = name
                .get_ref()
                .as_str()
                .and_then(|text| Format::OF_WEIGHTS.into_iter().find(|format| format_name(*format) == text));
            match known {
                Some(format) if given.contains(&format) => {
                    self.error(field.name, Some(name.span()), format!("names {} twice", format_name(format)));
                }
                Some(format) => given.push(format),
                None => {
                    let shown = self.reader.shown(name.span());
                    let message = format!("{shown} is no format of planes; there are {}", format_names());
                    self.error(field.name, Some(name.span()), message);
                }
            }
        }
        self.chip.mxm.formats =
            Format::OF_WEIGHTS.into_iter().filter(|format| given.contains(format)).collect();
    }

    fn finish(mut self, complete: bool) -> Result<Chip, Vec<DescriptionError>> {
        if !complete {
            let missing: Vec<&Field> =
                FIELDS.iter().filter(|field| !self.chip.sources.contains_key(field.name)).collect();
            for field in missing {
                let message = format!(
                    "missing: give {}, or begin the file with `base = \"lp30\"` and write only what differs",
                    field.wanted()
                );
                self.error(field.name, None, message);
            }
        }
        if self.reader.is_sound() {
            for (field, message) in relations(&self.chip) {
                self.error(field, self.spans.get(field).cloned(), message);
            }
        }
        self.reader.finish(self.chip)
    }
}

/// Fields that do not go together, each with the reason. All ranges hold already.
fn relations(chip: &Chip) -> Vec<(&'static str, String)> {
    let mut broken = Vec::new();
    let mut require = |holds: bool, field: &'static str, message: String| {
        if !holds {
            broken.push((field, message));
        }
    };
    let (lanes, per_superlane) = (chip.lanes, chip.lanes_per_superlane);
    let whole = lanes.is_multiple_of(per_superlane);
    require(whole, "lanes", format!("{lanes} is not a multiple of lanes_per_superlane = {per_superlane}"));
    let superlanes = lanes / per_superlane;
    require(
        superlanes <= 255,
        "lanes_per_superlane",
        format!("makes {superlanes} superlanes, at most 255 can be"),
    );
    let streams = chip.streams;
    require(
        streams.is_multiple_of(4),
        "streams",
        format!("{streams} is not a multiple of 4, as 32-bit values need"),
    );
    let bytes = chip.sram_bytes();
    let too_much = format!("makes {bytes} bytes of SRAM, at most {MOST_SRAM_BYTES} are supported");
    require(bytes <= MOST_SRAM_BYTES, "mem.words_per_bank", too_much);
    let rows = chip.mxm.rows;
    let no_lane = format!("{rows} rows give as many outputs, which need as many lanes; there are {lanes}");
    require(usize::from(rows) <= lanes, "mxm.rows", no_lane);
    let load = chip.mxm.load_streams_per_plane;
    require(
        load.is_multiple_of(2),
        "mxm.load_streams_per_plane",
        format!("{load} is odd; F16 weights come on pairs"),
    );
    let formats = &chip.mxm.formats;
    let holds = |format: &Format| formats.contains(&format.held());
    let unheld = "has weights that become F16 as they are installed, and not F16 itself".to_string();
    require(formats.iter().all(holds), "mxm.formats", unheld);
    let planes = u16::from(chip.mxm.planes_per_hemisphere);
    let starved = format!("{planes} planes cannot load {load} streams each from {streams}");
    require(load * planes <= streams, "mxm.load_streams_per_plane", starved);
    let (depth, vxm) = (chip.vxm.forward_depth, chip.latency.vxm);
    let unreachable =
        format!("{depth} is less than latency.vxm = {vxm}, so no result could ever be forwarded");
    require(u16::from(depth) >= vxm, "vxm.forward_depth", unreachable);
    let (queue, page) = (chip.icu.queue_bytes, chip.page_bytes());
    let narrow = format!(
        "{queue} bytes do not hold what an Ifetch brings: {page} bytes, icu.fetch_vectors times lanes"
    );
    require(queue as usize >= page, "icu.queue_bytes", narrow);
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_parse_and_every_field_has_unit_and_source() {
        for (name, text) in PRESETS {
            let chip = Chip::parse(name, text).unwrap_or_else(|errors| panic!("{name}: {errors:?}"));
            assert_eq!(chip.name, *name);
            for field in FIELDS {
                let source = chip.sources.get(field.name).expect(field.name);
                assert!(!source.is_empty() && source != "given without source", "{name} {}", field.name);
            }
            assert_eq!(text.matches("value =").count(), text.matches("unit =").count(), "{name}");
            assert_eq!(Chip::preset(name), Some(chip));
        }
        assert_eq!(Chip::presets(), ["tsp-v1", "lp30", "lp30-narrow", "lp30-wide", "ftlpu"]);
        assert_eq!(Chip::preset("lp31"), None);
    }

    #[test]
    fn base_is_overridden_by_plain_numbers_and_units() {
        let text = "streams = 128\nbase = \"lp30\"\nclock_hz = { value = 1.25, unit = \"GHz\" }\n[mem]\nbanks = 0x4\n";
        let chip = Chip::parse("mine", text).unwrap();
        let lp30 = Chip::preset("lp30").unwrap();
        assert_eq!((chip.name.as_str(), chip.streams, chip.mem.banks), ("mine", 128, 4));
        assert_eq!((chip.clock_hz, chip.lanes), (1.25e9, lp30.lanes));
        assert_eq!(chip.sources["streams"], "given without source");
        assert_eq!(chip.sources["lanes"], lp30.sources["lanes"]);
    }

    #[test]
    fn formats_are_a_set() {
        let text = "base = \"tsp-v1\"\n[mxm]\nformats = [\"F8\", \"I8\"]\n";
        let chip = Chip::parse("mine", text).unwrap();
        assert_eq!(chip.mxm.formats, [Format::I8, Format::F8]);
        assert_eq!(chip.mxm.refuses("mine", Format::F8), None);
        let refused = chip.mxm.refuses("mine", Format::F16).unwrap();
        assert_eq!(refused, "the planes of mine multiply in i8, f8, not in f16");
        let refused = chip.mxm.refuses("mine", Format::I4).unwrap();
        assert_eq!(refused, "the planes of mine load weights in i8, f8, not in i4");
        let lp30 = Chip::preset("lp30").unwrap().mxm;
        assert_eq!(lp30.refuses("lp30", Format::F4), None);
        let refused = lp30.refuses_activations("lp30", Format::F4).unwrap();
        assert_eq!(refused, "the planes of lp30 multiply in i8, f8, f16, not in f4");
        for (preset, formats) in [
            ("tsp-v1", &[Format::I8, Format::F16][..]),
            ("lp30", &Format::OF_WEIGHTS),
            ("lp30-narrow", &Format::OF_WEIGHTS),
            ("lp30-wide", &Format::OF_WEIGHTS),
            ("ftlpu", &[Format::I8, Format::F16]),
        ] {
            assert_eq!(Chip::preset(preset).unwrap().mxm.formats, formats, "{preset}");
        }
    }

    #[test]
    fn every_problem_is_listed_with_its_field_and_line() {
        let check = |text: &str, expected: &[&str]| {
            let errors = Chip::parse("bad", text).expect_err(text);
            let shown: Vec<String> = errors.iter().map(DescriptionError::to_string).collect();
            assert_eq!(shown, expected, "{text}");
        };
        check(
            "base = \"lp30\"\nstreems = 4\nlanes = \"many\"\n[mem]\nbanks = 0\nwords_per_bank = 1.5\nslices_per_hemisphere = { value = 99999999999999999999, unit = \"slice\" }\n",
            &[
                "line 2: streems: no such field; did you mean `streams`?",
                "line 3: lanes: must be a number of lanes",
                "line 5: mem.banks: is 0 banks per slice, must be 1 to 16",
                "line 6: mem.words_per_bank: must be a whole number of words",
                "line 7: mem.slices_per_hemisphere: is 100000000000000000000 slices, must be 1 to 1024",
                "line 7: mem.slices_per_hemisphere: the unit is \"slices\", not \"slice\"",
            ],
        );
        check(
            "base = 3\n",
            &["line 1: base: must name one of the presets: tsp-v1, lp30, lp30-narrow, lp30-wide, ftlpu"],
        );
        check(
            "base = \"lp30\"\nlanes = 330\nstreams = 18\n[vxm]\nforward_depth = 3\n",
            &[
                "line 2: lanes: 330 is not a multiple of lanes_per_superlane = 16",
                "line 3: streams: 18 is not a multiple of 4, as 32-bit values need",
                "line 5: vxm.forward_depth: 3 is less than latency.vxm = 4, so no result could ever be forwarded",
                "mxm.load_streams_per_plane: 2 planes cannot load 32 streams each from 18",
            ],
        );
        check(
            "base = \"lp30\"\n[mem]\nwords_per_bank = 1048576\nslices_per_hemisphere = 1024\n",
            &[
                "line 3: mem.words_per_bank: makes 1374389534720 bytes of SRAM, at most 17179869184 are supported",
            ],
        );
        check(
            "base = \"lp30\"\n[mxm]\nformats = [\"I8\", \"f16\", 8, \"F32\", \"I8\"]\n",
            &[
                "line 3: mxm.formats: \"f16\" is no format of planes; there are I8, F8, F16, I4, F4, F8WIDE",
                "line 3: mxm.formats: 8 is no format of planes; there are I8, F8, F16, I4, F4, F8WIDE",
                "line 3: mxm.formats: \"F32\" is no format of planes; there are I8, F8, F16, I4, F4, F8WIDE",
                "line 3: mxm.formats: names I8 twice",
            ],
        );
        check(
            "base = \"lp30\"\n[mxm]\nformats = { value = [], unit = \"format\" }\n",
            &[
                "line 3: mxm.formats: is empty: planes multiply in some format, of I8, F8, F16, I4, F4, F8WIDE",
                "line 3: mxm.formats: the unit is \"formats\", not \"format\"",
            ],
        );
        check(
            "base = \"lp30\"\n[mxm]\nformats = [\"I8\", \"F4\"]\n",
            &["line 3: mxm.formats: has weights that become F16 as they are installed, and not F16 itself"],
        );
        check(
            "base = \"lp30\"\n[mxm]\nformats = \"I8\"\n",
            &["line 3: mxm.formats: must be a list of formats, of I8, F8, F16, I4, F4, F8WIDE"],
        );
        check("mem = 3\nbase = \"lp30\"\n", &["line 1: mem: must be a table: [mem]"]);
        assert_eq!(Chip::parse("empty", "").unwrap_err().len(), FIELDS.len());
        let broken = Chip::parse("broken", "lanes = [\n").unwrap_err();
        assert!(broken[0].line.is_some() && !broken[0].message.is_empty(), "{broken:?}");
    }
}
