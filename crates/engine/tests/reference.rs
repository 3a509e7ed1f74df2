//! The reference of reports and plans, made from the types.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

use schemars::generate::SchemaSettings;
use segport_engine::PlanReport;
use segport_engine::report::RunReport;
use segport_reference::{Notation, Schema, keep};

#[test]
fn reference_of_reports_and_plans() {
    let report = RunReport::schema();
    let plan = SchemaSettings::draft07().into_generator().into_root_schema_for::<PlanReport>().to_value();
    let links = [
        ("PluginRef", "[object](#plugin)"),
        ("RowCounts", "[object](#rows)"),
        ("LeaverCounts", "[object](#leavers)"),
        ("CallCounts", "[object](#calls)"),
        ("GuardVerdict", "[objects](#guards)"),
        ("Problem", "[objects](#problems)"),
        ("Status", "[text](#status)"),
        ("PlannedRows", "[object](#rows-of-a-plan)"),
        ("PlannedLeavers", "[object](#leavers-of-a-plan)"),
        ("PlannedSegment", "[objects](#segments-of-a-plan)"),
        ("Skipped", "[objects](#skipped-rows-of-a-plan)"),
        ("PlannedCalls", "[object](#calls-of-a-plan)"),
    ];
    let [report, plan] = [&report, &plan].map(|schema| Schema::new(schema, Notation::Json).links(&links));
    let parts = [
        ("report", report.fields()),
        ("status", report.values_of("Status")),
        ("plugin", report.fields_of("PluginRef")),
        ("rows", report.fields_of("RowCounts")),
        ("leavers", report.fields_of("LeaverCounts")),
        ("calls", report.fields_of("CallCounts")),
        ("guards", report.fields_of("GuardVerdict")),
        ("problems", report.fields_of("Problem")),
        ("plan", plan.fields()),
        ("planned rows", plan.fields_of("PlannedRows")),
        ("planned leavers", plan.fields_of("PlannedLeavers")),
        ("planned segments", plan.fields_of("PlannedSegment")),
        ("skipped", plan.fields_of("Skipped")),
        ("planned calls", plan.fields_of("PlannedCalls")),
    ];
    keep("docs/src/reference/reports.md", &parts).unwrap_or_else(|problem| panic!("{problem}"));
}
