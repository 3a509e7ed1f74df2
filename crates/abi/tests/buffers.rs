//! Who frees what, and how often.

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use segport_abi::{Buffer, Completion, STATUS_OK, Slice};

/// Bytes that count how often they are dropped.
struct Counted(Arc<AtomicUsize>);

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        b"abc"
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_buffer_gives_its_bytes_and_frees_its_owner_once() {
    let drops = Arc::new(AtomicUsize::new(0));
    let buffer = Buffer::from_owner(Counted(Arc::clone(&drops)));
    assert_eq!(buffer.as_ref(), b"abc");
    assert_eq!(drops.load(Ordering::SeqCst), 0);
    std::thread::spawn(move || drop(buffer)).join().unwrap();
    assert_eq!(drops.load(Ordering::SeqCst), 1);
}

#[test]
fn a_vector_is_taken_over_without_copying() {
    for bytes in [Vec::new(), Vec::with_capacity(64), vec![7; 1000], [1, 2, 3].repeat(2)] {
        let (place, copy) = (bytes.as_ptr(), bytes.clone());
        let buffer = Buffer::from_vec(bytes);
        assert!(copy.is_empty() || buffer.as_ref().as_ptr() == place);
        assert_eq!(buffer.as_ref(), copy);
    }
}

#[test]
fn nothing_is_nothing() {
    assert_eq!(Buffer::EMPTY.as_ref(), b"");
    // SAFETY: there are no bytes.
    assert_eq!(unsafe { Slice { ptr: std::ptr::null(), len: 0 }.as_bytes() }, b"");
    // SAFETY: the bytes are static.
    assert_eq!(unsafe { Slice::new(b"abc").as_bytes() }, b"abc");
}

#[test]
fn a_completion_hands_over_status_and_answer() {
    unsafe extern "C" fn call(ctx: *mut c_void, status: i32, answer: Buffer) {
        // SAFETY: `ctx` is the vector below.
        let seen = unsafe { &mut *ctx.cast::<Vec<(i32, Vec<u8>)>>() };
        seen.push((status, answer.as_ref().to_vec()));
    }
    let mut seen: Vec<(i32, Vec<u8>)> = Vec::new();
    // SAFETY: the vector outlives the completion, which is used below.
    let completion = unsafe { Completion::new((&raw mut seen).cast(), call) };
    completion.complete(STATUS_OK, Buffer::from_vec(b"abc".to_vec()));
    assert_eq!(seen, [(STATUS_OK, b"abc".to_vec())]);
}

#[test]
fn debug_shows_no_bytes() {
    let printed = format!("{:?} {:?}", Buffer::from_vec(b"hunter2".to_vec()), Slice::new(b"hunter2"));
    assert_eq!(printed, "Buffer { len: 7, .. } Slice { len: 7, .. }");
}
