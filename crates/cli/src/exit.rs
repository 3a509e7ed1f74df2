//! How the process ends: its exit codes, and the errors that lead to them.

use std::fmt;
use std::process::ExitCode;

use segport_core::harmless_lines;
use segport_engine::StartError;
use segport_host::LoadError;
use segport_ledger::RunEnd;
use segport_manifest::{Code, Diagnostics, Style};

/// The exit codes. When several exports end differently the greatest counts: variants stand in ascending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// Done.
    Done,
    /// `plan --detailed-exitcode`: a run would send something.
    Changes,
    /// It ran and something failed, was refused, deferred or is unknown; or `check` found errors.
    Unfinished,
    /// Another run holds the export.
    Held,
    /// A guard stopped it.
    Stopped,
    /// It could not start.
    NotStarted,
    /// SIGINT; state is consistent.
    Interrupted,
    /// SIGTERM; state is consistent.
    Terminated,
}

impl Exit {
    /// The number the shell sees.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Unfinished => 1,
            Self::NotStarted => 2,
            Self::Changes => 3,
            Self::Stopped => 4,
            Self::Held => 5,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }

    /// What the end of one run means for the process, where no signal came.
    pub(crate) fn of(status: RunEnd) -> Self {
        match status {
            RunEnd::Succeeded => Self::Done,
            RunEnd::Partial | RunEnd::Failed => Self::Unfinished,
            RunEnd::Stopped => Self::Stopped,
            RunEnd::Cancelled => Self::Interrupted,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

/// Why a command could not do what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    what: What,
}

#[derive(Debug)]
enum What {
    Sentence { code: Option<Code>, message: String, help: Option<String> },
    Findings(Diagnostics),
}

impl Failure {
    /// Something that has no code of its own, such as a mistake on the command line.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { exit: Exit::NotStarted, what: What::Sentence { code: None, message: message.into(), help: None } }
    }

    /// Something that `segport explain` knows more about.
    pub(crate) fn coded(code: Code, message: impl Into<String>) -> Self {
        Self { exit: Exit::NotStarted, what: What::Sentence { code: Some(code), message: message.into(), help: None } }
    }

    /// A file that could not be read or written.
    pub(crate) fn file(action: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::new(format!("cannot {action} {}: {error}", path.display()))
    }

    /// Adds what to do.
    #[must_use]
    pub(crate) fn help(mut self, text: impl Into<String>) -> Self {
        if let What::Sentence { help, .. } = &mut self.what {
            *help = Some(text.into());
        }
        self
    }

    /// Ends the process with another code than 2.
    #[must_use]
    pub(crate) fn exit_with(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// The text for standard error; ends in a line break.
    pub(crate) fn render(&self, style: Style) -> String {
        match &self.what {
            What::Findings(findings) => findings.render(style),
            What::Sentence { code, message, help } => {
                heading("error", code.map(Code::as_str), message, help.as_deref(), style)
            }
        }
    }
}

/// `error[SP0000]: message`, and `= help:` below. Both may hold names and texts of a source or a destination.
pub(crate) fn heading(severity: &str, code: Option<&str>, message: &str, help: Option<&str>, style: Style) -> String {
    let message = harmless_lines(message);
    let label = match code {
        Some(code) => format!("{severity}[{code}]"),
        None => severity.to_owned(),
    };
    let colour = match severity {
        "error" => "1;31",
        "warning" => "1;33",
        _ => "1;36",
    };
    let mut text = match style {
        Style::Plain => format!("{label}: {message}\n"),
        Style::Coloured => format!("\x1b[{colour}m{label}\x1b[0m\x1b[1m: {message}\x1b[0m\n"),
    };
    if let Some(help) = help.filter(|help| !help.is_empty()) {
        text.push_str("  = help: ");
        text.push_str(&harmless_lines(help));
        text.push('\n');
    }
    text
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(Style::Plain).trim_end())
    }
}

impl From<Diagnostics> for Failure {
    fn from(findings: Diagnostics) -> Self {
        Self { exit: Exit::NotStarted, what: What::Findings(findings) }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let error = match error {
            StartError::Config(findings) => return findings.into(),
            StartError::Plugin(error) => return error.into(),
            error => error,
        };
        let exit = if error.is_held() { Exit::Held } else { Exit::NotStarted };
        let help = error.help();
        let failure = Self::coded(error.code(), chain(&error)).exit_with(exit);
        match help {
            Some(help) => failure.help(help),
            None => failure,
        }
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        Self::coded(segport_engine::load_code(&error), error.report()).help(error.help())
    }
}

impl From<segport_ledger::Error> for Failure {
    fn from(error: segport_ledger::Error) -> Self {
        use segport_ledger::Error;
        match error {
            // The user named something that is not there; the store is fine.
            Error::NoRun { .. } | Error::AmbiguousRun { .. } => Self::new(error.to_string()),
            _ => {
                let exit = if matches!(error, Error::Held { .. }) { Exit::Held } else { Exit::NotStarted };
                let failure = Self::coded(segport_engine::ledger_code(&error), chain(&error)).exit_with(exit);
                error.help().into_iter().fold(failure, Self::help)
            }
        }
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(below) = cause {
        let more = below.to_string();
        // Transparent wrappers say the same twice.
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = below.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_end_of_several_exports_counts() {
        let check = |ends: &[Exit], expected: u8| {
            assert_eq!(ends.iter().copied().max().map(Exit::number), Some(expected), "{ends:?}");
        };
        check(&[Exit::Done, Exit::Done], 0);
        check(&[Exit::Done, Exit::Changes], 3);
        check(&[Exit::Unfinished, Exit::Done], 1);
        check(&[Exit::Held, Exit::Unfinished], 5);
        check(&[Exit::Stopped, Exit::Held, Exit::Unfinished], 4);
        check(&[Exit::NotStarted, Exit::Stopped], 2);
        check(&[Exit::Interrupted, Exit::NotStarted], 130);
        check(&[Exit::Terminated, Exit::Done], 143);
    }

    #[test]
    fn statuses_have_their_codes() {
        let codes = [RunEnd::Succeeded, RunEnd::Partial, RunEnd::Failed, RunEnd::Stopped, RunEnd::Cancelled]
            .map(|status| Exit::of(status).number());
        assert_eq!(codes, [0, 1, 1, 4, 130]);
    }

    #[test]
    fn errors_look_like_the_manifest_s_own() {
        let failure = Failure::coded(Code::NoProject, "there is no project here").help("run `segport init`");
        insta::assert_snapshot!(failure.render(Style::Plain), @r"
        error[SP0103]: there is no project here
          = help: run `segport init`
        ");
        let foreign = Failure::new("no column `\u{1b}[2J`\n  looked at  x").help("\u{7}");
        insta::assert_snapshot!(foreign.render(Style::Plain), @r"
        error: no column `\u{1b}[2J`
          looked at  x
          = help: \u{7}
        ");
        insta::assert_snapshot!(Failure::new("no such export").render(Style::Coloured).escape_debug(), @r"\u{1b}[1;31merror\u{1b}[0m\u{1b}[1m: no such export\u{1b}[0m\n");
    }
}
