//! A small kernel that plays a script of hypercalls, and the child process in which a tender runs it.

use husk_abi::boot::{ABI_VERSION, KERNEL_MAGIC};
use husk_abi::gate::Call;
use husk_abi::layout::{ARENA, KERNEL, PAGE_SIZE, PRIVATE, PRIVATE_PER_CPU};
use husk_abi::vcpu;
use husk_tender::config::{Config, Kernel, Strings};
use husk_tender_kvm::Machine;
use std::arch::global_asm;
use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// The test kernel's writable part.
pub(crate) const DATA: usize = KERNEL + PAGE_SIZE;
const DATA_LEN: u64 = 4 * PAGE_SIZE as u64;
/// Where the script of vCPU 0 lies in it, and that of each further one behind it.
const SCRIPT: usize = 0x1000;
/// Where a vCPU's calls are made from, in the arena; each further vCPU has the next 64 KiB.
pub(crate) const SLOTS: usize = ARENA + 0x30_0000;
/// A word that the test kernel counts kicks in.
pub(crate) const KICKS: usize = ARENA + 0x38_0000;
/// Memory for buffers.
pub(crate) const BUFFER: usize = ARENA + 0x3a_0000;
pub(crate) const ARENA_LEN: usize = 16 << 20;

/// What a step does, in `Call::reserved`. 0 is a plain hypercall from the step's slot.
pub(crate) const AT_ADDRESS: u32 = 1;
pub(crate) const STORE: u32 = 2;
pub(crate) const SPIN_UNTIL: u32 = 3;
pub(crate) const HALT: u32 = 4;
pub(crate) const OTHER_PORT: u32 = 5;
pub(crate) const SPIN_FOREVER: u32 = 6;

global_asm!(
    ".pushsection .text.test_kernel,\"ax\",@progbits",
    ".globl test_kernel, test_kernel_start, test_kernel_kick, test_kernel_end",
    ".balign 64",
    "test_kernel:",
    // Room for the header, which the test fills in its copy.
    ".fill 128, 1, 0",
    "test_kernel_start:",
    "  mov rax, {private}",
    "  mov rcx, rdi",
    "  shl rcx, 16",
    "  add rax, rcx",
    "  mov rcx, 0x00cff3000000ffff",
    "  mov [rax + {gdt} + 0x28], rcx",
    "  mov rcx, 0x00affb000000ffff",
    "  mov [rax + {gdt} + 0x30], rcx",
    "  mov rcx, {kicks} + 8",
    "  mov [rax + {upcall} + 8], rcx",
    "  mov r12, {script}",
    "  mov r14, {slots}",
    "  mov rcx, rdi",
    "  shl rcx, 12",
    "  add r12, rcx",
    "  mov rcx, rdi",
    "  shl rcx, 16",
    "  add r14, rcx",
    "2: mov rdi, r14",
    "  mov rsi, r12",
    "  mov ecx, 8",
    "  rep movsq",
    "  mov eax, [r14 + 4]",
    "  mov rdi, [r14 + 8]",
    "  mov rsi, [r14 + 16]",
    "  mov edx, {port}",
    "  cmp eax, 2",
    "  je 5f",
    "  cmp eax, 3",
    "  je 6f",
    "  cmp eax, 4",
    "  je 7f",
    "  cmp eax, 5",
    "  je 8f",
    "  cmp eax, 6",
    "  je 9f",
    "  cmp eax, 1",
    "  cmovne rdi, r14",
    "  out dx, eax",
    "3: add r12, 64",
    "  add r14, 64",
    "  jmp 2b",
    "5: mov [rdi], rsi",
    "  jmp 3b",
    "6: cmp [rdi], rsi",
    "  jb 6b",
    "  jmp 3b",
    "7: hlt",
    "8: mov edx, 0x70",
    "  out dx, eax",
    "9: jmp 9b",
    "test_kernel_kick:",
    "  push rax",
    "  mov rax, {kicks}",
    "  lock inc qword ptr [rax]",
    "  pop rax",
    "  iretq",
    "test_kernel_end:",
    ".popsection",
    private = const PRIVATE,
    gdt = const vcpu::GDT,
    upcall = const vcpu::UPCALL,
    kicks = const KICKS,
    script = const DATA + SCRIPT,
    slots = const SLOTS,
    port = const husk_abi::gate::PORT,
);

unsafe extern "C" {
    safe static test_kernel: u8;
    safe static test_kernel_start: u8;
    safe static test_kernel_kick: u8;
    safe static test_kernel_end: u8;
}

fn address(of: &u8) -> usize {
    std::ptr::from_ref(of) as usize - &raw const test_kernel as usize
}

/// Page-aligned bytes that live for the life of the process.
fn page_aligned(bytes: &[u8]) -> &'static mut [u8] {
    let block = vec![0_u8; bytes.len().next_multiple_of(PAGE_SIZE) + PAGE_SIZE].leak();
    let skip = block.as_ptr().align_offset(PAGE_SIZE);
    let aligned = &mut block[skip..skip + bytes.len().next_multiple_of(PAGE_SIZE)];
    aligned[..bytes.len()].copy_from_slice(bytes);
    aligned
}

/// The read-only part of a kernel image.
pub(crate) fn kernel_text() -> &'static mut [u8] {
    let len = address(&test_kernel_end);
    // SAFETY: the assembly above, between its two labels.
    let code = unsafe { std::slice::from_raw_parts(&raw const test_kernel, len) };
    let entry = |label: &u8| (KERNEL + address(label)) as u64;
    let mut text = code.to_vec();
    let start = entry(&test_kernel_start);
    let (data, kick) = (DATA as u64, entry(&test_kernel_kick));
    let (version, data_end) = (u64::from(ABI_VERSION), data + DATA_LEN);
    let header: [u64; 10] = [KERNEL_MAGIC, version, start, start, start, 0, data, data_end, data_end, kick];
    for (place, word) in text.chunks_exact_mut(8).zip(header) {
        place.copy_from_slice(&word.to_le_bytes());
    }

    page_aligned(&text)
}

pub(crate) fn call(number: u32, a: u64, b: u64, c: u64) -> Call {
    Call { number, a, b, c, ..Call::default() }
}

pub(crate) fn step(reserved: u32, a: u64, b: u64) -> Call {
    Call { reserved, a, b, ..Call::default() }
}

/// The writable part: a text, and the scripts.
fn kernel_data(scripts: &[Vec<Call>]) -> &'static [u8] {
    let mut data = vec![0_u8; DATA_LEN as usize];
    data[..18].copy_from_slice(b"data of the kernel");
    for (index, script) in scripts.iter().enumerate() {
        for (place, call) in data[SCRIPT * (1 + index)..].chunks_exact_mut(64).zip(script) {
            // SAFETY: 64 bytes without padding.
            place.copy_from_slice(unsafe {
                std::slice::from_raw_parts(std::ptr::from_ref(call).cast::<u8>(), 64)
            });
        }
    }
    data.leak()
}

pub(crate) fn config(scripts: &[Vec<Call>], root: Option<(&OwnedFd, usize)>) -> Config<'static> {
    let (root_fd, root_len) = root.map_or((-1, 0), |(fd, len)| (fd.as_raw_fd(), len as u64));
    Config {
        kernel: Kernel { data: kernel_data(scripts) },
        program: c"test",
        args: Strings { items: &[] },
        env: Strings { items: &[] },
        cwd: c"/",
        hostname: c"test",
        root_fd,
        root_len,
        root_offset: 0,
        record_fd: None,
        strict: 0,
        allowed: [0; 8],
        root_name: c"",
        root_files: &[],
        mounts: &[],
        ring: None,
        memory: ARENA_LEN as u64,
        cpus: scripts.len() as u32,
        uid: 0,
        gid: 0,
        groups: &[],
        umask: 0,
        flags: 0,
        number: std::process::id(),
        own_users: false,
        wish_fd: None,
        has_parent: false,
        trace_fd: None,
        trace: None,
        trace_strings: 0,
        hwcap: 0,
        clock: husk_tender::clock::sample(),
        control_fd: -1,
        snapshot: None,
    }
}

/// How a guest ended, and what it wrote.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Wait status of the tender's process.
    pub(crate) status: i32,
    pub(crate) output: Vec<u8>,
    pub(crate) errors: String,
}

impl Outcome {
    pub(crate) fn code(&self) -> Option<i32> {
        libc::WIFEXITED(self.status).then(|| libc::WEXITSTATUS(self.status))
    }

    /// The script's calls after they were made, as the guest wrote them.
    pub(crate) fn calls(&self) -> Vec<Call> {
        // SAFETY: 64 bytes of integers each.
        self.output
            .chunks_exact(64)
            .map(|bytes| unsafe { bytes.as_ptr().cast::<Call>().read_unaligned() })
            .collect()
    }
}

fn pipe() -> (OwnedFd, OwnedFd) {
    let mut fds = [0; 2];
    // SAFETY: two new descriptors, owned by nobody else.
    unsafe {
        assert_eq!(libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC), 0);
        (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1]))
    }
}

/// Whether guests can run here; says so when not.
pub(crate) fn have_kvm() -> bool {
    match std::fs::OpenOptions::new().read(true).write(true).open("/dev/kvm") {
        Ok(_) => true,
        Err(error) => {
            eprintln!("skipped: no /dev/kvm: {error}");
            false
        }
    }
}

/// A guest in a child process.
pub(crate) struct Child {
    pub(crate) pid: i32,
    output: OwnedFd,
    errors: OwnedFd,
}

/// Starts the scripts, one a vCPU, with `input` as the guest's descriptor 0 and `root` as its root image.
pub(crate) fn start(scripts: &[Vec<Call>], input: Option<OwnedFd>, root: Option<(&OwnedFd, usize)>) -> Child {
    let (text, config) = (kernel_text(), config(scripts, root));
    let (output, output_end) = pipe();
    let (errors, errors_end) = pipe();
    // SAFETY: the child makes system calls only, until the tender ends it.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        // SAFETY: descriptors that exist.
        unsafe {
            if let Some(input) = &input {
                libc::dup2(input.as_raw_fd(), 0);
            }
            libc::dup2(output_end.as_raw_fd(), 1);
            libc::dup2(errors_end.as_raw_fd(), 2);
        }
        let error = husk_tender_kvm::run(&config, &Machine { text, cpuid: None });
        eprintln!("{error}");
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(99) };
    }
    Child { pid, output, errors }
}

impl Child {
    /// Returns once the guest has written something.
    pub(crate) fn wait_for_output(&self) {
        let mut poll = libc::pollfd { fd: self.output.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd.
        assert_eq!(unsafe { libc::poll(&raw mut poll, 1, -1) }, 1);
    }

    pub(crate) fn finish(self) -> Outcome {
        let mut output = Vec::new();
        std::fs::File::from(self.output).read_to_end(&mut output).unwrap();
        let mut errors = String::new();
        std::fs::File::from(self.errors).read_to_string(&mut errors).unwrap();
        let mut status = 0;
        // SAFETY: waits for the child made by `start`.
        assert_eq!(unsafe { libc::waitpid(self.pid, &raw mut status, 0) }, self.pid);
        Outcome { status, output, errors }
    }
}

/// Runs one script that ends by writing its own calls, and exits with 0.
pub(crate) fn play(mut script: Vec<Call>) -> Outcome {
    let len = script.len() as u64 * 64;
    script.push(call(1, SLOTS as u64, len, 1));
    script.push(call(6, 0, 0, 0));
    start(&[script], None, None).finish()
}

pub(crate) const fn private(cpu: usize) -> u64 {
    (PRIVATE + cpu * PRIVATE_PER_CPU) as u64
}
