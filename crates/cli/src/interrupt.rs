//! Ctrl-C and SIGTERM: the first asks the run to stop, the second ends the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use segport_engine::Cancel;
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::{Exit, Failure};
use crate::output::Output;

/// Watches for signals as long as the process lives.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupt(Arc<AtomicU8>);

impl Interrupt {
    /// Cancels `cancel` at the first signal and ends the process at the second.
    ///
    /// # Errors
    /// If the operating system takes no handler.
    pub(crate) fn watch(cancel: Cancel) -> Result<Self, Failure> {
        let mut signals = Signals::new()?;
        let seen = Self::default();
        let first = seen.clone();
        tokio::spawn(async move {
            let exit = signals.next().await;
            first.0.store(exit.number(), Ordering::SeqCst);
            cancel.cancel();
            Output::remark("stopping: what is under way is finished first; once more to stop at once");
            let exit = signals.next().await;
            std::process::exit(exit.number().into());
        });
        Ok(seen)
    }

    /// The signal that came, if one did.
    pub(crate) fn seen(&self) -> Option<Exit> {
        let number = self.0.load(Ordering::SeqCst);
        [Exit::Interrupted, Exit::Terminated].into_iter().find(|exit| exit.number() == number)
    }
}

/// SIGINT and SIGTERM.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    /// Takes the two signals over. Needs a runtime.
    ///
    /// # Errors
    /// If the operating system takes no handler.
    pub(crate) fn new() -> Result<Self, Failure> {
        let handler = |kind| signal(kind).map_err(|error| Failure::new(format!("cannot handle signals: {error}")));
        Ok(Self { interrupt: handler(SignalKind::interrupt())?, terminate: handler(SignalKind::terminate())? })
    }

    /// The next one.
    pub(crate) async fn next(&mut self) -> Exit {
        tokio::select! {
            _ = self.interrupt.recv() => Exit::Interrupted,
            _ = self.terminate.recv() => Exit::Terminated,
        }
    }
}
