//! Generates `proto/src/generated.rs` from the schema.
use anyhow::Context;
use std::path::Path;

/// Compiles the schema and writes the Rust types.
pub(crate) fn write() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("workspace root")?;
    let schema = root.join("proto/schema");
    let files = protox::compile([schema.join("broker.proto")], [&schema])?;
    let out = root.join("target/codegen");
    std::fs::create_dir_all(&out)?;
    prost_build::Config::new()
        .out_dir(&out)
        .bytes(["."])
        .compile_fds(files)?;
    std::fs::copy(out.join("broker.rs"), root.join("proto/src/generated.rs"))?;
    Ok(())
}
