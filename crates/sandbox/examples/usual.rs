//! What an export would cost in a program that one writes in an hour: the usual libraries, used as their documentation shows.
//!
//! `usual pipeline HOST:PORT FILE.csv` reads a CSV file into structs, writes a hundred of them at a time as JSON and posts them, ten
//! calls at once: no plugin, no checks, no ledger, no retries, no limits. `usual client HOST:PORT CALLS` posts one ready-made body of
//! a hundred again and again, which is what the HTTP client alone takes. The yardsticks of `yardstick.rs` are leaner.
#![allow(clippy::expect_used, reason = "a measurement, not a library")]

use std::error::Error;
use std::iter;

use bytes::Bytes;
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
struct Contacts {
    contacts: Vec<Contact>,
}

impl From<Contacts> for Bytes {
    fn from(contacts: Contacts) -> Self {
        serde_json::to_vec(&contacts).expect("contacts are JSON").into()
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [task, address, what] = words.as_slice() else {
        return Err("usage: usual client HOST:PORT CALLS | pipeline HOST:PORT FILE.csv".into());
    };
    // The client wants a provider, although the stand-in speaks plain HTTP. Only who comes second is told of an error.
    rustls::crypto::ring::default_provider().install_default().ok();
    match *task {
        "client" => post_all(address, iter::repeat_n(ready_made(), what.parse()?)).await,
        "pipeline" => {
            let mut rows = csv::Reader::from_path(what)?.into_deserialize();
            let bodies = iter::from_fn(|| {
                let contacts: Vec<Contact> =
                    rows.by_ref().take(CONTACTS).collect::<Result<_, _>>().expect("the benchmark's file is right");
                (!contacts.is_empty()).then_some(Contacts { contacts })
            });
            post_all(address, bodies).await
        }
        _ => Err(format!("there is no task `{task}`").into()),
    }
}

/// A body of contacts that are about as long as those of the benchmark's file.
fn ready_made() -> Bytes {
    let contact = |number: usize| Contact {
        email: format!("person{number}@usual.example"),
        first_name: "Ada".to_owned(),
        last_name: "Lovelace".to_owned(),
        company: "Analytical Engines".to_owned(),
        phone: "+44 20 7946 0000".to_owned(),
        street: "12 Square".to_owned(),
        city: "London".to_owned(),
        postal_code: "W1".to_owned(),
        country: "United Kingdom".to_owned(),
        source: "web".to_owned(),
        industry: "computing".to_owned(),
    };
    Contacts { contacts: (0..CONTACTS).map(contact).collect() }.into()
}

async fn post_all<B>(address: &str, bodies: impl Iterator<Item = B>) -> Result<(), Box<dyn Error>>
where
    B: Into<Bytes> + Send + 'static,
{
    let (client, url) = (reqwest::Client::new(), format!("http://{address}/v1/contacts"));
    stream::iter(bodies)
        .map(|body| tokio::spawn(post(client.clone(), url.clone(), body)))
        .buffer_unordered(CALLS_AT_ONCE)
        .map(|posted| posted.map_err(Box::<dyn Error>::from)?.map_err(Box::<dyn Error>::from))
        .try_collect()
        .await
}

async fn post<B: Into<Bytes>>(client: reqwest::Client, url: String, body: B) -> reqwest::Result<()> {
    let request = client.post(url).header("autopilotapikey", KEY).header("content-type", "application/json");
    request.body(body.into()).send().await?.error_for_status()?.bytes().await?;
    Ok(())
}
