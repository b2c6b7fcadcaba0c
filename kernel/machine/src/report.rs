//! What the kernel says on the own account: panics on the guest's stderr, and traces.

#[cfg(husk_image)]
mod image {
    use crate::image::{cpu, gate, start::boot};
    use core::fmt::{self, Write};
    use core::sync::atomic::{AtomicBool, Ordering};
    use husk_abi::boot::FLAG_TERMINAL;

    /// Formats into a fixed buffer and writes when it is full: no memory is needed.
    struct Console {
        buffer: [u8; 512],
        len: usize,
    }

    impl Console {
        fn flush(&mut self) {
            gate::write_all(2, &self.buffer[..self.len]);
            self.len = 0;
        }
    }

    impl Write for Console {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            for byte in text.bytes() {
                if self.len + 1 >= self.buffer.len() {
                    self.flush();
                }
                if byte == b'\n' && boot().flags & FLAG_TERMINAL != 0 {
                    // Nobody else returns the carriage of a terminal in raw mode.
                    self.buffer[self.len] = b'\r';
                    self.len += 1;
                }
                self.buffer[self.len] = byte;
                self.len += 1;
            }
            Ok(())
        }
    }

    /// Writes text to where traces go.
    pub fn trace(text: &str) {
        match boot().trace_fd {
            2 => print(format_args!("{text}")),
            fd => gate::write_all(fd, text.as_bytes()),
        }
    }

    /// Prints on the guest's stderr.
    pub fn print(text: fmt::Arguments<'_>) {
        let mut console = Console { buffer: [0; 512], len: 0 };
        let _ = console.write_fmt(text);
        console.flush();
    }

    fn backtrace(mut frame: usize) {
        for _ in 0..24 {
            if frame < husk_abi::layout::KERNEL || frame % 8 != 0 || frame >= husk_abi::layout::TENDER {
                return;
            }
            // SAFETY: an aligned address in the kernel's range on a stack of ours; a wrong one ends in a second panic,
            // which prints nothing more.
            let (next, address) = unsafe { (*(frame as *const usize), *((frame + 8) as *const usize)) };
            if address < husk_abi::layout::KERNEL {
                return;
            }
            print(format_args!("  {address:#x}\n"));
            frame = next;
        }
    }

    /// Reads from an address that is none, for the test of what a fault of the kernel says.
    pub fn fault() {
        // SAFETY: none, which is the point: page 0 is never mapped, and the guest ends here.
        unsafe { core::arch::asm!("mov {0}, [{0}]", inout(reg) 8_usize => _, options(nostack)) };
    }

    static PANICKING: AtomicBool = AtomicBool::new(false);
    /// The panic has said what it had to say.
    static SAID: AtomicBool = AtomicBool::new(false);

    /// Ends the guest with status 125 and says why. `regs` describes where, when a trap of the kernel is the reason.
    pub fn panic(what: &dyn fmt::Display) -> ! {
        if !PANICKING.swap(true, Ordering::SeqCst) {
            print(format_args!("husk: kernel {what}\n"));
            print(format_args!("husk: vCPU {}, tender {}\n", cpu::index(), boot().tender));
            let frame: usize;
            // SAFETY: reads a register.
            unsafe { core::arch::asm!("mov {}, rbp", out(reg) frame, options(nomem, nostack)) };
            print(format_args!("husk: backtrace (frame pointers):\n"));
            backtrace(frame);
            if let Some(regs) = crate::image::context::regs_if_any() {
                print(format_args!("husk: application {regs:#x?}\n"));
            }
        }
        SAID.store(true, Ordering::SeqCst);
        cpu::alarm_first();
        gate::exit_guest(125)
    }

    /// Ends this host process if another one has panicked: with the first one the guest ends.
    pub(crate) fn end_if_panicking() {
        if SAID.load(Ordering::SeqCst) {
            gate::exit_guest(125)
        }
    }
}

#[cfg(husk_image)]
pub(crate) use image::end_if_panicking;

#[cfg(husk_image)]
pub use image::{fault, panic, print, trace};

/// Writes text to where traces go.
#[cfg(not(husk_image))]
pub fn trace(text: &str) {
    std::eprint!("{text}");
}

/// A unit test's process is not brought down.
#[cfg(not(husk_image))]
pub fn fault() {}

/// Prints on stderr.
#[cfg(not(husk_image))]
pub fn print(text: core::fmt::Arguments<'_>) {
    std::eprint!("{text}");
}
