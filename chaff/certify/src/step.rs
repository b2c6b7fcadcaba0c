//! One instruction at a time: its operands come from `access`, its arithmetic from `machine`, and where it calls a library
//! or jumps through a value, the rules of a certificate about that are applied here.

use iced_x86::{ConditionCode, FlowControl, Instruction, Mnemonic, OpKind, Register};
use z3::ast::{Ast as _, BV, Bool};

use crate::access::Place;
use crate::explore::{ARGUMENTS, Explorer, KERNEL_BEGIN, NULL_GUARD, SMALL, SPREAD, USER_END};
use crate::machine::{Block, Checked, Refusal, Space, State, constant, extend, resize};

impl Explorer<'_> {
    pub(crate) fn width(at: &Instruction) -> u32 {
        let bytes = match at.op0_kind() {
            OpKind::Register => at.op0_register().size(),
            _ => at.memory_size().size(),
        };
        u32::try_from(bytes * 8).unwrap_or(0)
    }

    /// One instruction that does not branch; false when it always faults.
    pub(crate) fn execute(&mut self, state: &mut State, at: &Instruction) -> Checked<bool> {
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

    pub(crate) fn arithmetic(
        &mut self,
        state: &mut State,
        at: &Instruction,
        a: &BV,
        b: &BV,
    ) -> Checked<bool> {
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
    pub(crate) fn indirect(&mut self, state: &mut State, at: &Instruction) -> Checked<bool> {
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
    pub(crate) fn library(&mut self, state: &mut State, at: &Instruction, name: &str) -> Checked<bool> {
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
    pub(crate) fn spill(
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
}
