//! Follows all paths through a group of functions and applies the rules of a certificate.

use std::collections::{BTreeMap, BTreeSet};

use iced_x86::{
    ConditionCode, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register,
};
use serde::Serialize;
use z3::ast::{Ast as _, BV, Bool};
use z3::{Params, SatResult, Solver};

use crate::image::Image;
use crate::machine::{Block, Checked, Refusal, Space, State, constant, extend, immediate, resize};

/// What of the lower canonical half no program can map, in bytes (Linux's mmap_min_addr).
const NULL_GUARD: u64 = 0x1_0000;
/// The first address above what a process can map without asking for five-level paging.
const USER_END: u64 = 1 << 47;
/// Where addresses are canonical again.
const KERNEL_BEGIN: u64 = 0xffff_8000_0000_0000;
/// The most bytes one store may be uncertain about.
const SPREAD: i64 = 4096;
/// The largest mask whose result a loop is followed for value by value.
const SMALL: u64 = 63;
const STEPS: usize = 100_000;
const PATHS: usize = 3_000;
const QUESTIONS: usize = 2_000;
/// The effort that z3 may spend on one question, in its own unit: time would make the result depend on the machine.
const EFFORT: u32 = 3_000_000;
const KEPT: [Register; 6] =
    [Register::RBX, Register::RBP, Register::R12, Register::R13, Register::R14, Register::R15];
const ARGUMENTS: [Register; 6] =
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

struct Explorer<'a> {
    image: &'a Image,
    claim: &'a Claim,
    goal: Option<(&'a Seed, &'a Certificate)>,
    found: Option<Witness>,
    solver: Solver,
    /// The stack pointer and the image's load address, unknown but aligned and within the lower half.
    stack: BV,
    bias: BV,
    canary: BV,
    decoded: BTreeMap<u64, Instruction>,
    writes: BTreeMap<u64, Written>,
    crashes: BTreeSet<u64>,
    steps: usize,
    paths: usize,
    questions: usize,
}

/// Where one instruction wrote, on all paths so far.
#[derive(Default)]
struct Written {
    extents: BTreeSet<(Space, i64, i64)>,
    /// The attacker chooses among several places.
    moves: bool,
}

/// Where an access goes.
enum Place {
    /// These bytes and no others.
    Exact(Space, i64),
    /// Somewhere among these bytes.
    Within(Space, i64, i64),
    /// A constant of the image.
    Image(u64),
    /// It always faults.
    Fault,
}

impl<'a> Explorer<'a> {
    fn new(image: &'a Image, claim: &'a Claim, goal: Option<(&'a Seed, &'a Certificate)>) -> Self {
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
    fn possible(&mut self, condition: &Bool) -> Checked<bool> {
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

    fn explore(&mut self, mut state: State) -> Checked<()> {
        state.registers[Register::RSP.number()] = self.stack.clone();
        let kept: Vec<BV> = KEPT.iter().map(|register| state.registers[register.number()].clone()).collect();
        self.follow(state, self.claim.entry, &kept)
    }

    fn decode(&mut self, address: u64) -> Checked<Instruction> {
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
    fn follow(&mut self, mut state: State, mut address: u64, kept: &[BV]) -> Checked<()> {
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
    fn split(&mut self, state: &State, address: u64, kept: &[BV]) -> Checked<()> {
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

    fn end_path(&mut self) -> Checked<()> {
        self.paths += 1;
        if self.paths > PATHS { Err(Refusal("too many paths".into())) } else { Ok(()) }
    }

    /// The distance from the entry stack pointer, where that is a constant.
    fn offset(&self, address: &BV) -> Option<i64> {
        (address - &self.stack).simplify().as_u64().map(u64::cast_signed)
    }

    fn signed(value: &BV, low: i64, high: i64) -> Bool {
        let bounds = [value.bvsge(BV::from_i64(low, 64)), value.bvsle(BV::from_i64(high, 64))];
        Bool::and(&[&bounds[0], &bounds[1]])
    }

    /// Whether an access that begins here faults whatever is mapped.
    fn faults(address: &BV) -> Bool {
        Bool::or(&[&address.bvult(constant(NULL_GUARD, 64)), &address.bvuge(constant(USER_END, 64))])
    }

    /// Finds where an access of `size` bytes can go, given all that the path assumes. The path goes on under the
    /// assumption that it did not fault.
    fn place(&mut self, state: &mut State, at: &Instruction, address: &BV, size: i64) -> Checked<Place> {
        let stack_top = self.offset(&state.registers[Register::RSP.number()]).unwrap_or(0);
        // The red zone of a leaf function lies below its stack pointer.
        let floor = stack_top - 128;
        if let Some(offset) = self.offset(address) {
            return Ok(Place::Exact(Space::Frame, offset));
        }
        if let Some(link) = (address - &self.bias).simplify().as_u64().filter(|&link| self.image.holds(link))
        {
            return Ok(Place::Image(link));
        }
        for (index, block) in state.blocks.iter().enumerate().filter(|(_, block)| block.usable) {
            if let Some(offset) = (address - &block.base).simplify().as_u64().map(u64::cast_signed)
                && offset >= 0
                && offset + size <= block.size.cast_signed()
            {
                return Ok(Place::Exact(Space::Block(index), offset));
            }
        }
        let faults = Self::faults(address);
        if !self.possible(&faults.not())? {
            self.crash(at)?;
            return Ok(Place::Fault);
        }
        let mut spaces: Vec<(Space, BV, i64, i64)> = vec![(Space::Frame, self.stack.clone(), floor, 0)];
        for (index, block) in state.blocks.iter().enumerate() {
            spaces.push((Space::Block(index), block.base.clone(), 0, i64::try_from(block.size).unwrap_or(0)));
        }
        for (space, base, low, high) in spaces {
            let distance = (address - &base).simplify();
            let inside = Self::signed(&distance, low, high - size);
            if self.possible(&Bool::and(&[&inside.not(), &faults.not()]))? {
                continue;
            }
            if self.possible(&faults)? {
                self.crash(at)?;
                self.solver.assert(faults.not());
            }
            if let Space::Block(index) = space {
                // It is on the path now that the block is there.
                state.blocks[index].usable = true;
            }
            if let Some(offset) = distance.as_u64().map(u64::cast_signed) {
                return Ok(Place::Exact(space, offset));
            }
            let first = self.least(&distance, low, high)?;
            let last = self.greatest(&distance, first, high)?;
            if last - first > SPREAD {
                return Err(Refusal::at(at, "an access is spread too widely"));
            }
            return Ok(Place::Within(space, first, last + size));
        }
        Err(Refusal::at(at, "an access can hit memory that is not the bug's own"))
    }

    fn least(&mut self, value: &BV, mut low: i64, mut high: i64) -> Checked<i64> {
        while low < high {
            let middle = low + (high - low) / 2;
            if self.possible(&value.bvsle(BV::from_i64(middle, 64)))? {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Ok(low)
    }

    fn greatest(&mut self, value: &BV, mut low: i64, mut high: i64) -> Checked<i64> {
        while low < high {
            let middle = low + (high - low + 1) / 2;
            if self.possible(&value.bvsge(BV::from_i64(middle, 64)))? {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        Ok(low)
    }

    /// Notes that an instruction faults on this path; where a witness is sought, this may be it.
    fn crash(&mut self, at: &Instruction) -> Checked<()> {
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
    fn reach(&mut self, at: &Instruction, condition: &Bool) -> Checked<()> {
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

    fn load_exact(&self, state: &State, space: Space, offset: i64, size: i64) -> BV {
        let byte = |index| {
            let known = state.bytes.get(&(space, offset + index));
            known.cloned().unwrap_or_else(|| BV::fresh_const("memory", 8))
        };
        (1..size).fold(byte(0), |low, index| byte(index).concat(low)).simplify()
    }

    /// Loads an operand; `None` when the load always faults.
    fn load(&mut self, state: &mut State, at: &Instruction, address: &BV, size: i64) -> Checked<Option<BV>> {
        let width = u32::try_from(size * 8).unwrap_or(64);
        Ok(match self.place(state, at, address, size)? {
            Place::Exact(space, offset) => {
                // What was unknown stays the same unknown until something else is stored.
                for index in offset..offset + size {
                    state.bytes.entry((space, index)).or_insert_with(|| BV::fresh_const("memory", 8));
                }
                Some(self.load_exact(state, space, offset, size))
            }
            Place::Within(..) => Some(BV::fresh_const("memory", width)),
            Place::Image(link) => match self.image.constant(link, usize::try_from(size).unwrap_or(0)) {
                Some(bytes) => {
                    let byte = |index: usize| constant(bytes[index].into(), 8);
                    Some((1..bytes.len()).fold(byte(0), |low, index| byte(index).concat(low)).simplify())
                }
                None => Some(BV::fresh_const("memory", width)),
            },
            Place::Fault => None,
        })
    }

    /// Stores an operand; false when the store always faults.
    fn store(&mut self, state: &mut State, at: &Instruction, address: &BV, value: &BV) -> Checked<bool> {
        let size = i64::from(value.get_size() / 8);
        match self.place(state, at, address, size)? {
            Place::Exact(space, offset) => {
                self.check_extent(state, at, space, offset, offset + size)?;
                self.note_write(at, (space, offset, offset + size), false, address)?;
                for index in 0..size {
                    let low = u32::try_from(index * 8).unwrap_or(0);
                    state.bytes.insert((space, offset + index), value.extract(low + 7, low).simplify());
                }
                Ok(true)
            }
            Place::Within(space, low, high) => {
                self.check_extent(state, at, space, low, high)?;
                self.note_write(at, (space, low, high), true, address)?;
                for offset in low..high {
                    state.bytes.insert((space, offset), BV::fresh_const("stored", 8));
                }
                Ok(true)
            }
            Place::Image(_) => Err(Refusal::at(at, "a store to the program's own data")),
            Place::Fault => Ok(false),
        }
    }

    fn check_extent(
        &self,
        state: &State,
        at: &Instruction,
        space: Space,
        low: i64,
        high: i64,
    ) -> Checked<()> {
        let (floor, ceiling) = match space {
            Space::Frame => (self.offset(&state.registers[Register::RSP.number()]).unwrap_or(0) - 128, 0),
            Space::Block(index) => (0, i64::try_from(state.blocks[index].size).unwrap_or(0)),
        };
        if low < floor || high > ceiling {
            return Err(Refusal::at(at, "a store beyond the bug's own frame or block"));
        }
        Ok(())
    }

    fn note_write(
        &mut self,
        at: &Instruction,
        extent: (Space, i64, i64),
        moves: bool,
        address: &BV,
    ) -> Checked<()> {
        let (space, low, high) = extent;
        let written = self.writes.entry(at.ip()).or_default();
        written.extents.insert(extent);
        written.moves |= moves || written.extents.len() > 1;
        if let Some((_, certificate)) = self.goal
            && let Some((object, _)) = self.claim.slack
            && let Some(base) = object_base(&certificate.overwrites)
            && certificate.overwrites.iter().any(|overwrite| overwrite.at == at.ip())
        {
            let border = base + i64::try_from(object).unwrap_or(0);
            match space {
                Space::Frame => {
                    let beyond = (address - &self.stack).bvsge(BV::from_i64(border, 64));
                    self.reach(at, &beyond)?;
                }
                Space::Block(_) if high > border => {
                    // The least uncertain place decides: a model of the path with the highest address.
                    let reached = Bool::from_bool(low >= border);
                    self.reach(at, &reached)?;
                }
                Space::Block(_) => {}
            }
        }
        Ok(())
    }

    fn push(&mut self, state: &mut State, at: &Instruction, value: &BV) -> Checked<()> {
        let stack = (&state.registers[Register::RSP.number()] - constant(8, 64)).simplify();
        state.registers[Register::RSP.number()] = stack.clone();
        if self.offset(&stack).is_none() {
            return Err(Refusal::at(at, "the stack pointer is not known"));
        }
        self.store(state, at, &stack, value)?;
        Ok(())
    }

    /// The value of an operand; `None` when reading it always faults.
    fn read(&mut self, state: &mut State, at: &Instruction, operand: u32, width: u32) -> Checked<Option<BV>> {
        match at.op_kind(operand) {
            OpKind::Register => {
                let value = state.get(at.op_register(operand));
                value.map(Some).ok_or_else(|| Refusal::at(at, "this register is not modelled"))
            }
            OpKind::Memory => {
                let size = i64::try_from(at.memory_size().size()).unwrap_or(0);
                if at.segment_prefix() == Register::FS {
                    let plain = at.memory_base() == Register::None && at.memory_index() == Register::None;
                    if plain && at.memory_displacement64() == 0x28 && size == 8 {
                        return Ok(Some(self.canary.clone()));
                    }
                    return Err(Refusal::at(at, "thread-local memory"));
                }
                let address = state.address(at, &self.bias)?;
                self.load(state, at, &address, size)
            }
            _ => {
                let value = immediate(at, operand, width);
                value.map(Some).ok_or_else(|| Refusal::at(at, "this operand is not modelled"))
            }
        }
    }

    /// Writes the first operand; false when that always faults.
    fn write(&mut self, state: &mut State, at: &Instruction, value: &BV) -> Checked<bool> {
        match at.op0_kind() {
            OpKind::Register => {
                state
                    .set(at.op0_register(), value)
                    .ok_or_else(|| Refusal::at(at, "this register is not modelled"))?;
                Ok(true)
            }
            OpKind::Memory if at.segment_prefix() == Register::None => {
                let size = u32::try_from(at.memory_size().size() * 8).unwrap_or(0);
                let address = state.address(at, &self.bias)?;
                self.store(state, at, &address, &resize(value, size).simplify())
            }
            _ => Err(Refusal::at(at, "this operand is not modelled")),
        }
    }

    fn width(at: &Instruction) -> u32 {
        let bytes = match at.op0_kind() {
            OpKind::Register => at.op0_register().size(),
            _ => at.memory_size().size(),
        };
        u32::try_from(bytes * 8).unwrap_or(0)
    }

    /// One instruction that does not branch; false when it always faults.
    fn execute(&mut self, state: &mut State, at: &Instruction) -> Checked<bool> {
        if at.has_lock_prefix() || at.has_rep_prefix() || at.has_repne_prefix() {
            return Err(Refusal::at(at, "this prefix is not modelled"));
        }
        let width = Self::width(at);
        let mnemonic = at.mnemonic();
        match mnemonic {
            Mnemonic::Nop | Mnemonic::Endbr64 => Ok(true),
            Mnemonic::Mov
            | Mnemonic::Movzx
            | Mnemonic::Movsx
            | Mnemonic::Movsxd
            | Mnemonic::Movaps
            | Mnemonic::Movups
            | Mnemonic::Movdqa
            | Mnemonic::Movdqu => {
                let Some(value) = self.read(state, at, 1, width)? else { return Ok(false) };
                let value = extend(mnemonic, &value, width).simplify();
                self.write(state, at, &value)
            }
            Mnemonic::Lea => {
                let address = state.address(at, &self.bias)?;
                self.write(state, at, &address)
            }
            Mnemonic::Xorps | Mnemonic::Pxor | Mnemonic::Xorpd => {
                let (Some(a), Some(b)) = (self.read(state, at, 0, 128)?, self.read(state, at, 1, 128)?)
                else {
                    return Ok(false);
                };
                self.write(state, at, &(a ^ b).simplify())
            }
            Mnemonic::Cmp | Mnemonic::Test => {
                let Some(a) = self.read(state, at, 0, width)? else { return Ok(false) };
                let Some(b) = self.read(state, at, 1, a.get_size())? else { return Ok(false) };
                state.compare(mnemonic, &a, &b);
                Ok(true)
            }
            Mnemonic::Push => {
                let Some(value) = self.read(state, at, 0, 64)? else { return Ok(false) };
                self.push(state, at, &resize(&value, 64))?;
                Ok(true)
            }
            Mnemonic::Pop => {
                let stack = state.registers[Register::RSP.number()].clone();
                let Some(value) = self.load(state, at, &stack, 8)? else { return Ok(false) };
                state.registers[Register::RSP.number()] = (stack + constant(8, 64)).simplify();
                self.write(state, at, &value)
            }
            Mnemonic::Cdqe => {
                let low = state.get(Register::EAX).ok_or_else(|| Refusal::at(at, "no eax"))?;
                state.set(Register::RAX, &low.sign_ext(32));
                Ok(true)
            }
            Mnemonic::Bswap => {
                let Some(value) = self.read(state, at, 0, width)? else { return Ok(false) };
                let byte = |index: u32| value.extract(index * 8 + 7, index * 8);
                let swapped = (1..width / 8).fold(byte(0), |high, index| high.concat(byte(index)));
                self.write(state, at, &swapped.simplify())
            }
            Mnemonic::Imul if at.op_count() == 3 => {
                let Some(a) = self.read(state, at, 1, width)? else { return Ok(false) };
                let Some(b) = self.read(state, at, 2, width)? else { return Ok(false) };
                self.arithmetic(state, at, &a, &b)
            }
            Mnemonic::Imul if at.op_count() == 1 => Err(Refusal::at(at, "a wide product")),
            _ if at.condition_code() != ConditionCode::None && at.op_count() == 1 => {
                let condition = state.condition(at.condition_code());
                let condition = condition.ok_or_else(|| Refusal::at(at, "condition on unknown flags"))?;
                let value = condition.ite(&constant(1, 8), &constant(0, 8)).simplify();
                self.write(state, at, &value)
            }
            _ if at.condition_code() != ConditionCode::None && at.op_count() == 2 => {
                let condition = state.condition(at.condition_code());
                let condition = condition.ok_or_else(|| Refusal::at(at, "condition on unknown flags"))?;
                let Some(old) = self.read(state, at, 0, width)? else { return Ok(false) };
                let Some(new) = self.read(state, at, 1, width)? else { return Ok(false) };
                self.write(state, at, &condition.ite(&new, &old).simplify())
            }
            _ => {
                let Some(a) = self.read(state, at, 0, width)? else { return Ok(false) };
                let b = match at.op_count() {
                    1 => constant(1, a.get_size()),
                    2 => match self.read(state, at, 1, a.get_size())? {
                        Some(value) => value,
                        None => return Ok(false),
                    },
                    _ => return Err(Refusal::at(at, "this instruction is not modelled")),
                };
                self.arithmetic(state, at, &a, &b)
            }
        }
    }

    fn arithmetic(&mut self, state: &mut State, at: &Instruction, a: &BV, b: &BV) -> Checked<bool> {
        if at.mnemonic() == Mnemonic::And
            && let Some(mask) = b.simplify().as_u64()
            && (mask + 1).is_power_of_two()
            && (1..=SMALL).contains(&mask)
        {
            let part = a.extract(mask.trailing_ones() - 1, 0).simplify();
            state.small = part.as_u64().is_none().then_some(part);
        }
        let result = state.compute(at.mnemonic(), a, b);
        let result = result.ok_or_else(|| Refusal::at(at, "this instruction is not modelled"))?;
        self.write(state, at, &result.simplify())
    }

    /// An indirect jump or call: through a slot to a library function, or to where nothing can run. False when it faults.
    fn indirect(&mut self, state: &mut State, at: &Instruction) -> Checked<bool> {
        if at.flow_control() == FlowControl::IndirectCall
            && at.is_ip_rel_memory_operand()
            && let Some(name) = self.image.slot(at.ip_rel_memory_address())
        {
            let name = name.to_owned();
            return self.library(state, at, &name);
        }
        let Some(target) = self.read(state, at, 0, 64)? else { return Ok(false) };
        // Where the address is not canonical the branch itself faults, before anything is pushed.
        let canonical =
            Bool::or(&[&target.bvult(constant(USER_END, 64)), &target.bvuge(constant(KERNEL_BEGIN, 64))]);
        if self.possible(&canonical)? {
            return Err(Refusal::at(at, "control can be taken"));
        }
        self.crash(at)?;
        Ok(false)
    }

    /// A library function that the checker knows; false when it does not return.
    fn library(&mut self, state: &mut State, at: &Instruction, name: &str) -> Checked<bool> {
        let argument = |index: usize| state.registers[ARGUMENTS[index].number()].clone();
        let (first, second, third) = (argument(0), argument(1), argument(2));
        let mut result = BV::fresh_const("result", 64);
        match name {
            "malloc" => {
                let size = first.simplify().as_u64().filter(|&size| size <= SPREAD as u64);
                let size = size.ok_or_else(|| Refusal::at(at, "a block of unknown size"))?;
                let base = BV::fresh_const("block", 64);
                let top = constant(USER_END - SPREAD as u64, 64);
                let usable = [base.bvuge(constant(NULL_GUARD, 64)), base.bvult(top)];
                let null = base.eq(constant(0, 64));
                self.solver.assert(Bool::or(&[&null, &Bool::and(&[&usable[0], &usable[1]])]));
                state.blocks.push(Block { base: base.clone(), size, usable: false });
                result = base;
            }
            "free" => {
                // Freeing is safe for what malloc gave, and only once.
                let position = state
                    .blocks
                    .iter()
                    .position(|block| block.base.eq(&first).simplify().as_bool() == Some(true));
                let index = position.ok_or_else(|| Refusal::at(at, "frees what it did not allocate"))?;
                if state.blocks[index].size == 0 {
                    return Err(Refusal::at(at, "frees a block twice"));
                }
                state.blocks[index].size = 0;
                state.blocks[index].usable = false;
            }
            "memset" | "memcpy" | "memmove" => {
                let room = BV::from_i64(SPREAD, 64);
                if self.possible(&third.bvugt(&room))? {
                    return Err(Refusal::at(at, "a length is not bounded"));
                }
                let most = self.greatest(&third, 0, SPREAD)?;
                if most > 0 {
                    // The bytes that the longest call touches; where the start is exact so is the end.
                    for (address, writes) in [(first.clone(), true), (second.clone(), false)] {
                        if !writes && name == "memset" {
                            continue;
                        }
                        match self.place(state, at, &address, most)? {
                            Place::Exact(space, offset) => {
                                self.check_extent(state, at, space, offset, offset + most)?;
                                if writes {
                                    self.spill(state, at, space, offset, most, &third)?;
                                }
                            }
                            Place::Image(link) if !writes => {
                                let length = usize::try_from(most).unwrap_or(0);
                                if self.image.bytes(link).is_none_or(|bytes| bytes.len() < length) {
                                    return Err(Refusal::at(at, "reads beyond the program's data"));
                                }
                            }
                            _ => return Err(Refusal::at(at, "copies to an uncertain place")),
                        }
                    }
                }
                result = first;
            }
            "abort" | "__stack_chk_fail" => return Ok(false),
            _ => return Err(Refusal::at(at, &format!("calls {name}"))),
        }
        state.forget_scratch();
        state.registers[Register::RAX.number()] = result;
        Ok(true)
    }

    /// A library call that writes `length` bytes, `most` at most.
    fn spill(
        &mut self,
        state: &mut State,
        at: &Instruction,
        space: Space,
        offset: i64,
        most: i64,
        length: &BV,
    ) -> Checked<()> {
        let least = self.least(length, 0, most)?;
        let written = self.writes.entry(at.ip()).or_default();
        written.extents.insert((space, offset, offset + most));
        written.moves |= least != most || written.extents.len() > 1;
        for index in offset..offset + most {
            state.bytes.insert((space, index), BV::fresh_const("stored", 8));
        }
        if let Some((_, certificate)) = self.goal
            && let Some((object, _)) = self.claim.slack
            && certificate.overwrites.iter().any(|overwrite| overwrite.at == at.ip())
        {
            self.reach(at, &length.bvugt(constant(object, 64)))?;
        }
        Ok(())
    }

    fn conclude(self) -> Checked<Certificate> {
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
fn object_base(overwrites: &[Overwrite]) -> Option<i64> {
    overwrites.iter().map(|overwrite| overwrite.low).min()
}
