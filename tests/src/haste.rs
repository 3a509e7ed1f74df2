//! A process for which time that is slept takes no time.

use crate::Segport;
use crate::preload::Preload;

/// Lets what waits by sleeping again and again, as SQLite does for a lock, come to its end at once.
#[derive(Debug)]
pub struct Haste(Preload);

impl Default for Haste {
    /// Builds the library that is preloaded into the process.
    fn default() -> Self {
        let sleep =
            "#include <time.h>\nint nanosleep(const struct timespec *time, struct timespec *rest) { return 0; }\n";
        Self(Preload::of(sleep))
    }
}

impl Haste {
    /// The same call, in haste.
    #[must_use]
    pub fn under(&self, call: Segport) -> Segport {
        self.0.under(call)
    }
}
