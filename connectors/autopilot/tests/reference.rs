//! The connector's reference, its README, made from what the connector says of itself.

#![allow(clippy::panic, reason = "a test fails by it")]

use segport_autopilot::Autopilot;
use segport_reference::{custom_fields, fields, keep, limits, settings};
use segport_sdk::Plugin;

#[test]
fn reference_of_the_connector() {
    let connector = Plugin::connector::<Autopilot>("autopilot", "").describe();
    let parts = [
        ("fields", fields(&connector)),
        ("custom fields", custom_fields(&connector)),
        ("settings", settings(&connector)),
        ("limits", limits(&connector)),
    ];
    keep("connectors/autopilot/README.md", &parts).unwrap_or_else(|problem| panic!("{problem}"));
}
