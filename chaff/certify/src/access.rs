//! Where the operands of an instruction are and what happens to memory there. The rules of a certificate about accesses
//! are applied here and only here: `place` finds all that an access can hit and refuses what is not the bug's own.

use iced_x86::{Instruction, OpKind, Register};
use z3::ast::{Ast as _, BV, Bool};

use crate::explore::{Explorer, NULL_GUARD, SPREAD, USER_END, object_base};
use crate::machine::{Checked, Refusal, Space, State, constant, immediate, resize};

/// Where an access goes.
pub(crate) enum Place {
    /// These bytes and no others.
    Exact(Space, i64),
    /// Somewhere among these bytes.
    Within(Space, i64, i64),
    /// A constant of the image.
    Image(u64),
    /// It always faults.
    Fault,
}

impl Explorer<'_> {
    /// The distance from the entry stack pointer, where that is a constant.
    pub(crate) fn offset(&self, address: &BV) -> Option<i64> {
        (address - &self.stack).simplify().as_u64().map(u64::cast_signed)
    }

    pub(crate) fn signed(value: &BV, low: i64, high: i64) -> Bool {
        let bounds = [value.bvsge(BV::from_i64(low, 64)), value.bvsle(BV::from_i64(high, 64))];
        Bool::and(&[&bounds[0], &bounds[1]])
    }

    /// Whether an access that begins here faults whatever is mapped.
    pub(crate) fn faults(address: &BV) -> Bool {
        Bool::or(&[&address.bvult(constant(NULL_GUARD, 64)), &address.bvuge(constant(USER_END, 64))])
    }

    /// Finds where an access of `size` bytes can go, given all that the path assumes. The path goes on under the
    /// assumption that it did not fault.
    pub(crate) fn place(
        &mut self,
        state: &mut State,
        at: &Instruction,
        address: &BV,
        size: i64,
    ) -> Checked<Place> {
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

    pub(crate) fn least(&mut self, value: &BV, mut low: i64, mut high: i64) -> Checked<i64> {
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

    pub(crate) fn greatest(&mut self, value: &BV, mut low: i64, mut high: i64) -> Checked<i64> {
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

    pub(crate) fn load_exact(&self, state: &State, space: Space, offset: i64, size: i64) -> BV {
        let byte = |index| {
            let known = state.bytes.get(&(space, offset + index));
            known.cloned().unwrap_or_else(|| BV::fresh_const("memory", 8))
        };
        (1..size).fold(byte(0), |low, index| byte(index).concat(low)).simplify()
    }

    /// Loads an operand; `None` when the load always faults.
    pub(crate) fn load(
        &mut self,
        state: &mut State,
        at: &Instruction,
        address: &BV,
        size: i64,
    ) -> Checked<Option<BV>> {
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
    pub(crate) fn store(
        &mut self,
        state: &mut State,
        at: &Instruction,
        address: &BV,
        value: &BV,
    ) -> Checked<bool> {
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

    pub(crate) fn check_extent(
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

    pub(crate) fn note_write(
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

    pub(crate) fn push(&mut self, state: &mut State, at: &Instruction, value: &BV) -> Checked<()> {
        let stack = (&state.registers[Register::RSP.number()] - constant(8, 64)).simplify();
        state.registers[Register::RSP.number()] = stack.clone();
        if self.offset(&stack).is_none() {
            return Err(Refusal::at(at, "the stack pointer is not known"));
        }
        self.store(state, at, &stack, value)?;
        Ok(())
    }

    /// The value of an operand; `None` when reading it always faults.
    pub(crate) fn read(
        &mut self,
        state: &mut State,
        at: &Instruction,
        operand: u32,
        width: u32,
    ) -> Checked<Option<BV>> {
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
    pub(crate) fn write(&mut self, state: &mut State, at: &Instruction, value: &BV) -> Checked<bool> {
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
}
