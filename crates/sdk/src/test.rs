//! Calling a plugin in a unit test: through the same bytes as a host does, without building a library.
//!
//! ```
//! use segport_sdk::http::Request;
//! use segport_sdk::test::{Script, json};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let http = Script::new();
//! http.expect("GET", "https://api.example.com/lists", json(200, r#"{"lists":[]}"#));
//!
//! let client = http.client();
//! let answer = client.send(Request::new("GET", "https://api.example.com/lists", "GET /lists")).await.unwrap();
//! assert_eq!(answer.head.status, 200);
//! http.assert_done();
//! # });
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use segport_core::http::{HttpClient, Request, Response, ResponseHead};
use segport_core::op::{self, Call, PageHead, ReadHead, WriteHead};
use segport_core::{
    Account, Batch, Connector, Descriptor, Error, ErrorKind, Estimate, ExportSpec, FoundRows, Frame, Limits, Outcomes,
    Page, Result, SegmentSource, Session, Workload, rows,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::plugin::Plugin;
use crate::serve::Served;

/// An answer with a JSON body.
pub fn json(status: u16, body: impl Into<Bytes>) -> Result<Response> {
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    Ok(Response { head: ResponseHead { status, headers }, body: body.into() })
}

/// An answer without body or headers.
pub fn status(status: u16) -> Result<Response> {
    Ok(Response { head: ResponseHead { status, headers: Vec::new() }, body: Bytes::new() })
}

type Answerer = Box<dyn FnMut(&Request) -> Result<Response> + Send>;

struct Expected {
    method: String,
    url: String,
    answer: Result<Response>,
}

#[derive(Default)]
struct State {
    expected: VecDeque<Expected>,
    otherwise: Option<Answerer>,
    requests: Vec<Request>,
    surprises: Vec<String>,
}

/// An HTTP client that answers from a script and remembers what it was asked. Clones share the script.
#[derive(Clone, Default)]
pub struct Script(Arc<Mutex<State>>);

impl Script {
    /// A script that expects nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A script that answers every request with what `answer` returns.
    pub fn answering(answer: impl FnMut(&Request) -> Result<Response> + Send + 'static) -> Self {
        let script = Self::new();
        script.state().otherwise = Some(Box::new(answer));
        script
    }

    /// Expects a request next, after those that were expected before it, and answers it so.
    ///
    /// `url` is the whole address, or the end of it when it begins with a slash.
    pub fn expect(&self, method: &str, url: &str, answer: Result<Response>) -> &Self {
        self.state().expected.push_back(Expected { method: method.to_owned(), url: url.to_owned(), answer });
        self
    }

    /// The requests so far, oldest first.
    pub fn requests(&self) -> Vec<Request> {
        self.state().requests.clone()
    }

    /// The client to give to a plugin.
    pub fn client(&self) -> Arc<dyn HttpClient> {
        Arc::new(self.clone())
    }

    /// Checks that every expected request came and no other did.
    ///
    /// # Panics
    /// If one is missing or one came that was not expected.
    #[track_caller]
    #[expect(clippy::panic, reason = "it is an assertion")]
    pub fn assert_done(&self) {
        let state = self.state();
        if let Some(surprise) = state.surprises.first() {
            panic!("{surprise}");
        }
        if let Some(Expected { method, url, .. }) = state.expected.front() {
            panic!("expected `{method} {url}`, but it never came");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").field("requests", &self.state().requests.len()).finish_non_exhaustive()
    }
}

#[async_trait]
impl HttpClient for Script {
    async fn send(&self, request: Request) -> Result<Response> {
        let mut state = self.state();
        let (method, url) = (&request.head.method, &request.head.url);
        let fits = |expected: &Expected| {
            let same_url =
                if expected.url.starts_with('/') { url.ends_with(&expected.url) } else { *url == expected.url };
            expected.method == *method && same_url
        };
        let answer = match state.expected.pop_front_if(|next| fits(next)) {
            Some(expected) => expected.answer,
            None => {
                let state = &mut *state;
                match &mut state.otherwise {
                    Some(answer) => answer(&request),
                    None => {
                        let next = state.expected.front().map(|next| format!("`{} {}`", next.method, next.url));
                        let surprise =
                            format!("expected {}, got `{method} {url}`", next.as_deref().unwrap_or("no request"));
                        state.surprises.push(surprise.clone());
                        Err(Error::new(ErrorKind::Internal, surprise))
                    }
                }
            }
        };
        state.requests.push(request);
        answer
    }
}

/// A connector that is called through bytes.
pub struct ConnectorHarness<C> {
    called: Called,
    plugin: Plugin,
    _connector: PhantomData<fn() -> C>,
}

impl<C: Connector> ConnectorHarness<C> {
    /// Opens the connector with these settings (secrets as plain text).
    ///
    /// # Errors
    /// As [`Plugin::open`].
    pub fn open(settings: Value, http: &Script) -> Result<Self> {
        let plugin = Plugin::connector::<C>("under_test", "0.0.0");
        let called = Called { served: plugin.open(settings, http.client())?, run: "test-run".to_owned() };
        Ok(Self { called, plugin, _connector: PhantomData })
    }

    /// The description as a host gets it.
    pub fn descriptor(&self) -> Descriptor {
        self.plugin.describe()
    }

    /// [`Connector::limits`].
    pub fn limits(&self) -> Limits {
        self.called.served.opened().limits.unwrap_or_default()
    }

    /// [`Connector::address`].
    pub fn address(&self) -> Option<String> {
        self.called.served.opened().address
    }

    /// [`Connector::check`].
    ///
    /// # Errors
    /// What the connector returns, here and below.
    pub async fn check(&self) -> Result<Account> {
        self.called.ask(op::CHECK, ()).await
    }

    /// [`Connector::begin`].
    ///
    /// # Errors
    /// As [`ConnectorHarness::check`].
    pub async fn begin(&self, export: &ExportSpec) -> Result<Session> {
        self.called.ask(op::BEGIN, export).await
    }

    /// [`Connector::write`].
    ///
    /// # Errors
    /// As [`ConnectorHarness::check`]; `contract` unless there is one outcome per row.
    pub async fn write(&self, batch: &Batch) -> Result<Outcomes> {
        let head = WriteHead { session: &*batch.session, kind: batch.kind.clone() };
        Outcomes::from_answer(&self.called.call(op::WRITE, head, |out| rows::encode(&batch.rows, out)).await?)
    }

    /// [`Connector::settle`].
    ///
    /// # Errors
    /// As [`ConnectorHarness::write`].
    pub async fn settle(&self, batch: &Batch) -> Result<FoundRows> {
        let head = WriteHead { session: &*batch.session, kind: batch.kind.clone() };
        self.called.call(op::SETTLE, head, |out| rows::encode(&batch.rows, out)).await?.header()
    }

    /// [`Connector::finish`].
    ///
    /// # Errors
    /// As [`ConnectorHarness::check`].
    pub async fn finish(&self, session: &Session) -> Result<()> {
        self.called.ask(op::FINISH, session).await
    }

    /// [`Connector::estimate`].
    ///
    /// # Errors
    /// As [`ConnectorHarness::check`].
    pub async fn estimate(&self, workload: &Workload) -> Result<Estimate> {
        self.called.ask(op::ESTIMATE, workload).await
    }

    /// [`Connector::targets`].
    ///
    /// # Errors
    /// `contract` if the answer is not what the boundary carries.
    pub async fn targets(&self, export: &ExportSpec) -> Result<Vec<String>> {
        self.called.ask(op::TARGETS, export).await
    }

    /// [`Connector::accepts`].
    ///
    /// # Errors
    /// As [`ConnectorHarness::check`].
    pub async fn accepts(&self, export: &ExportSpec) -> Result<()> {
        self.called.ask(op::ACCEPTS, export).await
    }
}

/// A segment source that is called through bytes.
pub struct SourceHarness<S> {
    called: Called,
    plugin: Plugin,
    _source: PhantomData<fn() -> S>,
}

impl<S: SegmentSource> SourceHarness<S> {
    /// Opens the source with these settings (secrets as plain text).
    ///
    /// # Errors
    /// As [`Plugin::open`].
    pub fn open(settings: Value, http: &Script) -> Result<Self> {
        let plugin = Plugin::source::<S>("under_test", "0.0.0");
        let called = Called { served: plugin.open(settings, http.client())?, run: "test-run".to_owned() };
        Ok(Self { called, plugin, _source: PhantomData })
    }

    /// The description as a host gets it.
    pub fn descriptor(&self) -> Descriptor {
        self.plugin.describe()
    }

    /// [`SegmentSource::schema`] for this `read` table.
    ///
    /// # Errors
    /// What the source returns.
    pub async fn schema(&self, read: Value) -> Result<arrow_schema::SchemaRef> {
        let frame = self.called.call(op::SCHEMA, ReadHead { read, ..ReadHead::default() }, |_| Ok(())).await?;
        rows::decode_schema(&frame.payload())
    }

    /// [`SegmentSource::read`] for this `read` table.
    ///
    /// # Errors
    /// What the source returns.
    pub async fn read(&self, read: Value, cursor: Option<&str>) -> Result<Page> {
        self.read_columns(read, cursor, None).await
    }

    /// The same, of a host that uses no more than these columns ([`Context::columns`](crate::Context::columns)).
    ///
    /// # Errors
    /// What the source returns.
    pub async fn read_columns(&self, read: Value, cursor: Option<&str>, columns: Option<&[&str]>) -> Result<Page> {
        let columns = columns.map(|columns| columns.iter().map(|&column| column.to_owned()).collect());
        let head = ReadHead { read, cursor: cursor.map(str::to_owned), columns };
        let frame = self.called.call(op::READ, head, |_| Ok(())).await?;
        let PageHead { unreadable, next } = frame.header()?;
        Ok(Page { rows: rows::decode(frame.payload())?, unreadable, next })
    }

    /// All pages from the first to the last.
    ///
    /// # Errors
    /// What the source returns.
    pub async fn read_all(&self, read: Value) -> Result<Vec<Page>> {
        let mut pages = vec![self.read(read.clone(), None).await?];
        while let Some(cursor) = pages.last().and_then(|page| page.next.clone()) {
            pages.push(self.read(read.clone(), Some(&cursor)).await?);
        }
        Ok(pages)
    }
}

/// An author's type need not be `Debug`, and its state may be secret.
impl<C> fmt::Debug for ConnectorHarness<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectorHarness").field("plugin", &self.plugin).finish_non_exhaustive()
    }
}

impl<S> fmt::Debug for SourceHarness<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceHarness").field("plugin", &self.plugin).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Called {
    served: Arc<dyn Served>,
    run: String,
}

impl Called {
    async fn call<T: Serialize>(
        &self,
        op: u32,
        args: T,
        payload: impl FnOnce(&mut Vec<u8>) -> Result<()>,
    ) -> Result<Frame> {
        let request = Frame::encode(&Call { run: self.run.clone(), args }, payload)?;
        Frame::decode(self.served.call(op, request).await?)
    }

    async fn ask<T: Serialize, R: DeserializeOwned>(&self, op: u32, args: T) -> Result<R> {
        self.call(op, args, |_| Ok(())).await?.header()
    }
}
