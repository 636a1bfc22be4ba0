//! Generates the protobuf types from `src/onnx/onnx.proto`, without a protoc binary, and the parser of the graph's text form.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let proto = "src/onnx/onnx.proto";
    println!("cargo:rerun-if-changed={proto}");
    let descriptors = protox::compile([proto], ["src/onnx"])?;
    prost_build::Config::new().bytes([".onnx.TensorProto.raw_data"]).compile_fds(descriptors)?;
    lalrpop::Configuration::new().use_cargo_dir_conventions().emit_rerun_directives(true).process()?;
    Ok(())
}
