//! Compiles the contract without protoc: messages and gRPC by tonic, their JSON form by pbjson.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler
        .include_imports(true)
        // The comments, which are the descriptions of the OpenAPI document.
        .include_source_info(true)
        .open_files([
            "starvault/v1/player.proto",
            "starvault/v1/play.proto",
            // No message names it: it travels within errors, whose JSON needs its description.
            "google/rpc/error_details.proto",
        ])?;
    // Encoded by the compiler, which keeps the `google.api.http` options; prost's own types drop
    // extensions.
    let bytes = compiler.encode_file_descriptor_set();
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("starvault.v1.descriptor.bin"), &bytes)?;
    tonic_prost_build::configure().compile_fds(compiler.file_descriptor_set())?;
    pbjson_build::Builder::new()
        .register_descriptors(&bytes)?
        .ignore_unknown_fields()
        .build(&[".starvault"])?;
    Ok(())
}
