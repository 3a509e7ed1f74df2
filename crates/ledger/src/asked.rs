//! Which rows a run is asked about.

use crate::codec::Stored;
use crate::{Identity, Index, Result, Snapshot, Undelivered};

impl Snapshot {
    /// Marks the rows, and the leavers, that ended so in an earlier run of this export ([`Index::is_asked`]). To be called before
    /// anything is read; takes room in the index only for those of them that are neither held nor read.
    ///
    /// # Errors
    /// [`Error::NoRun`](crate::Error::NoRun), or if a page is damaged or cannot be read.
    pub async fn ask_about(&mut self, run_id: &str, outcomes: &[Undelivered]) -> Result<()> {
        let Self { index, database, export, .. } = self;
        let (run, _) = database.run(run_id).await?;
        let mut last_page = 0;
        while let Some(page) = database.keeper.look().await?.page_of_run(export, run, last_page).await? {
            last_page = page.number;
            let mut asked: Vec<Identity> = Vec::new();
            for record in page.records() {
                let record = record.map_err(|_| database.unreadable(export, page.number))?;
                if let Stored::Row(row) | Stored::Stayed(row) = record
                    && outcomes.contains(&row.outcome)
                {
                    asked.extend(row.whose.identity());
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
