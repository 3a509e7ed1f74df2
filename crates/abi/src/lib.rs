//! The C layout and constants of Segport's plugin boundary.
//!
//! `ABI.md` beside this crate says what each function does, who owns what and on which thread; `include/segport_plugin.h`
//! is the same for C. This crate has no dependencies and holds nothing but layout: the host and the SDK do the work.
//!
//! History of the version, newest last. A minor number grows when something is appended, the major number (and with it the
//! name of the exported symbol) when something else changes. Nothing else ever changes.
//!
//! * 1.0: the first.

#![no_std]
#![deny(missing_docs)]

extern crate alloc;

mod buffer;
mod layout;
mod tables;

pub use buffer::{Buffer, CompleteFn, Completion, FreeFn, Slice};
pub use layout::LAYOUT;
pub use tables::{EntryFn, HostTable, PluginTable};

/// The first eight bytes of a plugin's table: `SEGPLUG1` read as a little-endian number.
pub const PLUGIN_MAGIC: u64 = 0x3147_554C_5047_4553;
/// The first eight bytes of a host's table: `SEGHOST1` read as a little-endian number.
pub const HOST_MAGIC: u64 = 0x3154_534F_4847_4553;
/// A host loads a plugin of the same major number only.
pub const MAJOR: u16 = 1;
/// A host loads a plugin whose minor number is not above its own.
pub const MINOR: u16 = 0;
/// The exported symbol is this followed by the plugin's id.
pub const SYMBOL_PREFIX: &str = "segport_plugin_v1_";

/// The buffer is the result.
pub const STATUS_OK: i32 = 0;
/// The buffer is an error as JSON. Every status but 0 is read as this one.
pub const STATUS_ERROR: i32 = 1;

/// A timeout that never ends.
pub const NO_TIMEOUT: u64 = u64::MAX;

/// Nothing is logged.
pub const LEVEL_OFF: u32 = 0;
/// Errors.
pub const LEVEL_ERROR: u32 = 1;
/// Warnings.
pub const LEVEL_WARN: u32 = 2;
/// What a user of the host wants to know.
pub const LEVEL_INFO: u32 = 3;
/// What an author of a plugin wants to know.
pub const LEVEL_DEBUG: u32 = 4;
/// Everything.
pub const LEVEL_TRACE: u32 = 5;
