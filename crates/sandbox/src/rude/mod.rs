//! A destination without manners: a raw TCP server that breaks the rules of TCP, TLS, HTTP and JSON as a script says.
//!
//! [`fault`](crate::fault) misbehaves within HTTP, for demos and tests of whole runs. This is for the tests of a client: every
//! way in which a call can go wrong is a [`Rude`], and a [`RudeServer`] does one of them to each request at its rude address,
//! in the order of its script. What is asked at its other address is done and answered properly, by the same account, so that
//! a test can see what a call did that seemed to fail.
//!
//! ```
//! use segport_sandbox::{Rude, RudeServer};
//!
//! // The first request is cut off after it was read, every other one is answered.
//! let server = RudeServer::start(vec![Rude::ResetAfter, Rude::Polite])?;
//! assert!(server.rude_url().starts_with("http://127.0.0.1:"));
//! assert!(server.asked().is_empty());
//! # Ok::<(), segport_sandbox::Error>(())
//! ```

mod answer;
mod request;
mod server;
mod tls;

use std::time::Duration;

pub use server::RudeServer;

/// What is done to a request, or to its connection. *Done* means that what was asked for has had its effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rude {
    /// Nothing bad: done and answered.
    Polite,

    /// Nobody listens at the address. Holds for the whole script.
    Refuse,
    /// The port of an `https` address speaks plain text. Holds for the whole script.
    PlainOnTls,
    /// The certificate is signed by itself. Holds for the whole script.
    SelfSigned,
    /// The connection is closed in the middle of the TLS handshake. Holds for the whole script.
    ClosedInHandshake,

    /// The connection is reset once the request's head has come.
    ResetBefore,
    /// The connection is reset once so many bytes of the request's body have come, or all of it.
    ResetWithin(usize),
    /// The connection is reset once the request is complete; nothing is done.
    ResetAfter,
    /// The connection is closed in order once the request is complete; nothing is done.
    Close,
    /// The connection is accepted, and then nothing is ever read or said.
    BlackHole,
    /// Done, but the answer ends within its head, and the connection stays as if the other side were gone.
    HalfOpen,
    /// The server closes its side of the connection without an answer and goes on to listen; nothing is done.
    HalfClosed,
    /// Done, but no answer comes.
    CommitThenSilence,
    /// Done, and the answer comes at one byte each.
    Drip(Duration),

    /// Done, and the answer's JSON ends half-way, though its length is right.
    Truncated,
    /// Done, and the answer ends before the length that it announces.
    LengthTooLong,
    /// Done, and the answer goes on after the length that it announces, which is half of it.
    LengthTooShort,
    /// Done, and what comes is not HTTP.
    NotHttp,
    /// Done, and the answer is packed with gzip and has some hundred times the size that anybody wants.
    GzipBomb,
    /// Done, and the answer says that it is packed with gzip, but is not.
    NotGzip,
    /// Done, and the answer's texts hold bytes that are no UTF-8.
    InvalidUtf8,
    /// Done, and the answer is JSON that is a hundred thousand levels deep.
    DeepNesting,
    /// Done, and the answer does not end before 20 MiB.
    Huge,

    /// 200 with a web page, as from a proxy; nothing is done.
    Html,
    /// 200 with a body that says that there was an error; nothing is done.
    ErrorInOk,
    /// Done, and answered with 204.
    NoContent,
    /// A redirect to the same address; nothing is done.
    RedirectLoop,
    /// A status with a body in the destination's usual shape, if it is an error; nothing is done.
    Status(u16, RetryAfter),

    /// Done, and the first address is missing from the answer to a bulk call.
    MapMissing,
    /// Done, and the answer to a bulk call names an address that was not sent, beside those that were.
    MapExtra,
    /// Done, and the answer to a bulk call names the addresses in the opposite order.
    MapReordered,
    /// Done, but the answer to a bulk call names only addresses that were not sent.
    MapForeign,
}

/// The `Retry-After` of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter {
    /// None.
    Absent,
    /// So many seconds.
    Seconds(u64),
    /// The date that lies so many seconds after the answer's own.
    Date(u32),
    /// Words.
    Nonsense,
}

impl Rude {
    /// Whether it concerns the address, so that no request can be answered there.
    fn is_of_address(&self) -> bool {
        matches!(self, Self::Refuse | Self::PlainOnTls | Self::SelfSigned | Self::ClosedInHandshake)
    }

    /// Whether what was asked for is done.
    fn commits(&self) -> bool {
        !matches!(
            self,
            Self::Refuse
                | Self::PlainOnTls
                | Self::SelfSigned
                | Self::ClosedInHandshake
                | Self::ResetBefore
                | Self::ResetWithin(_)
                | Self::ResetAfter
                | Self::Close
                | Self::BlackHole
                | Self::HalfClosed
                | Self::Html
                | Self::ErrorInOk
                | Self::RedirectLoop
                | Self::Status(..)
        )
    }
}
