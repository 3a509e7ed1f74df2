//! Asking runs to end.

use tokio::sync::watch;

/// Cancels runs; clones share it.
#[derive(Debug, Clone)]
pub struct Cancel(watch::Sender<bool>);

impl Default for Cancel {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Cancel {
    /// One that is not cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks every run that has it to end: calls under way may end within seconds, the rest is deferred.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }

    /// Whether it was cancelled.
    pub fn is_cancelled(&self) -> bool {
        *self.0.borrow()
    }

    /// Resolves once it is cancelled.
    pub async fn cancelled(&self) {
        // The sender is `self`, so waiting ends only with the value that is waited for.
        self.0.subscribe().wait_for(|is_cancelled| *is_cancelled).await.ok();
    }
}
