//! What is sound but not supported, does not fit, or makes no sense, says so: its exit code and its word.

use lpu_tests::{lpuc, root};

fn path(name: &str) -> String {
    root().join(name).to_string_lossy().into_owned()
}

#[test]
fn chips_that_are_too_small_say_by_how_much() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = path("examples/licence-decoder.onnx");
    let chips = [
        ("[mem]\nwords_per_bank = 64", "does-not-fit"),
        ("[mem]\nslices_per_hemisphere = 4", "chip-too-small"),
        // A page would fill the queue.
        ("[icu]\nqueue_bytes = 640", "instruction-fetch"),
    ];
    for (field, code) in chips {
        let chip = folder.path().join(format!("{code}.toml")).to_string_lossy().into_owned();
        std::fs::write(&chip, format!("base = \"tsp-v1\"\n{field}\n")).expect("written");
        let ran = lpuc(&[&model, "--chip", &chip]);
        assert_eq!(ran.code, 3, "{field}: {}", ran.err);
        assert!(ran.err.contains(&format!("error[{code}]")), "{field}: {}", ran.err);
        assert_eq!(ran.out, "", "{field}");
    }
}

#[test]
fn what_is_not_supported_says_so() {
    let model = path("examples/licence-decoder.onnx");
    let encoder = path("examples/encoder.onnx");
    let cases: [(&[&str], u8, &str); 8] = [
        (&[&model, "--chips", "4"], 3, "unsupported-chips"),
        (&[&model, "--chips", "some"], 2, "usage"),
        (&[&model, "--chip", "none"], 2, "unknown-chip"),
        (&[&model, "--context", "32", "--generate", "4"], 2, "usage"),
        (&[&model, "--context", "32", "--generate", "40", "--prompt-ids", "1"], 2, "context"),
        (&[&model, "--context", "32", "--generate", "4", "--prompt-ids", "1,9999"], 2, "bad-prompt"),
        (&[&encoder, "--context", "16", "--generate", "4", "--prompt-ids", "1"], 3, "no-cache"),
        (&[&encoder, "--context", "16", "--generate", "4", "--prompt", "x"], 2, "no-vocabulary"),
    ];
    for (args, code, word) in cases {
        let ran = lpuc(args);
        assert_eq!(ran.code, code, "{args:?}: {}", ran.err);
        assert!(ran.err.contains(&format!("error[{word}]")), "{args:?}: {}", ran.err);
        assert_eq!(ran.out, "", "{args:?}");
    }
}
