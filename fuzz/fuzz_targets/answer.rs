//! Answers of Autopilot to a bulk call.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| segport_properties::answer(bytes));
