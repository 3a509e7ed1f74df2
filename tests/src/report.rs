//! Reports of runs, as `--output json` prints them.

use std::fs;
use std::sync::OnceLock;

use serde_json::Value;

const ROWS: [&str; 9] =
    ["unchanged", "added", "changed", "invalid", "duplicate", "suppressed", "deferred", "refused", "unknown"];
const LEAVERS: [&str; 5] = ["removed", "kept", "deferred", "refused", "unknown"];

/// The report of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Report(pub Value);

impl Report {
    /// Takes a report that keeps to the committed schema and whose sums balance.
    ///
    /// # Panics
    /// If it does not.
    pub fn new(report: Value) -> Self {
        static SCHEMA: OnceLock<jsonschema::Validator> = OnceLock::new();
        let schema = SCHEMA.get_or_init(|| {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../schemas/run-report.json");
            let schema =
                fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}; run `cargo xtask schemas`"));
            jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap()
        });
        let errors: Vec<String> = schema.iter_errors(&report).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?} in {report}");
        let this = Self(report);
        this.balances("rows", "read", &ROWS);
        this.balances("leavers", "planned", &LEAVERS);
        this
    }

    fn balances(&self, table: &str, sum: &str, parts: &[&str]) {
        let total: u64 = parts.iter().map(|part| self.count(table, part)).sum();
        assert_eq!(total, self.count(table, sum), "`{table}` does not balance: {}", self.0);
    }

    /// A number, such as `rows` and `added`.
    pub fn count(&self, table: &str, name: &str) -> u64 {
        self.0[table][name].as_u64().unwrap_or_else(|| panic!("no {table}.{name} in {}", self.0))
    }

    /// Its id.
    pub fn run_id(&self) -> &str {
        self.0["run_id"].as_str().unwrap()
    }

    /// Status and counts that are not 0, such as `succeeded: 3 read, 3 added`; leavers after a semicolon.
    pub fn summary(&self) -> String {
        let counts = |table: &str, sum: &str, parts: &[&str]| {
            let all = std::iter::once(&sum).chain(parts).map(|name| (self.count(table, name), *name));
            all.filter(|(count, _)| *count > 0)
                .map(|(count, name)| format!("{count} {name}"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let (rows, leavers) = (counts("rows", "read", &ROWS), counts("leavers", "planned", &LEAVERS));
        let status = self.0["status"].as_str().unwrap();
        let separator = if leavers.is_empty() { "" } else { "; " };
        format!("{status}: {rows}{separator}{leavers}")
    }

    /// Requests made.
    pub fn requests(&self) -> u64 {
        self.count("calls", "requests")
    }

    /// What became of a guard, such as `stopped`.
    pub fn guard(&self, name: &str) -> Option<&str> {
        let guards = self.0["guards"].as_array().unwrap();
        guards.iter().find(|guard| guard["guard"] == name)?["verdict"].as_str()
    }

    /// The codes of its problems, worst first.
    pub fn problems(&self) -> Vec<&str> {
        self.0["problems"].as_array().unwrap().iter().filter_map(|problem| problem["code"].as_str()).collect()
    }
}
