//! Why there is no answer, and how that is told.
//!
//! A message holds the operation's name and the destination's origin. It never holds a path, a query, a header or a body:
//! an address may hold an e-mail, and the rest a credential or a profile.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use rustls::CertificateError;
use segport_core::{Error, ErrorKind};
use url::Url;

use crate::egress::{Refused, Unresolved};
use crate::wire::Loss;

/// When the same call may be made again after the transport gave up on a passing fault.
const TRY_LATER: Duration = Duration::from_secs(30);

/// The part of the way on which an attempt failed; `segport connect` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layer {
    Dns,
    Tcp,
    Tls,
    Http,
}

impl Layer {
    fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Http => "http",
        }
    }
}

/// Why one attempt brought no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The egress policy forbids the destination; nothing was sent.
    Refused(Refused),
    /// No connection; nothing was sent.
    Unconnected { layer: Layer, why: String, causes: Vec<String>, late: bool },
    /// TLS with this destination cannot work, such as an untrusted certificate; nothing was sent.
    Untrusted { causes: Vec<String> },
    /// The connection broke, or what came is not an answer; the request may have arrived.
    Broken { causes: Vec<String> },
    /// The deadline passed; the request may have arrived.
    Late { within: Duration },
    /// Nobody waits for the answer any more; the request may have arrived.
    CutOff,
    /// The answer is larger than anything a connector can want; the request did arrive.
    TooLarge { limit: usize },
}

impl Failure {
    /// Judges an error of the HTTP library for a request to `url`.
    pub(crate) fn of(error: &reqwest::Error, url: &Url) -> Self {
        if let Some(refused) = find::<Refused>(error) {
            return Self::Refused(refused.clone());
        }
        let causes = causes(error);
        if !error.is_connect() {
            return Self::Broken { causes };
        }
        if let Some(unresolved) = find::<Unresolved>(error) {
            let late = matches!(unresolved, Unresolved::Late(_));
            let mut below = Vec::new();
            below.extend(unresolved.source().map(ToString::to_string));
            return Self::Unconnected { layer: Layer::Dns, why: unresolved.to_string(), causes: below, late };
        }
        match find::<rustls::Error>(error) {
            // These two are what an overloaded or restarting server causes; everything else stays as it is.
            Some(rustls::Error::AlertReceived(rustls::AlertDescription::InternalError)) | None => {}
            Some(_) => return Self::Untrusted { causes },
        }
        let late = error.is_timeout();
        let tcp = late || url.scheme() == "http" || causes.iter().any(|cause| cause.starts_with("tcp "));
        let (layer, why) = if tcp { (Layer::Tcp, "no connection") } else { (Layer::Tls, "the TLS handshake failed") };
        Self::Unconnected { layer, why: why.to_owned(), causes, late }
    }

    /// What the loss of a simulated attempt means.
    pub(crate) fn lost(loss: Loss) -> Self {
        match loss {
            Loss::Unconnected => Self::Unconnected {
                layer: Layer::Tcp,
                why: "no connection".to_owned(),
                causes: Vec::new(),
                late: false,
            },
            Loss::Broken => Self::Broken { causes: Vec::new() },
        }
    }

    /// Whether anything of the request may have reached the destination.
    pub(crate) fn reached(&self) -> bool {
        match self {
            Self::Refused(_) | Self::Unconnected { .. } | Self::Untrusted { .. } => false,
            Self::Broken { .. } | Self::Late { .. } | Self::CutOff | Self::TooLarge { .. } => true,
        }
    }

    /// Whether the same attempt may end better.
    pub(crate) fn passing(&self) -> bool {
        match self {
            Self::Unconnected { .. } | Self::Broken { .. } | Self::Late { .. } => true,
            Self::Refused(_) | Self::Untrusted { .. } | Self::CutOff | Self::TooLarge { .. } => false,
        }
    }

    /// A word for the log.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::Unconnected { .. } => "unconnected",
            Self::Untrusted { .. } => "untrusted",
            Self::Broken { .. } => "broken",
            Self::Late { .. } => "late",
            Self::CutOff => "cut_off",
            Self::TooLarge { .. } => "too_large",
        }
    }

    /// The error that ends the call.
    pub(crate) fn report(self, end: &End<'_>) -> Error {
        let End { operation, url, attempts, reached, repeatable } = end;
        let origin = url.origin().ascii_serialization();
        let again = self.passing() && (*repeatable || !reached);
        let (kind, layer, text, causes) = match self {
            Self::Refused(why) => {
                return refused(operation, &why).with("origin", origin);
            }
            Self::Unconnected { layer, why, causes, late } => {
                let kind = if late { ErrorKind::Timeout } else { ErrorKind::Unavailable };
                (kind, layer, format!("{origin} could not be reached: {why}"), causes)
            }
            Self::Untrusted { causes } => {
                let text = format!("{origin} could not be reached: no trusted TLS connection");
                (ErrorKind::Unavailable, Layer::Tls, text, causes)
            }
            Self::Broken { causes } => {
                (ErrorKind::Unavailable, Layer::Http, format!("no usable answer from {origin}"), causes)
            }
            Self::Late { within } => {
                (ErrorKind::Timeout, Layer::Http, format!("no answer from {origin} within {within:?}"), Vec::new())
            }
            Self::CutOff => {
                let text = format!("the run was interrupted before {origin} answered");
                (ErrorKind::Cancelled, Layer::Http, text, Vec::new())
            }
            Self::TooLarge { limit } => {
                let text = format!("the answer of {origin} is larger than {} MiB", limit >> 20);
                (ErrorKind::Unavailable, Layer::Http, text, Vec::new())
            }
        };
        let mut text = format!("{operation}: {text}");
        for cause in causes {
            text.push_str(": ");
            text.push_str(&cause);
        }
        let mut error = Error::new(kind, text).with("layer", layer.as_str()).with("attempts", attempts.to_string());
        if !reached {
            error = error.not_sent();
        }
        if again { error.retry_after(TRY_LATER) } else { error }
    }
}

/// What is known when a call ends without an answer.
#[derive(Debug)]
pub(crate) struct End<'a> {
    pub(crate) operation: &'a str,
    pub(crate) url: &'a Url,
    pub(crate) attempts: u32,
    /// Whether anything of any attempt may have reached the destination.
    pub(crate) reached: bool,
    pub(crate) repeatable: bool,
}

/// The error for a destination that the egress policy forbids.
pub(crate) fn refused(operation: &str, why: &Refused) -> Error {
    Error::new(ErrorKind::ConfigInvalid, format!("{operation}: {why}")).not_sent()
}

/// The error for a request that cannot be sent as it is; `what` never quotes it.
pub(crate) fn unsendable(operation: &str, what: &str) -> Error {
    Error::new(ErrorKind::ConfigInvalid, format!("{operation}: {what}")).not_sent()
}

/// Why no further attempt may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The handle was wound up.
    WoundUp,
    /// The destination has answered another request of the connection 401 or 403.
    TurnedAway { status: u16 },
}

impl Ended {
    /// The error for a request that waited, or was throttled and waited again, until then.
    pub(crate) fn report(self, operation: &str) -> Error {
        let (kind, why) = match self {
            Self::WoundUp => (ErrorKind::Cancelled, "the run was interrupted"),
            Self::TurnedAway { status: 401 } => {
                (ErrorKind::Unauthenticated, "the destination has just answered another request with 401")
            }
            Self::TurnedAway { .. } => {
                (ErrorKind::PermissionDenied, "the destination has just answered another request with 403")
            }
        };
        Error::new(kind, format!("{operation}: not sent, {why}")).not_sent()
    }
}

/// The error for a request that was not sent because its [`Permit`](crate::Permit) did not hold any more.
pub(crate) fn recalled(operation: &str) -> Error {
    let text = format!("{operation}: not sent, because somebody was put on the suppression list meanwhile");
    Error::new(ErrorKind::Cancelled, text).recalled()
}

/// What went wrong with TLS.
fn told(error: &rustls::Error) -> &'static str {
    match error {
        rustls::Error::InvalidCertificate(error) => of_certificate(error),
        rustls::Error::NoCertificatesPresented => "it shows no certificate",
        rustls::Error::InvalidMessage(_) => "what it answers is not TLS; is it a plain `http` address?",
        rustls::Error::AlertReceived(_) => "it broke the TLS handshake off",
        rustls::Error::PeerIncompatible(_) => "it offers no version or cipher of TLS that can be used",
        rustls::Error::FailedToGetCurrentTime => "this machine's clock cannot be read",
        _ => "the TLS handshake went wrong",
    }
}

fn of_certificate(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::UnknownIssuer => "its certificate is from no authority that this machine trusts",
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "its certificate has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet; is this machine's clock right?"
        }
        CertificateError::Revoked => "its certificate has been revoked",
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate is for another name"
        }
        _ => "its certificate cannot be used",
    }
}

/// The chain of `error`, where each `io::Error` is followed by what it wraps (its own `source` skips that).
fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| {
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        match wrapped {
            Some(wrapped) => Some(wrapped as &(dyn StdError + 'static)),
            None => error.source(),
        }
    })
}

fn find<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    chain(error).find_map(|error| error.downcast_ref())
}

/// The chain as text, without the wrappers that say nothing to a user, and without the HTTP library's own layer, which may
/// quote the address. TLS is told in other words than those of its library, which are names in its code.
fn causes(error: &reqwest::Error) -> Vec<String> {
    let wraps = |error: &io::Error| error.get_ref().is_some();
    let mut texts: Vec<String> = chain(error)
        .filter(|error| !error.is::<reqwest::Error>() && !error.downcast_ref().is_some_and(wraps))
        .map(|error| error.downcast_ref().map_or_else(|| error.to_string(), |error| told(error).to_owned()))
        .filter(|text| !text.starts_with("client error ("))
        .collect();
    texts.dedup();
    texts
}
