//! Sealing: after it, the tender's threads can make the calls of `TABLE` and no others.
//!
//! The boundary is the filter; the rest (`husk_tender::confine`) is a second wall behind it.
//! The filter's first load is the instruction pointer: Linux then gives up at once on computing which calls are always
//! allowed, which takes longer than the installation itself; and it confines calls to two known instructions.

use crate::Error;
use crate::host;
use crate::kvm;
use linux_raw_sys::general as raw;
use syscalls::Sysno;

/// What the arguments of a call must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Anything: the descriptors that are open are the only ones it can name.
    Any,
    /// `KVM_RUN` with argument 0.
    Run,
    /// Starts in the arena, is shorter than the arena and its guard, and the advice is MADV_DONTNEED.
    Discard,
    /// From now on, and the old time is not asked for.
    Alarm,
}

/// One host call of a sealed tender.
pub struct Row {
    pub call: Sysno,
    pub rule: Rule,
    /// What for.
    pub purpose: &'static str,
}

const fn row(call: Sysno, rule: Rule, purpose: &'static str) -> Row {
    Row { call, rule, purpose }
}

/// All host calls of a sealed tender. Filter, documentation and test come from this list.
pub const TABLE: &[Row] = &[
    row(Sysno::ioctl, Rule::Run, "enter the guest"),
    row(Sysno::read, Rule::Any, "the guest's input, the control socket, and a vCPU's kick"),
    row(
        Sysno::write,
        Rule::Any,
        "the guest's output, its record, the control socket, and another vCPU's kick",
    ),
    row(Sysno::ppoll, Rule::Any, "an idle vCPU sleeps"),
    row(Sysno::timer_settime, Rule::Alarm, "time for vCPUs that are all busy"),
    row(Sysno::madvise, Rule::Discard, "give guest memory back"),
    row(Sysno::rt_sigreturn, Rule::Any, "return from the handler of ticks and kicks"),
    row(Sysno::exit_group, Rule::Any, "the guest's end"),
];

/// One instruction of classic BPF (`struct sock_filter`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
struct Instruction {
    code: u16,
    if_true: u8,
    if_false: u8,
    k: u32,
}

const LOAD: u16 = 0x20;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
const JUMP_AT_LEAST: u16 = 0x35;
const JUMP: u16 = 0x05;
const RETURN: u16 = 0x06;

const ALLOW: u32 = 0x7fff_0000;
const KILL: u32 = 0x8000_0000;
const ARCH_X86_64: u32 = 0xc000_003e;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const POINTER: u32 = 8;
const fn argument(index: u32) -> u32 {
    16 + index * 8
}

const FILTER_MAX: usize = 96;

/// The program, built by appending. Every check is followed by its own kill, so jumps are short and local.
struct Filter {
    code: [Instruction; FILTER_MAX],
    len: usize,
}

impl Filter {
    fn push(&mut self, code: u16, k: u32, if_true: u8, if_false: u8) {
        self.code[self.len] = Instruction { code, if_true, if_false, k };
        self.len += 1;
    }

    fn load(&mut self, offset: u32) {
        self.push(LOAD, offset, 0, 0);
    }

    fn must_equal(&mut self, k: u32) {
        self.push(JUMP_EQUAL, k, 1, 0);
        self.push(RETURN, KILL, 0, 0);
    }

    fn must_equal_64(&mut self, offset: u32, value: u64) {
        self.load(offset);
        self.must_equal(value as u32);
        self.load(offset + 4);
        self.must_equal((value >> 32) as u32);
    }

    /// The 64-bit value at `offset` must be at least `low`.
    fn must_be_at_least(&mut self, offset: u32, low: u64) {
        self.load(offset + 4);
        self.push(JUMP_GREATER, (low >> 32) as u32, 4, 0);
        self.push(JUMP_EQUAL, (low >> 32) as u32, 0, 2);
        self.load(offset);
        self.push(JUMP_AT_LEAST, low as u32, 1, 0);
        self.push(RETURN, KILL, 0, 0);
    }

    /// The 64-bit value at `offset` must be below `high`.
    fn must_be_below(&mut self, offset: u32, high: u64) {
        self.load(offset + 4);
        self.push(JUMP_GREATER, (high >> 32) as u32, 3, 0);
        self.push(JUMP_EQUAL, (high >> 32) as u32, 0, 3);
        self.load(offset);
        self.push(JUMP_AT_LEAST, high as u32, 0, 1);
        self.push(RETURN, KILL, 0, 0);
    }

    /// `instructions`: where calls may come from. `arena`: start and bytes.
    fn build(instructions: [usize; 2], arena: (usize, usize)) -> Self {
        let mut filter = Self { code: [Instruction::default(); FILTER_MAX], len: 0 };
        let [call, sigreturn] = instructions.map(|address| address as u64);
        filter.load(POINTER);
        filter.push(JUMP_EQUAL, call as u32, 2, 0);
        filter.push(JUMP_EQUAL, sigreturn as u32, 1, 0);
        filter.push(RETURN, KILL, 0, 0);
        filter.load(POINTER + 4);
        // Both instructions lie in one small section; a section across a 4 GiB border is refused by `seal`.
        filter.must_equal((call >> 32) as u32);
        filter.load(ARCH);
        filter.must_equal(ARCH_X86_64);
        for row in TABLE {
            filter.load(NUMBER);
            let skip = filter.len;
            filter.push(JUMP_EQUAL, row.call.id() as u32, 1, 0);
            filter.push(JUMP, 0, 0, 0);
            match row.rule {
                Rule::Any => {}
                Rule::Run => {
                    filter.must_equal_64(argument(1), kvm::RUN as u64);
                    filter.must_equal_64(argument(2), 0);
                }
                Rule::Alarm => {
                    filter.must_equal_64(argument(1), 0);
                    filter.must_equal_64(argument(3), 0);
                }
                Rule::Discard => {
                    filter.must_be_at_least(argument(0), arena.0 as u64);
                    filter.must_be_below(argument(0), (arena.0 + arena.1) as u64);
                    filter.load(argument(1) + 4);
                    filter.must_equal(0);
                    filter.must_equal_64(argument(2), u64::from(raw::MADV_DONTNEED));
                }
            }
            filter.push(RETURN, ALLOW, 0, 0);
            filter.code[skip + 1].k = (filter.len - skip - 2) as u32;
        }
        filter.push(RETURN, KILL, 0, 0);
        filter
    }
}

/// Installs the filter on all threads of the process. Nothing but `host::sealed` works afterwards.
pub(crate) fn seal(arena: (usize, usize)) -> Result<(), Error> {
    const SET_MODE_FILTER: usize = 1;
    const TSYNC: usize = 1;
    let instructions = host::allowed_instructions();
    if instructions[0] >> 32 != instructions[1] >> 32 {
        return Err(Error::Config("the tender's code crosses a 4 GiB border"));
    }
    let filter = Filter::build(instructions, arena);
    let program = [filter.len as u64, filter.code.as_ptr() as u64];
    let args = [SET_MODE_FILTER, TSYNC, program.as_ptr() as usize, 0, 0, 0];
    // SAFETY: the kernel reads a `struct sock_fprog` and the instructions it names.
    match unsafe { host::call(Sysno::seccomp, args) } {
        Ok(0) => Ok(()),
        // The id of a thread that could not be brought under the filter.
        Ok(_) => Err(Error::Config("a thread of the process has a filter of its own")),
        Err(errno) => Err(Error::Host("seccomp", errno)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use husk_tender::confine;

    /// What the filter answers, by an interpreter of the instructions it uses.
    fn run(filter: &Filter, data: &[u8; 64]) -> u32 {
        let mut accumulator = 0;
        let mut at = 0;
        loop {
            let Instruction { code, if_true, if_false, k } = filter.code[at];
            at += 1;
            let holds = match code {
                LOAD => {
                    accumulator = u32::from_le_bytes(data[k as usize..k as usize + 4].try_into().unwrap());
                    continue;
                }
                JUMP => {
                    at += k as usize;
                    continue;
                }
                RETURN => return k,
                JUMP_EQUAL => accumulator == k,
                JUMP_GREATER => accumulator > k,
                JUMP_AT_LEAST => accumulator >= k,
                other => panic!("instruction {other:#x}"),
            };
            at += usize::from(if holds { if_true } else { if_false });
        }
    }

    const ARENA: (usize, usize) = (0x7fff_ffe0_0000, 0x1_0040_0000);
    const CALL: usize = 0x7f00_0000_1234;

    fn ask(number: u32, arguments: [u64; 3], pointer: usize) -> u32 {
        let filter = Filter::build([CALL, CALL + 16], ARENA);
        let mut data = [0; 64];
        data[..4].copy_from_slice(&number.to_le_bytes());
        data[4..8].copy_from_slice(&ARCH_X86_64.to_le_bytes());
        data[8..16].copy_from_slice(&(pointer as u64).to_le_bytes());
        for (index, value) in arguments.iter().enumerate() {
            data[16 + index * 8..24 + index * 8].copy_from_slice(&value.to_le_bytes());
        }
        run(&filter, &data)
    }

    #[test]
    fn only_listed_numbers_pass() {
        let run = [0, kvm::RUN as u64, 0];
        for number in 0..1024 {
            let listed = TABLE.iter().any(|row| row.call.id() as u32 == number);
            let arguments = match Sysno::new(number as usize) {
                Some(Sysno::madvise) => [ARENA.0 as u64, 4096, 4],
                Some(Sysno::timer_settime) => [0, 0, 0],
                _ => run,
            };
            assert_eq!(ask(number, arguments, CALL) == ALLOW, listed, "call {number}");
        }
    }

    #[test]
    fn arguments_and_instruction_pointer_are_checked() {
        let ioctl = Sysno::ioctl.id() as u32;
        assert_eq!(ask(ioctl, [9, kvm::RUN as u64, 0], CALL), ALLOW);
        assert_eq!(ask(ioctl, [9, kvm::RUN as u64, 1], CALL), KILL);
        assert_eq!(ask(ioctl, [9, kvm::RUN as u64 | 1 << 32, 0], CALL), KILL);
        assert_eq!(ask(ioctl, [9, kvm::SET_USER_MEMORY_REGION as u64, 0], CALL), KILL);
        assert_eq!(ask(ioctl, [9, kvm::RUN as u64, 0], CALL + 1), KILL);
        assert_eq!(ask(ioctl, [9, kvm::RUN as u64, 0], CALL + (1 << 32)), KILL);
        let madvise = Sysno::madvise.id() as u32;
        let (start, end) = (ARENA.0 as u64, (ARENA.0 + ARENA.1) as u64);
        for address in [start, start + 4096, 0x8000_0000_0000, end - 4096] {
            assert_eq!(ask(madvise, [address, 4096, 4], CALL), ALLOW, "{address:#x}");
        }
        for address in [0, start - 4096, end, end + (1 << 32), u64::MAX - 4095, start & 0xffff_ffff] {
            assert_eq!(ask(madvise, [address, 4096, 4], CALL), KILL, "{address:#x}");
        }
        assert_eq!(ask(madvise, [start, 1 << 32, 4], CALL), KILL);
        assert_eq!(ask(madvise, [start, 4096, 14], CALL), KILL);
        let alarm = Sysno::timer_settime.id() as u32;
        assert_eq!(ask(alarm, [3, 0, start], CALL), ALLOW);
        assert_eq!(ask(alarm, [3, 1, start], CALL), KILL);
    }

    /// What comes before the filter.
    fn confine() -> Result<(), confine::Failed> {
        // SAFETY: numbers only.
        unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
        confine::deny_files()?;
        confine::drop_identity(1)?;
        confine::drop_capabilities()?;
        confine::close_others(&mut [0, 1, 2])
    }

    /// Seals a child, which then makes one call from the right instruction, and ends by itself if it still can.
    fn sealed_child_calls(number: usize, arguments: [usize; 5]) -> i32 {
        // SAFETY: the child makes system calls only; the parent waits for it.
        unsafe {
            let pid = libc::fork();
            if pid == 0 {
                if confine().is_err() || seal(ARENA).is_err() {
                    libc::_exit(9);
                }
                host::sealed_number(number, arguments);
                host::exit(0);
            }
            let mut status = 0;
            assert_eq!(libc::waitpid(pid, &raw mut status, 0), pid);
            status
        }
    }

    #[test]
    fn a_sealed_tender_dies_of_every_other_call() {
        for number in (0..512).chain([1 << 30, 0x4000_0000 | 1, usize::MAX]) {
            if matches!(number, 335 | 336) {
                // uretprobe and uprobe: Linux shows them to no filter. Outside of a probe they do nothing.
                continue;
            }
            let listed = TABLE.iter().find(|row| row.call.id() as usize == number);
            if listed.is_some_and(|row| row.rule == Rule::Any) {
                continue;
            }
            // For the listed ones these are wrong arguments.
            let status = sealed_child_calls(number, [0, 1, 0, 0, 0]);
            assert_eq!(status & 0x7f, libc::SIGSYS, "call {number}: status {status:#x}");
        }
    }

    #[test]
    fn a_sealed_tender_can_make_its_own_calls() {
        let byte = [b'.'];
        let write = sealed_child_calls(
            Sysno::write.id() as usize,
            [-1_i32 as usize, byte.as_ptr() as usize, 1, 0, 0],
        );
        assert_eq!(write, 0);
        // Allowed, and no descriptor of KVM: an error, not the end.
        assert_eq!(sealed_child_calls(Sysno::ioctl.id() as usize, [0, kvm::RUN, 0, 0, 0]), 0);
        assert_eq!(sealed_child_calls(Sysno::exit_group.id() as usize, [7, 0, 0, 0, 0]), 7 << 8);
    }

    #[test]
    fn a_sealed_tender_dies_of_a_call_from_elsewhere() {
        // SAFETY: as in `sealed_child_calls`.
        let status = unsafe {
            let pid = libc::fork();
            if pid == 0 {
                if confine().is_err() || seal(ARENA).is_err() {
                    libc::_exit(9);
                }
                libc::syscall(libc::SYS_exit_group, 0);
            }
            let mut status = 0;
            assert_eq!(libc::waitpid(pid, &raw mut status, 0), pid);
            status
        };
        assert_eq!(status & 0x7f, libc::SIGSYS);
    }
}
