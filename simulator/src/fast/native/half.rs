//! Between planes of binary16 and 32-bit lanes, by instructions that Cranelift does not know: called by compiled chains.

use isa::numeric::{narrow, widen};
use isa::stream::Format;

/// Lanes of a block.
const LANES: usize = 16;

/// What chains call, for a number of blocks of 16 lanes.
#[derive(Clone, Copy)]
pub(super) struct Halves {
    /// From the planes of low and high bytes to words.
    pub(super) widen: unsafe extern "C" fn(*const u8, *const u8, *mut u32, usize),
    /// From words to the planes.
    pub(super) narrow: unsafe extern "C" fn(*const u32, *mut u8, *mut u8, usize),
    /// To the nearest binary16 numbers, as words: one block, in place.
    pub(super) round: unsafe extern "C" fn(*mut u32),
}

impl Halves {
    /// The best for this host.
    pub(super) fn new() -> Halves {
        *Halves::all().last().expect("one at least")
    }

    /// All of this host, the best last.
    fn all() -> Vec<Halves> {
        let mut all = vec![PORTABLE];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("f16c") {
            all.push(x86::AVX2);
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
            {
                all.push(x86::AVX512);
            }
        }
        all
    }
}

const PORTABLE: Halves = Halves { widen: widen_blocks, narrow: narrow_blocks, round: round_block };

unsafe extern "C" fn widen_blocks(low: *const u8, high: *const u8, words: *mut u32, blocks: usize) {
    for lane in 0..blocks * LANES {
        // SAFETY: the chain's vectors have as many lanes.
        unsafe {
            let half = u16::from_le_bytes([low.add(lane).read(), high.add(lane).read()]);
            words.add(lane).write_unaligned(widen(Format::F16, half.into()));
        }
    }
}

unsafe extern "C" fn narrow_blocks(words: *const u32, low: *mut u8, high: *mut u8, blocks: usize) {
    for lane in 0..blocks * LANES {
        // SAFETY: the chain's vectors have as many lanes.
        unsafe {
            let half = narrow(Format::F16, words.add(lane).read_unaligned()).to_le_bytes();
            low.add(lane).write(half[0]);
            high.add(lane).write(half[1]);
        }
    }
}

unsafe extern "C" fn round_block(words: *mut u32) {
    for lane in 0..LANES {
        // SAFETY: the chain hands over a block.
        unsafe {
            let word = words.add(lane);
            word.write_unaligned(widen(Format::F16, narrow(Format::F16, word.read_unaligned())));
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    //! With the conversions of F16C, which are those of the reference but for NaNs.

    use std::arch::x86_64::*;

    use isa::numeric::NAN;

    use super::{Halves, LANES};

    pub(super) const AVX512: Halves = Halves { widen: widen_512, narrow: narrow_512, round: round_512 };
    pub(super) const AVX2: Halves = Halves { widen: widen_256, narrow: narrow_256, round: round_256 };

    /// The only NaN of binary16.
    const HALF_NAN: i16 = 0x7e00;

    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    unsafe extern "C" fn widen_512(low: *const u8, high: *const u8, words: *mut u32, blocks: usize) {
        for block in 0..blocks {
            let at = block * LANES;
            // SAFETY: the chain's vectors have as many lanes.
            unsafe {
                let low = _mm256_cvtepu8_epi16(_mm_loadu_si128(low.wrapping_add(at).cast()));
                let high = _mm256_cvtepu8_epi16(_mm_loadu_si128(high.wrapping_add(at).cast()));
                let halves = _mm256_or_si256(low, _mm256_slli_epi16::<8>(high));
                _mm512_storeu_si512(words.wrapping_add(at).cast(), numbers_512(halves));
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    unsafe extern "C" fn narrow_512(words: *const u32, low: *mut u8, high: *mut u8, blocks: usize) {
        for block in 0..blocks {
            let at = block * LANES;
            // SAFETY: the chain's vectors have as many lanes.
            unsafe {
                let halves = halves_512(_mm512_loadu_ps(words.wrapping_add(at).cast()));
                _mm_storeu_si128(low.wrapping_add(at).cast(), _mm256_cvtepi16_epi8(halves));
                let upper = _mm256_srli_epi16::<8>(halves);
                _mm_storeu_si128(high.wrapping_add(at).cast(), _mm256_cvtepi16_epi8(upper));
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    unsafe extern "C" fn round_512(words: *mut u32) {
        // SAFETY: the chain hands over a block.
        unsafe {
            let halves = halves_512(_mm512_loadu_ps(words.cast()));
            _mm512_storeu_si512(words.cast(), numbers_512(halves));
        }
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn numbers_512(halves: __m256i) -> __m512i {
        let numbers = _mm512_cvtph_ps(halves);
        let wrong = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(numbers, numbers);
        _mm512_mask_set1_epi32(_mm512_castps_si512(numbers), wrong, NAN as i32)
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    #[inline]
    fn halves_512(numbers: __m512) -> __m256i {
        let wrong = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(numbers, numbers);
        let halves = _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(numbers);
        _mm256_mask_set1_epi16(halves, wrong, HALF_NAN)
    }

    #[target_feature(enable = "avx2,f16c")]
    unsafe extern "C" fn widen_256(low: *const u8, high: *const u8, words: *mut u32, blocks: usize) {
        for at in (0..blocks * LANES).step_by(8) {
            // SAFETY: the chain's vectors have as many lanes.
            unsafe {
                let low = _mm_loadl_epi64(low.wrapping_add(at).cast());
                let high = _mm_loadl_epi64(high.wrapping_add(at).cast());
                let numbers = numbers_256(_mm_unpacklo_epi8(low, high));
                _mm256_storeu_ps(words.wrapping_add(at).cast(), numbers);
            }
        }
    }

    #[target_feature(enable = "avx2,f16c")]
    unsafe extern "C" fn narrow_256(words: *const u32, low: *mut u8, high: *mut u8, blocks: usize) {
        for at in (0..blocks * LANES).step_by(8) {
            // SAFETY: the chain's vectors have as many lanes.
            unsafe {
                let halves = halves_256(_mm256_loadu_ps(words.wrapping_add(at).cast()));
                let lower = _mm_and_si128(halves, _mm_set1_epi16(0xff));
                let packed = _mm_packus_epi16(lower, _mm_srli_epi16::<8>(halves));
                _mm_storel_epi64(low.wrapping_add(at).cast(), packed);
                _mm_storel_epi64(high.wrapping_add(at).cast(), _mm_unpackhi_epi64(packed, packed));
            }
        }
    }

    #[target_feature(enable = "avx2,f16c")]
    unsafe extern "C" fn round_256(words: *mut u32) {
        for at in [0, 8] {
            // SAFETY: the chain hands over a block.
            unsafe {
                let words: *mut f32 = words.wrapping_add(at).cast();
                _mm256_storeu_ps(words, numbers_256(halves_256(_mm256_loadu_ps(words))));
            }
        }
    }

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    fn numbers_256(halves: __m128i) -> __m256 {
        let numbers = _mm256_cvtph_ps(halves);
        let nan = _mm256_castsi256_ps(_mm256_set1_epi32(NAN as i32));
        _mm256_blendv_ps(numbers, nan, _mm256_cmp_ps::<_CMP_UNORD_Q>(numbers, numbers))
    }

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    fn halves_256(numbers: __m256) -> __m128i {
        let wrong = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(numbers, numbers));
        let wrong = _mm_packs_epi32(_mm256_castsi256_si128(wrong), _mm256_extracti128_si256::<1>(wrong));
        let halves = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(numbers);
        _mm_blendv_epi8(halves, _mm_set1_epi16(HALF_NAN), wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ways_agree_on_all_numbers_and_what_lies_between() {
        for halves in Halves::all() {
            for start in (0..=u16::MAX).step_by(LANES) {
                let block: [u16; LANES] = std::array::from_fn(|lane| start + lane as u16);
                let [low, high] = [0, 8].map(|shift| block.map(|half| (half >> shift) as u8));
                let mut words = [0u32; LANES];
                // SAFETY: one block each, and the host has the features.
                unsafe { (halves.widen)(low.as_ptr(), high.as_ptr(), words.as_mut_ptr(), 1) };
                assert_eq!(words, block.map(|half| widen(Format::F16, half.into())));
                for offset in [0, 1, 0xfff, 0x1000, 0x1001, 0x1fff] {
                    // Without the NaN in place of others, so that all kinds of NaN occur as well.
                    let words = words.map(|word| word.wrapping_add(offset));
                    let (mut low, mut high, mut rounded) = ([0u8; LANES], [0u8; LANES], words);
                    // SAFETY: as above.
                    unsafe {
                        (halves.narrow)(words.as_ptr(), low.as_mut_ptr(), high.as_mut_ptr(), 1);
                        (halves.round)(rounded.as_mut_ptr());
                    }
                    for lane in 0..LANES {
                        let expected = narrow(Format::F16, words[lane]);
                        let found = u32::from(u16::from_le_bytes([low[lane], high[lane]]));
                        assert_eq!(found, expected, "{:#x}", words[lane]);
                        assert_eq!(rounded[lane], widen(Format::F16, expected), "{:#x}", words[lane]);
                    }
                }
            }
        }
    }
}
