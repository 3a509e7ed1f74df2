//! `cargo xtask schemas`: the JSON schemas in `schemas/`, from the types that parse.

use crate::proc::{Done, cargo, run};

/// The programs that write schemas, by crate and example.
const WRITERS: [(&str, &str); 2] = [("segport-manifest", "write_schemas"), ("segport-engine", "write_report_schema")];

/// Writes all schemas.
pub(crate) fn write() -> Done {
    WRITERS.iter().try_for_each(|(package, example)| {
        run(cargo(&["run", "--quiet", "--locked", "-p", package, "--example", example]))
    })
}

/// Compares them with what is committed; the tests of the crates do that.
pub(crate) fn check() -> Done {
    run(cargo(&["test", "--quiet", "--locked", "-p", "segport-manifest", "-p", "segport-engine", "committed_schemas"]))
}
