//! Compiles `proto/` with protox, in Rust: nobody needs a `protoc`.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

/// What backends use, and what reflection tells them about.
const API: &str = "ringpost/v1/api.proto";
/// What clients say and hear in the binary protocol.
const CLIENT: &str = "ringpost/v1/client.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(["peer.proto", API, CLIENT], ["proto"])?;
    tonic_prost_build::configure()
        .bytes(".ringpost")
        .compile_fds(descriptors)?;
    let api = protox::Compiler::new(["proto"])?
        .include_imports(true)
        .open_file(API)?
        .encode_file_descriptor_set();
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("api.bin"), api)?;
    Ok(())
}
