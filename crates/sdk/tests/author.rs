//! A plugin as its author writes and tests it: safe code, one line to export it, no library to build.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test support")]
#![forbid(unsafe_code)]

use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch, StringArray};
use arrow_schema::SchemaRef;
use segport_sdk::http::Request;
use segport_sdk::test::{ConnectorHarness, Script, SourceHarness, json, status};
use segport_sdk::{
    Account, Batch, BatchKind, Connector, Context, Descriptor, Error, ErrorKind, ExportSpec, Outcomes, Page,
    PluginKind, Result, RowOutcome, Secret, SegmentSource, Session, Workload, async_trait,
};

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The key of the account.
    api_key: Secret,
}

struct Mailgrid(Settings);

#[async_trait]
impl Connector for Mailgrid {
    type Settings = Settings;

    fn descriptor() -> Descriptor {
        Descriptor::new("Mailgrid", "Writes segments to Mailgrid lists.")
    }

    fn open(settings: Settings, _: &Context) -> Result<Self> {
        Ok(Self(settings))
    }

    fn address(&self) -> Option<String> {
        Some("https://mailgrid.test".to_owned())
    }

    async fn check(&self, cx: &Context) -> Result<Account> {
        let request = Request::new("GET", "https://mailgrid.test/v1/account", "GET /account");
        let answer = cx.http().send(request.header("authorization", self.0.api_key.expose())).await?;
        match answer.head.status {
            200 => Ok(Account { id: cx.run().to_owned(), name: None, facts: Vec::new() }),
            status => Err(Error::new(ErrorKind::Unauthenticated, format!("Mailgrid answered {status}"))),
        }
    }

    async fn begin(&self, _: &Context, export: &ExportSpec) -> Result<Session> {
        Ok(Session { state: export.id.clone().into(), ..Session::default() })
    }

    async fn write(&self, _: &Context, batch: &Batch) -> Result<Outcomes> {
        let rows = batch.rows.num_rows();
        let given = if batch.session.state.is_null() { rows + 1 } else { rows };
        Ok(Outcomes::all(RowOutcome::Done(None), given))
    }

    async fn finish(&self, _: &Context, _: &Session) -> Result<()> {
        Ok(())
    }
}

segport_sdk::export_connector!(Mailgrid, "mailgrid");

struct Numbers;

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Read {
    up_to: i64,
}

#[async_trait]
impl SegmentSource for Numbers {
    type Settings = serde_json::Map<String, serde_json::Value>;
    type Read = Read;

    fn descriptor() -> Descriptor {
        Descriptor::new("Numbers", "Counts.")
    }

    fn open(_: Self::Settings, _: &Context) -> Result<Self> {
        Ok(Self)
    }

    async fn schema(&self, cx: &Context, read: &Read) -> Result<SchemaRef> {
        Ok(self.read(cx, read, None).await?.rows.schema())
    }

    async fn read(&self, _: &Context, read: &Read, cursor: Option<&str>) -> Result<Page> {
        let number: i64 = cursor
            .map_or(Ok(1), str::parse)
            .map_err(|error| Error::new(ErrorKind::ConfigInvalid, "the cursor is no number").because(&error))?;
        let column = Arc::new(Int64Array::from(vec![number]));
        let rows = RecordBatch::try_from_iter([("number", column as _)])
            .map_err(|error| Error::new(ErrorKind::Internal, "no rows").because(&error))?;
        Ok(Page { rows, unreadable: Vec::new(), next: (number < read.up_to).then(|| (number + 1).to_string()) })
    }
}

segport_sdk::export_segment_source!(Numbers, "numbers");

fn open(http: &Script) -> ConnectorHarness<Mailgrid> {
    ConnectorHarness::open(serde_json::json!({ "api_key": "hunter2" }), http).unwrap()
}

fn batch(state: &str) -> Batch {
    let column = Arc::new(StringArray::from(vec!["a@example.com", "b@example.com"]));
    let state = if state.is_empty() { serde_json::Value::Null } else { state.into() };
    Batch {
        session: Session { state, ..Session::default() }.into(),
        kind: BatchKind::Upsert { join: vec![0], rejoin: Vec::new() },
        rows: RecordBatch::try_from_iter([("f0", column as _)]).unwrap(),
    }
}

#[tokio::test]
async fn a_connector_is_called_through_bytes_and_its_requests_are_seen() {
    let http = Script::new();
    http.expect("GET", "https://mailgrid.test/v1/account", json(200, "{}")).expect("GET", "/v1/account", status(401));
    let mailgrid = open(&http);
    assert_eq!(mailgrid.check().await.unwrap().id, "test-run");
    assert_eq!(mailgrid.check().await.unwrap_err().kind(), ErrorKind::Unauthenticated);
    http.assert_done();
    assert_eq!(http.requests()[0].head.headers, [("authorization".to_owned(), "hunter2".to_owned())]);

    let export = ExportSpec {
        id: "newsletter".to_owned(),
        segments: Vec::new(),
        fields: Vec::new(),
        account: None,
        may_move: false,
    };
    assert_eq!(mailgrid.begin(&export).await.unwrap().state, "newsletter");
    mailgrid.accepts(&export).await.unwrap();
    assert_eq!(mailgrid.address().unwrap(), "https://mailgrid.test");
    let readers = serde_json::json!({ "id": "readers", "display_name": "Readers" });
    let readers = ExportSpec { segments: vec![serde_json::from_value(readers).unwrap()], ..export };
    assert_eq!(mailgrid.targets(&readers).await.unwrap(), ["https://mailgrid.test Readers"]);
    assert_eq!(mailgrid.write(&batch("x")).await.unwrap().rows.len(), 2);
    mailgrid.finish(&Session::default()).await.unwrap();
    let workload = Workload { batches: 2, leavers: 1, ..Workload::default() };
    assert_eq!(mailgrid.estimate(&workload).await.unwrap().at_most, 3);
    assert_eq!(mailgrid.limits(), Mailgrid::descriptor().limits);
}

#[tokio::test]
async fn a_request_that_the_script_does_not_expect_is_found_out() {
    let http = Script::new();
    http.expect("POST", "/v1/lists", json(200, "{}"));
    let error = open(&http).check().await.unwrap_err();
    let surprise = "expected `POST /v1/lists`, got `GET https://mailgrid.test/v1/account`";
    assert_eq!(error.to_string(), surprise);
    assert!(std::panic::catch_unwind(|| http.assert_done()).is_err());
}

#[tokio::test]
async fn outcomes_must_match_the_rows() {
    let error = open(&Script::new()).write(&batch("")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Contract);
    assert_eq!((error.fact("rows"), error.fact("outcomes")), (Some("2"), Some("3")));
}

#[test]
fn settings_that_do_not_fit_are_named_and_never_shown() {
    for (settings, problem) in [
        (serde_json::json!({}), "missing field `api_key`"),
        (serde_json::json!({ "api_key": "hunter2", "kye": 1 }), "unknown field `kye`, expected `api_key`"),
        (serde_json::json!({ "api_key": ["hunter2"] }), "invalid type, expected a string"),
        (serde_json::json!("hunter2"), "invalid type, expected struct Settings"),
    ] {
        let error = ConnectorHarness::<Mailgrid>::open(settings, &Script::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConfigInvalid);
        assert_eq!(error.fact("problem"), Some(problem));
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}

#[test]
fn the_description_is_completed() {
    let descriptor = open(&Script::new()).descriptor();
    assert_eq!(
        (&*descriptor.id, &*descriptor.version, descriptor.kind),
        ("under_test", "0.0.0", PluginKind::Connector)
    );
    let schema = &descriptor.settings_schema;
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    assert_eq!(schema["properties"]["api_key"]["description"], "The key of the account.");
    assert_eq!(schema["additionalProperties"], false);
    assert!(schema["definitions"]["SecretReference"]["x-segport-secret"].as_bool().unwrap());
    assert!(descriptor.read_schema.is_null());

    let numbers = SourceHarness::<Numbers>::open(serde_json::json!({}), &Script::new()).unwrap().descriptor();
    assert_eq!(numbers.kind, PluginKind::Source);
    assert_eq!(numbers.read_schema["properties"]["up_to"]["type"], "integer");
}

#[tokio::test]
async fn a_source_is_read_to_its_end() {
    let numbers = SourceHarness::<Numbers>::open(serde_json::json!({}), &Script::new()).unwrap();
    let read = serde_json::json!({ "up_to": 3 });
    assert_eq!(numbers.schema(read.clone()).await.unwrap().field(0).name(), "number");
    let pages = numbers.read_all(read.clone()).await.unwrap();
    assert_eq!(pages.len(), 3);
    assert_eq!(numbers.read(read, Some("3")).await.unwrap(), pages[2]);
    let error = numbers.read(serde_json::json!({}), None).await.unwrap_err();
    assert_eq!(error.to_string(), "`read` is not what the plugin expects (problem: missing field `up_to`)");
}
