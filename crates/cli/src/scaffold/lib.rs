#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

mod client;
mod error;
mod settings;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use segport_sdk::{
    Account, Batch, BatchKind, Capabilities, Connector, Context, Descriptor, Error, ErrorKind, ExportSpec, Field,
    FieldType, Limits, MappedField, Outcomes, Result, RowOutcome, Session, async_trait, export_connector,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use client::{Client, Member};
pub use settings::Settings;

/// Writes segments to one {{name}} account.
#[derive(Debug)]
pub struct {{Type}} {
    client: Client,
    limits: Limits,
}

export_connector!({{Type}}, "{{id}}");

const CONSENT: &str = "\
With this connection Segport sends profiles to {{name}}, a service run by a third party. For every profile of the exported \
segments it sends the fields that the export maps, and nothing else. You decide which data is sent and are responsible for it.";

/// What a run remembers between its calls.
#[derive(Serialize, Deserialize)]
struct Run {
    /// The list of each segment.
    lists: Vec<String>,
    /// The field of each column.
    fields: Vec<MappedField>,
}

#[async_trait]
impl Connector for {{Type}} {
    type Settings = Settings;

    fn descriptor() -> Descriptor {
        Descriptor {
            fields: vec![
                Field::identity("email", FieldType::Email, "Address of the member"),
                Field::optional("first_name", FieldType::String, "Given name"),
                Field::optional("last_name", FieldType::String, "Family name"),
            ],
            limits: limits(settings::default_requests_per_second()),
            capabilities: Capabilities { remove: true, repeatable: true, several_segments: true, settle: false },
            consent: CONSENT.to_owned(),
            ..Descriptor::new("{{name}}", "Writes segments to {{name}} lists.")
        }
    }

    fn open(settings: Settings, _: &Context) -> Result<Self> {
        settings.validate()?;
        Ok(Self { limits: limits(settings.requests_per_second), client: Client::new(settings) })
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn address(&self) -> Option<String> {
        Some(self.client.address().to_owned())
    }

    async fn check(&self, cx: &Context) -> Result<Account> {
        Ok(Account { id: self.client.account(cx).await?, name: None, facts: Vec::new() })
    }

    async fn begin(&self, cx: &Context, export: &ExportSpec) -> Result<Session> {
        for segment in &export.segments {
            self.client.ensure_list(cx, &segment.id, &segment.display_name).await?;
        }
        let lists = export.segments.iter().map(|segment| segment.id.clone()).collect();
        let run = Run { lists, fields: export.fields.clone() };
        Ok(Session { state: json!(run), ..Session::default() })
    }

    async fn write(&self, cx: &Context, batch: &Batch) -> Result<Outcomes> {
        let run: Run = serde_json::from_value(batch.session.state.clone())
            .map_err(|_| Error::new(ErrorKind::Contract, "the run's notes cannot be read"))?;
        match &batch.kind {
            BatchKind::Upsert { join, rejoin } => {
                let lists = join.iter().chain(rejoin).map(|&segment| run.list(segment)).collect::<Result<Vec<_>>>()?;
                let members = self.client.upsert(cx, &lists, &members(&run.fields, &batch.rows)?).await?;
                Ok(Outcomes { rows: outcomes(members, batch.rows.num_rows()), ..Outcomes::default() })
            }
            BatchKind::Remove { segment } => {
                let ids =
                    batch.destination_ids().ok_or_else(|| Error::new(ErrorKind::Contract, "a removal has no ids"))?;
                let known: Vec<&str> = ids.iter().flatten().collect();
                self.client.remove(cx, run.list(*segment)?, &known).await?;
                Ok(Outcomes::all(RowOutcome::Done(None), ids.len()))
            }
        }
    }

    async fn finish(&self, _: &Context, _: &Session) -> Result<()> {
        Ok(())
    }
}

impl Run {
    fn list(&self, segment: u16) -> Result<&str> {
        let list = self.lists.get(usize::from(segment)).map(String::as_str);
        list.ok_or_else(|| Error::new(ErrorKind::Contract, format!("the export has no segment {segment}")))
    }
}

fn limits(requests_per_second: f64) -> Limits {
    Limits { rows_per_batch: 100, requests_per_second, ..Limits::default() }
}

/// The rows as the destination wants them. A null is left out, or sent where the export says so.
fn members(fields: &[MappedField], rows: &RecordBatch) -> Result<Vec<Value>> {
    let mut members = vec![Map::new(); rows.num_rows()];
    for (field, column) in fields.iter().zip(rows.columns()) {
        for (row, member) in members.iter_mut().enumerate() {
            let value = value(field.field_type, column.as_ref(), row)?;
            if !value.is_null() || field.clear_null {
                member.insert(field.name.clone(), value);
            }
        }
    }
    Ok(members.into_iter().map(Value::Object).collect())
}

fn value(field_type: FieldType, column: &dyn Array, row: usize) -> Result<Value> {
    if column.is_null(row) {
        return Ok(Value::Null);
    }
    let value = match field_type {
        FieldType::String | FieldType::Email | FieldType::Date => {
            column.as_string_opt::<i32>().map(|texts| texts.value(row).into())
        }
        FieldType::Integer => column.as_primitive_opt::<Int64Type>().map(|numbers| numbers.value(row).into()),
        FieldType::Float => column.as_primitive_opt::<Float64Type>().map(|numbers| numbers.value(row).into()),
        FieldType::Boolean => column.as_boolean_opt().map(|flags| flags.value(row).into()),
    };
    value.ok_or_else(|| Error::new(ErrorKind::Contract, "a column has another type than its field"))
}

/// One outcome for each row, also where the answer is too short.
fn outcomes(members: Vec<Member>, rows: usize) -> Vec<RowOutcome> {
    let told = members.into_iter().map(|member| match member {
        Member { id: Some(id), error: None } => RowOutcome::Done(Some(id)),
        // The destination's own text may repeat the profile's data, so it is not passed on.
        Member { error: Some(_), .. } => {
            RowOutcome::Refused { code: "refused".to_owned(), reason: "{{name}} refused this member".to_owned() }
        }
        Member { id: None, error: None } => missing(),
    });
    told.chain(std::iter::repeat_with(missing)).take(rows).collect()
}

fn missing() -> RowOutcome {
    RowOutcome::Unknown { reason: "{{name}} did not say what became of this member".to_owned() }
}
