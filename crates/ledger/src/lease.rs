//! One owner per export.

use crate::access::Guard;
use crate::database::Database;
use crate::journal::{Journal, Writer};
use crate::{Error, NewRun, Result, RunLedger, Snapshot};

/// The right to run an export, from [`crate::Store::lease`]. Free again the moment it is dropped, or its process dies.
///
/// It is an operating-system lock on a file beside the database, with an epoch in the database that every write compares: were
/// the lock to fail, as on some network file systems, a former owner could still not write.
#[derive(Debug)]
pub struct Lease {
    database: Database,
    export: String,
    epoch: i64,
    lock: Guard,
}

impl Lease {
    pub(crate) async fn take(database: Database, export: &str) -> Result<Self> {
        let Some(lock) = database.keeper.lock(export)? else {
            let line = database.keeper.look().await?.export(export).await?;
            let holder = line.map_or_else(|| "it has just begun".to_owned(), |line| line.holder);
            return Err(Error::Held { export: export.to_owned(), holder });
        };
        let epoch = database.take_lease(export, &format!("process {}", std::process::id())).await?;
        Ok(Self { database, export: export.to_owned(), epoch, lock })
    }

    /// How often this export was leased, this time included.
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// Writes down that a run begins, and loads what it starts from. A run that never ended is marked *interrupted*.
    ///
    /// # Errors
    /// If the lease was lost, a page is damaged, the export has too many segments, or the database fails.
    pub async fn begin(self, run: NewRun<'_>) -> Result<RunLedger> {
        let Self { database, export, epoch, lock } = self;
        // The epoch is durable, so nobody else can write to the export's pages while they are loaded.
        let mut snapshot = Snapshot::load(database.clone(), &export, run.segments).await?;

        database.fault("begin_run")?;
        let mut pen = database.keeper.pen().await?;
        let mut transaction = pen.write().await?;
        database.advance(&mut *transaction, &export, epoch, &snapshot.line).await?;
        let number = transaction.add_run(&export, epoch, run.run_id, run.started_at).await?;
        for segment in snapshot.new_segments() {
            transaction.add_segment(&export, segment).await?;
        }
        database.commit(transaction).await?;

        let mut writer = Writer {
            database,
            pen,
            export,
            epoch,
            run: number,
            line: snapshot.line.clone(),
            records: snapshot.records,
            live: snapshot.index.remembered_rows(),
            open: 0,
        };
        // Usually the run before has folded, unless it died. One that fails ends this run: it may have been committed all the same,
        // and then the pages are not where this writer takes them to be.
        writer.fold_if_heavy().await?;
        snapshot.line = writer.line.clone();
        let journal = Journal::start(writer, snapshot.current(), lock);
        Ok(RunLedger { snapshot, journal, accepted: None })
    }
}
