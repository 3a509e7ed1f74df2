//! `segport connect`: the data-privacy text, and whether the connection works.

use std::path::Path;
use std::process::Command;

use jiff::{Timestamp, Unit};
use segport_core::{Account, Error, ErrorKind, harmless};
use segport_engine::{Engine, StartError};
use segport_manifest::{Code, Connection, Consent, Project, write_consent};
use serde_json::{Value, json};

use crate::arguments::Connect;
use crate::commands::Invocation;
use crate::exit::{Exit, Failure, chain};
use crate::output::Output;
use crate::project::{self, Ready};
use crate::text::wrap;

/// Shows the text, records consent, tests the account. Exit code 1 if something is missing for exports to run.
pub(crate) async fn connect(invocation: &Invocation, asked: &Connect) -> Result<Exit, Failure> {
    let (dir, output) = (invocation.dir(), &invocation.output);
    let Ready { engine, catalog } = project::open(dir)?;
    let connection = find(engine.project(), &asked.connection)?;
    let text = catalog.get(&connection.plugin).map(|plugin| plugin.consent.as_str()).unwrap_or_default();
    let consent = match &connection.consent {
        Some(consent) => Some(consent.clone()),
        None => accept(invocation, asked, connection, text)?,
    };
    let tested = engine.account(&connection.id).await;
    if output.is_json() {
        output.json(&as_json(&connection.id, consent.as_ref(), &tested))?;
    } else {
        if let Some(Consent { accepted_by, accepted_at }) = &consent {
            output.text(&format!("data-privacy text accepted by {accepted_by}, {accepted_at}\n"))?;
        }
        if let Ok(account) = &tested {
            output.text(&reached(&connection.id, account))?;
        }
    }
    let account = tested.map_err(|error| failed(&engine, connection, error));
    account?;
    if consent.is_none() {
        return Err(Failure::from(StartError::NoConsent { connection: connection.id.clone() })
            .help(format!(
                "read it with `segport connect {0}`, accept it with `segport connect {0} --accept`",
                connection.id
            ))
            .exit_with(Exit::Unfinished));
    }
    Ok(Exit::Done)
}

fn find<'p>(project: &'p Project, id: &str) -> Result<&'p Connection, Failure> {
    project.connections.get(id).ok_or_else(|| {
        let names: Vec<_> = project.connections.keys().map(String::as_str).collect();
        Failure::coded(Code::UnknownConnection, format!("there is no connection `{id}`")).help(if names.is_empty() {
            format!("make the file `connections/{id}.toml`")
        } else {
            format!("the connections are {}", names.join(", "))
        })
    })
}

/// Shows the text; `None` if nobody can be asked. Saying no ends the command.
fn accept(
    invocation: &Invocation,
    asked: &Connect,
    connection: &Connection,
    text: &str,
) -> Result<Option<Consent>, Failure> {
    let output = &invocation.output;
    let shown = format!("Data privacy of connection `{}`:\n\n{}", connection.id, wrap(text, 76, "  "));
    if asked.accept || invocation.global.no_input || !output.is_interactive() {
        output.note(&shown);
        if !asked.accept {
            return Ok(None);
        }
    } else {
        // Nobody is asked about what they cannot see, with `-q` either.
        Output::remark(shown.trim_end());
        let answer = output.ask("Accept? [y/N] ").unwrap_or_default().to_lowercase();
        if !matches!(answer.as_str(), "y" | "yes") {
            return Err(Failure::new(
                "not accepted; nothing was written, and nothing will be sent through this connection",
            )
            .exit_with(Exit::Unfinished));
        }
    }
    record(invocation.dir(), &connection.id, asked.by.clone().unwrap_or_else(who)).map(Some)
}

/// Writes who accepted the text into the connection's file.
pub(crate) fn record(dir: &Path, connection: &str, accepted_by: String) -> Result<Consent, Failure> {
    let now = Timestamp::now();
    let consent = Consent { accepted_by, accepted_at: now.round(Unit::Second).unwrap_or(now) };
    write_consent(dir, connection, &consent).map_err(|error| Failure::new(chain(&error)))?;
    Ok(consent)
}

/// The person at this machine: as git knows them, or as the machine does.
pub(crate) fn who() -> String {
    let git = Command::new("git").args(["config", "user.email"]).output();
    let email = git.ok().filter(|answer| answer.status.success()).map(|answer| answer.stdout);
    let email = email.map(|text| String::from_utf8_lossy(&text).trim().to_owned()).filter(|email| !email.is_empty());
    email.unwrap_or_else(|| {
        let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).ok().or_else(said_by_id);
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host = Some(host.trim()).filter(|host| !host.is_empty()).unwrap_or("localhost");
        format!("{}@{host}", user.unwrap_or_else(|| "somebody".to_owned()))
    })
}

/// What the system calls the user, where no variable says it, as under cron.
fn said_by_id() -> Option<String> {
    let answer = Command::new("id").arg("-un").output().ok().filter(|answer| answer.status.success())?;
    Some(String::from_utf8_lossy(&answer.stdout).trim().to_owned()).filter(|user| !user.is_empty())
}

/// What was reached, in one line; much of it is the destination's own text.
pub(crate) fn reached(connection: &str, account: &Account) -> String {
    let name = account.name.as_ref().map(|name| format!(" `{name}`")).unwrap_or_default();
    let facts: String = account.facts.iter().map(|(name, value)| format!(", {name}: {value}")).collect();
    format!("{}\n", harmless(&format!("connection `{connection}` works: account{name} {}{facts}", account.id)))
}

/// Which part of the way to the account failed.
fn layer(error: &Error) -> &'static str {
    match (error.kind(), error.fact("layer")) {
        (ErrorKind::Unauthenticated, _) => "authentication",
        (ErrorKind::PermissionDenied, _) => "permission",
        (ErrorKind::ConfigInvalid, None) => "settings",
        (ErrorKind::Internal | ErrorKind::Contract | ErrorKind::Unsupported, _) => "plugin",
        (_, Some("dns")) => "DNS",
        (_, Some("tcp")) => "TCP",
        (_, Some("tls")) => "TLS",
        _ => "HTTP",
    }
}

fn advice(layer: &str, plugin: &str) -> String {
    match layer {
        "authentication" => "the destination was reached but does not know the key: is it whole, current and of this account?".to_owned(),
        "permission" => "the key is known but may not do this: look at its rights, or at the account's plan".to_owned(),
        "settings" => format!("`segport connectors show {plugin}` lists the settings; `segport check` checks them"),
        "DNS" => "the host's name is not known: is it spelled right, and does this machine have a resolver?".to_owned(),
        "TCP" => "nobody answers at that address and port: is the destination up (for the sandbox: `segport sandbox autopilot`), \
                  and does a firewall stand between?"
            .to_owned(),
        "TLS" => "the connection stands but its encryption could not be agreed on: is the certificate valid, the clock right, and \
                  is it https at all?"
            .to_owned(),
        _ => "the destination was reached but did not answer as expected: is `base_url` right? -vv shows each attempt".to_owned(),
    }
}

fn failed(engine: &Engine, connection: &Connection, error: StartError) -> Failure {
    let plugin = engine.project().connections.get(&connection.id).map_or("", |connection| &connection.plugin);
    let failure = match &error {
        StartError::Core(core) => {
            let layer = layer(core);
            let message = format!("connection `{}` does not work, {layer} failed: {core}", connection.id);
            Failure::coded(error.code(), message).help(advice(layer, plugin))
        }
        _ => error.into(),
    };
    failure.exit_with(Exit::Unfinished)
}

fn as_json(connection: &str, consent: Option<&Consent>, tested: &Result<Account, StartError>) -> Value {
    let error = match tested {
        Ok(_) => Value::Null,
        Err(StartError::Core(core)) => json!({
            "layer": layer(core),
            "kind": core.kind(),
            "message": core.to_string(),
        }),
        Err(StartError::Config(findings)) => json!({
            "layer": "settings",
            "kind": ErrorKind::ConfigInvalid,
            "message": findings.iter().map(|finding| &*finding.message).collect::<Vec<_>>().join("; "),
        }),
        Err(error) => json!({ "layer": null, "kind": null, "message": chain(error) }),
    };
    json!({
        "connection": connection,
        "works": tested.is_ok(),
        "accepted_by": consent.map(|consent| &consent.accepted_by),
        "accepted_at": consent.map(|consent| consent.accepted_at.to_string()),
        "account": tested.as_ref().ok(),
        "error": error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_destination_says_does_not_drive_the_terminal() {
        let account = Account {
            id: "\u{1b}[2J7".to_owned(),
            name: Some("a\nb".to_owned()),
            facts: [("list".to_owned(), "\u{7}".to_owned())].into(),
        };
        let expected = "connection `autopilot` works: account `a\\nb` \\u{1b}[2J7, list: \\u{7}\n";
        assert_eq!(reached("autopilot", &account), expected);
    }

    #[test]
    fn the_layer_that_failed_is_named() {
        let check = |kind, fact: Option<&str>, expected: &str| {
            let error = Error::new(kind, "no");
            let error = match fact {
                Some(fact) => error.with("layer", fact),
                None => error,
            };
            assert_eq!(layer(&error), expected);
            assert!(!advice(expected, "autopilot").is_empty());
        };
        check(ErrorKind::Unauthenticated, None, "authentication");
        check(ErrorKind::PermissionDenied, None, "permission");
        check(ErrorKind::Unavailable, Some("dns"), "DNS");
        check(ErrorKind::Unavailable, Some("tcp"), "TCP");
        check(ErrorKind::Unavailable, Some("tls"), "TLS");
        check(ErrorKind::Timeout, Some("http"), "HTTP");
        check(ErrorKind::ConfigInvalid, None, "settings");
    }
}
