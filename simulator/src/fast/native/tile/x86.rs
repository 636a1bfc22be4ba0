//! Kernels of AVX2 and AVX-512: the same loops over vectors of different widths.

use std::arch::x86_64::*;

use isa::numeric::NAN;
use isa::stream::Format;

use super::activations::{self, Inputs};
use super::{Line, ROWS, Tile};

/// The weights of row `row` and those after it.
#[inline(always)]
fn from(line: &Line, row: usize) -> *const u16 {
    line.0.as_ptr().wrapping_add(row)
}

/// Asks for weights that are wanted some lines later: of large programs they are in memory, not in a cache.
#[inline(always)]
fn prefetch(line: &Line) {
    let later = std::ptr::from_ref(line).wrapping_add(AHEAD);
    // SAFETY: every x86-64 processor has it, and it does nothing at addresses where nothing is.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(later.cast()) };
}

/// Lines from one that is multiplied to one that is asked for.
const AHEAD: usize = 32;

/// The loops. A module has the operations on vectors: `WIDTH` f64, or twice as many i32.
macro_rules! kernels {
    ($features:literal) => {
        /// F16 vectors as the kernel takes them.
        #[target_feature(enable = $features)]
        pub(in super::super) fn inputs<const V: usize>(
            vectors: &[[&[u8]; 2]],
            lanes: usize,
            skip: bool,
        ) -> Inputs<f64, V> {
            activations::halves(vectors, lanes, skip)
        }

        /// Packs rows of weights.
        #[target_feature(enable = $features)]
        pub(in super::super) fn repack(
            tile: &mut Tile,
            format: Format,
            lanes: usize,
            rows: &[Option<[&[u8]; 2]>],
        ) {
            tile.repack_here(format, lanes, rows);
        }

        /// F16: sums of one block of rows, rounded to f32.
        #[target_feature(enable = $features)]
        pub(in super::super) fn halves<const V: usize>(
            lines: &[Line],
            inputs: &[[f64; V]],
            results: &mut [[u32; ROWS]; V],
        ) {
            // As many sums as registers hold beside weights.
            for start in (0..ROWS).step_by(SUMS.min(ROWS / WIDTH * V) / V * WIDTH) {
                match SUMS.min(ROWS / WIDTH * V) / V {
                    1 => halves_of::<V, 1>(lines, inputs, results, start),
                    2 => halves_of::<V, 2>(lines, inputs, results, start),
                    4 => halves_of::<V, 4>(lines, inputs, results, start),
                    _ => halves_of::<V, 8>(lines, inputs, results, start),
                }
            }
        }

        /// The same of `N` vectors of rows from row `start` on.
        #[target_feature(enable = $features)]
        #[inline]
        fn halves_of<const V: usize, const N: usize>(
            lines: &[Line],
            inputs: &[[f64; V]],
            results: &mut [[u32; ROWS]; V],
            start: usize,
        ) {
            let mut sums = [[zeros(); N]; V];
            for (line, values) in lines.iter().zip(inputs) {
                prefetch(line);
                for n in 0..N {
                    let weights = widen(line, start + n * WIDTH);
                    for v in 0..V {
                        sums[v][n] = multiply_add(weights, values[v], sums[v][n]);
                    }
                }
            }
            for (results, sums) in results.iter_mut().zip(sums) {
                for (results, sum) in results[start..].chunks_exact_mut(WIDTH).zip(sums) {
                    round(sum, results);
                }
            }
        }

        /// F8 vectors as the kernel takes them.
        #[target_feature(enable = $features)]
        pub(in super::super) fn quarter_inputs<const V: usize>(
            vectors: &[[&[u8]; 2]],
            lanes: usize,
        ) -> Inputs<[f64; 2], V> {
            activations::quarters(vectors, lanes)
        }

        /// F8: sums of one block of rows, rounded to f32.
        #[target_feature(enable = $features)]
        pub(in super::super) fn quarters<const V: usize>(
            lines: &[Line],
            inputs: &[[[f64; 2]; V]],
            results: &mut [[u32; ROWS]; V],
        ) {
            for start in (0..ROWS).step_by(SUMS.min(ROWS / WIDTH * V) / V * WIDTH) {
                match SUMS.min(ROWS / WIDTH * V) / V {
                    1 => quarters_of::<V, 1>(lines, inputs, results, start),
                    2 => quarters_of::<V, 2>(lines, inputs, results, start),
                    4 => quarters_of::<V, 4>(lines, inputs, results, start),
                    _ => quarters_of::<V, 8>(lines, inputs, results, start),
                }
            }
        }

        /// The same of `N` vectors of rows from row `start` on.
        #[target_feature(enable = $features)]
        #[inline]
        fn quarters_of<const V: usize, const N: usize>(
            lines: &[Line],
            inputs: &[[[f64; 2]; V]],
            results: &mut [[u32; ROWS]; V],
            start: usize,
        ) {
            let mut sums = [[zeros(); N]; V];
            for (line, values) in lines.iter().zip(inputs) {
                prefetch(line);
                for n in 0..N {
                    let [first, second] = widen_quarters(line, start + n * WIDTH);
                    for v in 0..V {
                        sums[v][n] = multiply_add(first, values[v][0], sums[v][n]);
                        sums[v][n] = multiply_add(second, values[v][1], sums[v][n]);
                    }
                }
            }
            for (results, sums) in results.iter_mut().zip(sums) {
                for (results, sum) in results[start..].chunks_exact_mut(WIDTH).zip(sums) {
                    round(sum, results);
                }
            }
        }

        /// I8: sums of one block of rows.
        #[target_feature(enable = $features)]
        pub(in super::super) fn bytes<const V: usize>(
            lines: &[Line],
            inputs: &[[i32; V]],
            results: &mut [[u32; ROWS]; V],
        ) {
            // Of integers a vector holds twice as many.
            for start in (0..ROWS).step_by(SUMS.min(ROWS / WIDTH / 2 * V) / V * 2 * WIDTH) {
                match SUMS.min(ROWS / WIDTH / 2 * V) / V {
                    1 => bytes_of::<V, 1>(lines, inputs, results, start),
                    2 => bytes_of::<V, 2>(lines, inputs, results, start),
                    _ => bytes_of::<V, 4>(lines, inputs, results, start),
                }
            }
        }

        /// The same of `N` vectors of rows from row `start` on.
        #[target_feature(enable = $features)]
        #[inline]
        fn bytes_of<const V: usize, const N: usize>(
            lines: &[Line],
            inputs: &[[i32; V]],
            results: &mut [[u32; ROWS]; V],
            start: usize,
        ) {
            let mut sums = [[no_sums(); N]; V];
            for (line, values) in lines.iter().zip(inputs) {
                prefetch(line);
                for n in 0..N {
                    let weights = widen_bytes(line, start + n * 2 * WIDTH);
                    for v in 0..V {
                        sums[v][n] = multiply_add_pairs(weights, values[v], sums[v][n]);
                    }
                }
            }
            for (results, sums) in results.iter_mut().zip(sums) {
                for (results, sum) in results[start..].chunks_exact_mut(2 * WIDTH).zip(sums) {
                    store(sum, results);
                }
            }
        }
    };
}

/// The weights of two lanes, as [`activations::as_half`] makes them: those of the first, and those of the second.
#[target_feature(enable = "sse2")]
#[inline]
fn as_halves(pairs: __m128i) -> [__m128i; 2] {
    // The sign is shifted along, and what it leaves in the highest bit of the exponent is taken out.
    let mask = _mm_set1_epi16(0xbf80_u16 as i16);
    let first = _mm_srai_epi16::<1>(_mm_slli_epi16::<8>(pairs));
    [_mm_and_si128(first, mask), _mm_and_si128(_mm_srai_epi16::<1>(pairs), mask)]
}

/// Vectors of 512 bits.
pub(super) mod avx512 {
    use super::*;

    const WIDTH: usize = 8;
    const SUMS: usize = 16;

    kernels!("avx512f,avx512bw,avx2,fma,f16c");

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn zeros() -> __m512d {
        _mm512_setzero_pd()
    }

    #[target_feature(enable = "avx512f,f16c")]
    #[inline]
    fn widen(line: &Line, row: usize) -> __m512d {
        // SAFETY: rows are taken by eights, which are 128 bits, aligned as the line is.
        let halves = unsafe { _mm_load_si128(from(line, row).cast()) };
        _mm512_cvtps_pd(_mm256_cvtph_ps(halves))
    }

    #[target_feature(enable = "avx512f,f16c")]
    #[inline]
    fn widen_quarters(line: &Line, row: usize) -> [__m512d; 2] {
        // SAFETY: as above.
        let pairs = unsafe { _mm_load_si128(from(line, row).cast()) };
        as_halves(pairs).map(|halves| _mm512_cvtps_pd(_mm256_cvtph_ps(halves)))
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn multiply_add(weights: __m512d, value: f64, sum: __m512d) -> __m512d {
        _mm512_fmadd_pd(weights, _mm512_set1_pd(value), sum)
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn round(sum: __m512d, results: &mut [u32]) {
        assert!(results.len() == WIDTH);
        let wrong = _mm512_cmp_pd_mask::<_CMP_UNORD_Q>(sum, sum);
        let bits = _mm512_castsi256_si512(_mm256_castps_si256(_mm512_cvtpd_ps(sum)));
        let bits = _mm512_mask_set1_epi32(bits, wrong.into(), NAN as i32);
        // SAFETY: eight words are 256 bits.
        unsafe { _mm256_storeu_si256(results.as_mut_ptr().cast(), _mm512_castsi512_si256(bits)) };
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn no_sums() -> __m512i {
        _mm512_setzero_si512()
    }

    #[target_feature(enable = "avx512f,avx512bw")]
    #[inline]
    fn widen_bytes(line: &Line, row: usize) -> __m512i {
        // SAFETY: rows are taken by sixteens, which are 256 bits, aligned as the line is.
        _mm512_cvtepi8_epi16(unsafe { _mm256_load_si256(from(line, row).cast()) })
    }

    #[target_feature(enable = "avx512f,avx512bw")]
    #[inline]
    fn multiply_add_pairs(weights: __m512i, values: i32, sum: __m512i) -> __m512i {
        _mm512_add_epi32(_mm512_madd_epi16(weights, _mm512_set1_epi32(values)), sum)
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn store(sum: __m512i, results: &mut [u32]) {
        assert!(results.len() == 2 * WIDTH);
        // SAFETY: sixteen words are 512 bits.
        unsafe { _mm512_storeu_si512(results.as_mut_ptr().cast(), sum) };
    }
}

/// Vectors of 256 bits.
pub(super) mod avx2 {
    use super::*;

    const WIDTH: usize = 4;
    const SUMS: usize = 8;

    kernels!("avx2,fma,f16c");

    #[target_feature(enable = "avx2")]
    #[inline]
    fn zeros() -> __m256d {
        _mm256_setzero_pd()
    }

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    fn widen(line: &Line, row: usize) -> __m256d {
        // SAFETY: rows are taken by fours, which are 64 bits.
        let halves = unsafe { _mm_loadl_epi64(from(line, row).cast()) };
        _mm256_cvtps_pd(_mm_cvtph_ps(halves))
    }

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    fn widen_quarters(line: &Line, row: usize) -> [__m256d; 2] {
        // SAFETY: as above.
        let pairs = unsafe { _mm_loadl_epi64(from(line, row).cast()) };
        as_halves(pairs).map(|halves| _mm256_cvtps_pd(_mm_cvtph_ps(halves)))
    }

    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn multiply_add(weights: __m256d, value: f64, sum: __m256d) -> __m256d {
        _mm256_fmadd_pd(weights, _mm256_set1_pd(value), sum)
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn round(sum: __m256d, results: &mut [u32]) {
        assert!(results.len() == WIDTH);
        let value = _mm256_cvtpd_ps(sum);
        let nan = _mm_castsi128_ps(_mm_set1_epi32(NAN as i32));
        let value = _mm_blendv_ps(value, nan, _mm_cmpunord_ps(value, value));
        // SAFETY: four words are 128 bits.
        unsafe { _mm_storeu_si128(results.as_mut_ptr().cast(), _mm_castps_si128(value)) };
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn no_sums() -> __m256i {
        _mm256_setzero_si256()
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn widen_bytes(line: &Line, row: usize) -> __m256i {
        // SAFETY: rows are taken by eights, which are 128 bits, aligned as the line is.
        _mm256_cvtepi8_epi16(unsafe { _mm_load_si128(from(line, row).cast()) })
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn multiply_add_pairs(weights: __m256i, values: i32, sum: __m256i) -> __m256i {
        _mm256_add_epi32(_mm256_madd_epi16(weights, _mm256_set1_epi32(values)), sum)
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn store(sum: __m256i, results: &mut [u32]) {
        assert!(results.len() == 2 * WIDTH);
        // SAFETY: eight words are 256 bits.
        unsafe { _mm256_storeu_si256(results.as_mut_ptr().cast(), sum) };
    }
}
