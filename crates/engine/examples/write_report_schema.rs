//! Writes `schemas/run-report.json` and `schemas/plan.json` from the types of reports and plans.

use std::error::Error;
use std::fs;
use std::path::Path;

use segport_engine::PlanReport;
use segport_engine::report::RunReport;

fn main() -> Result<(), Box<dyn Error>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas");
    for (name, schema) in [("run-report.json", RunReport::schema()), ("plan.json", PlanReport::schema())] {
        fs::write(directory.join(name), serde_json::to_string_pretty(&schema)? + "\n")?;
    }
    Ok(())
}
