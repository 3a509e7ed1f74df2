//! Failpoints: ends the process, or fails, at the nth durable operation, as the crash driver asks in the environment.
//!
//! They are in builds with debug assertions or the feature `failpoints`, never in a release as it is shipped:
//!
//! | variable | meaning |
//! | --- | --- |
//! | `SEGPORT_FAILPOINT` | `OPERATION:N=kill` or `OPERATION:N=fail`: what happens at the nth operation of that name, or, with `any`, at the nth of whatever name. The names stand at [`Faults`] |
//! | `SEGPORT_FOLDING` | how many idle records the ledger keeps before it folds its pages, in place of the default |
//! | `SEGPORT_INDEX_MEMORY` | how many bytes of memory an index takes before its rows go to files, in place of the default |
//!
//! `kill` is [`std::process::abort`]: like SIGKILL it runs no destructor and flushes nothing, and it needs no unsafe code.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use segport_ledger::{Faults, Folding, StateKey, Store};

use crate::exit::Failure;

const FAILPOINT: &str = "SEGPORT_FAILPOINT";
const FOLDING: &str = "SEGPORT_FOLDING";
const INDEX_MEMORY: &str = "SEGPORT_INDEX_MEMORY";

/// Stands for every operation.
const ANY: &str = "any";

/// The state at `path`, with what the environment asks for.
///
/// # Errors
/// If that cannot be understood, and as [`Store::open`].
pub(crate) async fn open(path: &Path, key: &StateKey) -> Result<Store, Failure> {
    let store = match std::env::var(FAILPOINT) {
        Ok(text) => Store::open_with(path, key, Arc::new(understood(FAILPOINT, &text, Failpoint::parse)?)).await?,
        Err(_) => Store::open(path, key).await?,
    };
    let store = match std::env::var(FOLDING) {
        Ok(text) => {
            let idle_records = understood(FOLDING, &text, |text| text.parse().ok())?;
            store.with_folding(Folding { idle_records, ..Folding::default() })
        }
        Err(_) => store,
    };
    Ok(match std::env::var(INDEX_MEMORY) {
        Ok(text) => store.with_index_memory(understood(INDEX_MEMORY, &text, |text| text.parse().ok())?),
        Err(_) => store,
    })
}

fn understood<T>(name: &str, text: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, Failure> {
    parse(text).ok_or_else(|| Failure::new(format!("`{name}={text}` cannot be understood")))
}

/// One durable operation, and what is to happen there.
#[derive(Debug)]
pub(crate) struct Failpoint {
    operation: String,
    nth: u64,
    blow: Blow,
    met: AtomicU64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    Kill,
    Fail,
}

impl Failpoint {
    fn parse(text: &str) -> Option<Self> {
        let (place, blow) = text.split_once('=')?;
        let (operation, nth) = place.split_once(':')?;
        let blow = match blow {
            "kill" => Blow::Kill,
            "fail" => Blow::Fail,
            _ => return None,
        };
        let nth = nth.parse().ok().filter(|&nth| nth > 0)?;
        Some(Self { operation: operation.to_owned(), nth, blow, met: AtomicU64::new(0) })
    }

    /// Whether this is the operation that is meant.
    fn is_met(&self, operation: &str) -> bool {
        (self.operation == ANY || self.operation == operation)
            && self.met.fetch_add(1, Ordering::SeqCst) + 1 == self.nth
    }
}

impl Faults for Failpoint {
    fn before(&self, operation: &'static str) -> io::Result<()> {
        match self.blow {
            _ if !self.is_met(operation) => Ok(()),
            Blow::Kill => std::process::abort(),
            Blow::Fail => Err(io::Error::other(format!("failpoint `{operation}`"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failpoint_names_an_operation_a_number_and_a_blow() {
        for (text, expected) in [
            ("commit:3=kill", Some(("commit", 3, Blow::Kill))),
            ("any:1=fail", Some(("any", 1, Blow::Fail))),
            ("commit:0=kill", None),
            ("commit:3", None),
            ("commit=kill", None),
            ("commit:3=stop", None),
            ("", None),
        ] {
            let found = Failpoint::parse(text);
            let found = found.as_ref().map(|point| (&*point.operation, point.nth, point.blow));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn only_the_nth_operation_fails() {
        let check = |text: &str, operations: &[&'static str], failing: &[usize]| {
            let point = Failpoint::parse(text).unwrap();
            let failed: Vec<usize> =
                (0..operations.len()).filter(|&at| point.before(operations[at]).is_err()).collect();
            assert_eq!(failed, failing, "{text}");
        };
        check("commit:2=fail", &["commit", "begin_run", "commit", "commit"], &[2]);
        check("any:2=fail", &["commit", "begin_run", "commit"], &[1]);
        check("end_run:1=fail", &["commit"], &[]);
    }
}
