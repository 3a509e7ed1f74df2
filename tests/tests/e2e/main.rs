//! Runs of the binary, with its plugins as the files that users get, against a stand-in destination on loopback.
#![allow(clippy::unwrap_used, clippy::panic, reason = "what goes wrong in a test's helper fails the test")]

mod accounts;
mod delivery;
mod disk;
mod guards;
mod inspection;
mod interruption;
mod lists;
mod manifest;
mod network;
mod plans;
mod plugins;
mod power;
mod refusals;
mod renewal;
mod retry;
mod reveal;
mod rows;
mod secrecy;
mod sizes;
mod sources;
mod standard_error;
mod starter;
mod state;
mod suppression;
mod suspension;
