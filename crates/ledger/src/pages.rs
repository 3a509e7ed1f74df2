//! The SQL of pages.

use futures::stream::{BoxStream, StreamExt};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use crate::database::Database;
use crate::page::{Page, PageKind};
use crate::{Error, Result};

impl Database {
    pub(crate) async fn add_page(
        &self,
        connection: &mut SqliteConnection,
        export: &str,
        epoch: i64,
        page: &Page<Vec<u8>>,
    ) -> Result<()> {
        self.fault("append_page")?;
        sqlx::query(
            "INSERT INTO page (export, number, run, epoch, kind, rows, checksum, body)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (export, number) DO UPDATE SET
               kind = excluded.kind, rows = excluded.rows, checksum = excluded.checksum, body = excluded.body",
        )
        .bind(export)
        .bind(page.number)
        .bind(page.run)
        .bind(epoch)
        .bind(page.kind)
        .bind(page.rows)
        .bind(self.seal.checksum(export, page))
        .bind(&page.body)
        .execute(connection)
        .await
        .map(|_| ())
        .map_err(self.failed("write a page"))
    }

    pub(crate) async fn delete_page(&self, connection: &mut SqliteConnection, export: &str, number: i64) -> Result<()> {
        sqlx::query("DELETE FROM page WHERE export = $1 AND number = $2")
            .bind(export)
            .bind(number)
            .execute(connection)
            .await
            .map(|_| ())
            .map_err(self.failed("delete a page"))
    }

    /// The pages from `first` up to, not including, `end`, in order and without gaps.
    pub(crate) fn pages<'a>(
        &'a self,
        connection: &'a mut SqliteConnection,
        export: &'a str,
        first: i64,
        end: i64,
    ) -> BoxStream<'a, Result<Page<Vec<u8>>>> {
        let rows = sqlx::query(
            "SELECT number, run, kind, rows, checksum, body FROM page
             WHERE export = $1 AND number >= $2 AND number < $3 ORDER BY number",
        )
        .bind(export)
        .bind(first)
        .bind(end)
        .fetch(connection);
        let mut expected = first;
        let pages = rows.map(Some).chain(futures::stream::iter([None])).map(move |row| {
            let Some(row) = row else {
                return if expected < end { Err(self.missing(export, expected)) } else { Ok(None) };
            };
            let page = self.page(export, &row.map_err(self.failed("read a page"))?)?;
            if page.number != expected {
                return Err(self.missing(export, expected));
            }
            expected += 1;
            Ok(Some(page))
        });
        pages.filter_map(|page| std::future::ready(page.transpose())).boxed()
    }

    /// One page; `None` if there is none with that number.
    pub(crate) async fn page_at(&self, export: &str, number: i64) -> Result<Option<Page<Vec<u8>>>> {
        let row =
            sqlx::query("SELECT number, run, kind, rows, checksum, body FROM page WHERE export = $1 AND number = $2")
                .bind(export)
                .bind(number)
                .fetch_optional(&self.pool)
                .await
                .map_err(self.failed("read a page"))?;
        row.map(|row| self.page(export, &row)).transpose()
    }

    /// The next page that a run wrote, after the one with that number.
    pub(crate) async fn page_of_run(&self, export: &str, run: i64, after: i64) -> Result<Option<Page<Vec<u8>>>> {
        let row = sqlx::query(
            "SELECT number, run, kind, rows, checksum, body FROM page
             WHERE run = $1 AND number > $2 AND kind <> $3 ORDER BY number LIMIT 1",
        )
        .bind(run)
        .bind(after)
        .bind(PageKind::Base.number())
        .fetch_optional(&self.pool)
        .await
        .map_err(self.failed("read a page"))?;
        row.map(|row| self.page(export, &row)).transpose()
    }

    pub(crate) fn missing(&self, export: &str, number: i64) -> Error {
        self.damaged(format!("page {number} of export `{export}` is missing"))
    }

    pub(crate) fn unreadable(&self, export: &str, number: i64) -> Error {
        self.damaged(format!("page {number} of export `{export}` does not hold what was written to it"))
    }

    fn page(&self, export: &str, row: &SqliteRow) -> Result<Page<Vec<u8>>> {
        let failed = self.failed("read a page");
        let page = Page {
            number: row.try_get(0).map_err(&failed)?,
            run: row.try_get(1).map_err(&failed)?,
            kind: row.try_get(2).map_err(&failed)?,
            rows: row.try_get(3).map_err(&failed)?,
            body: row.try_get(5).map_err(&failed)?,
        };
        let checksum: i64 = row.try_get(4).map_err(&failed)?;
        if self.seal.checksum(export, &page) == checksum { Ok(page) } else { Err(self.unreadable(export, page.number)) }
    }

    /// Empties the pages of a run that hold nothing but intents, once every one of them has been carried out; returns how many
    /// records they held.
    pub(crate) async fn empty_intents(
        &self,
        connection: &mut SqliteConnection,
        export: &str,
        epoch: i64,
        run: i64,
    ) -> Result<u64> {
        let failed = self.failed("empty the pages of intents");
        let pages: Vec<(i64, i64)> =
            sqlx::query_as("SELECT number, rows FROM page WHERE run = $1 AND kind = $2 AND rows > 0 ORDER BY number")
                .bind(run)
                .bind(PageKind::Intents.number())
                .fetch_all(&mut *connection)
                .await
                .map_err(&failed)?;
        let mut records = 0;
        for (number, rows) in pages {
            let page = Page { number, run, kind: PageKind::Intents.number(), rows: 0, body: Vec::new() };
            self.add_page(connection, export, epoch, &page).await?;
            records += rows.unsigned_abs();
        }
        Ok(records)
    }

    /// About how many rows the pages from `first` on amount to: each row of a log page, and in folded pages each record.
    pub(crate) async fn estimated_rows(
        &self,
        connection: &mut SqliteConnection,
        export: &str,
        first: i64,
    ) -> Result<u64> {
        let rows: i64 = sqlx::query_scalar(
            "SELECT coalesce(sum(rows), 0) FROM page WHERE export = $1 AND number >= $2 AND kind IN ($3, $4)",
        )
        .bind(export)
        .bind(first)
        .bind(PageKind::Log.number())
        .bind(PageKind::Base.number())
        .fetch_one(connection)
        .await
        .map_err(self.failed("read the pages"))?;
        Ok(rows.unsigned_abs())
    }
}
