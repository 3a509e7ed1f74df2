//! What is wrong with a project, and who may send.

use insta::assert_snapshot;
use segport_sandbox::Options;
use segport_tests::{KEY, Scene, people};

#[test]
fn a_sound_project_is_ok() {
    let scene = Scene::new(&people(1..=3));
    scene.call("check").exits(0).prints("project ok: 1 export, 1 segment, 1 source, 1 connection");
    assert_eq!(scene.requests(), 0);
}

#[test]
fn an_unknown_column_is_shown_where_it_stands() {
    let scene = Scene::new(&people(1..=3));
    scene.edit("exports/newsletter.toml", "\"email_address\"", "\"email_adress\"");
    let found = scene.call("check");
    assert_snapshot!(found.exits(1).stdout, @r#"
    error[SP0203]: unknown column `email_adress`
     --> exports/newsletter.toml:5:9
      |
    5 | email = "email_adress"
      |         ^^^^^^^^^^^^^^ segment `newsletter` has no such column
      |
      = help: did you mean `email_address`?

    1 error
    "#);
    assert_ne!(scene.run("").code(), 0);
    assert_eq!(scene.requests(), 0);
}

#[test]
fn all_mistakes_are_told_at_once_with_their_codes() {
    let scene = Scene::new(&people(1..=3));
    scene.edit("exports/newsletter.toml", "first_name", "frist_name");
    scene.edit("exports/newsletter.toml", "connection = \"autopilot\"", "connection = \"autopilto\"");
    scene.edit("segments/newsletter.toml", "[read]", "[raed]");
    scene.edit("segport.toml", "[egress]", "[egres]");
    scene.write("sources/broken.toml", "plugin = \n");
    let found = scene.call("check --output json");
    let findings = found.exits(1).objects();
    let codes: Vec<&str> = findings.iter().filter_map(|finding| finding["code"].as_str()).collect();
    assert_eq!(codes, ["SP0204", "SP0104", "SP0104", "SP0101"], "{found}");
    let found = scene.call("check");
    let found = found.exits(1);
    for text in ["`egres`", "`raed`", "did you mean `autopilot`?", "sources/broken.toml:1"] {
        found.prints(text);
    }
}

#[test]
fn an_error_in_one_file_hides_none_that_a_connector_finds_in_another() {
    let scene = Scene::new(&people(1..=3));
    scene.connection("list_membership = \"single\"\nmax_in_flight = 1000000");
    let settings = scene.call("check").exits(1).stdout.clone();
    assert!(settings.contains("connections/autopilot.toml"), "{settings}");
    scene.edit("exports/newsletter.toml", "email = ", "shoe_size = \"given_name\"\nemail = ");
    let found = scene.call("check");
    found.exits(1).prints("connections/autopilot.toml").prints("`shoe_size`").prints("2 errors");
}

#[test]
fn an_installed_plugin_that_no_file_names_is_suggested() {
    let scene = Scene::new(&people(1..=3));
    scene.edit("connections/autopilot.toml", "plugin = \"autopilot\"", "plugin = \"autoplot\"");
    scene.call("check").exits(1).prints("error[SP0401]: unknown plugin `autoplot`").prints("did you mean `autopilot`?");
    scene.edit("connections/autopilot.toml", "plugin = \"autoplot\"", "plugin = \"files\"");
    scene
        .call("check")
        .exits(1)
        .prints("error[SP0402]: plugin `files` is a source plugin")
        .prints("`segport connectors list`");
}

#[test]
fn a_project_whose_own_file_is_wrong_is_checked_to_its_columns_and_not_run() {
    let scene = Scene::new(&people(1..=3));
    scene.edit("exports/newsletter.toml", "\"email_address\"", "\"email_adress\"");
    scene.edit("segport.toml", "[egress]", "[refresh]\ncron = \"at five\"\n[egress]");
    scene.call("check").exits(1).prints("SP0203").prints("SP0501").prints("2 errors");
    scene.edit("exports/newsletter.toml", "\"email_adress\"", "\"email_address\"");
    for words in ["plan", "run", "retry", "status", "runs", "connect autopilot"] {
        scene.call(words).exits(2).says("SP0501");
    }
    assert_eq!(scene.requests(), 0);
}

#[test]
fn no_plugin_is_accepted_where_nobody_can_tell_which_is_meant() {
    let scene = Scene::new(&people(1..=3));
    std::fs::remove_file(scene.path("segport.lock")).ok();
    scene.edit("segport.toml", "[egress]", "[egress");
    scene.call("check").exits(1).prints("SP0101").prints("1 error");
    assert!(!scene.path("segport.lock").exists());
    scene.edit("segport.toml", "[egress", "[egress]");
    scene.call("check").exits(0);
    assert!(scene.path("segport.lock").exists());
}

#[test]
fn exports_that_share_a_list_are_told_of() {
    let scene = Scene::new(&people(1..=3));
    scene.segment("vip", &people(2..=4));
    scene.edit("segments/vip.toml", "source =", "display_name = \"newsletter\"\nsource =");
    let second = scene.read("exports/newsletter.toml").replace("segments = [\"newsletter\"]", "segments = [\"vip\"]");
    scene.write("exports/vip.toml", &second);
    let found = scene.call("check");
    assert_snapshot!(found.exits(0).stdout, @r#"
    warning[SP0216]: segment `vip` shares its list with segment `newsletter` of export `newsletter`, of which this export knows nothing
     --> exports/vip.toml:2:13
      |
    2 | segments = ["vip"]
      |             ^^^^^
      |
      = help: a run takes off whoever left its own segment, though they may be in the other one: give one of them another list, or set `policy = "keep"` under `[leavers]` in both exports

    project ok: 2 exports, 2 segments, 1 source, 1 connection, 1 warning
    "#);

    let keep = |export: &str| {
        scene.edit(&format!("exports/{export}.toml"), "[fields]", "[leavers]\npolicy = \"keep\"\n[fields]")
    };
    keep("vip");
    scene.call("check").exits(0).prints("SP0216");
    keep("newsletter");
    scene.call("check").exits(0).prints("project ok: 2 exports, 2 segments, 1 source, 1 connection\n");
    scene.write("exports/vip.toml", second.replace("\"vip\"", "\"newsletter\""));
    scene.call("check").exits(0).prints("project ok: 2 exports, 2 segments, 1 source, 1 connection\n");
}

#[test]
fn columns_are_checked_beside_other_mistakes() {
    let scene = Scene::new(&people(1..=3));
    scene.edit("exports/newsletter.toml", "\"email_address\"", "\"email_adress\"");
    scene.edit("exports/newsletter.toml", "first_name =", "frist_name =");
    scene.edit("segments/newsletter.toml", "customer_id", "costumer_id");
    scene.segment("vip", &people(1..=3));
    scene.edit("segments/vip.toml", "[read]", "[raed]");
    let found = scene.call("check --output json");
    let findings = found.exits(1).objects();
    let told = |finding: &serde_json::Value| format!("{} {} {}", finding["file"], finding["line"], finding["code"]);
    let told: Vec<String> = findings.iter().map(|finding| told(finding).replace('"', "")).collect();
    assert_snapshot!(told.join("\n"), @r"
    exports/newsletter.toml 5 SP0203
    exports/newsletter.toml 6 SP0206
    segments/newsletter.toml 2 SP0203
    segments/vip.toml 1 SP0105
    segments/vip.toml 4 SP0104
    ");
}

#[test]
fn a_mistake_is_told_once_in_the_file_that_has_it() {
    let check = |path: &str, text: &str, code: &str, place: &str, says: &str| {
        let scene = Scene::new(&people(1..=3));
        scene.write("state.key", "too short");
        let before = std::fs::read_to_string(scene.path(path)).unwrap_or_default();
        scene.write(path, before + text);
        let found = scene.call("check --output json");
        let findings = found.exits(1).objects();
        assert_eq!(findings.len(), 1, "{found}");
        assert_eq!(findings[0]["code"], code, "{found}");
        assert_eq!(findings[0]["file"].as_str().unwrap_or_default(), place, "{found}");
        found.prints(says);
        scene.run("").exits(2).says(code);
    };
    let postgres = "[state]\nurl = \"postgres://db/segport\"\n";
    check("segport.toml", postgres, "SP0112", "segport.toml", "PostgreSQL");
    let missing = "[state]\nkey = { env = \"STATE_KEY\" }\n";
    check("segport.toml", missing, "SP0303", "segport.toml", "STATE_KEY");
    let short = "[state]\nkey = { file = \"state.key\" }\n";
    check("segport.toml", short, "SP0602", "segport.toml", "shorter than 16");
    check("segport.lock", "no lock file\n", "SP0407", "", "segport connectors lock");
    check("connections/autopilot.toml", "list_id = \" \"\n", "SP0611", "connections/autopilot.toml", "list_id");
}

#[test]
fn what_a_plugin_objects_to_is_shown_where_it_stands() {
    let check = |prepare: &dyn Fn(&Scene), place: &str, line: &str| {
        let scene = Scene::new(&people(1..=3));
        scene.segment("vip", &people(1..=3));
        scene.segments(&["newsletter", "vip"], "");
        prepare(&scene);
        let found = scene.call("check");
        found.exits(1).prints(&format!("--> {place}\n")).prints(&format!(" | {line}"));
        assert!(!found.stdout.contains("hunter2"), "{found}");
    };
    let export = "exports/newsletter.toml";
    let segments = "segments = [\"newsletter\", \"vip\"]";
    check(&|scene| scene.connection("list_id = \"contactlist_1\""), &format!("{export}:2:12"), segments);
    let name = "key = \"customer_id\"";
    let alike = |scene: &Scene| {
        for segment in ["newsletter", "vip"] {
            scene.edit(&format!("segments/{segment}.toml"), name, &format!("display_name = \"N\"\n{name}"));
        }
    };
    check(&alike, &format!("{export}:2:13"), segments);
    let gone = |scene: &Scene| std::fs::remove_file(scene.path("data/vip.csv")).unwrap();
    check(&gone, "segments/vip.toml:5:1", "path = \"vip.csv\"");
    let password = |scene: &Scene| scene.edit("connections/autopilot.toml", "http://", "http://me:hunter2@");
    check(&password, "connections/autopilot.toml:9:1", "base_url = \"*");
}

#[test]
fn what_the_connector_does_not_accept_does_not_start() {
    let scene = Scene::new(&people(1..=3));
    scene.segment("vip", &people(1..=3));
    scene.segments(&["newsletter", "vip"], "");
    scene.connection("list_id = \"contactlist_1\"");
    for words in ["plan", "run"] {
        scene.call(words).exits(2).says("SP0611").says("list_id");
    }
    assert_eq!((scene.requests(), scene.call("runs --output json").exits(0).objects().len()), (0, 0));
}

#[test]
fn every_code_is_explained() {
    let scene = Scene::new(&[]);
    let codes = scene.call("explain --output json");
    let codes = codes.exits(0).objects();
    assert!(codes.len() > 40);
    scene.call("explain SP0203").exits(0).prints("SP0203");
    scene.call("explain sp0404").exits(0).prints("SP0404");
    scene.call("explain SP9999").exits(2).says("SP9999");
}

#[test]
fn a_secret_in_a_file_is_refused_and_not_shown() {
    let scene = Scene::new(&people(1..=3));
    scene.edit("connections/autopilot.toml", "{ env = \"AUTOPILOT_API_KEY\" }", &format!("\"{KEY}\""));
    let ended = scene.keyless("check").run();
    ended.exits(1).prints("SP0301");
    assert!(!ended.to_string().contains(KEY), "the key is shown");
    for words in ["run", "plan", "connect autopilot", "status", "run -vv", "check --output json"] {
        let ended = scene.keyless(words).run();
        assert_ne!(ended.code(), 0, "{words}");
        assert!(!ended.to_string().contains(KEY), "{words} shows the key");
    }
    assert_eq!(scene.requests(), 0);
}

#[test]
fn a_secret_that_is_not_there_is_named() {
    let scene = Scene::new(&people(1..=3));
    scene.keyless("check").run().exits(1).prints("SP0303").prints("AUTOPILOT_API_KEY");
    scene.keyless("run").run().exits(2).says("AUTOPILOT_API_KEY");
    scene.edit("connections/autopilot.toml", "env = \"AUTOPILOT_API_KEY\"", "file = \"secrets/key\"");
    scene.keyless("check").run().exits(1).prints("SP0304");
    scene.write("secrets/key", format!("{KEY}\n"));
    scene.keyless("check").run().exits(0);
    scene.keyless("run").run().exits(0);
    scene.edit("connections/autopilot.toml", "file = \"secrets/key\"", "credential = \"autopilot\"");
    scene.keyless("run").run().exits(2).says("SP0305");
    scene.write("credentials/autopilot", KEY);
    scene.keyless("run").env("CREDENTIALS_DIRECTORY", scene.path("credentials")).run().exits(0);
}

#[test]
fn what_is_wrong_with_a_secret_or_a_setting_is_shown_where_it_stands_in_every_command() {
    let check = |prepare: &dyn Fn(&Scene), code: &str, place: &str, commands: &[&str]| {
        let scene = Scene::new(&people(1..=3));
        scene.delivers();
        prepare(&scene);
        for words in commands {
            let ended = scene.keyless(words).env("SHORT", "too short").run();
            let text = format!("{}{}", ended.stdout, ended.stderr);
            assert!(text.contains(&format!("error[{code}]: ")) && text.contains(&format!("--> {place}\n")), "{ended}");
            assert!(!text.contains("too short"), "{ended}");
        }
    };
    let state = |line: &'static str| {
        move |scene: &Scene| {
            scene.edit("segport.toml", "[egress]", &format!("[state]\n{line}\n[egress]"));
            scene.edit("connections/autopilot.toml", "{ env = \"AUTOPILOT_API_KEY\" }", "{ file = \"key\" }");
            scene.write("key", KEY);
        }
    };
    let connection = "connections/autopilot.toml:8:11";
    check(&|_| {}, "SP0303", connection, &["check", "plan", "run", "connect autopilot"]);
    let commands = ["check", "plan", "run", "runs", "suppress check p1@example.com"];
    check(&state("key = { env = \"GONE\" }"), "SP0303", "segport.toml:5:7", &commands);
    check(&state("key = { env = \"SHORT\" }"), "SP0602", "segport.toml:5:7", &commands);
    check(&state("url = { env = \"GONE\" }"), "SP0303", "segport.toml:5:7", &commands);
    let setting = |scene: &Scene| {
        scene.connection("list_id = \" \"");
        scene.edit("connections/autopilot.toml", "{ env = \"AUTOPILOT_API_KEY\" }", "{ file = \"key\" }");
        scene.write("key", KEY);
    };
    check(&setting, "SP0611", "connections/autopilot.toml:11:1", &["check", "plan", "run"]);
}

#[test]
fn outside_a_project_there_is_nothing_to_run() {
    let scene = Scene::new(&[]);
    std::fs::remove_file(scene.path("segport.toml")).unwrap();
    for words in ["run", "check", "plan", "status", "runs", "rows 01", "retry", "connect autopilot", "connectors lock"]
    {
        scene.call(words).exits(2).says("SP0103");
    }
    scene.write("other/segport.toml", "[project]\nname = \"other\"\n");
    scene.call("-C other check").exits(0);
}

/// A scene whose connection's text nobody has accepted.
fn without_consent() -> Scene {
    let scene = Scene::new(&people(1..=3));
    let text = scene.read("connections/autopilot.toml");
    let (head, tail) = text.split_once("[consent]").unwrap();
    let (_, tail) = tail.split_once("[settings]").unwrap();
    scene.write("connections/autopilot.toml", format!("# our account\n{head}[settings] # of the account\n{tail}"));
    scene
}

#[test]
fn without_consent_nothing_is_sent() {
    let scene = without_consent();
    scene.run("").exits(2).says("SP0307").says("segport connect autopilot");
    scene.call("retry").exits(0);
    assert_eq!(scene.requests(), 0);
    assert_eq!(scene.sandbox.autopilot().contact_count(), 0);
    scene.call("status").exits(0).prints("not accepted");
}

#[test]
fn consent_is_recorded_in_the_connection() {
    let scene = without_consent();
    let accepted = scene.call("connect autopilot --accept --by anna@example.org");
    accepted.exits(0).says("privacy").prints("accepted by anna@example.org").prints("works");
    let text = scene.read("connections/autopilot.toml");
    for kept in ["# our account\n", "# of the account", "[consent]", "accepted_by = \"anna@example.org\""] {
        assert!(text.contains(kept), "no `{kept}` in {text}");
    }
    scene.comes_to("succeeded: 3 read, 3 added");
    // Accepted is accepted: who did it first stays.
    scene.call("connect autopilot --accept --by bo@example.org").exits(0);
    assert_eq!(scene.read("connections/autopilot.toml"), text);
}

#[test]
fn nobody_is_asked_where_nobody_can_answer() {
    let scene = without_consent();
    let before = scene.read("connections/autopilot.toml");
    for words in ["connect autopilot", "connect autopilot --no-input"] {
        scene.call(words).exits(1).says("--accept");
    }
    assert_eq!(scene.read("connections/autopilot.toml"), before);
    scene.run("").exits(2);
}

#[test]
fn connect_says_which_layer_failed() {
    let check = |from: &str, to: &str, layer: &str| {
        let scene = Scene::with(Options { key: Some(KEY.to_owned()), ..Options::default() }, &[]);
        scene.call("connect autopilot").exits(0);
        let from = from.replace("BASE", scene.sandbox.base_url().trim_start_matches("http://"));
        scene.edit("connections/autopilot.toml", &from, &to.replace("BASE", &from));
        scene.call("connect autopilot").exits(1).says(layer);
    };
    check("env = \"AUTOPILOT_API_KEY\"", "env = \"PATH\"", "authentication failed");
    check("http://", "https://", "TLS failed");
    check("/v1", "/v2", "HTTP failed");
    check("BASE", "127.0.0.1:9/v1", "TCP failed");
    // A label of more than 63 characters is no name anywhere, which a resolver knows without asking.
    check("BASE", &format!("{}.invalid/v1", "a".repeat(64)), "DNS failed");
}

#[test]
fn connect_knows_its_connections() {
    let scene = Scene::new(&[]);
    scene.call("connect autopilto").exits(2).says("autopilot");
    let answer = scene.call("connect autopilot --output json");
    let answer = answer.exits(0).objects().remove(0);
    assert_eq!((&answer["works"], &answer["accepted_by"]), (&true.into(), &"anna@example.org".into()));
    scene.edit("connections/autopilot.toml", "env = \"AUTOPILOT_API_KEY\"", "env = \"NO_SUCH_KEY\"");
    let answer = scene.call("connect autopilot --output json");
    let answer = answer.exits(1).objects().remove(0);
    assert_eq!((&answer["works"], &answer["error"]["layer"]), (&false.into(), &"settings".into()));
    assert!(answer["error"]["message"].as_str().unwrap().contains("NO_SUCH_KEY"), "{answer}");
}

#[test]
fn schemas_are_written_with_those_of_the_plugins() {
    let scene = Scene::new(&[]);
    scene.call("schema").exits(0);
    let connection = scene.read("schemas/connection.json");
    for word in ["list_membership", "requests_per_second"] {
        assert!(connection.contains(word), "{word}");
    }
    assert!(scene.read("schemas/segment.json").contains("null_values"));
    scene.call("schema run-report").exits(0).prints("\"Report of a run\"");
}
