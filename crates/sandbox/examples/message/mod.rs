//! Messages of HTTP as bytes, without a library for it.

use std::io;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// Reads one message with a `Content-Length` to the front of the buffer; 0 at the end of the connection.
pub(crate) async fn read_message(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<usize> {
    let (mut filled, mut needed) = (0, None);
    while needed.is_none_or(|needed| filled < needed) {
        if buffer.len() < needed.unwrap_or(filled + 1) {
            buffer.resize(needed.unwrap_or(filled + 1).max(2 * buffer.len()), 0);
        }
        let count = stream.read(&mut buffer[filled..]).await?;
        if count == 0 {
            return Ok(0);
        }
        filled += count;
        if needed.is_none() {
            let head = buffer[..filled].windows(4).position(|window| window == b"\r\n\r\n");
            needed = head.map(|head| head + 4 + content_length(&buffer[..head]));
        }
    }
    Ok(filled)
}

fn content_length(head: &[u8]) -> usize {
    let head = std::str::from_utf8(head).expect("a head in ASCII");
    let line = head.lines().find(|line| line.len() > 15 && line[..15].eq_ignore_ascii_case("content-length:"));
    line.map_or(0, |line| line[15..].trim().parse().expect("a length"))
}
