//! The project's one door.
mod codegen;
fn main() -> anyhow::Result<()> {
    codegen::write()
}
