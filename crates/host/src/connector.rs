//! An open connection.

use std::sync::Arc;
use std::time::Duration;

use segport_core::http::HttpClient;
use segport_core::op::{self, Call, WriteHead};
use segport_core::rows::EncodedRows;
use segport_core::{
    Account, BatchKind, Capabilities, Error, ErrorKind, Estimate, ExportSpec, Found, FoundRows, Frame, Limits,
    Outcomes, PluginKind, Result, Session, Workload,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::plugin::{Instance, Plugin};

/// An open connection: the methods of [`segport_core::Connector`], whose code is in a plugin.
///
/// `run` is the id of the run that a call belongs to, empty outside a run; a call that has no answer after `timeout` ends as
/// the error `timeout`. Dropping a future cancels the call in the plugin.
#[derive(Debug)]
pub struct ConnectorInstance {
    plugin: String,
    instance: Box<dyn Instance>,
    limits: Limits,
    capabilities: Capabilities,
}

impl ConnectorInstance {
    /// Opens a connection with these settings, secrets resolved; calls no destination.
    ///
    /// # Errors
    /// `config_invalid` if the plugin is no connector or the settings cannot work.
    pub fn open(plugin: &dyn Plugin, settings: Value, http: Arc<dyn HttpClient>) -> Result<Self> {
        let descriptor = plugin.descriptor();
        let id = descriptor.id.clone();
        if descriptor.kind != PluginKind::Connector {
            return Err(Error::new(ErrorKind::ConfigInvalid, format!("plugin `{id}` is a source, not a connector")));
        }
        let instance = plugin.open(settings, http)?;
        let limits = instance.opened().limits.unwrap_or(descriptor.limits);
        Ok(Self { plugin: id, instance, limits, capabilities: descriptor.capabilities })
    }

    /// What the connector can do.
    pub fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// The limits in force under the connection's settings.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Tests the connection the way an export would use it.
    ///
    /// # Errors
    /// What the connector answers, here and below.
    pub async fn check(&self, run: &str, timeout: Duration) -> Result<Account> {
        self.ask(op::CHECK, run, (), timeout).await
    }

    /// Prepares a run.
    ///
    /// # Errors
    /// As [`ConnectorInstance::check`].
    pub async fn begin(&self, run: &str, export: &ExportSpec, timeout: Duration) -> Result<Session> {
        self.ask(op::BEGIN, run, export, timeout).await
    }

    /// Delivers the batches of a run.
    ///
    /// # Errors
    /// `contract` if the session cannot be written as JSON.
    pub fn writer<'a>(&'a self, run: &'a str, session: &Session) -> Result<Writer<'a>> {
        let session = serde_json::value::to_raw_value(session).map_err(|error| {
            Error::new(ErrorKind::Contract, "a run's session could not be written as JSON").because(&error)
        })?;
        Ok(Writer { connector: self, run, session })
    }

    /// Ends a run.
    ///
    /// # Errors
    /// As [`ConnectorInstance::check`].
    pub async fn finish(&self, run: &str, session: &Session, timeout: Duration) -> Result<()> {
        self.ask(op::FINISH, run, session, timeout).await
    }

    /// What `workload` would cost; no destination is called.
    ///
    /// # Errors
    /// As [`ConnectorInstance::check`].
    pub async fn estimate(&self, run: &str, workload: &Workload, timeout: Duration) -> Result<Estimate> {
        self.ask(op::ESTIMATE, run, workload, timeout).await
    }

    /// Checks an export's mapping; no destination is called.
    ///
    /// # Errors
    /// `config_invalid` for a mapping that cannot work.
    pub async fn accepts(&self, run: &str, export: &ExportSpec, timeout: Duration) -> Result<()> {
        self.ask(op::ACCEPTS, run, export, timeout).await
    }

    /// What tells the account that rows go to from others, if the connector says so.
    pub fn address(&self) -> Option<&str> {
        self.instance.opened().address.as_deref()
    }

    /// What decides where the rows of each segment end up; no destination is called. Plugins made before this operation
    /// existed answer with the segments' display names.
    ///
    /// # Errors
    /// As [`ConnectorInstance::check`]; `contract` unless there is one text per segment.
    pub async fn targets(&self, run: &str, export: &ExportSpec, timeout: Duration) -> Result<Vec<String>> {
        let by_name = || export.segments.iter().map(|segment| segment.display_name.clone()).collect();
        let targets: Vec<String> = match self.ask(op::TARGETS, run, export, timeout).await {
            Err(error) if error.kind() == ErrorKind::Unsupported => by_name(),
            answered => answered?,
        };
        if targets.len() != export.segments.len() {
            let message =
                format!("plugin `{}` must name exactly one target for each segment of an export", self.plugin);
            return Err(Error::new(ErrorKind::Contract, message));
        }
        Ok(targets)
    }

    async fn ask<T: Serialize, R: DeserializeOwned>(
        &self,
        op: u32,
        run: &str,
        args: T,
        timeout: Duration,
    ) -> Result<R> {
        let request = Frame::header_only(&Call { run: run.to_owned(), args })?;
        let answer = self.instance.call(op, timeout, request).await?;
        Frame::decode(answer)?.header()
    }
}

/// Delivers the batches of one run; from [`ConnectorInstance::writer`].
#[derive(Debug)]
pub struct Writer<'a> {
    connector: &'a ConnectorInstance,
    run: &'a str,
    session: Box<RawValue>,
}

impl Writer<'_> {
    /// What the connector can do.
    pub fn capabilities(&self) -> Capabilities {
        self.connector.capabilities
    }

    /// Delivers one batch.
    ///
    /// # Errors
    /// What the connector answers; `contract` unless there is one outcome per row.
    pub async fn write(&self, kind: &BatchKind, batch: &EncodedRows, timeout: Duration) -> Result<Outcomes> {
        let outcomes = Outcomes::from_answer(&self.hand_over(op::WRITE, kind, batch, timeout).await?)?;
        self.one_for_each(batch, outcomes.rows.len())?;
        Ok(outcomes)
    }

    /// Looks up what the destination holds of a batch's rows.
    ///
    /// # Errors
    /// What the connector answers, `unsupported` if it cannot look rows up; `contract` unless there is one finding per row.
    pub async fn settle(&self, kind: &BatchKind, batch: &EncodedRows, timeout: Duration) -> Result<Vec<Found>> {
        let found: FoundRows = self.hand_over(op::SETTLE, kind, batch, timeout).await?.header()?;
        self.one_for_each(batch, found.rows.len())?;
        Ok(found.rows)
    }

    async fn hand_over(&self, op: u32, kind: &BatchKind, batch: &EncodedRows, timeout: Duration) -> Result<Frame> {
        let args = WriteHead { session: &self.session, kind: kind.clone() };
        let request = Frame::encode(&Call { run: self.run.to_owned(), args }, |out| {
            out.extend_from_slice(batch.stream());
            Ok(())
        })?;
        Frame::decode(self.connector.instance.call(op, timeout, request).await?)
    }

    fn one_for_each(&self, batch: &EncodedRows, given: usize) -> Result<()> {
        let rows = batch.count();
        if given == rows {
            return Ok(());
        }
        let plugin = &self.connector.plugin;
        let message = format!("plugin `{plugin}` must give exactly one outcome for each row of a batch");
        Err(Error::new(ErrorKind::Contract, message).with("rows", rows.to_string()).with("outcomes", given.to_string()))
    }
}
