//! States that cannot be used: nothing is sent, and the error says what is wrong and what to do. Once they can be used again, the
//! next run does what is to be done.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use segport_tests::{Ended, Gate, Haste, Hold, Person, Scene, people};

/// A project that has run; since then one has left and one has come.
fn scene() -> Scene {
    let scene = Scene::new(&people(1..=30));
    scene.connection("rows_per_batch = 5");
    scene.delivers();
    scene.segment("newsletter", &people(2..=31));
    scene
}

/// What is left to do in it.
fn is_carried_on(scene: &Scene) {
    scene.comes_to("succeeded: 30 read, 29 unchanged, 1 added; 1 planned, 1 removed");
    is_settled(scene);
}

fn is_settled(scene: &Scene) {
    scene.has_contacts(&people(1..=31));
    scene.has_members("newsletter", &people(2..=31));
}

/// Checks that a run could not start, and says this.
fn is_refused(ended: &Ended, says: &[&str]) {
    ended.exits(2).says("error[SP0602]");
    for text in says {
        ended.says(text);
    }
    assert_eq!(ended.stdout, "", "{ended}");
}

/// A copy of the state's files, to be put back.
struct Copy(Vec<(String, Vec<u8>)>);

impl Copy {
    fn of(scene: &Scene) -> Self {
        let files = ["state.db", "state.db-wal", "state.key"].map(|name| format!(".segport/{name}"));
        Self(files.into_iter().filter_map(|path| fs::read(scene.path(&path)).ok().map(|text| (path, text))).collect())
    }

    fn put_back(&self, scene: &Scene) {
        for name in ["state.db-wal", "state.db-shm"] {
            fs::remove_file(scene.path(&format!(".segport/{name}"))).ok();
        }
        self.0.iter().for_each(|(path, text)| fs::write(scene.path(path), text).unwrap());
    }
}

/// What is said of a state that is not whole.
const DAMAGED: &[&str] = &["is damaged or not a Segport state", "restore it from a backup"];

fn overwrite(file: &Path, at: u64, bytes: &[u8]) {
    File::options().write(true).open(file).unwrap().write_all_at(bytes, at).unwrap();
}

fn flip(file: &Path, at: usize, bit: usize) {
    let byte = fs::read(file).unwrap()[at] ^ (1 << bit);
    overwrite(file, at as u64, &[byte]);
}

#[test]
fn a_state_that_cannot_be_right_is_refused() {
    let scene = scene();
    let copy = Copy::of(&scene);
    let asked = scene.requests();
    let check = |spoil: &dyn Fn(&Path), says: &[&str]| {
        spoil(&scene.path(".segport/state.db"));
        is_refused(&scene.run(""), says);
        copy.put_back(&scene);
    };
    // Places in the first page: <https://sqlite.org/fileformat2.html#the_database_header>.
    check(
        &|db| overwrite(db, 60, &99_u32.to_be_bytes()),
        &["state version 99, this program knows 7", "use the newer segport"],
    );
    check(&|db| overwrite(db, 68, &1_u32.to_be_bytes()), &["it is a database of another program", "restore it"]);
    check(&|db| flip(db, 0, 0), DAMAGED);
    check(&|db| flip(db, 16, 7), DAMAGED);
    check(&|db| flip(db, 100, 3), DAMAGED);
    check(&|db| fs::write(db, "no database at all, and long enough ".repeat(100)).unwrap(), DAMAGED);
    check(&|db| File::options().write(true).open(db).unwrap().set_len(3 * 16_384).unwrap(), DAMAGED);
    check(
        &|db| fs::write(db.with_file_name("state.key"), "0".repeat(64)).unwrap(),
        &["does not fit", "restore the state.key"],
    );
    check(&|db| fs::write(db.with_file_name("state.key"), "no key").unwrap(), &["64 hexadecimal digits", "restore it"]);
    check(
        &|db| fs::remove_file(db.with_file_name("state.key")).unwrap(),
        &["it is missing", "restore it from a backup"],
    );
    fs::set_permissions(scene.path(".segport/state.key"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(scene.requests(), asked);
    is_carried_on(&scene);
}

#[test]
fn a_state_that_was_never_filled_is_brought_up_to_date() {
    let scene = Scene::new(&people(1..=3));
    assert!(scene.segport("run").env("SEGPORT_FAILPOINT", "migrate:1=kill").run().was_killed());
    scene.call("status").exits(0);
    scene.comes_to("succeeded: 3 read, 3 added");
}

#[test]
fn a_state_that_may_not_be_written_is_refused() {
    let scene = scene();
    let asked = scene.requests();
    for (path, locked, free) in [(".segport", 0o500, 0o700), (".segport/state.db", 0o400, 0o600)] {
        let may = |mode: u32| fs::set_permissions(scene.path(path), Permissions::from_mode(mode)).unwrap();
        Copy::of(&scene).put_back(&scene);
        may(locked);
        let ended = scene.unprivileged("run --output json").run();
        may(free);
        is_refused(&ended, &["state.db", "the user that runs segport", "write the file and its directory"]);
    }
    assert_eq!(scene.requests(), asked);
    is_carried_on(&scene);
}

#[test]
fn whoever_only_looks_is_told_of_a_state_that_cannot_be_read_or_was_lost() {
    let scene = scene();
    scene.call("suppress add p40@example.com").exits(0);
    let copy = Copy::of(&scene);
    let names = || {
        let found = fs::read_dir(scene.path(".segport")).unwrap();
        found.map(|entry| entry.unwrap().file_name()).collect::<HashSet<_>>()
    };
    let check = |spoil: &dyn Fn(&Path), says: &[&str]| {
        spoil(&scene.path(".segport"));
        let ended = ["suppress check p40@example.com", "status", "runs", "rows latest"]
            .map(|words| scene.unprivileged(words).run());
        fs::set_permissions(scene.path(".segport"), Permissions::from_mode(0o700)).unwrap();
        ended.iter().for_each(|ended| is_refused(ended, says));
    };
    check(
        &|state| fs::set_permissions(state, Permissions::from_mode(0o000)).unwrap(),
        &["cannot look for the state", "state.db", "Permission denied"],
    );
    let key = scene.path(".segport/state.key");
    check(&|state| fs::rename(&key, state.join("kept")).unwrap(), &["state.key", "restore it from a backup"]);
    assert!(!names().contains(OsStr::new("state.key")), "no key is made by looking");
    fs::rename(scene.path(".segport/kept"), &key).unwrap();
    let lost = &["there was a suppression list in it", "restore it from a backup"];
    check(&|state| File::create(state.join("state.db")).map(drop).unwrap(), lost);
    check(&|state| fs::remove_file(state.join("state.db")).unwrap(), lost);
    assert!(!names().contains(OsStr::new("state.db")), "no state is made by looking");
    copy.put_back(&scene);
    scene.call("suppress check p40@example.com").exits(1).prints("suppressed");
    is_carried_on(&scene);
}

/// Who left since would stay on the lists, and nobody would be told.
#[test]
fn a_ledger_that_was_lost_is_not_begun_anew_unless_somebody_says_so() {
    let scene = scene();
    let (asked, copy) = (scene.requests(), Copy::of(&scene));
    let lose: [&dyn Fn(&Path); 2] =
        [&|file| File::create(file).map(drop).unwrap(), &|file| fs::remove_file(file).unwrap()];
    for lose in lose {
        lose(&scene.path(".segport/state.db"));
        for words in ["run", "plan", "status", "suppress add p1@example.com"] {
            is_refused(
                &scene.call(words),
                &["there was a ledger in it", "restore it from a backup", "state.db-suppression"],
            );
        }
        copy.put_back(&scene);
    }
    assert_eq!(scene.requests(), asked);
    is_carried_on(&scene);
    fs::remove_file(scene.path(".segport/state.db")).unwrap();
    fs::remove_file(scene.path(".segport/state.db-suppression")).unwrap();
    scene.run("").exits(0);
}

/// Takes the lock that every program takes that writes: <https://sqlite.org/walformat.html#wal_locks>. It goes with the file.
fn locked(scene: &Scene) -> File {
    let path = scene.path(".segport/state.db-shm");
    let index = File::options().create(true).truncate(false).read(true).write(true).open(path).unwrap();
    let lock =
        libc::flock { l_type: libc::F_WRLCK as _, l_whence: libc::SEEK_SET as _, l_start: 120, l_len: 1, l_pid: 0 };
    fcntl(&index, FcntlArg::F_SETLK(&lock)).unwrap();
    index
}

#[test]
fn a_state_that_another_process_has_locked_is_refused() {
    let (scene, haste) = (scene(), Haste::default());
    let asked = scene.requests();
    let lock = locked(&scene);
    let ended = haste.under(scene.segport("run --output json")).run();
    is_refused(&ended, &["state.db", "another program has locked the file"]);
    drop(lock);
    assert_eq!(scene.requests(), asked);

    is_carried_on(&scene);

    // While somebody else has it open, SQLite gives another reason.
    let mut scene = Scene::new(&people(1..=3));
    let gate = Gate::new(&scene.sandbox);
    scene.through(&gate, "");
    gate.hold("POST /contacts", 1, Hold::Done);
    let run = scene.segport("run --output json").start();
    gate.wait();
    let lock = locked(&scene);
    let ended = haste.under(scene.segport("suppress add p7@example.com")).run();
    is_refused(&ended, &["state.db", "database is locked", "another program has locked the file"]);
    drop(lock);
    gate.open();
    assert_eq!(run.wait().exits(0).report().summary(), "succeeded: 3 read, 3 added");
}

#[test]
fn a_state_that_fails_while_the_source_is_read_is_named() {
    // Who has no address is written down at once.
    let scene = Scene::new(&[Person::new(1).email(""), Person::new(2)]);
    let ended = scene.segport("run --output json").env("SEGPORT_FAILPOINT", "append_page:1=fail").run();
    is_refused(&ended, &["cannot write the state", "state.db: failpoint", "see that its disk has space"]);
    assert_eq!(scene.requests(), 0);
    scene.comes_to("succeeded: 2 read, 1 added, 1 invalid");
}

#[test]
fn a_flipped_bit_is_refused_or_of_no_consequence() {
    let scene = scene();
    let copy = Copy::of(&scene);
    let state = scene.path(".segport/state.db");
    // Most of a small state is zeros that nobody reads.
    let bytes = fs::read(&state).unwrap();
    let used: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at] != 0).collect();
    let mut refused = 0;
    for case in 0..12 {
        let (at, bit) = (used[(2 * case + 1) * used.len() / 24], case % 8);
        flip(&state, at, bit);
        let ended = scene.run("");
        match ended.code() {
            0 => is_settled(&scene),
            // It may have come as far as to have notes of the connector too.
            1 => assert!(ended.report().problems().contains(&"SP0602"), "bit {bit} of byte {at}: {ended}"),
            // It was in a number that a guard goes by.
            4 => {}
            _ => is_refused(&ended, &[]),
        }
        refused += usize::from(ended.code() != 0);
        copy.put_back(&scene);
    }
    assert!(refused > 0, "no flip was noticed");
    scene.delivers();
    is_settled(&scene);
}

#[test]
fn after_a_run_the_state_is_one_file() {
    let scene = scene();
    assert_eq!(fs::read(scene.path(".segport/state.db-wal")).unwrap_or_default().len(), 0);
    Copy(vec![(".segport/state.db".to_owned(), fs::read(scene.path(".segport/state.db")).unwrap())]).put_back(&scene);
    is_carried_on(&scene);
}

#[test]
fn a_log_that_is_damaged_costs_repetitions_only() {
    let mut scene = Scene::new(&people(1..=30));
    let gate = Gate::new(&scene.sandbox);
    scene.through(&gate, "rows_per_batch = 5\nmax_in_flight = 1");
    scene.delivers();
    scene.segment("newsletter", &people(2..=31));
    gate.hold("DELETE /list/", 1, Hold::Done);
    let run = scene.segport("run").start();
    gate.wait();
    run.kill();
    gate.cut();
    let copy = Copy::of(&scene);
    let log = scene.path(".segport/state.db-wal");
    let length = fs::read(&log).unwrap().len();
    assert!(length > 4 * 16_384, "a run that was killed leaves its log");
    for at in [16, 40, length / 3, length * 2 / 3, length - 100] {
        flip(&log, at, at % 8);
        scene.delivers();
        is_settled(&scene);
        copy.put_back(&scene);
    }
}

/// As where there are too many rows for its memory.
#[test]
fn an_index_in_files_does_as_one_in_memory() {
    let scene = Scene::new(&people(1..=150));
    scene.segment("vip", &people(101..=120));
    scene.segments(&["newsletter", "vip"], "[guards]\nmax_removals = \"100%\"");
    let comes_to = |summary: &str| {
        let ended = scene.segport("run --output json").env("SEGPORT_INDEX_MEMORY", "0").run();
        let report = ended.exits(0).report();
        assert_eq!(report.summary(), summary);
        report
    };
    comes_to("succeeded: 150 read, 150 added");
    assert_eq!(comes_to("succeeded: 150 read, 150 unchanged").requests(), 0);
    let mut newsletter = people(41..=200);
    newsletter[9] = Person::new(50).given_name("New");
    scene.segment("newsletter", &newsletter);
    scene.segment("vip", &people(111..=130));
    comes_to("succeeded: 160 read, 99 unchanged, 50 added, 11 changed; 50 planned, 50 removed");
    scene.has_members("newsletter", &newsletter);
    scene.has_members("vip", &people(111..=130));
    assert_eq!(scene.comes_to("succeeded: 160 read, 160 unchanged").requests(), 0);
}
