//! Size of each struct and offset of each field, as text.

use std::mem::offset_of;

use segport_abi::{Buffer, Completion, HostTable, PluginTable, Slice};

macro_rules! layout {
    ($($type:ident { $($field:ident),* }),* $(,)?) => {
        /// Name and value, such as `PluginTable.size` and 80.
        pub(crate) fn offsets() -> Vec<(String, usize)> {
            vec![$(
                (concat!(stringify!($type), ".size").to_owned(), size_of::<$type>()),
                $((concat!(stringify!($type), ".", stringify!($field)).to_owned(), offset_of!($type, $field)),)*
            )*]
        }
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
