//! The way of a plugin to the network, if it has one.

use std::fmt;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use segport_core::http::{HttpClient, Request, Response};
use segport_core::{Error, ErrorKind, Result};

/// The HTTP client of one connection. A connector is opened before its limits are known, and they decide about the client, so
/// that is put in afterwards.
#[derive(Default)]
pub(crate) struct Line(OnceLock<Arc<segport_transport::Connection>>);

impl Line {
    /// Puts the client in; the first one stays.
    pub(crate) fn put(&self, connection: Arc<segport_transport::Connection>) {
        self.0.get_or_init(|| connection);
    }

    /// The client, once the connector is open.
    pub(crate) fn connection(&self) -> Option<&segport_transport::Connection> {
        self.0.get().map(|connection| &**connection)
    }

    /// Sends nothing any more: requests that wait to be sent end as errors, those on the wire are heard out.
    pub(crate) fn wind_up(&self) {
        if let Some(connection) = self.connection() {
            connection.wind_up();
        }
    }

    /// Nor waits for those on the wire: a call can tell then of which rows it does not know what became of them.
    pub(crate) fn cut_off(&self) {
        if let Some(connection) = self.connection() {
            connection.cut_off();
        }
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Line")
    }
}

#[async_trait]
impl HttpClient for Line {
    async fn send(&self, request: Request) -> Result<Response> {
        match self.0.get() {
            Some(connection) => connection.send(request).await,
            None => Err(Error::new(ErrorKind::Contract, "a connector may not call its destination while it is opened")
                .not_sent()),
        }
    }
}

/// For plugins that have no business with the network.
#[derive(Debug)]
pub(crate) struct Offline;

#[async_trait]
impl HttpClient for Offline {
    async fn send(&self, _: Request) -> Result<Response> {
        Err(Error::new(ErrorKind::Unsupported, "this source may not use the network").not_sent())
    }
}
