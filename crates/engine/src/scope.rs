//! Which rows a run considers.

use segport_ledger::{Result, RunStatus, Snapshot, Store, Undelivered};

/// Which rows a run considers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Those that the destination has not acknowledged as they are.
    Changes,
    /// All of them.
    Full,
    /// Of those that are not acknowledged, just the ones that the runs with these ids failed to deliver, deferred, or left unknown.
    Only(Vec<String>),
}

impl Scope {
    /// What is left undone: *refused*, *deferred* or *unknown*.
    const UNDONE: [Undelivered; 3] = [Undelivered::Refused, Undelivered::Deferred, Undelivered::Unknown];

    /// The same if its runs ended. One that died wrote no list of what it left undone; that is whatever is not acknowledged.
    ///
    /// # Errors
    /// If there is no such run, or the database fails.
    pub(crate) async fn of_ended(self, store: &Store) -> Result<Self> {
        for run in self.runs() {
            if !matches!(store.run(run).await?.status, RunStatus::Ended(_)) {
                return Ok(Self::Changes);
            }
        }
        Ok(self)
    }

    /// Tells a snapshot which rows it is asked about, before anything is read. Of an old run nobody knows any more what it left
    /// undone; that is whatever is not acknowledged then. It may have become an old one when this run began.
    ///
    /// Nothing that was acknowledged counts where all rows are to be sent.
    pub(crate) async fn asked(self, store: &Store, snapshot: &mut Snapshot) -> Result<Self> {
        for run in self.runs() {
            if !store.keeps_rows(run).await? {
                return Ok(Self::Changes);
            }
        }
        for run in self.runs() {
            snapshot.ask_about(run, &Self::UNDONE).await?;
        }
        if matches!(self, Self::Full) {
            snapshot.index.renew();
        }
        Ok(self)
    }

    /// The runs whose rows are the only ones; none if all are considered.
    pub(crate) fn runs(&self) -> &[String] {
        match self {
            Self::Only(runs) => runs,
            Self::Changes | Self::Full => &[],
        }
    }
}
