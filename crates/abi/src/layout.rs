//! Size of each struct and offset of each field, for whoever compares the layout with a header or with an earlier version.

use core::mem::offset_of;

use crate::{Buffer, Completion, HostTable, PluginTable, Slice};

macro_rules! layout {
    ($($type:ident { $($field:ident),* }),* $(,)?) => {
        /// Name and value, such as `PluginTable.size` and 80.
        pub const LAYOUT: &[(&str, usize)] = &[$(
            (concat!(stringify!($type), ".size"), size_of::<$type>()),
            $((concat!(stringify!($type), ".", stringify!($field)), offset_of!($type, $field)),)*
        )*];
    };
}

layout! {
    Slice { ptr, len },
    Buffer { ptr, len, ctx, free },
    Completion { ctx, call },
    PluginTable {
        magic, struct_size, major, minor, init, describe, open, submit, cancel, close, set_log_level, shutdown
    },
    HostTable { magic, struct_size, major, minor, ctx, log, http_submit, http_cancel },
}
