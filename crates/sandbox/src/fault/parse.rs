//! Reading a fault from text.

use std::str::FromStr;
use std::time::Duration;

use hyper::Method;

use super::{Action, Fault, Reaction, ScriptedAnswer, Treatment, When};
use crate::glob::Glob;

/// How long a request without an answer is held, unless the fault says otherwise.
const HOLD: Duration = Duration::from_secs(60);

const WORDS: &[&str] = &[
    "nth",
    "every",
    "from",
    "to",
    "times",
    "status",
    "body",
    "retry-after",
    "delay",
    "commit",
    "reset",
    "reset-after-body",
    "truncate",
    "timeout",
    "commit-then-timeout",
    "partial-map",
    "bulk-lists",
    "refuse-email",
    "drop-email",
];

/// A text that is not a fault, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("fault `{source_text}`: {reason}")]
pub struct FaultError {
    source_text: String,
    reason: String,
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        parse(text).map_err(|reason| FaultError { source_text: text.trim().to_owned(), reason })
    }
}

/// The words of a fault as they were read, before they are checked against each other.
#[derive(Default)]
struct Draft {
    when: When,
    delay: Option<Duration>,
    status: Option<u16>,
    body: Option<String>,
    retry_after: Option<u32>,
    commit: bool,
    action: Option<(String, Action)>,
}

fn parse(text: &str) -> Result<Fault, String> {
    let mut words = split(text)?.into_iter().peekable();
    let mut method = None;
    if let Some(word) = words.next_if(|word| word == "*" || word.chars().all(|letter| letter.is_ascii_uppercase())) {
        method = match word.as_str() {
            "*" => None,
            "GET" | "POST" | "PUT" | "PATCH" | "DELETE" | "HEAD" => {
                Some(Method::from_bytes(word.as_bytes()).map_err(|_| format!("`{word}` is not a method"))?)
            }
            _ => return Err(format!("`{word}` is not a method; use GET, POST, PUT, PATCH, DELETE, HEAD or *")),
        };
    }
    let path = words.next_if(|word| word.starts_with('/')).map(|word| Glob::path(&word));
    let mut draft = Draft::default();
    for word in words {
        draft.take(&word)?;
    }
    let (when, delay) = (draft.when.clone(), draft.delay);
    Ok(Fault { source: text.trim().to_owned(), method, path, when, delay, action: draft.action()? })
}

impl Draft {
    fn take(&mut self, word: &str) -> Result<(), String> {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        match name {
            "nth" => self.when.nth = Some(count(name, value)?),
            "every" => self.when.every = Some(count(name, value)?),
            "from" => self.when.from = Some(count(name, value)?),
            "to" => self.when.to = Some(count(name, value)?),
            "times" => self.when.times = Some(count(name, value)?),
            "delay" => self.delay = Some(time(name, needed(name, value)?)?),
            "status" => self.status = Some(status(needed(name, value)?)?),
            "body" => self.body = Some(value.ok_or("`body` needs a text: body=TEXT")?.to_owned()),
            "retry-after" => {
                let value = needed(name, value)?;
                let seconds = value.parse().map_err(|_| format!("`retry-after` needs seconds, got `{value}`"))?;
                self.retry_after = Some(seconds);
            }
            "commit" => self.commit = alone(name, value).map(|()| true)?,
            "reset" => self.set(name, alone(name, value).map(|()| Action::Server(Treatment::Reset))?)?,
            "reset-after-body" => {
                self.set(name, alone(name, value).map(|()| Reaction::Reset { commit: false }.into())?)?;
            }
            "truncate" => self.set(name, alone(name, value).map(|()| Reaction::Truncate.into())?)?,
            "timeout" | "commit-then-timeout" => {
                let close_after = value.map_or(Ok(HOLD), |value| time(name, value))?;
                self.set(name, Reaction::Timeout { commit: name == "commit-then-timeout", close_after }.into())?;
            }
            "partial-map" => {
                let count = usize::try_from(count(name, value)?).unwrap_or(usize::MAX);
                self.set(name, Action::PartialMap(count))?;
            }
            "bulk-lists" => {
                let on = match value {
                    Some("on") => true,
                    Some("off") => false,
                    _ => return Err("`bulk-lists` needs `on` or `off`".to_owned()),
                };
                self.set(name, Action::BulkLists(on))?;
            }
            "refuse-email" => {
                let emails = Glob::email(needed(name, value)?);
                self.set(name, Action::RefuseEmail { emails, answer: None })?;
            }
            "drop-email" => self.set(name, Action::DropEmail(Glob::email(needed(name, value)?)))?,
            _ => return Err(format!("unknown word `{word}`; the words are {}", WORDS.join(", "))),
        }
        Ok(())
    }

    fn set(&mut self, name: &str, action: Action) -> Result<(), String> {
        if let Some((earlier, _)) = &self.action {
            return Err(format!("`{earlier}` and `{name}` cannot be in one fault; write two"));
        }
        self.action = Some((name.to_owned(), action));
        Ok(())
    }

    fn action(self) -> Result<Action, String> {
        let commit = self.commit;
        let scripted = match (self.status, self.body) {
            (None, None) if self.retry_after.is_some() => {
                return Err("`retry-after` needs `status` or `body` beside it".to_owned());
            }
            (None, None) => None,
            (status, body) => Some((status, body)),
        };
        let retry_after = self.retry_after;
        let answer = |(status, body): (Option<u16>, Option<String>), default: u16| ScriptedAnswer {
            status: status.unwrap_or(default),
            body,
            retry_after,
        };
        let action = match (self.action, scripted) {
            (None, None) if self.delay.is_none() => {
                return Err("it does nothing; add for example status=500, delay=2s or reset".to_owned());
            }
            (None, None) if commit => return Err("`commit` needs `status`, `body` or `reset-after-body`".to_owned()),
            (None, None) => Reaction::Serve.into(),
            (None, Some(scripted)) => Reaction::Answer { answer: answer(scripted, 200), commit }.into(),
            (Some((_, Action::RefuseEmail { emails, .. })), scripted) if !commit => {
                Action::RefuseEmail { emails, answer: scripted.map(|scripted| answer(scripted, 400)) }
            }
            (Some((_, Action::Server(Treatment::Read(Reaction::Reset { .. })))), None) => {
                Reaction::Reset { commit }.into()
            }
            (Some((name, _)), _) if commit => return Err(format!("`commit` cannot be beside `{name}`")),
            (Some((name, _)), Some(_)) => {
                return Err(format!("`{name}` gives no answer of its own, so `status` and `body` cannot be beside it"));
            }
            (Some((_, action)), None) => action,
        };
        if self.delay.is_some() && matches!(action, Action::RefuseEmail { .. } | Action::DropEmail(_)) {
            return Err("`delay` cannot be beside `refuse-email` or `drop-email`; write two faults".to_owned());
        }
        Ok(action)
    }
}

/// Splits at blanks, except inside double quotes.
fn split(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let (mut quoted, mut started) = (false, false);
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => (quoted, started) = (!quoted, true),
            '\\' if quoted => match letters.next() {
                Some('n') => word.push('\n'),
                Some(escaped @ ('"' | '\\')) => word.push(escaped),
                other => return Err(format!("unknown escape `\\{}`", other.map(String::from).unwrap_or_default())),
            },
            blank if blank.is_whitespace() && !quoted => {
                if started {
                    words.push(std::mem::take(&mut word));
                }
                started = false;
            }
            other => {
                word.push(other);
                started = true;
            }
        }
    }
    if quoted {
        return Err("a double quote is not closed".to_owned());
    }
    if started {
        words.push(word);
    }
    if words.is_empty() { Err("it is empty".to_owned()) } else { Ok(words) }
}

fn needed<'a>(name: &str, value: Option<&'a str>) -> Result<&'a str, String> {
    value.filter(|value| !value.is_empty()).ok_or_else(|| format!("`{name}` needs a value: {name}=..."))
}

fn alone(name: &str, value: Option<&str>) -> Result<(), String> {
    if value.is_none() { Ok(()) } else { Err(format!("`{name}` takes no value")) }
}

fn count(name: &str, value: Option<&str>) -> Result<u64, String> {
    let value = needed(name, value)?;
    value
        .parse()
        .ok()
        .filter(|count| *count > 0)
        .ok_or_else(|| format!("`{name}` needs a whole number of 1 or more, got `{value}`"))
}

fn status(value: &str) -> Result<u16, String> {
    value
        .parse()
        .ok()
        .filter(|status| (200..600).contains(status))
        .ok_or_else(|| format!("`status` needs a number from 200 to 599, got `{value}`"))
}

fn time(name: &str, value: &str) -> Result<Duration, String> {
    let wrong = || format!("`{name}` needs a time with its unit, such as 250ms, 2s or 1m, got `{value}`");
    let split = value.find(|letter: char| letter.is_ascii_alphabetic()).ok_or_else(wrong)?;
    let number: f64 = value[..split].parse().map_err(|_| wrong())?;
    let seconds = match &value[split..] {
        "ms" => number / 1000.0,
        "s" => number,
        "m" => number * 60.0,
        _ => return Err(wrong()),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::super::{Action, Fault, Reaction, ScriptedAnswer, Treatment};
    use std::time::Duration;

    fn action(text: &str) -> Action {
        text.parse::<Fault>().unwrap().action
    }

    #[test]
    fn every_action_is_read() {
        let answer = |status, body: Option<&str>, retry_after, commit| {
            let answer = ScriptedAnswer { status, body: body.map(str::to_owned), retry_after };
            Action::from(Reaction::Answer { answer, commit })
        };
        for (text, expected) in [
            ("status=500", answer(500, None, None, false)),
            ("status=500 commit", answer(500, None, None, true)),
            ("status=429 retry-after=2", answer(429, None, Some(2), false)),
            (r#"body="<html>\n\"oops\"</html>""#, answer(200, Some("<html>\n\"oops\"</html>"), None, false)),
            ("status=502 body=", answer(502, Some(""), None, false)),
            ("delay=250ms", Reaction::Serve.into()),
            ("reset", Action::Server(Treatment::Reset)),
            ("reset-after-body", Reaction::Reset { commit: false }.into()),
            ("reset-after-body commit", Reaction::Reset { commit: true }.into()),
            ("truncate", Reaction::Truncate.into()),
            ("timeout", Reaction::Timeout { commit: false, close_after: Duration::from_secs(60) }.into()),
            (
                "commit-then-timeout=1.5s",
                Reaction::Timeout { commit: true, close_after: Duration::from_millis(1500) }.into(),
            ),
            ("partial-map=2", Action::PartialMap(2)),
            ("bulk-lists=off", Action::BulkLists(false)),
        ] {
            assert_eq!(action(text), expected, "{text}");
        }
    }

    #[test]
    fn method_path_and_counts_are_read() {
        let fault: Fault = "POST /contacts every=10 from=20 to=50 times=2 delay=2s".parse().unwrap();
        let taken: Vec<u64> = (1..=60).filter(|number| fault.when.takes(*number)).collect();
        assert_eq!(taken, [20, 30, 40, 50]);
        assert_eq!((fault.when.times, fault.delay), (Some(2), Some(Duration::from_secs(2))));
    }

    #[test]
    fn an_error_says_what_is_wrong() {
        for (text, reason) in [
            ("", "it is empty"),
            ("POST /contacts", "it does nothing"),
            ("FETCH /contacts reset", "`FETCH` is not a method"),
            ("nth=0 reset", "`nth` needs a whole number of 1 or more, got `0`"),
            ("nth reset", "`nth` needs a value"),
            ("status=99", "`status` needs a number from 200 to 599, got `99`"),
            ("delay=2", "`delay` needs a time with its unit"),
            ("delay=2h", "such as 250ms, 2s or 1m"),
            ("reset truncate", "`reset` and `truncate` cannot be in one fault"),
            ("truncate status=500", "`status` and `body` cannot be beside it"),
            ("truncate commit", "`commit` cannot be beside `truncate`"),
            ("delay=1s commit", "`commit` needs"),
            ("retry-after=2", "`retry-after` needs `status` or `body`"),
            ("bulk-lists=maybe", "`bulk-lists` needs `on` or `off`"),
            ("explode", "unknown word `explode`; the words are nth"),
            ("reset=1", "`reset` takes no value"),
            (r#"body="x"#, "a double quote is not closed"),
            (r#"body="\x""#, "unknown escape `\\x`"),
        ] {
            let message = text.parse::<Fault>().unwrap_err().to_string();
            assert!(message.contains(reason), "{text}: {message}");
            assert!(message.starts_with(&format!("fault `{text}`")), "{message}");
        }
    }
}
