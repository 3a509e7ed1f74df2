//! An open source.

use std::sync::Arc;
use std::time::Duration;

use arrow_schema::SchemaRef;
use segport_core::http::HttpClient;
use segport_core::op::{self, Call, PageHead, ReadHead};
use segport_core::{Error, ErrorKind, Frame, Page, PluginKind, Result, rows};
use serde_json::Value;

use crate::plugin::{Instance, Plugin};

/// An open source: the methods of [`segport_core::SegmentSource`], whose code is in a plugin.
///
/// `run`, `timeout` and dropping a future are as for [`crate::ConnectorInstance`].
#[derive(Debug)]
pub struct SourceInstance {
    instance: Box<dyn Instance>,
}

impl SourceInstance {
    /// Opens a source with these settings, secrets resolved; touches no data.
    ///
    /// # Errors
    /// `config_invalid` if the plugin is no source or the settings cannot work.
    pub fn open(plugin: &dyn Plugin, settings: Value, http: Arc<dyn HttpClient>) -> Result<Self> {
        let descriptor = plugin.descriptor();
        if descriptor.kind != PluginKind::Source {
            let message = format!("plugin `{}` is a connector, not a source", descriptor.id);
            return Err(Error::new(ErrorKind::ConfigInvalid, message));
        }
        Ok(Self { instance: plugin.open(settings, http)? })
    }

    /// The columns of the segment that the table `read` describes.
    ///
    /// # Errors
    /// What the source answers.
    pub async fn schema(&self, run: &str, read: &Value, timeout: Duration) -> Result<SchemaRef> {
        let head = ReadHead { read: read.clone(), ..ReadHead::default() };
        let answer = self.ask(op::SCHEMA, run, &head, timeout).await?;
        rows::decode_schema(&answer.payload())
    }

    /// The page that `head` asks for.
    ///
    /// # Errors
    /// What the source answers.
    pub async fn read(&self, run: &str, head: &ReadHead, timeout: Duration) -> Result<Page> {
        let answer = self.ask(op::READ, run, head, timeout).await?;
        let PageHead { unreadable, next } = answer.header()?;
        Ok(Page { rows: rows::decode(answer.payload())?, unreadable, next })
    }

    async fn ask(&self, op: u32, run: &str, args: &ReadHead, timeout: Duration) -> Result<Frame> {
        let request = Frame::header_only(&Call { run: run.to_owned(), args })?;
        Frame::decode(self.instance.call(op, timeout, request).await?)
    }
}
