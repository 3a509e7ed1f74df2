//! The log: on standard error, quiet unless asked for.

use std::io::{self, IsTerminal, Write};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::Directive;
use tracing_subscriber::fmt::MakeWriter;

use crate::arguments::{Colour, Global};
use crate::output::to_stderr;
use crate::text::harmless;

/// The variable with a filter of one's own, such as `segport_transport=debug`.
const VARIABLE: &str = "SEGPORT_LOG";

/// Libraries that print headers and bodies, and so secrets, when they are let.
const TALKATIVE: [&str; 6] = ["h2", "hyper", "hyper_util", "reqwest", "rustls", "sqlx"];

/// Starts the log; once per process.
pub(crate) fn start(global: &Global) {
    let asked = std::env::var(VARIABLE).ok().filter(|text| !text.trim().is_empty());
    let directives = asked.unwrap_or_else(|| default_directives(global.quiet, global.verbose).to_owned());
    let colours = match global.color {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto => io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter(&directives))
        .with_writer(Aside)
        .with_ansi(colours)
        .with_target(global.verbose > 1)
        // They would be printed to the same place, with a panic where that fails.
        .log_internal_errors(false)
        .try_init()
        // Only a second start fails, and the first one does.
        .unwrap_or(());
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
    let mut filter = EnvFilter::builder().parse_lossy(readable.join(","));
    for library in TALKATIVE {
        if let Ok(directive) = format!("{library}=warn").parse() {
            filter = filter.add_directive(directive);
        }
    }
    filter
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
    use super::*;

    #[test]
    fn nobody_can_make_libraries_print_headers() {
        let filter = filter("trace,h2=trace").to_string();
        assert!(filter.contains("h2=warn") && !filter.contains("h2=trace"), "{filter}");
    }
}
