//! A stand-in that acknowledges every contact and keeps none, so that what is measured against it is the client alone.
//!
//! `acknowledge` prints its base URL and serves until it is ended. It answers what an export to a list asks: that there are no
//! lists, that a list was made, and for a bulk call the id of each address, which is the same each time. It reads addresses as
//! they stand between quotation marks, so they must need no escapes.
#![allow(clippy::print_stdout, clippy::expect_used, reason = "a measurement, not a library")]

mod message;

use std::fmt::Write as _;
use std::hash::Hasher;
use std::io::{self, Write};

use siphasher::sip::SipHasher13;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use self::message::read_message;

const LIST: &str = "contactlist_00000000-0000-4000-8000-000000000001";
const ADDRESS: &str = "\"Email\":\"";

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}/v1", listener.local_addr()?);
    io::stdout().flush()?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // It ends with an error when the client goes away.
        tokio::spawn(serve(stream));
    }
}

async fn serve(mut stream: TcpStream) -> io::Result<()> {
    let (mut request, mut response) = (Vec::new(), String::new());
    loop {
        let length = read_message(&mut stream, &mut request).await?;
        if length == 0 {
            return Ok(());
        }
        let text = std::str::from_utf8(&request[..length]).map_err(io::Error::other)?;
        let (status, body) = answer(text);
        response.clear();
        let head = "Content-Type: application/json\r\nContent-Length:";
        write!(response, "HTTP/1.1 {status}\r\n{head} {}\r\n\r\n{body}", body.len()).expect("writing to memory");
        stream.write_all(response.as_bytes()).await?;
    }
}

/// The status and the body.
fn answer(request: &str) -> (&'static str, String) {
    match request.split(' ').take(2).collect::<Vec<_>>().as_slice() {
        ["POST", "/v1/contacts"] => ("200 OK", acknowledgement(request)),
        ["POST", "/v1/list"] => ("200 OK", format!(r#"{{"list_id":"{LIST}","name":"list"}}"#)),
        ["GET", "/v1/lists"] => ("200 OK", r#"{"lists":[]}"#.to_owned()),
        ["GET", path] if path.starts_with("/v1/list/") => {
            ("200 OK", r#"{"contacts":[],"total_contacts":0}"#.to_owned())
        }
        _ => ("404 Not Found", "{}".to_owned()),
    }
}

/// The ids of all addresses in order, and the map from address to id.
fn acknowledgement(request: &str) -> String {
    let (mut ids, mut map) = (String::with_capacity(request.len()), String::with_capacity(request.len()));
    for (place, _) in request.match_indices(ADDRESS) {
        let rest = &request[place + ADDRESS.len()..];
        let address = rest.split('"').next().unwrap_or_default();
        let mut hasher = SipHasher13::new();
        hasher.write(address.as_bytes());
        let hash = hasher.finish();
        let (head, node) = (hash >> 32, hash & 0xffff_ffff_ffff);
        let comma = if ids.is_empty() { "" } else { "," };
        let id = format_args!("\"person_{head:08x}-0000-4000-8000-{node:012x}\"");
        write!(ids, "{comma}{id}").and_then(|()| write!(map, "{comma}\"{address}\":{id}")).expect("writing to memory");
    }
    format!(r#"{{"contact_ids":[{ids}],"email_contact_map":{{{map}}}}}"#)
}
