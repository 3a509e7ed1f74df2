//! Finds, verifies, loads and drives plugins.
//!
//! [`Plugins`] looks for a plugin's library, checks who may write to it and that it is the one that `segport.lock` pins, and
//! loads a private copy. A loaded [`Plugin`] is opened as a [`ConnectorInstance`] or a [`SourceInstance`], whose methods
//! are those of the traits in `segport_core`. Dropping a future cancels the call in the plugin.

#![deny(missing_docs)]

mod connector;
mod copy;
mod elf;
mod error;
mod library;
mod lock;
mod log;
#[cfg(feature = "native")]
mod native;
mod plugin;
mod plugins;
mod search;
mod services;
mod source;

pub use connector::{ConnectorInstance, Writer};
pub use error::{Attempt, LoadError, LoadErrorKind};
pub use lock::Pin;
#[cfg(feature = "native")]
pub use native::Native;
pub use plugin::{Instance, Plugin};
pub use plugins::{Installed, PinState, Plugins};
pub use search::{Search, Unpinned};
pub use source::SourceInstance;
