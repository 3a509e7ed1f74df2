//! The generated parts of the reference: tables made from the types, and the pages that hold them.
//!
//! A crate that owns types has a test that makes the tables and calls [`keep`]. The test fails when the page says anything
//! else; with `SEGPORT_UPDATE` set, as `cargo xtask reference` does, it writes the page. So one piece of code makes a page and
//! checks it, and what a page says of a type is the comment on the type.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod markdown;
mod page;
mod plugin;
mod schema;

pub use markdown::{anchor, listed, table};
pub use page::keep;
pub use plugin::{custom_fields, fields, limits, read, settings};
pub use schema::{Notation, Schema};
