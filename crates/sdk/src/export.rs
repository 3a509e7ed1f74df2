//! The C functions that the export macros fill a plugin's table with. Used by the macros only.

use std::ffi::c_void;
use std::mem::ManuallyDrop;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use segport_abi::{Buffer, Completion, HOST_MAGIC, HostTable, MAJOR, MINOR, PLUGIN_MAGIC, STATUS_ERROR, STATUS_OK};
use segport_boundary::{Answer, encode};
use segport_core::op::OpenHead;
use segport_core::{Error, ErrorKind, Result};

pub use segport_abi::PluginTable;

use crate::instance::{Instance, Submitted, given_up};
use crate::panics::{self, guard};
use crate::requests::HostHttp;
use crate::threads::Threads;
use crate::{Plugin, log};

/// A plugin and what it holds while it is loaded.
#[derive(Debug)]
pub struct Export {
    plugin: Plugin,
    host: OnceLock<HostTable>,
    threads: Threads,
}

impl Export {
    /// A plugin that the host has not met yet.
    pub const fn new(plugin: Plugin) -> Self {
        Self { threads: Threads::of(plugin.id()), plugin, host: OnceLock::new() }
    }

    fn host(&self) -> Result<HostTable> {
        self.host.get().copied().ok_or_else(|| Error::new(ErrorKind::Contract, "the plugin was used before `init`"))
    }

    /// # Safety
    /// `host` is null or points to a table of at least the size that it states, as ABI.md demands.
    unsafe fn init(&self, host: *const HostTable) -> Result<()> {
        if host.is_null() {
            return Err(Error::new(ErrorKind::Contract, "the host gave no table"));
        }
        // SAFETY: the caller vouches for the table; the head is part of every version.
        let (magic, size, major) = unsafe { ((*host).magic, (*host).struct_size, (*host).major) };
        if magic != HOST_MAGIC || major != MAJOR || (size as usize) < size_of::<HostTable>() {
            return Err(Error::new(ErrorKind::Contract, "the host is older than the plugin, or no Segport host")
                .with("host_version", major.to_string())
                .with("plugin_version", format!("{MAJOR}.{MINOR}")));
        }
        // SAFETY: the table is as large as the one known here.
        let host = unsafe { host.read() };
        self.host.set(host).map_err(|_| Error::new(ErrorKind::Contract, "`init` was called twice"))?;
        panics::watch();
        log::forward_to(host);
        Ok(())
    }

    fn describe(&self) -> Result<Bytes> {
        json(&self.plugin.describe())
    }

    fn open(&'static self, request: Buffer) -> Result<(Arc<Instance>, Bytes)> {
        let head: OpenHead = serde_json::from_slice(request.as_ref()).map_err(|_| {
            // The cause is left out: it may repeat a secret.
            Error::new(ErrorKind::Contract, "the host's request to open the plugin cannot be read")
        })?;
        let http = Arc::new(HostHttp::new(self.host()?, head.http_scope));
        let instance = Arc::new(Instance::new(&self.threads, self.plugin.open(head.settings, http)?));
        let opened = json(&instance.opened()?)?;
        Ok((instance, opened))
    }
}

fn json<T: serde::Serialize>(value: &T) -> Result<Bytes> {
    serde_json::to_vec(value).map(Bytes::from).map_err(|error| {
        Error::new(ErrorKind::Contract, "the plugin's answer could not be written as JSON").because(&error)
    })
}

/// Leads the C functions, which have no argument for it, to the static that a macro made.
pub trait Exported: 'static {
    /// The exported plugin.
    fn export() -> &'static Export;
}

/// The table of the plugin that `E` leads to.
pub const fn table<E: Exported>() -> PluginTable {
    PluginTable {
        magic: PLUGIN_MAGIC,
        struct_size: size_of::<PluginTable>() as u32,
        major: MAJOR,
        minor: MINOR,
        init: Some(init::<E>),
        describe: Some(describe::<E>),
        open: Some(open::<E>),
        submit: Some(submit::<E>),
        cancel: Some(cancel::<E>),
        close: Some(close::<E>),
        set_log_level: Some(set_log_level::<E>),
        shutdown: Some(shutdown::<E>),
    }
}

/// `guard` for a function whose own result may be an error.
fn guarded<E: Exported, T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    guard(E::export().plugin.id(), work).and_then(|result| result)
}

/// Writes a result to the place that the host gave for it.
///
/// # Safety
/// `place` is null or points to writable memory for a buffer that holds nothing to free.
unsafe fn put(place: *mut Buffer, result: Result<Bytes>) -> i32 {
    let (status, buffer) = encode(result);
    if !place.is_null() {
        // SAFETY: the caller vouches for the place; what it held needs no drop.
        unsafe { place.write(buffer) };
    }
    status
}

unsafe extern "C" fn init<E: Exported>(host: *const HostTable, error: *mut Buffer) -> i32 {
    // SAFETY: ABI.md, `init`: the host passes a table that it never changes or frees.
    let result = guarded::<E, _>(|| unsafe { E::export().init(host) });
    match result {
        Ok(()) => STATUS_OK,
        // SAFETY: ABI.md, `init`: `error` has room for a buffer.
        Err(failure) => unsafe { put(error, Err(failure)) },
    }
}

unsafe extern "C" fn describe<E: Exported>(answer: *mut Buffer) -> i32 {
    // SAFETY: ABI.md, `describe`: `answer` has room for a buffer.
    unsafe { put(answer, guarded::<E, _>(|| E::export().describe())) }
}

unsafe extern "C" fn open<E: Exported>(request: Buffer, instance: *mut *mut c_void, answer: *mut Buffer) -> i32 {
    if instance.is_null() {
        return STATUS_ERROR;
    }
    let result = guarded::<E, _>(|| E::export().open(request)).map(|(opened, bytes)| {
        // SAFETY: ABI.md, `open`: `instance` has room for a pointer.
        unsafe { instance.write(Arc::into_raw(opened).cast_mut().cast()) };
        bytes
    });
    // SAFETY: ABI.md, `open`: `answer` has room for a buffer.
    unsafe { put(answer, result) }
}

/// The instance behind the host's pointer, without taking it over.
///
/// # Safety
/// `instance` was given by `open` and is not closed (ABI.md, "Instances").
unsafe fn borrow(instance: *mut c_void) -> ManuallyDrop<Arc<Instance>> {
    // SAFETY: `open` made the pointer by `Arc::into_raw`, and only `close` takes it back.
    ManuallyDrop::new(unsafe { Arc::from_raw(instance.cast_const().cast()) })
}

unsafe extern "C" fn submit<E: Exported>(
    instance: *mut c_void,
    call_id: u64,
    op: u32,
    timeout_ms: u64,
    request: Buffer,
    completion: Completion,
) {
    let answer = Answer::new(completion, given_up);
    let call = Submitted { call_id, op, timeout_ms, request: Bytes::from_owner(request) };
    // A panic drops the answer, which then says `cancelled`.
    drop(guarded::<E, _>(|| {
        // SAFETY: ABI.md, "Instances": the host submits to instances that are open.
        unsafe { borrow(instance) }.submit(call, answer);
        Ok(())
    }));
}

unsafe extern "C" fn cancel<E: Exported>(instance: *mut c_void, call_id: u64) {
    drop(guarded::<E, _>(|| {
        // SAFETY: ABI.md, "Instances": the host cancels on instances that are open.
        unsafe { borrow(instance) }.cancel(call_id);
        Ok(())
    }));
}

unsafe extern "C" fn close<E: Exported>(instance: *mut c_void) {
    drop(guarded::<E, _>(|| {
        // SAFETY: ABI.md, "Instances": the host closes an instance once, and does not use it afterwards.
        let instance = ManuallyDrop::into_inner(unsafe { borrow(instance) });
        instance.end();
        Ok(())
    }));
}

unsafe extern "C" fn set_log_level<E: Exported>(level: u32) {
    drop(guarded::<E, _>(|| {
        log::set_level(level);
        Ok(())
    }));
}

unsafe extern "C" fn shutdown<E: Exported>() {
    drop(guarded::<E, _>(|| {
        E::export().threads.stop();
        Ok(())
    }));
}
