//! A loaded library: its table, checked, and the plugin and instances behind it.

use std::ffi::c_void;
use std::fmt;
use std::fs::File;
use std::path::Path;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use segport_abi::{
    Buffer, Completion, EntryFn, HostTable, MAJOR, MINOR, NO_TIMEOUT, PLUGIN_MAGIC, PluginTable, SYMBOL_PREFIX,
};
use segport_boundary::{Answered, completion, level};
use segport_core::http::HttpClient;
use segport_core::op::{OpenHead, Opened};
use segport_core::{Descriptor, Error, ErrorKind, Result};
use serde_json::Value;
use tokio::runtime::Handle;
use tracing::level_filters::LevelFilter;

use crate::copy::PrivateCopy;
use crate::elf;
use crate::plugin::{Instance, Plugin};
use crate::services::Services;

/// What a plugin may take beyond a call's timeout, which it watches itself, before the host stops waiting.
const GRACE: Duration = Duration::from_secs(5);

/// The functions of a plugin's table, none of them null.
#[derive(Clone, Copy)]
struct Functions {
    init: unsafe extern "C" fn(*const HostTable, *mut Buffer) -> i32,
    describe: unsafe extern "C" fn(*mut Buffer) -> i32,
    open: unsafe extern "C" fn(Buffer, *mut *mut c_void, *mut Buffer) -> i32,
    submit: unsafe extern "C" fn(*mut c_void, u64, u32, u64, Buffer, Completion),
    cancel: unsafe extern "C" fn(*mut c_void, u64),
    close: unsafe extern "C" fn(*mut c_void),
    set_log_level: unsafe extern "C" fn(u32),
}

impl Functions {
    /// Copies the functions out of a table, or says why it cannot be used.
    ///
    /// # Safety
    /// `table` is null or points to the memory of a plugin's table: 16 bytes at least, and what its size states.
    unsafe fn read(table: *const PluginTable) -> Result<Self, String> {
        if table.is_null() || !table.is_aligned() {
            return Err("gives no table of functions".to_owned());
        }
        // SAFETY: the caller vouches for the table; these four are part of every version.
        let (magic, size, major, minor) =
            unsafe { ((*table).magic, (*table).struct_size, (*table).major, (*table).minor) };
        if magic != PLUGIN_MAGIC {
            return Err("is no Segport plugin: its table begins with the wrong magic number".to_owned());
        }
        if major != MAJOR || minor > MINOR {
            return Err(format!(
                "was built for version {major}.{minor} of the plugin boundary, this host has {MAJOR}.{MINOR}; use a \
                 plugin and a host that fit each other"
            ));
        }
        if size as usize != size_of::<PluginTable>() {
            return Err(format!(
                "has a table of {size} bytes where version {major}.{minor} has {}",
                size_of::<PluginTable>()
            ));
        }
        // SAFETY: the table is as large as the one known here.
        let table = unsafe { table.read() };
        let functions = || {
            // The host never stops a plugin, but one that cannot be stopped is not whole.
            table.shutdown?;
            Some(Self {
                init: table.init?,
                describe: table.describe?,
                open: table.open?,
                submit: table.submit?,
                cancel: table.cancel?,
                close: table.close?,
                set_log_level: table.set_log_level?,
            })
        };
        functions().ok_or_else(|| "lacks functions in its table".to_owned())
    }
}

/// A library in this process: loaded once, never unloaded.
pub(crate) struct Loaded {
    id: String,
    sha256: String,
    descriptor: Descriptor,
    functions: Functions,
    services: &'static Services,
}

impl Loaded {
    /// Loads the library of which that is a copy as plugin `id`, or says why that cannot be.
    pub(crate) fn load(id: &str, copy: &PrivateCopy) -> Result<&'static Self, String> {
        let path = &copy.lasting_path().map_err(|error| format!("cannot be opened: {error}"))?;
        elf::check(&File::open(path).map_err(|error| format!("cannot be read: {error}"))?)?;
        // SAFETY: the file is whole. Loading it runs the library's initialisers. The caller has checked who may write to
        // the file and that its hash is the pinned one, so this is code that the user chose to run.
        let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }
            .map_err(|error| format!("cannot be loaded: {}{}", without_path(&error, path), noexec(&error)))?;
        // Never unloaded: threads, thread-locals and handed out functions of the library would outlive its code.
        let library: &'static Library = Box::leak(Box::new(library));
        let symbol = format!("{SYMBOL_PREFIX}{id}");
        // SAFETY: ABI.md, "Entry": a symbol of this name is a function of this type.
        let entry = unsafe { library.get::<EntryFn>(symbol.as_bytes()) }
            .map_err(|_| format!("is no Segport plugin of that name: it has no symbol `{symbol}`"))?;
        // SAFETY: ABI.md, "Entry": it returns a table that is never changed or freed.
        let functions = unsafe { Functions::read(entry()) }?;
        let (services, table) = Services::leak(id);
        init(id, functions, table).map_err(|error| format!("cannot be started: {error}"))?;
        let descriptor = describe(id, functions).map_err(|error| format!("cannot describe itself: {error}"))?;
        // SAFETY: ABI.md, "Threads": after `init` any function may be called from any thread.
        unsafe { (functions.set_log_level)(level::number(LevelFilter::current())) };
        let (id, sha256) = (id.to_owned(), copy.sha256().to_owned());
        Ok(Box::leak(Box::new(Self { id, sha256, descriptor, functions, services })))
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn sha256(&self) -> &str {
        &self.sha256
    }

    pub(crate) fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }
}

fn init(id: &str, functions: Functions, table: &'static HostTable) -> Result<()> {
    let mut error = Buffer::EMPTY;
    // SAFETY: ABI.md, `init`: the table lives for ever and `error` has room for a buffer; this is the first call.
    let status = unsafe { (functions.init)(table, &raw mut error) };
    answered(id, Answered::new(status, error)).map(drop)
}

fn describe(id: &str, functions: Functions) -> Result<Descriptor> {
    let mut buffer = Buffer::EMPTY;
    // SAFETY: ABI.md, `describe`: `buffer` has room for the answer.
    let status = unsafe { (functions.describe)(&raw mut buffer) };
    let bytes = answered(id, Answered::new(status, buffer))?;
    let descriptor: Descriptor = serde_json::from_slice(&bytes)
        .map_err(|error| Error::new(ErrorKind::Contract, "its description cannot be read").because(&error))?;
    if descriptor.id != id {
        return Err(Error::new(ErrorKind::Contract, format!("it says that it is plugin `{}`", descriptor.id)));
    }
    Ok(descriptor)
}

/// The result that a plugin's answer stands for.
fn answered(plugin: &str, answer: Answered) -> Result<Bytes> {
    answer.result(|status| {
        Error::new(ErrorKind::Contract, format!("plugin `{plugin}` answered an error that cannot be read"))
            .with("status", status.to_string())
    })
}

/// A timeout as the boundary carries it.
fn milliseconds(timeout: Duration) -> u64 {
    u64::try_from(timeout.as_millis()).unwrap_or(NO_TIMEOUT)
}

/// What to do where the copy of a library cannot be mapped to be run, which the loader says in its own words.
fn noexec(error: &impl std::fmt::Display) -> &'static str {
    match error.to_string().contains("failed to map segment") {
        true => "; does the directory for temporary files forbid to run programs (`noexec`)? Set TMPDIR to another one",
        false => "",
    }
}

/// The loader's message without the name of the private copy, which tells the user nothing.
fn without_path(error: &libloading::Error, path: &Path) -> String {
    let text = match std::error::Error::source(error) {
        Some(source) => source.to_string(),
        None => error.to_string(),
    };
    text.replace(&format!("{}: ", path.display()), "")
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded").field("id", &self.id).field("sha256", &self.sha256).finish_non_exhaustive()
    }
}

/// A plugin in a library, whose instances send requests on `runtime`.
#[derive(Debug)]
pub(crate) struct LibraryPlugin {
    loaded: &'static Loaded,
    runtime: Handle,
}

impl LibraryPlugin {
    pub(crate) fn new(loaded: &'static Loaded, runtime: Handle) -> Self {
        Self { loaded, runtime }
    }
}

impl Plugin for LibraryPlugin {
    fn descriptor(&self) -> &Descriptor {
        &self.loaded.descriptor
    }

    fn sha256(&self) -> &str {
        &self.loaded.sha256
    }

    fn open(&self, settings: Value, http: Arc<dyn HttpClient>) -> Result<Box<dyn Instance>> {
        let loaded = self.loaded;
        let scope =
            Scope { services: loaded.services, number: loaded.services.begin_scope(http, self.runtime.clone()) };
        let request = serde_json::to_vec(&OpenHead { settings, http_scope: scope.number })
            .map_err(|_| Error::new(ErrorKind::Contract, "the settings could not be written as JSON"))?;
        let (mut pointer, mut buffer) = (ptr::null_mut(), Buffer::EMPTY);
        // SAFETY: ABI.md, `open`: both places have room for what is written to them.
        let status = unsafe { (loaded.functions.open)(Buffer::from_vec(request), &raw mut pointer, &raw mut buffer) };
        let bytes = answered(&loaded.id, Answered::new(status, buffer))?;
        if pointer.is_null() {
            let message = format!("plugin `{}` cannot be opened: it gave no instance", loaded.id);
            return Err(Error::new(ErrorKind::Contract, message));
        }
        let mut instance =
            LibraryInstance { pointer, loaded, opened: Opened::default(), next_call: AtomicU64::new(1), _scope: scope };
        instance.opened = serde_json::from_slice(&bytes).map_err(|error| {
            Error::new(
                ErrorKind::Contract,
                format!("plugin `{}` cannot be opened: its answer cannot be read", loaded.id),
            )
            .because(&error)
        })?;
        Ok(Box::new(instance))
    }
}

/// The requests of one instance, which end with it.
#[derive(Debug)]
struct Scope {
    services: &'static Services,
    number: u64,
}

impl Drop for Scope {
    fn drop(&mut self) {
        self.services.end_scope(self.number);
    }
}

struct LibraryInstance {
    pointer: *mut c_void,
    loaded: &'static Loaded,
    opened: Opened,
    next_call: AtomicU64,
    /// Dropped after `close`, so that the plugin's last requests are cancelled and not refused.
    _scope: Scope,
}

// SAFETY: ABI.md, "Threads": an instance may be used from any thread.
unsafe impl Send for LibraryInstance {}
// SAFETY: ABI.md, "Threads": and from several at once.
unsafe impl Sync for LibraryInstance {}

#[async_trait]
impl Instance for LibraryInstance {
    fn opened(&self) -> &Opened {
        &self.opened
    }

    async fn call(&self, op: u32, timeout: Duration, request: Bytes) -> Result<Bytes> {
        let call_id = self.next_call.fetch_add(1, Ordering::Relaxed);
        let (completion, receiver) = completion();
        let under_way = UnderWay { instance: self, call_id };
        // SAFETY: ABI.md, "Instances": the pointer came from `open`, and `close` waits for the end of this borrow.
        unsafe {
            (self.loaded.functions.submit)(
                self.pointer,
                call_id,
                op,
                milliseconds(timeout),
                Buffer::from_owner(request),
                completion,
            );
        }
        let id = &self.loaded.id;
        match tokio::time::timeout(timeout.saturating_add(GRACE), receiver).await {
            Ok(Ok(answer)) => {
                std::mem::forget(under_way);
                answered(id, answer)
            }
            Ok(Err(_)) => {
                Err(Error::new(ErrorKind::Contract, format!("plugin `{id}` gave up a call without an answer")))
            }
            Err(_) => Err(Error::new(ErrorKind::Timeout, format!("plugin `{id}` did not answer in time"))
                .with("timeout_ms", milliseconds(timeout).to_string())),
        }
    }
}

impl Drop for LibraryInstance {
    fn drop(&mut self) {
        // SAFETY: ABI.md, "Instances": the pointer came from `open`, nobody borrows it, and this is its only `close`.
        unsafe { (self.loaded.functions.close)(self.pointer) };
    }
}

/// Settings and secrets are in the plugin only, and stay there.
impl fmt::Debug for LibraryInstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LibraryInstance").field("plugin", &self.loaded.id).finish_non_exhaustive()
    }
}

/// Cancels the call in the plugin when the future that waits for it is dropped.
struct UnderWay<'a> {
    instance: &'a LibraryInstance,
    call_id: u64,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        // SAFETY: ABI.md, "Instances": the instance is open for as long as it is borrowed.
        unsafe { (self.instance.loaded.functions.cancel)(self.instance.pointer, self.call_id) };
    }
}
