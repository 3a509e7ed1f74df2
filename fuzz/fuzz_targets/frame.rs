//! Frames and Arrow rows of the plugin boundary.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: { segport_fuzz::abort_on_own_panics() },
    |bytes: &[u8]| segport_properties::frame(bytes)
);
