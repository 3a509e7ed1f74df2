//! The crate's public contract.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test fails the test")]

mod findings;
mod load;
mod schemas;
mod support;
