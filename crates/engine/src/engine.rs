//! Opening what an export needs: plugins, secrets, limits.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use segport_core::http::HttpClient;
use segport_core::{Account, Descriptor, Error, ErrorKind, ExportSegment, ExportSpec, Result};
use segport_host::{ConnectorInstance, Plugins, SourceInstance};
use segport_ledger::Store;
use segport_manifest::{
    Code, Connection, Diagnostic, Diagnostics, Export, ProcessEnvironment, Project, Segment, check_columns,
    config_hash, destinations, resolve_secrets,
};
use segport_transport::Transport;
use serde_json::Value;

use crate::calendar::SystemCalendar;
use crate::cancel::Cancel;
use crate::line::{Line, Offline};
use crate::map::Mapping;
use crate::open_export::{OpenExport, OpenSegment, Refusal, address_of, ledger_name};
use crate::plan_report::PlanReport;
use crate::progress::Progress;
use crate::read::SegmentReader;
use crate::report::{PluginRef, RunReport};
use crate::run::{Job, Request};
use crate::start_error::StartError;

/// Longest wait for a call that asks a connector without network.
const OFFLINE_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for a connection's check.
const CHECK_TIMEOUT: Duration = Duration::from_secs(120);

/// What an engine is made of.
#[derive(Debug)]
pub struct Parts {
    /// The validated project.
    pub project: Project,
    /// Its plugins.
    pub plugins: Plugins,
    /// The HTTP client of the process.
    pub transport: Transport,
}

/// Runs the exports of one project.
#[derive(Debug)]
pub struct Engine {
    parts: Parts,
    /// By connection: why its destination wants nothing of us.
    refusals: Mutex<BTreeMap<String, Refusal>>,
}

/// What decides where the rows of each segment end up, if the connector takes the export as it is.
async fn accepted_targets(connector: &ConnectorInstance, spec: &ExportSpec) -> Result<Vec<String>, StartError> {
    connector.accepts("", spec, OFFLINE_TIMEOUT).await?;
    Ok(connector.targets("", spec, OFFLINE_TIMEOUT).await?)
}

impl Engine {
    /// The engine of a project.
    pub fn new(parts: Parts) -> Self {
        Self { parts, refusals: Mutex::default() }
    }

    /// The project.
    pub fn project(&self) -> &Project {
        &self.parts.project
    }

    /// The columns of these segments by their ids, or why they cannot be known.
    pub async fn columns<'a>(
        &self,
        segments: impl Iterator<Item = &'a Segment>,
    ) -> BTreeMap<String, Result<Vec<String>, StartError>> {
        let mut sources = BTreeMap::new();
        let mut columns = BTreeMap::new();
        for Segment { id, .. } in segments {
            let found = match self.open_reader(id, &mut sources) {
                Ok(reader) => reader.columns().await.map_err(StartError::Source),
                Err(error) => Err(error),
            };
            columns.insert(id.clone(), found);
        }
        columns
    }

    /// Opens a connection as a run would. Calls no destination.
    ///
    /// # Errors
    /// What keeps it from being opened, such as settings that cannot work.
    pub fn opens(&self, connection: &str) -> Result<(), StartError> {
        self.open_connector(self.connection(connection)?).map(drop)
    }

    /// Asks the connector of `export` whether it can work like that, and what decides where the rows of each segment end up.
    /// Calls no destination.
    ///
    /// # Errors
    /// What the connector objects to, and what keeps it from being opened.
    pub async fn targets(&self, export: &str) -> Result<Vec<String>, StartError> {
        let (export, connection) = self.export(export)?;
        let (connector, _, _) = self.open_connector(connection)?;
        accepted_targets(&connector, &self.spec(export)).await
    }

    /// Resolves the secrets of a connection and has its connector check the account.
    ///
    /// # Errors
    /// What keeps the connection from working.
    pub async fn account(&self, connection: &str) -> Result<Account, StartError> {
        let connection = self.connection(connection)?;
        let (connector, _, _) = self.open_connector(connection)?;
        Ok(connector.check("", CHECK_TIMEOUT).await?)
    }

    /// What a run would do. Sends nothing and changes nothing.
    ///
    /// # Errors
    /// What keeps the run from starting, and a source that cannot be read.
    pub async fn plan(
        &self,
        store: &Store,
        request: &Request,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<PlanReport, StartError> {
        let open = self.open(&request.export).await?;
        self.require_columns(&open).await?;
        let (dir, calendar) = (&*self.parts.project.state_dir(), &SystemCalendar);
        let planned = Job { open: &open, dir, store, request, calendar, progress, cancel }.plan().await;
        progress.finished(&request.export);
        planned
    }

    /// Runs an export.
    ///
    /// # Errors
    /// Only if the run cannot start; what goes wrong later stands in the report.
    pub async fn run(
        &self,
        store: &Store,
        request: &Request,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<RunReport, StartError> {
        let open = self.open(&request.export).await?;
        self.require_columns(&open).await?;
        let (dir, calendar) = (&*self.parts.project.state_dir(), &SystemCalendar);
        let report = Job { open: &open, dir, store, request, calendar, progress, cancel }.run().await;
        progress.finished(&request.export);
        report
    }

    fn export(&self, id: &str) -> Result<(&Export, &Connection), StartError> {
        let export = self.parts.project.exports.get(id).ok_or_else(|| StartError::UnknownExport(id.to_owned()))?;
        Ok((export, self.connection(&export.connection)?))
    }

    fn connection(&self, id: &str) -> Result<&Connection, StartError> {
        self.parts.project.connections.get(id).ok_or_else(|| StartError::UnknownConnection(id.to_owned()))
    }

    async fn open(&self, export: &str) -> Result<OpenExport, StartError> {
        let (export, connection) = self.export(export)?;
        let opened = self.open_connector(connection).map_err(|error| self.at_settings(connection, error));
        let (connector, line, descriptor) = opened?;
        let plugin = self.parts.plugins.load(&connection.plugin)?;
        let segments = self.open_segments(export, &descriptor)?;
        let spec = self.spec(export);
        let targets = accepted_targets(&connector, &spec).await?;
        let ledger_names =
            export.segments.iter().zip(&targets).map(|(id, target)| ledger_name(id, &connection.id, target)).collect();
        Ok(OpenExport {
            export: export.clone(),
            config_hash: config_hash(&self.parts.project, &export.id).unwrap_or_default(),
            plugin: PluginRef {
                id: connection.plugin.clone(),
                version: descriptor.version.clone(),
                sha256: plugin.sha256().to_owned(),
            },
            limits: connector.limits(),
            address: connector.address().map(|address| address_of(&connection.id, address)),
            connector,
            line,
            segments,
            spec,
            ledger_names,
            has_consent: connection.consent.is_some(),
            refusal: self.refusal(&connection.id),
        })
    }

    /// What a connector says of its settings, where they stand.
    fn at_settings(&self, connection: &Connection, error: StartError) -> StartError {
        let StartError::Core(objection) = error else { return error };
        let finding = Diagnostic::error(Code::of(objection.kind()), objection.to_string());
        let file = format!("connections/{}.toml", connection.id);
        StartError::Config(self.parts.project.placed(finding, &file, &["/settings"]).into())
    }

    fn refusal(&self, connection: &str) -> Refusal {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(refusals.entry(connection.to_owned()).or_default())
    }

    /// The segments of an export, ready to be read without its connection.
    pub(crate) fn segments(&self, export: &str) -> Result<Vec<OpenSegment>, StartError> {
        let (export, connection) = self.export(export)?;
        let plugin = self.parts.plugins.load(&connection.plugin)?;
        self.open_segments(export, plugin.descriptor())
    }

    fn open_segments(&self, export: &Export, descriptor: &Descriptor) -> Result<Vec<OpenSegment>, StartError> {
        let mut sources = BTreeMap::new();
        let open = |id: &String| {
            let reader = self.open_reader(id, &mut sources)?;
            let mapping = Arc::new(self.mapping(export, descriptor, id)?);
            Ok(OpenSegment { reader, mapping })
        };
        export.segments.iter().map(open).collect()
    }

    /// Finds columns that the export names and its segments lack. A segment that cannot be read is left to the run, whose
    /// report then says so.
    async fn require_columns(&self, open: &OpenExport) -> Result<(), StartError> {
        let mut columns = BTreeMap::new();
        for segment in &open.segments {
            if let Ok(found) = segment.reader.columns().await {
                columns.insert(segment.reader.id.clone(), found);
            }
        }
        let mut files = vec![format!("exports/{}.toml", open.export.id)];
        files.extend(open.export.segments.iter().map(|id| format!("segments/{id}.toml")));
        let findings: Diagnostics = check_columns(&self.parts.project, &columns)
            .iter()
            .filter(|finding| finding.path().is_some_and(|path| files.iter().any(|file| file == path)))
            .cloned()
            .collect();
        if findings.has_errors() { Err(StartError::Config(findings)) } else { Ok(()) }
    }

    fn open_connector(
        &self,
        connection: &Connection,
    ) -> Result<(ConnectorInstance, Arc<Line>, Descriptor), StartError> {
        let plugin = self.parts.plugins.load(&connection.plugin)?;
        let descriptor = plugin.descriptor().clone();
        let file = format!("connections/{}.toml", connection.id);
        let settings = self.settings(&file, &connection.settings, &descriptor)?;
        let line = Arc::new(Line::default());
        let http: Arc<dyn HttpClient> = Arc::<Line>::clone(&line);
        let connector = ConnectorInstance::open(&*plugin, settings, http)?;
        for (setting, address) in destinations(&connection.settings, &descriptor.settings_schema) {
            let named = |why: Error| Error::new(why.kind(), format!("`{setting}`: {}", why.message()));
            self.parts.transport.judge(address).map_err(named)?;
        }
        line.put(self.parts.transport.connection(&connection.id, connector.limits()));
        Ok((connector, line, descriptor))
    }

    fn open_reader(
        &self,
        segment: &str,
        sources: &mut BTreeMap<String, Arc<SourceInstance>>,
    ) -> Result<SegmentReader, StartError> {
        let project = &self.parts.project;
        let missing = || {
            Error::new(ErrorKind::Internal, "a validated project lacks a segment or source").with("segment", segment)
        };
        let segment = project.segments.get(segment).ok_or_else(missing)?;
        let source = match sources.get(&segment.source) {
            Some(source) => Arc::clone(source),
            None => {
                let config = project.sources.get(&segment.source).ok_or_else(missing)?;
                let plugin = self.parts.plugins.load(&config.plugin)?;
                let file = format!("sources/{}.toml", config.id);
                let mut settings = self.settings(&file, &config.settings, plugin.descriptor())?;
                if let Value::Object(settings) = &mut settings {
                    settings.insert(segport_core::PROJECT_DIR.to_owned(), project.dir.to_string_lossy().into());
                }
                let opened = SourceInstance::open(&*plugin, settings, Arc::new(Offline));
                let source = Arc::new(opened.map_err(StartError::Source)?);
                sources.insert(segment.source.clone(), Arc::clone(&source));
                source
            }
        };
        Ok(SegmentReader { id: segment.id.clone(), source, read: segment.read.clone() })
    }

    fn settings(&self, file: &str, settings: &Value, descriptor: &Descriptor) -> Result<Value, StartError> {
        resolve_secrets(&self.parts.project, file, settings, &descriptor.settings_schema, &ProcessEnvironment)
            .map_err(StartError::Config)
    }

    fn mapping(&self, export: &Export, descriptor: &Descriptor, segment: &str) -> Result<Mapping> {
        let standard = |name: &str| descriptor.field(name);
        let max_chars = export
            .fields
            .iter()
            .map(|field| (!field.custom).then(|| standard(&field.name)?.max_chars).flatten())
            .collect();
        let identity = export
            .fields
            .iter()
            .position(|field| !field.custom && standard(&field.name).is_some_and(|field| field.identity))
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::ConfigInvalid,
                    "the export maps no field that says who a row is at the destination",
                )
            })?;
        let key = self.parts.project.segments.get(segment).map(|segment| segment.key.clone()).unwrap_or_default();
        Ok(Mapping::new(&export.fields, max_chars, identity, &key))
    }

    fn spec(&self, export: &Export) -> ExportSpec {
        let display_name = |id: &String| {
            self.parts.project.segments.get(id).map_or_else(|| id.clone(), |segment| segment.display_name.clone())
        };
        ExportSpec {
            id: export.id.clone(),
            segments: export
                .segments
                .iter()
                .map(|id| ExportSegment {
                    id: id.clone(),
                    display_name: display_name(id),
                    first_run: false,
                    list: None,
                })
                .collect(),
            fields: Mapping::described(&export.fields),
            account: None,
            may_move: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use segport_ledger::SegmentNumber;

    use super::*;

    #[test]
    fn a_project_may_have_as_many_segments_as_the_ledger_keeps_apart() {
        assert_eq!(Export::MOST_SEGMENTS, SegmentNumber::COUNT);
        let error = segport_ledger::Error::TooManySegments { export: "news".to_owned(), limit: SegmentNumber::COUNT };
        assert_eq!(StartError::Ledger(error).code(), Code::SegmentLimit);
    }
}
