//! Decoding: where the bytes come from, and what is refused.

use super::decode;
use super::proto::tensor_proto::{DataLocation, DataType};
use super::proto::{GraphProto, ModelProto, SparseTensorProto, StringStringEntryProto, TensorProto};
use super::testing::{Dim, model, node, round, value};
use crate::graph::Encoding;
use bytes::Bytes;
use prost::Message;

fn with(initializer: TensorProto) -> ModelProto {
    model(
        17,
        GraphProto {
            node: vec![node("Identity", "x", "y", vec![])],
            input: vec![value("x", DataType::Float, &[Dim::N(2)])],
            output: vec![value("y", DataType::Float, &[])],
            initializer: vec![initializer],
            ..Default::default()
        },
    )
}

fn proto(data_type: DataType, dims: &[i64]) -> TensorProto {
    TensorProto {
        name: Some("w".to_owned()),
        data_type: Some(data_type as i32),
        dims: dims.to_vec(),
        ..Default::default()
    }
}

fn code(model: &ModelProto) -> &'static str {
    round(model).map_or_else(|error| error.code, |_| "fine")
}

#[test]
fn raw_data_is_a_view_of_the_file() {
    let mut tensor = proto(DataType::Float, &[64]);
    tensor.raw_data = Some(vec![7; 256].into());
    let file = Bytes::from(with(tensor).encode_to_vec());
    let model = decode(file.clone(), &|_, _, _| Ok(None)).unwrap();
    let weights = model.initializers[0].bytes.as_ref().unwrap();
    assert!(file.as_ptr_range().contains(&weights.as_ptr()), "the weights were copied");
    assert!(model.graph.initializer.is_empty());
}

#[test]
fn typed_fields_become_bytes() {
    let cases: [(TensorProto, Encoding, Vec<u8>); 10] = [
        (
            TensorProto { float_data: vec![1.0], ..proto(DataType::Float, &[1]) },
            Encoding::F32,
            vec![0, 0, 128, 63],
        ),
        (
            TensorProto { int32_data: vec![0x3c00], ..proto(DataType::Float16, &[]) },
            Encoding::F16,
            vec![0, 0x3c],
        ),
        (TensorProto { int32_data: vec![-2], ..proto(DataType::Int8, &[1]) }, Encoding::I8, vec![254]),
        (TensorProto { int32_data: vec![5], ..proto(DataType::Bool, &[1]) }, Encoding::Bool, vec![1]),
        (
            TensorProto { int32_data: vec![0xffff], ..proto(DataType::Uint16, &[1]) },
            Encoding::I32,
            vec![255, 255, 0, 0],
        ),
        (
            TensorProto { uint64_data: vec![u64::MAX], ..proto(DataType::Uint64, &[1]) },
            Encoding::I64,
            i64::MAX.to_le_bytes().to_vec(),
        ),
        (
            TensorProto { raw_data: Some(vec![1, 0, 0, 0].into()), ..proto(DataType::Uint32, &[1]) },
            Encoding::I64,
            1i64.to_le_bytes().to_vec(),
        ),
        (
            TensorProto { int32_data: vec![0xb8], ..proto(DataType::Float8e4m3fn, &[1]) },
            Encoding::F8E4M3,
            vec![0xb8],
        ),
        (
            TensorProto { int32_data: vec![0x21, 0x03], ..proto(DataType::Int4, &[3]) },
            Encoding::I4,
            vec![0x21, 0x03],
        ),
        (
            TensorProto { raw_data: Some(vec![0x21, 0x03].into()), ..proto(DataType::Uint4, &[1, 4]) },
            Encoding::U4,
            vec![0x21, 0x03],
        ),
    ];
    for (tensor, encoding, bytes) in cases {
        let model = round(&with(tensor.clone())).unwrap();
        let read = &model.initializers[0];
        assert_eq!((read.encoding, read.bytes.as_deref()), (encoding, Some(&bytes[..])), "{tensor:?}");
    }
}

#[test]
fn side_files() {
    let entry = |key: &str, value: &str| StringStringEntryProto {
        key: Some(key.to_owned()),
        value: Some(value.to_owned()),
    };
    let tensor = TensorProto {
        data_location: Some(DataLocation::External as i32),
        external_data: vec![entry("location", "w.bin"), entry("offset", "8")],
        ..proto(DataType::Float, &[2])
    };
    let bytes = Bytes::from(with(tensor.clone()).encode_to_vec());
    let found = decode(bytes.clone(), &|location, offset, length| {
        assert_eq!((location, offset, length), ("w.bin", 8, Some(8)));
        Ok(Some(Bytes::from_static(&[1; 8])))
    });
    assert_eq!(found.unwrap().initializers[0].bytes.as_deref(), Some(&[1u8; 8][..]));
    let absent = decode(bytes.clone(), &|_, _, _| Ok(None)).unwrap();
    assert_eq!(absent.initializers[0].bytes, None);
    assert!(absent.notes.iter().any(|note| note.contains("`w`")), "{:?}", absent.notes);
    for damaged in [Ok(Some(Bytes::from_static(&[1; 7]))), Err("too short".to_owned())] {
        let error = decode(bytes.clone(), &move |_, _, _| damaged.clone()).unwrap_err();
        assert_eq!(error.code, "bad-tensor");
        assert!(error.message.contains("`w`"), "{error}");
    }
}

#[test]
fn sparse_tensors_are_written_out() {
    let places = |dims: &[i64], places: &[i64]| TensorProto {
        int64_data: places.to_vec(),
        ..proto(DataType::Int64, dims)
    };
    let sparse = |dims: &[i64], indices: TensorProto| {
        let mut model = with(proto(DataType::Float, &[0]));
        let values = TensorProto { float_data: vec![1.0, 2.0], ..proto(DataType::Float, &[2]) };
        let (values, indices) = (Some(values), Some(indices));
        let graph = model.graph.as_mut().unwrap();
        graph.initializer = Vec::new();
        graph.sparse_initializer = vec![SparseTensorProto { values, indices, dims: dims.to_vec() }];
        model
    };
    for indices in [places(&[2], &[1, 3]), places(&[2, 2], &[0, 1, 1, 1])] {
        let model = round(&sparse(&[2, 2], indices)).unwrap();
        let read = &model.initializers[0];
        let want: Vec<u8> = [0.0f32, 1.0, 0.0, 2.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(
            (&read.name[..], &read.shape[..], read.bytes.as_deref()),
            ("w", &[2, 2][..], Some(&want[..]))
        );
    }
    for (dims, indices) in [
        (&[2, 2][..], places(&[2], &[1, 4])),
        (&[2, 2], places(&[2], &[1, -1])),
        (&[2, 2], places(&[1], &[1])),
        (&[2, 2], places(&[2, 2], &[0, 1, 1, 2])),
        (&[-2, 2], places(&[2], &[1, 3])),
    ] {
        assert_eq!(code(&sparse(dims, indices)), "bad-tensor", "{dims:?}");
    }
    let huge = round(&sparse(&[1 << 40], places(&[2], &[1, 3]))).unwrap();
    assert!(huge.refused["w"].contains("sparse"), "{:?}", huge.refused);
}

#[test]
fn refusals() {
    let raw = |data_type, dims: &[i64], bytes: usize| {
        with(TensorProto { raw_data: Some(vec![1; bytes].into()), ..proto(data_type, dims) })
    };
    let good = raw(DataType::Float, &[2], 8);
    let opset = |version| {
        let mut model = good.clone();
        model.opset_import[0].version = Some(version);
        model
    };
    let mut no_opset = good.clone();
    no_opset.opset_import.clear();
    let mut sparse = good.clone();
    if let Some(graph) = &mut sparse.graph {
        graph.sparse_initializer.push(SparseTensorProto::default());
    }
    for (model, expected) in [
        (&good, "fine"),
        (&opset(1), "fine"),
        (&opset(28), "fine"),
        (&opset(0), "unsupported-opset"),
        (&opset(29), "unsupported-opset"),
        (&no_opset, "bad-model"),
        (&sparse, "bad-tensor"),
        (&raw(DataType::Float, &[2], 7), "bad-tensor"),
        (&raw(DataType::Float, &[-2], 8), "bad-tensor"),
        (&raw(DataType::Float, &[i64::MAX, i64::MAX, 4], 8), "bad-tensor"),
        (&raw(DataType::Float, &[0, i64::MAX], 0), "bad-tensor"),
        (&with(proto(DataType::Float, &[3])), "bad-tensor"),
        (&with(proto(DataType::Undefined, &[0])), "bad-tensor"),
        (&raw(DataType::Complex64, &[1], 8), "fine"),
        (&raw(DataType::Float8e5m2, &[2], 2), "fine"),
    ] {
        assert_eq!(code(model), expected, "{model:?}");
    }
}

#[test]
fn other_files() {
    for (bytes, word) in [
        (&b""[..], "empty"),
        (b"version https://git-lfs.github.com/spec/v1\n", "LFS"),
        (b"PK\x03\x04abc", "zip"),
        (b"just some text, not a model", "not an ONNX model"),
        (&[0; 100], "not an ONNX model"),
        (&[8, 8], "graph"),
    ] {
        let error = decode(Bytes::copy_from_slice(bytes), &|_, _, _| Ok(None)).unwrap_err();
        assert_eq!(error.code, "not-onnx");
        assert!(error.message.contains(word), "{error}");
    }
}
