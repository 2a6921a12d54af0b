//! Compiles `proto/` with protox, in Rust: nobody needs a `protoc`.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(["proto/peer.proto"], ["proto"])?;
    tonic_prost_build::configure()
        .bytes(".ringpost.peer.v1")
        .compile_fds(descriptors)?;
    Ok(())
}
