//! Kernel threads of control: one stack a task, and the switch between them.

use super::context::Frame;
use super::cpu::Cpu;
use super::{context, lock, personality};
use crate::page::{OutOfMemory, Pages};
use core::arch::global_asm;
use core::cell::UnsafeCell;
use core::sync::atomic::Ordering;
use husk_abi::layout::PAGE_SIZE;

/// Pages of a kernel stack, frame included. Backed only where touched.
const STACK_PAGES: usize = 16;

/// A kernel stack with the application's registers at its top. While its task does not run, also where it left off.
pub struct Thread {
    stack: Pages,
    saved_rsp: UnsafeCell<usize>,
}

// SAFETY: a thread is switched to and from only under the big kernel lock.
unsafe impl Send for Thread {}
// SAFETY: as above.
unsafe impl Sync for Thread {}

global_asm!(
    ".pushsection .text.switch,\"ax\",@progbits",
    // (rdi where to save the stack pointer, rsi the stack pointer to load)
    ".globl husk_switch",
    "husk_switch:",
    "  push rbx",
    "  push rbp",
    "  push r12",
    "  push r13",
    "  push r14",
    "  push r15",
    "  mov [rdi], rsp",
    ".globl husk_resume",
    "husk_resume:",
    "  mov rsp, rsi",
    "  pop r15",
    "  pop r14",
    "  pop r13",
    "  pop r12",
    "  pop rbp",
    "  pop rbx",
    "  ret",
    // (rdi where to save the stack pointer, rsi another stack, rdx what to run there)
    ".globl husk_leave",
    "husk_leave:",
    "  push rbx",
    "  push rbp",
    "  push r12",
    "  push r13",
    "  push r14",
    "  push r15",
    "  mov [rdi], rsp",
    "  mov rsp, rsi",
    "  xor ebp, ebp",
    "  call rdx",
    "  ud2",
    ".globl husk_thread_start",
    "husk_thread_start:",
    "  call {main}",
    "  jmp husk_exit",
    ".popsection",
    main = sym thread_main,
);

unsafe extern "C" {
    fn husk_switch(save: *mut usize, load: usize);
    fn husk_resume(unused: usize, load: usize) -> !;
    fn husk_leave(save: *mut usize, stack: usize, run: usize);
    fn husk_thread_start();
}

extern "C" fn thread_main() {
    personality().thread_started();
    lock::release();
}

impl Thread {
    /// A thread that begins in the personality's `thread_started` and then returns to the application with the
    /// registers of the task that runs now, or with none when there is none.
    pub fn new() -> Result<Self, OutOfMemory> {
        let stack = Pages::unzeroed(STACK_PAGES)?;
        let thread = Self { stack, saved_rsp: UnsafeCell::new(0) };
        let frame = thread.frame();
        let current = super::cpu::frame();
        // SAFETY: the new frame and the words below it lie in the fresh stack; the current frame, if any, belongs to
        // the task that calls this.
        unsafe {
            if current.is_null() {
                frame.write_bytes(0, 1);
                (*frame).reset_fpu();
            } else {
                (*current).store_fpu();
                frame.copy_from_nonoverlapping(current, 1);
                (*frame).fs_base = context::fs_base();
            }
            // Six callee-saved registers and the return address; RSP is then the frame, as after an entry.
            let start = frame.cast::<usize>().sub(7);
            start.write_bytes(0, 7);
            start.add(6).write(husk_thread_start as *const () as usize);
            *thread.saved_rsp.get() = start as usize;
        }
        Ok(thread)
    }

    fn frame(&self) -> *mut Frame {
        let top = self.stack.address() + STACK_PAGES * PAGE_SIZE;
        ((top - size_of::<Frame>()) & !63) as *mut Frame
    }

    /// Sets registers of a thread that has not run yet: result, and where given, stack pointer and FS base.
    pub fn set_start(&mut self, result: u64, rsp: Option<u64>, fs_base: Option<u64>) {
        // SAFETY: the thread is not shared yet.
        let frame = unsafe { &mut *self.frame() };
        frame.regs.rax = result;
        if let Some(rsp) = rsp {
            frame.regs.rsp = rsp;
        }
        if let Some(base) = fs_base {
            frame.fs_base = base;
        }
    }

    /// The application's registers of a thread that does not run.
    pub fn regs(&self) -> crate::context::Regs {
        // SAFETY: reads words of the frame, under the lock.
        unsafe { (*self.frame()).regs }
    }
}

/// Makes `to` the thread of this vCPU and returns where it left off.
fn load(to: *const Thread) -> usize {
    // SAFETY: the personality chose it, keeps it alive, and it runs nowhere, so its frame and saved stack pointer are this
    // vCPU's from here on.
    unsafe {
        let frame = (*to).frame();
        Cpu::current().frame.store(frame as usize, Ordering::Relaxed);
        context::set_fs_base((*frame).fs_base);
        (*frame).restore_fpu();
        *(*to).saved_rsp.get()
    }
}

/// Keeps what of the running thread's state is still in the processor.
fn store(from: &Thread) {
    // SAFETY: the running thread's frame belongs to this vCPU.
    let frame = unsafe { &mut *from.frame() };
    frame.store_fpu();
    frame.fs_base = context::fs_base();
}

/// From the running thread to another.
pub(super) fn switch(from: &Thread, to: *const Thread) {
    store(from);
    // SAFETY: both stack pointers belong to threads of which no other vCPU makes use.
    unsafe { husk_switch(from.saved_rsp.get(), load(to)) }
}

/// From the idle loop to a thread.
pub(super) fn resume(to: *const Thread) -> ! {
    // SAFETY: as in `switch`.
    unsafe { husk_resume(0, load(to)) }
}

/// From the running thread to `idle` on another stack.
pub(super) fn leave(from: &Thread, stack: usize, idle: extern "C" fn() -> !) {
    store(from);
    // SAFETY: the stack is the vCPU's own and unused; the saved stack pointer is the running thread's.
    unsafe { husk_leave(from.saved_rsp.get(), stack, idle as usize) }
}
