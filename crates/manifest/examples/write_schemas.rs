//! Writes the schemas of the manifests into `schemas/` of this workspace; `cargo xtask schemas` calls it.

use std::io;
use std::path::Path;

fn main() -> io::Result<()> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas");
    std::fs::create_dir_all(&dir)?;
    for (name, text) in segport_manifest::schemas(None) {
        std::fs::write(dir.join(name), text)?;
    }
    Ok(())
}
