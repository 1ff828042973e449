//! Compiles the contract without protoc: messages and gRPC by tonic, their JSON form by pbjson.

use std::path::PathBuf;

use prost::Message as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = ["starvault/v1/player.proto", "starvault/v1/play.proto"];
    let descriptors = protox::compile(files, ["proto"])?;
    let bytes = descriptors.encode_to_vec();
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("starvault.v1.descriptor.bin"), &bytes)?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    pbjson_build::Builder::new().register_descriptors(&bytes)?.ignore_unknown_fields().build(&[".starvault"])?;
    Ok(())
}
