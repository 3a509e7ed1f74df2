//! `segport explain`: what an error code means.

use segport_manifest::Code;
use serde_json::json;

use crate::arguments::Explain;
use crate::commands::Invocation;
use crate::exit::{Exit, Failure};
use crate::text::table;

/// One code, or all of them.
pub(crate) fn explain(invocation: &Invocation, asked: &Explain) -> Result<Exit, Failure> {
    let output = &invocation.output;
    let Some(text) = &asked.code else {
        if output.is_json() {
            for code in Code::ALL {
                output.json(&json!({ "code": code.as_str(), "title": title(*code) }))?;
            }
        } else {
            let rows: Vec<_> = Code::ALL.iter().map(|code| vec![code.as_str().to_owned(), title(*code)]).collect();
            output.text(&table(&rows))?;
        }
        return Ok(Exit::Done);
    };
    let code = Code::parse(text.trim()).ok_or_else(|| {
        Failure::new(format!("there is no code `{text}`")).help("`segport explain` lists them; they look like SP0203")
    })?;
    if output.is_json() {
        output.json(&json!({ "code": code.as_str(), "title": title(code), "page": code.page() }))?;
    } else {
        output.text(&format!("{}\n", code.page().trim_end()))?;
    }
    Ok(Exit::Done)
}

/// The first line of the page, without its mark-up and the code itself.
fn title(code: Code) -> String {
    let line = code.page().lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let line = line.trim_start_matches('#').trim().trim_start_matches(code.as_str());
    line.trim_start_matches([':', ' ', '-']).to_owned()
}
