//! Tables that a host must not use.

use segport_abi::{
    Buffer, HostTable, LEVEL_INFO, MAJOR, MINOR, PLUGIN_MAGIC, PluginTable, STATUS_ERROR, STATUS_OK, Slice,
};

unsafe extern "C" fn starts(_: *const HostTable, _: *mut Buffer) -> i32 {
    STATUS_OK
}

unsafe extern "C" fn fails(_: *const HostTable, error: *mut Buffer) -> i32 {
    let json = br#"{"kind":"unavailable","message":"it rains"}"#;
    // SAFETY: ABI.md, `init`: `error` has room for a buffer.
    unsafe { error.write(Buffer::from_vec(json.to_vec())) };
    STATUS_ERROR
}

unsafe extern "C" fn greets(host: *const HostTable, _: *mut Buffer) -> i32 {
    // SAFETY: ABI.md, `init`: the host's table is never changed or freed.
    let HostTable { ctx, log, .. } = unsafe { *host };
    if let Some(log) = log {
        let event = br#"{"target":"greeter","message":"hello","run":"","fields":[]}"#;
        // SAFETY: ABI.md, `log`: `ctx` is the table's, and the bytes live until after the call.
        unsafe { log(ctx, LEVEL_INFO, Slice::new(event)) };
    }
    STATUS_OK
}

unsafe extern "C" fn fails_in_silence(_: *const HostTable, _: *mut Buffer) -> i32 {
    7
}

unsafe extern "C" fn describes(answer: *mut Buffer) -> i32 {
    let json = br#"{"id":"someone_else","display_name":"Someone","description":"Else."}"#;
    // SAFETY: ABI.md, `describe`: `answer` has room for a buffer.
    unsafe { answer.write(Buffer::from_vec(json.to_vec())) };
    STATUS_OK
}

unsafe extern "C" fn describes_hollow(answer: *mut Buffer) -> i32 {
    let json = br#"{"id":"hollow","display_name":"Hollow","description":"Opens nothing."}"#;
    // SAFETY: ABI.md, `describe`: `answer` has room for a buffer.
    unsafe { answer.write(Buffer::from_vec(json.to_vec())) };
    STATUS_OK
}

unsafe extern "C" fn opens_nothing(_: Buffer, _: *mut *mut std::ffi::c_void, _: *mut Buffer) -> i32 {
    STATUS_OK
}

unsafe extern "C" fn mumbles(_: *mut Buffer) -> i32 {
    STATUS_OK
}

macro_rules! plugin {
    ($id:literal, $table:expr) => {
        const _: () = {
            static TABLE_OF_IT: PluginTable = $table;

            #[unsafe(export_name = concat!("segport_plugin_v1_", $id))]
            extern "C" fn entry() -> *const PluginTable {
                &raw const TABLE_OF_IT
            }
        };
    };
}

unsafe extern "C" fn submits(_: *mut std::ffi::c_void, _: u64, _: u32, _: u64, _: Buffer, _: segport_abi::Completion) {}
unsafe extern "C" fn opens(_: Buffer, _: *mut *mut std::ffi::c_void, _: *mut Buffer) -> i32 {
    STATUS_ERROR
}
unsafe extern "C" fn cancels(_: *mut std::ffi::c_void, _: u64) {}
unsafe extern "C" fn closes(_: *mut std::ffi::c_void) {}
unsafe extern "C" fn sets(_: u32) {}
unsafe extern "C" fn shuts() {}

/// A table without fault, of a plugin that says it is someone else.
const COMPLETE: PluginTable = PluginTable {
    magic: PLUGIN_MAGIC,
    struct_size: size_of::<PluginTable>() as u32,
    major: MAJOR,
    minor: MINOR,
    init: Some(starts),
    describe: Some(describes),
    open: Some(opens),
    submit: Some(submits),
    cancel: Some(cancels),
    close: Some(closes),
    set_log_level: Some(sets),
    shutdown: Some(shuts),
};

plugin!("wrong_magic", PluginTable { magic: 7, ..COMPLETE });
plugin!("small", PluginTable { struct_size: 8, ..COMPLETE });
plugin!("large", PluginTable { struct_size: size_of::<PluginTable>() as u32 + 8, ..COMPLETE });
plugin!("older_major", PluginTable { major: MAJOR - 1, ..COMPLETE });
plugin!("newer_major", PluginTable { major: MAJOR + 1, ..COMPLETE });
plugin!("newer_minor", PluginTable { minor: MINOR + 1, ..COMPLETE });
plugin!("no_init", PluginTable { init: None, ..COMPLETE });
plugin!("no_describe", PluginTable { describe: None, ..COMPLETE });
plugin!("no_open", PluginTable { open: None, ..COMPLETE });
plugin!("no_submit", PluginTable { submit: None, ..COMPLETE });
plugin!("no_cancel", PluginTable { cancel: None, ..COMPLETE });
plugin!("no_close", PluginTable { close: None, ..COMPLETE });
plugin!("no_set_log_level", PluginTable { set_log_level: None, ..COMPLETE });
plugin!("no_shutdown", PluginTable { shutdown: None, ..COMPLETE });
plugin!("fails_to_start", PluginTable { init: Some(fails), ..COMPLETE });
plugin!("fails_in_silence", PluginTable { init: Some(fails_in_silence), ..COMPLETE });
plugin!("other_name", COMPLETE);
plugin!("greets", PluginTable { init: Some(greets), ..COMPLETE });
plugin!("greets_too", PluginTable { init: Some(greets), ..COMPLETE });
plugin!("mumbles", PluginTable { describe: Some(mumbles), ..COMPLETE });
plugin!("hollow", PluginTable { describe: Some(describes_hollow), open: Some(opens_nothing), ..COMPLETE });

#[unsafe(export_name = "segport_plugin_v1_no_table")]
extern "C" fn no_table() -> *const PluginTable {
    std::ptr::null()
}
