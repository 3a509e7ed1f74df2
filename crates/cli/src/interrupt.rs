//! Ctrl-C and SIGTERM: the first asks the run to stop, the second ends the process.

use std::io;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use segport_engine::Cancel;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::{Exit, Failure};
use crate::output::Output;

/// Watches for signals as long as the process lives.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupt(Arc<AtomicU8>);

impl Interrupt {
    /// Cancels `cancel` at the first signal and ends the process at the second. A thread of its own listens, which nothing that
    /// waits elsewhere can keep from it.
    ///
    /// # Errors
    /// If the operating system takes no handler.
    pub(crate) fn watch(cancel: Cancel) -> Result<Self, Failure> {
        let seen = Self::default();
        let first = seen.clone();
        let (ready, is_ready) = mpsc::sync_channel(1);
        let listen = move || match listener() {
            Ok((runtime, signals)) => {
                ready.send(Ok(())).unwrap_or(());
                runtime.block_on(first.obey(signals, cancel));
            }
            // Whoever waits for it is told.
            Err(failure) => ready.send(Err(failure)).unwrap_or(()),
        };
        spawn("signals", listen).map_err(|error| unheard(&error))?;
        is_ready.recv().map_err(|error| unheard(&error))??;
        Ok(seen)
    }

    async fn obey(self, mut signals: Signals, cancel: Cancel) {
        let exit = signals.next().await;
        self.0.store(exit.number(), Ordering::SeqCst);
        cancel.cancel();
        // Whoever reads standard error may have stopped, and then this takes for ever. If there is no thread for it, it goes unsaid.
        let remark = || Output::remark("stopping: what is under way is finished first; once more to stop at once");
        spawn("remark", remark).map(drop).unwrap_or(());
        let exit = signals.next().await;
        std::process::exit(exit.number().into());
    }

    /// The signal that came, if one did.
    pub(crate) fn seen(&self) -> Option<Exit> {
        let number = self.0.load(Ordering::SeqCst);
        [Exit::Interrupted, Exit::Terminated].into_iter().find(|exit| exit.number() == number)
    }
}

/// The signals, and what their listener runs on.
fn listener() -> Result<(Runtime, Signals), Failure> {
    let runtime = Builder::new_current_thread().enable_io().build().map_err(|error| unheard(&error))?;
    let signals = runtime.block_on(async { Signals::new() })?;
    Ok((runtime, signals))
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).spawn(work)
}

fn unheard(error: &dyn std::error::Error) -> Failure {
    Failure::new(format!("cannot handle signals: {error}"))
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
        let handler = |kind| signal(kind).map_err(|error| unheard(&error));
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
