//! seccomp(2): filters that a program puts on its own system calls, written in classic BPF.
//!
//! A program is decoded and checked once, so that what runs at each call cannot go wrong: jumps go forward and end inside,
//! loads stay within `struct seccomp_data`. Filters are never taken away, and a child has those of its maker.

use crate::errno::Errno;
use alloc::sync::Arc;
use alloc::vec::Vec;
use linux_raw_sys::general as raw;
use linux_raw_sys::ptrace as bpf;

/// AUDIT_ARCH_X86_64, the only architecture that a call can come by.
pub const ARCH: u32 = 0xc000_003e;

/// What a filter sees of a call.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub number: u32,
    pub instruction_pointer: u64,
    pub args: [u64; 6],
}

/// `struct seccomp_data` has 16 words of 32 bits.
const DATA_WORDS: u32 = 16;

impl Call {
    fn word(&self, index: u32) -> u32 {
        let half = |value: u64, high: bool| if high { (value >> 32) as u32 } else { value as u32 };
        match index {
            0 => self.number,
            1 => ARCH,
            2 | 3 => half(self.instruction_pointer, index == 3),
            _ => half(self.args[(index as usize - 4) / 2], index % 2 == 1),
        }
    }
}

/// What becomes of a call. In the order of Linux: of several filters' verdicts the earliest here counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    KillProcess,
    KillThread,
    /// The thread ends as by SIGKILL: strict mode.
    KillStrictly,
    /// SIGSYS with this number as its errno.
    Trap(u16),
    /// The call gives this error; 0 is success.
    Errno(u16),
    /// Somebody outside would decide, and nobody is there: ENOSYS.
    Nobody,
    /// The tracer decides, and is told this number; without one, ENOSYS.
    Trace(u16),
    Allow,
}

impl Verdict {
    fn from_value(value: u32) -> Self {
        let data = (value & bpf::SECCOMP_RET_DATA) as u16;
        match value & bpf::SECCOMP_RET_ACTION_FULL {
            bpf::SECCOMP_RET_KILL_THREAD => Self::KillThread,
            bpf::SECCOMP_RET_TRAP => Self::Trap(data),
            bpf::SECCOMP_RET_ERRNO => Self::Errno(data.min(4095)),
            bpf::SECCOMP_RET_USER_NOTIF => Self::Nobody,
            bpf::SECCOMP_RET_TRACE => Self::Trace(data),
            bpf::SECCOMP_RET_LOG | bpf::SECCOMP_RET_ALLOW => Self::Allow,
            _ => Self::KillProcess,
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Operand {
    Constant(u32),
    X,
}

#[derive(Clone, Copy, Debug)]
enum Arithmetic {
    Add,
    Sub,
    Mul,
    Div,
    And,
    Or,
    Xor,
    ShiftLeft,
    ShiftRight,
}

#[derive(Clone, Copy, Debug)]
enum Test {
    Equal,
    Greater,
    GreaterOrEqual,
    AnyBit,
}

/// A checked instruction. Jumps are relative to the next one.
#[derive(Clone, Copy, Debug)]
enum Instruction {
    LoadData(u32),
    LoadConstant(u32),
    LoadMemory(usize),
    LoadXConstant(u32),
    LoadXMemory(usize),
    Store(usize),
    StoreX(usize),
    CopyToX,
    CopyFromX,
    Compute(Arithmetic, Operand),
    Negate,
    Jump(usize),
    Branch { test: Test, operand: Operand, yes: usize, no: usize },
    Return(u32),
    ReturnA,
}

const MEMORY: usize = bpf::BPF_MEMWORDS as usize;

/// One instruction as it comes: code, jumps, constant.
#[derive(Clone, Copy, Debug)]
pub struct Raw {
    pub code: u16,
    pub yes: u8,
    pub no: u8,
    pub k: u32,
}

impl Raw {
    /// From the 8 bytes of `struct sock_filter`.
    pub fn from_word(word: u64) -> Self {
        Self { code: word as u16, yes: (word >> 16) as u8, no: (word >> 24) as u8, k: (word >> 32) as u32 }
    }
}

fn decode(raw: Raw) -> Option<Instruction> {
    let (code, k) = (u32::from(raw.code), raw.k);
    let operand = if code & bpf::BPF_X != 0 { Operand::X } else { Operand::Constant(k) };
    let cell = || usize::try_from(k).ok().filter(|cell| *cell < MEMORY);
    match code & 7 {
        bpf::BPF_LD => match code & !7 {
            mode if mode == bpf::BPF_W | bpf::BPF_ABS => {
                (k.is_multiple_of(4) && k / 4 < DATA_WORDS).then_some(Instruction::LoadData(k / 4))
            }
            mode if mode == bpf::BPF_W | bpf::BPF_LEN => Some(Instruction::LoadConstant(4 * DATA_WORDS)),
            bpf::BPF_IMM => Some(Instruction::LoadConstant(k)),
            bpf::BPF_MEM => cell().map(Instruction::LoadMemory),
            _ => None,
        },
        bpf::BPF_LDX => match code & !7 {
            mode if mode == bpf::BPF_W | bpf::BPF_LEN => Some(Instruction::LoadXConstant(4 * DATA_WORDS)),
            bpf::BPF_IMM => Some(Instruction::LoadXConstant(k)),
            bpf::BPF_MEM => cell().map(Instruction::LoadXMemory),
            _ => None,
        },
        bpf::BPF_ST if code == bpf::BPF_ST => cell().map(Instruction::Store),
        bpf::BPF_STX if code == bpf::BPF_STX => cell().map(Instruction::StoreX),
        bpf::BPF_ALU => decode_arithmetic(code, operand),
        bpf::BPF_JMP => {
            let test = match code & 0xf0 {
                bpf::BPF_JA if code == bpf::BPF_JMP => {
                    return usize::try_from(k).ok().map(Instruction::Jump);
                }
                bpf::BPF_JEQ => Test::Equal,
                bpf::BPF_JGT => Test::Greater,
                bpf::BPF_JGE => Test::GreaterOrEqual,
                bpf::BPF_JSET => Test::AnyBit,
                _ => return None,
            };
            let (yes, no) = (usize::from(raw.yes), usize::from(raw.no));
            (code < 0x100).then_some(Instruction::Branch { test, operand, yes, no })
        }
        bpf::BPF_RET => match code & !7 {
            bpf::BPF_K => Some(Instruction::Return(k)),
            bpf::BPF_A => Some(Instruction::ReturnA),
            _ => None,
        },
        bpf::BPF_MISC => match code & !7 {
            bpf::BPF_TAX => Some(Instruction::CopyToX),
            bpf::BPF_TXA => Some(Instruction::CopyFromX),
            _ => None,
        },
        _ => None,
    }
}

fn decode_arithmetic(code: u32, operand: Operand) -> Option<Instruction> {
    let arithmetic = match code & 0xfff0 {
        bpf::BPF_ADD => Arithmetic::Add,
        bpf::BPF_SUB => Arithmetic::Sub,
        bpf::BPF_MUL => Arithmetic::Mul,
        bpf::BPF_DIV => Arithmetic::Div,
        bpf::BPF_AND => Arithmetic::And,
        bpf::BPF_OR => Arithmetic::Or,
        bpf::BPF_XOR => Arithmetic::Xor,
        bpf::BPF_LSH => Arithmetic::ShiftLeft,
        bpf::BPF_RSH => Arithmetic::ShiftRight,
        bpf::BPF_NEG if code & bpf::BPF_X == 0 => return Some(Instruction::Negate),
        _ => return None,
    };
    let senseless = match (arithmetic, operand) {
        (Arithmetic::Div, Operand::Constant(0)) => true,
        (Arithmetic::ShiftLeft | Arithmetic::ShiftRight, Operand::Constant(by)) => by >= 32,
        _ => false,
    };
    (!senseless).then_some(Instruction::Compute(arithmetic, operand))
}

/// A checked program.
#[derive(Debug)]
pub struct Program(Vec<Instruction>);

impl Program {
    /// Checks a program; EINVAL as Linux would.
    pub fn new(raw: &[Raw]) -> Result<Self, Errno> {
        if raw.is_empty() || raw.len() > bpf::BPF_MAXINSNS as usize {
            return Err(Errno::EINVAL);
        }
        let program: Option<Vec<Instruction>> = raw.iter().copied().map(decode).collect();
        let program = program.ok_or(Errno::EINVAL)?;
        let ends = matches!(program.last(), Some(Instruction::Return(_) | Instruction::ReturnA));
        if !ends || !jumps_stay_inside(&program) || !loads_follow_stores(&program) {
            return Err(Errno::EINVAL);
        }
        Ok(Self(program))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value that the program returns for a call.
    pub fn run(&self, call: &Call) -> u32 {
        let (mut a, mut x, mut memory) = (0_u32, 0_u32, [0_u32; MEMORY]);
        let mut at = 0;
        loop {
            let instruction = self.0[at];
            at += 1;
            match instruction {
                Instruction::LoadData(word) => a = call.word(word),
                Instruction::LoadConstant(value) => a = value,
                Instruction::LoadMemory(cell) => a = memory[cell],
                Instruction::LoadXConstant(value) => x = value,
                Instruction::LoadXMemory(cell) => x = memory[cell],
                Instruction::Store(cell) => memory[cell] = a,
                Instruction::StoreX(cell) => memory[cell] = x,
                Instruction::CopyToX => x = a,
                Instruction::CopyFromX => a = x,
                Instruction::Negate => a = a.wrapping_neg(),
                Instruction::Jump(by) => at += by,
                Instruction::Compute(arithmetic, operand) => {
                    match compute(arithmetic, a, value_of(operand, x)) {
                        Some(result) => a = result,
                        // A division by zero ends the program with 0.
                        None => return 0,
                    }
                }
                Instruction::Branch { test, operand, yes, no } => {
                    let operand = value_of(operand, x);
                    let holds = match test {
                        Test::Equal => a == operand,
                        Test::Greater => a > operand,
                        Test::GreaterOrEqual => a >= operand,
                        Test::AnyBit => a & operand != 0,
                    };
                    at += if holds { yes } else { no };
                }
                Instruction::Return(value) => return value,
                Instruction::ReturnA => return a,
            }
        }
    }
}

fn value_of(operand: Operand, x: u32) -> u32 {
    match operand {
        Operand::Constant(value) => value,
        Operand::X => x,
    }
}

fn compute(arithmetic: Arithmetic, a: u32, b: u32) -> Option<u32> {
    Some(match arithmetic {
        Arithmetic::Add => a.wrapping_add(b),
        Arithmetic::Sub => a.wrapping_sub(b),
        Arithmetic::Mul => a.wrapping_mul(b),
        Arithmetic::Div => return a.checked_div(b),
        Arithmetic::And => a & b,
        Arithmetic::Or => a | b,
        Arithmetic::Xor => a ^ b,
        // The processor takes the count modulo 32, and Linux lets it.
        Arithmetic::ShiftLeft => a.wrapping_shl(b),
        Arithmetic::ShiftRight => a.wrapping_shr(b),
    })
}

fn jumps_stay_inside(program: &[Instruction]) -> bool {
    program.iter().enumerate().all(|(at, instruction)| {
        let left = program.len() - at - 1;
        match *instruction {
            Instruction::Jump(by) => by < left,
            Instruction::Branch { yes, no, .. } => yes < left && no < left,
            _ => true,
        }
    })
}

/// Whether on every way to a load from memory something was stored there. Jumps go forward, so one pass tells.
fn loads_follow_stores(program: &[Instruction]) -> bool {
    // What has been stored on all ways to an instruction; all ones until the first way is known.
    let mut stored_before = alloc::vec![u16::MAX; program.len() + 1];
    let mut stored = 0_u16;
    for (at, instruction) in program.iter().enumerate() {
        stored &= stored_before[at];
        let next = at + 1;
        match *instruction {
            Instruction::Store(cell) | Instruction::StoreX(cell) => stored |= 1 << cell,
            Instruction::LoadMemory(cell) | Instruction::LoadXMemory(cell) if stored & 1 << cell == 0 => {
                return false;
            }
            Instruction::Jump(by) => {
                stored_before[next + by] &= stored;
                stored = u16::MAX;
            }
            Instruction::Branch { yes, no, .. } => {
                stored_before[next + yes] &= stored;
                stored_before[next + no] &= stored;
                stored = u16::MAX;
            }
            Instruction::Return(_) | Instruction::ReturnA => stored = u16::MAX,
            _ => {}
        }
    }
    true
}

/// A filter and those that were there before it.
#[derive(Debug)]
pub struct Filter {
    program: Program,
    earlier: Option<Arc<Filter>>,
}

impl Filter {
    fn chain(&self) -> impl Iterator<Item = &Filter> {
        core::iter::successors(Some(self), |filter| filter.earlier.as_deref())
    }
}

/// The mode of a task.
#[derive(Clone, Debug, Default)]
pub enum Seccomp {
    #[default]
    Off,
    /// read, write, exit and rt_sigreturn only.
    Strict,
    Filters(Arc<Filter>),
}

impl Seccomp {
    pub fn is_on(&self) -> bool {
        !matches!(self, Self::Off)
    }

    /// SECCOMP_MODE_*.
    pub fn mode(&self) -> u32 {
        match self {
            Self::Off => bpf::SECCOMP_MODE_DISABLED,
            Self::Strict => bpf::SECCOMP_MODE_STRICT,
            Self::Filters(_) => bpf::SECCOMP_MODE_FILTER,
        }
    }

    /// The mode with one more filter. EINVAL in strict mode, ENOMEM when there are too many instructions.
    pub fn with(&self, program: Program) -> Result<Self, Errno> {
        /// Most instructions of all filters; each filter counts four more.
        const MOST: usize = 32_768;
        const OVERHEAD: usize = 4;
        let earlier = match self {
            Self::Off => None,
            Self::Strict => return Err(Errno::EINVAL),
            Self::Filters(filter) => Some(filter.clone()),
        };
        let before: usize = earlier
            .iter()
            .flat_map(|filter| filter.chain())
            .map(|filter| filter.program.len() + OVERHEAD)
            .sum();
        if before + program.len() > MOST {
            return Err(Errno::ENOMEM);
        }
        Ok(Self::Filters(Arc::new(Filter { program, earlier })))
    }

    /// Whether these filters are `other`'s or grew out of them (SECCOMP_FILTER_FLAG_TSYNC).
    pub fn descends_from(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Off) => true,
            (Self::Filters(own), Self::Filters(other)) => {
                own.chain().any(|filter| core::ptr::eq(filter, &**other))
            }
            _ => false,
        }
    }

    /// What becomes of a call.
    pub fn judge(&self, call: &Call) -> Verdict {
        match self {
            Self::Off => Verdict::Allow,
            Self::Strict => match call.number {
                raw::__NR_read | raw::__NR_write | raw::__NR_exit | raw::__NR_rt_sigreturn => Verdict::Allow,
                _ => Verdict::KillStrictly,
            },
            Self::Filters(newest) => {
                // The lowest action, as a signed number, counts; of equal ones, the newest filter's.
                let action = |value: &u32| (value & bpf::SECCOMP_RET_ACTION_FULL) as i32;
                let values = newest.chain().map(|filter| filter.program.run(call));
                values.min_by_key(action).map_or(Verdict::Allow, Verdict::from_value)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(code: u32, yes: u8, no: u8, k: u32) -> Raw {
        Raw { code: code as u16, yes, no, k }
    }

    fn load(k: u32) -> Raw {
        raw(bpf::BPF_LD | bpf::BPF_W | bpf::BPF_ABS, 0, 0, k)
    }

    fn give(k: u32) -> Raw {
        raw(bpf::BPF_RET | bpf::BPF_K, 0, 0, k)
    }

    fn call(number: u32, args: [u64; 6]) -> Call {
        Call { number, instruction_pointer: 0x1122_3344_5566_7788, args }
    }

    /// What libseccomp makes of "allow but for one call, which gives EPERM".
    fn deny(number: u32, action: u32) -> Program {
        Program::new(&[
            load(4),
            raw(bpf::BPF_JMP | bpf::BPF_JEQ | bpf::BPF_K, 1, 0, ARCH),
            give(bpf::SECCOMP_RET_KILL_PROCESS),
            load(0),
            raw(bpf::BPF_JMP | bpf::BPF_JEQ | bpf::BPF_K, 0, 1, number),
            give(action),
            give(bpf::SECCOMP_RET_ALLOW),
        ])
        .expect("a sound program")
    }

    #[test]
    fn the_severest_of_several_filters_counts() {
        let filters = Seccomp::Off
            .with(deny(10, bpf::SECCOMP_RET_ERRNO | 1))
            .and_then(|filters| filters.with(deny(11, bpf::SECCOMP_RET_TRAP | 7)))
            .and_then(|filters| filters.with(deny(10, bpf::SECCOMP_RET_ERRNO | 2)))
            .expect("room");
        assert_eq!(filters.judge(&call(9, [0; 6])), Verdict::Allow);
        assert_eq!(filters.judge(&call(10, [0; 6])), Verdict::Errno(2), "the newest of equals");
        assert_eq!(filters.judge(&call(11, [0; 6])), Verdict::Trap(7));
        let killing = filters.with(deny(11, bpf::SECCOMP_RET_KILL_PROCESS)).expect("room");
        assert_eq!(killing.judge(&call(11, [0; 6])), Verdict::KillProcess);
        assert!(killing.descends_from(&filters) && !filters.descends_from(&killing));
    }

    #[test]
    fn every_word_of_the_data_can_be_loaded() {
        let given = call(7, [1 | 2 << 32, 3, 4, 5, 6, 0xa << 32]);
        let word = |at: u32| {
            let program = Program::new(&[load(at), raw(bpf::BPF_RET | bpf::BPF_A, 0, 0, 0)]).expect("sound");
            program.run(&given)
        };
        assert_eq!([0, 4, 8, 12].map(word), [7, ARCH, 0x5566_7788, 0x1122_3344]);
        assert_eq!([16, 20, 24, 28, 56, 60].map(word), [1, 2, 3, 0, 0, 0xa]);
        assert!(Program::new(&[load(64), give(0)]).is_err() && Program::new(&[load(2), give(0)]).is_err());
    }

    #[test]
    fn unsound_programs_are_refused() {
        let jump = |k| raw(bpf::BPF_JMP | bpf::BPF_JA, 0, 0, k);
        let from_memory = raw(bpf::BPF_LD | bpf::BPF_MEM, 0, 0, 3);
        let to_memory = raw(bpf::BPF_ST, 0, 0, 3);
        let branch = raw(bpf::BPF_JMP | bpf::BPF_JEQ | bpf::BPF_K, 0, 1, 5);
        let cases: [&[Raw]; 9] = [
            &[],
            &[load(0)],
            &[jump(1), give(0)],
            &[raw(bpf::BPF_ALU | bpf::BPF_DIV | bpf::BPF_K, 0, 0, 0), give(0)],
            &[raw(bpf::BPF_ALU | bpf::BPF_LSH | bpf::BPF_K, 0, 0, 32), give(0)],
            &[raw(bpf::BPF_LD | bpf::BPF_B | bpf::BPF_ABS, 0, 0, 0), give(0)],
            &[raw(bpf::BPF_ST, 0, 0, 16), give(0)],
            &[from_memory, give(0)],
            // Stored on one way only.
            &[branch, to_memory, from_memory, give(0)],
        ];
        for case in cases {
            assert!(Program::new(case).is_err(), "{case:?}");
        }
        assert!(Program::new(&[to_memory, branch, load(0), from_memory, give(0)]).is_ok());
    }

    #[test]
    fn arithmetic_is_that_of_32_bits() {
        let result = |code: u32, a: u32, b: u32| {
            let program = Program::new(&[
                raw(bpf::BPF_LDX | bpf::BPF_IMM, 0, 0, b),
                raw(bpf::BPF_LD | bpf::BPF_IMM, 0, 0, a),
                raw(bpf::BPF_ALU | code | bpf::BPF_X, 0, 0, 0),
                raw(bpf::BPF_RET | bpf::BPF_A, 0, 0, 0),
            ]);
            program.expect("sound").run(&call(0, [0; 6]))
        };
        assert_eq!(result(bpf::BPF_ADD, u32::MAX, 2), 1);
        assert_eq!(result(bpf::BPF_SUB, 1, 2), u32::MAX);
        assert_eq!(result(bpf::BPF_MUL, 0x1_0001, 0x1_0001), 0x2_0001);
        assert_eq!((result(bpf::BPF_DIV, 7, 2), result(bpf::BPF_DIV, 7, 0)), (3, 0));
        assert_eq!((result(bpf::BPF_LSH, 1, 33), result(bpf::BPF_RSH, 8, 3)), (2, 1));
        assert_eq!(
            (result(bpf::BPF_XOR, 6, 3), result(bpf::BPF_OR, 6, 3), result(bpf::BPF_AND, 6, 3)),
            (5, 7, 2)
        );
    }

    #[test]
    fn strict_mode_allows_four_calls() {
        let allowed: Vec<u32> = (0..500)
            .filter(|number| Seccomp::Strict.judge(&call(*number, [0; 6])) == Verdict::Allow)
            .collect();
        assert_eq!(allowed, [0, 1, 15, 60]);
    }

    /// Random instructions: whatever passes the check runs to its end.
    #[test]
    fn checked_programs_end() {
        let mut words = [0_u64; 12];
        let mut sound = 0;
        for round in 0..20_000_u32 {
            for word in &mut words {
                let mut bytes = [0; 8];
                husk_machine::random::fill(&mut bytes);
                *word = u64::from_le_bytes(bytes) & 0x0000_000f_0303_00ff;
            }
            let mut program: Vec<Raw> = words.iter().map(|word| Raw::from_word(*word)).collect();
            program.truncate(1 + round as usize % 6);
            program.extend([give(0), give(1), give(2), give(3)]);
            if let Ok(program) = Program::new(&program) {
                program.run(&call(round, [u64::from(round); 6]));
                sound += 1;
            }
        }
        assert!(sound > 100, "the check lets something pass");
    }
}
