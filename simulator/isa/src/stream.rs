//! Streams: numbered one-byte-per-lane paths that move one stream register per cycle, and the formats they carry.

use std::fmt;
use std::str::FromStr;

/// Which way a stream moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Toward higher positions.
    East,
    /// Toward lower positions.
    West,
}

impl Direction {
    /// The other way.
    pub fn opposite(self) -> Direction {
        match self {
            Direction::East => Direction::West,
            Direction::West => Direction::East,
        }
    }

    /// +1 for east, −1 for west: the change of position per cycle.
    pub fn sign(self) -> i64 {
        match self {
            Direction::East => 1,
            Direction::West => -1,
        }
    }

    /// The slot that a value at `position` in `cycle` is in. It stays in that slot as it moves.
    pub fn slot(self, cycle: i64, position: i32) -> i64 {
        cycle - self.sign() * i64::from(position)
    }

    /// The cycle in which slot `slot` passes `position`.
    pub fn cycle(self, slot: i64, position: i32) -> i64 {
        slot + self.sign() * i64::from(position)
    }
}

/// A stream, or the first of an aligned group of streams; prints as `s7e`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stream {
    /// Number within the direction.
    pub number: u8,
    /// Which way it moves.
    pub direction: Direction,
}

/// What the bytes of a stream group mean; wider formats take an aligned group, least significant byte first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// Signed byte, one stream. In an ALU: a 32-bit integer; as a result: saturated.
    I8,
    /// The 8-bit float e4m3fn of the Open Compute Project, one stream: no infinities, NaN is S.1111.111, the greatest number 448, the least
    /// 2^-9. In an ALU: f32; as a result: rounded to nearest even, saturated to ±448, NaN stays NaN.
    F8,
    /// IEEE binary16, two streams. In an ALU: f32; as a result: rounded to nearest even (overflow gives infinity).
    F16,
    /// 32-bit integer, four streams.
    I32,
    /// IEEE binary32, four streams.
    F32,
    /// Weights alone, two rows in a vector: a signed integer of four bits, -8 to 7, in each half of a byte, in blocks with a scale. See
    /// [`crate::instruction::Mxm::Lw`].
    I4,
    /// The same of the 4-bit float e2m1 of the Open Compute Project.
    F4,
    /// Weights alone: F8, of which the array makes F16.
    F8Wide,
}

impl Format {
    /// Streams (bytes per lane) that one value takes; of weights of four bits, two values share one.
    pub fn streams(self) -> u8 {
        match self {
            Format::I8 | Format::F8 | Format::I4 | Format::F4 | Format::F8Wide => 1,
            Format::F16 => 2,
            Format::I32 | Format::F32 => 4,
        }
    }

    /// The format of sums of products in this format.
    pub fn sums(self) -> Format {
        match self {
            Format::I8 | Format::I32 => Format::I32,
            Format::F8 | Format::F16 | Format::F32 | Format::I4 | Format::F4 | Format::F8Wide => Format::F32,
        }
    }

    /// The format in which the array holds weights of this one: formats of weights alone become F16 as they are installed, the others stay as they are.
    pub fn held(self) -> Format {
        match self {
            Format::I4 | Format::F4 | Format::F8Wide => Format::F16,
            Format::I8 | Format::F8 | Format::F16 | Format::I32 | Format::F32 => self,
        }
    }

    /// Whether values of it are weights on their way into a plane, and nothing else: no activations, no operands of ALUs.
    pub fn only_weights(self) -> bool {
        self.held() != self
    }

    /// Whether values of it have four bits, and come in blocks with a scale.
    pub fn in_blocks(self) -> bool {
        matches!(self, Format::I4 | Format::F4)
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Direction::East => "e",
            Direction::West => "w",
        })
    }
}

/// `s7e`: stream 7, eastward.
impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}{}", self.number, self.direction)
    }
}

/// Reads what `Display` writes.
impl FromStr for Stream {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let body = text.strip_prefix('s').ok_or(())?;
        let (digits, direction) = match (body.strip_suffix('e'), body.strip_suffix('w')) {
            (Some(digits), _) => (digits, Direction::East),
            (_, Some(digits)) => (digits, Direction::West),
            _ => return Err(()),
        };
        let number: u8 = digits.parse().map_err(|_| ())?;
        let stream = Stream { number, direction };
        if stream.to_string() == text { Ok(stream) } else { Err(()) }
    }
}

impl Format {
    /// Every format, in the order of its code.
    pub const ALL: [Format; 8] = [
        Format::I8,
        Format::F16,
        Format::I32,
        Format::F32,
        Format::F8,
        Format::I4,
        Format::F4,
        Format::F8Wide,
    ];

    /// The formats that ALUs read and write.
    pub const OF_ALUS: [Format; 5] = [Format::I8, Format::F16, Format::I32, Format::F32, Format::F8];

    /// The formats that a matrix plane may multiply in; which of them it does, its chip says.
    pub const OF_PLANES: [Format; 3] = [Format::I8, Format::F8, Format::F16];

    /// The formats of weights that a matrix plane may load; which of them it does, its chip says.
    pub const OF_WEIGHTS: [Format; 6] =
        [Format::I8, Format::F8, Format::F16, Format::I4, Format::F4, Format::F8Wide];
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::I8 => "i8",
            Format::F8 => "f8",
            Format::F16 => "f16",
            Format::I32 => "i32",
            Format::F32 => "f32",
            Format::I4 => "i4",
            Format::F4 => "f4",
            Format::F8Wide => "f8wide",
        })
    }
}
