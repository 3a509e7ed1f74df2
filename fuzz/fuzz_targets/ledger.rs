//! Runs against a model of the ledger.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| segport_properties::ledger(bytes));
