//! Each helper, on this host's features and without any, against the reference.

use super::*;

/// A cheap sequence of bits.
fn random(state: &mut u64) -> u32 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 32) as u32
}

fn check(helper: Helper, op: VxmOp, words: &[u32; LANES]) {
    let mut results = *words;
    // SAFETY: it gets a block, and the host has the features.
    unsafe { helper(results.as_mut_ptr()) };
    for (word, result) in words.iter().zip(results) {
        let expected = numeric::alu(op, *word, 0);
        assert_eq!(result, expected, "{op:?} of {word:#x} ({})", f32::from_bits(*word));
    }
}

fn all(words: &[u32; LANES], host: Helpers) {
    for helpers in [host, portable::helpers(Halves::new())] {
        check(helpers.exp, VxmOp::Exp, words);
        check(helpers.tanh, VxmOp::Tanh, words);
        check(helpers.rsqrt, VxmOp::Rsqrt, words);
    }
}

#[test]
fn random_bits_and_a_sweep() {
    let mut hosts = vec![Helpers::new()];
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        hosts.push(avx2::helpers(Halves::new()));
    }
    let mut state = 1;
    for host in hosts {
        for _ in 0..1 << 15 {
            all(&std::array::from_fn(|_| random(&mut state)), host);
            // Numbers around 1, where the functions have their values.
            all(
                &std::array::from_fn(|_| {
                    random(&mut state) & 0x87ff_ffff | 0x3800_0000 | random(&mut state) & 0x0400_0000
                }),
                host,
            );
        }
        for start in (0..u32::MAX - 4001 * 16).step_by(4001 * 16) {
            all(&std::array::from_fn(|lane| start + 4001 * lane as u32), host);
        }
    }
}

#[test]
fn edges() {
    let floats = [-104.0f32, -103.98, -87.0, -87.4, -88.0, 88.5, 88.73, 89.0, 10.0, 9.0, 1.0 / 8192.0];
    for around in floats {
        for sign in [0, 0x8000_0000] {
            all(&std::array::from_fn(|lane| (around.to_bits() - 8 + lane as u32) ^ sign), Helpers::new());
        }
    }
    for around in [0u32, 0x7f80_0000, 0x8000_0000, 0xff80_0000, 0x0080_0000] {
        all(&std::array::from_fn(|lane| around.wrapping_sub(8).wrapping_add(lane as u32)), Helpers::new());
    }
}

/// A quarter of what is in doubt, so that there is room for the reference's own error.
#[test]
fn approximations_are_as_precise_as_is_assumed() {
    let check = |name, x: f64, value: f64, reference: f64| {
        let error = ((value - reference) / reference).abs();
        assert!(error < 2f64.powi(-44), "{name} of {x}: {value} is off by {error:e}");
    };
    for step in 0..400_000 {
        let x = -87.0 + 175.5 / 400_000.0 * f64::from(step);
        check("exp", x, exp_of::<false>(x), libm::exp(x));
        let x = 1.0 / 8192.0 + 10.0 / 400_000.0 * f64::from(step);
        check("tanh", x, tanh_of::<false>(x), libm::tanh(x));
        if step % 16 == 0 {
            check("fused exp", -x, exp_of::<true>(-x), libm::exp(-x));
            check("fused tanh", x, tanh_of::<true>(x), libm::tanh(x));
        }
    }
}
