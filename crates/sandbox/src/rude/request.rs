//! Reading a request from a socket, as far as a script wants it read.

use hyper::Method;
use tokio::io::{AsyncRead, AsyncReadExt};

/// A longer head or body is not read.
const LONGEST: usize = 4 << 20;

/// A request.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) body: Vec<u8>,
    length: usize,
}

/// Reads the head of the next request, and what came with it; none at the end of the connection or if it is no request.
pub(super) async fn head(stream: &mut (impl AsyncRead + Unpin)) -> Option<Asked> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if bytes.len() > LONGEST || stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let body = bytes.split_off(end);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let mut lines = text.lines();
    let mut words = lines.next()?.split(' ');
    let (method, path) = (words.next()?.parse().ok()?, words.next()?.to_owned());
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(Some(0), |(_, value)| value.trim().parse().ok())?;
    Some(Asked { method, path, body, length })
}

impl Asked {
    /// Reads on until `most` bytes of the body are there, or all of it; false if the connection ends before.
    pub(super) async fn read(&mut self, stream: &mut (impl AsyncRead + Unpin), most: usize) -> bool {
        let wanted = self.length.min(most);
        while self.body.len() < wanted {
            if self.body.len() > LONGEST || !matches!(stream.read_buf(&mut self.body).await, Ok(1..)) {
                return false;
            }
        }
        true
    }
}
