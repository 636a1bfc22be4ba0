//! Damaged files of every kind give an error that says so: exit 2 or 3, never a panic, and no file is written.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use lpu_tests::onnx::{self, Message, constant, graph, model, node, value};
use lpu_tests::{Ran, lpuc, lpuc_well, root};

/// A fixed stream of numbers (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

/// `count` damaged copies: cut short, bits flipped, bytes overwritten, stretches taken out or put in twice.
fn damaged(original: &[u8], count: usize, seed: u64) -> Vec<Vec<u8>> {
    let mut numbers = Numbers(seed);
    let one = |case: usize| {
        let mut bytes = original.to_vec();
        let at = numbers.below(bytes.len());
        match case % 5 {
            0 => bytes.truncate(at),
            1 => (0..=numbers.below(3)).for_each(|_| {
                let at = numbers.below(bytes.len());
                bytes[at] ^= 1 << numbers.below(8);
            }),
            2 => bytes[at] = numbers.below(256) as u8,
            3 => drop(bytes.drain(at..(at + 1 + numbers.below(16)).min(original.len()))),
            _ => {
                let end = (at + 1 + numbers.below(16)).min(original.len());
                let again = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, again));
            }
        }
        bytes
    };
    (0..count).map(one).collect()
}

/// Runs `lpuc` on each damaged content, in a folder of its own, and returns how many were refused. `args` get the paths of the
/// damaged file and of the folder for outputs.
fn run_all(
    kind: &str,
    ending: &str,
    contents: &[Vec<u8>],
    args: impl Fn(&Path, &Path) -> Vec<String>,
) -> usize {
    let mut refused = 0;
    for (case, content) in contents.iter().enumerate() {
        let folder = tempfile::tempdir().expect("a folder");
        let input = folder.path().join(format!("damaged.{ending}"));
        std::fs::write(&input, content).expect("written");
        let outputs = folder.path().join("outputs");
        std::fs::create_dir(&outputs).expect("a folder");
        let args = args(&input, &outputs);
        let ran = catch_unwind(AssertUnwindSafe(|| lpuc(&args)));
        let Ran { code, err, .. } = ran.unwrap_or_else(|_| panic!("{kind}, case {case}: panicked"));
        assert!([0, 2, 3].contains(&code), "{kind}, case {case}: exit {code}\n{err}");
        if code != 0 {
            refused += 1;
            assert!(
                err.to_lowercase().contains("error"),
                "{kind}, case {case}: exit {code} without an error:\n{err}"
            );
            let written = std::fs::read_dir(&outputs).expect("readable").count();
            assert_eq!(written, 0, "{kind}, case {case}: exit {code}, and files were written");
        }
    }
    refused
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn compile(model: &Path, outputs: &Path) -> Vec<String> {
    let out = |kind: &str, name: &str| ["--emit".to_owned(), format!("{kind}={}", text(&outputs.join(name)))];
    [
        vec![text(model), "--outputs".to_owned(), text(&outputs.join("out.npz"))],
        out("asm", "a").to_vec(),
        out("program", "p").to_vec(),
    ]
    .concat()
}

#[test]
fn damaged_models() {
    let refused = run_all("onnx", "onnx", &damaged(&onnx::tiny(), 200, 0x9e37_79b9), compile);
    assert!(refused > 80, "only {refused} of 200 damaged models were refused");
    let example = std::fs::read(root().join("examples/encoder.onnx")).expect("readable");
    let cut: Vec<Vec<u8>> = (0..20).map(|i| example[..example.len() * i / 20].to_vec()).collect();
    assert_eq!(run_all("cut example", "onnx", &cut, compile), 20);
}

/// Models that are sound protobuf and wrong otherwise.
fn wrong_models() -> Vec<Vec<u8>> {
    let x = || value("x", 1, &[2, 8]);
    let y = || value("y", 1, &[2, 8]);
    let one = |nodes: &[Message], constants: &[Message]| model(graph(nodes, constants, &[x()], &[y()]));
    let attribute = |name: &str, field: u64, number: i64, kind: i64| {
        Message::default().text(1, name).int(field, number).int(20, kind)
    };
    let relu = || node("Relu", &["x"], "y");
    let raw = |dims: &[i64], data_type: i64, bytes: &[u8]| {
        let dims = dims.iter().fold(Message::default(), |dims, &dim| dims.int(1, dim));
        dims.int(2, data_type).text(8, "w").bytes(9, bytes)
    };
    let opset = |version: i64| {
        let opset = Message::default().text(1, "").int(2, version);
        Message::default().int(1, 8).message(7, graph(&[relu()], &[], &[x()], &[y()])).message(8, opset).0
    };
    let side_file = |location: &str| {
        let entry = Message::default().text(1, "location").text(2, location);
        Message::default().int(1, 8).int(2, 1).text(8, "w").message(13, entry).int(14, 1)
    };
    let with_w = |w: Message| one(&[node("Add", &["x", "w"], "y")], &[w]);
    vec![
        Vec::new(),
        b"not a model".to_vec(),
        Message::default().int(1, 8).0,
        model(Message::default()),
        one(&[node("Relu", &["nothing"], "y")], &[]),
        one(&[node("Relu", &["a"], "b"), node("Relu", &["b"], "a"), node("Relu", &["a"], "y")], &[]),
        one(&[node("Relu", &["y"], "y")], &[]),
        one(&[relu(), relu()], &[]),
        one(&[node("Relu", &[], "y")], &[]),
        one(&[node("Relu", &["x", "x", "x"], "y")], &[]),
        one(&[node("NoSuchOperator", &["x"], "y")], &[]),
        one(&[node("", &["x"], "y")], &[]),
        one(&[relu().text(7, "com.example")], &[]),
        one(&[node("MatMul", &["x", "x"], "y")], &[]),
        one(&[node("MatMul", &["x", "w"], "y")], &[constant("w", &[7, 8], &[0.0; 56])]),
        one(&[node("Transpose", &["x"], "y").message(5, attribute("perm", 8, 5, 7))], &[]),
        one(&[node("Softmax", &["x"], "y").message(5, attribute("axis", 3, 9, 2))], &[]),
        one(&[node("Softmax", &["x"], "y").message(5, attribute("axis", 3, i64::MIN, 2))], &[]),
        one(&[node("Concat", &["x", "x"], "y").message(5, attribute("axis", 3, -7, 2))], &[]),
        one(&[node("Gather", &["x", "w"], "y")], &[raw(&[1], 7, &99i64.to_le_bytes())]),
        one(&[node("Reshape", &["x", "w"], "y")], &[raw(&[1], 7, &(-5i64).to_le_bytes())]),
        one(&[node("Reshape", &["x", "w"], "y")], &[raw(&[2], 7, &[[0xff; 8], [0xff; 8]].concat())]),
        one(&[node("Expand", &["x", "w"], "y")], &[raw(&[1], 7, &i64::MAX.to_le_bytes())]),
        one(&[node("Slice", &["x", "w", "w", "w", "w"], "y")], &[raw(&[1], 7, &i64::MIN.to_le_bytes())]),
        with_w(raw(&[-1], 1, &[0; 4])),
        with_w(raw(&[i64::MAX, i64::MAX], 1, &[0; 4])),
        with_w(raw(&[1 << 40], 1, &[0; 4])),
        with_w(raw(&[8], 1, &[0; 31])),
        with_w(raw(&[8], 99, &[0; 32])),
        with_w(raw(&[8], 8, b"strings!")),
        with_w(raw(&[3], 1, &[0; 12])),
        with_w(side_file("../../etc/passwd")),
        with_w(side_file("/etc/passwd")),
        with_w(side_file("")),
        model(graph(&[relu()], &[], &[], &[y()])),
        model(graph(&[relu()], &[], &[x()], &[])),
        model(graph(&[relu()], &[], &[x(), x()], &[y()])),
        model(graph(&[relu()], &[], &[value("x", 1, &[-3, 8])], &[y()])),
        model(graph(&[relu()], &[], &[value("x", 1, &[1 << 62, 1 << 62])], &[y()])),
        model(graph(&[relu()], &[], &[value("x", 8, &[2, 8])], &[y()])),
        model(graph(&[relu()], &[], &[Message::default().text(1, "x")], &[y()])),
        opset(0),
        opset(10),
        opset(9999),
        opset(-1),
    ]
}

#[test]
fn structurally_wrong_models() {
    let wrong = wrong_models();
    let refused = run_all("wrong model", "onnx", &wrong, compile);
    // A few are odd rather than wrong (a third input of Relu, say), and may be taken.
    assert!(refused + 6 >= wrong.len(), "only {refused} of {} wrong models were refused", wrong.len());
}

#[test]
fn damaged_chip_descriptions() {
    let original = std::fs::read(root().join("simulator/isa/chips/lp30.toml")).expect("readable");
    let mut cases = damaged(&original, 120, 0x2545_f491);
    let wrong = [
        "base = 3",
        "base = \"nothing\"",
        "base = \"lp30\"\nclock_hz = -1",
        "base = \"lp30\"\nclock_hz = nan",
        "base = \"lp30\"\nlanes = 0",
        "base = \"lp30\"\nlanes = 1e300",
        "base = \"lp30\"\nlanes = \"many\"",
        "base = \"lp30\"\n[mem]\nbanks = 0",
        "base = \"lp30\"\n[mem]\nwords_per_bank = 99999999999",
        "base = \"lp30\"\n[mem]\nslices_per_hemisphere = 70000",
        "base = \"lp30\"\n[mxm]\nrows = -1",
        "base = \"lp30\"\n[latency]\nread = 0",
        "base = \"lp30\"\n[latency]\nread = 1\nread = 2",
        "base = \"lp30\"\nunknown = 1",
        "base = \"lp30\"\n[[mem]]",
        "base = \"lp30\"\nmem = 1",
        "[mem",
        "",
        "= = =",
        "base = \"lp30\"\nstreams = 9999",
    ];
    cases.extend(wrong.iter().map(|text| text.as_bytes().to_vec()));
    let refused = run_all("toml", "toml", &cases, |file, _| vec!["chips".to_owned(), text(file)]);
    assert!(refused > 60, "only {refused} of {} damaged descriptions were refused", cases.len());
}

/// An npz archive for the tiny model, from `lpuc` itself: its output, renamed.
fn tiny_inputs(folder: &Path) -> Vec<u8> {
    use npyz::WriterBuilder;
    let path = folder.join("x.npz");
    let mut archive = npyz::npz::NpzWriter::create(&path).expect("created");
    let stored =
        npyz::zip::write::FileOptions::default().compression_method(npyz::zip::CompressionMethod::Stored);
    let writer = archive.array::<f32>("x", stored).expect("an entry");
    let mut writer = writer.default_dtype().shape(&[2, 8]).begin_nd().expect("a header");
    writer.extend((0..16).map(|i| i as f32 * 0.5)).expect("written");
    writer.finish().expect("finished");
    drop(archive);
    std::fs::read(path).expect("readable")
}

#[test]
fn damaged_arrays() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = folder.path().join("tiny.onnx");
    std::fs::write(&model, onnx::tiny()).expect("written");
    let sound = tiny_inputs(folder.path());
    let with_inputs = |file: &Path, outputs: &Path| {
        [compile(&model, outputs), vec!["--inputs".to_owned(), text(file)]].concat()
    };
    assert_eq!(
        run_all("npz", "npz", std::slice::from_ref(&sound), with_inputs),
        0,
        "the sound archive is taken"
    );
    let refused = run_all("npz", "npz", &damaged(&sound, 120, 0x1234_5678), with_inputs);
    assert!(refused > 60, "only {refused} of 120 damaged archives were refused");
}

#[test]
fn damaged_programs() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| text(&folder.path().join(name));
    std::fs::write(path("tiny.onnx"), onnx::tiny()).expect("written");
    lpuc_well(&[
        path("tiny.onnx"),
        "--emit".to_owned(),
        format!("asm={}", path("tiny.lpuasm")),
        "--emit".to_owned(),
        format!("program={}", path("tiny.lpu")),
    ]);

    let assembly = std::fs::read(path("tiny.lpuasm")).expect("readable");
    let assemble = |file: &Path, outputs: &Path| {
        vec!["asm".to_owned(), text(file), "-o".to_owned(), text(&outputs.join("p.lpu"))]
    };
    let refused = run_all("assembly", "lpuasm", &damaged(&assembly, 120, 0x5851_f42d), assemble);
    assert!(refused > 30, "only {refused} of 120 damaged assembly texts were refused");

    let binary = std::fs::read(path("tiny.lpu")).expect("readable");
    let disassemble = |file: &Path, outputs: &Path| {
        vec!["dis".to_owned(), text(file), "-o".to_owned(), text(&outputs.join("p.lpuasm"))]
    };
    let refused = run_all("binary", "lpu", &damaged(&binary, 60, 0x0bad_cafe), disassemble);
    assert!(refused > 20, "only {refused} of 60 damaged binaries were refused");
}
