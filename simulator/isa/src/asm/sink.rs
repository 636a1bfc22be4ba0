//! What the grammar's actions need: reading tokens' text into values, and collecting errors on the way.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::Range;
use std::str::FromStr;

use bytes::Bytes;
use lalrpop_util::{ErrorRecovery, ParseError};

use super::AsmError;
use super::lexer::Token;
use crate::instruction::VxmOp;
use crate::nearest::nearest;
use crate::program::ZERO_LANE;
use crate::{ChipProgram, Hemisphere, Page, Port, Program, Queue, Run, Segment, SegmentData, Stream};

/// Errors reported for one text; a damaged file needs no more.
const MOST_ERRORS: usize = 50;

/// Lanes in one map: no chip has more.
const MOST_LANES: usize = 4096;

/// A part of a `chip` block.
pub(super) enum ChipItem {
    /// Where it stands, its number, its lanes.
    Map(Range<usize>, u16, Vec<u16>),
    Memory(Vec<Segment>),
    Port(Port),
    /// Where it stands, and its runs.
    Queue(Range<usize>, Queue, Vec<Run>),
    /// Where it stands, and its pages.
    Text(Range<usize>, Queue, Vec<Page>),
    /// Reported already.
    Broken,
}

/// Collects errors; where a value is wrong it hands on some value of the type, and the text is refused in the end.
pub(super) struct Sink<'a> {
    text: &'a str,
    pub(super) errors: Vec<AsmError>,
    /// A whole block of a chip was skipped, so braces no longer pair as they were meant to.
    lost: bool,
}

impl<'a> Sink<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Sink { text, errors: Vec::new(), lost: false }
    }

    pub(super) fn error(&mut self, span: Range<usize>, message: String, help: Option<String>) {
        if self.errors.len() < MOST_ERRORS {
            self.errors.push(AsmError { span, message, help });
        }
    }

    /// A part of the text was skipped, and parsing goes on behind it.
    pub(super) fn recovered(&mut self, recovery: ErrorRecovery<usize, Token<'a>, Infallible>) {
        self.parse_error(recovery.error);
    }

    /// A whole block of a chip was skipped. Behind the first one braces no longer pair as they were meant to, which is no news.
    pub(super) fn broken_block(&mut self, recovery: ErrorRecovery<usize, Token<'a>, Infallible>) {
        let brace =
            matches!(recovery.error, ParseError::UnrecognizedToken { token: (_, Token::BraceClose, _), .. });
        if !(self.lost && brace) {
            self.recovered(recovery);
        }
        self.lost = true;
    }

    pub(super) fn parse_error(&mut self, error: ParseError<usize, Token<'a>, Infallible>) {
        let (span, found, expected) = match error {
            ParseError::InvalidToken { location } => (location..location, None, Vec::new()),
            ParseError::UnrecognizedEof { location, expected } => (location..location, None, expected),
            ParseError::UnrecognizedToken { token: (start, _, end), expected } => {
                (start..end, self.text.get(start..end), expected)
            }
            ParseError::ExtraToken { token: (start, _, end) } => {
                (start..end, self.text.get(start..end), Vec::new())
            }
            ParseError::User { error } => match error {},
        };
        let message = match found {
            Some(found) => format!("`{}` cannot stand here", shorten(found)),
            None => "the text ends too early".to_string(),
        };
        self.error(span, message, expectation(found, &expected));
    }

    /// A number in the range of its type.
    pub(super) fn number<T: TryFrom<i128> + Default + Limits>(
        &mut self,
        (span, value): (Range<usize>, i128),
    ) -> T {
        T::try_from(value).unwrap_or_else(|_| {
            self.out_of_range::<T>(span);
            T::default()
        })
    }

    /// The number at the end of a token such as `n12`, without its letters.
    pub(super) fn suffix<T: FromStr + Default + Limits>(&mut self, span: Range<usize>, digits: &str) -> T {
        digits.parse().unwrap_or_else(|_| {
            self.out_of_range::<T>(span);
            T::default()
        })
    }

    fn out_of_range<T: Limits>(&mut self, span: Range<usize>) {
        let found = self.text.get(span.clone()).unwrap_or_default();
        let message = format!("`{}` is out of range: {} is possible here", shorten(found), T::LIMITS);
        self.error(span, message, None);
    }

    /// A lane, which is never the mark for zero.
    pub(super) fn lane(&mut self, (span, value): (Range<usize>, i128)) -> u16 {
        let lane: u16 = self.number((span.clone(), value));
        if lane == ZERO_LANE {
            self.error(
                span,
                "no lane has this number".to_string(),
                Some("a lane of zeros is `zero`".to_string()),
            );
            return 0;
        }
        lane
    }

    pub(super) fn stream(&mut self, (span, text): (Range<usize>, &str)) -> Stream {
        text.parse().unwrap_or_else(|()| {
            let message = format!("`{}` is not a stream", shorten(text));
            let help = "streams are s0e to s255e and s0w to s255w".to_string();
            self.error(span, message, Some(help));
            Stream { number: 0, direction: crate::Direction::East }
        })
    }

    pub(super) fn queue(&mut self, (span, text): (Range<usize>, &str)) -> Queue {
        text.parse().unwrap_or_else(|()| {
            let message = format!("`{}` is not a queue", shorten(text));
            let help =
                "such as east.mem12.read, west.mem0.write, vxm.alu3, east.mxm0.load (install, stream, accumulate), \
                 east.sxm0, west.c2c5";
            self.error(span, message, Some(help.to_string()));
            Queue::Vxm(0)
        })
    }

    pub(super) fn mem_slice(&mut self, (span, text): (Range<usize>, &str)) -> (Hemisphere, u16) {
        let slice = text.split_once('.').and_then(|(hemisphere, index)| {
            let index = index.strip_prefix("mem")?.parse().ok()?;
            Some((hemisphere.parse().ok()?, index))
        });
        slice.unwrap_or_else(|| {
            let message = format!("`{}` is not a memory slice", shorten(text));
            self.error(span, message, Some("such as east.mem12".to_string()));
            (Hemisphere::East, 0)
        })
    }

    /// A string without its quotes and escapes.
    pub(super) fn text(&mut self, (span, quoted): (Range<usize>, &str)) -> String {
        let mut out = String::new();
        let mut rest = &quoted[1..quoted.len() - 1];
        while let Some((plain, escaped)) = rest.split_once('\\') {
            out.push_str(plain);
            rest = match escaped.strip_prefix("u{").and_then(|code| code.split_once('}')) {
                Some((code, after)) => {
                    match u32::from_str_radix(code, 16).ok().and_then(char::from_u32) {
                        Some(char) => out.push(char),
                        None => self.error(span.clone(), format!("\\u{{{code}}} is no character"), None),
                    }
                    after
                }
                None => {
                    out.push_str(&escaped[..1]); // a quote or a backslash: the lexer lets nothing else pass
                    &escaped[1..]
                }
            };
        }
        out + rest
    }

    pub(super) fn map(&mut self, span: Range<usize>, spans: Vec<(u16, u16, u32)>) -> Vec<u16> {
        let mut lanes = Vec::new();
        for (first, end, times) in spans {
            let more = if first == ZERO_LANE { 1 } else { usize::from(end.saturating_sub(first)) };
            if lanes.len() + more * times as usize > MOST_LANES {
                self.error(span, format!("the map has more than {MOST_LANES} lanes"), None);
                return Vec::new();
            }
            for _ in 0..times {
                if first == ZERO_LANE { lanes.push(ZERO_LANE) } else { lanes.extend(first..end) }
            }
        }
        lanes
    }

    pub(super) fn bytes(&mut self, parts: Vec<(Range<usize>, &str)>) -> SegmentData {
        let mut bytes = Vec::new();
        for (span, quoted) in parts {
            bytes.extend(self.hex(span, quoted));
        }
        SegmentData::Bytes(Bytes::from(bytes))
    }

    pub(super) fn digest(&mut self, (span, quoted): (Range<usize>, &str)) -> SegmentData {
        let digest = self.hex(span.clone(), quoted);
        match digest.try_into() {
            Ok(digest) => SegmentData::Digest(digest),
            Err(_) => {
                self.error(span, "a BLAKE3 hash has 64 hexadecimal digits".to_string(), None);
                SegmentData::Absent
            }
        }
    }

    fn hex(&mut self, span: Range<usize>, quoted: &str) -> Vec<u8> {
        let digits = &quoted.as_bytes()[1..quoted.len() - 1];
        let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
        let byte = |pair: &[u8]| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?);
        let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
        bytes.unwrap_or_else(|| {
            self.error(span, "bytes are pairs of hexadecimal digits".to_string(), None);
            Vec::new()
        })
    }

    pub(super) fn chip(&mut self, items: Vec<ChipItem>) -> ChipProgram {
        let mut chip = ChipProgram { queues: BTreeMap::new(), ..ChipProgram::default() };
        for item in items {
            match item {
                ChipItem::Map(span, index, lanes) => {
                    self.in_order("map", span, usize::from(index), chip.maps.len());
                    chip.maps.push(lanes);
                }
                ChipItem::Memory(segments) => chip.memory.extend(segments),
                ChipItem::Port(port) => chip.ports.push(port),
                ChipItem::Queue(span, queue, runs) => {
                    if chip.queues.insert(queue, runs).is_some() {
                        let help =
                            "write all runs of a queue in one block, in order of their cycles".to_string();
                        self.error(span, format!("queue {queue} is there already"), Some(help));
                    }
                }
                ChipItem::Text(span, queue, pages) => {
                    if chip.text.insert(queue, pages).is_some() {
                        let help = "write all pages of a queue in one block, in order".to_string();
                        self.error(span, format!("the text of {queue} is there already"), Some(help));
                    }
                }
                ChipItem::Broken => {}
            }
        }
        chip
    }

    pub(super) fn program(
        &mut self,
        chip: String,
        nodes: Vec<(Range<usize>, usize, String)>,
        bodies: Vec<(Range<usize>, usize, Result<ChipProgram, usize>)>,
    ) -> Program {
        for (place, (span, index, _)) in nodes.iter().enumerate() {
            self.in_order("node", span.clone(), *index, place);
        }
        let mut chips: Vec<ChipProgram> = Vec::new();
        for (span, index, body) in bodies {
            self.in_order("chip", span.clone(), index, chips.len());
            match body.or_else(|same| chips.get(same).cloned().ok_or(same)) {
                Ok(chip) => chips.push(chip),
                Err(same) => {
                    self.error(span, format!("there is no chip {same} before this one"), None);
                    chips.push(ChipProgram::default());
                }
            }
        }
        Program { chip, nodes: nodes.into_iter().map(|(_, _, name)| name).collect(), chips }
    }

    fn in_order(&mut self, what: &str, span: Range<usize>, found: usize, expected: usize) {
        if found != expected {
            let message = format!("{what} {found} stands in the place of {what} {expected}");
            self.error(span, message, Some("they are numbered from 0, in order".to_string()));
        }
    }
}

/// Number types, and what to tell about their range.
pub(super) trait Limits {
    const LIMITS: &'static str;
}

macro_rules! limits {
    ($($type:ty: $limits:literal;)*) => { $(impl Limits for $type { const LIMITS: &'static str = $limits; })* };
}

limits! {
    u8: "0 to 255";
    u16: "0 to 65535";
    u32: "0 to 4294967295";
    u64: "0 to 18446744073709551615";
    i16: "-32768 to 32767";
    i32: "-2147483648 to 2147483647";
}

/// At most 40 characters of a text that is quoted in a message.
fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(40).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// What could stand in the place of `found`: the name that it was meant to be, or a list that is short enough to help.
fn expectation(found: Option<&str>, expected: &[String]) -> Option<String> {
    let operations = expected.iter().any(|name| name == "OPERATION");
    let words = expected.iter().filter_map(|name| name.strip_prefix('"')?.strip_suffix('"'));
    let words = words.filter(|name| *name != "unknown");
    let names = words.chain(VxmOp::ALL.iter().filter(|_| operations).map(|op| op.name()));
    if let Some(meant) = found.and_then(|found| nearest(found, names.filter(|name| name.len() > 1))) {
        return Some(format!("did you mean `{meant}`?"));
    }
    if operations {
        return Some("expected an instruction such as `Read`, `LW` or `Add`".to_string());
    }
    let name = |terminal: &String| match terminal.as_str() {
        "INTEGER" => "a number".to_string(),
        "STRING" => "a text in quotes".to_string(),
        "STREAM" => "a stream such as s7e".to_string(),
        "TIMES" => "a count such as x12".to_string(),
        "NODE" => "a node such as n3".to_string(),
        "MAP" => "a map such as m0".to_string(),
        "ALU" => "an ALU's result such as alu2[4]".to_string(),
        "PLACE" => "a place such as east.mem12".to_string(),
        other => format!("`{}`", other.trim_matches('"')),
    };
    let shown: Vec<String> = expected.iter().filter(|name| *name != "\"unknown\"").map(name).collect();
    if shown.is_empty() { None } else { Some(format!("expected {}", shown.join(", "))) }
}
