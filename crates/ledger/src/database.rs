//! All SQL but that of pages and of the suppression list, and what SQLite needs to be told. A transaction that commits is on
//! disk: WAL with `synchronous = FULL`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous};
use sqlx::{Connection, Row as _, Sqlite, SqliteConnection, SqlitePool, Transaction};

use crate::error::primary_code;
use crate::page::Seal;
use crate::{Error, Faults, Folding, Result, RunEnd, RunRecord, RunStatus, files};

/// Marks a file as a state of Segport (`PRAGMA application_id`): "SegP".
const APPLICATION: i64 = 0x5365_6750;

/// Each brings the schema from the version that is its position to the next one. Append only.
const MIGRATIONS: [&str; 1] = [include_str!("../migrations/0001_first.sql")];

/// How long to wait for another process that writes.
const BUSY: Duration = Duration::from_secs(60);

/// How many runs of an export keep their rows.
const RUNS_WITH_ROWS: i64 = 50;

/// Runs as they stand. One that began with an earlier lease than the newest is over, whatever is written down.
macro_rules! select_runs {
    ($which:literal) => {
        concat!(
            "SELECT number, run_id, export,
             CASE WHEN status = 'running' AND epoch < (SELECT epoch FROM lease WHERE lease.export = run.export)
               THEN 'interrupted' ELSE status END,
             started_at, finished_at, report FROM run ",
            $which
        )
    };
}

/// The line of an export in the table of leases.
#[derive(Debug, Clone, Default, sqlx::FromRow)]
pub(crate) struct ExportLine {
    pub(crate) holder: String,
    pub(crate) generation: i64,
    pub(crate) first_page: i64,
    pub(crate) next_page: i64,
}

/// What a segment number means from a page on.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct SegmentLine {
    pub(crate) number: i64,
    pub(crate) from_page: i64,
    pub(crate) id: String,
}

/// The database, its checksums and its faults.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    pub(crate) pool: SqlitePool,
    options: SqliteConnectOptions,
    path: Arc<Path>,
    pub(crate) seal: Seal,
    faults: Arc<dyn Faults>,
    pub(crate) folding: Folding,
}

impl Database {
    pub(crate) async fn open(path: &Path, seal: Seal, faults: Arc<dyn Faults>) -> Result<Self> {
        let missing = !path.exists();
        if missing {
            faults.before("create_state").map_err(|error| Error::io("create the state", path, error))?;
            // SQLite gives its own files the mode of this one.
            match files::create_private(path) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(Error::io("create the state", path, error));
                }
                _ => {}
            }
            let directory = path.parent().unwrap_or(Path::new("."));
            files::sync_directory(directory).map_err(|error| Error::io("create the state", path, error))?;
        }
        // Looked at before the first write, so that a database of another program is left as it is.
        let looking = Self::connect(path, Self::options(path), seal.clone(), faults.clone());
        looking.version(&mut looking.own_connection().await?).await?;

        let options = Self::options(path).journal_mode(SqliteJournalMode::Wal).pragma("page_size", "16384");
        let database = Self::connect(path, options, seal, faults);
        database.migrate().await?;
        Ok(database)
    }

    pub(crate) async fn open_existing(path: &Path, seal: Seal, faults: Arc<dyn Faults>) -> Result<Self> {
        if !path.exists() {
            return Err(Error::NoState { path: path.to_owned() });
        }
        let database = Self::connect(path, Self::options(path).read_only(true), seal, faults);
        let mut connection = database.acquire().await?;
        match database.version(&mut connection).await? {
            0 => Err(Error::NoState { path: path.to_owned() }),
            version if version == MIGRATIONS.len() as i64 => Ok(database),
            version => {
                Err(Error::damaged(path, format!("its version is {version}, `segport run` brings it up to date")))
            }
        }
    }

    fn options(path: &Path) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(path)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY)
            .foreign_keys(false)
            .pragma("trusted_schema", "OFF")
            .pragma("cell_size_check", "ON")
            .pragma("fullfsync", "ON")
            .pragma("checkpoint_fullfsync", "ON")
            .pragma("wal_autocheckpoint", "2000")
            .pragma("journal_size_limit", "67108864")
            // A row may be a whole page: read ahead by a few, not by dozens.
            .row_buffer_size(3)
    }

    fn connect(path: &Path, options: SqliteConnectOptions, seal: Seal, faults: Arc<dyn Faults>) -> Self {
        let pool = SqlitePoolOptions::new().max_connections(4).connect_lazy_with(options.clone());
        Self { pool, options, path: path.into(), seal, faults, folding: Folding::default() }
    }

    /// Says what was tried when SQLite says no.
    pub(crate) fn failed(&self, action: &'static str) -> impl Fn(sqlx::Error) -> Error {
        let path: PathBuf = self.path.to_path_buf();
        move |error| match primary_code(&error) {
            Some(11 | 26) => Error::damaged(&path, format!("{action} failed: {error}")),
            _ => Error::Database { action, path: path.clone(), source: Arc::new(error) },
        }
    }

    pub(crate) fn fault(&self, operation: &'static str) -> Result<()> {
        self.faults.before(operation).map_err(|error| Error::io("write the state", &self.path, error))
    }

    pub(crate) fn damaged(&self, problem: impl Into<String>) -> Error {
        Error::damaged(&self.path, problem)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) async fn acquire(&self) -> Result<sqlx::pool::PoolConnection<Sqlite>> {
        self.pool.acquire().await.map_err(self.failed("open the state"))
    }

    /// A connection outside the pool, for a writer that keeps it.
    pub(crate) async fn own_connection(&self) -> Result<SqliteConnection> {
        SqliteConnection::connect_with(&self.options).await.map_err(self.failed("open the state"))
    }

    /// A view that does not change while it is read.
    pub(crate) async fn view(&self) -> Result<Transaction<'static, Sqlite>> {
        self.pool.begin().await.map_err(self.failed("read the state"))
    }

    /// A transaction that can write from its first statement on.
    pub(crate) async fn write<'c>(&self, connection: &'c mut SqliteConnection) -> Result<Transaction<'c, Sqlite>> {
        connection.begin_with("BEGIN IMMEDIATE").await.map_err(self.failed("write the state"))
    }

    pub(crate) async fn commit(&self, transaction: Transaction<'_, Sqlite>) -> Result<()> {
        self.fault("commit")?;
        transaction.commit().await.map_err(self.failed("commit"))?;
        self.fault("acknowledge")
    }

    /// Brings what stands in SQLite's log into the file of the state. That one file is then all there is to copy, and a damage
    /// of it shows, while SQLite takes a damaged log for one that was cut off. What is in the way, such as somebody who reads or
    /// a full disk, is left as it is: the log then stays until a later time.
    pub(crate) async fn gather(&self, connection: &mut SqliteConnection) {
        let patience = |time: Duration| format!("PRAGMA busy_timeout = {}", time.as_millis());
        for step in [patience(Duration::ZERO), "PRAGMA wal_checkpoint(TRUNCATE)".to_owned(), patience(BUSY)] {
            let done = sqlx::raw_sql(sqlx::AssertSqlSafe(step)).execute(&mut *connection).await;
            if let Err(error) = done.map_err(self.failed("gather the state in one file")) {
                tracing::debug!(%error, "part of the state stays in SQLite's log");
            }
        }
    }

    // ---- the schema ----

    async fn version(&self, connection: &mut SqliteConnection) -> Result<i64> {
        let failed = self.failed("read the version of the state");
        let version: i64 =
            sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await.map_err(&failed)?;
        let application: i64 =
            sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await.map_err(&failed)?;
        let tables: i64 =
            sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(connection).await.map_err(&failed)?;
        if application != APPLICATION && (version, application, tables) != (0, 0, 0) {
            return Err(self.damaged("it is a database of another program"));
        }
        let known = MIGRATIONS.len() as i64;
        if version > known {
            return Err(Error::NewerSchema { path: self.path.to_path_buf(), found: version, known });
        }
        Ok(version)
    }

    async fn migrate(&self) -> Result<()> {
        let mut connection = self.acquire().await?;
        if self.version(&mut connection).await? == MIGRATIONS.len() as i64 {
            return Ok(());
        }
        self.fault("migrate")?;
        let failed = self.failed("bring the state up to date");
        let mut transaction = self.write(&mut connection).await?;
        let version = usize::try_from(self.version(&mut transaction).await?).unwrap_or(0);
        for migration in MIGRATIONS.iter().skip(version) {
            sqlx::raw_sql(*migration).execute(&mut *transaction).await.map_err(&failed)?;
        }
        let marks = format!("PRAGMA user_version = {}; PRAGMA application_id = {APPLICATION}", MIGRATIONS.len());
        sqlx::raw_sql(sqlx::AssertSqlSafe(marks)).execute(&mut *transaction).await.map_err(&failed)?;
        self.commit(transaction).await
    }

    /// Reads a fact, or sets it to `first` if it has no value.
    pub(crate) async fn fact_or(&self, name: &str, first: &str) -> Result<String> {
        if let Some(value) = self.fact(name).await? {
            return Ok(value);
        }
        let mut connection = self.acquire().await?;
        let mut transaction = self.write(&mut connection).await?;
        sqlx::query("INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(name)
            .bind(first)
            .execute(&mut *transaction)
            .await
            .map_err(self.failed("write the state"))?;
        self.commit(transaction).await?;
        Ok(self.fact(name).await?.unwrap_or_default())
    }

    pub(crate) async fn fact(&self, name: &str) -> Result<Option<String>> {
        sqlx::query_scalar("SELECT value FROM meta WHERE name = $1")
            .bind(name)
            .fetch_optional(&self.pool)
            .await
            .map_err(self.failed("read the state"))
    }

    // ---- exports and segments ----

    /// Counts the epoch of an export up and returns it.
    pub(crate) async fn take_lease(&self, export: &str, holder: &str) -> Result<i64> {
        self.fault("take_lease")?;
        let mut connection = self.acquire().await?;
        let mut transaction = self.write(&mut connection).await?;
        let epoch = sqlx::query_scalar(
            "INSERT INTO lease (export, epoch, holder, generation, first_page, next_page) VALUES ($1, 1, $2, 0, 1, 1)
             ON CONFLICT (export) DO UPDATE SET epoch = lease.epoch + 1, holder = excluded.holder RETURNING epoch",
        )
        .bind(export)
        .bind(holder)
        .fetch_one(&mut *transaction)
        .await
        .map_err(self.failed("take the lease"))?;
        self.commit(transaction).await?;
        Ok(epoch)
    }

    pub(crate) async fn export(&self, connection: &mut SqliteConnection, export: &str) -> Result<Option<ExportLine>> {
        sqlx::query_as("SELECT holder, generation, first_page, next_page FROM lease WHERE export = $1")
            .bind(export)
            .fetch_optional(connection)
            .await
            .map_err(self.failed("read the lease"))
    }

    /// Moves the pages of an export on, if the epoch is still the caller's.
    pub(crate) async fn advance(
        &self,
        connection: &mut SqliteConnection,
        export: &str,
        epoch: i64,
        to: &ExportLine,
    ) -> Result<()> {
        let moved = sqlx::query(
            "UPDATE lease SET generation = $1, first_page = $2, next_page = $3 WHERE export = $4 AND epoch = $5",
        )
        .bind(to.generation)
        .bind(to.first_page)
        .bind(to.next_page)
        .bind(export)
        .bind(epoch)
        .execute(connection)
        .await
        .map_err(self.failed("write the state"))?;
        if moved.rows_affected() == 1 { Ok(()) } else { Err(Error::LeaseLost { export: export.to_owned() }) }
    }

    /// Every meaning that the export's segment numbers ever had, oldest first.
    pub(crate) async fn segments(&self, connection: &mut SqliteConnection, export: &str) -> Result<Vec<SegmentLine>> {
        sqlx::query_as("SELECT number, from_page, id FROM segment WHERE export = $1 ORDER BY from_page, number")
            .bind(export)
            .fetch_all(connection)
            .await
            .map_err(self.failed("read the segments"))
    }

    pub(crate) async fn add_segment(
        &self,
        connection: &mut SqliteConnection,
        export: &str,
        segment: &SegmentLine,
    ) -> Result<()> {
        sqlx::query(
            "INSERT INTO segment (export, number, from_page, id) VALUES ($1, $2, $3, $4)
             ON CONFLICT (export, number, from_page) DO UPDATE SET id = excluded.id",
        )
        .bind(export)
        .bind(segment.number)
        .bind(segment.from_page)
        .bind(&segment.id)
        .execute(connection)
        .await
        .map(|_| ())
        .map_err(self.failed("write the segments"))
    }

    // ---- runs ----

    /// Writes down that a run begins, and that those before it are over. Returns the run's number.
    pub(crate) async fn add_run(
        &self,
        connection: &mut SqliteConnection,
        export: &str,
        epoch: i64,
        run_id: &str,
        started_at: Timestamp,
    ) -> Result<i64> {
        let failed = self.failed("begin the run");
        sqlx::query("UPDATE run SET status = 'interrupted' WHERE export = $1 AND status = 'running'")
            .bind(export)
            .execute(&mut *connection)
            .await
            .map_err(&failed)?;
        let number = sqlx::query_scalar(
            "INSERT INTO run (run_id, export, epoch, started_at, status) VALUES ($1, $2, $3, $4, 'running')
             ON CONFLICT (run_id) DO NOTHING RETURNING number",
        )
        .bind(run_id)
        .bind(export)
        .bind(epoch)
        .bind(started_at.to_string())
        .fetch_optional(connection)
        .await
        .map_err(&failed)?;
        number.ok_or_else(|| Error::RunExists { run: run_id.to_owned() })
    }

    /// Writes down that a run ended.
    pub(crate) async fn end_run(
        &self,
        connection: &mut SqliteConnection,
        run: i64,
        end: RunEnd,
        finished_at: Timestamp,
        report: &str,
    ) -> Result<()> {
        sqlx::query("UPDATE run SET status = $1, finished_at = $2, report = $3 WHERE number = $4")
            .bind(end.as_str())
            .bind(finished_at.to_string())
            .bind(report)
            .bind(run)
            .execute(connection)
            .await
            .map(|_| ())
            .map_err(self.failed("end the run"))
    }

    /// Deletes what is kept of the rows of all but the newest runs.
    pub(crate) async fn prune(&self, connection: &mut SqliteConnection, export: &str, first_page: i64) -> Result<()> {
        sqlx::query(
            "DELETE FROM page WHERE export = $1 AND number < $2
             AND run < (SELECT min(number) FROM (SELECT number FROM run WHERE export = $1 ORDER BY number DESC LIMIT $3))",
        )
        .bind(export)
        .bind(first_page)
        .bind(RUNS_WITH_ROWS)
        .execute(connection)
        .await
        .map(|_| ())
        .map_err(self.failed("delete old history"))
    }

    /// The runs of an export that ended, among those with rows: (number, whether it ended).
    pub(crate) async fn runs_with_rows(
        &self,
        connection: &mut SqliteConnection,
        export: &str,
    ) -> Result<Vec<(i64, bool)>> {
        sqlx::query_as(
            "SELECT number, status NOT IN ('running', 'interrupted') FROM run WHERE export = $1 ORDER BY number DESC LIMIT $2",
        )
        .bind(export)
        .bind(RUNS_WITH_ROWS)
        .fetch_all(connection)
        .await
        .map_err(self.failed("read the runs"))
    }

    pub(crate) async fn runs(&self, export: Option<&str>, limit: u32) -> Result<Vec<RunRecord>> {
        let rows = sqlx::query(select_runs!("WHERE $1 IS NULL OR export = $1 ORDER BY number DESC LIMIT $2"))
            .bind(export)
            .bind(limit)
            .fetch_all(&self.pool)
            .await
            .map_err(self.failed("read the runs"))?;
        rows.iter().map(|row| self.run_record(row).map(|(_, run)| run)).collect()
    }

    /// The runs whose id starts with `prefix`, at most two, an exact match alone.
    pub(crate) async fn runs_like(&self, prefix: &str) -> Result<Vec<(i64, RunRecord)>> {
        let rows =
            sqlx::query(select_runs!("WHERE substr(run_id, 1, length($1)) = $1 ORDER BY run_id <> $1, number LIMIT 2"))
                .bind(prefix)
                .fetch_all(&self.pool)
                .await
                .map_err(self.failed("read the runs"))?;
        let mut runs = rows.iter().map(|row| self.run_record(row)).collect::<Result<Vec<_>>>()?;
        if runs.first().is_some_and(|(_, run)| run.run_id == prefix) {
            runs.truncate(1);
        }
        Ok(runs)
    }

    fn run_record(&self, row: &SqliteRow) -> Result<(i64, RunRecord)> {
        let failed = self.failed("read the runs");
        let text = |column| row.try_get::<String, usize>(column).map_err(&failed);
        let optional = |column| row.try_get::<Option<String>, usize>(column).map_err(&failed);
        let time = |text: String| {
            text.parse::<Timestamp>().map_err(|_| self.damaged(format!("`{text}` stands where a time should be")))
        };
        let status = text(3)?;
        let run = RunRecord {
            run_id: text(1)?,
            export: text(2)?,
            status: RunStatus::parse(&status)
                .ok_or_else(|| self.damaged(format!("a run has the unknown status `{status}`")))?,
            started_at: time(text(4)?)?,
            finished_at: optional(5)?.map(time).transpose()?,
            report: optional(6)?,
        };
        Ok((row.try_get(0).map_err(&failed)?, run))
    }
}
