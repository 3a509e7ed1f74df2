//! Running a fault script.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::Method;
use percent_encoding::percent_decode_str;
use serde::Serialize;

use super::{Action, Fault, Reaction, ScriptedAnswer, Treatment};

/// Faults in order, with their counts.
#[derive(Debug, Default)]
pub(crate) struct Script {
    faults: Vec<Arc<ActiveFault>>,
}

/// A fault and how often it met a request.
#[derive(Debug)]
pub(crate) struct ActiveFault {
    fault: Fault,
    seen: AtomicU64,
    applied: AtomicU64,
}

/// One line of a script, for the tests' view.
#[derive(Debug, Serialize)]
pub(crate) struct FaultCount {
    fault: String,
    seen: u64,
    applied: u64,
}

/// What the script wants done with a request.
#[derive(Debug)]
pub(crate) struct Decision {
    /// How long to wait first.
    pub(crate) delay: Option<Duration>,
    /// What the server does.
    pub(crate) treatment: Treatment,
    /// What the destination has to know.
    pub(crate) rules: Rules,
}

impl Default for Decision {
    fn default() -> Self {
        Self { delay: None, treatment: Treatment::Read(Reaction::Serve), rules: Rules::default() }
    }
}

/// The part of a decision that the destination carries out.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// How many addresses a bulk answer leaves out of its map.
    pub(crate) partial_map: usize,
    /// Whether bulk writes put contacts on lists; none is as the options say.
    pub(crate) bulk_lists: Option<bool>,
    emails: Vec<Arc<ActiveFault>>,
}

impl ActiveFault {
    fn fits(&self, method: &Method, full: &str, below_base: &str) -> bool {
        self.fault.method.as_ref().is_none_or(|wanted| wanted == method)
            && self.fault.path.as_ref().is_none_or(|path| path.matches(below_base) || path.matches(full))
    }

    /// Counts one more request and says whether it is one of those meant.
    fn sees(&self) -> bool {
        let number = self.seen.fetch_add(1, Ordering::SeqCst) + 1;
        self.fault.when.takes(number)
    }

    /// Uses up one of the `times`, if there is one left.
    fn applies(&self) -> bool {
        let times = self.fault.when.times.unwrap_or(u64::MAX);
        self.applied
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |applied| (applied < times).then_some(applied + 1))
            .is_ok()
    }
}

impl Script {
    /// A script that has seen nothing yet.
    pub(crate) fn new(faults: Vec<Fault>) -> Self {
        let active = |fault| Arc::new(ActiveFault { fault, seen: AtomicU64::default(), applied: AtomicU64::default() });
        Self { faults: faults.into_iter().map(active).collect() }
    }

    /// What is to be done with a request, whose path is given whole and as `base` sees it.
    pub(crate) fn decide(&self, method: &Method, path: &str, base: &str) -> Decision {
        let mut decision = Decision::default();
        if self.faults.is_empty() {
            return decision;
        }
        let full = percent_decode_str(path).decode_utf8_lossy();
        let below_base = full.strip_prefix(base).unwrap_or(&full);
        let mut taken = false;
        for active in self.faults.iter().filter(|active| active.fits(method, &full, below_base)) {
            // Also a fault that comes too late counts the request.
            let mut takes = || {
                let takes = active.sees() && !taken && active.applies();
                if takes {
                    taken = true;
                    decision.delay = active.fault.delay;
                }
                takes
            };
            match &active.fault.action {
                Action::RefuseEmail { .. } | Action::DropEmail(_) => decision.rules.emails.push(Arc::clone(active)),
                Action::PartialMap(count) if takes() => decision.rules.partial_map = *count,
                Action::BulkLists(on) if takes() => decision.rules.bulk_lists = Some(*on),
                Action::Server(treatment) if takes() => decision.treatment = treatment.clone(),
                Action::PartialMap(_) | Action::BulkLists(_) | Action::Server(_) => {}
            }
        }
        decision
    }

    /// The script with its counts.
    pub(crate) fn counts(&self) -> Vec<FaultCount> {
        let count = |active: &Arc<ActiveFault>| FaultCount {
            fault: active.fault.to_string(),
            seen: active.seen.load(Ordering::SeqCst),
            applied: active.applied.load(Ordering::SeqCst),
        };
        self.faults.iter().map(count).collect()
    }
}

impl Rules {
    /// The answer to a write of these addresses, if one of them is to be refused.
    pub(crate) fn refusal(&self, emails: &[Option<&str>]) -> Option<ScriptedAnswer> {
        let usual = ScriptedAnswer { status: 400, body: None, retry_after: None };
        self.emails.iter().find_map(|active| match &active.fault.action {
            Action::RefuseEmail { emails: glob, answer } => {
                let held = emails.iter().flatten().any(|email| glob.matches(email));
                (held && active.sees() && active.applies()).then(|| answer.clone().unwrap_or_else(|| usual.clone()))
            }
            _ => None,
        })
    }

    /// Which of these addresses are to be lost; empty if none is.
    pub(crate) fn dropped(&self, emails: &[Option<&str>]) -> Vec<bool> {
        let mut dropped = Vec::new();
        for active in &self.emails {
            if let Action::DropEmail(glob) = &active.fault.action {
                let hits: Vec<bool> =
                    emails.iter().map(|email| email.is_some_and(|email| glob.matches(email))).collect();
                if hits.contains(&true) && active.sees() && active.applies() {
                    dropped.resize(emails.len(), false);
                    dropped.iter_mut().zip(hits).for_each(|(lost, hit)| *lost |= hit);
                }
            }
        }
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::{Reaction, Script, Treatment};
    use hyper::Method;

    fn script(faults: &[&str]) -> Script {
        Script::new(faults.iter().map(|fault| fault.parse().unwrap()).collect())
    }

    fn statuses(script: &Script, requests: usize) -> Vec<u16> {
        let status = |_| match script.decide(&Method::POST, "/v1/contacts", "/v1").treatment {
            Treatment::Read(Reaction::Answer { answer, .. }) => answer.status,
            _ => 0,
        };
        (0..requests).map(status).collect()
    }

    #[test]
    fn every_fault_counts_every_matching_request() {
        let script = script(&["POST /contacts nth=1 status=500", "POST /contacts nth=2 status=503"]);
        assert_eq!(statuses(&script, 3), [500, 503, 0]);
    }

    #[test]
    fn the_first_fault_that_fires_wins_and_the_others_keep_their_times() {
        let script = script(&["nth=2 status=500", "times=2 status=503"]);
        assert_eq!(statuses(&script, 5), [503, 500, 503, 0, 0]);
    }

    #[test]
    fn method_and_path_must_fit() {
        let script = script(&["GET /contacts status=501", "POST /v1/contacts status=502", "POST /list* status=503"]);
        assert_eq!(statuses(&script, 1), [502]);
    }

    #[test]
    fn a_path_is_compared_after_percent_decoding() {
        let script = script(&["GET /contact/ann@example.com reset"]);
        let decision = script.decide(&Method::GET, "/v1/contact/ann%40example.com", "/v1");
        assert_eq!(decision.treatment, Treatment::Reset);
    }

    #[test]
    fn email_rules_count_only_requests_that_hold_the_address() {
        let script = script(&["refuse-email=*@bad.example times=1", "drop-email=lost@example.com", "status=500 nth=9"]);
        let rules = || script.decide(&Method::POST, "/v1/contacts", "/v1").rules;
        assert!(rules().refusal(&[Some("a@good.example"), None]).is_none());
        assert_eq!(rules().refusal(&[Some("a@BAD.example")]).map(|answer| answer.status), Some(400));
        assert!(rules().refusal(&[Some("a@bad.example")]).is_none(), "times=1 is used up");
        assert_eq!(rules().dropped(&[Some("a@b.c"), Some("lost@example.com"), None]), [false, true, false]);
        assert!(rules().dropped(&[Some("a@b.c")]).is_empty());
    }
}
