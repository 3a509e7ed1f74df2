//! The threads of a plugin.

use std::sync::{Mutex, PoisonError};

use segport_core::{Error, ErrorKind, Result};
use tokio::runtime::{Builder, Handle, Runtime};

/// Threads that a plugin may use for blocking work, such as reading files.
const BLOCKING_THREADS: usize = 8;

/// The threads that all instances of a plugin share.
#[derive(Debug)]
pub(crate) struct Threads {
    /// Id of the plugin.
    plugin: &'static str,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    NotStarted,
    Running(Runtime),
    Stopped,
}

impl Threads {
    /// None yet.
    pub(crate) const fn of(plugin: &'static str) -> Self {
        Self { plugin, state: Mutex::new(State::NotStarted) }
    }

    /// Id of the plugin.
    pub(crate) fn plugin(&self) -> &'static str {
        self.plugin
    }

    /// The plugin's runtime, started by the first call.
    pub(crate) fn runtime(&self) -> Result<Handle> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::NotStarted = *state {
            *state = State::Running(start(self.plugin)?);
        }
        match &*state {
            State::Running(runtime) => Ok(runtime.handle().clone()),
            _ => Err(Error::new(ErrorKind::Cancelled, format!("plugin `{}` was shut down", self.plugin))),
        }
    }

    /// Ends them, without waiting for what they do.
    pub(crate) fn stop(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Running(runtime) = std::mem::replace(&mut *state, State::Stopped) {
            drop(state);
            runtime.shutdown_background();
        }
    }
}

fn start(id: &str) -> Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_name(format!("segport-{id}"))
        .enable_all()
        .build()
        .map_err(|error| {
            Error::new(ErrorKind::Unavailable, format!("plugin `{id}` could not start its threads")).because(&error)
        })
}
