//! A stand-in on a thread of its own.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::autopilot::Autopilot;
use crate::destination::Destination;
use crate::error::{Error, Result};
use crate::fault::Fault;
use crate::journal::{LoggedRequest, Traffic};
use crate::options::Options;
use crate::server;
use crate::shared::Shared;

/// A running stand-in Autopilot, on a thread and a runtime of its own.
///
/// It needs no async caller, so plain `#[test]` functions can use it. Dropping it stops it.
#[derive(Debug)]
pub struct Sandbox {
    addr: SocketAddr,
    shared: Arc<Shared<Autopilot>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sandbox {
    /// Starts a stand-in on a free loopback port.
    ///
    /// # Errors
    ///
    /// If no port can be bound or no thread started.
    pub fn start(options: Options) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Error::Listen)?;
        Self::start_on(listener, options)
    }

    /// Starts a stand-in on a listener the caller has bound.
    ///
    /// # Errors
    ///
    /// If the listener cannot be used or no thread started.
    pub fn start_on(listener: TcpListener, options: Options) -> Result<Self> {
        let addr = listener.local_addr().map_err(Error::Listen)?;
        listener.set_nonblocking(true).map_err(Error::Listen)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
        let listener = {
            let _context = runtime.enter();
            tokio::net::TcpListener::from_std(listener).map_err(Error::Listen)?
        };
        let shared = Arc::new(Shared::new(Autopilot::new(&options), options));
        let (stop, stopped) = oneshot::channel::<()>();
        let served = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("segport-sandbox".to_owned())
            .spawn(move || {
                runtime.block_on(server::run(listener, served, async {
                    // An error means that the handle is gone, which is a request to stop too.
                    stopped.await.ok();
                }));
            })
            .map_err(Error::Runtime)?;
        Ok(Self { addr, shared, stop: Some(stop), thread: Some(thread) })
    }

    /// The address it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The URL its endpoints are below, without a slash at the end: `http://127.0.0.1:PORT/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}{}", self.addr, self.shared.destination.base_path())
    }

    /// What is stored.
    pub fn autopilot(&self) -> &Autopilot {
        &self.shared.destination
    }

    /// The requests so far, in numbers.
    pub fn traffic(&self) -> Traffic {
        self.shared.traffic()
    }

    /// The last requests, oldest first.
    pub fn requests(&self) -> Vec<LoggedRequest> {
        self.shared.log()
    }

    /// Replaces the fault script; counting starts again.
    pub fn set_faults(&self, faults: Vec<Fault>) {
        self.shared.set_faults(faults);
    }

    /// Changes the rate, in requests per second and key, until the next [reset](Self::reset); 0 is no limit.
    ///
    /// Whether a destination's error texts name the rate of the start or this one is not defined.
    pub fn set_rate(&self, rate: u32) {
        self.shared.set_rate(rate);
    }

    /// Makes everything as it was at the start, the fault script of the options included.
    pub fn reset(&self) {
        self.shared.reset();
    }

    /// Stops it: closes every connection and waits for the thread to end.
    pub fn shutdown(self) {
        drop(self);
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // Should either fail, the server has ended already.
        if let Some(stop) = self.stop.take() {
            stop.send(()).ok();
        }
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}
