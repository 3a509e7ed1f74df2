//! The tests' view: `/_sandbox/...`.

use hyper::Method;
use hyper::http::request::Parts;
use serde_json::{Map, Value, json};

use crate::destination::{Destination, Reply};
use crate::fault::{Fault, FaultError};
use crate::shared::Shared;

const PREFIX: &str = "/_sandbox";

const PATHS: &str = "GET /_sandbox/state, GET /_sandbox/requests, GET /_sandbox/counts, \
                     GET /_sandbox/faults, POST /_sandbox/faults, POST /_sandbox/reset";

/// Whether a path belongs to the tests' view.
pub(crate) fn owns(path: &str) -> bool {
    path.strip_prefix(PREFIX).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Answers a request to the tests' view.
pub(crate) fn answer<D: Destination>(shared: &Shared<D>, head: &Parts, body: &[u8]) -> Reply {
    let path = head.uri.path().strip_prefix(PREFIX).unwrap_or_default().trim_end_matches('/');
    match (&head.method, path) {
        (&Method::GET, "/state") => {
            let mut state = shared.destination.state();
            state.insert("counts".to_owned(), Value::Object(counts(shared)));
            Reply::value(200, &Value::Object(state))
        }
        (&Method::GET, "/counts") => Reply::value(200, &Value::Object(counts(shared))),
        (&Method::GET, "/requests") => {
            let bodies = head.uri.query().is_some_and(|query| query.split('&').any(|part| part == "bodies=1"));
            let mut log = shared.log();
            if !bodies {
                log.iter_mut().for_each(|entry| entry.body = None);
            }
            Reply::value(200, &json!({ "requests": log }))
        }
        (&Method::GET, "/faults") => faults(shared),
        (&Method::POST, "/faults") => match parse(body) {
            Ok(script) => {
                shared.set_faults(script);
                faults(shared)
            }
            Err(error) => Reply::value(400, &json!({ "error": error.to_string() })),
        },
        (&Method::POST, "/reset") => {
            shared.reset();
            Reply::json(200, "{}")
        }
        _ => Reply::value(404, &json!({ "error": format!("no such view; there are {PATHS}") })),
    }
}

fn counts<D: Destination>(shared: &Shared<D>) -> Map<String, Value> {
    let mut counts = match serde_json::to_value(shared.traffic()) {
        Ok(Value::Object(traffic)) => traffic,
        _ => Map::new(),
    };
    counts.append(&mut shared.destination.counts());
    counts
}

fn faults<D: Destination>(shared: &Shared<D>) -> Reply {
    Reply::value(200, &json!({ "faults": shared.script().counts() }))
}

/// Reads a fault script: a JSON array of texts, or one fault a line with `#` for remarks.
fn parse(body: &[u8]) -> Result<Vec<Fault>, FaultError> {
    if let Ok(texts) = serde_json::from_slice::<Vec<String>>(body) {
        return texts.iter().map(|text| text.parse()).collect();
    }
    let text = String::from_utf8_lossy(body);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(str::parse).collect()
}

#[cfg(test)]
mod tests {
    use super::{owns, parse};

    #[test]
    fn only_its_own_paths_are_taken() {
        assert!(owns("/_sandbox/state") && owns("/_sandbox"));
        assert!(!owns("/v1/lists") && !owns("/_sandboxed"));
    }

    #[test]
    fn a_script_is_an_array_or_lines() {
        assert_eq!(parse(br#"["reset nth=1", "truncate"]"#).unwrap().len(), 2);
        assert_eq!(parse(b"# two faults\nreset nth=1\n\n  truncate\n").unwrap().len(), 2);
        assert_eq!(parse(b"").unwrap().len(), 0);
        assert!(parse(br#"["explode"]"#).unwrap_err().to_string().contains("explode"));
    }
}
