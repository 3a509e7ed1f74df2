//! The TOML files of a project.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| segport_properties::manifest(bytes));
