//! The schemas, as they are committed and as editors see them.

use std::path::Path;

use segport_manifest::schemas;
use serde_json::Value;

use crate::support::catalog;

#[test]
fn the_committed_schemas_are_those_of_the_types() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas");
    for (name, text) in schemas(None) {
        let committed = std::fs::read_to_string(dir.join(&name)).unwrap_or_default();
        assert!(committed == text, "schemas/{name} is out of date: run `cargo xtask schemas` and commit the result");
    }
}

#[test]
fn every_schema_is_a_valid_one_with_and_without_plugins() {
    for set in [schemas(None), schemas(Some(&catalog()))] {
        let names: Vec<_> = set.keys().map(String::as_str).collect();
        assert_eq!(names, ["connection.json", "export.json", "segment.json", "segport.json", "source.json"]);
        for (name, text) in set {
            let schema: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#", "{name}");
            jsonschema::draft7::new(&schema).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}

#[test]
fn plugins_decide_what_editors_accept() {
    let set = schemas(Some(&catalog()));
    let check = |file: &str, toml: &str, expected: bool| {
        let schema: Value = serde_json::from_str(&set[file]).unwrap();
        let value: Value = toml::from_str(toml).unwrap();
        assert_eq!(jsonschema::draft7::is_valid(&schema, &value), expected, "{file}: {toml}");
    };
    check("connection.json", "plugin = 'mailer'\nsettings.api_key.env = 'K'", true);
    check("connection.json", "plugin = 'mailer'\nsettings.api_kee.env = 'K'", false);
    check("connection.json", "plugin = 'mailer'\nsettings.api_key = 'literal'", false);
    check("connection.json", "plugin = 'mailer'", false);
    check("connection.json", "plugin = 'plain'", true);
    check("connection.json", "plugin = 'files'", false);
    check("source.json", "plugin = 'files'\nsettings.root = 'data'", true);
    check("source.json", "plugin = 'files'\nsettings.project_dir = 'data'", false);
    check("segment.json", "source = 'crm'\nkey = 'id'\nread.path = 'a.csv'", true);
    check("segment.json", "source = 'crm'\nkey = 'id'\nread.paht = 'a.csv'", false);
    check("export.json", "connection = 'm'\nsegments = ['a']\nfields.email = 'e'", true);
    check("export.json", "connection = 'm'\nsegments = ['a']\nfields.emial = 'e'", false);
    check(
        "export.json",
        "connection = 'm'\nsegments = ['a']\nfields.email = 'e'\nfields.custom.'Life Time' = 'x'",
        true,
    );
    check("export.json", "connection = 'm'\nsegments = ['a']\nfields.email = 7", false);
}
