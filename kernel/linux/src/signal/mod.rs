//! Signals: generation, masks, queues, delivery.

/// Sends a signal to the calling thread, as the kernel itself does (SIGPIPE, SIGXFSZ).
pub fn raise(signal: u32) {
    crate::task::current().raise(signal);
}
