//! The two function tables: what a plugin offers, and what the host offers.

use core::ffi::c_void;

use crate::{Buffer, Completion, Slice};

/// The exported symbol: gives the plugin's table, which lives as long as the process.
pub type EntryFn = unsafe extern "C" fn() -> *const PluginTable;

/// What a plugin offers. Entries are only ever appended; none is null.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct PluginTable {
    /// `SEGPORT_PLUGIN_MAGIC`.
    pub magic: u64,
    /// Size of this struct in bytes in the version that the plugin was built for.
    pub struct_size: u32,
    /// The major version that the plugin was built for.
    pub major: u16,
    /// The minor version that the plugin was built for.
    pub minor: u16,
    /// Called once, before anything else. Writes to `error` if it fails.
    pub init: Option<unsafe extern "C" fn(host: *const HostTable, error: *mut Buffer) -> i32>,
    /// Writes the plugin's description as JSON, or an error, to `answer`.
    pub describe: Option<unsafe extern "C" fn(answer: *mut Buffer) -> i32>,
    /// Makes an instance of the settings in `request`; writes it to `instance`, and the JSON answer or an error to `answer`.
    pub open: Option<unsafe extern "C" fn(request: Buffer, instance: *mut *mut c_void, answer: *mut Buffer) -> i32>,
    /// Starts a call and returns at once; `completion` is called exactly once with its answer.
    pub submit: Option<
        unsafe extern "C" fn(
            instance: *mut c_void,
            call_id: u64,
            op: u32,
            timeout_ms: u64,
            request: Buffer,
            completion: Completion,
        ),
    >,
    /// Gives a call up. It is still answered exactly once. A call that is not under way is ignored.
    pub cancel: Option<unsafe extern "C" fn(instance: *mut c_void, call_id: u64)>,
    /// Gives an instance up. Calls under way are cancelled, and answered.
    pub close: Option<unsafe extern "C" fn(instance: *mut c_void)>,
    /// Sets the most talkative level that is worth a call of the host's `log`.
    pub set_log_level: Option<unsafe extern "C" fn(level: u32)>,
    /// Stops the plugin's threads. Calls under way are cancelled, and answered.
    pub shutdown: Option<unsafe extern "C" fn()>,
}

/// What the host offers. Entries are only ever appended; no function is null.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct HostTable {
    /// `SEGPORT_HOST_MAGIC`.
    pub magic: u64,
    /// Size of this struct in bytes in the version that the host was built for.
    pub struct_size: u32,
    /// The major version that the host was built for.
    pub major: u16,
    /// The minor version that the host was built for.
    pub minor: u16,
    /// The first argument of the functions below.
    pub ctx: *mut c_void,
    /// Takes one log event as JSON.
    pub log: Option<unsafe extern "C" fn(ctx: *mut c_void, level: u32, event: Slice)>,
    /// Sends an HTTP request for the instance whose `open` was given `scope`; answered exactly once.
    pub http_submit: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            scope: u64,
            call_id: u64,
            head: Buffer,
            body: Buffer,
            completion: Completion,
        ),
    >,
    /// Gives an HTTP request up. It is still answered exactly once. A request that is not under way is ignored.
    pub http_cancel: Option<unsafe extern "C" fn(ctx: *mut c_void, scope: u64, call_id: u64)>,
}

// SAFETY: a table is never written after it was made, and ABI.md ("Threads") lets its functions be called from any thread.
unsafe impl Send for HostTable {}
// SAFETY: as above.
unsafe impl Sync for HostTable {}
