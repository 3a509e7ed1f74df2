//! What is wrong with a project, and how it is shown.

use crate::support::{catalog, project, without_dir};
use segport_manifest::{Code, Style, load};

const EXPORT: &str = "exports/newsletter.toml";
const CONNECTION: &str = "connections/mailer.toml";
const SEGMENT: &str = "segments/vip.toml";
const SETTINGS: &str = "segport.toml";

/// An export whose head is good, with this mapping and what follows.
macro_rules! export {
    ($rest:literal) => {
        concat!("connection = \"mailer\"\nsegments = [\"newsletter\"]\n", $rest)
    };
}

/// Paths and texts.
type Files = &'static [(&'static str, &'static str)];

/// Name of the snapshot, code that must be among the findings, changed files.
const CASES: &[(&str, Code, Files)] = &[
    ("syntax", Code::Syntax, &[(EXPORT, "connection = \"mailer\nsegments = []\n")]),
    ("text_without_quotes", Code::Syntax, &[(EXPORT, "connection = \"mailer\"\nsegments = [newsletter, inbox]\n")]),
    (
        "unclosed_quote",
        Code::Syntax,
        &[(EXPORT, "connection = \"mailer\"\nsegments = []\ndisplay_name = \"Oslo, Norway\n")],
    ),
    ("curly_quotes", Code::Syntax, &[(EXPORT, "connection = \u{201c}mailer\u{201d}\nsegments = []\n")]),
    ("secret_without_quotes", Code::Syntax, &[(CONNECTION, "plugin = \"mailer\"\n[settings]\napi_key = hunter2\n")]),
    ("syntax_of_a_secret", Code::Syntax, &[(CONNECTION, "plugin = \"mailer\"\n[settings]\napi_key = \"hunter2\n")]),
    ("duplicate_key", Code::Syntax, &[(EXPORT, export!("[fields]\nemail = \"a\"\nemail = \"b\"\n"))]),
    (
        "too_large_a_number",
        Code::OutOfRange,
        &[(EXPORT, export!("[fields]\nemail = \"a\"\n[guards]\nmax_refused = 99999999999999999999\n"))],
    ),
    ("no_project", Code::NoProject, &[(SETTINGS, "")]),
    (
        "unknown_key",
        Code::UnknownKey,
        &[(EXPORT, export!("lavers = 1\n[fields]\nemail = \"a\"\n[guards]\nmax_removal = 3\n"))],
    ),
    ("unknown_table", Code::UnknownKey, &[(SETTINGS, "[project]\nname = \"acme\"\n[plugin]\npath = []\n")]),
    ("unknown_setting", Code::UnknownKey, &[(CONNECTION, "plugin = \"mailer\"\n[settings]\napi_kee = \"hunter2\"\n")]),
    (
        "unknown_read_option",
        Code::UnknownKey,
        &[(SEGMENT, "source = \"crm\"\nkey = \"id\"\n[read]\npaht = \"vip.csv\"\n")],
    ),
    (
        "host_setting",
        Code::UnknownKey,
        &[("sources/crm.toml", "plugin = \"files\"\n[settings]\nroot = \"a\"\nproject_dir = \"b\"\n")],
    ),
    ("misplaced_secret", Code::UnknownKey, &[(CONNECTION, "plugin = \"mailer\"\napi_key = \"hunter2\"\n")]),
    (
        "missing_key",
        Code::MissingKey,
        &[(EXPORT, "segments = [\"newsletter\"]\n[fields]\nemail = { transform = [] }\n")],
    ),
    ("missing_keys", Code::MissingKey, &[(EXPORT, "[fields]\nemail = \"email_address\"\n")]),
    (
        "missing_key_under_a_table",
        Code::MissingKey,
        &[(EXPORT, "segments = [\"newsletter\"]\n[fields]\nemail = \"email_address\"\nconnection = \"mailer\"\n")],
    ),
    ("missing_setting", Code::MissingKey, &[(CONNECTION, "plugin = \"mailer\"\n[settings]\nmembership = \"probe\"\n")]),
    ("missing_settings", Code::MissingKey, &[(CONNECTION, "plugin = \"mailer\"\n")]),
    (
        "wrong_type",
        Code::WrongType,
        &[(
            EXPORT,
            "connection = 5\nsegments = \"newsletter\"\ndisplay_name = 2026-01-01\n[fields]\nemail = 7\nfirst_name = { column = [] }\n[guards]\nallow_empty = \"no\"\nmax_refused = true\n",
        )],
    ),
    (
        "out_of_range",
        Code::OutOfRange,
        &[(
            CONNECTION,
            "plugin = \"mailer\"\nusable_by = []\n[settings]\napi_key = { env = \"K\" }\nrequests_per_second = 50\n",
        )],
    ),
    ("empty_key", Code::OutOfRange, &[(SEGMENT, "source = \"crm\"\nkey = []\n[read]\npath = \"\"\n")]),
    (
        "empty_texts",
        Code::OutOfRange,
        &[(EXPORT, "display_name = \"\"\nconnection = \"mailer\"\nsegments = []\n[fields]\nemail = \"\"\n")],
    ),
    (
        "unknown_value",
        Code::UnknownValue,
        &[
            (
                CONNECTION,
                "plugin = \"mailer\"\nusable_by = [\"contributor\"]\n[settings]\napi_key = { env = \"K\" }\nmembership = \"singel\"\n",
            ),
            (
                EXPORT,
                export!(
                    "[fields]\nemail = { column = \"a\", transform = [\"trim\", \"lowercase\"], when_null = \"skip\" }\n[leavers]\npolicy = \"delete\"\n"
                ),
            ),
        ],
    ),
    (
        "bad_value",
        Code::BadValue,
        &[
            (
                CONNECTION,
                "plugin = \"mailer\"\n[consent]\naccepted_by = \"anna\"\naccepted_at = \"yesterday\"\n[settings]\napi_key = { env = \"K\" }\n",
            ),
            (SETTINGS, "[project]\nname = \"acme\"\n[state]\nurl = \"mysql://db\"\n"),
        ],
    ),
    (
        "state_in_postgres",
        Code::StateUrl,
        &[(SETTINGS, "[project]\nname = \"a\"\n[state]\nurl = \"postgres://db/a\"\n")],
    ),
    ("state_without_scheme", Code::StateUrl, &[(SETTINGS, "[project]\nname = \"a\"\n[state]\nurl = \"state.db\"\n")]),
    ("state_in_memory", Code::StateUrl, &[(SETTINGS, "[project]\nname = \"a\"\n[state]\nurl = \"sqlite::memory:\"\n")]),
    ("state_without_file", Code::StateUrl, &[(SETTINGS, "[project]\nname = \"a\"\n[state]\nurl = \"sqlite://\"\n")]),
    (
        "consent_without_offset",
        Code::BadValue,
        &[(
            CONNECTION,
            "plugin = \"mailer\"\n[consent]\naccepted_by = \"anna\"\naccepted_at = 2026-01-01\n[settings]\napi_key = { env = \"K\" }\n",
        )],
    ),
    ("bad_id", Code::BadId, &[("segments/Very Important.toml", "source = \"crm\"\nkey = \"id\"\n")]),
    (
        "duplicate_entry",
        Code::DuplicateEntry,
        &[(SEGMENT, "source = \"crm\"\nkey = [\"id\", \"id\"]\n[read]\npath = \"vip.csv\"\n")],
    ),
    (
        "unknown_source",
        Code::UnknownSource,
        &[(SEGMENT, "source = \"cmr\"\nkey = \"id\"\n[read]\npath = \"vip.csv\"\n")],
    ),
    (
        "unknown_segment",
        Code::UnknownSegment,
        &[(EXPORT, "connection = \"mailer\"\nsegments = [\"vip\", \"newletter\"]\n[fields]\nemail = \"a\"\n")],
    ),
    (
        "unknown_connection",
        Code::UnknownConnection,
        &[(EXPORT, "connection = \"maler\"\nsegments = [\"vip\"]\n[fields]\nemail = \"a\"\n")],
    ),
    ("missing_field", Code::MissingField, &[(EXPORT, export!("\n[fields]\nfirst_name = \"a\"\n"))]),
    (
        "unknown_field",
        Code::UnknownField,
        &[(EXPORT, export!("[fields]\nemail = \"a\"\nfrist_name = \"b\"\nlifetime_value = { column = \"ltv\" }\n"))],
    ),
    (
        "no_custom_fields",
        Code::NoCustomFields,
        &[
            (CONNECTION, "plugin = \"plain\"\n"),
            (EXPORT, export!("[fields]\nemail = \"a\"\n[fields.custom]\nLTV = \"ltv\"\n")),
        ],
    ),
    (
        "custom_field_name",
        Code::CustomFieldName,
        &[(
            EXPORT,
            export!(
                "[fields]\nemail = \"a\"\n[fields.custom]\n\"Life--Time\" = \"a\"\n\" Value\" = \"b\"\n\"\" = \"c\"\n"
            ),
        )],
    ),
    (
        "custom_field_type",
        Code::CustomFieldType,
        &[(
            EXPORT,
            export!("[fields]\nemail = \"a\"\n[fields.custom]\nLTV = { column = \"ltv\", type = \"boolean\" }\n"),
        )],
    ),
    (
        "custom_field_type_unknown",
        Code::UnknownValue,
        &[(
            EXPORT,
            export!("[fields]\nemail = \"a\"\n[fields.custom]\nLTV = { column = \"ltv\", type = \"flaot\" }\n"),
        )],
    ),
    (
        "custom_field_type_unlike_any",
        Code::UnknownValue,
        &[(
            EXPORT,
            export!("[fields]\nemail = \"a\"\n[fields.custom]\nLTV = { column = \"ltv\", type = \"money\" }\n"),
        )],
    ),
    (
        "similar_custom_fields",
        Code::SimilarCustomFields,
        &[(
            EXPORT,
            export!(
                "[fields]\nemail = \"a\"\n[fields.custom]\n\"Lifetime Value\" = \"a\"\n\"lifetime  value\" = \"b\"\n"
            ),
        )],
    ),
    (
        "duplicate_segment",
        Code::DuplicateSegment,
        &[(
            EXPORT,
            "connection = \"mailer\"\nsegments = [\"vip\", \"newsletter\", \"vip\"]\n[fields]\nemail = \"a\"\n",
        )],
    ),
    (
        "one_segment_only",
        Code::OneSegmentOnly,
        &[
            (CONNECTION, "plugin = \"plain\"\n"),
            (EXPORT, "connection = \"mailer\"\nsegments = [\"vip\", \"newsletter\"]\n[fields]\nemail = \"a\"\n"),
        ],
    ),
    (
        "transform_mismatch",
        Code::TransformMismatch,
        &[(
            EXPORT,
            export!(
                "[fields]\nemail = { column = \"a\", transform = [\"trim\", \"sha256\"] }\norders = { column = \"b\", transform = [{ date = \"%Y\" }] }\n"
            ),
        )],
    ),
    (
        "bad_date_format",
        Code::BadDateFormat,
        &[(
            EXPORT,
            export!(
                "[fields]\nemail = \"a\"\nborn = { column = \"b\", transform = [{ date = \"dd.mm.yyyy\" }] }\nfirst_name = { column = \"c\", transform = [{ date = \"%k!%\" }] }\n"
            ),
        )],
    ),
    (
        "secret_literal",
        Code::SecretLiteral,
        &[(CONNECTION, "plugin = \"mailer\"\n[settings]\napi_key = \"hunter2\"\nwebhook_key = 1234567\n")],
    ),
    (
        "secret_literal_of_state",
        Code::SecretLiteral,
        &[(
            SETTINGS,
            "[project]\nname = \"acme\"\n[state]\nurl = \"postgres://me:hunter2@db/segport\"\nkey = 'hunter2'\n",
        )],
    ),
    (
        "secret_literal_inline",
        Code::SecretLiteral,
        &[(CONNECTION, "plugin = \"mailer\"\nsettings = { api_key = \"hunter2\", rate = 1 }\n")],
    ),
    (
        "secret_in_an_export",
        Code::UnknownKey,
        &[(
            EXPORT,
            export!(
                "api_key = \"hunter2\"\nsettings = { api_key = 1234567 }\n[fields]\nemail = \"a\"\n[schedule]\ntoken = \"hunter2\"\ncron = \"0 5 * * *\"\n"
            ),
        )],
    ),
    (
        "secret_in_a_comment",
        Code::SecretLiteral,
        &[(
            CONNECTION,
            "plugin = \"mailer\"\nold = 1 # hunter2\n[settings]\napi_key = \"new\" # it was hunter2\nwebhook_key = [\"hunter2\"] # 1234567\n",
        )],
    ),
    (
        "secret_in_a_query",
        Code::SecretLiteral,
        &[(SETTINGS, "[project]\nname = \"acme\"\n[state]\nurl = \"postgres://db/segport?PassWord=hunter2\"\n")],
    ),
    ("secret_instead_of_settings", Code::WrongType, &[(CONNECTION, "plugin = \"mailer\"\nsettings = \"hunter2\"\n")]),
    (
        "secret_beside_unknown_plugin",
        Code::UnknownPlugin,
        &[("connections/other.toml", "plugin = \"other\"\nsettings = { api_key = \"hunter2\" }\nbogus = 1\n")],
    ),
    (
        "secret_reference",
        Code::BadSecretReference,
        &[(
            CONNECTION,
            "plugin = \"mailer\"\n[settings]\napi_key = { enf = \"hunter2\" }\nwebhook_key = { env = \"hunter2-+\" }\n",
        )],
    ),
    (
        "secret_reference_of_state",
        Code::BadSecretReference,
        &[(SETTINGS, "[project]\nname = \"acme\"\n[state]\nurl = { env = \"hunter2-+\" }\n")],
    ),
    (
        "secret_reference_ambiguous",
        Code::BadSecretReference,
        &[(
            CONNECTION,
            "plugin = \"mailer\"\n[settings]\napi_key = { env = \"A\", file = \"b\" }\nwebhook_key = { credential = \"../x\" }\n",
        )],
    ),
    (
        "unknown_plugin",
        Code::UnknownPlugin,
        &[(CONNECTION, "plugin = \"mailr\"\n"), ("sources/crm.toml", "plugin = \"lake\"\n")],
    ),
    (
        "wrong_plugin_kind",
        Code::WrongPluginKind,
        &[(CONNECTION, "plugin = \"files\"\n"), ("sources/crm.toml", "plugin = \"mailer\"\n")],
    ),
    (
        "bad_cron",
        Code::BadCron,
        &[
            (EXPORT, export!("[fields]\nemail = \"a\"\n[schedule]\ncron = \"0 25 * * *\"\n")),
            (SETTINGS, "[project]\nname = \"acme\"\n[refresh]\ncron = \"daily at five\"\ntime_zone = \"UTC\"\n"),
        ],
    ),
    (
        "cron_that_never_comes",
        Code::BadCron,
        &[
            (
                EXPORT,
                export!("[fields]\nemail = \"a\"\n[schedule]\ncron = \"0 0 30 2 *\"\ntime_zone = \"Europe/Oslo\"\n"),
            ),
            (SETTINGS, "[project]\nname = \"acme\"\n[refresh]\ncron = \"0 0 31 4,6,9,11 *\"\n"),
        ],
    ),
    (
        "leavers_cannot_be_removed",
        Code::Unsupported,
        &[
            (CONNECTION, "plugin = \"plain\"\n"),
            (EXPORT, export!("[fields]\nemail = \"a\"\n[leavers]\npolicy = \"remove\"\n")),
        ],
    ),
    (
        "wrong_type_of_a_choice",
        Code::WrongType,
        &[(
            EXPORT,
            export!(
                "[fields]\nemail = { column = \"a\", transform = [5, { upper = 1 }, { date = 5 }], when_null = 3 }\n"
            ),
        )],
    ),
    (
        "unknown_time_zone",
        Code::UnknownTimeZone,
        &[(
            EXPORT,
            export!("[fields]\nemail = \"a\"\n[schedule]\ncron = \"0 5 * * *\"\ntime_zone = \"Europe/Olso\"\n"),
        )],
    ),
    (
        "bad_threshold",
        Code::BadThreshold,
        &[(EXPORT, export!("[fields]\nemail = \"a\"\n[guards]\nmax_removals = \"120%\"\nmax_refused = \"ten\"\n"))],
    ),
    (
        "bad_threshold_of_sizes",
        Code::BadThreshold,
        &[(EXPORT, export!("[fields]\nemail = \"a\"\n[guards]\nmax_growth = \"250%\"\nmax_shrink = \"half\"\n"))],
    ),
    (
        "negative_threshold",
        Code::BadThreshold,
        &[(EXPORT, export!("[fields]\nemail = \"a\"\n[guards]\nmax_removals = -1\n"))],
    ),
    (
        "everything_at_once",
        Code::UnknownSource,
        &[
            (SETTINGS, "[project]\nname = 5\n"),
            (SEGMENT, "source = \"cmr\"\nkey = \"id\"\nread = 5\n"),
            (
                EXPORT,
                "connection = \"mailer\"\nsegments = [\"vip\", \"vpi\"]\nx = 1\n[fields]\nfrist_name = \"a\"\n[schedule]\ncron = \"?\"\n",
            ),
        ],
    ),
];

#[test]
fn an_export_of_more_segments_than_the_state_keeps_apart_is_an_error() {
    for (count, expected) in [(64, 0), (65, 1)] {
        let names: Vec<String> = (1..=count).map(|number| format!("\"s{number}\"")).collect();
        let segments = names.join(", ");
        let export = format!("connection = \"mailer\"\nsegments = [{segments}, \"s1\"]\n[fields]\nemail = \"a\"\n");
        let dir = project(&[(EXPORT, &export)]);
        let findings = load(dir.path(), &catalog()).diagnostics;
        let found: Vec<_> = findings.iter().filter(|finding| finding.code == Code::SegmentLimit).collect();
        assert_eq!(found.len(), expected, "{findings}");
        assert!(found.iter().all(|finding| finding.message == "65 segments, but an export can have 64"), "{findings}");
    }
}

#[test]
fn each_problem_is_shown_where_it_is() {
    for (name, code, changes) in CASES {
        let dir = project(changes);
        let loaded = load(dir.path(), &catalog());
        assert!(loaded.diagnostics.has_errors(), "{name}");
        let shown = without_dir(&loaded.diagnostics.render(Style::Plain), dir.path());
        assert!(!shown.contains("hunter2") && !shown.contains("1234567"), "{name} shows a secret:\n{shown}");
        let json = serde_json::to_string(&loaded.diagnostics).unwrap();
        assert!(!json.contains("hunter2") && !json.contains("1234567"), "{name} shows a secret:\n{json}");
        assert!(loaded.diagnostics.iter().any(|finding| finding.code == *code), "{name} lacks {code}:\n{shown}");
        insta::assert_snapshot!(*name, shown);
    }
}
