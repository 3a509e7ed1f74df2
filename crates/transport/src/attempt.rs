//! One request on its way, as often as `client` decides: the answer within a deadline and a size limit, or why there is none.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::Method;
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use segport_core::http::{Request, RequestHead, Response, ResponseHead};
use segport_core::{Error, Result};
use url::Url;

use crate::error::{Failure, unsendable};
use crate::wire::Wire;

/// Largest body of an answer, decompressed.
pub(crate) const BODY_LIMIT: usize = 16 << 20;

/// Headers that only the client can get right: they say how the message is framed and packed.
const OWN_HEADERS: [HeaderName; 8] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::UPGRADE,
    header::TE,
    header::EXPECT,
    header::ACCEPT_ENCODING,
];

/// The way of an attempt to its destination.
#[derive(Debug)]
pub(crate) enum Way<'a> {
    Network(&'a reqwest::Client),
    Simulated(&'a dyn Wire),
}

/// A request, parsed once and ready to be sent repeatedly.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) operation: String,
    pub(crate) url: Url,
    pub(crate) method: Method,
    pub(crate) repeatable: bool,
    headers: HeaderMap,
    body: Bytes,
    deadline: Duration,
}

impl Prepared {
    /// Parses `request`; `deadline` is for requests that have none of their own.
    pub(crate) fn new(request: Request, deadline: Duration) -> Result<Self> {
        let Request { head: RequestHead { method, url, operation, headers, repeatable, timeout_ms }, body } = request;
        let url = Url::parse(&url)
            .ok()
            .filter(Url::has_host)
            .ok_or_else(|| unsendable(&operation, "the request's address is not a valid URL; check the base URL"))?;
        let method = Method::from_bytes(method.as_bytes())
            .map_err(|_| unsendable(&operation, "the request's method is not a valid one"))?;
        let headers = header_map(&operation, &headers)?;
        let deadline = timeout_ms.map_or(deadline, Duration::from_millis).max(Duration::from_millis(1));
        Ok(Self { operation, url, method, repeatable, headers, body, deadline })
    }

    /// Sends it once. Dropping the future closes the connection it was using.
    pub(crate) async fn attempt(&self, way: &Way<'_>) -> Result<Response, Failure> {
        let exchange = async {
            match way {
                Way::Network(client) => self.exchange(client).await,
                Way::Simulated(wire) => wire.carry(&self.operation, &self.body).await.map_err(Failure::lost),
            }
        };
        match tokio::time::timeout(self.deadline, exchange).await {
            Ok(result) => result,
            Err(_) => Err(Failure::Late { within: self.deadline }),
        }
    }

    async fn exchange(&self, client: &reqwest::Client) -> Result<Response, Failure> {
        let mut request = reqwest::Request::new(self.method.clone(), self.url.clone());
        *request.headers_mut() = self.headers.clone();
        if !self.body.is_empty() {
            *request.body_mut() = Some(self.body.clone().into());
        }
        let answer = client.execute(request).await.map_err(|error| Failure::of(&error, &self.url))?;
        self.read(answer).await
    }

    async fn read(&self, mut answer: reqwest::Response) -> Result<Response, Failure> {
        let status = answer.status().as_u16();
        let headers = answer
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let too_large = || Failure::TooLarge { limit: BODY_LIMIT };
        let announced = answer.content_length().unwrap_or(0);
        if self.method != Method::HEAD && announced > BODY_LIMIT as u64 {
            return Err(too_large());
        }
        let broken = |error: reqwest::Error| Failure::of(&error, &self.url);
        let first = answer.chunk().await.map_err(broken)?.unwrap_or_default();
        let body = match answer.chunk().await.map_err(broken)? {
            // Most answers are one chunk, which is used as it is.
            None => first,
            Some(second) => {
                let mut body = BytesMut::with_capacity((first.len() + second.len()).max(announced as usize));
                body.extend_from_slice(&first);
                let mut next = Some(second);
                while let Some(chunk) = next {
                    if body.len() + chunk.len() > BODY_LIMIT {
                        return Err(too_large());
                    }
                    body.extend_from_slice(&chunk);
                    next = answer.chunk().await.map_err(broken)?;
                }
                body.freeze()
            }
        };
        Ok(Response { head: ResponseHead { status, headers }, body })
    }
}

fn header_map(operation: &str, headers: &[(String, String)]) -> Result<HeaderMap, Error> {
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| unsendable(operation, "a header of the request has an invalid name"))?;
        if OWN_HEADERS.contains(&name) {
            return Err(unsendable(operation, &format!("the header `{name}` is the host's to set")));
        }
        let mut value = HeaderValue::from_str(value).map_err(|_| {
            let what = format!("the value of the header `{name}` has characters that cannot be sent; check the setting behind it for line breaks");
            unsendable(operation, &what)
        })?;
        value.set_sensitive(true);
        map.append(name, value);
    }
    Ok(map)
}
