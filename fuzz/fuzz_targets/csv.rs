//! CSV files.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| segport_properties::csv(bytes));
