//! What becomes of memory that is free again.

/// Lets memory that was freed wait for its next use, where the allocator would give most of it back: pages of rows are
/// made and dropped by the hundred, and the system would have to find and clear memory for each anew. To be called before
/// there are other threads.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn keep_for_reuse() {
    /// The largest piece that comes from memory that is kept; the allocator takes no greater number.
    const LARGEST: libc::c_int = 32 << 20;
    /// How much each arena keeps.
    const KEPT: libc::c_int = 64 << 20;
    // SAFETY: mallopt takes two integers and sets numbers of the allocator, as documented in mallopt(3); `main` calls this
    // before anything that starts a thread, so that nobody allocates meanwhile. If it refuses, memory is given back as before.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGEST);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT);
    }
}

/// Other allocators are left as they are.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn keep_for_reuse() {}
