//! What a run's connector is told of the destination, and tells: the account, and the lists of the export's segments.

use segport_core::{Error, ErrorKind, ExportSegment, ExportSpec, OccupiedList, Result, Session};
use segport_ledger::{Memberships, Snapshot};
use segport_manifest::{Code, Leavers};

use crate::report::{Problem, Severity, counted};

/// The export as a run's connector is told of it: with the lists that earlier runs had, and with those segments marked of which
/// nobody is on the list by this export.
pub(crate) fn told(spec: &ExportSpec, snapshot: &Snapshot) -> ExportSpec {
    let populated = snapshot.populated();
    let segments = spec.segments.iter().zip(snapshot.segments()).map(|(segment, &number)| ExportSegment {
        first_run: !populated.contains(number),
        list: snapshot.list(number).map(str::to_owned),
        ..segment.clone()
    });
    ExportSpec { segments: segments.collect(), ..spec.clone() }
}

/// Whether a session has a list for each segment, or none at all, as of a connector that does not tell.
///
/// # Errors
/// `contract` if it has others.
pub(crate) fn match_up(spec: &ExportSpec, session: &Session) -> Result<()> {
    let (lists, segments) = (&session.lists, spec.segments.len());
    if lists.is_empty() || (lists.len() == segments && lists.iter().all(|id| !id.is_empty())) {
        return Ok(());
    }
    let (lists, segments) = (counted(lists.len() as u64, "list"), counted(segments as u64, "segment"));
    Err(Error::new(ErrorKind::Contract, format!("the plugin told of {lists} for {segments}, or of one without an id")))
}

/// That lists on which people were put are gone, or at another account, and others are in their place. `spec` is as it was [`told`].
pub(crate) fn gone(spec: &ExportSpec, snapshot: &Snapshot, session: &Session, replaced: Memberships) -> Vec<Problem> {
    let segments = spec.segments.iter().zip(snapshot.segments()).zip(&session.lists);
    let has_moved = session.account.is_some() && spec.account.is_some() && session.account != spec.account;
    let what = if has_moved { "is that of the other account" } else { "is gone" };
    let problem = |((segment, _), new): ((&ExportSegment, _), &String)| Problem {
        severity: Severity::Warning,
        code: Code::ListReplaced.into(),
        message: format!(
            "the list of segment `{}` ({}) {what}, and {new} takes its place; whom this run does not send, later ones put on it",
            segment.id,
            segment.list.as_deref().unwrap_or("not known by its id")
        ),
        help: Some("`segport plan` shows how many the next run puts there".to_owned()),
    };
    segments.filter(|((_, number), _)| replaced.contains(**number)).map(problem).collect()
}

/// What a run will do to the members that it found on its lists. `identity` is the field that says who a row is.
pub(crate) fn problems(spec: &ExportSpec, session: &Session, identity: &str, leavers: Leavers) -> Vec<Problem> {
    let problem = |OccupiedList { segment, list, members }: &OccupiedList| {
        let segment = &spec.segments.get(usize::from(*segment))?.id;
        let removals = match leavers {
            Leavers::Remove => "takes off only those who leave the segment",
            Leavers::Keep => "takes nobody off",
        };
        Some(Problem {
            severity: Severity::Note,
            code: Code::ListHasMembers.into(),
            message: format!(
                "list `{list}` has {members} already. This run, the first of segment `{segment}` there, adds to them, updates those with the \
                 same `{identity}`, and leaves the others as they are; the export {removals}"
            ),
            help: Some(format!("if this is not the list you meant, see `segport explain {}`", Code::ListHasMembers)),
        })
    };
    session.occupied.iter().filter_map(problem).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use insta::assert_snapshot;
    use jiff::Timestamp;
    use segport_core::{Members, Secret};
    use segport_ledger::{
        Change, Done, Fingerprint, Identity, Intent, KeyHash, Memberships, Memory, NewRun, NoFaults, Reached, Record,
        Row, RunEnd, StateKey, Store, Undelivered,
    };

    use super::*;

    fn spec() -> ExportSpec {
        let segment =
            |id: &str| ExportSegment { id: id.to_owned(), display_name: id.to_owned(), first_run: false, list: None };
        ExportSpec {
            id: "export".to_owned(),
            segments: vec![segment("news"), segment("vip")],
            fields: Vec::new(),
            account: None,
            may_move: false,
        }
    }

    /// One run of the export that writes down what became of a row of `vip`.
    async fn run(store: &Store, outcome: impl Fn(Identity, Memberships) -> Option<Record>) {
        let segments = ["news", "vip"].map(str::to_owned);
        let run_id = format!("r{}", store.runs(None, u32::MAX).await.unwrap().len());
        let new = NewRun { run_id: &run_id, started_at: Timestamp::UNIX_EPOCH, segments: &segments };
        let run = store.lease("export").await.unwrap().begin(new).await.unwrap();
        let (identity, memberships) = (store.hasher().identity(b"anna"), Memberships::from(run.snapshot.segments()[1]));
        run.journal.intend(&[Intent::Deliver { identity, memberships }]).await.unwrap();
        if let Some(record) = outcome(identity, memberships) {
            run.journal.settle(&[record]).await.unwrap();
            run.finish(RunEnd::Succeeded, Timestamp::UNIX_EPOCH, "{}").await.unwrap();
        }
    }

    async fn first_runs(store: &Store) -> Vec<bool> {
        let snapshot = store.snapshot("export", &["news", "vip"].map(str::to_owned)).await.unwrap();
        told(&spec(), &snapshot).segments.iter().map(|segment| segment.first_run).collect()
    }

    fn store() -> Store {
        let key = StateKey::from_secret(&Secret::new("of the first runs, and no other")).unwrap();
        Store::in_memory(&Memory::new(|| Duration::ZERO), &key, Arc::new(NoFaults))
    }

    #[tokio::test]
    async fn a_run_is_the_first_until_somebody_may_be_on_the_list() {
        let done = |identity, memberships| Done {
            identity,
            key: KeyHash::from_bits(1),
            fingerprint: Fingerprint::from_bits(7),
            memberships,
            destination_id: None,
            change: Change::Added,
        };
        let refused = |identity: Identity, memberships| Row {
            outcome: Undelivered::Refused,
            whose: identity.into(),
            memberships,
            code: "refused".into(),
            reason: "not wanted".into(),
        };
        let store = &store();
        assert_eq!(first_runs(store).await, [true, true]);
        run(store, |identity, memberships| Some(Record::Row(refused(identity, memberships)))).await;
        assert_eq!(first_runs(store).await, [true, false], "what was refused may have been put there in part");
        run(store, |identity, memberships| Some(Record::Left { identity, memberships })).await;
        assert_eq!(first_runs(store).await, [true, true], "nobody is there");
        run(store, |_, _| None).await;
        assert_eq!(first_runs(store).await, [true, false], "a run that died may have put somebody there");
        run(store, |identity, memberships| Some(Record::Done(done(identity, memberships)))).await;
        assert_eq!(first_runs(store).await, [true, false]);
        run(store, |identity, memberships| Some(Record::Left { identity, memberships })).await;
        assert_eq!(first_runs(store).await, [true, true], "all have left");
    }

    /// Lists as a plugin tells of them.
    fn session(lists: &[&str]) -> Session {
        Session { lists: lists.iter().map(|&id| id.to_owned()).collect(), ..Session::default() }
    }

    #[test]
    fn a_plugin_tells_of_a_list_for_each_segment_or_of_none() {
        let check = |lists: &[&str], expected: &str| {
            let said = match_up(&spec(), &session(lists)).err().map(|error| format!("{}: {error}", error.kind()));
            assert_eq!(said.unwrap_or_default(), expected);
        };
        check(&[], "");
        check(&["1", "2"], "");
        check(&["1", ""], "contract: the plugin told of 2 lists for 2 segments, or of one without an id");
        check(&["1"], "contract: the plugin told of 1 list for 2 segments, or of one without an id");
        check(&["1", "2", "3"], "contract: the plugin told of 3 lists for 2 segments, or of one without an id");
    }

    #[tokio::test]
    async fn a_list_in_the_place_of_another_is_told_of() {
        let store = &store();
        let segments = ["news", "vip"].map(str::to_owned);
        let mut said = Vec::new();
        for (run, lists) in [&["1", "2"], &["1", "2"], &["3", "4"]].into_iter().enumerate() {
            let run_id = format!("r{run}");
            let new = NewRun { run_id: &run_id, started_at: Timestamp::UNIX_EPOCH, segments: &segments };
            let ledger = store.lease("export").await.unwrap().begin(new).await.unwrap();
            let (snapshot, session) = (&ledger.snapshot, session(lists));
            let replaced = ledger
                .journal
                .reach(snapshot, Reached { place: "", account: None, lists: &session.lists })
                .await
                .unwrap();
            said.extend(gone(&told(&spec(), snapshot), snapshot, &session, replaced));
            let (identity, memberships) = (store.hasher().identity(b"anna"), snapshot.segments()[1].into());
            ledger.journal.intend(&[Intent::Deliver { identity, memberships }]).await.unwrap();
        }
        let [problem] = &*said else { panic!("nobody was on the list of `news`: {said:?}") };
        assert_snapshot!(format!("{}: {}", problem.code, problem.message), @"SP0628: the list of segment `vip` (2) is gone, and 4 takes its place; whom this run does not send, later ones put on it");
    }

    #[test]
    fn what_a_run_will_do_to_the_members_it_finds() {
        let check = |segment, members, leavers| {
            let occupied = vec![OccupiedList { segment, list: "Newsletter".to_owned(), members }];
            let session = Session { occupied, ..Session::default() };
            let said = problems(&spec(), &session, "email", leavers);
            said.into_iter().map(|said| format!("{}: {}", said.code, said.message)).collect::<String>()
        };
        assert_snapshot!(check(0, Members::Exactly(4711), Leavers::Remove), @"SP0624: list `Newsletter` has 4711 members already. This run, the first of segment `news` there, adds to them, updates those with the same `email`, and leaves the others as they are; the export takes off only those who leave the segment");
        assert_snapshot!(check(1, Members::AtLeast(100), Leavers::Remove), @"SP0624: list `Newsletter` has at least 100 members already. This run, the first of segment `vip` there, adds to them, updates those with the same `email`, and leaves the others as they are; the export takes off only those who leave the segment");
        assert_snapshot!(check(0, Members::Exactly(1), Leavers::Keep), @"SP0624: list `Newsletter` has 1 member already. This run, the first of segment `news` there, adds to them, updates those with the same `email`, and leaves the others as they are; the export takes nobody off");
        assert_eq!(check(2, Members::Exactly(1), Leavers::Keep), "", "there is no such segment");
    }
}
