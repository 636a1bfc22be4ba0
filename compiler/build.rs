//! Generates the protobuf types from `src/onnx/onnx.proto`, without a protoc binary.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let proto = "src/onnx/onnx.proto";
    println!("cargo:rerun-if-changed={proto}");
    let descriptors = protox::compile([proto], ["src/onnx"])?;
    prost_build::Config::new().bytes([".onnx.TensorProto.raw_data"]).compile_fds(descriptors)?;
    Ok(())
}
