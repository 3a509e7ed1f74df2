//! An export's file against its connection, its segments and the connector's fields.

use std::collections::BTreeSet;

use segport_core::{CustomFields, Descriptor, FieldType, PluginKind};

use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::files::Files;
use crate::findings::{Findings, Named};
use crate::pointer;
use crate::project::{Export, FieldMapping, Guards, Leavers, Schedule, Threshold, Transform};
use crate::raw::{CustomFieldEntry, ExportFile, FieldEntry, GuardsTable, Mapped, RawThreshold};
use crate::suggest;

const FIELDS: &str = "/fields";
const CUSTOM: &str = "/fields/custom";

/// The export, or findings.
pub(crate) fn resolve(files: &Files<'_>, id: &str, raw: ExportFile, findings: &mut Findings<'_>) -> Option<Export> {
    let mut check = Check { findings };
    let connector = check.connector(files, &raw.connection);
    check.segments(files, &raw.segments, connector);
    let fields = check.fields(connector, &raw);
    let guards = check.guards(&raw.guards);
    let leavers = check.leavers(connector, raw.leavers.policy);
    let timing = raw.schedule.as_ref().map(|table| Schedule::resolve("/schedule", table, check.findings));
    Some(Export {
        id: id.to_owned(),
        display_name: raw.display_name.unwrap_or_else(|| id.to_owned()),
        connection: raw.connection,
        segments: raw.segments,
        fields,
        leavers,
        guards: guards?,
        schedule: timing.flatten(),
    })
}

struct Check<'c, 'f> {
    findings: &'c mut Findings<'f>,
}

impl Check<'_, '_> {
    /// The connector behind the connection; `None` also if the connection itself is wrong, which is reported there.
    fn connector<'c>(&mut self, files: &Files<'c>, connection: &str) -> Option<&'c Descriptor> {
        self.findings.known(&files.connections, Named::Connection, "/connection", connection)?;
        let plugin = files.connections.documents.get(connection)?.value().get("plugin")?.as_str()?;
        files.catalog.get(plugin).filter(|plugin| plugin.kind == PluginKind::Connector)
    }

    fn segments(&mut self, files: &Files<'_>, segments: &[String], connector: Option<&Descriptor>) {
        let mut seen = BTreeSet::new();
        for (index, segment) in segments.iter().enumerate() {
            let at = format!("/segments/{index}");
            self.findings.known(&files.segments, Named::Segment, &at, segment);
            if !seen.insert(segment) {
                let message = format!("segment `{segment}` stands here twice");
                self.findings.report(Code::DuplicateSegment, message, &at, "the second time", "leave it out");
            }
        }
        if seen.len() > Export::MOST_SEGMENTS {
            let message = format!("{} segments, but an export can have {}", seen.len(), Export::MOST_SEGMENTS);
            self.findings.report(Code::SegmentLimit, message, "/segments", "too many", "split it into several exports");
        }
        if let Some(connector) = connector
            && seen.len() > 1
            && !connector.capabilities.several_segments
        {
            let message = format!("{} takes one segment per export", connector.display_name);
            self.findings.report(
                Code::OneSegmentOnly,
                message,
                "/segments",
                "several segments",
                "make an export for each segment",
            );
        }
    }

    /// The mapping in the file's order.
    fn fields(&mut self, connector: Option<&Descriptor>, raw: &ExportFile) -> Vec<FieldMapping> {
        let mut fields = Vec::new();
        for name in self.findings.document.keys_in_order(FIELDS) {
            if let Some(entry) = raw.fields.standard.get(&name) {
                fields.extend(self.standard_field(connector, &name, entry));
            }
        }
        for name in self.findings.document.keys_in_order(CUSTOM) {
            if let Some(entry) = raw.fields.custom.get(&name) {
                fields.extend(self.custom_field(connector, &name, entry));
            }
        }
        if let Some(connector) = connector {
            self.required_fields(connector);
        }
        self.similar_custom_fields();
        fields.sort_by_key(|field| field.span.start);
        fields
    }

    fn standard_field(
        &mut self,
        connector: Option<&Descriptor>,
        name: &str,
        entry: &FieldEntry,
    ) -> Option<FieldMapping> {
        let at = pointer::join(FIELDS, name);
        let connector = connector?;
        let Some(field) = connector.field(name) else {
            let names: Vec<_> = connector.fields.iter().map(|field| field.name.as_str()).collect();
            let help = suggest::similar(name, &names).unwrap_or_else(|| {
                let list = format!("`segport connectors show {}` lists the fields", connector.id);
                match connector.custom_fields {
                    Some(_) => format!("a custom field stands under `[fields.custom]`; {list}"),
                    None => list,
                }
            });
            let label = format!("{} has no such field", connector.display_name);
            let finding = Diagnostic::error(Code::UnknownField, format!("unknown field `{name}`")).help(help);
            self.findings.push_at_key(finding, &at, label);
            return None;
        };
        let mapped = entry.mapped();
        self.transforms(&at, field.field_type, mapped.transform);
        Some(self.mapping(FIELDS, name, field.field_type, mapped))
    }

    fn custom_field(
        &mut self,
        connector: Option<&Descriptor>,
        name: &str,
        entry: &CustomFieldEntry,
    ) -> Option<FieldMapping> {
        let at = pointer::join(CUSTOM, name);
        let connector = connector?;
        let Some(rules) = &connector.custom_fields else {
            let message = format!("{} has no custom fields", connector.display_name);
            let help = "remove `[fields.custom]`, or map the column to a standard field";
            let finding = Diagnostic::error(Code::NoCustomFields, message).help(help);
            self.findings.push_at_key(finding, &at, "not possible at this destination");
            return None;
        };
        self.custom_name(rules, &at, name);
        let mapped = entry.mapped();
        let field_type = entry.declared_type().or_else(|| rules.types.first().copied()).unwrap_or(FieldType::String);
        if !rules.types.contains(&field_type) {
            let names: Vec<_> = rules.types.iter().map(|offered| offered.as_str()).collect();
            let message = format!("custom fields of {} cannot be `{}`", connector.display_name, field_type.as_str());
            let help = format!("possible types: {}", suggest::list(&names));
            self.findings.report(Code::CustomFieldType, message, &pointer::join(&at, "type"), "not offered", help);
        }
        self.transforms(&at, field_type, mapped.transform);
        Some(self.mapping(CUSTOM, name, field_type, mapped))
    }

    fn custom_name(&mut self, rules: &CustomFields, at: &str, name: &str) {
        let forbidden = rules.forbidden.iter().find(|text| !text.is_empty() && name.contains(text.as_str()));
        let problem = if name.trim().is_empty() {
            "it is empty".to_owned()
        } else if let Some(text) = forbidden {
            format!("it contains `{text}`")
        } else if !rules.outer_spaces && name.trim() != name {
            "it begins or ends with a space".to_owned()
        } else {
            return;
        };
        let finding = Diagnostic::error(Code::CustomFieldName, format!("a custom field cannot be called `{name}`"));
        let finding = if rules.help.is_empty() { finding } else { finding.help(&*rules.help) };
        self.findings.push_at_key(finding, at, problem);
    }

    fn similar_custom_fields(&mut self) {
        let folded = |name: &str| name.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        let mut seen = std::collections::BTreeMap::new();
        for name in self.findings.document.keys_in_order(CUSTOM) {
            if let Some(first) = seen.insert(folded(&name), name.clone()) {
                let message = format!("custom fields `{first}` and `{name}` differ only in case or spaces");
                let help = "give one of them another name, or leave it out";
                let finding = Diagnostic::error(Code::SimilarCustomFields, message).help(help);
                self.findings.push_at_key(finding, &pointer::join(CUSTOM, &name), "the second of them");
            }
        }
    }

    fn required_fields(&mut self, connector: &Descriptor) {
        for field in connector.fields.iter().filter(|field| field.required) {
            if !self.findings.document.contains(&pointer::join(FIELDS, &field.name)) {
                let message = format!("field `{}` is not mapped", field.name);
                let label = format!("{} requires `{}`", connector.display_name, field.name);
                let help = format!("add `{} = \"COLUMN\"` to `[fields]`", field.name);
                self.findings.push_at_key(Diagnostic::error(Code::MissingField, message).help(help), FIELDS, label);
            }
        }
    }

    fn transforms(&mut self, at: &str, field_type: FieldType, transforms: &[Transform]) {
        for (index, transform) in transforms.iter().enumerate() {
            let at = format!("{at}/transform/{index}");
            match transform {
                Transform::Sha256 if field_type != FieldType::String => {
                    let message = format!("`sha256` makes text that is no `{}`", field_type.as_str());
                    let help = "only text fields can hold a hash";
                    self.findings.report(
                        Code::TransformMismatch,
                        message,
                        &at,
                        "does not go with the field's type",
                        help,
                    );
                }
                Transform::Date | Transform::DateIn { .. }
                    if !matches!(field_type, FieldType::Date | FieldType::String) =>
                {
                    let message = format!("`date` makes a date that is no `{}`", field_type.as_str());
                    let help = "only date and text fields can hold a date";
                    self.findings.report(
                        Code::TransformMismatch,
                        message,
                        &at,
                        "does not go with the field's type",
                        help,
                    );
                }
                Transform::DateIn { date: format } if !is_date_format(format) => {
                    let message = format!("`{format}` is no date format");
                    let help = "write it as for strptime, such as `%d.%m.%Y` or `%Y-%m-%d %H:%M:%S`";
                    self.findings.report(
                        Code::BadDateFormat,
                        message,
                        &pointer::join(&at, "date"),
                        "cannot be read with",
                        help,
                    );
                }
                _ => {}
            }
        }
    }

    fn mapping(&self, table: &str, name: &str, field_type: FieldType, mapped: Mapped<'_>) -> FieldMapping {
        let document = self.findings.document;
        let at = pointer::join(table, name);
        let in_table = pointer::join(&at, "column");
        let place = if document.contains(&in_table) { in_table } else { at };
        FieldMapping {
            name: name.to_owned(),
            custom: table == CUSTOM,
            field_type,
            column: mapped.column.to_owned(),
            transform: mapped.transform.to_vec(),
            when_null: mapped.when_null,
            span: document.at_value(&place).span(),
        }
    }

    fn leavers(&mut self, connector: Option<&Descriptor>, policy: Option<Leavers>) -> Leavers {
        let unable = connector.filter(|connector| !connector.capabilities.remove);
        match (policy, unable) {
            (None, Some(_)) => Leavers::Keep,
            (Some(Leavers::Remove), Some(connector)) => {
                let message = format!("{} cannot take rows off a list", connector.display_name);
                let help = "write `policy = \"keep\"`, or leave it out";
                self.findings.report(
                    Code::Unsupported,
                    message,
                    "/leavers/policy",
                    "not possible at this destination",
                    help,
                );
                Leavers::Keep
            }
            (policy, _) => policy.unwrap_or_default(),
        }
    }

    fn guards(&mut self, raw: &GuardsTable) -> Option<Guards> {
        Some(Guards {
            max_removals: self.threshold("/guards/max_removals", &raw.max_removals)?,
            max_growth: self.threshold("/guards/max_growth", &raw.max_growth)?,
            max_shrink: self.threshold("/guards/max_shrink", &raw.max_shrink)?,
            max_refused: self.threshold("/guards/max_refused", &raw.max_refused)?,
            allow_empty: raw.allow_empty,
            allow_other_account: raw.allow_other_account,
        })
    }

    fn threshold(&mut self, at: &str, raw: &RawThreshold) -> Option<Threshold> {
        let text = match raw {
            RawThreshold::Rows(rows) => return Some(Threshold::Rows(*rows)),
            RawThreshold::Text(text) => text,
        };
        match text.parse() {
            Ok(threshold) => Some(threshold),
            Err(error) => {
                let error: crate::BadThreshold = error;
                self.findings.report(
                    Code::BadThreshold,
                    format!("`{text}` is no threshold"),
                    at,
                    "",
                    error.to_string(),
                );
                None
            }
        }
    }
}

/// Whether a date of that form can be read: it must use known directives and name a whole day or instant.
fn is_date_format(format: &str) -> bool {
    let sample = jiff::civil::date(2024, 2, 29).at(13, 5, 7, 0).in_tz("UTC");
    let Ok(sample) = sample else { return true };
    let Ok(text) = jiff::fmt::strtime::format(format, &sample) else { return false };
    let Ok(parsed) = jiff::fmt::strtime::parse(format, text) else { return false };
    parsed.to_date().is_ok() || parsed.to_timestamp().is_ok()
}
