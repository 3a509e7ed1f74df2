//! A small HTTP client that sends exactly the bytes it is given, and the expectations built on it.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use segport_sandbox::{Options, Sandbox};
use serde_json::Value;

pub(crate) const KEY: &str = "0123456789abcdef0123456789abcdef";

/// One kept-alive connection.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

impl Client {
    pub(crate) fn new(sandbox: &Sandbox) -> Self {
        Self::to(sandbox.addr())
    }

    pub(crate) fn to(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    /// Sends a request with these headers and a content length and reads the answer.
    pub(crate) fn send(&mut self, line: &str, headers: &[&str], body: &[u8]) -> io::Result<Answer> {
        let length = format!("Content-Length: {}", body.len());
        self.send_raw(line, &[headers, &[length.as_str()]].concat(), body)
    }

    /// Sends a request with exactly these headers and reads the answer.
    pub(crate) fn send_raw(&mut self, line: &str, headers: &[&str], body: &[u8]) -> io::Result<Answer> {
        let mut request = format!("{line} HTTP/1.1\r\nHost: localhost\r\n").into_bytes();
        for header in headers {
            request.extend_from_slice(format!("{header}\r\n").as_bytes());
        }
        request.extend_from_slice(b"\r\n");
        request.extend_from_slice(body);
        self.stream.get_mut().write_all(&request)?;
        self.answer()
    }

    /// Sends a request below `/v1` with a good key.
    pub(crate) fn try_call(&mut self, line: &str, body: &str) -> io::Result<Answer> {
        let (method, path) = line.split_once(' ').unwrap();
        let path = if path.starts_with("/_sandbox") { path.to_owned() } else { format!("/v1{path}") };
        let key = format!("autopilotapikey: {KEY}");
        self.send(&format!("{method} {path}"), &[&key, "Content-Type: application/json"], body.as_bytes())
    }

    /// Sends a request below `/v1` with a good key; an answer is expected.
    pub(crate) fn call(&mut self, line: &str, body: &str) -> Answer {
        self.try_call(line, body).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    /// Like [`Client::call`], for answers that are JSON with this status.
    pub(crate) fn expect(&mut self, status: u16, line: &str, body: &str) -> Value {
        let answer = self.call(line, body);
        assert_eq!(answer.status, status, "{line} {body}: {}", answer.text());
        answer.json()
    }

    /// Makes a contact and returns its id.
    pub(crate) fn contact(&mut self, email: &str) -> String {
        let answer = self.expect(200, "POST /contact", &format!(r#"{{"contact":{{"Email":"{email}"}}}}"#));
        answer["contact_id"].as_str().unwrap().to_owned()
    }

    /// Makes a list and returns its id.
    pub(crate) fn list(&mut self, name: &str) -> String {
        let answer = self.expect(200, "POST /list", &format!(r#"{{"name":"{name}"}}"#));
        answer["list_id"].as_str().unwrap().to_owned()
    }

    fn answer(&mut self) -> io::Result<Answer> {
        let status_line = self.line()?;
        let status = status_line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no status in `{status_line}`")))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap();
            headers.push((name.to_lowercase(), value.trim().to_owned()));
        }
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let mut body = vec![0; length.map_or(0, |(_, length)| length.parse().unwrap())];
        self.stream.read_exact(&mut body)?;
        Ok(Answer { status, headers, body })
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }
}

/// A fresh stand-in and a connection to it.
pub(crate) fn start(options: Options) -> (Sandbox, Client) {
    let sandbox = Sandbox::start(options).unwrap();
    let client = Client::new(&sandbox);
    (sandbox, client)
}

/// A stand-in with these faults and a connection to it.
pub(crate) fn with_faults(faults: &[&str]) -> (Sandbox, Client) {
    let faults = faults.iter().map(|fault| fault.parse().unwrap()).collect();
    start(Options { faults, ..Options::default() })
}

/// A bulk body of contacts with these addresses.
pub(crate) fn bulk(emails: &[&str]) -> String {
    let contacts: Vec<Value> = emails.iter().map(|email| serde_json::json!({ "Email": email })).collect();
    serde_json::json!({ "contacts": contacts }).to_string()
}
