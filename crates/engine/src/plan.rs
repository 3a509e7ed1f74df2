//! Reading, mapping and comparing all segments of an export, and what follows from it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use segport_core::{Error, ErrorKind, Result, Workload};
use segport_ledger::{Hasher, Identity, Journal, Leaver, SegmentNumber, SharedIds, Snapshot, WantedRows};
use segport_manifest::{Code, Leavers as Policy};

use crate::batch_size::BatchSize;
use crate::cancel::Cancel;
use crate::deliver::Halt;
use crate::diff::{Diff, Noted, Place, Rules};
use crate::movers::Movers;
use crate::name::Namer;
use crate::open_export::{OpenExport, OpenSegment, segment_id};
use crate::outbox::{Outbox, Sealed};
use crate::pack::workload;
use crate::parcel::Listed;
use crate::plan_report::{PlanReport, PlannedCalls, PlannedLeavers, PlannedSegment};
use crate::progress::{Progress, Stage};
use crate::read::{Pages, Prepared};
use crate::report::{GuardVerdict, Problem, Severity, counted};
use crate::scope::Scope;
use crate::start_error::StartError;
use crate::tally::{Skip, Tally, Why};
use crate::watch::{Findings, Size, Watch};

/// Longest wait for a connector's estimate.
const ESTIMATE_TIMEOUT: Duration = Duration::from_secs(10);

/// What a comparison works with.
#[derive(Debug)]
pub(crate) struct Comparison<'a> {
    pub(crate) open: &'a OpenExport,
    pub(crate) run: &'a str,
    pub(crate) hasher: &'a Hasher,
    pub(crate) suppressed: &'a HashSet<Identity>,
    pub(crate) scope: &'a Scope,
    /// Where waiting rows may be kept, encrypted.
    pub(crate) dir: &'a Path,
    /// Where rows that are not sent are written down; `None` for a plan.
    pub(crate) journal: Option<&'a Journal>,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) cancel: &'a Cancel,
}

/// What a comparison came to. After an error it is what was found until then.
#[derive(Debug)]
pub(crate) struct Compared {
    pub(crate) outbox: Sealed,
    pub(crate) tally: Tally,
    pub(crate) error: Option<Error>,
}

impl Comparison<'_> {
    /// Reads every segment and compares its rows with the ledger. Reading of the `first` one may have begun.
    ///
    /// # Errors
    /// Of the ledger or the disk. A source's error is part of the result: what was read before it is not lost.
    pub(crate) async fn compare(&self, snapshot: &mut Snapshot, first: Option<Pages>) -> Result<Compared, StartError> {
        let open = self.open;
        self.progress.stage(&open.export.id, Stage::Reading);
        let schema = open.segments.first().map(|segment| segment.mapping.schema()).ok_or_else(no_segment)?;
        let places: Vec<Place> =
            snapshot.segments().iter().enumerate().map(|(position, &number)| Place { position, number }).collect();
        let rules = Rules {
            suppressed: self.suppressed,
            scope: self.scope,
            cap: open.limits.rows_per_export.unwrap_or(u64::MAX),
            has_several_segments: open.segments.len() > 1,
        };
        let outbox = Outbox::new(schema, BatchSize::of(open), self.dir).map_err(StartError::Outbox)?;
        let mut diff = Diff::new(rules, &mut snapshot.index, outbox);
        let mut error = self.read_all(&mut diff, &places, first).await?;
        if error.is_none() && diff.wanted() > 0 {
            error = self.fetch_all(&mut diff, &places).await?;
        }
        let (outbox, mut tally) = diff.finish();
        self.give_up_wanted(snapshot, &mut tally, error.as_ref()).await?;
        Ok(Compared { outbox: outbox.seal().map_err(StartError::Outbox)?, tally, error })
    }

    async fn read_all(
        &self,
        diff: &mut Diff<'_>,
        places: &[Place],
        mut first: Option<Pages>,
    ) -> Result<Option<Error>, StartError> {
        for (place, segment) in places.iter().copied().zip(&self.open.segments) {
            let Some(mut pages) = first.take().or_else(|| self.read(place.position)) else { continue };
            while let Some(page) = self.next(&mut pages).await {
                let page = match page {
                    Ok(page) => page,
                    Err(error) => return Ok(Some(error.with("segment", &*segment.reader.id))),
                };
                let mut noted = diff.page(place, &segment.mapping, &page.rows, &page.candidates)?;
                noted.untried.extend(diff.unreadable(place, &page.unreadable));
                self.write_down(&noted).await?;
                self.progress.advance(&self.open.export.id, (page.rows.num_rows() + page.unreadable.len()) as u64);
            }
        }
        Ok(None)
    }

    /// Reads again for the values of rows that seemed unchanged until a later segment added a membership.
    async fn fetch_all(&self, diff: &mut Diff<'_>, places: &[Place]) -> Result<Option<Error>, StartError> {
        for (place, segment) in places.iter().zip(&self.open.segments) {
            let Some(mut pages) = self.read(place.position) else { continue };
            while let Some(page) = self.next(&mut pages).await {
                match page {
                    Ok(page) => diff.fetch(&page.rows, &page.candidates)?,
                    Err(error) => return Ok(Some(error.with("segment", &*segment.reader.id))),
                }
                if diff.wanted() == 0 {
                    return Ok(None);
                }
            }
        }
        Ok(None)
    }

    /// Leaves rows whose values a second reading did not find, or did not get to for this error, to the next run.
    async fn give_up_wanted(
        &self,
        snapshot: &mut Snapshot,
        tally: &mut Tally,
        error: Option<&Error>,
    ) -> Result<(), StartError> {
        let (why, reason) = match error {
            None => (Why::SourceMoved, "the source changed while it was read; the next run takes the row".to_owned()),
            Some(error) => (Why::NotRead, unread(error)),
        };
        let reason = reason.into();
        let mut walk = WantedRows::default();
        while tally.wanted > 0
            && let Some(identities) = snapshot.take_wanted(&mut walk).await?
        {
            let mut noted = Noted::default();
            for identity in identities {
                snapshot.index.leave_out(identity)?;
                noted.untried.push(tally.lose(identity, Skip { why, reason: Arc::clone(&reason) }));
            }
            self.write_down(&noted).await?;
        }
        Ok(())
    }

    /// The next page, unless the run is cancelled before it comes.
    async fn next(&self, pages: &mut Pages) -> Option<Result<Prepared>> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Some(Err(cancelled())),
            page = pages.next() => page,
        }
    }

    fn read(&self, position: usize) -> Option<Pages> {
        begin_reading(self.open, position, self.run, self.hasher)
    }

    async fn write_down(&self, Noted { untried, rekeyed }: &Noted) -> Result<(), StartError> {
        let Some(journal) = self.journal else { return Ok(()) };
        // Of none nothing is written.
        journal.pass_over(untried).await?;
        Ok(journal.rekey(rekeyed).await?)
    }
}

/// Starts reading the segment at this position of an export.
pub(crate) fn begin_reading(open: &OpenExport, position: usize, run: &str, hasher: &Hasher) -> Option<Pages> {
    let (segment, address) = (open.segments.get(position)?, open.address(position)?);
    let namer = Namer::new(hasher, &open.spec.fields, segment.mapping.identity(), address);
    Some(segment.reader.start(run, &segment.mapping, namer))
}

/// What is to be done with leavers.
#[derive(Debug)]
pub(crate) struct LeaverRule<'a> {
    policy: Policy,
    scope: &'a Scope,
    listed: &'a [Listed],
    /// Ids of leavers, and who else has them.
    shared: SharedIds,
    /// Keys of leavers, and whose row was not delivered.
    movers: Movers,
    /// Rows of which nobody knows whose they are might be the very ones that seem to have left.
    is_blind: bool,
}

/// What is to be done with one leaver.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LeaverFate {
    /// Not this run's business.
    Ignore,
    /// Stays on the list.
    Keep,
    /// Stays on the list until a run can be sure.
    Defer,
    /// Stays on the list, since somebody who is still in the segment is the same contact at the destination.
    Stay,
    /// Comes off this list.
    Remove(Listed),
}

impl<'a> LeaverRule<'a> {
    pub(crate) fn new(open: &OpenExport, scope: &'a Scope, listed: &'a [Listed], tally: &Tally) -> Self {
        Self {
            policy: open.export.leavers,
            scope,
            listed,
            shared: SharedIds::default(),
            movers: Movers::default(),
            is_blind: tally.unreadable + tally.nameless > 0,
        }
    }

    pub(crate) fn judge(&self, leaver: &Leaver) -> LeaverFate {
        if matches!(self.scope, Scope::Only(_)) && !leaver.asked {
            return LeaverFate::Ignore;
        }
        let listed = self.listed.iter().find(|segment| segment.number == leaver.segment);
        match (self.policy, listed) {
            (Policy::Keep, _) | (Policy::Remove, None) => LeaverFate::Keep,
            // The next run could not do it either.
            (Policy::Remove, Some(_)) if leaver.is_out_of_reach => LeaverFate::Keep,
            (Policy::Remove, Some(_)) if self.is_blind => LeaverFate::Defer,
            (Policy::Remove, Some(&segment)) => match &leaver.destination_id {
                Some(id) if self.shared.is_claimed(id, segment.number) => LeaverFate::Stay,
                _ => LeaverFate::Remove(segment),
            },
        }
    }

    /// Ids of leavers, to be told who gets them during the run.
    pub(crate) fn shared(&self) -> &SharedIds {
        &self.shared
    }

    /// Leavers that may have a new address only, to be told whose row was not delivered.
    pub(crate) fn movers(&self) -> &Movers {
        &self.movers
    }

    /// Whether the run has learnt meanwhile that somebody who is still in the segment is the same contact.
    pub(crate) fn turned_out_to_be_shared(&self, leaver: &Leaver) -> bool {
        leaver.destination_id.as_deref().is_some_and(|id| self.shared.is_claimed_now(id, leaver.segment))
    }
}

/// Leavers by what is to be done with them.
#[derive(Debug, Default)]
pub(crate) struct LeaverTally {
    pub(crate) planned: PlannedLeavers,
    /// Of those that stay, the ones of whom somebody in the segment is the same contact.
    pub(crate) shared: u64,
    by_segment: BTreeMap<SegmentNumber, u64>,
}

/// Counts the leavers of a compared snapshot, and finds out who of them is the same contact as somebody who is still there.
pub(crate) async fn count_leavers(
    snapshot: &Snapshot,
    rule: &mut LeaverRule<'_>,
    tally: &Tally,
) -> Result<LeaverTally, StartError> {
    let (mut ids, mut movers) = (SharedIds::default(), Movers::default());
    let count = count(snapshot, rule, tally, |leaver| {
        movers.leave(leaver);
        leaver.destination_id.as_deref().into_iter().for_each(|id| ids.leave(id));
    })
    .await?;
    rule.movers = movers;
    if ids.is_empty() {
        return Ok(count);
    }
    snapshot.find_claims(&tally.present, &mut ids).await?;
    rule.shared = ids;
    if rule.shared.has_claims() { self::count(snapshot, rule, tally, |_| ()).await } else { Ok(count) }
}

/// Counts leavers by their fate, and tells of each that is to be removed.
async fn count(
    snapshot: &Snapshot,
    rule: &LeaverRule<'_>,
    tally: &Tally,
    mut to_remove: impl FnMut(&Leaver),
) -> Result<LeaverTally, StartError> {
    let mut count = LeaverTally::default();
    let mut leavers = snapshot.leavers(&tally.present);
    while let Some(chunk) = leavers.next().await? {
        for leaver in &chunk {
            let slot = match rule.judge(leaver) {
                LeaverFate::Ignore => continue,
                LeaverFate::Keep => &mut count.planned.keep,
                LeaverFate::Stay => {
                    count.shared += 1;
                    &mut count.planned.keep
                }
                LeaverFate::Defer => &mut count.planned.deferred,
                LeaverFate::Remove(_) => {
                    to_remove(leaver);
                    &mut count.planned.remove
                }
            };
            *slot += 1;
            count.planned.planned += 1;
            *count.by_segment.entry(leaver.segment).or_default() += 1;
        }
    }
    Ok(count)
}

/// What the guards say of a plan.
pub(crate) fn judge(
    watch: &Watch,
    open: &OpenExport,
    snapshot: &Snapshot,
    tally: &Tally,
    leavers: &LeaverTally,
    held: u64,
) -> Vec<GuardVerdict> {
    let all_empty = (0..open.segments.len()).all(|position| tally.rows_of(position) == 0);
    let (mut empty_segments, mut sizes) = (Vec::new(), Vec::new());
    for (Listed { number, position }, OpenSegment { reader, .. }) in listed(snapshot).into_iter().zip(&open.segments) {
        let now = tally.rows_of(position.into());
        if now == 0 && (all_empty || leavers.by_segment.contains_key(&number)) {
            empty_segments.push(format!("`{}`", reader.id));
        }
        let before = snapshot.accepted_rows(number);
        sizes.extend(before.map(|before| Size { segment: reader.id.clone(), before, now }));
    }
    watch.judge_plan(&Findings { empty_segments, removals: leavers.planned.remove, held, sizes })
}

/// Puts a plan into words and numbers.
pub(crate) async fn report(
    open: &OpenExport,
    snapshot: &Snapshot,
    Compared { outbox, tally, .. }: &Compared,
    leavers: &LeaverTally,
    guards: Vec<GuardVerdict>,
    scope: &Scope,
) -> Result<PlanReport> {
    let rows = tally.rows;
    let narrow = workload(&snapshot.index, BatchSize::of(open).rows as u64);
    let [batches, batches_at_most] = outbox.batches(narrow.batches);
    let workload = Workload {
        leavers: leavers.planned.remove,
        segments: open.segments.len() as u64,
        batches,
        batches_at_most,
        // How many of the others are theirs is not known: as many as can be makes the fewest calls.
        batches_in_doubt: (narrow.batches_in_doubt + (batches - narrow.batches)).min(narrow.in_doubt),
        ..narrow
    };
    debug_assert_eq!(workload.rows, rows.add + rows.change, "the index and the tally count the same rows");
    let estimate = open.connector.estimate("", &workload, ESTIMATE_TIMEOUT).await?;
    let rate = open.limits.requests_per_second;
    #[expect(clippy::cast_precision_loss, reason = "calls stay far below 2^52")]
    let seconds = |calls: u64| (rate > 0.0).then(|| calls as f64 / rate);
    let mut problems = problems(open, tally, leavers, snapshot);
    problems.extend(shared_contacts(leavers.shared));
    if workload.in_doubt > 0 {
        let message = format!(
            "{} of those to send may have reached the destination already: an earlier run did not learn what became of them, or one under way has not yet",
            counted(workload.in_doubt, "row")
        );
        problems.push(Problem::new(Severity::Note, Code::RowsUnknown, message));
    }
    let segments = open.spec.segments.iter().enumerate().map(|(position, segment)| PlannedSegment {
        id: segment.id.clone(),
        display_name: segment.display_name.clone(),
        rows: tally.rows_of(position),
    });
    Ok(PlanReport {
        schema_version: 1,
        export: open.export.id.clone(),
        connection: open.export.connection.clone(),
        full: matches!(scope, Scope::Full),
        config_hash: open.config_hash.clone(),
        source_digest: format!("{:032x}", tally.digest),
        suppressed_digest: format!("{:032x}", tally.suppressed_digest),
        ledger_generation: snapshot.generation().to_string(),
        rows,
        leavers: leavers.planned,
        segments: segments.collect(),
        skipped: tally.skipped.values().cloned().collect(),
        calls: PlannedCalls {
            at_least: estimate.at_least,
            at_most: estimate.at_most,
            requests_per_second: rate,
            seconds_at_least: seconds(estimate.at_least),
            seconds_at_most: seconds(estimate.at_most),
            notes: estimate.notes,
        },
        guards,
        problems,
    })
}

/// What a reader should know of a comparison.
pub(crate) fn problems(open: &OpenExport, tally: &Tally, leavers: &LeaverTally, snapshot: &Snapshot) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut add = |severity, code: Code, message: String, help: Option<&str>| {
        problems.push(Problem { severity, code: code.into(), message, help: help.map(str::to_owned) });
    };
    if let Some(row) = &tally.first_unreadable {
        let at = row.line.map_or_else(|| format!("row {}", row.row), |line| format!("line {line}"));
        let message = format!(
            "{} could not be read, the first in {} at {at}: {}",
            counted(tally.unreadable, "row"),
            row.place,
            row.reason
        );
        add(Severity::Warning, Code::SourceUnreadable, message, None);
    }
    if tally.has_nothing_usable() {
        let message = format!("the source has {}, and none can be sent as it is", counted(tally.unusable, "row"));
        let help = "`segport rows RUN --outcome invalid` says why; often the file or its columns have changed";
        add(Severity::Warning, Code::NothingUsable, message, Some(help));
    }
    if tally.of_other_keys > 0 {
        let message = format!(
            "the `{}` of {} is that of a row of an earlier segment, under another key: they count as duplicates, and are not put \
             on the list of their own segment",
            open.identity(),
            counted(tally.of_other_keys, "row"),
        );
        let help = "let `key` of these segments name columns that say the same of a person, or export them separately";
        add(Severity::Warning, Code::OtherKeys, message, Some(help));
    }
    if leavers.planned.deferred > 0 {
        let message = format!(
            "{} not taken off the list this time: {}, and might be theirs",
            counted(leavers.planned.deferred, "leaver"),
            match (tally.unreadable, tally.nameless) {
                (_, 0) => "rows could not be read",
                (0, _) => "rows have neither a key nor an address that was ever sent",
                _ => "rows could not be read, or have neither a key nor an address that was ever sent",
            }
        );
        add(Severity::Warning, Code::SourceUnreadable, message, Some("repair the source; the next run removes them"));
    }
    if let Some(cap) = open.limits.rows_per_export.filter(|_| tally.over_cap > 0) {
        let message = format!("{} over the {cap} that one run sends", counted(tally.over_cap, "row"));
        add(
            Severity::Warning,
            Code::RowLimit,
            message,
            Some("the next run takes them; `rows_per_export` in the connection's settings sets the number"),
        );
    }
    let gone: BTreeSet<String> = snapshot
        .dropped()
        .filter(|(number, _)| leavers.by_segment.contains_key(number))
        .map(|(_, name)| format!("`{}`", segment_id(name)))
        .collect();
    if !gone.is_empty() && open.export.leavers == Policy::Remove {
        let message = format!(
            "members of {} stay on their former lists: the export no longer names the segment, or its list or address changed",
            Vec::from_iter(gone).join(", ")
        );
        add(
            Severity::Warning,
            Code::SegmentMoved,
            message,
            Some("take them off at the destination, or undo the change and let them leave first"),
        );
    }
    problems
}

/// That leavers stay on their lists because somebody else would come off, if there are any.
pub(crate) fn shared_contacts(leavers: u64) -> Option<Problem> {
    let message = format!(
        "{} not taken off the list: somebody who is still in the segment, with another address, is or may be the same \
         contact at the destination",
        counted(leavers, "leaver")
    );
    (leavers > 0).then(|| Problem::new(Severity::Note, Code::SharedContact, message))
}

/// The export's segments with their numbers in the ledger.
pub(crate) fn listed(snapshot: &Snapshot) -> Vec<Listed> {
    (0..).zip(snapshot.segments()).map(|(position, &number)| Listed { number, position }).collect()
}

fn no_segment() -> Error {
    Error::new(ErrorKind::ConfigInvalid, "the export has no segment")
}

/// Why nothing is tried of a source that could not be read to its end.
pub(crate) fn unread(error: &Error) -> String {
    match error.kind() {
        ErrorKind::Cancelled => Halt::Cancelled.reason(),
        _ => "not tried: the source could not be read to its end".to_owned(),
    }
}

fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "the run was interrupted while it read")
}
