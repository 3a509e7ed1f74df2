//! What becomes of each call to Autopilot in each way in which it can go wrong: the expectations, as a table.
//!
//! A test carries out every cell over TCP, and the page `docs/src/reference/failures.md` shows the same table.

use std::time::Duration;

use segport_sandbox::RetryAfter::{Absent, Date, Nonsense, Seconds};
use segport_sandbox::Rude;

/// A call that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// `segport connect` asks for the account.
    Account,
    /// A run looks for its lists.
    Find,
    /// A run makes a list that is not there.
    Create,
    /// A first run looks how many are on a list that is there.
    Look,
    /// Contacts are written.
    Write,
    /// A contact is looked up on its list, to learn whether bulk calls put contacts there.
    Test,
    /// A list that others filled is read, so that nobody on it is put there again.
    Page,
    /// A contact is put on its list.
    Add,
    /// A leaver is taken off its list.
    Remove,
    /// A contact that an earlier run may have written is read, to learn whether it is there as it should be.
    Read,
}

impl Call {
    /// All of them, in the order of [`Row::cells`].
    pub const ALL: [Self; 10] = [
        Self::Account,
        Self::Find,
        Self::Create,
        Self::Look,
        Self::Write,
        Self::Test,
        Self::Page,
        Self::Add,
        Self::Remove,
        Self::Read,
    ];

    /// The call as the connector names it.
    pub fn operation(self) -> &'static str {
        match self {
            Self::Account => "GET /account",
            Self::Find => "GET /lists",
            Self::Create => "POST /list",
            Self::Look | Self::Page => "GET /list/{list}/contacts",
            Self::Write => "POST /contacts",
            Self::Test => "GET /list/{list}/contact/{contact}",
            Self::Add => "POST /list/{list}/contact/{contact}",
            Self::Remove => "DELETE /list/{list}/contact/{contact}",
            Self::Read => "GET /contact/{contact}",
        }
    }

    /// A word for the head of a column.
    pub fn title(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Find => "find lists",
            Self::Create => "make list",
            Self::Look => "look at list",
            Self::Write => "write",
            Self::Test => "probe",
            Self::Page => "read list",
            Self::Add => "add",
            Self::Remove => "remove",
            Self::Read => "read contact",
        }
    }
}

/// One way to go wrong, and what becomes of each call that always goes wrong so.
///
/// A cell is `END xN`: how it ends, and how many attempts there are; `END for 10 min` if attempts go on that long. `END` is
/// `ok`, the kind of the error, or the outcome of the rows (two if they differ); `not sent` follows if the error says so,
/// `stops` if the run ends by it, and `sent again` if a row in doubt was written again because it could not be told whether it
/// was there. An empty cell is a way in which that call cannot go wrong.
#[derive(Debug)]
pub struct Row {
    /// What goes wrong, for readers.
    pub what: &'static str,
    /// The same for the server.
    pub rude: Rude,
    /// By [`Call::ALL`].
    pub cells: [&'static str; 10],
}

/// Rows that have something in common.
#[derive(Debug)]
pub struct Group {
    /// What they have in common.
    pub title: &'static str,
    /// The rows.
    pub rows: &'static [Row],
}

const fn row(what: &'static str, rude: Rude, cells: [&'static str; 10]) -> Row {
    Row { what, rude, cells }
}

/// Calls that change nothing are alike, and so are those that write, and those that only save calls; `contact` is [`Call::Read`].
const fn same(
    read: &'static str,
    create: &'static str,
    look: &'static str,
    write: &'static str,
    test: &'static str,
    contact: &'static str,
) -> [&'static str; 10] {
    [read, read, create, look, write, test, test, write, write, contact]
}

const UNSENT: &str = "unavailable x5, not sent";
const UNTRUSTED: &str = "unavailable x1, not sent";
const THROTTLED: [&str; 10] = same(
    "rate_limited for 10 min",
    "rate_limited for 10 min",
    "ok for 10 min",
    "deferred for 10 min",
    "done for 10 min",
    "done for 10 min, sent again",
);

/// The whole table.
pub const GROUPS: &[Group] = &[
    Group {
        title: "No connection",
        rows: &[
            row("nobody listens", Rude::Refuse, same(UNSENT, UNSENT, "ok x5", "deferred x5", "done x5", TRIED_IN_VAIN)),
            row(
                "plain text on the port of TLS",
                Rude::PlainOnTls,
                same(UNTRUSTED, UNTRUSTED, "ok x1", "deferred x1", "done x1", SENT_AGAIN),
            ),
            row(
                "certificate signed by itself",
                Rude::SelfSigned,
                same(UNTRUSTED, UNTRUSTED, "ok x1", "deferred x1", "done x1", SENT_AGAIN),
            ),
            row(
                "closed in the TLS handshake",
                Rude::ClosedInHandshake,
                same(UNSENT, UNSENT, "ok x5", "deferred x5", "done x5", TRIED_IN_VAIN),
            ),
        ],
    },
    Group {
        title: "No answer",
        rows: &[
            row("reset before the body", Rude::ResetBefore, BROKEN),
            row("reset within the body", Rude::ResetWithin(20), BROKEN),
            row("reset after the body", Rude::ResetAfter, BROKEN),
            row("closed without an answer", Rude::Close, BROKEN),
            row("half closed without an answer", Rude::HalfClosed, BROKEN),
            row(
                "accepted, then silence",
                Rude::BlackHole,
                same("timeout x5", "timeout x1", "ok x5", "unknown x5", "done x5", TRIED_IN_VAIN),
            ),
            row("done, then silence", Rude::CommitThenSilence, LATE),
            row("half open: silence in mid-answer", Rude::HalfOpen, LATE),
            row("a byte now and then", Rude::Drip(Duration::from_millis(500)), LATE),
        ],
    },
    Group {
        title: "Broken answers",
        rows: &[
            row(
                "shorter than its length says",
                Rude::LengthTooLong,
                same("unavailable x5", "ok x1", "ok x5", "unknown x5", "done x5", TRIED_IN_VAIN),
            ),
            row("longer than its length says", Rude::LengthTooShort, UNREADABLE),
            row(
                "not HTTP",
                Rude::NotHttp,
                same("unavailable x5", "ok x1", "ok x5", "unknown x5", "done x5", TRIED_IN_VAIN),
            ),
            row(
                "not gzip, though it says so",
                Rude::NotGzip,
                same("unavailable x5", "ok x1", "ok x5", "unknown x5", "done x5", TRIED_IN_VAIN),
            ),
            row("gzip bomb", Rude::GzipBomb, UNREADABLE),
            row("more than 16 MiB", Rude::Huge, UNREADABLE),
            row("JSON cut off", Rude::Truncated, UNREADABLE),
            row("invalid UTF-8", Rude::InvalidUtf8, UNREADABLE),
            row("JSON 100,000 levels deep", Rude::DeepNesting, UNREADABLE),
        ],
    },
    Group {
        title: "Answers of somebody else",
        rows: &[
            row(
                "200 with a web page",
                Rude::Html,
                same("unavailable x1", "unavailable x1", "ok x1", "unknown x1", "done x1", SENT_AGAIN),
            ),
            row(
                "200 with an error in it",
                Rude::ErrorInOk,
                same("unavailable x1", "unavailable x1", "ok x1", "unknown x1", "done x1", SENT_AGAIN),
            ),
            row(
                "204 without content",
                Rude::NoContent,
                [
                    "unavailable x1",
                    "unavailable x1",
                    "ok x1",
                    "ok x1",
                    "unknown x1",
                    "done x1",
                    "done x1",
                    "done x1",
                    "done x1",
                    SENT_AGAIN,
                ],
            ),
            row("redirect to itself", Rude::RedirectLoop, MISLED),
        ],
    },
    Group {
        title: "Statuses",
        rows: &[
            row("400", Rude::Status(400, Absent), REJECTED),
            row(
                "401",
                Rude::Status(401, Absent),
                same("unauthenticated x1", "unauthenticated x1", "unauthenticated x1", HALTED, HALTED, HALTED),
            ),
            row(
                "403",
                Rude::Status(403, Absent),
                same("permission_denied x1", "permission_denied x1", "permission_denied x1", HALTED, HALTED, HALTED),
            ),
            row(
                "404 with an unknown text",
                Rude::Status(404, Absent),
                same("not_found x1", "rejected x1", "ok x1", "refused x1", "done x1", SENT_AGAIN),
            ),
            row("405", Rude::Status(405, Absent), MISLED),
            row(
                "408",
                Rude::Status(408, Absent),
                same("timeout x5", "timeout x1", "ok x5", "unknown x5", "done x5", TRIED_IN_VAIN),
            ),
            row("409", Rude::Status(409, Absent), REJECTED),
            row("413", Rude::Status(413, Absent), REJECTED),
            row("422", Rude::Status(422, Absent), REJECTED),
            row("429", Rude::Status(429, Absent), THROTTLED),
            row("429, `Retry-After` of 7 s", Rude::Status(429, Seconds(7)), THROTTLED),
            row("429, `Retry-After` as a date", Rude::Status(429, Date(12)), THROTTLED),
            row("429, `Retry-After` of 30 years", Rude::Status(429, Seconds(1_000_000_000)), THROTTLED),
            row("429, `Retry-After` of words", Rude::Status(429, Nonsense), THROTTLED),
            row("500", Rude::Status(500, Absent), UNABLE),
            row("502", Rude::Status(502, Absent), BROKEN),
            row("503", Rude::Status(503, Absent), UNABLE),
            row("503, `Retry-After` of 7 s", Rude::Status(503, Seconds(7)), UNABLE),
            row("503, `Retry-After` as a date", Rude::Status(503, Date(12)), UNABLE),
            row("503, `Retry-After` of 30 years", Rude::Status(503, Seconds(1_000_000_000)), PAUSED),
            row("504", Rude::Status(504, Absent), BROKEN),
            row("522, or another number of what stands in front", Rude::Status(522, Absent), BROKEN),
        ],
    },
    Group {
        title: "Answers to a bulk call",
        rows: &[
            row("an address is missing", Rude::MapMissing, ["", "", "", "", "refused, done x1", "", "", "", "", ""]),
            row("an address more", Rude::MapExtra, ["", "", "", "", "done x1", "", "", "", "", ""]),
            row("another order", Rude::MapReordered, ["", "", "", "", "done x1", "", "", "", "", ""]),
            row("other addresses only", Rude::MapForeign, ["", "", "", "", "refused x1", "", "", "", "", ""]),
        ],
    },
];

const HALTED: &str = "deferred x1, stops";
/// What was there and could not be read is written once more, and is as it should be.
const SENT_AGAIN: &str = "done x1, sent again";
const TRIED_IN_VAIN: &str = "done x5, sent again";
const BROKEN: [&str; 10] = same("unavailable x5", "unavailable x1", "ok x5", "unknown x5", "done x5", TRIED_IN_VAIN);
/// Autopilot itself says that it could not, so that a list that is not there is made again.
const UNABLE: [&str; 10] = same("unavailable x5", "unavailable x3", "ok x5", "unknown x5", "done x5", TRIED_IN_VAIN);
/// Each pause lasts five minutes, and after ten there is no further attempt.
const PAUSED: [&str; 10] =
    same("unavailable x3", "unavailable x3", "ok x3", "unknown x3", "done x3", "done x3, sent again");
/// What was done is seen by looking a list up, and only so.
const LATE: [&str; 10] = same("timeout x5", "ok x1", "ok x5", "unknown x5", "done x5", TRIED_IN_VAIN);
const UNREADABLE: [&str; 10] = same("unavailable x1", "ok x1", "ok x1", "unknown x1", "done x1", SENT_AGAIN);
const MISLED: [&str; 10] = same("config_invalid x1", "config_invalid x1", "ok x1", HALTED, "done x1", HALTED);
const REJECTED: [&str; 10] = same("rejected x1", "rejected x1", "ok x1", "refused x1", "done x1", SENT_AGAIN);
