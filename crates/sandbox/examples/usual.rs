//! What an export would cost in a program that one writes in an hour: the usual libraries, used as their documentation shows.
//!
//! `usual HOST:PORT FILE.csv` reads a CSV file into structs, writes a hundred of them at a time as JSON and posts them, ten calls
//! at once: no plugin, no checks, no ledger, no retries, no limits. The yardsticks of `yardstick.rs` are leaner.
#![allow(clippy::expect_used, reason = "a measurement, not a library")]

use std::error::Error;
use std::iter;

use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

const CONTACTS: usize = 100;
const CALLS_AT_ONCE: usize = 10;
const KEY: &str = "0123456789abcdef0123456789abcdef";

#[derive(Deserialize, Serialize)]
#[serde(rename_all(serialize = "PascalCase"))]
struct Contact {
    email: String,
    first_name: String,
    last_name: String,
    company: String,
    phone: String,
    #[serde(rename(serialize = "MailingStreet"))]
    street: String,
    #[serde(rename(serialize = "MailingCity"))]
    city: String,
    #[serde(rename(serialize = "MailingPostalCode"))]
    postal_code: String,
    #[serde(rename(serialize = "MailingCountry"))]
    country: String,
    #[serde(rename(serialize = "LeadSource"))]
    source: String,
    industry: String,
}

#[derive(Serialize)]
struct Body {
    contacts: Vec<Contact>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(file)) = (arguments.next(), arguments.next()) else {
        return Err("usage: usual HOST:PORT FILE.csv".into());
    };
    // The client wants a provider, although the stand-in speaks plain HTTP. Only who comes second is told of an error.
    rustls::crypto::ring::default_provider().install_default().ok();
    let (client, url) = (reqwest::Client::new(), format!("http://{address}/v1/contacts"));
    let mut rows = csv::Reader::from_path(file)?.into_deserialize::<Contact>();
    let bodies = iter::from_fn(|| {
        let contacts: Vec<Contact> =
            rows.by_ref().take(CONTACTS).collect::<Result<_, _>>().expect("the benchmark's file is right");
        (!contacts.is_empty()).then_some(Body { contacts })
    });
    stream::iter(bodies)
        .map(|body| tokio::spawn(post(client.clone(), url.clone(), body)))
        .buffer_unordered(CALLS_AT_ONCE)
        .map(|posted| posted.map_err(Box::<dyn Error>::from)?.map_err(Box::<dyn Error>::from))
        .try_collect()
        .await
}

async fn post(client: reqwest::Client, url: String, body: Body) -> reqwest::Result<()> {
    let body = serde_json::to_vec(&body).expect("contacts are JSON");
    let request = client.post(url).header("autopilotapikey", KEY).header("content-type", "application/json");
    request.body(body).send().await?.error_for_status()?.bytes().await?;
    Ok(())
}
