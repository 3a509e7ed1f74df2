//! From files to a project, and what is done with it.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use segport_core::{Descriptor, ErrorKind, FieldType};
use segport_manifest::{
    Catalog, Code, Consent, Diagnostics, Guards, Leavers, Loaded, Project, Role, SecretRef, StateUrl, Style, Threshold,
    Transform, WhenNull, check_columns, check_secrets, config_hash, explain, load, outline, read_settings,
    resolve_secrets, write_consent,
};
use serde_json::json;
use tempfile::TempDir;

use crate::support::{catalog, files, mailer, project, without_dir};

fn loaded(dir: &TempDir) -> Project {
    let loaded = load(dir.path(), &catalog());
    assert!(!loaded.diagnostics.has_errors(), "{}", loaded.diagnostics);
    loaded.project
}

fn environment(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn codes(findings: &Diagnostics) -> Vec<&'static str> {
    findings.iter().map(|finding| finding.code.as_str()).collect()
}

const FULL: &str = r#"#:schema ../schemas/export.json
display_name = "Newsletter"
connection = "mailer"
segments = ["vip", "newsletter"]
[fields]
last_name = { column = "family_name", transform = ["trim", "upper"], when_null = "skip_row" }
email = "email_address"
born = { column = "birthday", transform = ["trim", { date = "%d.%m.%Y" }], when_null = "clear" }
[fields.custom]
"Lifetime Value" = { column = "ltv", type = "float" }
Note = "note"
[leavers]
policy = "keep"
[guards]
max_removals = "2.5%"
max_growth = 20000
max_shrink = "30%"
max_refused = 500
allow_empty = true
allow_other_account = true
[schedule]
cron = "0 6 * * 1-5"
time_zone = "Europe/Oslo"
"#;

#[test]
fn everything_that_is_written_arrives() {
    let settings = "[project]\nname = \"acme\"\n[state]\nurl = { file = \"db\" }\nkey = { env = \"K\" }\n[plugins]\npath = [\"plugins\", \"/opt/p\"]\n[egress]\nallow_private = true\n[refresh]\ncron = \"0 5 * * *\"\n";
    let connection = "plugin = \"mailer\"\ndisplay_name = \"Mail\"\nusable_by = [\"administrators\", \"contributors\"]\n[consent]\naccepted_by = \"anna\"\naccepted_at = 2026-11-23T10:00:00+01:00\n[settings]\napi_key = { credential = \"mail\" }\n";
    let dir = project(&[
        ("segport.toml", settings),
        ("connections/mailer.toml", connection),
        ("exports/newsletter.toml", FULL),
    ]);
    let project = loaded(&dir);

    assert_eq!(project.settings.name, "acme");
    assert_eq!(project.settings.state.url, StateUrl::Secret(SecretRef::File("db".into())));
    assert_eq!(project.settings.state.key, Some(SecretRef::Env("K".to_owned())));
    assert_eq!(project.settings.plugins.path, [dir.path().join("plugins"), "/opt/p".into()]);
    assert!(project.settings.egress.allow_private);
    assert_eq!(project.settings.refresh.as_ref().unwrap().time_zone.iana_name(), Some("UTC"));

    assert_eq!(project.sources["crm"].settings, json!({ "root": "data" }));
    assert_eq!(project.segments["newsletter"].key, ["customer_id"]);
    assert_eq!(project.segments["vip"].key, ["country", "customer_no"]);
    assert_eq!(project.segments["vip"].display_name, "vip");

    let mail = &project.connections["mailer"];
    assert_eq!(mail.usable_by.iter().copied().collect::<Vec<_>>(), [Role::Administrators, Role::Contributors]);
    assert_eq!(mail.consent.as_ref().unwrap().accepted_at, "2026-11-23T09:00:00Z".parse().unwrap());

    let export = &project.exports["newsletter"];
    assert_eq!(export.segments, ["vip", "newsletter"]);
    assert_eq!(export.leavers, Leavers::Keep);
    let guards = Guards {
        max_removals: Threshold::Percent(2.5),
        max_growth: Threshold::Rows(20_000),
        max_shrink: Threshold::Percent(30.0),
        max_refused: Threshold::Rows(500),
        allow_empty: true,
        allow_other_account: true,
    };
    assert_eq!(export.guards, guards);
    assert_eq!(export.schedule.as_ref().unwrap().time_zone.iana_name(), Some("Europe/Oslo"));
    let fields: Vec<_> =
        export.fields.iter().map(|it| (&*it.name, it.custom, it.field_type, &FULL[it.span.clone()])).collect();
    assert_eq!(
        fields,
        [
            ("last_name", false, FieldType::String, "\"family_name\""),
            ("email", false, FieldType::Email, "\"email_address\""),
            ("born", false, FieldType::Date, "\"birthday\""),
            ("Lifetime Value", true, FieldType::Float, "\"ltv\""),
            ("Note", true, FieldType::String, "\"note\""),
        ]
    );
    assert_eq!(export.fields[0].transform, [Transform::Trim, Transform::Upper]);
    assert_eq!(export.fields[0].when_null, WhenNull::SkipRow);
    assert_eq!(export.fields[2].transform, [Transform::Trim, Transform::DateIn { date: "%d.%m.%Y".to_owned() }]);
}

#[test]
fn what_is_not_written_has_its_default() {
    let dir = project(&[]);
    let project = loaded(&dir);
    assert_eq!(project.settings.state.url, StateUrl::Plain("sqlite:.segport/state.db".to_owned()));
    assert!(
        project.settings.state.key.is_none()
            && project.settings.refresh.is_none()
            && !project.settings.egress.allow_private
    );
    let export = &project.exports["newsletter"];
    assert_eq!((export.guards, export.leavers), (Guards::default(), Leavers::Remove));
    assert_eq!(export.display_name, "newsletter");
    assert_eq!(project.connections["mailer"].usable_by.iter().copied().collect::<Vec<_>>(), [Role::Administrators]);
    assert!(project.connections["mailer"].consent.is_none());
}

#[test]
fn settings_are_read_before_any_plugin_is_known() {
    let dir =
        project(&[("exports/newsletter.toml", "not toml"), ("sources/lake.toml", "plugin = \"lake\"\nbogus = 1")]);
    let found = outline(dir.path()).unwrap();
    assert_eq!(found.plugin_ids.iter().map(String::as_str).collect::<Vec<_>>(), ["files", "lake", "mailer"]);

    let dir = project(&[("segport.toml", "[project]\nnmae = 1\n[plugins]\npath = [\"plugins\"]\n")]);
    assert_eq!(codes(&read_settings(dir.path()).unwrap_err()), ["SP0105", "SP0104"]);
    assert_eq!(outline(dir.path()).unwrap().settings.plugins.path, [dir.path().join("plugins")]);
}

#[test]
fn a_mistake_in_the_projects_own_file_hides_none_in_the_others() {
    let export = FULL.replacen("connection = \"mailer\"", "connection = \"mialer\"", 1);
    let check = |settings: &str, places_plugins: bool, expected: &[&str]| {
        let dir = project(&[("segport.toml", settings), ("exports/newsletter.toml", &export)]);
        assert_eq!(codes(&load(dir.path(), &catalog()).diagnostics), expected, "{settings}");
        assert_eq!(outline(dir.path()).unwrap().places_plugins, places_plugins, "{settings}");
        // A plugin that is not found may be where the file would have told.
        let findings = load(dir.path(), &Catalog::new(Vec::new())).diagnostics;
        assert_eq!(codes(&findings).contains(&"SP0401"), places_plugins, "{settings}");
    };
    check("[project]\nnmae = \"acme\"\n", true, &["SP0204", "SP0105", "SP0104"]);
    check("[project]\nname = \"acme\"\n[refresh]\ncron = \"at five\"\n", true, &["SP0204", "SP0501"]);
    check("[project\n", false, &["SP0204", "SP0101"]);
    check("[project]\nname = \"acme\"\n[plugin]\npath = []\n", false, &["SP0204", "SP0104"]);
    check("[project]\nname = \"acme\"\n[plugins]\npath = [3]\n", false, &["SP0204", "SP0106"]);
}

#[test]
fn what_is_right_in_the_projects_own_file_counts() {
    let check = |wrong: &str, expected: &[&str]| {
        let text = format!("{wrong}\n[plugins]\npath = [\"plugins\"]\n[egress]\nallow_private = true\n");
        let dir = project(&[("segport.toml", &text)]);
        let Loaded { project, diagnostics } = load(dir.path(), &catalog());
        assert_eq!(codes(&diagnostics), expected, "{wrong}");
        assert_eq!(project.settings.plugins.path, [dir.path().join("plugins")], "{wrong}");
        assert!(project.settings.egress.allow_private && project.settings.refresh.is_none(), "{wrong}");
    };
    check("", &["SP0105"]);
    check("[project]", &["SP0105"]);
    check("[project]\nname = \"\"", &["SP0107"]);
    check("[project]\nname = 5", &["SP0106"]);
    check("[project]\nname = \"acme\"\n[refresh]\ncron = 5", &["SP0106"]);
    check("[project]\nname = \"acme\"\n[refresh]", &["SP0105"]);
    check(
        "[project]\nname = \"acme\"\n[state]\nurl = \"postgres://me:secret@host/db\"\nkey = 5",
        &["SP0301", "SP0301"],
    );
}

#[test]
fn a_plugin_that_nobody_names_may_have_been_meant() {
    let check = |plugin: &str, others: &[&str], expected: &str| {
        let dir = project(&[("connections/mailer.toml", &format!("plugin = \"{plugin}\"\n"))]);
        let catalog = Catalog::new(vec![files()]).beside(others.iter().map(|id| (*id).to_owned()));
        let shown = load(dir.path(), &catalog).diagnostics.render(Style::Plain);
        assert!(shown.contains(expected), "{plugin} {others:?}: {shown}");
    };
    check("mialer", &["mailer"], "help: did you mean `mailer`?");
    check("mialer", &["autopilot"], "help: choose an installed one");
    check("files", &["mailer"], "help: choose an installed one");
    check("files", &[], "help: choose an installed one");
}

#[test]
fn other_files_in_the_folders_are_none_of_ours() {
    let dir =
        project(&[("exports/README.md", "hello"), ("segments/old.toml.bak", "hello"), ("sources/x.toml/y", "hello")]);
    loaded(&dir);
}

#[test]
fn what_is_no_regular_file_is_not_waited_for() {
    let settings = "[project]\nname = \"acme\"\n[state]\nkey = { file = \"k\" }\n";
    let dir = project(&[("segport.toml", settings)]);
    for name in ["k", "exports/pipe.toml"] {
        assert!(Command::new("mkfifo").arg(dir.path().join(name)).status().unwrap().success());
    }
    let loaded = load(dir.path(), &catalog());
    let shown = loaded.diagnostics.render(Style::Plain);
    assert!(shown.contains("cannot read `exports/pipe.toml`: it is not a regular file"), "{shown}");
    let shown = check_secrets(&loaded.project, &catalog(), &environment(&[])).render(Style::Plain);
    assert!(shown.contains("cannot read the secret's file `k`: it is not a regular file"), "{shown}");
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_fine() {
    let dir = project(&[
        ("segport.toml", "\u{feff}[project]\r\nname = \"acme\"\r\n"),
        ("exports/newsletter.toml", "connection = \"mailer\"\r\nsegments = [\"vip\"]\r\n[fields]\r\nemail = \"e\"\r\n"),
    ]);
    assert_eq!(loaded(&dir).exports["newsletter"].fields[0].column, "e");
}

#[test]
fn leavers_are_kept_where_nothing_can_be_removed() {
    let export = "connection = \"mailer\"\nsegments = [\"vip\"]\n[fields]\nemail = \"e\"\n";
    let dir = project(&[("connections/mailer.toml", "plugin = \"plain\"\n"), ("exports/newsletter.toml", export)]);
    assert_eq!(loaded(&dir).exports["newsletter"].leavers, Leavers::Keep);
}

#[test]
fn files_that_are_not_text_and_plugins_with_bad_schemas_are_named() {
    let dir = project(&[]);
    fs::write(dir.path().join("segments/vip.toml"), b"source = \"crm\"\nkey = \"kunde_nr\xf8\"\n").unwrap();
    fs::write(dir.path().join("exports/newsletter.toml"), [0xff, 0xfe, b'c', 0]).unwrap();
    let findings = load(dir.path(), &catalog()).diagnostics;
    insta::assert_snapshot!("unreadable", findings.render(Style::Plain));

    let broken = Descriptor { settings_schema: json!({ "type": "nonsense" }), ..mailer() };
    let findings = load(project(&[]).path(), &Catalog::new(vec![broken, files()])).diagnostics;
    assert_eq!(codes(&findings), ["SP0403"]);
}

#[test]
fn unknown_columns_point_into_the_files() {
    let dir = project(&[]);
    let project = loaded(&dir);
    let columns = |lists: &[(&str, &[&str])]| -> BTreeMap<String, Vec<String>> {
        lists.iter().map(|(id, names)| ((*id).to_owned(), names.iter().map(|it| (*it).to_owned()).collect())).collect()
    };
    let good = columns(&[
        ("newsletter", &["customer_id", "email_address", "given_name"]),
        ("vip", &["country", "customer_no", "email_address", "given_name"]),
    ]);
    assert!(check_columns(&project, &good).is_empty());
    assert!(check_columns(&project, &BTreeMap::new()).is_empty());
    let bad = columns(&[("newsletter", &["CustomerId", "e_mail_address"]), ("vip", &["country", "customer_number"])]);
    insta::assert_snapshot!("unknown_column", check_columns(&project, &bad).render(Style::Plain));
    let without_header = columns(&[("newsletter", &["4711", "anna@example.com", "Anna"])]);
    insta::assert_snapshot!("lost_header", check_columns(&project, &without_header).render(Style::Plain));
}

#[test]
fn the_example_of_the_design_is_shown_like_this() {
    let export = "display_name = \"Newsletter\"\nconnection = \"mailer\"\nsegments = [\"newsletter\"]\n[fields]\nemail = \"email_adress\"\n";
    let dir = project(&[("exports/newsletter.toml", export)]);
    let columns =
        BTreeMap::from([("newsletter".to_owned(), vec!["customer_id".to_owned(), "email_address".to_owned()])]);
    let findings = check_columns(&loaded(&dir), &columns);
    insta::assert_snapshot!("design_example", findings.render(Style::Plain));
    assert_eq!(
        serde_json::to_value(&findings).unwrap(),
        json!([{
            "code": "SP0203", "severity": "error", "message": "unknown column `email_adress`",
            "label": "segment `newsletter` has no such column",
            "file": "exports/newsletter.toml", "line": 5, "column": 9, "help": "did you mean `email_address`?",
        }])
    );
    assert!(findings.render(Style::Coloured).contains("\u{1b}["));
}

#[test]
fn secrets_are_resolved_or_named() {
    let settings = "[project]\nname = \"acme\"\n[state]\nurl = { env = \"DB\" }\nkey = { file = \"empty\" }\n";
    let connection =
        "plugin = \"mailer\"\n[settings]\napi_key = { env = \"NOT_SET\" }\nwebhook_key = { file = \"no/such\" }\n";
    let segment = "source = \"crm\"\nkey = \"id\"\n[read]\npath = \"vip.csv\"\ntoken = { credential = \"token\" }\n";
    let dir = project(&[
        ("segport.toml", settings),
        ("connections/mailer.toml", connection),
        ("segments/vip.toml", segment),
        ("empty", " "),
    ]);
    fs::write(dir.path().join("empty"), "\n").unwrap();
    let project = loaded(&dir);
    let findings = check_secrets(&project, &catalog(), &environment(&[("DB", "postgres://u:hunter2@db")]));
    insta::assert_snapshot!("secrets", without_dir(&findings.render(Style::Plain), dir.path()));

    let credentials = TempDir::new().unwrap();
    fs::write(credentials.path().join("token"), "t\n").unwrap();
    fs::create_dir(dir.path().join("no")).unwrap();
    fs::write(dir.path().join("no/such"), "two\nlines\r\n").unwrap();
    fs::write(dir.path().join("empty"), "no longer").unwrap();
    let env = environment(&[
        ("DB", "sqlite:state.db"),
        ("NOT_SET", "hunter2"),
        ("CREDENTIALS_DIRECTORY", credentials.path().to_str().unwrap()),
    ]);
    assert!(check_secrets(&project, &catalog(), &env).is_empty());
    let (file, settings) = ("connections/mailer.toml", &project.connections["mailer"].settings);
    let resolved = resolve_secrets(&project, file, settings, &mailer().settings_schema, &env).unwrap();
    assert_eq!(resolved, json!({ "api_key": "hunter2", "webhook_key": "two\nlines" }));
    let unresolved =
        resolve_secrets(&project, file, settings, &mailer().settings_schema, &environment(&[])).unwrap_err();
    assert_eq!(codes(&unresolved), ["SP0303"]);
    // As the check of all secrets says it.
    let found = check_secrets(&project, &catalog(), &environment(&[("DB", "sqlite:state.db")])).render(Style::Plain);
    let text = unresolved.render(Style::Plain);
    assert!(text.contains(file) && found.contains(text.split("\n\n").next().unwrap()), "{text}\n{found}");
}

#[test]
fn a_secret_that_is_no_text_is_told_in_words() {
    let check = |bytes: &[u8], expected: &str| {
        let settings = "[project]\nname = \"acme\"\n[state]\nkey = { file = \"k\" }\n";
        let dir = project(&[("segport.toml", settings)]);
        fs::write(dir.path().join("k"), bytes).unwrap();
        let findings = check_secrets(&loaded(&dir), &catalog(), &environment(&[("MAILER_KEY", "k")]));
        let shown = findings.render(Style::Plain);
        assert!(shown.contains(&format!("cannot read the secret's file `k`: {expected}")), "{shown}");
        assert!(shown.contains("help: the file holds the secret itself as UTF-8 text, and nothing else"), "{shown}");
    };
    check(b"\xff\xfeh\0u\0", "it is not UTF-8 text; it may be in UTF-16 or Latin-1");
    check(&[b'x'; 65 * 1024], "it is larger than 64 KiB");
}

#[test]
fn a_secret_in_the_place_of_its_name_is_not_shown() {
    let check = |reference: &str, is_taken_for_one: bool| {
        let settings = format!("[project]\nname = \"acme\"\n[state]\nkey = {reference}\nurl = {reference}\n");
        let connection = format!("plugin = \"mailer\"\nsettings = {{ api_key = {reference}, rate = 5 }}\n");
        for changes in [("segport.toml", settings.as_str()), ("connections/mailer.toml", connection.as_str())] {
            let dir = project(&[changes]);
            let loaded = load(dir.path(), &catalog());
            let mut findings = loaded.diagnostics;
            let project = loaded.project;
            findings.extend(check_secrets(&project, &catalog(), &environment(&[])));
            let settings = &project.connections.get("mailer").unwrap_or_else(|| panic!("{findings}")).settings;
            let schema = &mailer().settings_schema;
            let resolved = resolve_secrets(&project, "connections/mailer.toml", settings, schema, &environment(&[]));
            findings.extend(resolved.err().into_iter().flatten());
            let shown = findings.render(Style::Plain);
            let name = reference.split('"').nth(1).unwrap();
            assert_eq!(shown.contains(name), !is_taken_for_one, "{shown}");
            assert_eq!(codes(&findings).contains(&"SP0301"), is_taken_for_one, "{shown}");
            assert_eq!(shown.contains("this looks like the secret itself"), is_taken_for_one, "{shown}");
        }
    };
    for secret in
        ["0123456789abcdef0123456789abcdef", "a0123456789abcdef0123456789abcde", "sk_live_4eC39HqLyjWDarjtT1zd"]
    {
        for kind in ["env", "file", "credential"] {
            check(&format!("{{ {kind} = \"{secret}\" }}"), true);
        }
    }
    check("{ file = \"secrets/0123456789abcdef0123456789abcdef\" }", true);
    for name in ["MAILER_API_KEY_2", "AVERYLONGNAMEWITHOUTANYUNDERSCORES", "KEY0123456789"] {
        check(&format!("{{ env = \"{name}\" }}"), false);
    }
    check("{ file = \"secrets/2026-11-23/mailer.production.key\" }", false);
}

#[test]
fn the_hash_moves_with_what_is_sent_and_with_nothing_else() {
    let base = config_hash(&loaded(&project(&[])), "newsletter").unwrap();
    assert_eq!(base.len(), 64);
    assert_eq!(config_hash(&loaded(&project(&[])), "other"), None);
    let same: &[(&str, &str)] = &[
        (
            "connections/mailer.toml",
            "# a comment\ndisplay_name = \"Mail\"\nplugin = \"mailer\"\n[settings]\napi_key.env = \"MAILER_API_KEY\"\n",
        ),
        ("segments/other.toml", "source = \"crm\"\nkey = \"id\"\n[read]\npath = \"a.csv\"\n"),
    ];
    let different: &[(&str, &str)] = &[
        ("connections/mailer.toml", "plugin = \"mailer\"\n[settings]\napi_key = { env = \"OTHER\" }\n"),
        ("segments/vip.toml", "source = \"crm\"\nkey = \"customer_no\"\n[read]\npath = \"vip.csv\"\n"),
        ("sources/crm.toml", "plugin = \"files\"\n[settings]\nroot = \"elsewhere\"\n"),
        (
            "exports/newsletter.toml",
            "connection = \"mailer\"\nsegments = [\"newsletter\", \"vip\"]\n[fields]\nfirst_name = \"given_name\"\nemail = \"email_address\"\n",
        ),
        (
            "exports/newsletter.toml",
            "connection = \"mailer\"\nsegments = [\"vip\", \"newsletter\"]\n[fields]\nemail = \"email_address\"\nfirst_name = \"given_name\"\n",
        ),
    ];
    for change in same {
        assert_eq!(config_hash(&loaded(&project(&[*change])), "newsletter").unwrap(), base, "{change:?}");
    }
    for change in different {
        assert_ne!(config_hash(&loaded(&project(&[*change])), "newsletter").unwrap(), base, "{change:?}");
    }
}

#[test]
fn consent_is_written_and_the_rest_stays() {
    let consent =
        Consent { accepted_by: "anna@example.com".to_owned(), accepted_at: "2026-11-23T10:00:00Z".parse().unwrap() };
    let cases = [
        (
            "# ours\nplugin = \"mailer\"   # the one\n\n[settings] # s\napi_key = { env = \"K\" }\n",
            "# ours\nplugin = \"mailer\"   # the one\n\n[settings] # s\napi_key = { env = \"K\" }\n\n[consent]\naccepted_by = \"anna@example.com\"\naccepted_at = 2026-11-23T10:00:00Z\n",
        ),
        (
            "plugin = \"mailer\"\n[consent]\naccepted_by = \"bob\" # before\naccepted_at = 2020-01-01T00:00:00Z\n[settings]\napi_key = { env = \"K\" }\n",
            "plugin = \"mailer\"\n[consent]\naccepted_by = \"anna@example.com\" # before\naccepted_at = 2026-11-23T10:00:00Z\n[settings]\napi_key = { env = \"K\" }\n",
        ),
    ];
    let with_carriage_returns = cases.map(|(before, after)| [before, after].map(|text| text.replace('\n', "\r\n")));
    let cases = cases.map(|(before, after)| [before, after].map(str::to_owned));
    for [before, after] in cases.into_iter().chain(with_carriage_returns) {
        let dir = project(&[("connections/mailer.toml", &before)]);
        write_consent(dir.path(), "mailer", &consent).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("connections/mailer.toml")).unwrap(), after);
        assert_eq!(loaded(&dir).connections["mailer"].consent.as_ref(), Some(&consent));
        let names = fs::read_dir(dir.path().join("connections")).unwrap().count();
        assert_eq!(names, 1, "no temporary file is left");
    }
    let dir = project(&[("connections/broken.toml", "plugin = \""), ("connections/odd.toml", "consent = 1")]);
    for id in ["broken", "odd", "missing", "../segport"] {
        assert!(write_consent(dir.path(), id, &consent).is_err(), "{id}");
    }
}

#[cfg(unix)]
#[test]
fn consent_keeps_permissions_and_links() {
    use std::os::unix::fs::PermissionsExt;
    let consent = Consent { accepted_by: "anna".to_owned(), accepted_at: "2026-11-23T10:00:00Z".parse().unwrap() };
    let dir = project(&[("shared.toml", "plugin = \"mailer\"\n")]);
    let target = dir.path().join("shared.toml");
    fs::set_permissions(&target, fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("../shared.toml", dir.path().join("connections/shared.toml")).unwrap();
    write_consent(dir.path(), "shared", &consent).unwrap();
    assert!(fs::symlink_metadata(dir.path().join("connections/shared.toml")).unwrap().is_symlink());
    assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(fs::read_to_string(target).unwrap().contains("anna"));
}

#[test]
fn every_code_has_a_page_and_every_page_is_reachable() {
    let mut numbers: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    for code in Code::ALL {
        let page = explain(&code.as_str().to_lowercase()).unwrap();
        assert!(page.starts_with(&format!("# {code}: ")), "{code}");
        assert!(page.contains("\n## Fix\n"), "{code}");
    }
    assert!(numbers.is_sorted(), "codes are listed in ascending order");
    numbers.dedup();
    assert_eq!(numbers.len(), Code::ALL.len(), "two codes have one number");
    let pages = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/codes")).unwrap().count();
    assert_eq!(pages, Code::ALL.len(), "a page without a code");
    assert_eq!(explain("SP9999"), None);
    assert_eq!(Code::of(ErrorKind::Timeout), Code::Timeout);
}

#[test]
fn thresholds() {
    let cases: &[(&str, Option<Threshold>)] = &[
        ("10%", Some(Threshold::Percent(10.0))),
        ("0.5 %", Some(Threshold::Percent(0.5))),
        ("500", Some(Threshold::Rows(500))),
        ("101%", None),
        ("-1%", None),
        ("NaN%", None),
        ("ten", None),
        ("", None),
    ];
    for (text, expected) in cases {
        assert_eq!(text.parse().ok(), *expected, "{text}");
    }
    assert!(Threshold::Percent(10.0).is_exceeded(11, 100) && !Threshold::Percent(10.0).is_exceeded(10, 100));
    assert!(!Threshold::Percent(10.0).is_exceeded(0, 0) && Threshold::Rows(0).is_exceeded(1, 100));
}

#[test]
fn two_hundred_exports_are_checked_quickly() {
    let dir = project(&[]);
    for number in 0..200 {
        fs::write(dir.path().join(format!("exports/e{number}.toml")), FULL).unwrap();
    }
    let start = Instant::now();
    assert_eq!(loaded(&dir).exports.len(), 201);
    let took = start.elapsed();
    // Clocks say little about a debug build on a busy machine.
    assert!(cfg!(debug_assertions) || took < Duration::from_millis(300), "{took:?}");
}

/// Text that is TOML in parts.
fn tomlish() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("[fields]\n".to_owned()),
        Just("[fields.custom]\n".to_owned()),
        Just("[settings]\n".to_owned()),
        Just("[consent]\n".to_owned()),
        Just("[[guards]]\n".to_owned()),
        Just("connection = \"mailer\"\n".to_owned()),
        Just("plugin = \"mailer\"\n".to_owned()),
        Just("segments = [\"vip\", 7, {}]\n".to_owned()),
        Just("api_key = \"hunter2\"\n".to_owned()),
        Just("api_key = { env = \"\" }\n".to_owned()),
        Just("api_key.x = \"\"\"\nhunter2\n\"\"\"\n".to_owned()),
        Just("ø = \"\u{1F600}\"\r\n".to_owned()),
        "[a-z./~\"]{1,6} = [-0-9a-z\"{}\\[\\],.]{0,12}\n",
        any::<String>(),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn no_text_makes_it_panic_or_show_a_secret(text in tomlish(), file in prop::sample::select(FILES)) {
        let dir = project(&[(file, &text)]);
        let loaded = load(dir.path(), &catalog());
        let shown = loaded.diagnostics.render(Style::Plain);
        prop_assert!(file.starts_with("exports") || !shown.contains("hunter2"), "{}", shown);
    }
}

const FILES: &[&str] =
    &["segport.toml", "sources/crm.toml", "segments/vip.toml", "connections/mailer.toml", "exports/newsletter.toml"];
