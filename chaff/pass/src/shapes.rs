//! The constructions: what a bug looks like, with all its numbers chosen by the seed, and the code it becomes.
//!
//! A bug is a gate and a chain of functions behind it. The gate takes the attacker's value and lets few values pass; it
//! is written as a function too and becomes part of the program's function that computes the value. The first function
//! of the chain narrows what it is given, and the last one uses that. Nothing here is trusted to be harmless: the
//! checker decides on the machine code of the chain, for any argument, so a plan with a wrong number is refused and the
//! gate need not hold. The chain returns nothing.

use anyhow::{Context as _, Result};
use husk_chaff::manifest::Class;
use inkwell::attributes::{Attribute, AttributeLoc};
use inkwell::builder::Builder;
use inkwell::context::Context;
use inkwell::module::{Linkage, Module};
use inkwell::targets::TargetData;
use inkwell::types::IntType;
use inkwell::values::{BasicMetadataValueEnum, FunctionValue, GlobalValue, IntValue, PointerValue};
use inkwell::{AddressSpace, IntPredicate};
use rand::Rng;
use rand::seq::IndexedRandom as _;
use z3::ast::{BV, Bool};

/// The fewest bits of what a gate lets pass: every shape has room for its numbers in them.
pub(crate) const LEAST_PASSED: u32 = 6;

/// Which of the attacker's values pass, as a number from zero up to a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// `value - start`.
    Range { start: u64 },
    /// `value * factor + addend`, the factor odd.
    Product { factor: u64, addend: u64 },
    /// `(value ^ mask) - start`.
    Mask { mask: u64, start: u64 },
}

/// How an overflow is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    /// One store of this many bits at an index.
    Index(u32),
    /// Bytes from the start, up to a length.
    Loop,
    /// `memset` up to a length.
    Fill,
}

/// What is done with an address that cannot be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sink {
    /// Writes this many bits there.
    Store(u32),
    /// Reads a pointer there and writes through it.
    LoadStore,
    /// Calls what a pointer there points to.
    LoadCall,
    /// Calls it.
    Call,
}

/// How the passed number becomes a distance that leaves the lower half of the address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spread {
    /// Shifts left.
    Shift(u32),
    /// Multiplies.
    Factor(u64),
}

/// The construction of one bug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// An overflow into slack.
    Overflow {
        write: Write,
        heap: bool,
        /// Bytes of the object and of the slack behind it.
        object: u64,
        slack: u64,
        /// The index or length is `(passed >> shift) & mask`.
        shift: u32,
        mask: u64,
    },
    /// An access beyond everything that can be mapped.
    Wild {
        sink: Sink,
        spread: Spread,
        /// Added to what passed, or demanded of it, depending on `demanded`.
        least: u64,
        demanded: bool,
        /// Bytes of the object that the distance is counted from.
        object: u64,
    },
    /// A store through a null pointer with an offset.
    Null { mask: u64, bits: u32, object: u64 },
}

/// One bug before it is code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Unique in the program.
    pub(crate) id: u32,
    /// The width of the attacker's value as the first function takes it: 32 or 64.
    pub(crate) width: u32,
    pub(crate) gate: Gate,
    /// The gate passes `2^passed_bits` values.
    pub(crate) passed_bits: u32,
    pub(crate) shape: Shape,
    /// Noise: constants of the data's later life.
    pub(crate) salt: [u64; 4],
    /// Whether the use is one function further away.
    pub(crate) deep: bool,
}

impl Plan {
    /// Chooses a plan for a value of `width` bits whose window must contain `goal` and may pass `2^room` values.
    pub(crate) fn choose(
        rng: &mut impl Rng,
        id: u32,
        class: Class,
        width: u32,
        room: u32,
        goal: u64,
        heap: bool,
    ) -> Self {
        let width = if width > 32 { 64 } else { 32 };
        let passed_bits = rng.random_range(LEAST_PASSED..=room.clamp(LEAST_PASSED, 12));
        let shape = match class {
            Class::Unused => Self::overflow(rng, passed_bits, heap),
            Class::Constrained => Self::fault(rng, passed_bits),
        };
        let mask = if width == 64 { u64::MAX } else { u64::from(u32::MAX) };
        let inside = rng.random_range(0..1_u64 << passed_bits);
        let gate = match rng.random_range(0..4) {
            // Wider products take the solver seconds.
            0 if width == 32 => {
                let factor = u64::from(rng.random::<u16>() >> 4) | 1;
                Gate::Product { factor, addend: inside.wrapping_sub(goal.wrapping_mul(factor)) & mask }
            }
            1 => {
                let flip = u64::from(rng.random::<u32>()) & mask;
                Gate::Mask { mask: flip, start: (goal ^ flip).wrapping_sub(inside) & mask }
            }
            _ => Gate::Range { start: goal.wrapping_sub(inside) & mask },
        };
        let mut shape = shape;
        if let Shape::Wild { least, demanded, .. } = &mut shape {
            // A value from the window must meet the demand.
            *demanded &= goal & 0x3fff_ffff >= *least + (1 << passed_bits);
        }
        let salt = [rng.random(), rng.random(), rng.random(), rng.random()];
        Self { id, width, gate, passed_bits, shape, salt, deep: rng.random() }
    }

    fn overflow(rng: &mut impl Rng, passed_bits: u32, heap: bool) -> Shape {
        let write =
            *[Write::Index(8), Write::Index(16), Write::Index(32), Write::Loop, Write::Loop, Write::Fill]
                .choose(rng)
                .unwrap_or(&Write::Loop);
        let mask_bits = if write == Write::Loop { 4 } else { rng.random_range(4..=6) };
        let mask = (1_u64 << mask_bits) - 1;
        let unit = if let Write::Index(bits) = write { u64::from(bits / 8) } else { 0 };
        let reach = mask + unit;
        // At least a quarter of what is reachable lies beyond the object.
        let object = (rng.random_range(reach / 4..=reach * 3 / 4)).max(4) & !3;
        let slack = (reach - object + rng.random_range(0..8)).next_multiple_of(4);
        let shift = rng.random_range(0..=passed_bits.saturating_sub(mask_bits));
        Shape::Overflow { write, heap: heap && rng.random_ratio(1, 3), object, slack, shift, mask }
    }

    fn fault(rng: &mut impl Rng, passed_bits: u32) -> Shape {
        if rng.random_ratio(1, 6) {
            let bits = *[8, 16, 32, 64].choose(rng).unwrap_or(&32);
            let mask = (1_u64 << rng.random_range(5..=passed_bits.min(11))) - 1;
            return Shape::Null { mask, bits, object: rng.random_range(2..12) * 8 };
        }
        let sinks =
            [Sink::Store(8), Sink::Store(32), Sink::Store(64), Sink::LoadStore, Sink::LoadCall, Sink::Call];
        let sink = *sinks.choose(rng).unwrap_or(&Sink::LoadStore);
        // The number stays below 2^31, so the distance stays below 2^63.
        let least_bits = rng.random_range(17..=28);
        let least = (1 << least_bits) + rng.random_range(0..1_u64 << (least_bits - 1));
        let spread = if rng.random() {
            Spread::Shift(rng.random_range((48 - least_bits).max(20)..=62 - 30))
        } else {
            Spread::Factor(rng.random_range(1_u64 << (48 - least_bits)..=1 << 32) | 1)
        };
        Shape::Wild { sink, spread, least, demanded: rng.random(), object: rng.random_range(2..10) * 8 }
    }

    /// Which class the shape belongs to.
    pub(crate) fn class(&self) -> Class {
        match self.shape {
            Shape::Overflow { .. } => Class::Unused,
            Shape::Wild { .. } | Shape::Null { .. } => Class::Constrained,
        }
    }

    /// A word for the shape.
    pub(crate) fn name(&self) -> &'static str {
        match self.shape {
            Shape::Overflow { heap: true, .. } => "heap",
            Shape::Overflow { write: Write::Index(_), .. } => "index",
            Shape::Overflow { write: Write::Loop, .. } => "copy",
            Shape::Overflow { write: Write::Fill, .. } => "fill",
            Shape::Wild { sink: Sink::Store(_), .. } => "store",
            Shape::Wild { sink: Sink::LoadStore, .. } => "pointer",
            Shape::Wild { sink: Sink::LoadCall, .. } => "method",
            Shape::Wild { sink: Sink::Call, .. } => "call",
            Shape::Null { .. } => "null",
        }
    }

    /// Whether the chain is given the value itself rather than what passed the gate.
    pub(crate) fn takes_value(&self) -> bool {
        matches!(self.shape, Shape::Wild { demanded: true, .. })
    }

    /// For the solver: what the chain is given for a value, and the condition on which the gate passes it.
    pub(crate) fn behind_gate(&self, value: &BV) -> (BV, Bool) {
        let fit = |value: &BV, width: u32| {
            let own = value.get_size();
            if own < width { value.zero_ext(width - own) } else { value.extract(width - 1, 0) }
        };
        let value = fit(value, self.width);
        let number = |number| BV::from_u64(number, self.width);
        let moved = match self.gate {
            Gate::Range { start } => &value - number(start),
            Gate::Product { factor, addend } => &value * number(factor) + number(addend),
            Gate::Mask { mask, start } => (&value ^ number(mask)) - number(start),
        };
        let passes = moved.bvult(number(1 << self.passed_bits));
        (fit(if self.takes_value() { &value } else { &moved }, 64), passes)
    }

    /// What the checker is told about slack.
    pub(crate) fn slack(&self) -> Option<(u64, u64)> {
        match self.shape {
            Shape::Overflow { object, slack, .. } => Some((object, slack)),
            _ => None,
        }
    }

    /// The same bug made exploitable, in every way that the shape has: what the checker must refuse.
    #[cfg(test)]
    pub(crate) fn mutants(&self) -> Vec<(&'static str, Self)> {
        let with = |shape| Self { shape, ..self.clone() };
        match self.shape.clone() {
            Shape::Overflow { write, heap, object, slack, shift, mask } => vec![
                ("the mask is too wide", {
                    let mut wide =
                        with(Shape::Overflow { write, heap, object, slack, shift: 0, mask: mask * 16 + 15 });
                    wide.passed_bits = wide.passed_bits.max(11);
                    wide
                }),
                ("the space is missing", {
                    let small = Shape::Overflow { write, heap, object: 4, slack: 0, shift, mask: mask | 63 };
                    let mut small = with(small);
                    small.passed_bits = small.passed_bits.max(shift + 6);
                    small
                }),
            ],
            Shape::Wild { sink, spread, least, demanded, object } => vec![
                (
                    "the least number is missing",
                    with(Shape::Wild { sink, spread, least: 0, demanded: false, object }),
                ),
                ("the distance is too short", {
                    let spread = match spread {
                        Spread::Shift(_) => Spread::Shift(4),
                        Spread::Factor(_) => Spread::Factor(17),
                    };
                    with(Shape::Wild { sink, spread, least, demanded, object })
                }),
            ],
            Shape::Null { bits, object, .. } => vec![("the offset is too far", {
                let mut far = with(Shape::Null { mask: 0x3f_ffff, bits, object });
                far.passed_bits = 22;
                far
            })],
        }
    }
}

/// Writes code into a module.
pub(crate) struct Writer<'ctx, 'a> {
    context: &'ctx Context,
    module: &'a Module<'ctx>,
    builder: Builder<'ctx>,
    word: IntType<'ctx>,
    /// Functions of the bug in hand, first the entry.
    functions: Vec<FunctionValue<'ctx>>,
    host: FunctionValue<'ctx>,
    /// Variables of the program that may be read.
    globals: &'a [GlobalValue<'ctx>],
}

impl<'ctx, 'a> Writer<'ctx, 'a> {
    pub(crate) fn new(
        context: &'ctx Context,
        module: &'a Module<'ctx>,
        globals: &'a [GlobalValue<'ctx>],
        host: FunctionValue<'ctx>,
    ) -> Self {
        let builder = context.create_builder();
        Self { context, module, builder, word: context.i64_type(), functions: Vec::new(), host, globals }
    }

    /// Writes a plan's functions and returns them, first the gate, then the chain.
    ///
    /// # Errors
    /// When LLVM refuses an instruction.
    pub(crate) fn write(mut self, plan: &Plan) -> Result<Vec<FunctionValue<'ctx>>> {
        let width = self.context.custom_width_int_type(plan.width.try_into()?).map_err(anyhow::Error::msg)?;
        let gate = self.function(plan, width)?;
        let inlined = Attribute::get_named_enum_kind_id("alwaysinline");
        gate.add_attribute(AttributeLoc::Function, self.context.create_enum_attribute(inlined, 0));
        let passed = self.gate(plan, gate)?;
        // What is demanded is demanded of the value itself.
        let given = if plan.takes_value() { self.wide(parameter(gate)?)? } else { passed };
        let first = self.next(plan, given)?;
        let argument = parameter(first)?;
        let narrow = |mask: u64| self.builder.build_and(argument, self.word.const_int(mask, false), "");
        let number = match plan.shape {
            Shape::Overflow { shift, mask, .. } => {
                let shift = self.word.const_int(shift.into(), false);
                let moved = self.builder.build_right_shift(argument, shift, false, "")?;
                self.builder.build_and(moved, self.word.const_int(mask, false), "")?
            }
            Shape::Wild { demanded: true, .. } => narrow(0x3fff_ffff)?,
            Shape::Wild { least, .. } => {
                let small = narrow((1 << plan.passed_bits) - 1)?;
                self.builder.build_int_add(small, self.word.const_int(least, false), "")?
            }
            Shape::Null { mask, .. } => narrow(mask)?,
        };
        let (body, number) = if plan.deep {
            let body = self.next(plan, number)?;
            (body, parameter(body)?)
        } else {
            (first, number)
        };
        match plan.shape {
            Shape::Overflow { write, heap, object, slack, .. } => {
                self.overflow(plan, (body, number), write, heap, object, slack)?;
            }
            Shape::Wild { sink, spread, least, demanded, object } => {
                let least = demanded.then(|| self.word.const_int(least, false));
                self.wild(plan, (body, number), sink, spread, least, object)?;
            }
            Shape::Null { bits, object, .. } => self.null(plan, (body, number), bits, object)?,
        }
        Ok(self.functions)
    }

    /// A function of one parameter with the attributes that code generation reads from the host.
    fn function(&mut self, plan: &Plan, parameter: IntType<'ctx>) -> Result<FunctionValue<'ctx>> {
        let name = format!("c.{}.{}", plan.id, self.functions.len());
        let kind = self.context.void_type().fn_type(&[parameter.into()], false);
        let function = self.module.add_function(&name, kind, Some(Linkage::Internal));
        for attribute in self.host.attributes(AttributeLoc::Function) {
            let shapes_code = if attribute.is_string() {
                attribute.get_string_kind_id().to_str().is_ok_and(|key| {
                    [
                        "target-cpu",
                        "target-features",
                        "tune-cpu",
                        "frame-pointer",
                        "stack-protector-buffer-size",
                    ]
                    .contains(&key)
                })
            } else {
                ["uwtable", "ssp", "sspstrong", "sspreq"]
                    .iter()
                    .any(|kind| attribute.get_enum_kind_id() == Attribute::get_named_enum_kind_id(kind))
            };
            if shapes_code {
                function.add_attribute(AttributeLoc::Function, attribute);
            }
        }
        let unwinds = Attribute::get_named_enum_kind_id("nounwind");
        function.add_attribute(AttributeLoc::Function, self.context.create_enum_attribute(unwinds, 0));
        self.functions.push(function);
        let block = self.context.append_basic_block(function, "");
        self.builder.position_at_end(block);
        Ok(function)
    }

    fn wide(&self, value: IntValue<'ctx>) -> Result<IntValue<'ctx>> {
        Ok(match value.get_type().get_bit_width() {
            64 => value,
            _ => self.builder.build_int_z_extend(value, self.word, "")?,
        })
    }

    /// Returns what passed, as 64 bits, in the block where it did.
    fn gate(&self, plan: &Plan, entry: FunctionValue<'ctx>) -> Result<IntValue<'ctx>> {
        let value = parameter(entry)?;
        let kind = value.get_type();
        let number = |number| kind.const_int(number, false);
        let moved = match plan.gate {
            Gate::Range { start } => self.builder.build_int_sub(value, number(start), "")?,
            Gate::Product { factor, addend } => {
                let product = self.builder.build_int_mul(value, number(factor), "")?;
                self.builder.build_int_add(product, number(addend), "")?
            }
            Gate::Mask { mask, start } => {
                let flipped = self.builder.build_xor(value, number(mask), "")?;
                self.builder.build_int_sub(flipped, number(start), "")?
            }
        };
        let limit = number(1 << plan.passed_bits);
        let passes = self.builder.build_int_compare(IntPredicate::ULT, moved, limit, "")?;
        let (go, stop) =
            (self.context.append_basic_block(entry, ""), self.context.append_basic_block(entry, ""));
        self.builder.build_conditional_branch(passes, go, stop)?;
        self.builder.position_at_end(stop);
        self.builder.build_return(None)?;
        self.builder.position_at_end(go);
        self.wide(moved)
    }

    /// Ends the function in hand by a call of the next one, which gets `argument`, and goes on in that.
    fn next(&mut self, plan: &Plan, argument: IntValue<'ctx>) -> Result<FunctionValue<'ctx>> {
        let here = self.builder.get_insert_block().context("no block")?;
        let function = self.function(plan, self.word)?;
        self.builder.position_at_end(here);
        self.builder.build_call(function, &[argument.into()], "")?;
        self.builder.build_return(None)?;
        self.builder.position_at_end(function.get_first_basic_block().context("no block")?);
        Ok(function)
    }

    fn add(&self, pointer: IntValue<'ctx>, distance: IntValue<'ctx>) -> Result<PointerValue<'ctx>> {
        let sum = self.builder.build_int_add(pointer, distance, "")?;
        Ok(self.builder.build_int_to_ptr(sum, self.context.ptr_type(AddressSpace::default()), "")?)
    }

    fn at(&self, pointer: IntValue<'ctx>, distance: u64) -> Result<PointerValue<'ctx>> {
        self.add(pointer, self.word.const_int(distance, false))
    }

    /// An object of the frame: allocated at the function's entry, or it would not be part of the fixed frame.
    fn object(&self, bytes: u64) -> Result<PointerValue<'ctx>> {
        let here = self.builder.get_insert_block().context("no block")?;
        let entry = here.get_parent().and_then(FunctionValue::get_first_basic_block).context("no entry")?;
        match entry.get_first_instruction() {
            Some(first) => self.builder.position_before(&first),
            None => self.builder.position_at_end(entry),
        }
        let kind = self.context.i8_type().array_type(u32::try_from(bytes)?);
        let object = self.builder.build_alloca(kind, "")?;
        self.builder.position_at_end(here);
        let instruction = object.as_instruction().context("an object is allocated")?;
        instruction.set_alignment(4).map_err(|error| anyhow::anyhow!("{error}"))?;
        Ok(object)
    }

    fn sized(&self, value: IntValue<'ctx>, bits: u32) -> Result<IntValue<'ctx>> {
        let kind = self.context.custom_width_int_type(bits.try_into()?).map_err(anyhow::Error::msg)?;
        Ok(if bits < 64 { self.builder.build_int_truncate(value, kind, "")? } else { value })
    }

    fn store(&self, place: PointerValue<'ctx>, value: IntValue<'ctx>) -> Result<()> {
        self.builder
            .build_store(place, value)?
            .set_alignment(1)
            .map_err(|error| anyhow::anyhow!("{error}"))?;
        Ok(())
    }

    fn load(&self, place: PointerValue<'ctx>, kind: IntType<'ctx>) -> Result<IntValue<'ctx>> {
        Ok(self.builder.build_load(kind, place, "")?.into_int_value())
    }

    fn overflow(
        &mut self,
        plan: &Plan,
        (body, amount): (FunctionValue<'ctx>, IntValue<'ctx>),
        write: Write,
        heap: bool,
        object: u64,
        slack: u64,
    ) -> Result<()> {
        let salt = plan.salt[0];
        let small = self.context.i32_type();
        let place = if heap {
            let malloc = self.module.get_function("malloc").context("the program does not allocate")?;
            let size = self.word.const_int(object + slack, false);
            let block = self.builder.build_call(malloc, &[size.into()], "")?;
            let block =
                block.try_as_basic_value().basic().context("malloc returns a pointer")?.into_pointer_value();
            let (go, stop) =
                (self.context.append_basic_block(body, ""), self.context.append_basic_block(body, ""));
            let null = self.builder.build_is_null(block, "")?;
            self.builder.build_conditional_branch(null, stop, go)?;
            self.builder.position_at_end(stop);
            self.builder.build_return(None)?;
            self.builder.position_at_end(go);
            block
        } else {
            self.object(object + slack)?
        };
        let base = self.builder.build_ptr_to_int(place, self.word, "")?;
        // Some of it is set before.
        self.store(self.at(base, 0)?, small.const_int(salt & 0xffff, false))?;
        match write {
            Write::Index(bits) => {
                let value = self.builder.build_xor(amount, self.word.const_int(salt >> 32, false), "")?;
                let value = self.sized(value, bits)?;
                self.store(self.add(base, amount)?, value)?;
            }
            Write::Fill => {
                let value = self.context.i8_type().const_int(salt & 0x7f, false);
                self.builder
                    .build_memset(place, 1, value, amount)
                    .map_err(|error| anyhow::anyhow!("{error}"))?;
            }
            Write::Loop => {
                let before = self.builder.get_insert_block().context("no block")?;
                let (turn, done) =
                    (self.context.append_basic_block(body, ""), self.context.append_basic_block(body, ""));
                let none =
                    self.builder.build_int_compare(IntPredicate::EQ, amount, self.word.const_zero(), "")?;
                self.builder.build_conditional_branch(none, done, turn)?;
                self.builder.position_at_end(turn);
                let index = self.builder.build_phi(self.word, "")?;
                let at = index.as_basic_value().into_int_value();
                let value = self.builder.build_int_mul(at, self.word.const_int(salt >> 56 | 1, false), "")?;
                let value = self.builder.build_xor(value, amount, "")?;
                self.store(self.add(base, at)?, self.sized(value, 8)?)?;
                let next = self.builder.build_int_add(at, self.word.const_int(1, false), "")?;
                let more = self.builder.build_int_compare(IntPredicate::ULT, next, amount, "")?;
                self.builder.build_conditional_branch(more, turn, done)?;
                index.add_incoming(&[(&self.word.const_zero(), before), (&next, turn)]);
                self.builder.position_at_end(done);
            }
        }
        self.life(plan, body, base, object + slack)?;
        if heap {
            let free = self.module.get_function("free").context("the program does not free")?;
            self.builder.build_call(free, &[place.into()], "")?;
        }
        self.builder.build_return(None)?;
        Ok(())
    }

    /// What was written is read, mixed, compared and stored again, all of it in the function's own frame.
    fn life(&self, plan: &Plan, body: FunctionValue<'ctx>, base: IntValue<'ctx>, bytes: u64) -> Result<()> {
        let small = self.context.i32_type();
        let words = bytes / 4;
        let first = self.load(self.at(base, plan.salt[1] % words * 4)?, small)?;
        let second = self.load(self.at(base, plan.salt[2] % words * 4)?, small)?;
        let mixed = match plan.salt[3] % 3 {
            0 => self.builder.build_int_add(first, second, "")?,
            1 => self.builder.build_xor(first, second, "")?,
            _ => self.builder.build_int_sub(first, second, "")?,
        };
        let result = self.object(8)?;
        let place = self.builder.build_ptr_to_int(result, self.word, "")?;
        // It is compared with a variable of the program, as the program's own code does, where there is one.
        let chosen = usize::try_from(plan.salt[0] >> 16)? % self.globals.len().max(1);
        let other = match self.globals.get(chosen).filter(|_| plan.salt[3] >> 20 & 3 != 0) {
            Some(global) => self.load(global.as_pointer_value(), small)?,
            None => small.const_int(plan.salt[3] >> 40, false),
        };
        let predicate = [IntPredicate::ULT, IntPredicate::SGT, IntPredicate::EQ]
            [usize::try_from(plan.salt[3] >> 8 & 0xff)? % 3];
        let holds = self.builder.build_int_compare(predicate, mixed, other, "")?;
        let (go, done) =
            (self.context.append_basic_block(body, ""), self.context.append_basic_block(body, ""));
        self.store(self.at(place, 0)?, mixed)?;
        self.builder.build_conditional_branch(holds, go, done)?;
        self.builder.position_at_end(go);
        let further =
            self.builder.build_int_add(mixed, small.const_int(plan.salt[2] >> 44 | 1, false), "")?;
        self.store(self.at(place, 4)?, further)?;
        self.builder.build_unconditional_branch(done)?;
        self.builder.position_at_end(done);
        Ok(())
    }

    fn wild(
        &mut self,
        plan: &Plan,
        (body, number): (FunctionValue<'ctx>, IntValue<'ctx>),
        sink: Sink,
        spread: Spread,
        demanded: Option<IntValue<'ctx>>,
        object: u64,
    ) -> Result<()> {
        let small = self.context.i32_type();
        if let Some(least) = demanded {
            let (go, stop) =
                (self.context.append_basic_block(body, ""), self.context.append_basic_block(body, ""));
            let fits = self.builder.build_int_compare(IntPredicate::UGE, number, least, "")?;
            self.builder.build_conditional_branch(fits, go, stop)?;
            self.builder.position_at_end(stop);
            self.builder.build_return(None)?;
            self.builder.position_at_end(go);
        }
        let place = self.object(object)?;
        let base = self.builder.build_ptr_to_int(place, self.word, "")?;
        self.store(self.at(base, 0)?, small.const_int(plan.salt[0] & 0xffff, false))?;
        let distance = match spread {
            Spread::Shift(bits) => {
                self.builder.build_left_shift(number, self.word.const_int(bits.into(), false), "")?
            }
            Spread::Factor(factor) => {
                self.builder.build_int_mul(number, self.word.const_int(factor, false), "")?
            }
        };
        let value = self.builder.build_xor(number, self.word.const_int(plan.salt[1] >> 40, false), "")?;
        let target = self.add(base, distance)?;
        let pointer = self.context.ptr_type(AddressSpace::default());
        match sink {
            Sink::Store(bits) => self.store(target, self.sized(value, bits)?)?,
            Sink::LoadStore => {
                let inner = self.builder.build_load(pointer, target, "")?.into_pointer_value();
                self.store(inner, self.sized(value, 32)?)?;
            }
            Sink::LoadCall | Sink::Call => {
                let callee = match sink {
                    Sink::LoadCall => self.builder.build_load(pointer, target, "")?.into_pointer_value(),
                    _ => target,
                };
                let kind = self.context.void_type().fn_type(&[self.word.into()], false);
                let argument: BasicMetadataValueEnum<'ctx> = value.into();
                self.builder.build_indirect_call(kind, callee, &[argument], "")?;
            }
        }
        self.life(plan, body, base, object)?;
        self.builder.build_return(None)?;
        Ok(())
    }

    fn null(
        &mut self,
        plan: &Plan,
        (body, offset): (FunctionValue<'ctx>, IntValue<'ctx>),
        bits: u32,
        object: u64,
    ) -> Result<()> {
        let small = self.context.i32_type();
        // A table of pointers that was never filled in.
        let place = self.object(object)?;
        let base = self.builder.build_ptr_to_int(place, self.word, "")?;
        let slot = self.at(base, plan.salt[0] % (object / 8) * 8)?;
        self.store(slot, self.word.const_zero())?;
        let record = self.load(slot, self.word)?;
        let value = self.builder.build_int_add(offset, self.word.const_int(plan.salt[1] >> 50, false), "")?;
        self.store(self.add(record, offset)?, self.sized(value, bits)?)?;
        self.store(self.at(base, 0)?, small.const_int(plan.salt[2] & 0xffff, false))?;
        self.life(plan, body, base, object)?;
        self.builder.build_return(None)?;
        Ok(())
    }
}

/// The variables that any code of the program may read four bytes of: its own, neither thread-local nor of another
/// program's making.
pub(crate) fn readable<'ctx>(module: &Module<'ctx>) -> Vec<GlobalValue<'ctx>> {
    let layout = TargetData::create(&module.get_data_layout().as_str().to_string_lossy());
    let own = |global: &GlobalValue<'ctx>| {
        let name = global.get_name().to_string_lossy();
        global.get_initializer().is_some()
            && !global.is_thread_local()
            && !name.starts_with("llvm.")
            && global.get_section().is_none()
            && matches!(global.get_linkage(), Linkage::Internal | Linkage::Private | Linkage::External)
            && layout.get_store_size(&global.get_value_type()) >= 4
            && global.get_alignment() >= 4
    };
    module.get_globals().filter(own).collect()
}

fn parameter(function: FunctionValue<'_>) -> Result<IntValue<'_>> {
    Ok(function.get_nth_param(0).context("a function of one parameter")?.into_int_value())
}
