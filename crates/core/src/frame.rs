//! Header and payload of a call as one run of bytes.

use std::fmt;

use bytes::{BufMut, Bytes};
use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind, Result};

/// A JSON header followed by a payload: `u32` little-endian length of the header, the header, zeros up to a multiple of
/// [`Frame::ALIGN`], the payload.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    header: Bytes,
    payload: Bytes,
}

/// Lengths only: both may hold profiles.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { header, payload } = self;
        f.debug_struct("Frame").field("header", &header.len()).field("payload", &payload.len()).finish()
    }
}

impl Frame {
    /// The payload starts at a multiple of this many bytes from the start of the frame.
    pub const ALIGN: usize = 8;

    /// Longest header: 64 MiB.
    pub const MAX_HEADER: usize = 64 << 20;

    /// Writes a frame into one buffer; `payload` appends the payload.
    ///
    /// # Errors
    /// `contract` if the header cannot be written as JSON or is too long, and what `payload` returns.
    pub fn encode<T: Serialize>(header: &T, payload: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<Bytes> {
        let mut out = Vec::with_capacity(512);
        out.put_u32_le(0);
        serde_json::to_writer(&mut out, header).map_err(|error| {
            Error::new(ErrorKind::Contract, "a call's header could not be written as JSON").because(&error)
        })?;
        let length = out.len() - 4;
        if length > Self::MAX_HEADER {
            return Err(
                Error::new(ErrorKind::Contract, "a call's header is over 64 MiB").with("bytes", length.to_string())
            );
        }
        let mut prefix = out.as_mut_slice();
        prefix.put_u32_le(length as u32);
        out.resize(out.len().next_multiple_of(Self::ALIGN), 0);
        payload(&mut out)?;
        Ok(out.into())
    }

    /// Writes a frame without payload.
    ///
    /// # Errors
    /// As [`Frame::encode`].
    pub fn header_only<T: Serialize>(header: &T) -> Result<Bytes> {
        Self::encode(header, |_| Ok(()))
    }

    /// Splits `bytes` into header and payload without copying.
    ///
    /// # Errors
    /// `contract` if the bytes are no frame.
    pub fn decode(bytes: Bytes) -> Result<Self> {
        let broken =
            || Error::new(ErrorKind::Contract, "a call's bytes are not a frame").with("bytes", bytes.len().to_string());
        let prefix: [u8; 4] = bytes.get(..4).and_then(|prefix| prefix.try_into().ok()).ok_or_else(broken)?;
        let length = u32::from_le_bytes(prefix) as usize;
        let start = (4 + length).next_multiple_of(Self::ALIGN);
        if length > Self::MAX_HEADER || start > bytes.len() {
            return Err(broken());
        }
        Ok(Self { header: bytes.slice(4..4 + length), payload: bytes.slice(start..) })
    }

    /// Reads the header, which may borrow from the frame.
    ///
    /// # Errors
    /// `contract` if it is not the JSON that was expected; the message says where, and repeats nothing of it.
    pub fn header<'a, T: Deserialize<'a>>(&'a self) -> Result<T> {
        serde_json::from_slice(&self.header).map_err(|error| {
            let at = format!("line {}, column {}", error.line(), error.column());
            let what = if error.is_data() { "a value is of another kind than expected" } else { "it is not JSON" };
            Error::new(ErrorKind::Contract, "a call's header is not what was expected")
                .with("at", at)
                .with("problem", what)
        })
    }

    /// The payload.
    pub fn payload(&self) -> Bytes {
        self.payload.clone()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn gives_back_what_was_put_in(header in ".{0,50}", payload in proptest::collection::vec(any::<u8>(), 0..200)) {
            let bytes = Frame::encode(&header, |out| { out.extend_from_slice(&payload); Ok(()) }).unwrap();
            let frame = Frame::decode(bytes).unwrap();
            prop_assert_eq!(frame.header::<String>().unwrap(), header);
            prop_assert_eq!(frame.payload(), payload);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(frame) = Frame::decode(bytes.into()) {
                drop(frame.header::<serde_json::Value>());
            }
        }
    }
}
