//! What this process inherited of signals from whoever started it.

/// Makes sure that ended children can be asked how they ended: where a caller had this process ignore
/// `SIGCHLD`, which outlives `exec`, the system would forget them at once.
pub fn wait_for_children() {
    // SAFETY: setting the default disposition runs no code of ours at any time.
    unsafe {
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
    }
}
