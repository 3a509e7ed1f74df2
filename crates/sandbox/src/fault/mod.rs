//! Scripted misbehaviour.
//!
//! A fault is one line of text:
//!
//! ```text
//! FAULT  = [METHOD] [PATH] WORD...          words are separated by blanks
//! METHOD = GET | POST | PUT | PATCH | DELETE | HEAD | *          left out: every method
//! PATH   = /segment/...       `*` within a segment, `**` across segments; with or without the base path (/v1);
//!                             compared after percent-decoding; left out: every path
//! WORD   = WHEN | ACTION | MODIFIER
//!
//! WHEN     nth=N              only the Nth matching request
//!          every=N            the Nth, 2Nth, 3Nth ...
//!          from=N to=N        from and up to that one, counted from 1, both included
//!          times=N            no more than N times in all
//!
//! ACTION   status=CODE        answers with CODE (200 to 599) in place of doing anything; body in the usual shape
//!          body=TEXT          answers with TEXT; status 200 unless given
//!          reset              cuts the connection before the request body is read
//!          reset-after-body   cuts it after; nothing was done
//!          truncate           does the work, sends half of the answer, then closes
//!          timeout[=TIME]     does nothing, never answers, closes after TIME (60s)
//!          commit-then-timeout[=TIME]   does the work, never answers, closes after TIME (60s)
//!          partial-map=N      does the work, leaves the first N addresses out of `email_contact_map`
//!          bulk-lists=on|off  whether this bulk write honours the list named in a contact
//!          refuse-email=GLOB  400 for a whole write that holds a matching address (status=, body= change the answer)
//!          drop-email=GLOB    matching contacts are not stored and missing from the answer
//!
//! MODIFIER delay=TIME         waits first (alone: the request is then served as usual)
//!          retry-after=N      adds `Retry-After: N` (with status=, body=)
//!          commit             does the work before status=, body= or reset-after-body takes the answer's place
//!
//! TIME = 250ms | 2s | 1.5s | 1m      GLOB = text with `*`, case does not matter
//! TEXT = word | "words with \" and \\ and \n"
//! ```
//!
//! Requests without a good key and throttled requests are answered before any fault. Every fault counts all requests
//! that fit its method and path, whichever fault takes effect; of the faults that fire for a request, the first in
//! order is applied. `refuse-email` and `drop-email` are different: they count only requests that hold a matching
//! address, and all that fire apply, beside the one other fault.

mod parse;
mod script;

use std::fmt;
use std::time::Duration;

use hyper::Method;

use crate::glob::Glob;

pub use parse::FaultError;
pub(crate) use script::{Decision, Rules, Script};

/// One line of scripted misbehaviour; see the [module](self) for the grammar.
///
/// ```
/// use segport_sandbox::Fault;
///
/// let fault: Fault = "POST /contacts every=10 delay=2s".parse()?;
/// assert_eq!(fault.to_string(), "POST /contacts every=10 delay=2s");
/// assert!("POST /contacts nth=0 reset".parse::<Fault>().is_err());
/// # Ok::<(), segport_sandbox::FaultError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    source: String,
    method: Option<Method>,
    path: Option<Glob>,
    when: When,
    delay: Option<Duration>,
    action: Action,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.source)
    }
}

/// Which of the matching requests a fault takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct When {
    nth: Option<u64>,
    every: Option<u64>,
    from: Option<u64>,
    to: Option<u64>,
    times: Option<u64>,
}

impl When {
    /// Whether the request with this number, counted from 1, is meant; `times` aside.
    fn takes(&self, number: u64) -> bool {
        self.nth.is_none_or(|nth| number == nth)
            && self.every.is_none_or(|every| number.is_multiple_of(every))
            && self.from.is_none_or(|from| number >= from)
            && self.to.is_none_or(|to| number <= to)
    }
}

/// What a fault does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// The server treats the request in its own way.
    Server(Treatment),
    /// Leaves so many addresses out of the bulk answer.
    PartialMap(usize),
    /// Whether bulk writes put contacts on lists.
    BulkLists(bool),
    /// Refuses writes that hold a matching address.
    RefuseEmail { emails: Glob, answer: Option<ScriptedAnswer> },
    /// Loses contacts with a matching address.
    DropEmail(Glob),
}

/// What the server does with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Treatment {
    /// Cuts the connection before the body is read.
    Reset,
    /// Reads the body first.
    Read(Reaction),
}

/// What the server does with a request whose body was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reaction {
    /// Serves the request as usual (after the delay).
    Serve,
    /// Puts this answer in place of the real one.
    Answer { answer: ScriptedAnswer, commit: bool },
    /// Cuts the connection.
    Reset { commit: bool },
    /// Sends half of the answer.
    Truncate,
    /// Never answers.
    Timeout { commit: bool, close_after: Duration },
}

impl From<Reaction> for Action {
    fn from(reaction: Reaction) -> Self {
        Self::Server(Treatment::Read(reaction))
    }
}

/// An answer given by a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScriptedAnswer {
    /// The status.
    pub(crate) status: u16,
    /// The body; none is the destination's usual shape for the status.
    pub(crate) body: Option<String>,
    /// Seconds for `Retry-After`.
    pub(crate) retry_after: Option<u32>,
}
