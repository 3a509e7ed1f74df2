//! The state in one SQLite file: how it is opened, its schema, and what SQLite needs to be told. A transaction that commits is
//! on disk: WAL with `synchronous = FULL`.

mod locks;
mod marks;
mod sql;
mod state_file;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Sqlite as Driver, SqliteConnection, SqlitePool, Transaction};

use crate::access::{Access, Guard, Keeper, Marks, Pen};
use crate::page::Seal;
use crate::sqlite::marks::FileOfMarks;
use crate::sqlite::sql::{Link, SqliteAccess};
use crate::sqlite::state_file::StateFile;
use crate::{Error, Faults, Result, files};

/// Marks a file as a state of Segport (`PRAGMA application_id`): "SegP".
const APPLICATION: i64 = 0x5365_6750;

/// Each brings the schema from the version that is its position to the next one. Append only.
const MIGRATIONS: [&str; 7] = [
    include_str!("../migrations/0001_first.sql"),
    include_str!("../migrations/0002_accepted.sql"),
    include_str!("../migrations/0003_untried.sql"),
    include_str!("../migrations/0004_records.sql"),
    include_str!("../migrations/0005_lists.sql"),
    include_str!("../migrations/0006_accounts.sql"),
    include_str!("../migrations/0007_keys.sql"),
];

/// How long to wait for another process that writes.
const BUSY: Duration = Duration::from_secs(60);

/// Begins a transaction that can write from its first statement on.
const WRITE: &str = "BEGIN IMMEDIATE";

/// The database and its checksums.
#[derive(Debug, Clone)]
pub(crate) struct Sqlite {
    pool: SqlitePool,
    options: SqliteConnectOptions,
    file: StateFile,
    faults: Arc<dyn Faults>,
}

impl Sqlite {
    pub(crate) async fn open(path: &Path, seal: Seal, faults: Arc<dyn Faults>) -> Result<Self> {
        // Before the state itself: another process that is just beginning it leaves its marks last.
        let lost = marks::refuse_lost(path);
        if !is_there(path)? {
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
        if looking.version(&mut looking.own_connection().await?).await? == 0 {
            lost?;
        }

        let options = Self::options(path).journal_mode(SqliteJournalMode::Wal).pragma("page_size", "16384");
        let database = Self::connect(path, options, seal, faults);
        database.migrate().await?;
        Ok(database)
    }

    pub(crate) async fn open_existing(path: &Path, seal: Seal, faults: Arc<dyn Faults>) -> Result<Self> {
        let lost = marks::refuse_lost(path);
        if !Self::exists(path)? {
            return Err(Error::NoState { path: path.to_owned() });
        }
        let database = Self::connect(path, Self::options(path).read_only(true), seal, faults);
        let mut connection = database.acquire().await?;
        let known = MIGRATIONS.len() as i64;
        match database.version(&mut connection).await? {
            0 => {
                lost?;
                Err(Error::NoState { path: path.to_owned() })
            }
            version if version == known => Ok(database),
            found => Err(Error::OlderSchema { path: path.to_owned(), found, known }),
        }
    }

    /// Whether there is a file of a state, and no sign that one was lost.
    pub(crate) fn exists(path: &Path) -> Result<bool> {
        let lost = marks::refuse_lost(path);
        let is_there = is_there(path)?;
        if !is_there {
            lost?;
        }
        Ok(is_there)
    }

    /// Locks what must not be done by two processes at once, such as making the database, until the file is dropped.
    pub(crate) async fn lock_opening(path: &Path) -> Result<File> {
        locks::lock_opening(path).await
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
            // Large states are read for seconds, which is no news to whoever runs an export.
            .disable_statement_logging()
    }

    fn connect(path: &Path, options: SqliteConnectOptions, seal: Seal, faults: Arc<dyn Faults>) -> Self {
        let pool = SqlitePoolOptions::new().max_connections(4).connect_lazy_with(options.clone());
        Self { pool, options, file: StateFile::new(path, seal), faults }
    }

    fn fault(&self, operation: &'static str) -> Result<()> {
        self.faults.before(operation).map_err(|error| Error::io("write the state", self.file.path(), error))
    }

    async fn acquire(&self) -> Result<PoolConnection<Driver>> {
        self.pool.acquire().await.map_err(self.file.failed("open the state"))
    }

    /// A connection outside the pool, for a writer that keeps it.
    async fn own_connection(&self) -> Result<SqliteConnection> {
        SqliteConnection::connect_with(&self.options).await.map_err(self.file.failed("open the state"))
    }

    // ---- the schema ----

    async fn version(&self, connection: &mut SqliteConnection) -> Result<i64> {
        let failed = self.file.failed("read the version of the state");
        let version: i64 =
            sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await.map_err(&failed)?;
        let application: i64 =
            sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await.map_err(&failed)?;
        let tables: i64 =
            sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(connection).await.map_err(&failed)?;
        if application != APPLICATION && (version, application, tables) != (0, 0, 0) {
            return Err(self.file.damaged("it is a database of another program"));
        }
        let known = MIGRATIONS.len() as i64;
        if version > known {
            return Err(Error::NewerSchema { path: self.file.path().to_owned(), found: version, known });
        }
        Ok(version)
    }

    async fn migrate(&self) -> Result<()> {
        let mut connection = self.acquire().await?;
        if self.version(&mut connection).await? == MIGRATIONS.len() as i64 {
            return Ok(());
        }
        self.fault("migrate")?;
        let failed = self.file.failed("bring the state up to date");
        let mut transaction = connection.begin_with(WRITE).await.map_err(&failed)?;
        let version = usize::try_from(self.version(&mut transaction).await?).unwrap_or(0);
        for migration in MIGRATIONS.iter().skip(version) {
            sqlx::raw_sql(*migration).execute(&mut *transaction).await.map_err(&failed)?;
        }
        let marks = format!("PRAGMA user_version = {}; PRAGMA application_id = {APPLICATION}", MIGRATIONS.len());
        sqlx::raw_sql(sqlx::AssertSqlSafe(marks)).execute(&mut *transaction).await.map_err(&failed)?;
        self.fault("commit")?;
        transaction.commit().await.map_err(self.file.failed("commit"))?;
        self.fault("acknowledge")
    }
}

/// What cannot be looked for is not missing.
fn is_there(path: &Path) -> Result<bool> {
    path.try_exists().map_err(|error| Error::io("look for the state", path, error))
}

#[async_trait]
impl Keeper for Sqlite {
    async fn look(&self) -> Result<Box<dyn Access>> {
        let link = Link::Pooled(self.acquire().await?);
        Ok(Box::new(SqliteAccess { file: self.file.clone(), link }))
    }

    async fn view(&self) -> Result<Box<dyn Access>> {
        let transaction = self.pool.begin().await.map_err(self.file.failed("read the state"))?;
        Ok(Box::new(SqliteAccess { file: self.file.clone(), link: Link::Transaction(transaction) }))
    }

    async fn write(&self) -> Result<Box<dyn Access>> {
        let transaction = self.pool.begin_with(WRITE).await.map_err(self.file.failed("write the state"))?;
        Ok(Box::new(SqliteAccess { file: self.file.clone(), link: Link::Transaction(transaction) }))
    }

    async fn pen(&self) -> Result<Box<dyn Pen>> {
        Ok(Box::new(SqlitePen { file: self.file.clone(), connection: self.own_connection().await? }))
    }

    fn lock(&self, export: &str) -> Result<Option<Guard>> {
        locks::lock(self.file.path(), export)
    }

    fn is_held(&self, export: &str) -> Result<bool> {
        locks::is_held(self.file.path(), export)
    }

    /// Brings what stands in SQLite's log into the file of the state. That one file is then all there is to copy, and a damage
    /// of it shows, while SQLite takes a damaged log for one that was cut off. What is in the way, such as somebody who reads or
    /// a full disk, is left as it is: the log then stays until a later time.
    async fn gather(&self) {
        let gathered = async {
            // A connection of its own, since it waits for nobody.
            let mut connection = Self::options(self.file.path()).busy_timeout(Duration::ZERO).connect().await?;
            sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await?;
            connection.close().await
        };
        if let Err(error) = gathered.await.map_err(self.file.failed("gather the state in one file")) {
            tracing::debug!(%error, "part of the state stays in SQLite's log");
        }
    }

    fn marks(&self) -> Result<Box<dyn Marks>> {
        Ok(Box::new(FileOfMarks::open(self.file.path())?))
    }
}

/// A writer's own connection.
#[derive(Debug)]
struct SqlitePen {
    file: StateFile,
    connection: SqliteConnection,
}

#[async_trait]
impl Pen for SqlitePen {
    async fn write(&mut self) -> Result<Box<dyn Access + '_>> {
        let Self { file, connection } = self;
        let transaction: Transaction<'_, Driver> =
            connection.begin_with(WRITE).await.map_err(file.failed("write the state"))?;
        Ok(Box::new(SqliteAccess { file: file.clone(), link: Link::Transaction(transaction) }))
    }
}
