//! One vCPU that never sleeps and has no application to return to.

use std::cell::Cell;

thread_local! {
    static WORK: Cell<bool> = const { Cell::new(false) };
}

/// Most vCPUs of all host processes together.
pub const CPUS: usize = 1;

/// A descriptor of the guest's first three that somebody waits for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watch {
    pub input: bool,
    pub output: bool,
}

pub fn index() -> usize {
    0
}

pub fn slot() -> usize {
    0
}

/// Nobody else runs in its stead.
pub fn host_time() -> Option<u64> {
    None
}

pub fn is_process_tender() -> bool {
    true
}

pub fn request_work() {
    WORK.set(true);
}

pub fn work_requested() -> bool {
    WORK.get()
}

pub fn take_work() -> bool {
    WORK.take()
}

pub fn kick(_index: usize) {}

/// The mock machine's vCPU is never lost.
pub fn take_loss() -> bool {
    false
}

pub fn is_lost(_index: usize) -> bool {
    false
}

/// It is part of this very process.
pub fn host_process(_index: usize) -> i32 {
    0
}

pub fn notify(_index: usize) {}

pub fn set_alarm(_deadline: u64) {}

pub fn sleep(_deadline: Option<u64>, _watch: [Watch; 3]) {}

pub fn idle() -> ! {
    panic!("nothing runs on the mock machine")
}

/// ENOSYS: the mock machine has one vCPU.
pub fn start_thread(_index: usize, _slot: usize) -> Result<(), i32> {
    Err(linux_raw_sys::errno::ENOSYS as i32)
}

/// ENOSYS: as `start_thread`.
pub fn start_process(_index: usize, _wipe: bool) -> Result<(), i32> {
    Err(linux_raw_sys::errno::ENOSYS as i32)
}

pub fn exit_thread() -> ! {
    panic!("the mock machine has one vCPU")
}

pub fn exit_guest(code: i32) -> ! {
    panic!("guest ended with {code}")
}

pub fn choose(_to: &super::thread::Thread) {}

pub fn switch(_from: &super::thread::Thread) {
    panic!("nothing runs on the mock machine")
}

pub fn leave(_from: &super::thread::Thread) {
    panic!("nothing runs on the mock machine")
}

/// Nothing runs beside a unit test.
pub fn overhead_ns() -> u64 {
    0
}
