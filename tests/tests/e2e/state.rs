//! What stands in the files of the state.

use std::fs;

use segport_tests::{Scene, people};

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

#[test]
fn after_a_run_the_state_is_one_file() {
    let scene = scene();
    assert_eq!(fs::read(scene.path(".segport/state.db-wal")).unwrap_or_default().len(), 0);
    Copy(vec![(".segport/state.db".to_owned(), fs::read(scene.path(".segport/state.db")).unwrap())]).put_back(&scene);
    is_carried_on(&scene);
}
