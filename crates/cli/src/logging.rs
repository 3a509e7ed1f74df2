//! The log: on standard error, quiet unless asked for.

use std::io::{self, Write};

use segport_core::harmless;
use segport_manifest::Style;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{Directive, FilterExt, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::arguments::Global;
use crate::output::to_stderr;

/// The variable with a filter of one's own, such as `segport_transport=debug`.
const VARIABLE: &str = "SEGPORT_LOG";

/// Libraries that print headers and bodies, and so secrets, when they are let.
const TALKATIVE: [&str; 6] = ["h2", "hyper", "hyper_util", "reqwest", "rustls", "sqlx"];

/// Starts the log, which may look like this; once per process.
pub(crate) fn start(global: &Global, style: Style) {
    let asked = std::env::var(VARIABLE).ok().filter(|text| !text.trim().is_empty());
    let directives = asked.unwrap_or_else(|| default_directives(global.quiet, global.verbose).to_owned());
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(Aside)
        .with_ansi(style == Style::Coloured)
        .with_target(global.verbose > 1)
        // They would be printed to the same place, with a panic where that fails.
        .log_internal_errors(false);
    log(&directives, lines)
        .try_init()
        // Only a second start fails, and the first one does.
        .unwrap_or(());
}

/// What `lines` writes of what is asked for.
fn log<L>(directives: &str, lines: L) -> impl SubscriberInitExt + Subscriber + Send + Sync
where
    L: Layer<Registry> + Send + Sync + 'static,
{
    tracing_subscriber::registry().with(lines.with_filter(filter(directives).and(filter_fn(tells_no_secret))))
}

fn default_directives(quiet: bool, verbose: u8) -> &'static str {
    match (quiet, verbose) {
        (true, 0) => "error",
        (false, 0) => "error,segport=warn",
        (_, 1) => "warn,segport=info",
        (_, 2) => "warn,segport=debug",
        _ => "info,segport=trace",
    }
}

/// Directives that cannot be read are left out.
fn filter(directives: &str) -> EnvFilter {
    let (readable, odd): (Vec<_>, Vec<_>) =
        directives.split(',').map(str::trim).partition(|text| text.parse::<Directive>().is_ok());
    for text in odd.into_iter().filter(|text| !text.is_empty()) {
        to_stderr(format!("{VARIABLE}: ignoring `{}`, which is no filter\n", harmless(text)).as_bytes());
    }
    EnvFilter::builder().parse_lossy(readable.join(","))
}

/// Whatever was asked for, since the more exact of two directives counts, and one for a library's module is.
fn tells_no_secret(line: &Metadata<'_>) -> bool {
    let library = line.target().split("::").next().unwrap_or_default();
    *line.level() <= Level::WARN || !TALKATIVE.contains(&library)
}

/// Writes between the progress bars.
#[derive(Debug, Clone, Copy)]
struct Aside;

impl Write for Aside {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        to_stderr(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Aside {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Keeps what is logged.
    #[derive(Debug, Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(line)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nobody_can_make_libraries_print_headers() {
        let check = |directives: &str| {
            let kept = Kept::default();
            let writer = kept.clone();
            let log = log(directives, tracing_subscriber::fmt::layer().with_writer(move || writer.clone()));
            tracing::subscriber::with_default(log, || {
                tracing::trace!(target: "h2::codec::framed_read", "a secret");
                tracing::info!(target: "hyper", "a secret");
                tracing::warn!(target: "h2", "a warning");
                tracing::trace!(target: "segport", "a step");
            });
            let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
            assert!(!text.contains("secret") && text.contains("a warning") && text.contains("a step"), "{text}");
        };
        check("trace");
        check("trace,h2=trace");
        check("trace,h2::codec=trace,hyper=debug");
    }
}
