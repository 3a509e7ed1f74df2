//! Tables that a host must not use.

use segport_abi::{Buffer, HostTable, MAJOR, MINOR, PLUGIN_MAGIC, PluginTable, STATUS_ERROR, STATUS_OK};

const TABLE: PluginTable = PluginTable {
    magic: PLUGIN_MAGIC,
    struct_size: size_of::<PluginTable>() as u32,
    major: MAJOR,
    minor: MINOR,
    init: Some(starts),
    describe: None,
    open: None,
    submit: None,
    cancel: None,
    close: None,
    set_log_level: None,
    shutdown: None,
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

unsafe extern "C" fn describes(answer: *mut Buffer) -> i32 {
    let json = br#"{"id":"someone_else","display_name":"Someone","description":"Else."}"#;
    // SAFETY: ABI.md, `describe`: `answer` has room for a buffer.
    unsafe { answer.write(Buffer::from_vec(json.to_vec())) };
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

const COMPLETE: PluginTable = PluginTable {
    describe: Some(describes),
    open: Some(opens),
    submit: Some(submits),
    cancel: Some(cancels),
    close: Some(closes),
    set_log_level: Some(sets),
    shutdown: Some(shuts),
    ..TABLE
};

plugin!("wrong_magic", PluginTable { magic: 7, ..COMPLETE });
plugin!("wrong_size", PluginTable { struct_size: 8, ..COMPLETE });
plugin!("newer_major", PluginTable { major: MAJOR + 1, ..COMPLETE });
plugin!("newer_minor", PluginTable { minor: MINOR + 1, ..COMPLETE });
plugin!("no_functions", TABLE);
plugin!("fails_to_start", PluginTable { init: Some(fails), ..COMPLETE });
plugin!("other_name", COMPLETE);
plugin!("mumbles", PluginTable { describe: Some(mumbles), ..COMPLETE });

#[unsafe(export_name = "segport_plugin_v1_no_table")]
extern "C" fn no_table() -> *const PluginTable {
    std::ptr::null()
}
