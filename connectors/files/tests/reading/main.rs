//! What a user notices when files are read, through the same bytes as a host uses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod csv;
mod folder;
mod json_lines;
mod parquet;
mod place;
mod text;
