//! Writes `schemas/run-report.json` from the type of the report.

use std::error::Error;
use std::fs;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/run-report.json");
    let schema = serde_json::to_string_pretty(&segport_engine::report::RunReport::schema())?;
    fs::write(path, schema + "\n")?;
    Ok(())
}
