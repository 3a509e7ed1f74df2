//! The bytes of answers, good and bad.

use std::io::Write;

use serde_json::{Map, Value};

use super::{RetryAfter, Rude};
use crate::clock::http_date;
use crate::destination::Reply;

/// What is written in answer to a request, and whether the connection is kept after it.
#[derive(Debug)]
pub(super) struct Bytes {
    pub(super) bytes: Vec<u8>,
    pub(super) keep: bool,
}

/// How many bytes the body of an answer without end has.
const HUGE: usize = 20 << 20;

/// Unpacked size of a bomb.
const BOMB: usize = 256 << 20;

/// How deep is too deep.
const LEVELS: usize = 100_000;

/// The answer to a request to `url`, which properly would be `good`.
pub(super) fn to(rude: &Rude, good: &Reply, url: &str, now: i64) -> Bytes {
    let body: &[u8] = &good.body;
    let half = body.get(..body.len() / 2).unwrap_or_default();
    let json = |body: &[u8]| kept(message(good.status, "", "application/json", body));
    match rude {
        Rude::Truncated => json(half),
        Rude::LengthTooLong => closed(head(good.status, "", "application/json", body.len() + 100), half),
        Rude::LengthTooShort => closed(head(good.status, "", "application/json", half.len()), body),
        Rude::NotHttp => closed(b"220 mail.example.com ready\r\n\r\n".to_vec(), b""),
        Rude::GzipBomb => kept(message(200, "content-encoding: gzip\r\n", "application/json", &bomb())),
        Rude::NotGzip => kept(message(200, "content-encoding: gzip\r\n", "application/json", body)),
        Rude::InvalidUtf8 => json(&invalid_utf8(body)),
        Rude::DeepNesting => json(&[b"[".repeat(LEVELS), b"]".repeat(LEVELS)].concat()),
        Rude::Huge => closed(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n".to_vec(), &vec![b' '; HUGE]),
        Rude::Html => kept(message(200, "", "text/html", b"<!doctype html><title>Sign in</title><p>Welcome.")),
        Rude::ErrorInOk => {
            let error = br#"{"error":"Internal Server Error","message":"Please try again later."}"#;
            kept(message(200, "", "application/json", error))
        }
        Rude::NoContent => kept(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()),
        Rude::RedirectLoop => kept(message(302, &format!("location: {url}\r\n"), "text/html", b"")),
        Rude::Status(code, wait) => kept(message(*code, &retry_after(*wait, now), good.content_type, &good.body)),
        Rude::MapMissing => json(&remapped(body, |map| {
            map.remove(0);
        })),
        Rude::MapExtra => {
            json(&remapped(body, |map| map.insert(0, ("somebody@elsewhere.example".to_owned(), "person_0".into()))))
        }
        Rude::MapReordered => json(&remapped(body, |map| map.reverse())),
        Rude::MapForeign => json(&remapped(body, |map| {
            map.iter_mut().for_each(|(address, _)| address.push_str(".example"));
        })),
        _ => json(body),
    }
}

fn kept(bytes: Vec<u8>) -> Bytes {
    Bytes { bytes, keep: true }
}

fn closed(mut head: Vec<u8>, body: &[u8]) -> Bytes {
    head.extend_from_slice(body);
    Bytes { bytes: head, keep: false }
}

fn message(status: u16, headers: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = head(status, headers, content_type, body.len());
    bytes.extend_from_slice(body);
    bytes
}

fn head(status: u16, headers: &str, content_type: &str, length: usize) -> Vec<u8> {
    format!("HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\n{headers}content-length: {length}\r\n\r\n")
        .into_bytes()
}

fn retry_after(wait: RetryAfter, now: i64) -> String {
    let date = |millis| http_date(millis).and_then(|date| date.to_str().ok().map(str::to_owned)).unwrap_or_default();
    match wait {
        RetryAfter::Absent => String::new(),
        RetryAfter::Seconds(seconds) => format!("retry-after: {seconds}\r\n"),
        RetryAfter::Date(seconds) => {
            format!("date: {}\r\nretry-after: {}\r\n", date(now), date(now + i64::from(seconds) * 1000))
        }
        RetryAfter::Nonsense => "retry-after: when it is better\r\n".to_owned(),
    }
}

/// The last text gets a byte that no UTF-8 has.
fn invalid_utf8(body: &[u8]) -> Vec<u8> {
    let mut bytes = body.to_vec();
    let at = bytes.iter().rposition(|&byte| byte == b'"').unwrap_or(0);
    bytes.insert(at, 0xff);
    bytes
}

/// Packing all of it would take long. A block that follows another one of the same bytes is the same each time.
fn bomb() -> Vec<u8> {
    let blank = vec![b' '; 1 << 20];
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut ends = Vec::new();
    for _ in 0..2 {
        // A vector takes every byte.
        packed.write_all(&blank).and_then(|()| packed.flush()).ok();
        ends.push(packed.get_ref().len());
    }
    let bytes = packed.get_ref();
    let &[first, second] = ends.as_slice() else { return Vec::new() };
    let (start, block) = (bytes.get(..first).unwrap_or_default(), bytes.get(first..second).unwrap_or_default());
    [start, &block.repeat(BOMB / blank.len())].concat()
}

/// An answer to a bulk call with its addresses changed; any other answer stays.
fn remapped(body: &[u8], change: impl FnOnce(&mut Vec<(String, Value)>)) -> Vec<u8> {
    const KEY: &str = "email_contact_map";
    let Ok(mut answer) = serde_json::from_slice::<Map<String, Value>>(body) else { return body.to_vec() };
    let Some(Value::Object(map)) = answer.remove(KEY) else { return body.to_vec() };
    let mut entries: Vec<(String, Value)> = map.into_iter().collect();
    if !entries.is_empty() {
        change(&mut entries);
    }
    // Written by hand, because a map would put the addresses back into its own order.
    let entries: Vec<String> =
        entries.iter().map(|(address, id)| format!("{}:{id}", Value::from(address.as_str()))).collect();
    let others: Vec<String> =
        answer.iter().map(|(key, value)| format!("{}:{value},", Value::from(key.as_str()))).collect();
    format!("{{{}\"{KEY}\":{{{}}}}}", others.concat(), entries.join(",")).into_bytes()
}
