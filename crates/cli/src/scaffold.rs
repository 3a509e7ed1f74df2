//! `segport connectors new`: a complete connector crate.

use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item};

use crate::exit::Failure;
use crate::starter::create;

/// What was made.
#[derive(Debug)]
pub(crate) struct Scaffold {
    /// The crate's directory.
    pub(crate) dir: PathBuf,
    /// Its name for cargo.
    pub(crate) package: String,
    /// Its files, relative to it.
    pub(crate) files: Vec<&'static str>,
}

const FILES: [(&str, &str); 6] = [
    ("README.md", include_str!("scaffold/README.md")),
    ("src/lib.rs", include_str!("scaffold/lib.rs")),
    ("src/settings.rs", include_str!("scaffold/settings.rs")),
    ("src/client.rs", include_str!("scaffold/client.rs")),
    ("src/error.rs", include_str!("scaffold/error.rs")),
    ("tests/behaviour.rs", include_str!("scaffold/behaviour.rs")),
];

/// Writes the crate of connector `id`: into `connectors/` of the Segport workspace around `dir`, or into `dir` itself.
///
/// # Errors
/// If `id` cannot be one, or the crate's directory or a package of its name exists.
pub(crate) fn connector(dir: &Path, id: &str) -> Result<Scaffold, Failure> {
    check_id(id)?;
    let workspace = workspace_around(dir)?;
    let (place, manifest) = match &workspace {
        Some(workspace) => (workspace.join("connectors").join(id), include_str!("scaffold/Cargo.workspace.toml")),
        None => (dir.join(id), include_str!("scaffold/Cargo.alone.toml")),
    };
    if place.symlink_metadata().is_ok() {
        return Err(
            Failure::new(format!("{} exists already", place.display())).help("choose another name, or remove it first")
        );
    }
    let names = Names::new(id);
    if let Some(workspace) = workspace.filter(|workspace| has_package(workspace, &names.package)) {
        return Err(Failure::new(format!("{} has a package `{}` already", workspace.display(), names.package))
            .help("choose another name: cargo refuses a workspace with two packages of one name"));
    }
    let mut files = Vec::new();
    for (path, template) in [("Cargo.toml", manifest)].into_iter().chain(FILES) {
        create(&place.join(path), &names.fill(template))?;
        files.push(path);
    }
    Ok(Scaffold { dir: place, package: names.package, files })
}

fn check_id(id: &str) -> Result<(), Failure> {
    let good = id.starts_with(|first: char| first.is_ascii_lowercase())
        && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && !id.ends_with('_')
        && !id.contains("__");
    if good {
        return Ok(());
    }
    let words: Vec<String> = id
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    let suggestion = words.join("_");
    let failure = Failure::new(format!(
        "`{id}` cannot be the id of a connector: it is lower-case letters, digits and single underscores, a letter first"
    ));
    Err(match suggestion.chars().next() {
        Some(first) if first.is_ascii_lowercase() => failure.help(format!("`{suggestion}` can")),
        _ => failure,
    })
}

/// The nearest directory above whose Cargo.toml makes crates in `connectors/` members of a workspace with the SDK.
fn workspace_around(dir: &Path) -> Result<Option<PathBuf>, Failure> {
    let whole = std::path::absolute(dir).map_err(|error| Failure::file("find", dir, &error))?;
    for above in whole.ancestors() {
        let manifest = above.join("Cargo.toml");
        let Ok(text) = std::fs::read_to_string(&manifest) else { continue };
        let Ok(document) = text.parse::<DocumentMut>() else { continue };
        let workspace = document.get("workspace");
        let members = workspace.and_then(|workspace| workspace.get("members")).and_then(Item::as_array);
        let has_connectors =
            members.is_some_and(|members| members.iter().any(|one| one.as_str() == Some("connectors/*")));
        let sdk = workspace.and_then(|workspace| workspace.get("dependencies")?.get("segport-sdk"));
        if has_connectors && sdk.is_some() {
            return Ok(Some(above.to_owned()));
        }
    }
    Ok(None)
}

/// Whether the lock file of a workspace names a package; one that is not there yet names none.
fn has_package(workspace: &Path, package: &str) -> bool {
    let lock = std::fs::read_to_string(workspace.join("Cargo.lock")).unwrap_or_default();
    lock.lines().any(|line| line == format!("name = {package:?}"))
}

/// The forms of one id.
#[derive(Debug)]
struct Names {
    id: String,
    package: String,
    type_name: String,
    display_name: String,
}

impl Names {
    fn new(id: &str) -> Self {
        let capital = |word: &str| {
            let mut letters = word.chars();
            letters
                .next()
                .map_or_else(String::new, |first| format!("{}{}", first.to_ascii_uppercase(), letters.as_str()))
        };
        let words: Vec<String> = id.split('_').map(capital).collect();
        // With an ending, so that it is none of the names that the template's own code uses.
        let type_name = format!("{}Connector", words.concat());
        Self { id: id.to_owned(), package: format!("segport-{id}"), type_name, display_name: words.join(" ") }
    }

    fn fill(&self, template: &str) -> String {
        template
            .replace("{{crate}}", &self.package.replace('-', "_"))
            .replace("{{package}}", &self.package)
            .replace("{{id}}", &self.id)
            .replace("{{ENV}}", &self.id.to_ascii_uppercase())
            .replace("{{Type}}", &self.type_name)
            .replace("{{name}}", &self.display_name)
            .replace("{{repository}}", env!("CARGO_PKG_REPOSITORY"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_from_the_id() {
        let check = |id: &str, type_name: &str, display_name: &str| {
            let names = Names::new(id);
            assert_eq!((names.type_name.as_str(), names.display_name.as_str()), (type_name, display_name));
        };
        check("mailgrid", "MailgridConnector", "Mailgrid");
        check("big_mail_2", "BigMail2Connector", "Big Mail 2");
        check("vec", "VecConnector", "Vec");
    }

    #[test]
    fn ids_are_checked() {
        let check = |id: &str, help: Option<&str>| {
            let failure = check_id(id).unwrap_err().to_string();
            match help {
                Some(help) => assert!(failure.contains(help), "{failure}"),
                None => assert!(!failure.contains("help"), "{failure}"),
            }
        };
        check("Mail-Grid", Some("`mail_grid` can"));
        check("mail__grid", Some("`mail_grid` can"));
        check("../evil", Some("`evil` can"));
        check("2mail", None);
        check("", None);
        check_id("mail_grid2").unwrap();
    }

    #[test]
    fn nothing_of_the_template_is_left_over() {
        let dir = tempfile::tempdir().unwrap();
        let made = connector(dir.path(), "mailgrid").unwrap();
        assert_eq!(made.dir, dir.path().join("mailgrid"));
        for file in &made.files {
            let text = std::fs::read_to_string(made.dir.join(file)).unwrap();
            assert!(!text.contains("{{") || !text.contains("}}"), "{file}");
        }
        assert!(connector(dir.path(), "mailgrid").is_err(), "an existing crate is kept");
    }

    #[test]
    fn what_is_written_is_formatted_as_this_workspace_is() {
        let dir = tempfile::tempdir().unwrap();
        let made = connector(dir.path(), "mailgrid").unwrap();
        let roots = made.files.iter().filter(|file| file.ends_with("lib.rs") || file.starts_with("tests"));
        let mut rustfmt = std::process::Command::new("rustfmt");
        let config = concat!(env!("CARGO_MANIFEST_DIR"), "/../../rustfmt.toml");
        rustfmt.args(["--check", "--config-path", config]).args(roots.map(|file| made.dir.join(file)));
        let checked = rustfmt.output().unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    }

    #[test]
    fn a_workspace_is_found_from_below() {
        let dir = tempfile::tempdir().unwrap();
        let workspace = "[workspace]\nmembers = [\"connectors/*\"]\n[workspace.dependencies]\nsegport-sdk = \"0.1\"\n";
        std::fs::write(dir.path().join("Cargo.toml"), workspace).unwrap();
        let below = dir.path().join("crates/cli");
        std::fs::create_dir_all(&below).unwrap();
        let made = connector(&below, "mailgrid").unwrap();
        assert_eq!(made.dir, std::path::absolute(dir.path()).unwrap().join("connectors/mailgrid"));
        assert_eq!(std::fs::read_to_string(dir.path().join("Cargo.toml")).unwrap(), workspace);

        std::fs::write(dir.path().join("Cargo.lock"), "[[package]]\nname = \"segport-core\"\n").unwrap();
        let failure = connector(&below, "core").unwrap_err().to_string();
        assert!(failure.contains("has a package `segport-core` already"), "{failure}");
        assert!(!dir.path().join("connectors/core").exists());
    }
}
