//! Follows all paths through a group of functions: calls, returns and branches, and what is concluded in the end. What one
//! instruction does is in `step`, where it reads and writes in `access`.

use std::collections::{BTreeMap, BTreeSet};

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, Register};
use serde::Serialize;
use z3::ast::{Ast as _, BV, Bool};
use z3::{Params, SatResult, Solver};

use crate::image::Image;
use crate::machine::{Checked, Refusal, Space, State, constant, resize};

/// What of the lower canonical half no program can map, in bytes (Linux's mmap_min_addr).
pub(crate) const NULL_GUARD: u64 = 0x1_0000;
/// The first address above what a process can map without asking for five-level paging.
pub(crate) const USER_END: u64 = 1 << 47;
/// Where addresses are canonical again.
pub(crate) const KERNEL_BEGIN: u64 = 0xffff_8000_0000_0000;
/// The most bytes one store may be uncertain about.
pub(crate) const SPREAD: i64 = 4096;
/// The largest mask whose result a loop is followed for value by value.
pub(crate) const SMALL: u64 = 63;
const STEPS: usize = 100_000;
const PATHS: usize = 3_000;
const QUESTIONS: usize = 2_000;
/// The effort that z3 may spend on one question, in its own unit: time would make the result depend on the machine.
const EFFORT: u32 = 3_000_000;
const KEPT: [Register; 6] =
    [Register::RBX, Register::RBP, Register::R12, Register::R13, Register::R14, Register::R15];
pub(crate) const ARGUMENTS: [Register; 6] =
    [Register::RDI, Register::RSI, Register::RDX, Register::RCX, Register::R8, Register::R9];

/// What is claimed of one bug.
#[derive(Clone, Debug, Serialize)]
pub struct Claim {
    /// Where the program enters the group.
    pub entry: u64,
    /// Address and length of every function of the group.
    pub code: Vec<(u64, u64)>,
    /// For a bug that overwrites: the size of the object and of the slack behind it.
    pub slack: Option<(u64, u64)>,
}

/// Facts that were proven of one bug.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Certificate {
    /// Paths from entry to end.
    pub paths: usize,
    /// Questions that z3 answered.
    pub questions: usize,
    /// Instructions whose target the attacker moves, with the bytes they can reach, relative to the stack pointer at
    /// entry, or to the heap block where `heap` is set.
    pub overwrites: Vec<Overwrite>,
    /// Instructions that fault for some input, always at an address that nothing can map.
    pub crashes: Vec<u64>,
}

/// Where one instruction writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Overwrite {
    /// The instruction.
    pub at: u64,
    /// Whether the target is a heap block rather than the frame.
    pub heap: bool,
    /// First byte.
    pub low: i64,
    /// One past the last byte.
    pub high: i64,
}

/// The first argument as a function of unknown bytes, for which an input is sought.
pub struct Seed {
    /// The first argument.
    pub value: BV,
    /// What else must hold.
    pub conditions: Vec<Bool>,
    /// The bytes.
    pub bytes: Vec<BV>,
}

/// An input that makes a bug show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// The bytes, in the order of [`Seed::bytes`].
    pub bytes: Vec<u8>,
    /// The instruction that crashes, or that writes into the slack.
    pub at: u64,
}

/// Proves a claim on the linked program, or refuses it.
///
/// # Errors
/// The reason for which the bug must not be used.
pub fn certify(image: &Image, claim: &Claim) -> Result<Certificate, Refusal> {
    let mut explorer = Explorer::new(image, claim, None);
    explorer.explore(State::unknown())?;
    explorer.conclude()
}

/// Looks for bytes that make a certified bug crash or write into its slack.
///
/// # Errors
/// When the code is refused; `Ok(None)` says that no bytes do.
pub fn witness(
    image: &Image,
    claim: &Claim,
    certificate: &Certificate,
    seed: &Seed,
) -> Result<Option<Witness>, Refusal> {
    let mut explorer = Explorer::new(image, claim, Some((seed, certificate)));
    let mut state = State::unknown();
    state.registers[ARGUMENTS[0].number()] = resize(&seed.value, 64);
    for condition in &seed.conditions {
        explorer.solver.assert(condition);
    }
    match explorer.explore(state) {
        Ok(()) => Ok(None),
        Err(_) if explorer.found.is_some() => Ok(explorer.found),
        Err(refusal) => Err(refusal),
    }
}

pub(crate) struct Explorer<'a> {
    pub(crate) image: &'a Image,
    pub(crate) claim: &'a Claim,
    pub(crate) goal: Option<(&'a Seed, &'a Certificate)>,
    pub(crate) found: Option<Witness>,
    pub(crate) solver: Solver,
    /// The stack pointer and the image's load address, unknown but aligned and within the lower half.
    pub(crate) stack: BV,
    pub(crate) bias: BV,
    pub(crate) canary: BV,
    pub(crate) decoded: BTreeMap<u64, Instruction>,
    pub(crate) writes: BTreeMap<u64, Written>,
    pub(crate) crashes: BTreeSet<u64>,
    pub(crate) steps: usize,
    pub(crate) paths: usize,
    pub(crate) questions: usize,
}

/// Where one instruction wrote, on all paths so far.
#[derive(Default)]
pub(crate) struct Written {
    pub(crate) extents: BTreeSet<(Space, i64, i64)>,
    /// The attacker chooses among several places.
    pub(crate) moves: bool,
}

impl<'a> Explorer<'a> {
    pub(crate) fn new(image: &'a Image, claim: &'a Claim, goal: Option<(&'a Seed, &'a Certificate)>) -> Self {
        let solver = Solver::new_for_logic("QF_BV").unwrap_or_default();
        let mut parameters = Params::new();
        parameters.set_u32("rlimit", EFFORT);
        solver.set_params(&parameters);
        let (stack, bias) = (BV::fresh_const("stack", 64), BV::fresh_const("bias", 64));
        let room = 0x10_0000;
        solver.assert(stack.bvuge(constant(room, 64)));
        solver.assert(stack.bvult(constant(USER_END - room, 64)));
        // The call that entered the group pushed eight bytes onto an aligned stack.
        solver.assert((&stack & constant(15, 64)).eq(constant(8, 64)));
        solver.assert(bias.bvuge(constant(0, 64)));
        solver.assert(bias.bvult(constant(USER_END - (1 << 32), 64)));
        solver.assert((&bias & constant(0xfff, 64)).eq(constant(0, 64)));
        Self {
            image,
            claim,
            goal,
            found: None,
            solver,
            stack,
            bias,
            canary: BV::fresh_const("canary", 64),
            decoded: BTreeMap::new(),
            writes: BTreeMap::new(),
            crashes: BTreeSet::new(),
            steps: 0,
            paths: 0,
            questions: 0,
        }
    }

    /// Whether all that is assumed and `condition` can hold together.
    pub(crate) fn possible(&mut self, condition: &Bool) -> Checked<bool> {
        // A path is only followed while it is possible, so what is always true is possible on it.
        if let Some(known) = condition.simplify().as_bool() {
            return Ok(known);
        }
        self.questions += 1;
        if self.questions > QUESTIONS {
            return Err(Refusal("too many questions".into()));
        }
        match self.solver.check_assumptions(std::slice::from_ref(condition)) {
            SatResult::Sat => Ok(true),
            SatResult::Unsat => Ok(false),
            SatResult::Unknown => Err(Refusal("z3 gives no answer with the effort it may spend".into())),
        }
    }

    pub(crate) fn explore(&mut self, mut state: State) -> Checked<()> {
        state.registers[Register::RSP.number()] = self.stack.clone();
        let kept: Vec<BV> = KEPT.iter().map(|register| state.registers[register.number()].clone()).collect();
        self.follow(state, self.claim.entry, &kept)
    }

    pub(crate) fn decode(&mut self, address: u64) -> Checked<Instruction> {
        if let Some(instruction) = self.decoded.get(&address) {
            return Ok(*instruction);
        }
        if !self.claim.code.iter().any(|&(start, length)| (start..start + length).contains(&address)) {
            return Err(Refusal(format!("{address:#x} is outside of the bug's own code")));
        }
        let bytes = self.image.bytes(address).ok_or_else(|| Refusal(format!("no code at {address:#x}")))?;
        let mut decoder = Decoder::with_ip(64, &bytes[..bytes.len().min(16)], address, DecoderOptions::NONE);
        let instruction = decoder.decode();
        if instruction.is_invalid() {
            return Err(Refusal(format!("no instruction at {address:#x}")));
        }
        self.decoded.insert(address, instruction);
        Ok(instruction)
    }

    /// Follows one path to its end; what it assumes at branches lies on the solver's stack.
    pub(crate) fn follow(&mut self, mut state: State, mut address: u64, kept: &[BV]) -> Checked<()> {
        loop {
            self.steps += 1;
            if self.steps > STEPS {
                return Err(Refusal("too many steps: a loop is not bounded tightly enough".into()));
            }
            let instruction = self.decode(address)?;
            let next = instruction.next_ip();
            match instruction.flow_control() {
                FlowControl::Next => {
                    if !self.execute(&mut state, &instruction)? {
                        return self.end_path();
                    }
                    address = next;
                }
                FlowControl::UnconditionalBranch => address = instruction.near_branch_target(),
                FlowControl::ConditionalBranch => {
                    let taken = state
                        .condition(instruction.condition_code())
                        .ok_or_else(|| Refusal::at(&instruction, "branch on unknown flags"))?
                        .simplify();
                    let target = instruction.near_branch_target();
                    match (self.possible(&taken)?, self.possible(&taken.not())?) {
                        (true, false) => address = target,
                        (false, true) => address = next,
                        (false, false) => return Ok(()),
                        (true, true) if target <= address && state.small.is_some() => {
                            return self.split(&state, address, kept);
                        }
                        (true, true) => {
                            self.solver.push();
                            self.solver.assert(&taken);
                            let result = self.follow(state.clone(), target, kept);
                            self.solver.pop(1);
                            result?;
                            self.solver.push();
                            self.solver.assert(taken.not());
                            let result = self.follow(state, next, kept);
                            self.solver.pop(1);
                            return result;
                        }
                    }
                }
                FlowControl::Call => {
                    let target = instruction.near_branch_target();
                    if let Some(name) = self.image.stub(target) {
                        let name = name.to_owned();
                        if !self.library(&mut state, &instruction, &name)? {
                            return self.end_path();
                        }
                        address = next;
                    } else {
                        let back = &self.bias + constant(next, 64);
                        self.push(&mut state, &instruction, &back)?;
                        state.returns.push(next);
                        address = target;
                    }
                }
                FlowControl::Return => {
                    let stack = state.registers[Register::RSP.number()].clone();
                    let place = self.offset(&stack);
                    match (state.returns.pop(), place) {
                        (Some(expected), Some(offset)) => {
                            let value = self.load_exact(&state, Space::Frame, offset, 8);
                            let expected_value = &self.bias + constant(expected, 64);
                            if self.possible(&value.ne(&expected_value))? {
                                return Err(Refusal::at(&instruction, "a return address can change"));
                            }
                            state.registers[Register::RSP.number()] = stack + constant(8, 64);
                            address = expected;
                        }
                        (None, Some(0)) => {
                            for (register, value) in KEPT.iter().zip(kept) {
                                let now = &state.registers[register.number()];
                                if self.possible(&now.ne(value))? {
                                    return Err(Refusal::at(
                                        &instruction,
                                        "a register of the caller can change",
                                    ));
                                }
                            }
                            return self.end_path();
                        }
                        _ => return Err(Refusal::at(&instruction, "return from a moved stack")),
                    }
                }
                FlowControl::IndirectBranch | FlowControl::IndirectCall => {
                    if self.indirect(&mut state, &instruction)? {
                        address = next;
                    } else {
                        return self.end_path();
                    }
                }
                // ud2 and int3 end the program.
                FlowControl::Exception | FlowControl::Interrupt
                    if instruction.mnemonic() == Mnemonic::Ud2 =>
                {
                    return self.end_path();
                }
                _ => return Err(Refusal::at(&instruction, "this control flow is not modelled")),
            }
        }
    }

    /// Follows a loop once for each value of the small number that it depends on, so that each of them is a path on
    /// which nearly all is constant.
    pub(crate) fn split(&mut self, state: &State, address: u64, kept: &[BV]) -> Checked<()> {
        let Some(small) = &state.small else { return Ok(()) };
        for value in 0..1_u64 << small.get_size() {
            let value = constant(value, small.get_size());
            self.solver.push();
            let equal = small.eq(&value);
            let result = match self.possible(&equal) {
                Ok(true) => {
                    self.solver.assert(&equal);
                    self.follow(state.assuming(small, &value), address, kept)
                }
                Ok(false) => Ok(()),
                Err(refusal) => Err(refusal),
            };
            self.solver.pop(1);
            result?;
        }
        Ok(())
    }

    pub(crate) fn end_path(&mut self) -> Checked<()> {
        self.paths += 1;
        if self.paths > PATHS { Err(Refusal("too many paths".into())) } else { Ok(()) }
    }

    /// Notes that an instruction faults on this path; where a witness is sought, this may be it.
    pub(crate) fn crash(&mut self, at: &Instruction) -> Checked<()> {
        self.crashes.insert(at.ip());
        let fault = Bool::from_bool(true);
        match self.goal {
            Some((_, certificate))
                if certificate.crashes.contains(&at.ip()) && self.claim.slack.is_none() =>
            {
                self.reach(at, &fault)
            }
            _ => Ok(()),
        }
    }

    /// Takes the model of the path, with `condition`, as the witness and stops.
    pub(crate) fn reach(&mut self, at: &Instruction, condition: &Bool) -> Checked<()> {
        let Some((seed, _)) = self.goal else { return Ok(()) };
        if !self.possible(condition)? {
            return Ok(());
        }
        if self.solver.check_assumptions(std::slice::from_ref(condition)) != SatResult::Sat {
            return Err(Refusal("z3 gives no answer with the effort it may spend".into()));
        }
        let model = self.solver.get_model().ok_or_else(|| Refusal("z3 gives no model".into()))?;
        let byte = |byte| model.eval(byte, true).and_then(|value: BV| value.as_u64()).unwrap_or(0);
        let bytes = seed.bytes.iter().map(|value| u8::try_from(byte(value)).unwrap_or(0)).collect();
        self.found = Some(Witness { bytes, at: at.ip() });
        Err(Refusal("found".into()))
    }

    pub(crate) fn conclude(self) -> Checked<Certificate> {
        let mut overwrites = Vec::new();
        // A store that always hits the same bytes is the compiler's; one that moves is the attacker's.
        for (&at, written) in self.writes.iter().filter(|(_, written)| written.moves) {
            let mut lows = written.extents.iter().map(|&(space, low, _)| (space, low));
            let (space, low) = lows.next().unwrap_or((Space::Frame, 0));
            let high = written.extents.iter().map(|&(_, _, high)| high).max().unwrap_or(low);
            overwrites.push(Overwrite { at, heap: space != Space::Frame, low, high });
        }
        match self.claim.slack {
            None => {
                if self.crashes.is_empty() {
                    return Err(Refusal("no input makes it crash, so it is no bug".into()));
                }
            }
            Some((object, slack)) => {
                if !self.crashes.is_empty() && overwrites.iter().all(|overwrite| !overwrite.heap) {
                    return Err(Refusal("it can crash, which this class must not".into()));
                }
                let base = object_base(&overwrites).ok_or_else(|| Refusal("no store overflows".into()))?;
                let end = overwrites.iter().map(|overwrite| overwrite.high).max().unwrap_or(base);
                let (object, slack) = (i64::try_from(object).unwrap_or(0), i64::try_from(slack).unwrap_or(0));
                if end > base + object + slack {
                    return Err(Refusal(format!(
                        "the overflow reaches {} bytes, object and slack are {}",
                        end - base,
                        object + slack
                    )));
                }
                if end <= base + object {
                    return Err(Refusal("no input leaves the object, so it is no bug".into()));
                }
            }
        }
        Ok(Certificate {
            paths: self.paths,
            questions: self.questions,
            overwrites,
            crashes: self.crashes.into_iter().collect(),
        })
    }
}

/// Where the object begins that the attacker's stores hit.
pub(crate) fn object_base(overwrites: &[Overwrite]) -> Option<i64> {
    overwrites.iter().map(|overwrite| overwrite.low).min()
}
