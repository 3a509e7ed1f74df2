//! From the bytes of a call to the author's method and back: the one place that knows which operation is which method.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use segport_core::http::HttpClient;
use segport_core::op::{self, Call, Opened, PageHead, ReadHead, WriteHead};
use segport_core::{
    Batch, Connector, Context, Error, ErrorKind, ExportSpec, Frame, Result, SegmentSource, Session, Workload, rows,
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::log;

/// An opened plugin that is called with bytes.
#[async_trait]
pub trait Served: Send + Sync + fmt::Debug {
    /// What a successful `open` answers.
    fn opened(&self) -> Opened;

    /// Calls operation `op` of [`segport_core::op`]; request and answer are frames.
    ///
    /// # Errors
    /// `unsupported` for an operation that the plugin does not have, `contract` for bytes that are not its request, and
    /// what the author's method returns.
    async fn call(&self, op: u32, request: Bytes) -> Result<Bytes>;
}

pub(crate) struct ServedConnector<C> {
    connector: C,
    http: Arc<dyn HttpClient>,
    sessions: Sessions,
}

impl<C: Connector> ServedConnector<C> {
    pub(crate) fn new(connector: C, http: Arc<dyn HttpClient>) -> Self {
        Self { connector, http, sessions: Sessions::default() }
    }

    async fn write(&self, frame: Frame) -> Result<Bytes> {
        let (run, batch) = self.batch(&frame)?;
        let cx = Context::new(&run, Arc::clone(&self.http));
        let outcomes = log::in_run(&run, self.connector.write(&cx, &batch)).await?;
        one_for_each(&batch, outcomes.rows.len())?;
        outcomes.into_answer()
    }

    async fn settle(&self, frame: Frame) -> Result<Bytes> {
        let (run, batch) = self.batch(&frame)?;
        let cx = Context::new(&run, Arc::clone(&self.http));
        let found = log::in_run(&run, self.connector.settle(&cx, &batch)).await?;
        one_for_each(&batch, found.rows.len())?;
        Frame::header_only(&found)
    }

    /// The batch of a call, and the id of its run.
    fn batch(&self, frame: &Frame) -> Result<(String, Batch)> {
        let Call { run, args: WriteHead { session, kind } } = frame.header::<Call<WriteHead<&RawValue>>>()?;
        let batch = Batch { session: self.sessions.read(session)?, kind, rows: rows::decode(frame.payload())? };
        Ok((run, batch))
    }
}

#[async_trait]
impl<C: Connector> Served for ServedConnector<C> {
    fn opened(&self) -> Opened {
        Opened { limits: Some(self.connector.limits()), address: self.connector.address() }
    }

    async fn call(&self, op: u32, request: Bytes) -> Result<Bytes> {
        let frame = Frame::decode(request)?;
        let connector = &self.connector;
        match op {
            op::CHECK => {
                let Call { run, args: () } = frame.header()?;
                let cx = Context::new(&run, Arc::clone(&self.http));
                Frame::header_only(&log::in_run(&run, connector.check(&cx)).await?)
            }
            op::BEGIN => {
                let Call { run, args } = frame.header::<Call<ExportSpec>>()?;
                let cx = Context::new(&run, Arc::clone(&self.http));
                Frame::header_only(&log::in_run(&run, connector.begin(&cx, &args)).await?)
            }
            op::WRITE => self.write(frame).await,
            op::SETTLE => self.settle(frame).await,
            op::FINISH => {
                let Call { run, args } = frame.header::<Call<Session>>()?;
                let cx = Context::new(&run, Arc::clone(&self.http));
                log::in_run(&run, connector.finish(&cx, &args)).await?;
                Frame::header_only(&())
            }
            op::ESTIMATE => {
                let Call { run, args } = frame.header::<Call<Workload>>()?;
                Frame::header_only(&log::in_run(&run, async { connector.estimate(&args) }).await)
            }
            op::ACCEPTS => {
                let Call { run, args } = frame.header::<Call<ExportSpec>>()?;
                log::in_run(&run, async { connector.accepts(&args) }).await?;
                Frame::header_only(&())
            }
            op::TARGETS => {
                let Call { run, args } = frame.header::<Call<ExportSpec>>()?;
                Frame::header_only(&log::in_run(&run, async { connector.targets(&args) }).await)
            }
            _ => Err(unsupported(op)),
        }
    }
}

fn one_for_each(batch: &Batch, given: usize) -> Result<()> {
    let due = batch.rows.num_rows();
    if given == due {
        return Ok(());
    }
    let error = Error::new(ErrorKind::Contract, "the plugin must give exactly one outcome for each row of a batch");
    Err(error.with("rows", due.to_string()).with("outcomes", given.to_string()))
}

/// The session of the latest batch: those of a run share one, which is not read again for each.
#[derive(Debug, Default)]
struct Sessions(Mutex<Option<(Box<RawValue>, Arc<Session>)>>);

impl Sessions {
    fn read(&self, json: &RawValue) -> Result<Arc<Session>> {
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, session)) = &*latest
            && known.get() == json.get()
        {
            return Ok(Arc::clone(session));
        }
        let session: Arc<Session> = serde_json::from_str(json.get()).map(Arc::new).map_err(|error| {
            Error::new(ErrorKind::Contract, "a batch's session is not what was expected").because(&error)
        })?;
        *latest = Some((json.to_owned(), Arc::clone(&session)));
        Ok(session)
    }
}

pub(crate) struct ServedSource<S> {
    source: S,
    http: Arc<dyn HttpClient>,
}

impl<S: SegmentSource> ServedSource<S> {
    pub(crate) fn new(source: S, http: Arc<dyn HttpClient>) -> Self {
        Self { source, http }
    }
}

#[async_trait]
impl<S: SegmentSource> Served for ServedSource<S> {
    fn opened(&self) -> Opened {
        Opened::default()
    }

    async fn call(&self, op: u32, request: Bytes) -> Result<Bytes> {
        let frame = Frame::decode(request)?;
        if !matches!(op, op::SCHEMA | op::READ) {
            return Err(unsupported(op));
        }
        let Call { run, args: ReadHead { read, cursor, columns } } = frame.header()?;
        let read: S::Read = read_args(read, "read")?;
        let cx = Context::new(&run, Arc::clone(&self.http)).with_columns(columns);
        if op == op::SCHEMA {
            let schema = log::in_run(&run, self.source.schema(&cx, &read)).await?;
            return Frame::encode(&(), |out| rows::encode_schema(&schema, out));
        }
        let page = log::in_run(&run, self.source.read(&cx, &read, cursor.as_deref())).await?;
        let head = PageHead { unreadable: page.unreadable, next: page.next };
        Frame::encode(&head, |out| rows::encode(&page.rows, out))
    }
}

/// Neither settings nor state of a plugin are printed: they may be secret.
impl<C> fmt::Debug for ServedConnector<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServedConnector").finish_non_exhaustive()
    }
}

impl<S> fmt::Debug for ServedSource<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServedSource").finish_non_exhaustive()
    }
}

fn unsupported(op: u32) -> Error {
    Error::new(ErrorKind::Unsupported, "the plugin does not have this operation").with("operation", op.to_string())
}

/// Reads the table `name` of a manifest into the author's type. No message of serde's own repeats a value of the table; what an
/// author's `Deserialize` says is passed on as it is.
pub(crate) fn read_args<T: DeserializeOwned>(table: Value, name: &str) -> Result<T> {
    serde_json::from_value(table).map_err(|error| {
        Error::new(ErrorKind::ConfigInvalid, format!("`{name}` is not what the plugin expects"))
            .with("problem", without_value(&error.to_string()))
    })
}

/// Cuts the offending value, which may be a secret, out of serde's message.
fn without_value(message: &str) -> String {
    let names_value = ["invalid type: ", "invalid value: ", "invalid length ", "unknown variant "];
    match names_value.iter().find(|prefix| message.starts_with(**prefix)) {
        // From the right: the value may hold anything.
        Some(prefix) => {
            let expected = message.rfind(", expected ").map_or("", |at| message.get(at..).unwrap_or(""));
            format!("{}{expected}", prefix.trim_end_matches([':', ' ']))
        }
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_never_repeats_a_value() {
        for (message, expected) in [
            (r#"invalid type: string "hunter2", expected u32"#, "invalid type, expected u32"),
            (r#"invalid type: string "hunter2, expected no", expected u32"#, "invalid type, expected u32"),
            ("invalid value: integer `99`, expected u8", "invalid value, expected u8"),
            ("unknown variant `hunter2`, expected `bulk` or `single`", "unknown variant, expected `bulk` or `single`"),
            ("unknown variant `hunter2`, there are no variants", "unknown variant"),
            ("missing field `api_key`", "missing field `api_key`"),
            ("unknown field `api_kye`, expected `api_key`", "unknown field `api_kye`, expected `api_key`"),
        ] {
            assert_eq!(without_value(message), expected);
        }
    }
}
