//! The README keeps its word: what it tells readers to type works, in the order it tells them.

use std::fs;

use segport_tests::{Play, steps};

#[test]
fn every_command_of_the_readme_works() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
    let text = fs::read_to_string(path).expect("README.md lies at the root of the workspace");
    let steps = steps(&text);
    assert!(!steps.is_empty(), "README.md has no block marked `console` with a line that begins with `$ segport `");
    assert!(text.contains("segport sandbox autopilot"), "README.md does not say how to start the stand-in");
    let mut play = Play::default();
    for step in &steps {
        play.perform(step);
    }
}
