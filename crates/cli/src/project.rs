//! Opens a project: settings, then only the plugins it names, then everything else.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use segport_engine::{Engine, Parts, load_code};
use segport_host::{LoadError, LoadErrorKind, Plugins, Search};
use segport_ledger::{RunRecord, StateKey, Store};
use segport_manifest::{
    Catalog, Code, Diagnostic, Diagnostics, Loaded, Outline, ProcessEnvironment, Project, Severity, State, StateUrl,
};
use segport_transport::{Egress, Options, Transport};
use tempfile::TempDir;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::exit::Failure;

/// Where `segport.toml` names the key of the state.
const STATE_KEY: &str = "/state/key";
/// Name of the file that pins plugins.
const LOCK_FILE: &str = "segport.lock";

/// The threads that commands with network or plugins run on.
///
/// # Errors
/// If the operating system gives none.
pub(crate) fn runtime() -> Result<Runtime, Failure> {
    // The thread that waits for a command's end runs its main task, so it counts as one.
    let others = std::thread::available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1));
    Builder::new_multi_thread()
        .worker_threads(others)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start the runtime's threads: {error}")))
}

/// Where the plugins of a project are looked for.
fn search(path: Vec<PathBuf>, lock_file: PathBuf) -> Search {
    Search::new(path, lock_file).beside_executable()
}

/// The plugins of the project in `dir`, or those that are installed where there is no project.
#[derive(Debug)]
pub(crate) struct Installation {
    pub(crate) plugins: Plugins,
    /// Where they are looked for.
    pub(crate) directories: Vec<PathBuf>,
    /// Whether there is a project, and so a lock file to keep.
    pub(crate) is_project: bool,
    /// Outside a project what is pinned at first use is forgotten again.
    _scratch: Option<TempDir>,
}

impl Installation {
    /// Finds no plugin yet.
    ///
    /// # Errors
    /// If there is a project whose `segport.toml` is wrong.
    pub(crate) fn find(dir: &Path, runtime: Handle) -> Result<Self, Failure> {
        let (search, is_project, scratch) = match segport_manifest::read_settings(dir) {
            Ok(settings) => (search(settings.plugins.path, dir.join(LOCK_FILE)), true, None),
            Err(findings) if findings.iter().any(|finding| finding.code == Code::NoProject) => {
                let scratch = tempfile::tempdir()
                    .map_err(|error| Failure::new(format!("cannot make a temporary directory: {error}")))?;
                (search(Vec::new(), scratch.path().join(LOCK_FILE)), false, Some(scratch))
            }
            Err(findings) => return Err(findings.into()),
        };
        let directories = search.directories.clone();
        Ok(Self { plugins: Plugins::new(search, runtime), directories, is_project, _scratch: scratch })
    }

    /// The descriptors of all plugins that can be loaded; others are logged.
    ///
    /// # Errors
    /// If the lock file cannot be read.
    pub(crate) fn catalog(&self) -> Result<Catalog, Failure> {
        let installed = self.plugins.installed()?;
        let mut descriptors = Vec::new();
        for id in installed.into_iter().map(|plugin| plugin.id).collect::<BTreeSet<_>>() {
            match self.plugins.load(&id) {
                Ok(plugin) => descriptors.push(plugin.descriptor().clone()),
                Err(error) => tracing::warn!("{error}"),
            }
        }
        Ok(Catalog::new(descriptors))
    }
}

/// A project as far as it could be read.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) plugins: Plugins,
    pub(crate) catalog: Catalog,
    pub(crate) project: Project,
    pub(crate) findings: Diagnostics,
}

/// Reads the project in `dir`, and loads the plugins that its files name.
///
/// # Errors
/// If there is no project; what is wrong with one stands in the findings.
pub(crate) fn read(dir: &Path, runtime: Handle) -> Result<Opened, Failure> {
    let Outline { settings, places_plugins, plugin_ids } = segport_manifest::outline(dir)?;
    let search = search(settings.plugins.path, dir.join(LOCK_FILE));
    let plugins = Plugins::new(if places_plugins { search } else { search.strict() }, runtime);
    let mut descriptors = Vec::new();
    let mut unusable = Vec::new();
    for (id, loaded) in plugin_ids.iter().zip(plugins.load_all(&plugin_ids)) {
        match loaded {
            Ok(plugin) => descriptors.push(plugin.descriptor().clone()),
            Err(error) => unusable.push((id.clone(), error)),
        }
    }
    let catalog = Catalog::new(descriptors).beside(plugins.ids());
    let Loaded { project, diagnostics } = segport_manifest::load(dir, &catalog);
    let findings = if places_plugins { with_load_errors(diagnostics, unusable) } else { diagnostics };
    Ok(Opened { plugins, catalog, project, findings })
}

/// Says of a plugin that is there but cannot be used why not, in place of "there is no such plugin".
fn with_load_errors(findings: Diagnostics, unusable: Vec<(String, LoadError)>) -> Diagnostics {
    let (present, absent): (Vec<_>, Vec<_>) =
        unusable.into_iter().partition(|(_, error)| error.kind() != LoadErrorKind::NotInstalled);
    for (_, error) in absent {
        tracing::info!("{error}");
    }
    let told: Vec<String> = present.iter().map(|(id, _)| format!("`{id}`")).collect();
    let because = |finding: &Diagnostic| {
        finding.code == Code::UnknownPlugin && told.iter().any(|id| finding.message.contains(id.as_str()))
    };
    let mut all = Diagnostics::new();
    for (_, error) in present {
        let message = error.report();
        // What is wrong with the lock file is wrong for every plugin, and told once.
        if all.iter().any(|told| told.message == message) {
            continue;
        }
        let finding = Diagnostic::error(load_code(&error), message);
        all.push(if error.help().is_empty() { finding } else { finding.help(error.help()) });
    }
    all.extend(findings.into_iter().filter(|finding| !because(finding)));
    all
}

/// A project without errors, ready to run.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) engine: Engine,
    pub(crate) catalog: Catalog,
}

impl Opened {
    /// The engine of the project, which must be free of errors.
    ///
    /// # Errors
    /// All findings, if one is an error.
    pub(crate) fn ready(self) -> Result<Ready, Failure> {
        if self.findings.has_errors() { Err(self.findings.into()) } else { Ok(self.into_engine()) }
    }

    /// The engine of what could be made out of the project, to look for more mistakes.
    pub(crate) fn into_engine(self) -> Ready {
        let Self { plugins, catalog, project, findings } = self;
        let in_settings =
            |found: &Diagnostic| found.severity == Severity::Error && found.path() == Some("segport.toml");
        // Which addresses the project allows cannot be told from a file with mistakes; nothing is called while it has any.
        let egress = if project.settings.egress.allow_private || findings.iter().any(in_settings) {
            Egress::AllowPrivate
        } else {
            Egress::PublicOnly
        };
        let transport = transport(&project, egress);
        Ready { engine: Engine::new(Parts { project, plugins, transport }), catalog }
    }
}

/// Opens the project in `dir` to run or plan something.
///
/// # Errors
/// All findings, if one is an error.
pub(crate) fn open(dir: &Path) -> Result<Ready, Failure> {
    read(dir, Handle::current())?.ready()
}

fn transport(project: &Project, egress: Egress) -> Transport {
    let mut options = Options::new(concat!("segport/", env!("CARGO_PKG_VERSION")));
    options.egress = egress;
    options.slots = Some(project.state_dir().join("pace"));
    Transport::new(options)
}

/// The state of a project; made if there is none.
///
/// # Errors
/// If it cannot be opened.
pub(crate) async fn state(dir: &Path, state: &State) -> Result<Store, Failure> {
    let path = state_path(dir, state)?;
    // A state that is there has its key already: another one would not fit it.
    let kept = if Store::exists(&path)? { StateKey::load } else { StateKey::load_or_create };
    let key = state_key(dir, state, kept)?;
    #[cfg(any(debug_assertions, feature = "failpoints"))]
    let store = crate::failpoint::open(&path, &key).await?;
    #[cfg(not(any(debug_assertions, feature = "failpoints")))]
    let store = Store::open(&path, &key).await?;
    Ok(store)
}

/// The state of a project if there is one already; nothing is made.
///
/// # Errors
/// If it cannot be opened or looked for, or was lost with a suppression list.
pub(crate) async fn existing_state(dir: &Path, state: &State) -> Result<Option<Store>, Failure> {
    let path = state_path(dir, state)?;
    if !Store::exists(&path)? {
        return Ok(None);
    }
    match Store::open_existing(&path, &state_key(dir, state, StateKey::load)?).await {
        Ok(store) => Ok(Some(store)),
        Err(segport_ledger::Error::NoState { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn state_path(dir: &Path, state: &State) -> Result<PathBuf, Failure> {
    let url = match &state.url {
        StateUrl::Plain(url) => url.clone(),
        StateUrl::Secret(reference) => secret(reference, dir, "/state/url")?.expose().to_owned(),
    };
    Ok(segport_ledger::sqlite_path(&url, dir)?)
}

/// The key that `segport.toml` names, or the `kept` one of the state's directory.
fn state_key(
    dir: &Path,
    state: &State,
    kept: impl FnOnce(&Path) -> segport_ledger::Result<StateKey>,
) -> Result<StateKey, Failure> {
    match &state.key {
        Some(reference) => {
            let key = StateKey::from_secret(&secret(reference, dir, STATE_KEY)?);
            key.map_err(|error| Diagnostics::from(unusable_key(dir, &error)).into())
        }
        None => Ok(kept(&dir.join(".segport"))?),
    }
}

/// What is wrong with the key that `segport.toml` names, if it can be read at all; makes none.
pub(crate) fn problem_of_state_key(dir: &Path, state: &State) -> Option<Diagnostic> {
    let error = StateKey::from_secret(&secret(state.key.as_ref()?, dir, STATE_KEY).ok()?).err()?;
    Some(unusable_key(dir, &error))
}

fn unusable_key(dir: &Path, error: &segport_ledger::Error) -> Diagnostic {
    let finding = Diagnostic::error(Code::LedgerUnavailable, error.to_string());
    segport_manifest::at_secret_of_settings(dir, finding, STATE_KEY)
}

/// The secret that `segport.toml` names at `pointer`.
fn secret(reference: &segport_manifest::SecretRef, dir: &Path, pointer: &str) -> Result<segport_core::Secret, Failure> {
    reference
        .resolve(dir, &ProcessEnvironment)
        .map_err(|finding| Diagnostics::from(segport_manifest::at_secret_of_settings(dir, *finding, pointer)).into())
}

/// The exports a command is about: those named, or all if none is.
///
/// # Errors
/// If there is none of a name, or none at all.
pub(crate) fn exports(project: &Project, named: &[String]) -> Result<Vec<String>, Failure> {
    let all: Vec<String> = project.exports.keys().cloned().collect();
    if all.is_empty() {
        return Err(Failure::new("this project has no exports")
            .help("make one in `exports/`, such as `exports/newsletter.toml`"));
    }
    if named.is_empty() {
        return Ok(all);
    }
    let mut chosen: Vec<String> = Vec::new();
    for name in named {
        if !project.exports.contains_key(name) {
            return Err(Failure::coded(Code::UnknownExport, format!("there is no export `{name}`"))
                .help(format!("the exports are {}", all.join(", "))));
        }
        if !chosen.contains(name) {
            chosen.push(name.clone());
        }
    }
    Ok(chosen)
}

/// What stands for the newest run.
const LATEST: &str = "latest";

/// The run with this id or beginning of an id, or the newest one as `latest`.
pub(crate) async fn run_named(store: &Store, name: &str) -> Result<RunRecord, segport_ledger::Error> {
    if name == LATEST
        && let Some(newest) = store.runs(None, 1).await?.pop()
    {
        return Ok(newest);
    }
    store.run(name).await
}
