//! Finding the files that a segment names.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use serde_json::{Value, json};

use crate::folder::Folder;

fn refused(folder: &Folder, read: Value, part: &str) {
    let message = folder.refusal(read);
    assert!(message.contains(part), "{message}");
}

#[test]
fn nothing_outside_the_root_is_read() {
    let outside = Folder::with("secret.csv", "a\n1\n");
    let folder = Folder::with("in.csv", "a\n1\n");
    std::os::unix::fs::symlink(outside.path().join("secret.csv"), folder.path().join("link.csv")).unwrap();
    std::os::unix::fs::symlink(outside.path(), folder.path().join("up")).unwrap();
    std::os::unix::fs::symlink(folder.path().join("in.csv"), folder.path().join("alias.csv")).unwrap();

    refused(&folder, json!({"path": "../secret.csv"}), "`..` would leave the source's root");
    refused(&folder, json!({"path": "a/../../secret.csv"}), "`..` would leave");
    refused(&folder, json!({"path": outside.path().join("secret.csv")}), "must be relative");
    refused(&folder, json!({"path": ""}), "`path` is empty");
    for path in ["link.csv", "up/secret.csv", "up/*.csv", "up", "l*.csv"] {
        refused(&folder, json!({"path": path}), "is a symbolic link that leads out of the source's root");
    }
    assert_eq!(folder.read(json!({"path": "alias.csv"})).unwrap().rows, ["1"]);
}

#[test]
fn what_is_missing_is_named_with_what_is_there() {
    let folder = Folder::with("lists/newsletter.csv", "a\n1\n").and("lists/vip.csv", "a\n1\n");
    refused(
        &folder,
        json!({"path": "lists/newsleter.csv"}),
        "does not exist in the source's root; did you mean `newsletter.csv`?",
    );
    refused(&folder, json!({"path": "lists/qqq"}), "there is `newsletter.csv`, `vip.csv`");
    refused(
        &folder,
        json!({"path": "lists/*.parquet"}),
        "nothing matches `lists/*.parquet`; there is `newsletter.csv`, `vip.csv`",
    );
    refused(
        &folder,
        json!({"path": "lists", "format": "parquet"}),
        "holds no `parquet` file; there is `newsletter.csv`",
    );
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    refused(&folder, json!({"path": "empty"}), "the folder is empty");
    std::fs::remove_dir_all(folder.path()).unwrap();
    refused(&folder, json!({"path": "lists"}), "the source's root");
}

#[test]
fn a_name_that_is_no_text_is_shown_in_escaped_form() {
    let folder = Folder::with("lists/a.csv", "a\n1\n");
    let odd = |name: &[u8]| folder.path().join(OsStr::from_bytes(name));
    std::fs::write(odd(b"lists/caf\xe9.csv"), "a\n2\n").unwrap();
    for path in ["lists", "lists/*.csv", "**/*.csv"] {
        let expected = r"the name of the file `lists/caf\xe9.csv` is no text in UTF-8: rename it";
        refused(&folder, json!({"path": path}), expected);
    }
    for path in ["lists/a.csv", "lists/a*"] {
        assert_eq!(folder.read(json!({"path": path})).unwrap().rows, ["1"], "{path}");
    }
    std::fs::rename(odd(b"lists/caf\xe9.csv"), odd(b"lists/caf\xe9.txt")).unwrap();
    assert_eq!(folder.read(json!({"path": "lists"})).unwrap().rows, ["1"], "what is no data may have any name");
    std::fs::rename(odd(b"lists"), odd(b"list\xff")).unwrap();
    refused(&folder, json!({"path": "*/a.csv"}), r"`list\xff/a.csv` is no text in UTF-8");
}

#[test]
fn formats_follow_from_endings() {
    let folder =
        Folder::with("a.txt", "x\n1\n").and("b.csv.gz", "").and("c.csv", "x\n2\n").and("c.jsonl", "{\"x\":3}\n");
    refused(&folder, json!({"path": "a.txt"}), "the ending of `a.txt` does not tell its format");
    refused(&folder, json!({"path": "b.csv.gz"}), "compressed files are not read");
    refused(&folder, json!({"path": "c.*"}), "a segment has one format");
    refused(&folder, json!({"path": "c.csv", "format": "parquet"}), "is not a whole Parquet file");
    assert_eq!(folder.read(json!({"path": "a.txt", "format": "csv"})).unwrap().rows, ["1"]);
    assert_eq!(folder.read(json!({"path": ".", "format": "json_lines"})).unwrap().rows, ["3"]);
}

#[test]
fn patterns_find_files_in_the_order_of_their_names() {
    let folder =
        Folder::with("y/b/2.csv", "a\n2\n").and("y/a/1.csv", "a\n1\n").and("y/3.csv", "a\n3\n").and("z.csv", "a\n4\n");
    // What a writer that is not done yet leaves beside its files.
    let folder = folder.and("y/_tmp/1.csv", "a\n6\n").and("y/a/_1.csv", "a\n7\n").and("y/a/.1.csv", "a\n8\n");
    for (path, rows) in [
        ("y/_tmp/*.csv", &["6"][..]),
        ("y/*/_*.csv", &["7"]),
        ("y/*/?.csv", &["1", "2"]),
        ("**/*.csv", &["3", "1", "2", "4"]),
        ("y/**", &["3", "1", "2"]),
        ("y/[ab]/*.csv", &["1", "2"]),
        ("*.csv", &["4"]),
    ] {
        assert_eq!(folder.read(json!({"path": path})).unwrap().rows, rows, "{path}");
    }
    folder.write("odd[1].csv", "a\n5\n");
    assert_eq!(folder.read(json!({"path": "odd[1].csv"})).unwrap().rows, ["5"]);
}

#[test]
fn a_file_that_changes_between_pages_is_an_error() {
    let many: String =
        std::iter::once("a".to_owned()).chain((0..40_000).map(|row| row.to_string())).collect::<Vec<_>>().join("\n");
    let mut folder = Folder::with("f.csv", &many);
    let read = json!({"path": "f.csv"});
    let second = folder.page(&read, None).unwrap().next.unwrap();
    let third = folder.page(&read, Some(&second)).unwrap().next.unwrap();
    folder.write("f.csv", format!("{many}\n1"));
    folder.reopen();
    let error = folder.page(&read, Some(&third)).unwrap_err();
    assert!(error.to_string().contains("`f.csv` changed while it was being read"), "{error}");
    assert_eq!(folder.read(read).unwrap().rows.len(), 40_001);
}

#[test]
fn a_read_begins_with_the_files_as_they_are_then() {
    let folder = Folder::with("f.csv", "a\n1\n");
    assert_eq!(folder.read(json!({"path": "f.csv"})).unwrap().schema, "a:Int64");
    folder.write("f.csv", "b,c\nx,y\n");
    let seen = folder.read(json!({"path": "f.csv"})).unwrap();
    assert_eq!((seen.schema.as_str(), seen.rows), ("b:Utf8 c:Utf8", vec!["x|y".to_owned()]));
}

#[test]
fn cursors_of_others_are_refused() {
    let folder = Folder::with("f.csv", "a\n1\n");
    for cursor in ["", "{}", "nonsense", r#"{"s":1,"f":0}"#] {
        assert!(folder.page(&json!({"path": "f.csv"}), Some(cursor)).is_err(), "{cursor}");
    }
}
