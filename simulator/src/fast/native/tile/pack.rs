//! Packs rows of weights into lines: a transposition, eight rows by eight columns at a time.

use std::ops::Range;

use isa::stream::Format;

use super::{Line, ROWS};

/// Rows and columns that are transposed at once.
const SIDE: usize = 8;

/// Lanes that are looked at together.
const CHUNK: usize = 16;

/// What a block of rows was found to hold.
pub(super) struct Found {
    /// No infinity or NaN.
    pub(super) finite: bool,
    /// Nothing but zeros.
    pub(super) zero: bool,
}

/// The lanes in which any weight has a bit, in whole chunks of [`CHUNK`] lanes.
#[inline(always)]
pub(super) fn span(format: Format, lanes: usize, rows: &[Option<[&[u8]; 2]>]) -> Range<usize> {
    let planes = if format == Format::F16 { 2 } else { 1 };
    let mut any = vec![0u8; lanes];
    for plane in rows.iter().flatten().flat_map(|row| &row[..planes]) {
        any.iter_mut().zip(&plane[..lanes]).for_each(|(any, byte)| *any |= byte);
    }
    let Some(last) = any.iter().rposition(|bits| *bits != 0) else { return 0..0 };
    let first = any.iter().position(|bits| *bits != 0).unwrap_or(0);
    first / CHUNK * CHUNK..(last + 1).next_multiple_of(CHUNK).min(lanes)
}

/// Whether a row of F8 has a NaN.
#[inline(always)]
pub(super) fn has_nan(lanes: usize, row: &Option<[&[u8]; 2]>) -> bool {
    let found =
        |row: &[&[u8]; 2]| row[0][..lanes].iter().fold(0, |any, byte| any | u8::from(byte & 0x7f == 0x7f));
    row.as_ref().map_or(0, found) != 0
}

/// Appends the lines of a block of at most [`ROWS`] rows, of the lanes `span`.
#[inline(always)]
pub(super) fn block(
    format: Format,
    lanes: usize,
    span: Range<usize>,
    rows: &[Option<[&[u8]; 2]>],
    lines: &mut Vec<Line>,
) -> Found {
    if span.is_empty() || rows.iter().all(Option::is_none) {
        return Found { finite: true, zero: true };
    }
    let first = lines.len();
    let count = if format == Format::F16 { span.len() } else { span.len().div_ceil(2) };
    lines.resize(first + count, Line([0; ROWS]));
    let lines = &mut lines[first..];
    let mut seen = Seen::default();
    for (group, rows) in rows.chunks(SIDE).enumerate() {
        for start in span.clone().step_by(CHUNK) {
            // The next columns of 16 lanes: for F16 two squares of them, for bytes one.
            let mut squares = [[[0u16; SIDE]; SIDE]; 2];
            for (index, row) in rows.iter().enumerate() {
                let Some(row) = row else { continue };
                let low = sixteen(row[0], start, lanes);
                if format == Format::F16 {
                    [squares[0][index], squares[1][index]] = join(low, sixteen(row[1], start, lanes));
                } else {
                    squares[0][index] = pairs(low);
                }
            }
            let from = start - span.start;
            let (squares, first) =
                if format == Format::F16 { (&squares[..], from) } else { (&squares[..1], from / 2) };
            for (square, first) in squares.iter().zip((first..).step_by(SIDE)) {
                if *square == [[0; SIDE]; SIDE] {
                    continue;
                }
                seen.look(square);
                let square = transpose(square);
                let end = lines.len().min(first + SIDE);
                for (line, column) in lines[first.min(end)..end].iter_mut().zip(square) {
                    line.0[SIDE * group..][..SIDE].copy_from_slice(&column);
                }
            }
        }
    }
    seen.found(format)
}

/// Sixteen bytes of a plane, zeros past its end.
#[inline(always)]
fn sixteen(plane: &[u8], start: usize, lanes: usize) -> [u8; 16] {
    if let Some(Ok(bytes)) = plane[..lanes].get(start..start + 16).map(<[u8; 16]>::try_from) {
        return bytes;
    }
    let mut bytes = [0; 16];
    bytes[..lanes - start].copy_from_slice(&plane[start..lanes]);
    bytes
}

/// What the weights so far have in common.
#[derive(Default)]
struct Seen {
    /// Bits that any weight has.
    any: [u16; SIDE],
    /// All ones where a binary16 weight is not finite.
    special: [u16; SIDE],
}

impl Seen {
    #[inline(always)]
    fn look(&mut self, square: &[[u16; SIDE]; SIDE]) {
        for row in square {
            for (column, bits) in row.iter().enumerate() {
                self.any[column] |= bits;
                self.special[column] |= if bits & 0x7c00 == 0x7c00 { 0xffff } else { 0 };
            }
        }
    }

    fn found(&self, format: Format) -> Found {
        let any = self.any.iter().fold(0, |any, bits| any | bits);
        if format == Format::F16 {
            Found { finite: self.special == [0; SIDE], zero: any & 0x7fff == 0 }
        } else {
            Found { finite: true, zero: any == 0 }
        }
    }
}

/// Bytes side by side as 16-bit integers.
#[inline(always)]
fn pairs(bytes: [u8; 16]) -> [u16; SIDE] {
    std::array::from_fn(|column| u16::from_le_bytes([bytes[2 * column], bytes[2 * column + 1]]))
}

/// Low and high bytes as 16-bit integers.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn join(low: [u8; 16], high: [u8; 16]) -> [[u16; SIDE]; 2] {
    use std::arch::x86_64::{__m128i, _mm_unpackhi_epi8, _mm_unpacklo_epi8};
    // SAFETY: sixteen bytes and a vector of 128 bits are the same bits.
    let [low, high]: [__m128i; 2] = unsafe { std::mem::transmute([low, high]) };
    // SAFETY: every x86-64 processor has SSE2.
    let joined = unsafe { [_mm_unpacklo_epi8(low, high), _mm_unpackhi_epi8(low, high)] };
    // SAFETY: the same bits again.
    unsafe { std::mem::transmute(joined) }
}

/// Low and high bytes as 16-bit integers.
#[cfg(not(target_arch = "x86_64"))]
fn join(low: [u8; 16], high: [u8; 16]) -> [[u16; SIDE]; 2] {
    [0, SIDE].map(|first| std::array::from_fn(|i| u16::from_le_bytes([low[first + i], high[first + i]])))
}

/// Rows to columns.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn transpose(square: &[[u16; SIDE]; SIDE]) -> [[u16; SIDE]; SIDE] {
    use std::arch::x86_64::{
        __m128i, _mm_unpackhi_epi16, _mm_unpackhi_epi32, _mm_unpackhi_epi64, _mm_unpacklo_epi16,
        _mm_unpacklo_epi32, _mm_unpacklo_epi64,
    };
    // SAFETY: eight 16-bit integers and a vector of 128 bits are the same bits.
    let r: [__m128i; SIDE] = unsafe { std::mem::transmute(*square) };
    // SAFETY: every x86-64 processor has SSE2.
    let columns = unsafe {
        let pairs = |a, b| (_mm_unpacklo_epi16(a, b), _mm_unpackhi_epi16(a, b));
        let ((a0, a1), (b0, b1)) = (pairs(r[0], r[1]), pairs(r[2], r[3]));
        let ((c0, c1), (d0, d1)) = (pairs(r[4], r[5]), pairs(r[6], r[7]));
        let fours = |a, b| (_mm_unpacklo_epi32(a, b), _mm_unpackhi_epi32(a, b));
        let ((e0, e1), (e2, e3)) = (fours(a0, b0), fours(a1, b1));
        let ((f0, f1), (f2, f3)) = (fours(c0, d0), fours(c1, d1));
        let eights = |a, b| [_mm_unpacklo_epi64(a, b), _mm_unpackhi_epi64(a, b)];
        [eights(e0, f0), eights(e1, f1), eights(e2, f2), eights(e3, f3)]
    };
    // SAFETY: the same bits again.
    unsafe { std::mem::transmute(columns) }
}

/// Rows to columns.
#[cfg(not(target_arch = "x86_64"))]
fn transpose(square: &[[u16; SIDE]; SIDE]) -> [[u16; SIDE]; SIDE] {
    std::array::from_fn(|column| square.map(|row| row[column]))
}
