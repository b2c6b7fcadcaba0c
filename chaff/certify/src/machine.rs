//! The state of a processor with bit-vectors for values, and what instructions do to it. An instruction that is not
//! here cannot be certified. Memory is the frame below the entry stack pointer, byte by byte, and heap blocks that the
//! code itself allocates; whatever else is read is unknown.

use std::collections::BTreeMap;

use iced_x86::{ConditionCode, Instruction, Mnemonic, OpKind, Register};
use z3::ast::{Ast as _, BV, Bool};

/// Why code is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(pub String);

impl Refusal {
    pub(crate) fn at(instruction: &Instruction, reason: &str) -> Self {
        Self(format!("{:#x} {:?}: {reason}", instruction.ip(), instruction.mnemonic()))
    }
}

/// A result that may be a refusal.
pub(crate) type Checked<T> = Result<T, Refusal>;

/// What an address is relative to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Space {
    /// The stack, relative to the stack pointer at entry.
    Frame,
    /// A heap block, by the order of allocation.
    Block(usize),
}

/// The condition flags that conditions read.
#[derive(Clone, Debug)]
pub(crate) struct Flags {
    pub(crate) carry: Bool,
    pub(crate) zero: Bool,
    pub(crate) sign: Bool,
    pub(crate) overflow: Bool,
}

/// A heap block.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) base: BV,
    pub(crate) size: u64,
    /// On this path an access to it has succeeded, so it is there.
    pub(crate) usable: bool,
}

/// Registers, flags and memory.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) registers: Vec<BV>,
    /// The vector registers, 128 bits of each.
    pub(crate) vectors: Vec<BV>,
    pub(crate) flags: Option<Flags>,
    pub(crate) bytes: BTreeMap<(Space, i64), BV>,
    pub(crate) blocks: Vec<Block>,
    /// Addresses to which the calls in progress return.
    pub(crate) returns: Vec<u64>,
    /// The last number that a mask made small: the bits it kept.
    pub(crate) small: Option<BV>,
}

pub(crate) fn constant(value: u64, width: u32) -> BV {
    BV::from_u64(value, width)
}

pub(crate) fn resize(value: &BV, width: u32) -> BV {
    let own = value.get_size();
    match own.cmp(&width) {
        std::cmp::Ordering::Equal => value.clone(),
        std::cmp::Ordering::Less => value.zero_ext(width - own),
        std::cmp::Ordering::Greater => value.extract(width - 1, 0),
    }
}

fn sign_resize(value: &BV, width: u32) -> BV {
    let own = value.get_size();
    if own < width { value.sign_ext(width - own) } else { resize(value, width) }
}

fn sign_of(value: &BV) -> Bool {
    let top = value.get_size() - 1;
    value.extract(top, top).eq(constant(1, 1))
}

/// Position of a general register and how much of it is meant: index, lowest bit, width.
fn general(register: Register) -> Option<(usize, u32, u32)> {
    if !register.is_gpr() {
        return None;
    }
    let index = register.full_register().number();
    let width = u32::try_from(register.size() * 8).ok()?;
    let low =
        if matches!(register, Register::AH | Register::BH | Register::CH | Register::DH) { 8 } else { 0 };
    Some((index, low, width))
}

impl State {
    /// Everything unknown, as at the entry of a function.
    pub(crate) fn unknown() -> Self {
        let fresh = |prefix: &str, count: u32, width| {
            (0..count).map(|index| BV::fresh_const(&format!("{prefix}{index}"), width)).collect()
        };
        Self {
            registers: fresh("r", 16, 64),
            vectors: fresh("x", 16, 128),
            flags: None,
            bytes: BTreeMap::new(),
            blocks: Vec::new(),
            returns: Vec::new(),
            small: None,
        }
    }

    /// The same with `value` in place of `term` everywhere.
    pub(crate) fn assuming(&self, term: &BV, value: &BV) -> Self {
        let bits = |old: &BV| old.substitute(&[(term, value)]).simplify();
        let truth = |old: &Bool| old.substitute(&[(term, value)]).simplify();
        Self {
            registers: self.registers.iter().map(bits).collect(),
            vectors: self.vectors.iter().map(bits).collect(),
            flags: self.flags.as_ref().map(|flags| Flags {
                carry: truth(&flags.carry),
                zero: truth(&flags.zero),
                sign: truth(&flags.sign),
                overflow: truth(&flags.overflow),
            }),
            bytes: self.bytes.iter().map(|(place, byte)| (*place, bits(byte))).collect(),
            blocks: self.blocks.clone(),
            returns: self.returns.clone(),
            small: None,
        }
    }

    pub(crate) fn get(&self, register: Register) -> Option<BV> {
        if register.is_xmm() {
            return Some(self.vectors.get(register.number())?.clone());
        }
        let (index, low, width) = general(register)?;
        let whole = &self.registers[index];
        Some(if width == 64 { whole.clone() } else { whole.extract(low + width - 1, low) })
    }

    pub(crate) fn set(&mut self, register: Register, value: &BV) -> Option<()> {
        if register.is_xmm() {
            *self.vectors.get_mut(register.number())? = resize(value, 128);
            return Some(());
        }
        let (index, low, width) = general(register)?;
        let whole = &mut self.registers[index];
        let value = match width {
            64 => resize(value, 64),
            // Writing 32 bits clears the rest; writing fewer keeps it.
            32 => resize(value, 32).zero_ext(32),
            _ => {
                let upper = whole.extract(63, low + width).concat(resize(value, width));
                if low == 0 { upper } else { upper.concat(whole.extract(low - 1, 0)) }
            }
        };
        *whole = value.simplify();
        Some(())
    }

    /// The address of an instruction's memory operand, before any bias of the image is added to a relative one.
    pub(crate) fn address(&self, instruction: &Instruction, bias: &BV) -> Checked<BV> {
        if instruction.is_ip_rel_memory_operand() {
            return Ok(bias + constant(instruction.ip_rel_memory_address(), 64));
        }
        let mut address = constant(instruction.memory_displacement64(), 64);
        let part = |register| {
            let value = self.get(register).ok_or_else(|| Refusal::at(instruction, "odd address register"))?;
            if value.get_size() == 64 {
                Ok(value)
            } else {
                Err(Refusal::at(instruction, "address of 32 bits"))
            }
        };
        if instruction.memory_base() != Register::None {
            address += part(instruction.memory_base())?;
        }
        if instruction.memory_index() != Register::None {
            let scale = constant(u64::from(instruction.memory_index_scale()), 64);
            address += part(instruction.memory_index())? * scale;
        }
        Ok(address.simplify())
    }

    /// Sets the flags after `result` was computed; carry and overflow as given.
    fn set_flags(&mut self, result: &BV, carry: Bool, overflow: Bool) {
        let zero = result.eq(constant(0, result.get_size()));
        self.flags = Some(Flags { carry, zero, sign: sign_of(result), overflow });
    }

    fn subtract(&mut self, a: &BV, b: &BV) -> BV {
        let result = a - b;
        let overflow = Bool::and(&[&sign_of(a).xor(sign_of(b)), &sign_of(a).xor(sign_of(&result))]);
        self.set_flags(&result, a.bvult(b), overflow);
        result
    }

    fn add(&mut self, a: &BV, b: &BV) -> BV {
        let result = a + b;
        let overflow = Bool::and(&[&sign_of(a).xor(sign_of(b)).not(), &sign_of(a).xor(sign_of(&result))]);
        self.set_flags(&result, result.bvult(a), overflow);
        result
    }

    fn logic(&mut self, result: BV) -> BV {
        self.set_flags(&result, Bool::from_bool(false), Bool::from_bool(false));
        result
    }

    /// For results after which carry and overflow are undefined or of no interest: they become unknown.
    fn vague(&mut self, result: BV) -> BV {
        self.set_flags(&result, Bool::fresh_const("cf"), Bool::fresh_const("of"));
        result
    }

    /// For results after which no flag may be read.
    fn flagless(&mut self, result: BV) -> BV {
        self.flags = None;
        result
    }

    /// Whether a condition holds.
    pub(crate) fn condition(&self, code: ConditionCode) -> Option<Bool> {
        let flags = self.flags.as_ref()?;
        let less = flags.sign.xor(&flags.overflow);
        Some(match code {
            ConditionCode::o => flags.overflow.clone(),
            ConditionCode::no => flags.overflow.not(),
            ConditionCode::b => flags.carry.clone(),
            ConditionCode::ae => flags.carry.not(),
            ConditionCode::e => flags.zero.clone(),
            ConditionCode::ne => flags.zero.not(),
            ConditionCode::be => Bool::or(&[&flags.carry, &flags.zero]),
            ConditionCode::a => Bool::or(&[&flags.carry, &flags.zero]).not(),
            ConditionCode::s => flags.sign.clone(),
            ConditionCode::ns => flags.sign.not(),
            ConditionCode::l => less,
            ConditionCode::ge => less.not(),
            ConditionCode::le => Bool::or(&[&less, &flags.zero]),
            ConditionCode::g => Bool::or(&[&less, &flags.zero]).not(),
            _ => return None,
        })
    }

    /// The result of an instruction that computes on `a` (its first operand) and `b` (its second), and sets flags.
    /// `None` is for an instruction that this model does not have.
    pub(crate) fn compute(&mut self, mnemonic: Mnemonic, a: &BV, b: &BV) -> Option<BV> {
        let width = a.get_size();
        let one = || constant(1, width);
        // Shift counts are taken modulo the operand's width, of which no operand here is below 32 bits.
        let count = |count: &BV| {
            let mask = if width == 64 { 63 } else { 31 };
            resize(count, width) & constant(mask, width)
        };
        // A shift by zero leaves the flags alone.
        let certain = b.as_u64().is_some_and(|count| count != 0);
        let shifted =
            |state: &mut Self, result| if certain { state.vague(result) } else { state.flagless(result) };
        Some(match mnemonic {
            Mnemonic::Add => self.add(a, b),
            Mnemonic::Sub => self.subtract(a, b),
            Mnemonic::And => self.logic(a & b),
            Mnemonic::Or => self.logic(a | b),
            Mnemonic::Xor => self.logic(a ^ b),
            Mnemonic::Not => a.bvnot(),
            Mnemonic::Neg => self.subtract(&constant(0, width), a),
            // They keep the carry flag, which no compiler reads after them.
            Mnemonic::Inc => {
                let result = a + one();
                self.vague(result)
            }
            Mnemonic::Dec => {
                let result = a - one();
                self.vague(result)
            }
            Mnemonic::Shl | Mnemonic::Sal if width >= 32 => shifted(self, a.bvshl(count(b))),
            Mnemonic::Shr if width >= 32 => shifted(self, a.bvlshr(count(b))),
            Mnemonic::Sar if width >= 32 => shifted(self, a.bvashr(count(b))),
            Mnemonic::Rol if width >= 32 => self.flagless(a.bvrotl(count(b))),
            Mnemonic::Ror if width >= 32 => self.flagless(a.bvrotr(count(b))),
            Mnemonic::Imul => self.flagless(a * b),
            _ => return None,
        })
    }

    /// Comparison sets flags and nothing else.
    pub(crate) fn compare(&mut self, mnemonic: Mnemonic, a: &BV, b: &BV) {
        match mnemonic {
            Mnemonic::Test => drop(self.logic(a & b)),
            _ => drop(self.subtract(a, b)),
        }
    }

    /// Registers that a call to a library leaves unknown.
    pub(crate) fn forget_scratch(&mut self) {
        for register in [
            Register::RAX,
            Register::RCX,
            Register::RDX,
            Register::RSI,
            Register::RDI,
            Register::R8,
            Register::R9,
            Register::R10,
            Register::R11,
        ] {
            self.registers[register.number()] = BV::fresh_const("call", 64);
        }
        for vector in &mut self.vectors {
            *vector = BV::fresh_const("call", 128);
        }
        self.flags = None;
    }
}

/// An immediate operand at the width of the instruction.
pub(crate) fn immediate(instruction: &Instruction, operand: u32, width: u32) -> Option<BV> {
    match instruction.op_kind(operand) {
        OpKind::Immediate8
        | OpKind::Immediate16
        | OpKind::Immediate32
        | OpKind::Immediate64
        | OpKind::Immediate8to16
        | OpKind::Immediate8to32
        | OpKind::Immediate8to64
        | OpKind::Immediate32to64 => Some(constant(instruction.immediate(operand), width)),
        _ => None,
    }
}

pub(crate) fn extend(mnemonic: Mnemonic, value: &BV, width: u32) -> BV {
    match mnemonic {
        Mnemonic::Movsx | Mnemonic::Movsxd => sign_resize(value, width),
        _ => resize(value, width),
    }
}
