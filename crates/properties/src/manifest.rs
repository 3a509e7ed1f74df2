//! Whatever stands in a file of a project: every finding points at bytes of that file, and none is a defect of Segport.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use segport_autopilot::Autopilot;
use segport_files::Files;
use segport_manifest::{Catalog, Code, Diagnostics, Style, load, read_settings};
use segport_sdk::Plugin;

/// The files around the one at hand, so that there is something to refer to.
const AROUND: [(&str, &str); 5] = [
    ("segport.toml", "[project]\nname = \"acme\"\n"),
    ("sources/crm.toml", "plugin = \"files\"\n[settings]\nroot = \"data\"\n"),
    ("segments/vip.toml", "source = \"crm\"\nkey = \"id\"\n[read]\npath = \"vip.csv\"\n"),
    ("connections/mailer.toml", "plugin = \"autopilot\"\n[settings]\napi_key = { env = \"MAILER_API_KEY\" }\n"),
    ("exports/news.toml", "connection = \"mailer\"\nsegments = [\"vip\"]\n[fields]\nemail = \"email_address\"\n"),
];

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
    const PLUGINS: [Plugin; 2] =
        [Plugin::connector::<Autopilot>("autopilot", "0.0.0"), Plugin::source::<Files>("files", "0.0.0")];
    Catalog::new(PLUGINS.iter().map(Plugin::describe).collect())
});

/// The bytes as each of the five kinds of file.
pub fn manifest(bytes: &[u8]) {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in AROUND {
        write(dir.path(), path, text.as_bytes());
    }
    for folder in ["sources", "segments", "connections", "exports"] {
        write(dir.path(), &format!("{folder}/any.toml"), bytes);
    }
    let loaded = load(dir.path(), &CATALOG);
    in_order(dir.path(), &loaded.diagnostics);

    // Alone, since what stands around it was looked at above, and schemas take most of the time.
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "segport.toml", bytes);
    let loaded = load(dir.path(), &CATALOG);
    in_order(dir.path(), &loaded.diagnostics);
    if let Err(findings) = read_settings(dir.path()) {
        assert!(findings.has_errors(), "an error says why the settings are not read");
        in_order(dir.path(), &findings);
    }
}

fn write(dir: &Path, path: &str, bytes: &[u8]) {
    let path = dir.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// As many bytes as there are, each that is not UTF-8 as a question mark.
fn text_of(bytes: &[u8]) -> String {
    let chunks = bytes.utf8_chunks();
    chunks.map(|chunk| chunk.valid().to_owned() + &"?".repeat(chunk.invalid().len())).collect()
}

fn in_order(dir: &Path, findings: &Diagnostics) {
    for finding in findings.iter() {
        assert_ne!(finding.code, Code::Internal, "{finding:?}");
        let Some(location) = &finding.location else { continue };
        let (file, span) = (location.file(), location.span());
        let written = text_of(&fs::read(dir.join(file.path())).unwrap());
        // What is shown may be masked, but every byte stands where it stands in the file.
        assert_eq!(file.text().len(), written.len(), "{finding:?}");
        assert!(file.text().get(span.clone()).is_some() && written.get(span.clone()).is_some(), "{finding:?}");
        let (line, column) = location.line_column();
        assert_eq!(line, written.get(..span.start).unwrap().matches('\n').count() + 1, "{finding:?}");
        assert!(column <= written.lines().nth(line - 1).unwrap_or_default().chars().count() + 2, "{finding:?}");
    }
    for style in [Style::Plain, Style::Coloured] {
        assert_eq!(findings.render(style).is_empty(), findings.is_empty());
    }
    let shown = serde_json::to_value(findings).unwrap();
    assert_eq!(shown.as_array().map(Vec::len), Some(findings.len()));
}
