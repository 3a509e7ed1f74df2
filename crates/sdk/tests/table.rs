//! The table that the export macros make, used by a host that keeps the rules of `ABI.md`, and by one that does not.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test support")]

use std::ffi::c_void;
use std::ptr;
use std::sync::Barrier;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use segport_abi::{
    Buffer, Completion, HOST_MAGIC, HostTable, LEVEL_OFF, LEVEL_TRACE, MAJOR, MINOR, NO_TIMEOUT, PLUGIN_MAGIC,
    PluginTable, STATUS_OK, Slice,
};
use segport_sdk::export::{Export, Exported, table};
use segport_sdk::op::{self, Call};
use segport_sdk::{
    Account, Batch, Connector, Context, Descriptor, Error, ErrorKind, ExportSpec, Frame, Outcomes, Plugin, Result,
    Session, async_trait,
};
use serde_json::json;

/// Answers `check` and `finish` never, and panics when `check` is given up.
struct Endless;

/// Where the test and `check` meet.
static BEGUN: Barrier = Barrier::new(2);

struct Panics;

impl Drop for Panics {
    fn drop(&mut self) {
        panic!("the end of a call");
    }
}

#[async_trait]
impl Connector for Endless {
    type Settings = serde_json::Map<String, serde_json::Value>;

    fn descriptor() -> Descriptor {
        Descriptor::new("Endless", "Never answers.")
    }

    fn open(_: Self::Settings, _: &Context) -> Result<Self> {
        Ok(Self)
    }

    async fn check(&self, _: &Context) -> Result<Account> {
        let _panics = Panics;
        BEGUN.wait();
        std::future::pending().await
    }

    async fn begin(&self, _: &Context, _: &ExportSpec) -> Result<Session> {
        Ok(Session::default())
    }

    async fn write(&self, _: &Context, _: &Batch) -> Result<Outcomes> {
        Ok(Outcomes::default())
    }

    async fn finish(&self, _: &Context, _: &Session) -> Result<()> {
        std::future::pending().await
    }
}

static EXPORT: Export = Export::new(Plugin::connector::<Endless>("endless", "0.0.0"));

impl Exported for Endless {
    fn export() -> &'static Export {
        &EXPORT
    }
}

static TABLE: PluginTable = table::<Endless>();

unsafe extern "C" fn log(_: *mut c_void, _: u32, _: Slice) {}
unsafe extern "C" fn http_submit(_: *mut c_void, _: u64, _: u64, _: Buffer, _: Buffer, completion: Completion) {
    completion.complete(STATUS_OK, Buffer::EMPTY);
}
unsafe extern "C" fn http_cancel(_: *mut c_void, _: u64, _: u64) {}

const HOST: HostTable = HostTable {
    magic: HOST_MAGIC,
    struct_size: size_of::<HostTable>() as u32,
    major: MAJOR,
    minor: MINOR,
    ctx: ptr::null_mut(),
    log: Some(log),
    http_submit: Some(http_submit),
    http_cancel: Some(http_cancel),
};

/// What the host makes of a status and its bytes.
fn read(status: i32, answer: &Buffer) -> Result<Vec<u8>> {
    let bytes = answer.as_ref();
    if status == STATUS_OK { Ok(bytes.to_vec()) } else { Err(serde_json::from_slice(bytes).unwrap()) }
}

fn init(host: *const HostTable) -> Result<()> {
    let mut error = Buffer::EMPTY;
    // SAFETY: ABI.md, `init`: the tables of this test are constants, and `error` has room for a buffer.
    let status = unsafe { TABLE.init.unwrap()(host, &raw mut error) };
    read(status, &error).map(drop)
}

fn open(request: &str) -> Result<*mut c_void> {
    let (mut instance, mut answer) = (ptr::null_mut(), Buffer::EMPTY);
    let request = Buffer::from_vec(request.into());
    // SAFETY: ABI.md, `open`: both places have room.
    let status = unsafe { TABLE.open.unwrap()(request, &raw mut instance, &raw mut answer) };
    read(status, &answer).map(|_| instance)
}

/// Where the answers of a test's calls go, each with the number of its call.
static ANSWERS: AtomicPtr<Sender<(u64, Result<Vec<u8>>)>> = AtomicPtr::new(ptr::null_mut());

unsafe extern "C" fn answered(ctx: *mut c_void, status: i32, answer: Buffer) {
    // SAFETY: the test put it there before its first call, and never frees it.
    let answers = unsafe { &*ANSWERS.load(Ordering::SeqCst) };
    answers.send((ctx.addr() as u64, read(status, &answer))).unwrap();
}

/// Submits the call of that number.
fn submit(instance: *mut c_void, number: u64, op: u32) {
    let request = Frame::header_only(&Call { run: String::new(), args: argument(op) }).unwrap();
    // SAFETY: `answered` reads a number from it, and no memory.
    let completion = unsafe { Completion::new(ptr::without_provenance_mut(number as usize), answered) };
    // SAFETY: ABI.md, `submit`: the instance is open.
    unsafe { TABLE.submit.unwrap()(instance, number, op, NO_TIMEOUT, Buffer::from_owner(request), completion) };
}

fn argument(op: u32) -> serde_json::Value {
    if op == op::FINISH { json!(Session::default()) } else { json!(null) }
}

/// The next answer, which must be an error.
fn failure(answers: &Receiver<(u64, Result<Vec<u8>>)>) -> (u64, Error) {
    let (number, answer) = answers.recv().unwrap();
    (number, answer.unwrap_err())
}

/// One test, because a library is started once.
#[test]
fn a_plugin_keeps_the_rules_from_its_start_to_its_end() {
    assert_eq!((TABLE.magic, TABLE.major, TABLE.minor), (PLUGIN_MAGIC, MAJOR, MINOR));

    // Before it is started, and by hosts that it cannot use.
    let error = open(r#"{"settings":{},"http_scope":1}"#).unwrap_err();
    assert_eq!(error, Error::new(ErrorKind::Contract, "the plugin was used before `init`"));
    let no_host = init(ptr::null()).unwrap_err();
    assert_eq!(no_host, Error::new(ErrorKind::Contract, "the host gave no table"));
    for host in [
        HostTable { magic: PLUGIN_MAGIC, ..HOST },
        HostTable { major: MAJOR + 1, ..HOST },
        HostTable { struct_size: HOST.struct_size - 8, ..HOST },
    ] {
        let error = init(&raw const host).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Contract);
        assert!(error.message().starts_with("the host is older than the plugin"), "{error}");
    }
    // A table that has more at its end is one of a newer host.
    static NEWER: HostTable = HostTable { minor: MINOR + 1, struct_size: HOST.struct_size + 8, ..HOST };
    init(&raw const NEWER).unwrap();
    assert_eq!(init(&raw const NEWER).unwrap_err().message(), "`init` was called twice");

    for level in [LEVEL_OFF, LEVEL_TRACE, LEVEL_TRACE + 1, u32::MAX, LEVEL_OFF] {
        // SAFETY: ABI.md, `set_log_level`.
        unsafe { TABLE.set_log_level.unwrap()(level) };
    }
    let error = open(r#"{"settings":{"key":"hunter2"}"#).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Contract);
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");

    let (sender, answers) = channel();
    ANSWERS.store(Box::into_raw(Box::new(sender)), Ordering::SeqCst);
    let instance = open(r#"{"settings":{},"http_scope":1}"#).unwrap();
    submit(instance, 7, op::FINISH);
    // A number that is in use is refused, and the call that has it goes on until it is given up.
    submit(instance, 7, op::FINISH);
    let (number, error) = failure(&answers);
    assert_eq!((number, error.message()), (7, "a call's number is in use by another call"));
    // SAFETY: ABI.md, `cancel`: the instance is open; a number that is not under way is ignored.
    unsafe {
        TABLE.cancel.unwrap()(instance, 8);
        TABLE.cancel.unwrap()(instance, 7);
    }
    let (number, error) = failure(&answers);
    assert_eq!((number, error.kind()), (7, ErrorKind::Cancelled));

    // Closing gives up what is under way, and so does the end of the plugin, whose calls may panic at their end.
    submit(instance, 9, op::FINISH);
    let other = open(r#"{"settings":{},"http_scope":2}"#).unwrap();
    // SAFETY: ABI.md, `close`: the instance is not used again.
    unsafe { TABLE.close.unwrap()(instance) };
    let (number, error) = failure(&answers);
    assert_eq!((number, error.kind()), (9, ErrorKind::Cancelled));
    let third = open(r#"{"settings":{},"http_scope":3}"#).unwrap();
    submit(other, 1, op::FINISH);
    submit(third, 2, op::CHECK);
    BEGUN.wait();
    // SAFETY: ABI.md, `shutdown`: twice is as good as once.
    unsafe {
        TABLE.shutdown.unwrap()();
        TABLE.shutdown.unwrap()();
    }
    let mut last = [failure(&answers), failure(&answers)].map(|(number, error)| (number, error.kind()));
    last.sort_by_key(|(number, _)| *number);
    assert_eq!(last, [(1, ErrorKind::Cancelled), (2, ErrorKind::Cancelled)]);
    for (instance, message) in [(other, "plugin `endless` was shut down"), (third, "plugin `endless` panicked in an")] {
        submit(instance, 3, op::FINISH);
        let (_, error) = failure(&answers);
        assert!(error.message().starts_with(message), "{error}");
        // SAFETY: ABI.md, `close`: the instance is not used again.
        unsafe { TABLE.close.unwrap()(instance) };
    }
    assert!(answers.try_recv().is_err(), "every call was answered once");
}
