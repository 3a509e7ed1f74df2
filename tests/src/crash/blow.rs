//! How a run is disturbed.

use std::fmt;
use std::time::Duration;

use super::dice::Dice;
use crate::{Ended, Gate, Hold, Segport};

/// What a failpoint does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Ends the process at once.
    Kill,
    /// Fails the operation.
    Fail,
}

/// Something that befalls a run.
#[derive(Debug, Clone, Copy)]
pub(super) enum Blow {
    /// SIGKILL when so many thousandths of the time have passed that an undisturbed run takes.
    Moment(u32),
    /// SIGKILL at the nth request, before the destination has seen it or after it has done it.
    Request(u32, Hold),
    /// At the nth durable operation of that name.
    Failpoint(&'static str, u32, Action),
}

/// Operations of the ledger, with about how often a small run does each.
const OPERATIONS: [(&str, u32); 8] = [
    ("any", 30),
    ("any", 30),
    ("commit", 8),
    ("acknowledge", 8),
    ("append_page", 6),
    ("begin_run", 1),
    ("end_run", 1),
    ("fold_state", 1),
];

impl Blow {
    /// A random one for a run that makes about so many requests.
    pub(super) fn roll(requests: u32, dice: &mut Dice) -> Self {
        match dice.between(0..=2) {
            0 => Self::Moment(dice.between(0..=900)),
            1 => Self::Request(dice.between(1..=(requests * 2 / 3).max(1)), dice.pick(&[Hold::Unseen, Hold::Done])),
            _ => {
                let (operation, times) = dice.pick(&OPERATIONS);
                let action = if dice.hits(80) { Action::Kill } else { Action::Fail };
                Self::Failpoint(operation, dice.between(1..=times), action)
            }
        }
    }

    /// Starts a run behind the gate and strikes. An undisturbed run takes about as long as `usual`.
    pub(super) fn strike(self, run: Segport, gate: &Gate, usual: Duration) -> Ended {
        match self {
            Self::Moment(thousandths) => {
                let mut run = run.start();
                if run.is_done_within(usual * thousandths / 1000) { run.wait() } else { run.kill() }
            }
            Self::Request(nth, hold) => {
                gate.hold("*", nth, hold);
                let mut run = run.start();
                let kill = run.killer();
                gate.catches(|| run.is_done(), kill);
                let ended = run.wait();
                gate.cut();
                ended
            }
            Self::Failpoint(..) => run.env("SEGPORT_FAILPOINT", self.to_string()).run(),
        }
    }
}

impl fmt::Display for Blow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Moment(thousandths) => write!(f, "at {thousandths} thousandths"),
            Self::Request(nth, hold) => write!(f, "at request {nth} ({hold:?})"),
            Self::Failpoint(operation, nth, action) => {
                let action = if *action == Action::Kill { "kill" } else { "fail" };
                write!(f, "{operation}:{nth}={action}")
            }
        }
    }
}
