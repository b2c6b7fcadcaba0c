//! The first instructions of the process, and what the host put on its stack.

use core::arch::global_asm;
use core::ffi::CStr;

global_asm!(
    ".pushsection .text.start,\"ax\",@progbits",
    ".globl _start",
    "_start:",
    "  xor ebp, ebp",
    "  mov rdi, rsp",
    "  and rsp, -16",
    "  call {main}",
    "  ud2",
    ".popsection",
    main = sym main,
);

global_asm!(
    ".pushsection .husk_kernel,\"ax\",@progbits",
    concat!("# kernel ", env!("HUSK_KERNEL_CONTENT")),
    concat!(".incbin \"", env!("OUT_DIR"), "/kernel.text\""),
    ".popsection",
    // The note that makes this an application, where `husk build` has filled it in: see `husk_app`.
    ".pushsection .note.husk,\"a\",@note",
    ".balign 4",
    ".long 8, {descriptor}, {note_type}",
    ".ascii \"Husk\\0\\0\\0\\0\"",
    ".globl husk_note",
    "husk_note:",
    ".skip {descriptor}",
    ".popsection",
    ".pushsection .rodata.kernel_data,\"a\",@progbits",
    ".balign 64",
    ".globl husk_kernel_data",
    "husk_kernel_data:",
    concat!(".incbin \"", env!("OUT_DIR"), "/kernel.data\""),
    ".globl husk_kernel_data_end",
    "husk_kernel_data_end:",
    ".popsection",
    descriptor = const husk_app::DESCRIPTOR_LEN,
    note_type = const husk_app::NOTE_TYPE,
);

unsafe extern "C" {
    static husk_kernel_data: u8;
    static husk_kernel_data_end: u8;
    static husk_note: [u8; husk_app::DESCRIPTOR_LEN];
}

/// The descriptor of this executable's note.
pub(crate) fn note() -> [u8; husk_app::DESCRIPTOR_LEN] {
    // SAFETY: the bytes behind the label; volatile, because they change after the compiler has seen them.
    unsafe { (&raw const husk_note).read_volatile() }
}

/// The kernel's read-only part, where the host mapped it.
pub(crate) fn kernel_text() -> &'static [u8] {
    let start = husk_abi::layout::KERNEL;
    // SAFETY: the linker script puts the image there, header first; its writable part begins at the next page.
    unsafe {
        let header = &*(start as *const husk_abi::boot::KernelHeader);
        core::slice::from_raw_parts(start as *const u8, header.data_start as usize - start)
    }
}

/// Initial contents of the kernel's writable part.
pub(crate) fn kernel_data() -> &'static [u8] {
    // SAFETY: the two labels enclose the bytes.
    unsafe {
        let (begin, end) = (&raw const husk_kernel_data, &raw const husk_kernel_data_end);
        core::slice::from_raw_parts(begin, end as usize - begin as usize)
    }
}

/// SHA-256 of the kernel image: what a snapshot and its restore must have in common.
pub(crate) const KERNEL_ID: [u8; 32] = *include_bytes!(concat!(env!("OUT_DIR"), "/kernel.id"));

/// Arguments, environment and auxiliary vector of this process.
#[derive(Clone, Copy)]
pub(crate) struct Process {
    pub(crate) args: &'static [*const u8],
    pub(crate) env: &'static [*const u8],
    auxv: *const [usize; 2],
}

impl Process {
    /// A value of the auxiliary vector, or 0.
    pub(crate) fn aux(&self, key: u32) -> usize {
        let mut at = self.auxv;
        loop {
            // SAFETY: the vector ends with AT_NULL.
            let [found, value] = unsafe { *at };
            match found {
                0 => return 0,
                found if found == key as usize => return value,
                // SAFETY: not the last entry.
                _ => at = unsafe { at.add(1) },
            }
        }
    }

    /// A variable of the environment.
    pub(crate) fn variable(&self, name: &[u8]) -> Option<&'static CStr> {
        self.env.iter().find_map(|entry| {
            // SAFETY: the host gives C strings.
            let entry = unsafe { CStr::from_ptr(entry.cast()) };
            let rest = entry.to_bytes_with_nul().strip_prefix(name)?.strip_prefix(b"=")?;
            CStr::from_bytes_with_nul(rest).ok()
        })
    }
}

fn strings(at: *const *const u8) -> &'static [*const u8] {
    let mut len = 0;
    // SAFETY: the host ends each array with a NULL.
    unsafe {
        while !(*at.add(len)).is_null() {
            len += 1;
        }
        core::slice::from_raw_parts(at, len)
    }
}

extern "C" fn main(stack: *const usize) -> ! {
    // SAFETY: the host's initial stack: count, arguments, NULL, environment, NULL, auxiliary vector.
    let process = unsafe {
        let args = strings(stack.add(1).cast());
        let env = strings(stack.add(args.len() + 2).cast());
        Process { args, env, auxv: stack.add(args.len() + env.len() + 3).cast() }
    };
    crate::run::main(&process)
}
