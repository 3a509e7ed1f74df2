//! Files of JSON lines.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| segport_properties::json_lines(bytes));
