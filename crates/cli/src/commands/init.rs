//! `segport init`: a runnable project.

use std::path::{Component, Path};

use serde_json::json;
use tokio::runtime::Handle;

use crate::arguments::Init;
use crate::commands::{Invocation, schema};
use crate::exit::{Exit, Failure};
use crate::sample::Quality;
use crate::starter::{GITIGNORE, IGNORED, SANDBOX_ADDRESS, Starter, create};
use crate::text::{count, word};

const PROFILES: u64 = 1000;
const SCHEMAS: &str = "schemas";

/// Makes the project; refuses to touch what exists.
pub(crate) fn init(invocation: &Invocation, asked: &Init) -> Result<Exit, Failure> {
    let dir = match &asked.into {
        Some(into) => invocation.dir().join(into),
        None => invocation.dir().to_owned(),
    };
    let starter = Starter {
        name: name_of(&dir),
        base_url: format!("http://{SANDBOX_ADDRESS}/v1"),
        requests_per_second: 20,
        profiles: PROFILES,
        quality: Quality::Real,
        vip: true,
    };
    refuse_existing(&dir, &starter)?;
    starter.write(&dir)?;
    let keeps_gitignore = dir.join(GITIGNORE).exists();
    if !keeps_gitignore {
        create(&dir.join(GITIGNORE), IGNORED)?;
    }
    schema::write_all(&dir, &dir.join(SCHEMAS), Handle::current())?;
    tell(invocation, &dir, keeps_gitignore)?;
    Ok(Exit::Done)
}

fn refuse_existing(dir: &Path, starter: &Starter) -> Result<(), Failure> {
    let schemas = schema::file_names().into_iter().map(|name| format!("{SCHEMAS}/{name}"));
    let paths = starter.paths().into_iter().map(str::to_owned).chain(schemas);
    let existing: Vec<String> = paths.filter(|path| dir.join(path).symlink_metadata().is_ok()).collect();
    if existing.is_empty() {
        return Ok(());
    }
    let list: String = existing.iter().map(|path| format!("\n  {path}")).collect();
    Err(Failure::new(format!("{} has files that a new project would overwrite:{list}", dir.display()))
        .help("choose another directory, one that is not there yet"))
}

/// The directory's own name.
fn name_of(dir: &Path) -> String {
    let whole = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let name = whole.components().rev().find_map(|part| match part {
        Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        _ => None,
    });
    name.unwrap_or_else(|| "segport-project".to_owned())
}

fn tell(invocation: &Invocation, dir: &Path, keeps_gitignore: bool) -> Result<(), Failure> {
    let output = &invocation.output;
    if keeps_gitignore {
        output.note(&format!("{GITIGNORE} was there already; add these lines to it:\n{}", indented(IGNORED)));
    }
    if output.is_json() {
        return output.json(&json!({ "directory": dir, "profiles": PROFILES }));
    }
    let mut next = vec![
        ("segport check", "look for mistakes"),
        ("segport sandbox autopilot", "in another terminal: a stand-in for Autopilot"),
        ("segport connect autopilot --accept", "accept the data-privacy text, test the connection"),
        ("segport plan", "what would be sent"),
        ("segport run", "send it; run it again and nothing is sent"),
    ];
    let change = elsewhere(dir).map(|dir| format!("cd {}", word(dir)));
    if let Some(change) = &change {
        next.insert(0, (change, ""));
    }
    let lines: String =
        next.iter().map(|(command, why)| format!("{}\n", format!("  {command:36}{why}").trim_end())).collect();
    let profiles = count(PROFILES);
    output.text(&format!("made a project in {} with {profiles} made-up profiles\n\nNext:\n{lines}", dir.display()))
}

/// The directory, unless it is the one that the user is in.
fn elsewhere(dir: &Path) -> Option<&Path> {
    let dir = dir.strip_prefix(".").unwrap_or(dir);
    dir.components().any(|part| part != Component::CurDir).then_some(dir)
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_told_to_go_where_the_project_is() {
        let check =
            |dir: &str, expected: Option<&str>| assert_eq!(elsewhere(Path::new(dir)), expected.map(Path::new), "{dir}");
        check(".", None);
        check("./.", None);
        check("./sub", Some("sub"));
        check("nodir/sub", Some("nodir/sub"));
        check("../sub", Some("../sub"));
        check("/srv/shop", Some("/srv/shop"));
    }

    #[test]
    fn a_project_is_named_after_its_directory() {
        assert_eq!(name_of(Path::new("somewhere/shop")), "shop");
        assert_eq!(name_of(Path::new("somewhere/shop/.")), "shop");
        assert_eq!(name_of(Path::new("/")), "segport-project");
    }
}
