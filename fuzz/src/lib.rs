//! What the targets share.

use std::panic;

/// Lets a panic of a library be, if our code takes it for an error, and still ends the process at any of ours.
///
/// libFuzzer ends it at every panic. What nobody catches ends it all the same.
pub fn abort_on_own_panics() {
    let abort = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map_or("", |place| place.file());
        if !["/registry/", "/rustc/"].iter().any(|foreign| place.contains(foreign)) {
            abort(panic);
        }
    }));
}
