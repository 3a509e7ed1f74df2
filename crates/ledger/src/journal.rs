//! Makes intents and outcomes durable.

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use crate::access::{AcceptedLine, AccountLine, ExportLine, Guard, ListLine, Pen};
use crate::codec::Chunk;
use crate::database::Database;
use crate::destination_id::DestinationId;
use crate::fold::{Fold, Weight};
use crate::page::{Page, PageKind};
use crate::{
    Change, Error, Identity, Intent, Memberships, Record, Rekeyed, Result, RunEnd, SegmentNumber, Snapshot, Untried,
};

/// What a run has learned of the destination before it sends anything.
#[derive(Debug, Clone, Copy)]
pub struct Reached<'a> {
    /// Names where the account is, whichever it is: the account at another place is not taken for another account.
    pub place: &'a str,
    /// The destination's id of the account, if it was told.
    pub account: Option<&'a str>,
    /// The destination's ids of the segments' lists, in the order of the manifest; empty if they were not told.
    pub lists: &'a [String],
}

/// Handle to the one task that writes for a run; clones share it.
///
/// Whatever is queued when a commit begins shares that commit: one transaction, fully synced. The first error poisons the
/// journal: every later call fails with it, and the run must end. Dropping a call's future is sound; its records may or may
/// not be written.
#[derive(Debug, Clone)]
pub struct Journal {
    requests: mpsc::Sender<Request>,
    /// Those of the export.
    segments: Memberships,
    /// Whoever can still write, or has something under way of which it will write, keeps the export leased.
    _lock: Guard,
}

impl Journal {
    /// Most calls that wait for a commit; more wait for a place.
    const QUEUE: usize = 256;

    /// Most records of a call in one piece.
    const PIECE: usize = 4096;

    pub(crate) fn start(writer: Writer, segments: Memberships, lock: Guard) -> Self {
        let (requests, queue) = mpsc::channel(Self::QUEUE);
        tokio::spawn(writer.serve(queue));
        Self { requests, segments, _lock: lock }
    }

    /// Writes what is about to be sent; resolves once that is durable, and nothing may be sent before.
    ///
    /// # Errors
    /// If it could not be committed, or the lease was lost.
    pub async fn intend(&self, intents: &[Intent]) -> Result<()> {
        self.write(intents.chunks(Self::PIECE).map(|intents| {
            let mut chunk = Chunk::with_capacity(intents.len() * 20);
            intents.iter().for_each(|intent| chunk.intent(intent));
            Piece::new(PageKind::Intents, chunk)
        }))
        .await
    }

    /// Writes outcomes; resolves once they are durable, and nothing may be reported before.
    ///
    /// # Errors
    /// If they could not be committed, or the lease was lost.
    pub async fn settle(&self, records: &[Record]) -> Result<()> {
        self.write(records.chunks(Self::PIECE).map(|records| {
            let mut piece = Piece::new(PageKind::Log, Chunk::with_capacity(records.len() * 64));
            piece.chunk.at(self.segments);
            for record in records {
                piece.chunk.record(record);
                piece.added += u64::from(matches!(record, Record::Done(done) if done.change == Change::Added));
                piece.carried_out += u64::from(matches!(record, Record::Done(_) | Record::Left { .. }));
            }
            piece
        }))
        .await
    }

    /// Writes down rows and leavers for which the run has written no intent; resolves once that is durable. It says nothing of what
    /// the destination holds, so later runs do not read it.
    ///
    /// # Errors
    /// If it could not be committed, or the lease was lost.
    pub async fn pass_over(&self, untried: &[Untried]) -> Result<()> {
        self.write(untried.chunks(Self::PIECE).map(|untried| {
            let mut chunk = Chunk::with_capacity(untried.len() * 24);
            untried.iter().for_each(|untried| chunk.untried(untried));
            Piece::new(PageKind::Untried, chunk)
        }))
        .await
    }

    /// Writes down under which keys rows are known from now on of which nothing else has changed; resolves once that is durable.
    ///
    /// # Errors
    /// If it could not be committed, or the lease was lost.
    pub async fn rekey(&self, rows: &[Rekeyed]) -> Result<()> {
        self.write(rows.chunks(Self::PIECE).map(|rows| {
            let mut chunk = Chunk::with_capacity(rows.len() * 48);
            for Rekeyed { identity, value, standing } in rows {
                chunk.held(*identity, *value, standing, DestinationId::None);
            }
            Piece::new(PageKind::Log, chunk)
        }))
        .await
    }

    /// Writes down that every row that is held or may be is to be sent again, by this run or later ones
    /// ([`crate::Index::renew`]); resolves once that is durable. To be called before the first intent.
    ///
    /// # Errors
    /// If it could not be committed, or the lease was lost.
    pub async fn renew(&self) -> Result<()> {
        let mut chunk = Chunk::with_capacity(1);
        chunk.renewed();
        self.write([Piece::new(PageKind::Log, chunk)].into_iter()).await
    }

    /// Writes down which account is reached and which lists the segments have there; to be called before the first intent.
    /// Returns the segments that had another list before, with people on it: for later runs nobody is on theirs any more. If the
    /// account is another one than before, every list is, and every row that is held or may be is to be sent again, as after
    /// [`Journal::renew`]. Resolves once all of that is durable.
    ///
    /// # Errors
    /// If it could not be committed, or the lease was lost.
    pub async fn reach(&self, snapshot: &Snapshot, to: Reached<'_>) -> Result<Memberships> {
        let mut piece = Piece::new(PageKind::Log, Chunk::with_capacity(0));
        let known = snapshot.account(to.place);
        let is_other = to.account.is_some_and(|account| known.is_some_and(|known| known != account));
        if let Some(account) = to.account.filter(|account| known != Some(account)) {
            piece.reached.account = Some(AccountLine { place: to.place.to_owned(), id: account.to_owned() });
        }
        let mut vacated = if is_other { snapshot.current() } else { Memberships::NONE };
        for (&segment, id) in snapshot.segments().iter().zip(to.lists) {
            let known = snapshot.list(segment);
            if known == Some(id) && !is_other {
                continue;
            }
            if known.is_some() {
                vacated = vacated.with(segment);
            }
            let line = |name: &str| ListLine { segment: name.to_owned(), id: id.clone() };
            piece.reached.lists.extend(snapshot.segment_id(segment).map(line));
        }
        match (is_other, vacated.is_empty()) {
            (true, _) => piece.chunk.moved(vacated),
            (false, false) => piece.chunk.vacated(vacated),
            (false, true) => {}
        }
        if piece.reached.account.is_some() || !piece.reached.lists.is_empty() {
            self.write([piece].into_iter()).await?;
        }
        Ok(vacated.intersection(snapshot.populated()))
    }

    /// Writes down that leavers came off lists that are gone ([`Journal::reach`]): no call was made, and there is no intent.
    /// Resolves once that is durable.
    ///
    /// # Errors
    /// If it could not be committed, or the lease was lost.
    pub async fn came_off(&self, leavers: &[(Identity, SegmentNumber)]) -> Result<()> {
        self.write(leavers.chunks(Self::PIECE).map(|leavers| {
            let mut chunk = Chunk::with_capacity(leavers.len() * 20);
            for &(identity, segment) in leavers {
                chunk.record(&Record::Left { identity, memberships: segment.into() });
            }
            Piece::new(PageKind::Log, chunk)
        }))
        .await
    }

    pub(crate) async fn end(
        &self,
        end: RunEnd,
        finished_at: Timestamp,
        report: String,
        accepted: Option<Vec<AcceptedLine>>,
    ) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        self.send(Request::End { end, finished_at, report, accepted, reply }).await?;
        answer.await.unwrap_or(Err(Error::Closed))
    }

    /// Queues all pieces before it waits for any, so that they can share a commit.
    async fn write(&self, pieces: impl Iterator<Item = Piece>) -> Result<()> {
        let mut answers = Vec::new();
        for piece in pieces {
            let (reply, answer) = oneshot::channel();
            self.send(Request::Write { piece, reply }).await?;
            answers.push(answer);
        }
        for answer in answers {
            answer.await.unwrap_or(Err(Error::Closed))?;
        }
        Ok(())
    }

    async fn send(&self, request: Request) -> Result<()> {
        self.requests.send(request).await.map_err(|_| Error::Closed)
    }
}

type Reply = oneshot::Sender<Result<()>>;

#[derive(Debug)]
enum Request {
    Write {
        piece: Piece,
        reply: Reply,
    },
    End {
        end: RunEnd,
        finished_at: Timestamp,
        report: String,
        /// What later runs compare their segments with; `None` leaves that as it is.
        accepted: Option<Vec<AcceptedLine>>,
        reply: Reply,
    },
}

/// Records of one call.
#[derive(Debug)]
struct Piece {
    kind: PageKind,
    chunk: Chunk,
    /// Rows among them that were not held before.
    added: u64,
    /// Records among them that say that an intent was carried out.
    carried_out: u64,
    reached: ReachedLines,
}

/// What is true of the destination from now on.
#[derive(Debug, Default)]
struct ReachedLines {
    account: Option<AccountLine>,
    /// The lists of segments that had others, or none.
    lists: Vec<ListLine>,
}

impl Piece {
    fn new(kind: PageKind, chunk: Chunk) -> Self {
        Self { kind, chunk, added: 0, carried_out: 0, reached: ReachedLines::default() }
    }
}

/// The one task that writes for a run.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) database: Database,
    pub(crate) pen: Box<dyn Pen>,
    pub(crate) export: String,
    pub(crate) epoch: i64,
    pub(crate) run: i64,
    pub(crate) line: ExportLine,
    pub(crate) records: u64,
    pub(crate) live: u64,
    /// Intents of this run that were not carried out, or not yet.
    pub(crate) open: u64,
}

impl Writer {
    /// A commit takes no more than about this many bytes, so that its memory is bounded.
    const COMMIT: usize = 4 << 20;

    /// A page is closed when it has this many records.
    const PAGE: u32 = 8192;

    async fn serve(mut self, mut queue: mpsc::Receiver<Request>) {
        let mut state = Ok(());
        let mut next = queue.recv().await;
        while let Some(request) = next.take() {
            match request {
                Request::End { end, finished_at, report, accepted, reply } => {
                    if state.is_ok() {
                        state = self.end(end, finished_at, &report, accepted.as_deref()).await;
                    }
                    answer(reply, state.clone());
                    // Nothing may follow the end of a run.
                    state = state.and(Err(Error::Closed));
                }
                Request::Write { piece, reply } => {
                    let mut batch = Batch::default();
                    batch.add(piece, reply);
                    while batch.bytes < Self::COMMIT && next.is_none() {
                        match queue.try_recv() {
                            Ok(Request::Write { piece, reply }) => batch.add(piece, reply),
                            Ok(end) => next = Some(end),
                            Err(_) => break,
                        }
                    }
                    if state.is_ok() {
                        let step = batch.step();
                        state = self.commit(batch.pages, &batch.reached, batch.added, step).await;
                        self.open = (self.open + batch.intended).saturating_sub(batch.carried_out);
                    }
                    for reply in batch.replies {
                        answer(reply, state.clone());
                    }
                }
            }
            if next.is_none() {
                next = queue.recv().await;
            }
        }
    }

    async fn commit(&mut self, pages: Vec<Filling>, reached: &ReachedLines, added: u64, step: i64) -> Result<()> {
        let Self { database, pen, export, epoch, run, line, .. } = self;
        let mut moved = line.clone();
        moved.generation += step;
        moved.next_page += i64::try_from(pages.len()).unwrap_or(i64::MAX);
        let mut records = 0;

        let mut transaction = pen.write().await?;
        database.advance(&mut *transaction, export, *epoch, &moved).await?;
        for (Filling { kind, rows, body }, number) in pages.into_iter().zip(line.next_page..) {
            records += if kind.is_state() { u64::from(rows) } else { 0 };
            let page = Page { number, run: *run, kind: kind.number(), rows: i64::from(rows), body };
            database.add_page(&mut *transaction, export, *epoch, &page).await?;
        }
        for list in &reached.lists {
            transaction.put_list(export, list).await?;
        }
        if let Some(account) = &reached.account {
            transaction.put_account(export, account).await?;
        }
        database.commit(transaction).await?;

        self.line = moved;
        self.records += records;
        self.live += added;
        Ok(())
    }

    async fn end(
        &mut self,
        end: RunEnd,
        finished_at: Timestamp,
        report: &str,
        accepted: Option<&[AcceptedLine]>,
    ) -> Result<()> {
        let Self { database, pen, export, epoch, run, line, open, .. } = self;
        database.fault("end_run")?;
        let mut transaction = pen.write().await?;
        database.advance(&mut *transaction, export, *epoch, line).await?;
        transaction.end_run(*run, end, finished_at, report).await?;
        if let Some(accepted) = accepted {
            transaction.accept(export, accepted).await?;
        }
        transaction.prune(export, line.first_page).await?;
        database.thin_untried(&mut *transaction, export, *epoch).await?;
        // If every intent was carried out, the outcomes say it all.
        let emptied = match open {
            0 => database.empty_intents(&mut *transaction, export, *epoch, *run).await?,
            _ => 0,
        };
        database.commit(transaction).await?;
        self.records = self.records.saturating_sub(emptied);

        // The run has ended, whatever becomes of this; a fold that fails loses nothing. For whoever cancelled the run it has taken long
        // enough.
        if end != RunEnd::Cancelled
            && let Err(error) = self.fold_if_heavy().await
        {
            tracing::warn!(export = %self.export, %error, "the ledger's pages could not be folded, or not wholly; a later run makes up for it");
        }
        self.database.keeper.gather().await;
        Ok(())
    }

    pub(crate) async fn fold_if_heavy(&mut self) -> Result<()> {
        let Self { database, pen, export, epoch, run, line, records, live, .. } = self;
        let pages = line.next_page.abs_diff(line.first_page);
        let weight = Weight { records: *records, live: *live, pages };
        if weight.is_heavy(database.folding) {
            let fold = Fold { database, export, epoch: *epoch, run: *run };
            *line = fold.fold(&mut **pen, line, weight).await?;
            *records = *live;
        }
        Ok(())
    }
}

fn answer(reply: Reply, result: Result<()>) {
    // Nobody waits any more if the caller's future was dropped.
    drop(reply.send(result));
}

/// What shares a commit.
#[derive(Debug, Default)]
struct Batch {
    pages: Vec<Filling>,
    bytes: usize,
    added: u64,
    intended: u64,
    carried_out: u64,
    reached: ReachedLines,
    replies: Vec<Reply>,
}

impl Batch {
    /// By how much the export's generation moves: not at all, if this says nothing of what the destination holds, or is to be sent.
    fn step(&self) -> i64 {
        i64::from(self.pages.iter().any(|page| page.kind.is_state()))
    }

    fn add(&mut self, Piece { kind, chunk, added, carried_out, reached }: Piece, reply: Reply) {
        self.replies.push(reply);
        self.reached.lists.extend(reached.lists);
        self.reached.account = reached.account.or(self.reached.account.take());
        let rows = chunk.rows();
        if rows == 0 {
            return;
        }
        let body = chunk.into_bytes();
        self.bytes += body.len();
        self.added += added;
        self.carried_out += carried_out;
        if kind == PageKind::Intents {
            self.intended += u64::from(rows);
        }
        match self.pages.last_mut() {
            Some(page) if page.kind == kind && page.rows < Writer::PAGE => {
                page.rows += rows;
                page.body.extend_from_slice(&body);
            }
            _ => self.pages.push(Filling { kind, rows, body }),
        }
    }
}

/// A page that is being filled.
#[derive(Debug)]
struct Filling {
    kind: PageKind,
    rows: u32,
    body: Vec<u8>,
}
