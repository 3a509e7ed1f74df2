//! What must hold after every process, and once nothing goes wrong any more.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use segport_ledger::{Fingerprint, Held, OutcomeKind, RunEnd, RunStatus, Snapshot, Store};
use segport_manifest::{Code, Leavers};

use super::connector::{ADDRESS, PLACE};
use super::process::{EXPORT, End, fields, mapping};
use super::source::{Row, batch};
use super::world::{Payload, State, World};
use crate::map::Mapping;
use crate::name::{Candidate, Namer};
use crate::report::RunReport;
use crate::start_error::StartError;

/// What a run may have left undone for good reasons, and what a clean one must bring about.
#[derive(Debug, Default)]
struct Wanted {
    /// Whom the destination must hold: as what, and on which lists.
    people: BTreeMap<String, (Payload, BTreeSet<u16>)>,
    /// Who may be on which list, because a row that is not sent says that they are there.
    tolerated: BTreeSet<(String, u16)>,
}

/// Checks what a process has left behind; returns the id of its run, if it told it.
pub(super) async fn after_a_run(world: &World, store: &Store, end: &End) -> Option<String> {
    let snapshot = snapshot(world, store).await;
    nothing_is_claimed(world, store, &snapshot);
    let run_id = match told(end) {
        None => {
            little_is_sent_again(world, store, &snapshot);
            None
        }
        Some(Ok(report)) => {
            the_sums_balance(world, store, report).await;
            Some(report.run_id.clone())
        }
        Some(Err(error)) => {
            let failing = world.state().round.failing;
            assert!(failing.is_some(), "a run cannot start: {error}");
            None
        }
    };
    let broken = world.state().broken.clone();
    assert!(broken.is_empty(), "{broken:#?}");
    run_id
}

/// What a run told, unless it died.
fn told(end: &End) -> Option<&Result<RunReport, StartError>> {
    match end {
        End::Dead => None,
        End::Returned(told) => Some(told),
    }
}

/// The account that the rows were acknowledged at, as far as the ledger knows.
pub(super) async fn known_account(world: &World, store: &Store) -> Option<String> {
    snapshot(world, store).await.account(PLACE).map(str::to_owned)
}

/// A run with the key of another account that comes as far as a call does not end well.
pub(super) fn ends_badly(end: &End) {
    if let Some(Ok(report)) = told(end) {
        let is_well = matches!(report.status, RunEnd::Succeeded | RunEnd::Partial);
        assert!(!is_well || report.calls.requests == 0, "it goes on at another account: {report:#?}");
    }
}

/// What the ledger holds.
async fn snapshot(world: &World, store: &Store) -> Snapshot {
    store.snapshot(EXPORT, &names(world)).await.unwrap()
}

fn names(world: &World) -> Vec<String> {
    (0..world.case.segments).map(|segment| format!("s{segment}")).collect()
}

/// The lists that are, to the ledger's knowledge, those of their segments. Of others, which were deleted, it can only be told when
/// a run that has something to send looks for them.
fn current(state: &State, snapshot: &Snapshot) -> BTreeSet<u16> {
    let lists = (0..).zip(snapshot.segments());
    lists
        .filter(|(list, number)| snapshot.list(**number) == Some(&*state.account.id_of(*list)))
        .map(|(list, _)| list)
        .collect()
}

/// The ledger never says delivered for what was not acknowledged, or is not so any more.
fn nothing_is_claimed(world: &World, store: &Store, snapshot: &Snapshot) {
    let mut state = world.state();
    let mut written_down = Vec::new();
    let current = current(&state, snapshot);
    let known: Vec<(&String, &Payload)> =
        state.account.acknowledged.iter().map(|(email, contact)| (email, &contact.payload)).collect();
    let fingerprints = fingerprints(store, &known);
    for (position, (email, contact)) in state.account.acknowledged.iter().enumerate() {
        let Some(held) = snapshot.index.held(store.hasher().identity(email.as_bytes())).unwrap() else { continue };
        let lists = held.memberships.iter().map(|number| u16::from(number.get()));
        let lists: BTreeSet<u16> = lists.filter(|list| current.contains(list)).collect();
        written_down.extend(lists.iter().map(|list| (email.clone(), *list)));
        assert!(lists.is_subset(&contact.lists), "{email}: the ledger says {lists:?}, acknowledged is {contact:?}");
        if held.uncertain || held.again || lists.is_empty() {
            continue;
        }
        let at_the_destination = &state.account.contacts[email];
        assert_eq!(at_the_destination.payload, contact.payload, "{email}: the ledger has no doubt");
        assert!(
            held.acknowledged(fingerprints[position]),
            "{email}: the ledger says that something else was acknowledged than {contact:?}"
        );
    }
    let ids = |email: &String| store.hasher().identity(email.as_bytes());
    for email in state.account.contacts.keys().filter(|email| !state.account.acknowledged.contains_key(*email)) {
        let held = snapshot.index.held(ids(email)).unwrap();
        let is_there = |held: &Held| held.memberships.iter().any(|number| current.contains(&u16::from(number.get())));
        assert!(!held.as_ref().is_some_and(is_there), "{email} was never acknowledged: {held:?}");
    }
    state.account.written_down.extend(written_down);
}

/// The fingerprints of these rows.
fn fingerprints(store: &Store, people: &[(&String, &Payload)]) -> Vec<Fingerprint> {
    let row = |(email, (name, points)): &(&String, &Payload)| Row {
        key: "any".to_owned(),
        email: Some((*email).clone()),
        name: name.clone(),
        points: points.to_string(),
    };
    let rows: Vec<Row> = people.iter().map(row).collect();
    let (mapping, fields) = (mapping(), Mapping::described(&fields()));
    let mapped = mapping.map(&batch(&rows)).unwrap();
    let candidates = Namer::new(store.hasher(), &fields, mapping.identity(), ADDRESS).name(&mapped).unwrap();
    let fingerprint = |candidate: &Candidate| match candidate {
        Candidate::Sound(name) => name.fingerprint,
        Candidate::Flawed { .. } => unreachable!("what was acknowledged could be sent"),
    };
    candidates.iter().map(fingerprint).collect()
}

/// After a crash no more is sent again than what was in flight: in runs as small as these, no batch more.
fn little_is_sent_again(world: &World, store: &Store, snapshot: &Snapshot) {
    let state = world.state();
    let lost = state.run.written.iter().filter(|email| {
        let held = snapshot.index.held(store.hasher().identity(email.as_bytes())).unwrap();
        held.is_none_or(|held| held.uncertain || held.memberships.is_empty())
    });
    let (lost, limits) = (lost.count(), world.case.limits);
    let most = (limits.max_in_flight * limits.rows_per_batch) as usize;
    assert!(lost <= most, "{lost} rows that were acknowledged will be sent again, not {most}");
}

/// Every row ends in one outcome, which the report counts, the ledger tells, and the destination knows.
async fn the_sums_balance(world: &World, store: &Store, report: &RunReport) {
    assert!(report.rows.balances() && report.leavers.balances(), "{report:#?}");
    assert!(report.problems.iter().all(|problem| problem.code != Code::Unbalanced), "{:#?}", report.problems);
    if world.state().round.failing.is_some() {
        // What could not be written down is counted as far as it is known.
        return;
    }
    let run = store.run(&report.run_id).await.unwrap();
    assert!(matches!(run.status, RunStatus::Ended(_)), "{run:?}");
    let mut told: HashMap<(OutcomeKind, bool), u64> = HashMap::new();
    let mut rows = store.rows(&report.run_id, None).await.unwrap();
    while let Some(chunk) = rows.next().await.unwrap() {
        chunk.iter().for_each(|row| *told.entry((row.outcome, row.leaver)).or_default() += 1);
    }
    let count = |outcome, leaver| told.get(&(outcome, leaver)).copied().unwrap_or(0);
    let (rows, leavers) = (report.rows, report.leavers);
    let expected = [
        (OutcomeKind::Added, false, rows.added),
        (OutcomeKind::Changed, false, rows.changed),
        (OutcomeKind::Invalid, false, rows.invalid),
        (OutcomeKind::Duplicate, false, rows.duplicate),
        (OutcomeKind::Suppressed, false, rows.suppressed),
        (OutcomeKind::Deferred, false, rows.deferred),
        (OutcomeKind::Refused, false, rows.refused),
        (OutcomeKind::Unknown, false, rows.unknown),
        (OutcomeKind::Removed, true, leavers.removed),
        (OutcomeKind::Deferred, true, leavers.deferred),
        (OutcomeKind::Refused, true, leavers.refused),
        (OutcomeKind::Unknown, true, leavers.unknown),
    ];
    for (outcome, leaver, reported) in expected {
        assert_eq!(count(outcome, leaver), reported, "{outcome:?}, leaver {leaver}: told and reported of {report:#?}");
    }
    let state = world.state();
    // A call that was given up at a cancel may have been answered to nobody.
    assert_eq!(rows.added + rows.changed, state.run.written.len() as u64, "acknowledged and reported of {report:#?}");
    // Of whoever was on a list that is gone there is nothing to acknowledge.
    let came_off = leavers.removed - state.run.removed;
    let is_gone = report.problems.iter().any(|problem| problem.code == Code::ListReplaced);
    assert!(came_off == 0 || is_gone, "{came_off} removals were not acknowledged: {report:#?}");
}

/// The destination is exactly what the source says, as far as this export has to do with it.
pub(super) async fn at_the_end(world: &World, store: &Store) {
    let wanted = wanted(world, store).await;
    let snapshot = snapshot(world, store).await;
    let state = world.state();
    let current = current(&state, &snapshot);
    for (email, (payload, lists)) in &wanted.people {
        let contact = state.account.contacts.get(email).unwrap_or_else(|| panic!("{email} is not at the destination"));
        assert_eq!(contact.payload, *payload, "{email} is not as the source says");
        let lists: BTreeSet<u16> = lists.intersection(&current).copied().collect();
        assert!(lists.is_subset(&contact.lists), "{email} should be on {lists:?}, not only {:?}", contact.lists);
    }
    if world.case.leavers == Leavers::Keep {
        return;
    }
    for (email, contact) in &state.account.contacts {
        let on = wanted.people.get(email).map(|(_, lists)| lists.clone()).unwrap_or_default();
        let held = snapshot.index.held(store.hasher().identity(email.as_bytes())).unwrap();
        for list in contact.lists.difference(&on) {
            let place = (email.clone(), *list);
            // Of somebody whose delivery was never written down there is no id to remove by.
            let is_known =
                state.account.written_down.contains(&place) || held.is_some_and(|held| !held.memberships.is_empty());
            let is_tolerated = wanted.tolerated.contains(&place) || state.account.left_behind.contains(&place);
            assert!(is_tolerated || !is_known, "{email} should be off list {list}: {contact:?}, {held:?}");
        }
    }
}

/// What the source says, told in the simplest way.
async fn wanted(world: &World, store: &Store) -> Wanted {
    let suppressed = store.suppressed().await.unwrap();
    let state = world.state();
    let mut wanted = Wanted::default();
    let mut owners: BTreeMap<String, String> = BTreeMap::new();
    for (list, rows) in (0..).zip(&state.source.segments) {
        let mut seen: BTreeSet<String> = BTreeSet::new();
        for row in rows {
            let email = row.email.as_deref().map(|email| email.trim().to_lowercase()).unwrap_or_default();
            let is_suppressed = suppressed.contains(&store.hasher().identity(email.as_bytes()));
            let points = row.points.parse::<i64>().ok().filter(|_| email.contains('@') && !is_suppressed);
            let owner = owners.get(&email);
            let is_first = seen.insert(email.clone()) && owner.is_none_or(|owner| *owner == row.key);
            match points.filter(|_| is_first) {
                Some(points) => {
                    owners.insert(email.clone(), row.key.clone());
                    let new = || ((row.name.clone(), points), BTreeSet::new());
                    wanted.people.entry(email).or_insert_with(new).1.insert(list);
                }
                None => {
                    if points.is_none() {
                        seen.remove(&email);
                    }
                    let of_the_key = state.source.keys.iter().filter(|(_, keys)| keys.contains(&row.key));
                    let tolerated = of_the_key.map(|(email, _)| email.clone()).chain([email]);
                    wanted.tolerated.extend(tolerated.map(|email| (email, list)));
                }
            }
        }
    }
    wanted
}

/// Whether a clean run found nothing to do; it delivers whatever there is.
pub(super) fn is_done(end: &End) -> bool {
    let Some(Ok(report)) = told(end) else { panic!("nothing is in the way of a run, and yet: {end:?}") };
    assert!(matches!(report.status, RunEnd::Succeeded | RunEnd::Partial), "{report:#?}");
    let (rows, leavers) = (report.rows, report.leavers);
    assert_eq!((rows.refused, rows.unknown, leavers.refused, leavers.unknown), (0, 0, 0, 0), "{report:#?}");
    rows.added + rows.changed + rows.deferred + leavers.removed + leavers.deferred == 0
}
