//! A state in memory, for simulations: what was committed outlives whoever wrote it, and nothing else does.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{BoxStream, StreamExt};
use jiff::Timestamp;
use tokio::sync::OwnedMutexGuard;

use crate::access::{
    AcceptedLine, Access, AccountLine, ExportLine, Guard, Keeper, ListLine, Marks, Pen, RUNS_WITH_ROWS, SegmentLine,
    UntriedPage,
};
use crate::codec::LEAST_BYTES;
use crate::page::{Page, PageKind};
use crate::{Error, Identity, Result, RunEnd, RunRecord, RunStatus};

/// A state in memory; clones are the same state. To be used from one thread.
#[derive(Clone)]
pub struct Memory {
    kept: Arc<Mutex<Kept>>,
    /// Held by the one transaction that may write.
    writing: Arc<tokio::sync::Mutex<()>>,
    /// How long a commit takes.
    pace: Arc<dyn Fn() -> Duration + Send + Sync>,
}

#[derive(Debug, Default)]
struct Kept {
    committed: Arc<Tables>,
    owned: BTreeSet<String>,
    marks: u64,
}

/// The tables of the schema.
#[derive(Debug, Clone, Default)]
struct Tables {
    facts: BTreeMap<String, String>,
    leases: BTreeMap<String, (i64, ExportLine)>,
    segments: BTreeMap<(String, i64, i64), String>,
    accepted: BTreeMap<String, Vec<AcceptedLine>>,
    lists: BTreeMap<(String, String), String>,
    accounts: BTreeMap<(String, String), String>,
    runs: BTreeMap<i64, Run>,
    pages: BTreeMap<(String, i64), Arc<Page<Vec<u8>>>>,
    suppressed: BTreeSet<Identity>,
}

#[derive(Debug, Clone)]
struct Run {
    epoch: i64,
    record: RunRecord,
}

impl Memory {
    /// An empty state, whose commits take as long as `pace` says each time.
    pub fn new(pace: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self { kept: Arc::default(), writing: Arc::default(), pace: Arc::new(pace) }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn transaction(&self) -> Box<dyn Access> {
        let turn = Arc::clone(&self.writing).lock_owned().await;
        let tables = Arc::clone(&self.kept().committed);
        Box::new(Draft { memory: self.clone(), tables, _turn: Some(turn) })
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}

#[async_trait]
impl Keeper for Memory {
    async fn look(&self) -> Result<Box<dyn Access>> {
        self.view().await
    }

    async fn view(&self) -> Result<Box<dyn Access>> {
        // What is read may be older than its arrival.
        let tables = Arc::clone(&self.kept().committed);
        tokio::task::yield_now().await;
        Ok(Box::new(Draft { memory: self.clone(), tables, _turn: None }))
    }

    async fn write(&self) -> Result<Box<dyn Access>> {
        Ok(self.transaction().await)
    }

    async fn pen(&self) -> Result<Box<dyn Pen>> {
        Ok(Box::new(self.clone()))
    }

    fn lock(&self, export: &str) -> Result<Option<Guard>> {
        let is_free = self.kept().owned.insert(export.to_owned());
        Ok(is_free.then(|| Arc::new(Owner { memory: self.clone(), export: export.to_owned() }) as Guard))
    }

    fn is_held(&self, export: &str) -> Result<bool> {
        Ok(self.kept().owned.contains(export))
    }

    async fn gather(&self) {}

    fn marks(&self) -> Result<Box<dyn Marks>> {
        Ok(Box::new(self.clone()))
    }
}

#[async_trait]
impl Pen for Memory {
    async fn write(&mut self) -> Result<Box<dyn Access + '_>> {
        Ok(self.transaction().await)
    }
}

impl Marks for Memory {
    fn count(&self) -> Result<u64> {
        Ok(self.kept().marks)
    }

    fn leave(&self) -> Result<()> {
        self.kept().marks += 1;
        Ok(())
    }
}

/// Owns an export until it is dropped.
#[derive(Debug)]
struct Owner {
    memory: Memory,
    export: String,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.memory.kept().owned.remove(&self.export);
    }
}

/// A copy of what was committed, which becomes that when it is committed itself.
struct Draft {
    memory: Memory,
    tables: Arc<Tables>,
    /// `None` if it may only be read.
    _turn: Option<OwnedMutexGuard<()>>,
}

impl Tables {
    /// A run as it stands. One that began with an earlier lease than the newest is over, whatever is written down.
    fn run(&self, run: &Run) -> RunRecord {
        let newest = self.leases.get(&run.record.export).map_or(0, |(epoch, _)| *epoch);
        let mut record = run.record.clone();
        if record.status == RunStatus::Running && run.epoch < newest {
            record.status = RunStatus::Interrupted;
        }
        record
    }

    /// The newest runs of an export, newest first.
    fn recent<'a>(&'a self, export: &'a str) -> impl Iterator<Item = (i64, &'a Run)> {
        let runs = self.runs.iter().rev().filter(move |(_, run)| run.record.export == export);
        runs.take(RUNS_WITH_ROWS.unsigned_abs() as usize).map(|(number, run)| (*number, run))
    }

    fn pages_of<'a>(
        &'a self,
        export: &str,
        first: i64,
        end: i64,
    ) -> impl Iterator<Item = &'a Arc<Page<Vec<u8>>>> + use<'a> {
        self.pages.range((export.to_owned(), first)..(export.to_owned(), end)).map(|(_, page)| page)
    }
}

impl Draft {
    /// The tables, copied when they are first changed.
    fn changed(&mut self) -> &mut Tables {
        Arc::make_mut(&mut self.tables)
    }
}

#[async_trait]
impl Access for Draft {
    async fn commit(self: Box<Self>) -> Result<()> {
        // Whoever dies before the wait is over has written nothing, and in the wait after it something that nobody knows of.
        tokio::time::sleep((self.memory.pace)()).await;
        self.memory.kept().committed = self.tables;
        tokio::time::sleep((self.memory.pace)()).await;
        Ok(())
    }

    async fn fact(&mut self, name: &str) -> Result<Option<String>> {
        Ok(self.tables.facts.get(name).cloned())
    }

    async fn set_fact(&mut self, name: &str, value: &str) -> Result<()> {
        self.changed().facts.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        Ok(())
    }

    async fn take_lease(&mut self, export: &str, holder: &str) -> Result<i64> {
        let new = || (0, ExportLine { first_page: 1, next_page: 1, ..ExportLine::default() });
        let (epoch, line) = self.changed().leases.entry(export.to_owned()).or_insert_with(new);
        *epoch += 1;
        holder.clone_into(&mut line.holder);
        Ok(*epoch)
    }

    async fn export(&mut self, export: &str) -> Result<Option<ExportLine>> {
        Ok(self.tables.leases.get(export).map(|(_, line)| line.clone()))
    }

    async fn advance(&mut self, export: &str, epoch: i64, to: &ExportLine) -> Result<bool> {
        let Some((_, line)) = self.changed().leases.get_mut(export).filter(|(newest, _)| *newest == epoch) else {
            return Ok(false);
        };
        *line = ExportLine { holder: std::mem::take(&mut line.holder), ..to.clone() };
        Ok(true)
    }

    async fn segments(&mut self, export: &str) -> Result<Vec<SegmentLine>> {
        let lines = self.tables.segments.iter().filter(|((of, ..), _)| of == export);
        let line = |((_, from_page, number), id): (&(String, i64, i64), &String)| SegmentLine {
            number: *number,
            from_page: *from_page,
            id: id.clone(),
        };
        Ok(lines.map(line).collect())
    }

    async fn add_segment(&mut self, export: &str, segment: &SegmentLine) -> Result<()> {
        let place = (export.to_owned(), segment.from_page, segment.number);
        self.changed().segments.insert(place, segment.id.clone());
        Ok(())
    }

    async fn accepted(&mut self, export: &str) -> Result<Vec<AcceptedLine>> {
        Ok(self.tables.accepted.get(export).cloned().unwrap_or_default())
    }

    async fn accept(&mut self, export: &str, accepted: &[AcceptedLine]) -> Result<()> {
        self.changed().accepted.insert(export.to_owned(), accepted.to_vec());
        Ok(())
    }

    async fn lists(&mut self, export: &str) -> Result<Vec<ListLine>> {
        let lists = self.tables.lists.iter().filter(|((of, _), _)| of == export);
        Ok(lists.map(|((_, segment), id)| ListLine { segment: segment.clone(), id: id.clone() }).collect())
    }

    async fn put_list(&mut self, export: &str, ListLine { segment, id }: &ListLine) -> Result<()> {
        self.changed().lists.insert((export.to_owned(), segment.clone()), id.clone());
        Ok(())
    }

    async fn accounts(&mut self, export: &str) -> Result<Vec<AccountLine>> {
        let accounts = self.tables.accounts.iter().filter(|((of, _), _)| of == export);
        Ok(accounts.map(|((_, place), id)| AccountLine { place: place.clone(), id: id.clone() }).collect())
    }

    async fn put_account(&mut self, export: &str, AccountLine { place, id }: &AccountLine) -> Result<()> {
        self.changed().accounts.insert((export.to_owned(), place.clone()), id.clone());
        Ok(())
    }

    async fn add_run(&mut self, export: &str, epoch: i64, run_id: &str, started_at: Timestamp) -> Result<i64> {
        for run in self.changed().runs.values_mut() {
            if run.record.run_id == run_id {
                return Err(Error::RunExists { run: run_id.to_owned() });
            }
            if run.record.export == export && run.record.status == RunStatus::Running {
                run.record.status = RunStatus::Interrupted;
            }
        }
        let number = self.tables.runs.last_key_value().map_or(1, |(number, _)| number + 1);
        let record = RunRecord {
            run_id: run_id.to_owned(),
            export: export.to_owned(),
            status: RunStatus::Running,
            started_at,
            finished_at: None,
            report: None,
        };
        self.changed().runs.insert(number, Run { epoch, record });
        Ok(number)
    }

    async fn end_run(&mut self, run: i64, end: RunEnd, finished_at: Timestamp, report: &str) -> Result<()> {
        if let Some(Run { record, .. }) = self.changed().runs.get_mut(&run) {
            record.status = RunStatus::Ended(end);
            record.finished_at = Some(finished_at);
            record.report = Some(report.to_owned());
        }
        Ok(())
    }

    async fn prune(&mut self, export: &str, first_page: i64) -> Result<()> {
        let oldest = self.tables.recent(export).last().map_or(0, |(number, _)| number);
        self.changed().pages.retain(|(of, number), page| of != export || *number >= first_page || page.run >= oldest);
        Ok(())
    }

    async fn runs_with_rows(&mut self, export: &str) -> Result<Vec<(i64, bool)>> {
        let has_ended = |run: &Run| matches!(run.record.status, RunStatus::Ended(_));
        Ok(self.tables.recent(export).map(|(number, run)| (number, has_ended(run))).collect())
    }

    async fn runs(&mut self, export: Option<&str>, limit: u32) -> Result<Vec<RunRecord>> {
        let runs = self.tables.runs.values().rev();
        let runs = runs.filter(|run| export.is_none_or(|export| run.record.export == export));
        Ok(runs.take(limit as usize).map(|run| self.tables.run(run)).collect())
    }

    async fn runs_like(&mut self, prefix: &str) -> Result<Vec<(i64, RunRecord)>> {
        let like = self.tables.runs.iter().filter(|(_, run)| run.record.run_id.starts_with(prefix));
        let mut found: Vec<_> = like.map(|(number, run)| (*number, self.tables.run(run))).collect();
        if let Some(exact) = found.iter().position(|(_, run)| run.run_id == prefix) {
            found = vec![found.swap_remove(exact)];
        }
        found.truncate(2);
        Ok(found)
    }

    async fn put_page(&mut self, export: &str, _epoch: i64, page: &Page<Vec<u8>>) -> Result<()> {
        self.changed().pages.insert((export.to_owned(), page.number), Arc::new(page.clone()));
        Ok(())
    }

    async fn delete_page(&mut self, export: &str, number: i64) -> Result<()> {
        self.changed().pages.remove(&(export.to_owned(), number));
        Ok(())
    }

    fn pages<'a>(&'a mut self, export: &'a str, first: i64, end: i64) -> BoxStream<'a, Result<Page<Vec<u8>>>> {
        let page = |page: &Arc<Page<Vec<u8>>>| match page.kind() {
            Some(PageKind::Untried) => Page { body: Vec::new(), ..**page },
            _ => Page::clone(page),
        };
        let pages = self.tables.pages_of(export, first, end).map(move |found| Ok(page(found)));
        futures::stream::iter(pages).boxed()
    }

    async fn page_at(&mut self, export: &str, number: i64) -> Result<Option<Page<Vec<u8>>>> {
        Ok(self.tables.pages.get(&(export.to_owned(), number)).map(|page| Page::clone(page)))
    }

    async fn page_of_run(&mut self, export: &str, run: i64, after: i64) -> Result<Option<Page<Vec<u8>>>> {
        let mut pages = self.tables.pages_of(export, after + 1, i64::MAX);
        let page = pages.find(|page| page.run == run && page.kind() != Some(PageKind::Base));
        Ok(page.map(|page| Page::clone(page)))
    }

    async fn old_pages(&mut self, export: &str, first: i64) -> Result<Vec<i64>> {
        let pages = self.tables.pages_of(export, i64::MIN, first);
        Ok(pages.filter(|page| page.kind().is_none_or(PageKind::is_state)).map(|page| page.number).collect())
    }

    async fn untried(&mut self, export: &str) -> Result<Vec<UntriedPage>> {
        let pages = self.tables.pages_of(export, i64::MIN, i64::MAX);
        let untried = pages.filter(|page| page.kind() == Some(PageKind::Untried) && page.rows > 0);
        let mut untried: Vec<_> =
            untried.map(|page| UntriedPage { number: page.number, run: page.run, rows: page.rows }).collect();
        untried.reverse();
        Ok(untried)
    }

    async fn has_emptied(&mut self, run: i64) -> Result<bool> {
        let mut pages = self.tables.pages.values().filter(|page| page.run == run && page.rows == 0);
        Ok(pages.any(|page| page.kind() == Some(PageKind::Untried)))
    }

    async fn intents_of_run(&mut self, run: i64) -> Result<Vec<(i64, i64)>> {
        let is_such = |page: &&Arc<Page<_>>| page.run == run && page.kind() == Some(PageKind::Intents) && page.rows > 0;
        Ok(self.tables.pages.values().filter(is_such).map(|page| (page.number, page.rows)).collect())
    }

    async fn estimated_rows(&mut self, export: &str, first: i64, end: i64) -> Result<u64> {
        let mut records: BTreeMap<i64, u64> = BTreeMap::new();
        for page in self.tables.pages_of(export, first, end) {
            if matches!(page.kind(), Some(PageKind::Log | PageKind::Base)) {
                let at_most = page.body.len() as u64 / LEAST_BYTES.unsigned_abs();
                *records.entry(page.run).or_default() += page.rows.unsigned_abs().min(at_most);
            }
        }
        Ok(records.into_values().max().unwrap_or(0))
    }

    async fn suppressed(&mut self) -> Result<HashSet<Identity>> {
        Ok(self.tables.suppressed.iter().copied().collect())
    }

    async fn is_suppressed(&mut self, identity: Identity) -> Result<bool> {
        Ok(self.tables.suppressed.contains(&identity))
    }

    async fn suppressed_count(&mut self) -> Result<u64> {
        Ok(self.tables.suppressed.len() as u64)
    }

    async fn suppress(&mut self, identities: &[Identity], _at: Timestamp) -> Result<u64> {
        let suppressed = &mut self.changed().suppressed;
        Ok(identities.iter().filter(|&&identity| suppressed.insert(identity)).count() as u64)
    }

    async fn unsuppress(&mut self, identities: &[Identity]) -> Result<u64> {
        let suppressed = &mut self.changed().suppressed;
        Ok(identities.iter().filter(|&identity| suppressed.remove(identity)).count() as u64)
    }
}
