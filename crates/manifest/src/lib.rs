//! From TOML files to a validated project.
//!
//! [`outline`] reads `segport.toml` and finds out which plugins a project needs. With their descriptors in a [`Catalog`],
//! [`load`] reads everything, validates each file against its JSON schema (extended by the plugin's own) and checks what a
//! schema cannot say; [`check_columns`] and [`check_secrets`] look at what lies outside the files. Where no plugin is needed,
//! [`read_settings`] is enough. Every problem is a [`Diagnostic`] with a stable [`Code`] that points at the bytes of the
//! file.
//!
//! ```no_run
//! use std::path::Path;
//! use segport_manifest::{Catalog, Style, load, outline};
//!
//! let dir = Path::new(".");
//! let outline = outline(dir)?;
//! // Load the plugins `outline.plugin_ids` from `outline.settings.plugins.path`, and take their descriptors.
//! let catalog = Catalog::new(Vec::new());
//! let loaded = load(dir, &catalog);
//! eprint!("{}", loaded.diagnostics.render(Style::Coloured));
//! # Ok::<(), segport_manifest::Diagnostics>(())
//! ```

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod catalog;
mod codes;
mod columns;
mod consent;
mod diagnostic;
mod document;
mod export;
mod file;
mod file_kind;
mod files;
mod findings;
mod hash;
mod load;
mod mask;
mod place;
mod pointer;
mod project;
mod raw;
mod render;
mod resolve;
mod schedule;
mod schema;
mod secret;
mod secrets;
mod suggest;
mod validate;
mod walk;

pub use catalog::Catalog;
pub use codes::{Code, explain};
pub use columns::{check_columns, destinations};
pub use consent::{EditError, write_consent};
pub use diagnostic::{Diagnostic, Diagnostics, FileText, Location, Severity};
pub use hash::config_hash;
pub use load::{Loaded, at_secret_of_settings, load, outline, read_settings};
pub use project::{
    BadThreshold, Connection, Consent, Egress, Export, FieldMapping, Guards, Leavers, Outline, Plugins, Project, Role,
    Schedule, Segment, Settings, Source, State, StateUrl, Threshold, Transform, WhenNull,
};
pub use render::Style;
pub use schema::schemas;
pub use secret::{Environment, NotAReference, ProcessEnvironment, SecretRef};
pub use secrets::{check_secrets, resolve_secrets};
