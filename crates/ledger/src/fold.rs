//! Folding: pages that say what happened become pages that say what is.

use std::collections::HashMap;

use futures::TryStreamExt;

use crate::access::{Access, ExportLine, Pen};
use crate::bucket::Buckets;
use crate::codec::{Acknowledged, Chunk, Intents, Records, Stored, StoredRow};
use crate::database::Database;
use crate::destination_id::DestinationId;
use crate::page::{Page, PageKind};
use crate::standing::Standing;
use crate::{Change, Identity, Intent, Memberships, Result, Whose};

/// When and how pages are folded, and what of the past is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Folding {
    /// Records that say nothing new any more and are not worth a fold, beyond as many as there are rows. 50,000 by default.
    pub idle_records: u64,
    /// Rows that are put together at a time and written in one transaction; more take more memory, and let others wait longer.
    /// 50,000 by default, for about 25 MB.
    pub rows_at_a_time: u64,
    /// Rows that runs did not try, and that are kept for `segport rows` beside those of the newest run that has any: of older runs only
    /// as many as make no more than this. 5,000,000 by default, for about 110 MB.
    pub untried_rows: u64,
}

impl Default for Folding {
    fn default() -> Self {
        Self { idle_records: 50_000, rows_at_a_time: 50_000, untried_rows: 5_000_000 }
    }
}

/// What the pages of a state weigh.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weight {
    /// Records in the pages of the state.
    pub(crate) records: u64,
    /// Rows they amount to.
    pub(crate) live: u64,
    /// Pages they are in.
    pub(crate) pages: u64,
}

impl Weight {
    /// Most pages of a state that are not worth a fold for their number alone, beyond one for each [`ROWS_IN_A_SMALL_PAGE`] rows.
    const MOST_PAGES: u64 = 4096;

    pub(crate) fn is_heavy(self, folding: Folding) -> bool {
        let dead = self.records.saturating_sub(self.live);
        dead > self.live.saturating_add(folding.idle_records)
            || self.pages > Self::MOST_PAGES + self.live / ROWS_IN_A_SMALL_PAGE
    }

    /// About how many rows are gathered: those that live, and those that were tried in vain, which have an intent and an outcome
    /// each and amount to nothing.
    fn gathered(self) -> u64 {
        self.live + self.records.saturating_sub(self.live) / 2
    }
}

/// The pages of one export, about to be folded by the run that owns them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fold<'a> {
    pub(crate) database: &'a Database,
    pub(crate) export: &'a str,
    pub(crate) epoch: i64,
    pub(crate) run: i64,
}

/// Rows in one folded page.
const ROWS_A_PAGE: usize = 4096;
/// Rows below which a page costs more to read than its rows do.
const ROWS_IN_A_SMALL_PAGE: u64 = 256;

/// What the records of one row amount to.
#[derive(Debug, Default)]
struct Folded {
    standing: Standing,
    value: Option<Acknowledged>,
    /// The destination's ids of the row: one, unless the export had another account once.
    ids: Vec<OwnId>,
    /// The run whose records were the latest.
    run: i64,
}

/// A destination's own id of a row.
#[derive(Debug)]
struct OwnId {
    text: String,
    /// Segments of the account that gave it.
    at: Memberships,
}

impl Folded {
    /// Notes an id that the destination gave while the export had these segments.
    fn identify(&mut self, id: DestinationId<'_>, at: Memberships) {
        let Some(text) = id.to_text() else { return };
        let same = |known: &mut OwnId| known.text == text || !known.at.intersection(at).is_empty();
        let at = self.ids.extract_if(.., same).fold(at, |at, known| at.union(known.at));
        self.ids.push(OwnId { text, at });
    }

    /// The lists of these segments are gone, perhaps with the account that they and the ids were of.
    fn vacate(&mut self, lists: Memberships) {
        self.ids.iter_mut().for_each(|id| id.at = id.at.without(lists));
        self.end(|standing| standing.vacate(lists));
    }

    /// Some or all of its memberships have ended.
    fn end(&mut self, how: impl FnOnce(&mut Standing)) {
        how(&mut self.standing);
        if !self.standing.has_destination_id {
            self.ids.clear();
        }
    }

    /// Writes where the row stands, with its newest id. Those of other accounts stand before that, as far as it has memberships there.
    fn write(&self, identity: Identity, chunk: &mut Chunk) {
        // A row that was only ever intended has no value yet; zeros are what nobody compares with, since it is not held.
        let value = self.value.unwrap_or(Acknowledged {
            key: crate::KeyHash::from_bits(0),
            fingerprint: crate::Fingerprint::from_bits(0),
        });
        let memberships = self.standing.acknowledged.union(self.standing.possible);
        let (newest, others) = self.ids.split_last().unzip();
        for OwnId { text, at } in others.unwrap_or_default() {
            let (id, memberships, at) = (DestinationId::new(Some(text)), memberships.intersection(*at), *at);
            if !memberships.is_empty() {
                chunk.again(&Stored::Done { identity, value, memberships, id, change: Change::Changed, at });
            }
        }
        let (id, at) = newest.map_or((None, memberships), |OwnId { text, at }| (Some(&**text), *at));
        chunk.at(at);
        chunk.held(identity, value, &self.standing, DestinationId::new(id));
    }

    /// The row as a record of this run finds it.
    fn during(&mut self, run: i64) -> &mut Self {
        // Only a run's own outcomes settle its intents.
        if self.run != run {
            self.standing.run_over();
            self.run = run;
        }
        self
    }
}

impl Fold<'_> {
    /// Rewrites the pages from `line.first_page` on, and returns where the pages are then.
    ///
    /// No transaction is long, since others wait for it to end. What the pages amount to is written behind them, where nobody
    /// looks; then the export moves on to that in one step; and then the old pages become history. Whoever dies before that
    /// step has changed nothing, and whoever dies after it leaves old pages to the next fold.
    pub(crate) async fn fold(self, pen: &mut dyn Pen, line: &ExportLine, weight: Weight) -> Result<ExportLine> {
        self.database.fault("fold_state")?;
        let count = weight.gathered().div_ceil(self.rows_at_a_time());
        let mut buckets = Buckets::new(self.database.path(), count);
        self.sort(line, &mut buckets).await?;
        let mut folded = ExportLine { first_page: line.next_page, next_page: line.next_page, ..line.clone() };
        for number in 0..buckets.len() {
            let mut transaction = self.transaction(pen, line).await?;
            for rows in put_together(&mut buckets, number)?.chunks(ROWS_A_PAGE) {
                self.write(&mut *transaction, rows, folded.next_page).await?;
                folded.next_page += 1;
            }
            self.database.commit(transaction).await?;
        }
        let transaction = self.transaction(pen, &folded).await?;
        self.database.commit(transaction).await?;
        self.thin_out(pen, &folded).await?;
        Ok(folded)
    }

    fn rows_at_a_time(self) -> u64 {
        self.database.folding.rows_at_a_time.max(1)
    }

    /// A transaction that moves the pages to `line`, if the epoch is still the caller's. That is compared before anything is
    /// changed.
    async fn transaction<'p>(self, pen: &'p mut dyn Pen, line: &ExportLine) -> Result<Box<dyn Access + 'p>> {
        let mut transaction = pen.write().await?;
        self.database.advance(&mut *transaction, self.export, self.epoch, line).await?;
        Ok(transaction)
    }

    /// Sorts the records of all pages into buckets. Nobody else writes to them meanwhile.
    async fn sort(self, line: &ExportLine, buckets: &mut Buckets<'_>) -> Result<()> {
        let mut view = self.database.keeper.view().await?;
        let mut pages = self.database.pages(&mut *view, self.export, line.first_page, line.next_page);
        while let Some(page) = pages.try_next().await? {
            for record in page.records() {
                let record = record.map_err(|_| self.database.unreadable(self.export, page.number))?;
                match record.identity() {
                    Some(identity) => buckets.add(identity, page.run, &record)?,
                    None if record.is_of_all() => buckets.add_to_all(page.run, &record)?,
                    None => {}
                }
            }
        }
        Ok(())
    }

    async fn write(self, transaction: &mut (dyn Access + '_), rows: &[(Identity, Folded)], number: i64) -> Result<()> {
        let mut chunk = Chunk::with_capacity(rows.len() * 64);
        for (identity, row) in rows {
            row.write(*identity, &mut chunk);
        }
        let page = Page {
            number,
            run: self.run,
            kind: PageKind::Base.number(),
            // However many records a row has, they are not worth another fold.
            rows: i64::try_from(rows.len()).unwrap_or(i64::MAX),
            body: chunk.into_bytes(),
        };
        self.database.add_page(transaction, self.export, self.epoch, &page).await
    }

    /// Keeps of the pages before `line` what `segport rows` tells of recent runs.
    async fn thin_out(self, pen: &mut dyn Pen, line: &ExportLine) -> Result<()> {
        let mut access = self.database.keeper.look().await?;
        let recent: HashMap<i64, bool> = access.runs_with_rows(self.export).await?.into_iter().collect();
        let mut old = access.old_pages(self.export, line.first_page).await?.into_iter().peekable();
        drop(access);
        while old.peek().is_some() {
            let mut transaction = self.transaction(pen, line).await?;
            let mut rows = 0;
            while rows < self.rows_at_a_time()
                && let Some(number) = old.next()
            {
                rows += self.thin(&mut *transaction, number, &recent).await?;
            }
            self.database.commit(transaction).await?;
        }
        Ok(())
    }

    /// Makes history of a page; returns how many rows it had.
    async fn thin(self, transaction: &mut (dyn Access + '_), number: i64, recent: &HashMap<i64, bool>) -> Result<u64> {
        let page = transaction.page_at(self.export, number).await?;
        let page = page.ok_or_else(|| self.database.missing(self.export, number))?;
        let rows = page.rows.unsigned_abs();
        // The run under way has an outcome for every intent when it folds at its end, and no page when it does at its start.
        let past =
            match recent.get(&page.run).filter(|_| matches!(page.kind(), Some(PageKind::Log | PageKind::Intents))) {
                Some(ended) => past(&page, if *ended { Intents::Dropped } else { Intents::Kept })
                    .ok_or_else(|| self.database.unreadable(self.export, number))?,
                None => Chunk::with_capacity(0),
            };
        if past.rows() == 0 {
            transaction.delete_page(self.export, number).await?;
        } else {
            let history = Page {
                kind: PageKind::History.number(),
                rows: i64::from(past.rows()),
                body: past.into_bytes(),
                ..page
            };
            self.database.add_page(transaction, self.export, self.epoch, &history).await?;
        }
        Ok(rows)
    }
}

/// The rows of one bucket that are remembered, sorted by identity.
fn put_together(buckets: &mut Buckets<'_>, number: usize) -> Result<Vec<(Identity, Folded)>> {
    let mut rows = HashMap::new();
    buckets.take(number, |run, records| gather(&mut rows, run, records))?;
    // A run folds before its first intent and after its last outcome.
    rows.values_mut().for_each(|row: &mut Folded| row.standing.run_over());
    let mut rows: Vec<_> = rows.into_iter().filter(|(_, row): &(_, Folded)| row.standing.is_remembered()).collect();
    rows.sort_unstable_by_key(|(identity, _)| *identity);
    Ok(rows)
}

fn past(page: &Page<Vec<u8>>, intents: Intents) -> Option<Chunk> {
    let mut chunk = Chunk::with_capacity(page.body.len() / 2);
    for record in page.records() {
        chunk.past(&record.ok()?, intents);
    }
    Some(chunk)
}

/// Applies records that a run wrote. Rows that were never sent are none of the ledger's: there may be far more of them than of
/// the others.
fn gather(rows: &mut HashMap<Identity, Folded>, run: i64, records: Records<'_>) -> Option<()> {
    for record in records {
        match record.ok()? {
            Stored::Intent(Intent::Deliver { identity, memberships }) => {
                rows.entry(identity).or_default().during(run).standing.intend_delivery(memberships);
            }
            Stored::Intent(Intent::Remove { identity, memberships }) => {
                if let Some(row) = rows.get_mut(&identity) {
                    row.during(run).standing.intend_removal(memberships);
                }
            }
            Stored::Done { identity, value, memberships, id, at, .. } => {
                let row = rows.entry(identity).or_default().during(run);
                row.standing.done(memberships, id.is_some());
                row.value = Some(value);
                row.identify(id, at);
            }
            Stored::Left { identity, memberships } => {
                if let Some(row) = rows.get_mut(&identity) {
                    row.during(run).end(|standing| standing.left(memberships));
                }
            }
            Stored::Row(StoredRow { whose: Whose::Identity(identity), outcome, .. }) => {
                if let Some(row) = rows.get_mut(&identity) {
                    row.during(run).standing.undelivered(outcome);
                }
            }
            Stored::Held { identity, value, standing, id, at } => {
                let row = rows.entry(identity).or_default();
                let has_destination_id = standing.has_destination_id || row.standing.has_destination_id;
                row.standing = Standing { has_destination_id, ..standing };
                row.value = Some(value);
                row.run = run;
                row.identify(id, at);
            }
            Stored::Renewed => rows.values_mut().for_each(|row| row.standing.renew()),
            Stored::Vacated(lists) => rows.values_mut().for_each(|row| row.vacate(lists)),
            Stored::Moved(lists) => rows.values_mut().for_each(|row| {
                row.standing.renew();
                row.vacate(lists);
            }),
            Stored::Row(_) | Stored::Stayed(_) | Stored::Past { .. } => {}
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fingerprint, KeyHash, Memberships, Record, Row, Undelivered};

    #[test]
    fn rows_that_were_never_sent_are_not_kept() {
        let memberships = Memberships::from_bits(1);
        let row = |identity| {
            Record::Row(Row {
                outcome: Undelivered::Deferred,
                whose: Identity::from_bits(identity).into(),
                memberships,
                code: "over_cap".into(),
                reason: "over the cap".into(),
            })
        };
        let mut chunk = Chunk::with_capacity(0);
        chunk.intent(&Intent::Deliver { identity: Identity::from_bits(0), memberships });
        (0..1000).for_each(|identity| chunk.record(&row(identity)));
        chunk.record(&Record::Left { identity: Identity::from_bits(7), memberships });
        chunk.intent(&Intent::Remove { identity: Identity::from_bits(8), memberships });
        chunk.held(
            Identity::from_bits(9),
            Acknowledged { key: KeyHash::from_bits(1), fingerprint: Fingerprint::from_bits(1) },
            &Standing { held: true, ..Standing::default() },
            DestinationId::None,
        );
        let mut rows = HashMap::new();
        gather(&mut rows, 3, Records::new(&chunk.into_bytes())).unwrap();
        let mut kept: Vec<u128> = rows.keys().map(|identity| identity.bits()).collect();
        kept.sort_unstable();
        assert_eq!(kept, [0, 9]);
        assert!(!rows[&Identity::from_bits(0)].standing.uncertain());
    }

    #[test]
    fn folding_starts_when_dead_weight_outgrows_live() {
        #[track_caller]
        fn check(records: u64, live: u64, pages: u64, heavy: bool) {
            assert_eq!(Weight { records, live, pages }.is_heavy(Folding::default()), heavy);
        }
        check(0, 0, 0, false);
        check(2_000_000, 1_000_000, 800, false);
        check(2_100_000, 1_000_000, 800, true);
        check(40_000, 100, 10, false);
        check(60_000, 100, 10, true);
        check(10_000, 5_000, 5_000, true);
    }

    #[test]
    fn rows_that_were_tried_in_vain_are_gathered_too() {
        let check = |records, live, expected: u64| {
            assert_eq!(Weight { records, live, pages: 1 }.gathered(), expected, "{records} records of {live} rows");
        };
        check(0, 0, 0);
        check(1_000_000, 1_000_000, 1_000_000);
        check(2_000_000, 0, 1_000_000);
        check(1_200_000, 1_000_000, 1_100_000);
        check(5, 10, 10);
    }
}
