//! Bytes that cross the boundary, and the answer to a call.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ffi::c_void;
use core::mem::ManuallyDrop;
use core::{fmt, ptr, slice};

/// Bytes that the callee may read until the function returns.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Slice {
    /// The first byte; may be null when `len` is 0.
    pub ptr: *const u8,
    /// How many bytes.
    pub len: usize,
}

impl Slice {
    /// Borrows `bytes`; the caller keeps them alive while the slice is used.
    pub fn new(bytes: &[u8]) -> Self {
        Self { ptr: bytes.as_ptr(), len: bytes.len() }
    }

    /// The bytes.
    ///
    /// # Safety
    /// `ptr` and `len` describe readable memory that nobody changes during `'a`.
    pub unsafe fn as_bytes<'a>(self) -> &'a [u8] {
        // SAFETY: the caller guarantees it.
        unsafe { bytes(self.ptr, self.len) }
    }
}

impl fmt::Debug for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slice").field("len", &self.len).finish_non_exhaustive()
    }
}

/// Gives memory back to who made it. Called once, from any thread.
pub type FreeFn = Option<unsafe extern "C" fn(ctx: *mut c_void, ptr: *const u8, len: usize)>;

/// Bytes with an owner: whoever holds the buffer calls `free` once, and memory is released by the side that made it.
#[repr(C)]
pub struct Buffer {
    /// The first byte; may be null when `len` is 0.
    pub(crate) ptr: *const u8,
    /// How many bytes.
    pub(crate) len: usize,
    /// The first argument of `free`.
    pub(crate) ctx: *mut c_void,
    /// Releases the bytes; null when there is nothing to release.
    pub(crate) free: FreeFn,
}

// SAFETY: ABI.md, rule "Buffers": the bytes do not change once the buffer exists, and `free` may be called from any thread.
// The constructors below demand `Send + Sync` of what they take.
unsafe impl Send for Buffer {}
// SAFETY: as above; shared access only reads.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// A buffer of no bytes that owns nothing.
    pub const EMPTY: Self = Self { ptr: ptr::null(), len: 0, ctx: ptr::null_mut(), free: None };

    /// Takes over the memory of `bytes` without copying.
    pub fn from_vec(bytes: Vec<u8>) -> Self {
        unsafe extern "C" fn free(ctx: *mut c_void, ptr: *const u8, len: usize) {
            // SAFETY: `from_vec` took these three from a vector that it forgot; `free` is called once (ABI.md, "Buffers").
            drop(unsafe { Vec::from_raw_parts(ptr.cast_mut(), len, ctx.addr()) });
        }
        let mut bytes = ManuallyDrop::new(bytes);
        Self {
            ptr: bytes.as_mut_ptr(),
            len: bytes.len(),
            // The capacity needs no memory of its own.
            ctx: ptr::without_provenance_mut(bytes.capacity()),
            free: Some(free),
        }
    }

    /// Takes over `owner`, whose bytes must stay where they are while it is not changed or dropped.
    pub fn from_owner<T: AsRef<[u8]> + Send + Sync + 'static>(owner: T) -> Self {
        unsafe extern "C" fn free<T>(ctx: *mut c_void, _: *const u8, _: usize) {
            // SAFETY: `from_owner` made `ctx` by `Box::into_raw` of a `T`; `free` is called once (ABI.md, "Buffers").
            drop(unsafe { Box::from_raw(ctx.cast::<T>()) });
        }
        let owner = Box::into_raw(Box::new(owner));
        // SAFETY: it was made just now, and nobody else knows of it. It is a pointer already, since bytes that lie in the box
        // itself would not survive its move.
        let bytes = unsafe { &*owner }.as_ref();
        Self { ptr: bytes.as_ptr(), len: bytes.len(), ctx: owner.cast(), free: Some(free::<T>) }
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: ABI.md, rule "Buffers": who makes a buffer guarantees that the bytes are readable until `free`.
        unsafe { bytes(self.ptr, self.len) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(free) = self.free.take() {
            // SAFETY: `free` belongs to these bytes, and `take` makes this its only call.
            unsafe { free(self.ctx, self.ptr, self.len) };
        }
    }
}

/// The bytes stay out of it: they may be a profile's data.
impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("len", &self.len).finish_non_exhaustive()
    }
}

/// Takes the answer to a call.
pub type CompleteFn = Option<unsafe extern "C" fn(ctx: *mut c_void, status: i32, answer: Buffer)>;

/// Where the answer to one call goes: called exactly once, from any thread, also before the submit returns.
#[repr(C)]
pub struct Completion {
    /// The first argument of `call`.
    pub(crate) ctx: *mut c_void,
    /// Takes a status and the answer; never null.
    pub(crate) call: CompleteFn,
}

// SAFETY: ABI.md, rule "Completions": `call` may be called from any thread.
unsafe impl Send for Completion {}

impl Completion {
    /// The answer goes to `call`, with `ctx` as its first argument.
    ///
    /// # Safety
    /// `call` may be called with `ctx` once, from any thread, whenever the answer comes.
    pub unsafe fn new(ctx: *mut c_void, call: unsafe extern "C" fn(*mut c_void, i32, Buffer)) -> Self {
        Self { ctx, call: Some(call) }
    }

    /// Answers the call.
    pub fn complete(mut self, status: i32, answer: Buffer) {
        if let Some(call) = self.call.take() {
            // SAFETY: `call` belongs to `ctx`, and taking `self` makes this its only call.
            unsafe { call(self.ctx, status, answer) };
        }
    }
}

impl fmt::Debug for Completion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completion").finish_non_exhaustive()
    }
}

/// # Safety
/// As [`Slice::as_bytes`].
unsafe fn bytes<'a>(ptr: *const u8, len: usize) -> &'a [u8] {
    if ptr.is_null() || len == 0 {
        return &[];
    }
    // SAFETY: the caller guarantees readable memory that does not change.
    unsafe { slice::from_raw_parts(ptr, len) }
}
