//! The destination and the way to it: a [`Wire`] on which everything goes wrong that the weather has in store.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use segport_core::http::{Response, ResponseHead};
use segport_transport::{Loss, Wire};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::case::{Crash, Key};
use super::source::email_of;
use super::world::{Contact, Payload, State, World};

/// What a request says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Letter {
    Prepare,
    /// Write these people, and put them on these lists.
    Write {
        join: Vec<u16>,
        rows: Vec<(String, Payload)>,
    },
    /// Take the contacts with these ids off a list.
    Leave {
        list: u16,
        ids: Vec<String>,
    },
    /// Say of these people whether they are as they would be written.
    Find {
        join: Vec<u16>,
        rows: Vec<(String, Payload)>,
    },
}

/// What an answer says of one row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Verdict {
    /// Done, or found; with the contact's id.
    Done(String),
    Different,
    Refused,
    Postponed,
    /// The answer lacks the row.
    Missing,
}

/// The way to the destination.
#[derive(Debug)]
pub(super) struct Network(pub(super) Arc<World>);

/// What becomes of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Answered,
    /// Nothing is sent.
    Unconnected,
    /// The connection breaks before or after the destination has done its work.
    Broken {
        done: bool,
    },
    /// No answer comes in time; the destination may have done its work.
    Silent {
        done: bool,
    },
    Status {
        status: u16,
        done: bool,
        retry_after: Option<u64>,
    },
}

/// Takes a request out of those under way, however it ends.
struct UnderWay<'a>(&'a World);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.state().run.in_flight -= 1;
    }
}

#[async_trait]
impl Wire for Network {
    async fn carry(&self, operation: &str, body: &Bytes) -> Result<Response, Loss> {
        let Self(world) = self;
        let (number, crash) = {
            let mut state = world.state();
            state.request_begins(&world.case.limits);
            (state.run.requests, state.round.crash)
        };
        let _under_way = UnderWay(world);
        let letter: Letter = serde_json::from_slice(body).unwrap();
        let fate = self.fate();
        world.note(format_args!("{operation} {number} {fate:?}"));
        if crash == Some(Crash::Request(number)) {
            if world.dice.chance(50) {
                self.carry_out(&letter);
            }
            world.die("while a request is under way");
            std::future::pending::<()>().await;
        }
        sleep(world.dice.wait(120)).await;
        match fate {
            Fate::Answered => {
                let verdicts = self.carry_out(&letter);
                sleep(world.dice.wait(120)).await;
                Ok(answer(200, None, serde_json::to_vec(&verdicts).unwrap()))
            }
            Fate::Unconnected => Err(Loss::Unconnected),
            Fate::Broken { done } => {
                self.carry_out_if(done, &letter);
                sleep(world.dice.wait(120)).await;
                Err(Loss::Broken)
            }
            Fate::Silent { done } => {
                self.carry_out_if(done, &letter);
                std::future::pending().await
            }
            Fate::Status { status, done, retry_after } => {
                self.carry_out_if(done, &letter);
                sleep(world.dice.wait(120)).await;
                if let Some(seconds) = retry_after {
                    let mut state = world.state();
                    let until = state.now() + Duration::from_secs(seconds);
                    state.run.paused_until = state.run.paused_until.max(until);
                }
                Ok(answer(status, retry_after, Vec::new()))
            }
        }
    }
}

fn answer(status: u16, retry_after: Option<u64>, body: Vec<u8>) -> Response {
    let headers = retry_after.map(|seconds| ("retry-after".to_owned(), seconds.to_string())).into_iter().collect();
    Response { head: ResponseHead { status, headers }, body: body.into() }
}

impl Network {
    fn fate(&self) -> Fate {
        let Self(world) = self;
        let dice = &*world.dice;
        let (now, weather) = {
            let state = world.state();
            (state.began_ago(), state.round.weather.clone())
        };
        let within = |spell: Option<(Duration, Duration)>| spell.is_some_and(|(from, to)| (from..to).contains(&now));
        let status = |status, done, retry_after| Fate::Status { status, done, retry_after };
        if within(weather.outage) {
            return if dice.chance(50) { Fate::Unconnected } else { status(503, false, None) };
        }
        if within(weather.storm) {
            return status(429, false, dice.maybe(50, |dice| dice.within(1, 5)));
        }
        if dice.chance(weather.unconnected) {
            Fate::Unconnected
        } else if dice.chance(weather.broken) {
            Fate::Broken { done: dice.chance(50) }
        } else if dice.chance(weather.slow) {
            Fate::Silent { done: dice.chance(50) }
        } else if dice.chance(weather.failing) {
            status(dice.pick(&[500, 502, 503]), dice.chance(30), dice.maybe(30, |dice| dice.within(1, 4)))
        } else if dice.chance(weather.throttled) {
            status(429, false, dice.maybe(70, |dice| dice.within(1, 8)))
        } else if dice.chance(weather.locked) {
            status(401, false, None)
        } else {
            Fate::Answered
        }
    }

    fn carry_out_if(&self, done: bool, letter: &Letter) {
        if done {
            self.carry_out(letter);
        }
    }

    /// Does what a letter asks for; `None` if the destination refuses it as a whole.
    fn carry_out(&self, letter: &Letter) -> Option<Vec<Verdict>> {
        let Self(world) = self;
        let mut state = world.state();
        let partial = state.round.weather.partial;
        let partly = |verdict: Verdict| match verdict {
            Verdict::Done(_) if world.dice.chance(partial) => Verdict::Missing,
            verdict => verdict,
        };
        if state.round.key == Key::MixedUp && !matches!(letter, Letter::Prepare) {
            state.complain(format!("a request is sent to an account that was mixed up: {letter:?}"));
        }
        match letter {
            Letter::Prepare => Some(Vec::new()),
            Letter::Write { rows, .. } if rows.iter().any(|(email, _)| state.is_poison(email)) => None,
            Letter::Write { join, rows } => {
                let write = |(email, payload): &(String, Payload)| {
                    // Whoever is as they are to be, perhaps by an earlier attempt, is welcome.
                    if !state.holds(email, payload, join) && world.dice.chance(partial) {
                        return if world.dice.chance(50) { Verdict::Refused } else { Verdict::Postponed };
                    }
                    partly(Verdict::Done(state.write(email, payload, join)))
                };
                Some(rows.iter().map(write).collect())
            }
            Letter::Leave { list, ids } => Some(ids.iter().map(|id| partly(state.leave(id, *list))).collect()),
            Letter::Find { join, rows } => {
                let find = |(email, payload): &(String, Payload)| match state.account.contacts.get(email) {
                    Some(held) if state.holds(email, payload, join) => partly(Verdict::Done(held.id.clone())),
                    _ => Verdict::Different,
                };
                Some(rows.iter().map(find).collect())
            }
        }
    }
}

impl State {
    fn is_poison(&self, email: &str) -> bool {
        self.round.poison.iter().any(|who| email_of(*who) == email)
    }

    fn holds(&self, email: &str, payload: &Payload, lists: &[u16]) -> bool {
        let is_such = |held: &Contact| held.payload == *payload && lists.iter().all(|list| held.lists.contains(list));
        self.account.contacts.get(email).is_some_and(is_such)
    }

    fn write(&mut self, email: &str, payload: &Payload, join: &[u16]) -> String {
        let id = format!("c{}", self.account.contacts.len());
        let contact =
            self.account.contacts.entry(email.to_owned()).or_insert_with(|| Contact { id, ..Contact::default() });
        contact.payload.clone_from(payload);
        contact.lists.extend(join);
        contact.id.clone()
    }

    fn leave(&mut self, id: &str, list: u16) -> Verdict {
        match self.account.contacts.values_mut().find(|contact| contact.id == id) {
            Some(contact) => {
                contact.lists.remove(&list);
                Verdict::Done(id.to_owned())
            }
            None => {
                self.complain(format!("{id} is to be taken off a list, and nobody has this id"));
                Verdict::Refused
            }
        }
    }
}
