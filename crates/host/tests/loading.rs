//! What is loaded, what is refused, and what the user is told.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test support")]

mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use segport_core::op::ReadHead;
use segport_core::{Error, ErrorKind};
use segport_host::{ConnectorInstance, LoadErrorKind, PinState, Plugins, Search, SourceInstance};
use segport_sdk::test::Script;
use serde_json::Value;
use tokio::runtime::Handle;
use tracing::subscriber::with_default;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{self, Layer, SubscriberExt};
use tracing_subscriber::registry;

use support::{LONG, Project};

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// What `load` says, with the project's directory left out.
fn refusal(project: &Project, plugins: &Plugins, id: &str) -> String {
    let text = plugins.load(id).unwrap_err().to_string();
    text.replace(&project.directory.path().display().to_string(), "P")
}

#[tokio::test]
async fn a_library_that_is_no_good_is_refused_with_the_reason() {
    for (id, reason) in [
        ("wrong_magic", "is no Segport plugin: its table begins with the wrong magic number"),
        ("small", "has a table of 8 bytes where version 1.0 has 80"),
        ("large", "has a table of 88 bytes where version 1.0 has 80"),
        ("older_major", "was built for version 0.0 of the plugin boundary, this host has 1.0"),
        ("newer_major", "was built for version 2.0 of the plugin boundary, this host has 1.0"),
        ("newer_minor", "was built for version 1.1 of the plugin boundary, this host has 1.0"),
        ("no_init", "lacks functions in its table"),
        ("no_describe", "lacks functions in its table"),
        ("no_open", "lacks functions in its table"),
        ("no_submit", "lacks functions in its table"),
        ("no_cancel", "lacks functions in its table"),
        ("no_close", "lacks functions in its table"),
        ("no_set_log_level", "lacks functions in its table"),
        ("no_shutdown", "lacks functions in its table"),
        ("no_table", "gives no table of functions"),
        ("fails_to_start", "cannot be started: it rains"),
        ("fails_in_silence", "plugin `fails_in_silence` answered an error that cannot be read (status: 7)"),
        ("mumbles", "cannot describe itself: its description cannot be read"),
        ("mute", "cannot describe itself: plugin `mute` panicked; this is a defect in the plugin (at: "),
        ("other_name", "cannot describe itself: it says that it is plugin `someone_else`"),
        ("unheard_of", "is no Segport plugin of that name: it has no symbol `segport_plugin_v1_unheard_of`"),
    ] {
        let project = Project::with(&[id]);
        let error = project.load().load(id).unwrap_err();
        assert!(error.report().contains(reason), "{id}: {error}");
        assert_eq!(error.kind(), LoadErrorKind::Unloadable, "{id}");
        assert!(!project.lock_file().exists(), "{id} must not be pinned");
    }
}

#[tokio::test]
async fn a_truncated_library_is_refused_at_any_length() {
    let project = Project::with(&["probe"]);
    let whole = fs::read(project.file("probe")).unwrap();
    for (length, reason) in [
        (0, "is no library for this machine"),
        (3, "is no library for this machine"),
        (64, "is truncated: it ends after 64 bytes"),
        (4096, "is truncated"),
        (whole.len() / 2, "is truncated"),
        (whole.len() - 1, "is truncated"),
    ] {
        fs::write(project.file("probe"), &whole[..length]).unwrap();
        let refusal = refusal(&project, &project.load(), "probe");
        assert!(refusal.contains(&format!("P/plugins/libsegport_probe.so  {reason}")), "{length}: {refusal}");
    }
}

#[tokio::test]
async fn what_the_systems_loader_says_is_passed_on() {
    let project = Project::with(&["probe"]);
    let mut bytes = fs::read(project.file("probe")).unwrap();
    // The entry of the table of segments that says where the dynamic linking information is.
    let dynamic: Vec<usize> = (0..20).map(|index| 64 + 56 * index).filter(|at| bytes[*at] == 2).collect();
    bytes[dynamic[0]] = 0;
    fs::write(project.file("probe"), bytes).unwrap();
    let refusal = refusal(&project, &project.load(), "probe");
    assert!(refusal.contains("libsegport_probe.so  cannot be loaded: object file has no dynamic section"), "{refusal}");
    assert!(!refusal.contains("plugin.so"), "the private copy is nobody's business: {refusal}");
}

#[tokio::test]
async fn every_place_that_was_looked_at_is_named() {
    let project = Project::with(&[]);
    let search = Search::new(vec![project.directory.path().join("nowhere"), project.plugins()], project.lock_file());
    let plugins = Plugins::new(search, Handle::current());
    assert_eq!(
        refusal(&project, &plugins, "probe"),
        "plugin `probe` is not installed\
         \n  looked at  P/nowhere/libsegport_probe.so  no such directory\
         \n  looked at  P/nowhere/probe.so             no such directory\
         \n  looked at  P/plugins/libsegport_probe.so  no such file\
         \n  looked at  P/plugins/probe.so             no such file\
         \nhelp: add its directory to `[plugins] path` in segport.toml, or install it there"
    );
    let error: Error = plugins.load("probe").unwrap_err().into();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.context().len(), 5);
    for id in ["", "../probe", "Probe", "a-b", "1a"] {
        assert!(refusal(&project, &plugins, id).contains("an id is lower-case letters"), "{id}");
    }
}

#[tokio::test]
async fn a_later_directory_is_used_when_an_earlier_one_cannot_be() {
    let (first, second) = (Project::with(&["probe"]), Project::with(&[]));
    fs::rename(first.file("probe"), second.plugins().join("probe.so")).unwrap();
    fs::write(first.file("probe"), "text").unwrap();
    let search = Search::new(vec![first.plugins(), second.plugins()], first.lock_file());
    assert_eq!(Plugins::new(search, Handle::current()).load("probe").unwrap().descriptor().id, "probe");
}

#[tokio::test]
async fn what_everybody_may_write_is_refused() {
    let project = Project::with(&["probe"]);
    set_mode(&project.plugins(), 0o777);
    assert!(refusal(&project, &project.load(), "probe").contains("its directory is writable by everybody"));
    // A link from elsewhere does not hide it, nor does a link to a link.
    let (elsewhere, further) = (Project::with(&[]), Project::with(&[]));
    symlink(project.file("probe"), elsewhere.file("probe")).unwrap();
    assert!(refusal(&elsewhere, &elsewhere.load(), "probe").contains("its directory is writable by everybody"));
    symlink(elsewhere.file("probe"), further.file("probe")).unwrap();
    assert!(refusal(&further, &further.load(), "probe").contains("its directory is writable by everybody"));

    // Who may replace a link chooses the plugin, wherever the link leads to today.
    set_mode(&project.plugins(), 0o755);
    for linking in [&elsewhere, &further] {
        set_mode(&elsewhere.plugins(), 0o777);
        assert!(refusal(linking, &linking.load(), "probe").contains("its directory is writable by everybody"));
        set_mode(&elsewhere.plugins(), 0o755);
        linking.load().load("probe").unwrap();
    }

    // Who may rename a directory on the way can put another in its place.
    let below = project.plugins().join("below");
    fs::create_dir(&below).unwrap();
    fs::copy(project.file("probe"), below.join("probe.so")).unwrap();
    let nested = || Plugins::new(Search::new(vec![below.clone()], project.lock_file()), Handle::current());
    set_mode(&project.plugins(), 0o777);
    assert!(refusal(&project, &nested(), "probe").contains("above it, is writable by everybody"));
    set_mode(&project.plugins(), 0o1777);
    nested().load("probe").unwrap();
    set_mode(&project.plugins(), 0o755);

    set_mode(&project.file("probe"), 0o666);
    assert!(refusal(&project, &project.load(), "probe").contains("is refused: it is writable by everybody"));
    assert!(matches!(&project.load().installed().unwrap()[0].state, PinState::Refused(_)));

    set_mode(&project.file("probe"), 0o664);
    project.load().load("probe").unwrap();
}

#[tokio::test]
async fn the_first_use_pins_and_a_changed_file_is_refused_until_it_is_accepted() {
    let project = Project::with(&["probe"]);
    let plugins = project.load();
    let first = plugins.load("probe").unwrap().sha256().to_owned();
    assert_eq!(fs::metadata(project.lock_file()).unwrap().permissions().mode() & 0o777, 0o644);
    let text = fs::read_to_string(project.lock_file()).unwrap();
    for part in ["id = \"probe\"", "file = \"libsegport_probe.so\"", &first, "version = \""] {
        assert!(text.contains(part), "{part} in {text}");
    }

    // Another build: bytes behind the end of the library that the loader does not look at.
    let mut bytes = fs::read(project.file("probe")).unwrap();
    bytes.extend(b"another build");
    fs::write(project.file("probe"), bytes).unwrap();
    let installed = plugins.installed().unwrap();
    let PinState::Changed { pin, sha256 } = &installed[0].state else { panic!("{installed:?}") };
    assert_eq!(pin.sha256, first);
    let refusal = refusal(&project, &project.load(), "probe");
    for part in [&*first, sha256, "has changed", "help: run `segport connectors lock` to accept it"] {
        assert!(refusal.contains(part), "{part} in {refusal}");
    }

    let accepted = plugins.lock().unwrap();
    assert_eq!(accepted.iter().map(|pin| &*pin.sha256).collect::<Vec<_>>(), [sha256]);
    assert_eq!(plugins.load("probe").unwrap().sha256(), sha256);
    assert!(matches!(&plugins.installed().unwrap()[0].state, PinState::Pinned(pin) if pin.sha256 == *sha256));
}

#[tokio::test]
async fn a_strict_project_loads_what_was_accepted_only() {
    let project = Project::with(&["probe"]);
    let plugins = Plugins::new(project.search().strict(), Handle::current());
    let refusal = refusal(&project, &plugins, "probe");
    assert!(refusal.contains("was not accepted yet"), "{refusal}");
    assert!(refusal.ends_with("help: run `segport connectors lock` to accept it"), "{refusal}");
    assert_eq!(plugins.load("probe").unwrap_err().kind(), LoadErrorKind::NotAccepted);
    plugins.lock().unwrap();
    plugins.load("probe").unwrap();
}

#[tokio::test]
async fn what_is_wrong_can_be_told_without_reading_the_text() {
    type Prepare = fn(&Project);
    let lock: Prepare = |project| drop(project.load().lock().unwrap());
    let cases: [(LoadErrorKind, ErrorKind, &str, &[Prepare]); 8] = [
        (LoadErrorKind::NotInstalled, ErrorKind::NotFound, "add its directory", &[|project| remove(project)]),
        (LoadErrorKind::NotInstalled, ErrorKind::NotFound, "add its directory", &[lock, |project| remove(project)]),
        (
            LoadErrorKind::Unloadable,
            ErrorKind::ConfigInvalid,
            "",
            &[|project| {
                remove(project);
                fs::create_dir(project.file("probe")).unwrap();
            }],
        ),
        (
            LoadErrorKind::Unloadable,
            ErrorKind::ConfigInvalid,
            "",
            &[|project| {
                fs::write(project.file("probe"), "text").unwrap();
            }],
        ),
        (
            LoadErrorKind::Changed,
            ErrorKind::ConfigInvalid,
            "run `segport connectors lock`",
            &[lock, |project| {
                fs::write(project.file("probe"), "text").unwrap();
            }],
        ),
        // Accepting it would not help.
        (
            LoadErrorKind::Unsafe,
            ErrorKind::ConfigInvalid,
            "",
            &[lock, |project| {
                set_mode(&project.file("probe"), 0o666);
            }],
        ),
        (
            LoadErrorKind::LockFile,
            ErrorKind::ConfigInvalid,
            "`segport connectors lock` writes",
            &[|project| {
                fs::write(project.lock_file(), "no pins").unwrap();
            }],
        ),
        // The greatest of several problems counts.
        (
            LoadErrorKind::Unsafe,
            ErrorKind::ConfigInvalid,
            "",
            &[|project| {
                fs::rename(project.file("probe"), project.plugins().join("probe.so")).unwrap();
                set_mode(&project.plugins().join("probe.so"), 0o666);
                fs::write(project.file("probe"), "text").unwrap();
            }],
        ),
    ];
    for (kind, error_kind, help, steps) in cases {
        let project = Project::with(&["probe"]);
        steps.iter().for_each(|step| step(&project));
        let error = project.load().load("probe").unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.help().starts_with(help) && error.help().is_empty() == help.is_empty(), "{error}");
        assert!(error.to_string().starts_with(&error.report()), "{error}");
        assert_eq!(Error::from(error).kind(), error_kind);
    }
}

fn remove(project: &Project) {
    fs::remove_file(project.file("probe")).unwrap();
}

#[tokio::test]
async fn a_lock_file_that_cannot_be_read_stops_loading() {
    let project = Project::with(&["probe"]);
    fs::write(project.lock_file(), "[[plugin]]\nid = 7\n").unwrap();
    let refusal = refusal(&project, &project.load(), "probe");
    assert!(refusal.starts_with("the plugins' lock file cannot be used\n  looked at  P/segport.lock"), "{refusal}");
}

#[tokio::test]
async fn installed_lists_what_is_there_and_what_is_missed() {
    let project = Project::with(&["probe", "counter"]);
    fs::write(project.plugins().join("libother.so"), "").unwrap();
    fs::write(project.plugins().join("readme.txt"), "").unwrap();
    let plugins = project.load();
    plugins.load("probe").unwrap();
    fs::remove_file(project.file("probe")).unwrap();
    let installed = plugins.installed().unwrap();
    let found: Vec<_> = installed.iter().map(|found| &*found.id).collect();
    assert_eq!(found, ["counter", "probe"]);
    assert!(matches!(installed[0].state, PinState::Unpinned(_)));
    assert!(matches!(installed[1].state, PinState::Missing(_)));
}

#[tokio::test]
async fn plugins_that_are_loaded_side_by_side_fail_each_by_itself_and_are_all_pinned() {
    let project = Project::with(&["probe", "counter", "small"]);
    let ids = ["probe", "small", "nowhere", "counter", "Not an id"].map(str::to_owned);
    let plugins = project.load();
    let loaded = plugins.load_all(&ids);
    let seen: Vec<_> =
        loaded.iter().map(|loaded| loaded.as_ref().map_or_else(|_| "-", |it| &it.descriptor().id)).collect();
    assert_eq!(seen, ["probe", "-", "-", "counter", "-"]);
    for (id, loaded) in ids.iter().zip(&loaded) {
        match loaded {
            Ok(plugin) => assert!(Arc::ptr_eq(plugin, &plugins.load(id).unwrap()), "`{id}` is kept"),
            Err(error) => assert_eq!(error.to_string(), plugins.load(id).unwrap_err().to_string()),
        }
    }
    let lock = fs::read_to_string(project.lock_file()).unwrap();
    assert!(["probe", "counter"].iter().all(|id| lock.contains(&format!("id = \"{id}\""))), "{lock}");
    assert!(!lock.contains("small"), "{lock}");
}

#[tokio::test]
async fn the_same_file_is_loaded_once() {
    let project = Project::with(&["probe"]);
    let (first, second) = (project.load().load("probe").unwrap(), project.load().load("probe").unwrap());
    assert!(std::ptr::eq(first.descriptor(), second.descriptor()));
    assert!(!Arc::ptr_eq(&first, &second));
}

#[tokio::test]
async fn a_plugin_that_opens_nothing_is_not_called() {
    let project = Project::with(&["hollow"]);
    let hollow = project.load().load("hollow").unwrap();
    let error = ConnectorInstance::open(&*hollow, Value::Null, Script::new().client()).unwrap_err();
    assert_eq!(error, Error::new(ErrorKind::Contract, "plugin `hollow` cannot be opened: it gave no instance"));
}

#[tokio::test]
async fn a_plugin_may_be_written_in_c() {
    let project = Project::with(&[]);
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let compiled = Command::new("cc")
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-I"])
        .arg(here.join("../abi/include"))
        .arg(here.join("tests/plugins/minimal.c"))
        .arg("-o")
        .arg(project.file("minimal"))
        .status();
    assert!(compiled.unwrap().success());
    let plugin = project.load().load("minimal").unwrap();
    assert_eq!(plugin.descriptor().display_name, "C");
    let source = SourceInstance::open(&*plugin, Value::Null, Script::new().client()).unwrap();
    let error = source.read("", &ReadHead::default(), LONG).await.unwrap_err();
    assert_eq!(error, Error::new(ErrorKind::Unsupported, "there is nothing to read"));
}

/// Holds back each plugin that logs until another one does, too.
#[derive(Clone, Default)]
struct Rendezvous(Arc<(Mutex<Arrivals>, Condvar)>);

#[derive(Default)]
struct Arrivals {
    arrived: usize,
    /// How many did not wait in vain.
    met: usize,
}

impl<S: Subscriber> Layer<S> for Rendezvous {
    fn on_event(&self, event: &Event<'_>, _: layer::Context<'_, S>) {
        if event.metadata().target() != "segport::plugin" {
            return;
        }
        let (arrivals, more) = &*self.0;
        let mut arrivals = arrivals.lock().unwrap();
        arrivals.arrived += 1;
        more.notify_all();
        let (mut arrivals, waited) =
            more.wait_timeout_while(arrivals, Duration::from_secs(30), |arrivals| arrivals.arrived < 2).unwrap();
        arrivals.met += usize::from(!waited.timed_out());
    }
}

#[tokio::test]
async fn plugins_are_loaded_side_by_side() {
    // Their `init` greets through the log.
    let ids = ["greets", "greets_too"];
    let (project, rendezvous) = (Project::with(&ids), Rendezvous::default());
    let plugins = project.load();
    thread::scope(|scope| {
        for id in ids {
            let log = registry().with(rendezvous.clone());
            scope.spawn(|| with_default(log, || plugins.load(id).map(drop)));
        }
    });
    assert_eq!(rendezvous.0.0.lock().unwrap().met, 2);
}
