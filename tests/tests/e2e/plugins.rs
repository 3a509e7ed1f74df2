//! Plugins as files: found, pinned, refused.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use segport_tests::{Ended, Scene, Segport, installation, people};
use tempfile::TempDir;

/// An installation of its own, whose files a test may change.
struct Copy(TempDir);

impl Copy {
    fn new() -> Self {
        let copy = TempDir::new().unwrap();
        for file in ["segport", "libsegport_autopilot.so", "libsegport_files.so"] {
            fs::copy(installation().join(file), copy.path().join(file)).unwrap();
        }
        Self(copy)
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    /// Changes a plugin without breaking it: what follows the last section of a library is not looked at.
    fn change(&self, plugin: &str) {
        File::options().append(true).open(self.file(plugin)).unwrap().write_all(b"changed").unwrap();
    }

    fn call(&self, scene: &Scene, words: &str) -> Ended {
        let words = words.split_whitespace();
        Segport::of(&self.file("segport"), scene.dir(), self.0.path())
            .args(words)
            .env("AUTOPILOT_API_KEY", segport_tests::KEY)
            .run()
    }
}

/// SHA-256 as `connectors list` tells it.
fn hash(copy: &Copy, scene: &Scene, id: &str) -> String {
    let listed = copy.call(scene, "connectors list --output json");
    let plugins = listed.exits(0).objects();
    let plugin = plugins.iter().find(|plugin| plugin["id"] == id).unwrap_or_else(|| panic!("{listed}"));
    plugin["sha256"].as_str().unwrap().to_owned()
}

#[test]
fn plugins_are_listed_and_described() {
    let scene = Scene::new(&people(1..=3));
    let listed = scene.call("connectors list --output json");
    let ids: Vec<String> =
        listed.exits(0).objects().iter().map(|plugin| plugin["id"].as_str().unwrap().to_owned()).collect();
    assert!(ids.contains(&"autopilot".to_owned()) && ids.contains(&"files".to_owned()), "{listed}");
    scene.call("connectors list").exits(0).prints("autopilot").prints("files");
    let shown = scene.call("connectors show autopilot");
    for word in ["email", "first_name", "required", "requests_per_second", "100,000"] {
        shown.exits(0).prints(word);
    }
    scene.call("connectors show files").exits(0).prints("segment source").prints("null_values");
    scene.call("connectors show nothing").exits(2).says("nothing");
}

#[test]
fn a_plugin_is_pinned_at_its_first_use() {
    let (scene, copy) = (Scene::new(&people(1..=3)), Copy::new());
    copy.call(&scene, "connectors verify").exits(0);
    copy.call(&scene, "run").exits(0);
    let lock = scene.read("segport.lock");
    for id in ["autopilot", "files"] {
        assert!(lock.contains(&hash(&copy, &scene, id)), "{lock}");
    }
    copy.call(&scene, "connectors verify").exits(0).prints("accepted");
    copy.call(&scene, "run").exits(0);
    assert_eq!(scene.read("segport.lock"), lock);
}

#[test]
fn a_plugin_that_changed_is_refused_until_it_is_accepted() {
    let (scene, copy) = (Scene::new(&people(1..=3)), Copy::new());
    copy.call(&scene, "connectors lock").exits(0).prints("accepted autopilot");
    let before = hash(&copy, &scene, "autopilot");
    copy.change("libsegport_autopilot.so");
    let after = hash(&copy, &scene, "autopilot");
    assert_ne!(before, after);
    copy.call(&scene, "connectors verify").exits(1).prints("changed").prints(&before);
    for words in ["run", "plan", "connect autopilot"] {
        let refused = copy.call(&scene, words);
        refused.exits(2).says("SP0404").says(&before).says(&after).says("segport connectors lock");
    }
    copy.call(&scene, "check").exits(1).prints("SP0404");
    assert_eq!(scene.requests(), 0);

    copy.call(&scene, "connectors lock").exits(0);
    copy.call(&scene, "connectors verify").exits(0);
    copy.call(&scene, "run").exits(0);
    scene.has_contacts(&people(1..=3));
}

/// The copy that comes first in the order is the one that counts, whatever lies further on.
#[test]
fn a_plugin_that_somebody_touched_is_not_passed_over_for_another_copy() {
    let (scene, copy) = (Scene::new(&people(1..=3)), Copy::new());
    let first = scene.path("plugins");
    let file = first.join("libsegport_autopilot.so");
    fs::create_dir(&first).unwrap();
    fs::copy(copy.file("libsegport_autopilot.so"), &file).unwrap();
    scene.edit("segport.toml", "[project]", "[plugins]\npath = [\"plugins\"]\n\n[project]");
    copy.call(&scene, "plan").exits(0);
    fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
    copy.call(&scene, "plan").exits(2).says("SP0405");
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    File::options().append(true).open(&file).unwrap().write_all(b"changed").unwrap();
    copy.call(&scene, "plan").exits(2).says("SP0404").says("segport connectors lock");
    fs::remove_file(&file).unwrap();
    copy.call(&scene, "plan").exits(0);
}

#[test]
fn a_directory_that_everybody_can_write_to_is_refused() {
    let (scene, copy) = (Scene::new(&people(1..=3)), Copy::new());
    let set = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    set(copy.0.path(), 0o777);
    copy.call(&scene, "run").exits(2).says("SP0405").says("writable by everybody");
    copy.call(&scene, "connectors verify").exits(1).prints("see above why a file is not loaded at all");
    set(copy.0.path(), 0o755);
    set(&copy.file("libsegport_autopilot.so"), 0o666);
    copy.call(&scene, "run").exits(2).says("SP0405");
    assert_eq!(scene.requests(), 0);
    set(&copy.file("libsegport_autopilot.so"), 0o644);
    copy.call(&scene, "run").exits(0);
}

#[test]
fn a_file_that_is_no_plugin_is_refused() {
    for text in ["", "not a library", "\u{7f}ELF"] {
        let (scene, copy) = (Scene::new(&people(1..=3)), Copy::new());
        fs::write(copy.file("libsegport_autopilot.so"), text).unwrap();
        copy.call(&scene, "run").exits(2).says("SP0406").says("libsegport_autopilot.so");
        fs::remove_file(copy.file("libsegport_autopilot.so")).unwrap();
        copy.call(&scene, "run").exits(2).says("SP0401");
    }
}

#[test]
fn plugins_are_found_where_the_project_says() {
    let (scene, copy) = (Scene::new(&people(1..=3)), Copy::new());
    for file in ["libsegport_autopilot.so", "libsegport_files.so"] {
        fs::create_dir_all(scene.path("plugins")).unwrap();
        fs::rename(copy.file(file), scene.path("plugins").join(file)).unwrap();
    }
    copy.call(&scene, "run").exits(2);
    scene.write("segport.toml", format!("{}\n[plugins]\npath = [\"plugins\"]\n", scene.read("segport.toml")));
    copy.call(&scene, "run").exits(0);
}

#[test]
fn a_directory_that_cannot_be_listed_is_named() {
    let scene = Scene::new(&people(1..=3));
    scene.write("segport.toml", format!("{}\n[plugins]\npath = [\"plugins\"]\n", scene.read("segport.toml")));
    fs::create_dir(scene.path("plugins")).unwrap();
    for (mode, exit, told) in [(0o311, 1, 1), (0o755, 0, 0)] {
        fs::set_permissions(scene.path("plugins"), Permissions::from_mode(mode)).unwrap();
        for words in ["connectors list", "connectors list --output json", "connectors verify"] {
            let ended = scene.unprivileged(words).run();
            let said = ended.stderr.matches("plugins cannot be listed: Permission denied (os error 13)").count();
            assert_eq!((ended.code(), said), (exit, told), "{words}: {ended}");
        }
    }
}

#[test]
fn what_was_accepted_stays_so_where_it_cannot_be_listed() {
    let (scene, copy) = (Scene::new(&people(1..=3)), Copy::new());
    scene.write("segport.toml", format!("{}\n[plugins]\npath = [\"plugins\"]\n", scene.read("segport.toml")));
    scene.write("plugins/libsegport_files.so", fs::read(copy.file("libsegport_files.so")).unwrap());
    fs::remove_file(copy.file("libsegport_files.so")).unwrap();
    copy.call(&scene, "connectors lock").exits(0);
    let pins = scene.read("segport.lock");
    fs::set_permissions(scene.path("plugins"), Permissions::from_mode(0o311)).unwrap();
    let path = format!("{}:{}", copy.0.path().display(), std::env::var("PATH").unwrap());
    let call = |words: &str| scene.unprivileged(words).env("PATH", &path).run();
    call("connectors lock").exits(0).prints("accepted files");
    assert_eq!(scene.read("segport.lock"), pins);
    let verified = call("connectors verify");
    verified.exits(1).prints("2 plugins as accepted").says("cannot be listed");
    fs::set_permissions(scene.path("plugins"), Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_new_connector_is_scaffolded() {
    let scene = Scene::new(&[]);
    let made = scene.call("connectors new mailgrid --output json");
    let made = made.exits(0).objects().remove(0);
    for file in made["files"].as_array().unwrap() {
        let path = Path::new(made["directory"].as_str().unwrap()).join(file.as_str().unwrap());
        assert!(scene.dir().join(&path).is_file(), "{}", path.display());
    }
    scene.call("connectors new mailgrid").exits(2);
    scene.call("connectors new Mail-Grid").exits(2).says("lower-case");
}

#[test]
fn what_may_not_be_written_is_named_and_no_temporary_file() {
    let scene = Scene::new(&people(1..=3));
    let may = |path: &str, mode: u32| fs::set_permissions(scene.path(path), Permissions::from_mode(mode)).unwrap();
    let unwritable = |path: &str, words: &str| {
        may(path, 0o500);
        let ended = scene.unprivileged(words).run();
        may(path, 0o700);
        let told = format!("{}{}", ended.stdout, ended.stderr);
        assert!(told.contains("Permission denied (os error 13)\n") && !told.contains(" at path "), "{ended}");
        (ended.code(), told)
    };
    let advice = "let the user that runs segport write the project's directory";
    for (words, exit) in [("check", 1), ("connectors lock", 2)] {
        let (code, told) = unwritable(".", words);
        assert_eq!((code, told.matches("SP0407").count(), told.matches(advice).count()), (exit, 1, 1), "{told}");
    }
    scene.call("check").exits(0);
    let consent = "[consent]\naccepted_by = \"anna@example.org\"\naccepted_at = 2026-11-23T10:00:00Z\n";
    scene.edit("connections/autopilot.toml", consent, "");
    let (code, told) = unwritable("connections", "connect autopilot --accept");
    assert_eq!((code, told.contains("cannot change `connections/autopilot.toml`")), (2, true), "{told}");
}

#[test]
fn without_a_place_for_temporary_files_it_is_said_how_to_name_one() {
    let scene = Scene::new(&people(1..=3));
    let missing = scene.path("nowhere").display().to_string();
    for (words, exit) in [("check", 1), ("run", 2)] {
        let ended = scene.segport(words).env("TMPDIR", &missing).run();
        let told = format!("{}{}", ended.stdout, ended.stderr);
        let place = format!("to a private file in {missing}: No such file or directory (os error 2)\n");
        assert!(
            told.contains("SP0406") && told.contains(&place) && told.contains("set the environment variable `TMPDIR`"),
            "{told}"
        );
        ended.exits(exit);
    }
}
