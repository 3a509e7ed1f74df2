//! The source's reference, its README, made from what the source says of itself.

#![allow(clippy::panic, reason = "a test fails by it")]

use segport_files::Files;
use segport_reference::{keep, read, settings};
use segport_sdk::Plugin;

#[test]
fn reference_of_the_source() {
    let source = Plugin::source::<Files>("files", "").describe();
    let parts = [("settings", settings(&source)), ("read", read(&source))];
    keep("connectors/files/README.md", &parts).unwrap_or_else(|problem| panic!("{problem}"));
}
