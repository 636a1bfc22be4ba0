//! From ONNX to our graph.
