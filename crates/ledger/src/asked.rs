//! Which rows a run is asked about.

use crate::codec::Stored;
use crate::{Error, Identity, Index, Result, Snapshot, Undelivered};

impl Snapshot {
    /// Marks the rows, and the leavers, that ended so in an earlier run of this export ([`Index::is_asked`]). To be called before
    /// anything is read; takes room in the index only for those of them that are neither held nor read.
    ///
    /// # Errors
    /// [`Error::NoRun`], or if a page is damaged or cannot be read.
    pub async fn ask_about(&mut self, run_id: &str, outcomes: &[Undelivered]) -> Result<()> {
        let Self { index, database, export, .. } = self;
        let found = database.runs_like(run_id).await?.into_iter().find(|(_, run)| run.run_id == run_id);
        let (run, _) = found.ok_or_else(|| Error::NoRun { run: run_id.to_owned() })?;
        let mut last_page = 0;
        while let Some(page) = database.look().await?.page_of_run(export, run, last_page).await? {
            last_page = page.number;
            let mut asked: Vec<Identity> = Vec::new();
            for record in page.records() {
                let record = record.map_err(|_| database.unreadable(export, page.number))?;
                if let Stored::Row(row) | Stored::Stayed(row) = record
                    && outcomes.contains(&row.outcome)
                {
                    asked.extend(row.identity);
                }
            }
            for ahead in asked.chunks(Index::AHEAD) {
                index.warm(ahead);
                ahead.iter().try_for_each(|identity| index.ask(*identity))?;
            }
        }
        Ok(())
    }
}
