//! Panics end here: they become an error that names the plugin and the place, never the text, which may hold data.

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use segport_core::{Error, ErrorKind, Result};

thread_local! {
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
    static REPORTING: Cell<bool> = const { Cell::new(false) };
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Replaces the panic message on standard error by an event that says where, for all threads of this library.
pub(crate) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        panic::set_hook(Box::new(|info| {
            let place = info.location().map(|place| format!("{}:{}", place.file(), place.line())).unwrap_or_default();
            // Thread-locals are gone while a thread ends, and a panic while reporting one must not report itself.
            if REPORTING.try_with(|reporting| reporting.replace(true)).unwrap_or(true) {
                return;
            }
            if CONTAINED.try_with(Cell::get).unwrap_or(false) {
                tracing::debug!(at = place, "a panic was contained");
            } else {
                tracing::error!(at = place, "the plugin panicked");
                PLACE.try_with(|last| last.replace(Some(place))).ok();
            }
            REPORTING.try_with(|reporting| reporting.set(false)).ok();
        }));
    });
}

/// Runs `work`, which calls a library that may panic on data that is damaged; `None` if it did. That is no defect of the plugin, so
/// the log tells of it with the details only. What `work` borrows may be half changed after a panic.
pub fn contained<T>(work: impl FnOnce() -> T) -> Option<T> {
    let outside = CONTAINED.replace(true);
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    CONTAINED.set(outside);
    // Dropping a payload may panic in turn, and it is not worth freeing.
    done.map_err(std::mem::forget).ok()
}

/// Runs `work`; a panic in it is an error.
pub(crate) fn guard<T>(plugin: &str, work: impl FnOnce() -> T) -> Result<T> {
    // What `work` borrows is not used again: the caller poisons the instance, or has none.
    panic::catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        // Dropping a payload may panic in turn, and it is not worth freeing.
        std::mem::forget(payload);
        panicked(plugin)
    })
}

fn panicked(plugin: &str) -> Error {
    let error = Error::new(ErrorKind::Internal, format!("plugin `{plugin}` panicked; this is a defect in the plugin"));
    // A thread that is ending has no place any more.
    match PLACE.try_with(RefCell::take).ok().flatten() {
        Some(place) => error.with("at", place),
        None => error,
    }
}
