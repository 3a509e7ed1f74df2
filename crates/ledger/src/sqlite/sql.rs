//! All SQL but that of the schema.

use std::collections::HashSet;

use async_trait::async_trait;
use futures::stream::{BoxStream, StreamExt};
use jiff::Timestamp;
use sqlx::pool::PoolConnection;
use sqlx::{Sqlite as Driver, SqliteConnection, Transaction};

use crate::access::{
    AcceptedLine, Access, AccountLine, ExportLine, ListLine, RUNS_WITH_ROWS, SegmentLine, UntriedPage,
};
use crate::codec::LEAST_BYTES;
use crate::page::{Page, PageKind};
use crate::sqlite::state_file::StateFile;
use crate::{Error, Identity, Result, RunEnd, RunRecord};

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

/// The table `each` of the identities that stand one after the other in the first parameter.
macro_rules! each_identity {
    () => {
        "WITH RECURSIVE place (start) AS
           (SELECT 1 WHERE length($1) > 0 UNION ALL SELECT start + 16 FROM place WHERE start + 16 < length($1)),
         each (identity) AS (SELECT substr($1, start, 16) FROM place) "
    };
}

/// Entries of the suppression list that one answer of the database has.
const SUPPRESSED_AT_ONCE: i64 = 10_000;

/// A way to the database.
pub(crate) enum Link<'c> {
    Pooled(PoolConnection<Driver>),
    Transaction(Transaction<'c, Driver>),
}

/// The database through one connection, or in one transaction.
pub(crate) struct SqliteAccess<'c> {
    pub(crate) file: StateFile,
    pub(crate) link: Link<'c>,
}

impl SqliteAccess<'_> {
    /// The connection, and who says what was tried when SQLite says no.
    fn parts(&mut self) -> (&mut SqliteConnection, &StateFile) {
        let connection = match &mut self.link {
            Link::Pooled(connection) => &mut **connection,
            Link::Transaction(transaction) => &mut **transaction,
        };
        (connection, &self.file)
    }
}

#[async_trait]
impl Access for SqliteAccess<'_> {
    async fn commit(self: Box<Self>) -> Result<()> {
        let Self { file, link } = *self;
        match link {
            Link::Transaction(transaction) => transaction.commit().await.map_err(file.failed("commit")),
            Link::Pooled(_) => Ok(()),
        }
    }

    async fn fact(&mut self, name: &str) -> Result<Option<String>> {
        let (connection, file) = self.parts();
        sqlx::query_scalar("SELECT value FROM meta WHERE name = $1")
            .bind(name)
            .fetch_optional(connection)
            .await
            .map_err(file.failed("read the state"))
    }

    async fn set_fact(&mut self, name: &str, value: &str) -> Result<()> {
        let (connection, file) = self.parts();
        sqlx::query("INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(name)
            .bind(value)
            .execute(connection)
            .await
            .map(|_| ())
            .map_err(file.failed("write the state"))
    }

    async fn take_lease(&mut self, export: &str, holder: &str) -> Result<i64> {
        let (connection, file) = self.parts();
        sqlx::query_scalar(
            "INSERT INTO lease (export, epoch, holder, generation, first_page, next_page) VALUES ($1, 1, $2, 0, 1, 1)
             ON CONFLICT (export) DO UPDATE SET epoch = lease.epoch + 1, holder = excluded.holder RETURNING epoch",
        )
        .bind(export)
        .bind(holder)
        .fetch_one(connection)
        .await
        .map_err(file.failed("take the lease"))
    }

    async fn export(&mut self, export: &str) -> Result<Option<ExportLine>> {
        let (connection, file) = self.parts();
        sqlx::query_as("SELECT holder, generation, first_page, next_page FROM lease WHERE export = $1")
            .bind(export)
            .fetch_optional(connection)
            .await
            .map_err(file.failed("read the lease"))
    }

    async fn advance(&mut self, export: &str, epoch: i64, to: &ExportLine) -> Result<bool> {
        let (connection, file) = self.parts();
        sqlx::query(
            "UPDATE lease SET generation = $1, first_page = $2, next_page = $3 WHERE export = $4 AND epoch = $5",
        )
        .bind(to.generation)
        .bind(to.first_page)
        .bind(to.next_page)
        .bind(export)
        .bind(epoch)
        .execute(connection)
        .await
        .map(|moved| moved.rows_affected() == 1)
        .map_err(file.failed("write the state"))
    }

    async fn segments(&mut self, export: &str) -> Result<Vec<SegmentLine>> {
        let (connection, file) = self.parts();
        sqlx::query_as("SELECT number, from_page, id FROM segment WHERE export = $1 ORDER BY from_page, number")
            .bind(export)
            .fetch_all(connection)
            .await
            .map_err(file.failed("read the segments"))
    }

    async fn add_segment(&mut self, export: &str, segment: &SegmentLine) -> Result<()> {
        let (connection, file) = self.parts();
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
        .map_err(file.failed("write the segments"))
    }

    async fn accepted(&mut self, export: &str) -> Result<Vec<AcceptedLine>> {
        let (connection, file) = self.parts();
        sqlx::query_as("SELECT segment, rows FROM accepted WHERE export = $1")
            .bind(export)
            .fetch_all(connection)
            .await
            .map_err(file.failed("read the segments"))
    }

    async fn accept(&mut self, export: &str, accepted: &[AcceptedLine]) -> Result<()> {
        let (connection, file) = self.parts();
        let failed = file.failed("write the segments");
        sqlx::query("DELETE FROM accepted WHERE export = $1")
            .bind(export)
            .execute(&mut *connection)
            .await
            .map_err(&failed)?;
        for AcceptedLine { segment, rows } in accepted {
            sqlx::query("INSERT INTO accepted (export, segment, rows) VALUES ($1, $2, $3)")
                .bind(export)
                .bind(segment)
                .bind(rows)
                .execute(&mut *connection)
                .await
                .map_err(&failed)?;
        }
        Ok(())
    }

    async fn lists(&mut self, export: &str) -> Result<Vec<ListLine>> {
        let (connection, file) = self.parts();
        sqlx::query_as("SELECT segment, id FROM list WHERE export = $1")
            .bind(export)
            .fetch_all(connection)
            .await
            .map_err(file.failed("read the lists"))
    }

    async fn put_list(&mut self, export: &str, ListLine { segment, id }: &ListLine) -> Result<()> {
        let (connection, file) = self.parts();
        sqlx::query(
            "INSERT INTO list (export, segment, id) VALUES ($1, $2, $3)
             ON CONFLICT (export, segment) DO UPDATE SET id = excluded.id",
        )
        .bind(export)
        .bind(segment)
        .bind(id)
        .execute(connection)
        .await
        .map(|_| ())
        .map_err(file.failed("write the lists"))
    }

    async fn accounts(&mut self, export: &str) -> Result<Vec<AccountLine>> {
        let (connection, file) = self.parts();
        sqlx::query_as("SELECT place, id FROM account WHERE export = $1")
            .bind(export)
            .fetch_all(connection)
            .await
            .map_err(file.failed("read the accounts"))
    }

    async fn put_account(&mut self, export: &str, AccountLine { place, id }: &AccountLine) -> Result<()> {
        let (connection, file) = self.parts();
        sqlx::query(
            "INSERT INTO account (export, place, id) VALUES ($1, $2, $3)
             ON CONFLICT (export, place) DO UPDATE SET id = excluded.id",
        )
        .bind(export)
        .bind(place)
        .bind(id)
        .execute(connection)
        .await
        .map(|_| ())
        .map_err(file.failed("write the accounts"))
    }

    async fn add_run(&mut self, export: &str, epoch: i64, run_id: &str, started_at: Timestamp) -> Result<i64> {
        let (connection, file) = self.parts();
        let failed = file.failed("begin the run");
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

    async fn end_run(&mut self, run: i64, end: RunEnd, finished_at: Timestamp, report: &str) -> Result<()> {
        let (connection, file) = self.parts();
        sqlx::query("UPDATE run SET status = $1, finished_at = $2, report = $3 WHERE number = $4")
            .bind(end.as_str())
            .bind(finished_at.to_string())
            .bind(report)
            .bind(run)
            .execute(connection)
            .await
            .map(|_| ())
            .map_err(file.failed("end the run"))
    }

    async fn prune(&mut self, export: &str, first_page: i64) -> Result<()> {
        let (connection, file) = self.parts();
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
        .map_err(file.failed("delete old history"))
    }

    async fn runs_with_rows(&mut self, export: &str) -> Result<Vec<(i64, bool)>> {
        let (connection, file) = self.parts();
        sqlx::query_as(
            "SELECT number, status NOT IN ('running', 'interrupted') FROM run WHERE export = $1 ORDER BY number DESC LIMIT $2",
        )
        .bind(export)
        .bind(RUNS_WITH_ROWS)
        .fetch_all(connection)
        .await
        .map_err(file.failed("read the runs"))
    }

    async fn runs(&mut self, export: Option<&str>, limit: u32) -> Result<Vec<RunRecord>> {
        let (connection, file) = self.parts();
        let rows = sqlx::query(select_runs!("WHERE $1 IS NULL OR export = $1 ORDER BY number DESC LIMIT $2"))
            .bind(export)
            .bind(limit)
            .fetch_all(connection)
            .await
            .map_err(file.failed("read the runs"))?;
        rows.iter().map(|row| file.run_record(row).map(|(_, run)| run)).collect()
    }

    async fn runs_like(&mut self, prefix: &str) -> Result<Vec<(i64, RunRecord)>> {
        let (connection, file) = self.parts();
        let rows =
            sqlx::query(select_runs!("WHERE substr(run_id, 1, length($1)) = $1 ORDER BY run_id <> $1, number LIMIT 2"))
                .bind(prefix)
                .fetch_all(connection)
                .await
                .map_err(file.failed("read the runs"))?;
        let mut runs = rows.iter().map(|row| file.run_record(row)).collect::<Result<Vec<_>>>()?;
        if runs.first().is_some_and(|(_, run)| run.run_id == prefix) {
            runs.truncate(1);
        }
        Ok(runs)
    }

    async fn put_page(&mut self, export: &str, epoch: i64, page: &Page<Vec<u8>>) -> Result<()> {
        let (connection, file) = self.parts();
        sqlx::query(
            "INSERT INTO page (export, number, run, epoch, kind, rows, checksum, body)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (export, number) DO UPDATE SET
               run = excluded.run, epoch = excluded.epoch, kind = excluded.kind, rows = excluded.rows, checksum = excluded.checksum, body = excluded.body",
        )
        .bind(export)
        .bind(page.number)
        .bind(page.run)
        .bind(epoch)
        .bind(page.kind)
        .bind(page.rows)
        .bind(file.checksum(export, page))
        .bind(&page.body)
        .execute(connection)
        .await
        .map(|_| ())
        .map_err(file.failed("write a page"))
    }

    async fn delete_page(&mut self, export: &str, number: i64) -> Result<()> {
        let (connection, file) = self.parts();
        sqlx::query("DELETE FROM page WHERE export = $1 AND number = $2")
            .bind(export)
            .bind(number)
            .execute(connection)
            .await
            .map(|_| ())
            .map_err(file.failed("delete a page"))
    }

    fn pages<'a>(&'a mut self, export: &'a str, first: i64, end: i64) -> BoxStream<'a, Result<Page<Vec<u8>>>> {
        let (connection, file) = self.parts();
        sqlx::query(
            "SELECT number, run, kind, rows, checksum, CASE kind WHEN $4 THEN NULL ELSE body END FROM page
             WHERE export = $1 AND number >= $2 AND number < $3 ORDER BY number",
        )
        .bind(export)
        .bind(first)
        .bind(end)
        .bind(PageKind::Untried.number())
        .fetch(connection)
        .map(move |row| file.page(export, &row.map_err(file.failed("read a page"))?))
        .boxed()
    }

    async fn page_at(&mut self, export: &str, number: i64) -> Result<Option<Page<Vec<u8>>>> {
        let (connection, file) = self.parts();
        let row =
            sqlx::query("SELECT number, run, kind, rows, checksum, body FROM page WHERE export = $1 AND number = $2")
                .bind(export)
                .bind(number)
                .fetch_optional(connection)
                .await
                .map_err(file.failed("read a page"))?;
        row.map(|row| file.page(export, &row)).transpose()
    }

    async fn page_of_run(&mut self, export: &str, run: i64, after: i64) -> Result<Option<Page<Vec<u8>>>> {
        let (connection, file) = self.parts();
        let row = sqlx::query(
            "SELECT number, run, kind, rows, checksum, body FROM page
             WHERE run = $1 AND number > $2 AND kind <> $3 ORDER BY number LIMIT 1",
        )
        .bind(run)
        .bind(after)
        .bind(PageKind::Base.number())
        .fetch_optional(connection)
        .await
        .map_err(file.failed("read a page"))?;
        row.map(|row| file.page(export, &row)).transpose()
    }

    async fn old_pages(&mut self, export: &str, first: i64) -> Result<Vec<i64>> {
        let (connection, file) = self.parts();
        sqlx::query_scalar(
            "SELECT number FROM page WHERE export = $1 AND number < $2 AND kind NOT IN ($3, $4) ORDER BY number",
        )
        .bind(export)
        .bind(first)
        .bind(PageKind::History.number())
        .bind(PageKind::Untried.number())
        .fetch_all(connection)
        .await
        .map_err(file.failed("read the pages"))
    }

    async fn untried(&mut self, export: &str) -> Result<Vec<UntriedPage>> {
        let (connection, file) = self.parts();
        // The kind is written out, as in the index that finds these pages.
        sqlx::query_as(
            "SELECT number, run, rows FROM page WHERE export = $1 AND kind = 5 AND rows > 0 ORDER BY number DESC",
        )
        .bind(export)
        .fetch_all(connection)
        .await
        .map_err(file.failed("delete old history"))
    }

    async fn has_emptied(&mut self, run: i64) -> Result<bool> {
        let (connection, file) = self.parts();
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM page WHERE run = $1 AND kind = $2 AND rows = 0)")
            .bind(run)
            .bind(PageKind::Untried.number())
            .fetch_one(connection)
            .await
            .map_err(file.failed("read the pages"))
    }

    async fn intents_of_run(&mut self, run: i64) -> Result<Vec<(i64, i64)>> {
        let (connection, file) = self.parts();
        sqlx::query_as("SELECT number, rows FROM page WHERE run = $1 AND kind = $2 AND rows > 0 ORDER BY number")
            .bind(run)
            .bind(PageKind::Intents.number())
            .fetch_all(connection)
            .await
            .map_err(file.failed("empty the pages of intents"))
    }

    async fn estimated_rows(&mut self, export: &str, first: i64, end: i64) -> Result<u64> {
        let (connection, file) = self.parts();
        // Grouped at once, every body would be sorted with its run, through a file beside the state.
        let rows: i64 = sqlx::query_scalar(
            "WITH sized AS MATERIALIZED (SELECT run, min(rows, length(body) / $6) AS records FROM page
               WHERE export = $1 AND number >= $2 AND number < $3 AND kind IN ($4, $5))
             SELECT coalesce(max(records), 0) FROM (SELECT sum(records) AS records FROM sized GROUP BY run)",
        )
        .bind(export)
        .bind(first)
        .bind(end)
        .bind(PageKind::Log.number())
        .bind(PageKind::Base.number())
        .bind(LEAST_BYTES)
        .fetch_one(connection)
        .await
        .map_err(file.failed("read the pages"))?;
        Ok(rows.unsigned_abs())
    }

    async fn suppressed(&mut self) -> Result<HashSet<Identity>> {
        let count = usize::try_from(self.suppressed_count().await?).unwrap_or(usize::MAX);
        let (connection, file) = self.parts();
        let damaged = || file.damaged("an entry of the suppression list is cut short");
        let (mut suppressed, mut last) = (HashSet::with_capacity(count), Vec::new());
        loop {
            // A row of an answer costs a hundred times what an entry of the list does, so many of them share one.
            let (digits, greatest, are_whole): (Option<String>, Option<Vec<u8>>, bool) = sqlx::query_as(
                "SELECT group_concat(hex(identity), ''), max(identity), total(length(identity) <> 16) = 0
                 FROM (SELECT identity FROM suppression WHERE identity > $1 ORDER BY identity LIMIT $2)",
            )
            .bind(last)
            .bind(SUPPRESSED_AT_ONCE)
            .fetch_one(&mut *connection)
            .await
            .map_err(file.failed("read the suppression list"))?;
            let (Some(digits), Some(greatest), true) = (digits, greatest, are_whole) else { break };
            suppressed.extend(identities(&digits).ok_or_else(damaged)?);
            last = greatest;
        }
        if suppressed.len() == count { Ok(suppressed) } else { Err(damaged()) }
    }

    async fn is_suppressed(&mut self, identity: Identity) -> Result<bool> {
        let (connection, file) = self.parts();
        sqlx::query_scalar("SELECT count(*) > 0 FROM suppression WHERE identity = $1")
            .bind(bytes(identity))
            .fetch_one(connection)
            .await
            .map_err(file.failed("read the suppression list"))
    }

    async fn suppressed_count(&mut self) -> Result<u64> {
        let (connection, file) = self.parts();
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM suppression")
            .fetch_one(connection)
            .await
            .map_err(file.failed("read the suppression list"))?;
        Ok(count.unsigned_abs())
    }

    async fn suppress(&mut self, identities: &[Identity], at: Timestamp) -> Result<u64> {
        let (connection, file) = self.parts();
        sqlx::query(concat!(
            each_identity!(),
            "INSERT INTO suppression (identity, added_at) SELECT identity, $2 FROM each WHERE true ON CONFLICT DO NOTHING"
        ))
        .bind(sorted(identities))
        .bind(at.to_string())
        .execute(connection)
        .await
        .map(|done| done.rows_affected())
        .map_err(file.failed("write the suppression list"))
    }

    async fn unsuppress(&mut self, identities: &[Identity]) -> Result<u64> {
        let (connection, file) = self.parts();
        sqlx::query(concat!(each_identity!(), "DELETE FROM suppression WHERE identity IN (SELECT identity FROM each)"))
            .bind(sorted(identities))
            .execute(connection)
            .await
            .map(|done| done.rows_affected())
            .map_err(file.failed("write the suppression list"))
    }
}

fn bytes(identity: Identity) -> Vec<u8> {
    identity.bits().to_le_bytes().to_vec()
}

/// Many identities as one value, in the order in which the database keeps them, so that it goes through its pages once.
fn sorted(identities: &[Identity]) -> Vec<u8> {
    let mut sorted: Vec<[u8; 16]> = identities.iter().map(|identity| identity.bits().to_le_bytes()).collect();
    sorted.sort_unstable();
    sorted.into_flattened()
}

/// The identities that stand one after the other in hexadecimal digits; `None` if these are not such.
fn identities(digits: &str) -> Option<Vec<Identity>> {
    let (each, rest) = digits.as_bytes().as_chunks::<32>();
    let identity = |digits: &[u8; 32]| {
        let bits = u128::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        Some(Identity::from_bits(bits.swap_bytes()))
    };
    if rest.is_empty() { each.iter().map(identity).collect() } else { None }
}
