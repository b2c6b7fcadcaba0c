//! Adds dynamic taint to a module: every integer and pointer value gets a label beside it, computed by calls into the
//! run-time part (`taint.c`). Values are numbered in the order of the module, which the injector counts again.

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use inkwell::basic_block::BasicBlock;
use inkwell::builder::Builder;
use inkwell::context::Context;
use inkwell::module::Module;
use inkwell::types::{BasicType as _, BasicTypeEnum, IntType};
use inkwell::values::{
    AnyValue as _, BasicMetadataValueEnum, BasicValue as _, BasicValueEnum, CallSiteValue, FunctionValue,
    InstructionOpcode, InstructionValue, IntValue, Operand, PhiValue, PointerValue,
};

/// The run-time part, as C.
pub(crate) const RUNTIME: &str = include_str!("taint.c");

/// Functions whose calls the linker sends to the run-time part.
pub(crate) const WRAPPED: [&str; 28] = [
    "read",
    "pread",
    "pread64",
    "recv",
    "readv",
    "accept",
    "accept4",
    "fread",
    "fread_unlocked",
    "fgets",
    "getc",
    "fgetc",
    "getc_unlocked",
    "_IO_getc",
    "getline",
    "mmap",
    "mmap64",
    "memcpy",
    "memmove",
    "memset",
    "strcpy",
    "strncpy",
    "strdup",
    "strndup",
    "malloc",
    "calloc",
    "realloc",
    "_exit",
];

/// The values of a function that a profile and an injection may name, in order: integers of 16 to 64 bits.
pub(crate) fn numbered<'ctx>(function: FunctionValue<'ctx>) -> Vec<InstructionValue<'ctx>> {
    let mut found = Vec::new();
    for block in function.get_basic_block_iter() {
        for instruction in block.get_instructions() {
            if let Some(value) = int_result(instruction)
                && (16..=64).contains(&value.get_type().get_bit_width())
                && value.get_type().get_bit_width() % 8 == 0
            {
                found.push(instruction);
            }
        }
    }
    found
}

/// The integer that an instruction computes.
pub(crate) fn int_result(instruction: InstructionValue<'_>) -> Option<IntValue<'_>> {
    match instruction.get_type() {
        inkwell::types::AnyTypeEnum::IntType(_) => instruction.as_any_value_enum().try_into().ok(),
        _ => None,
    }
}

struct Instrument<'ctx, 'a> {
    context: &'ctx Context,
    builder: Builder<'ctx>,
    module: &'a Module<'ctx>,
    label: IntType<'ctx>,
    labels: HashMap<BasicValueEnum<'ctx>, IntValue<'ctx>>,
}

/// Instruments a whole module in place.
///
/// # Errors
/// When LLVM refuses the result.
pub(crate) fn instrument<'ctx>(context: &'ctx Context, module: &Module<'ctx>) -> Result<()> {
    let mut pass = Instrument {
        context,
        builder: context.create_builder(),
        module,
        label: context.i32_type(),
        labels: HashMap::new(),
    };
    let mut number = 0;
    for function in module.get_functions().collect::<Vec<_>>() {
        if function.count_basic_blocks() > 0 {
            pass.function(function, &mut number)?;
        }
    }
    module.verify().map_err(|error| anyhow::anyhow!("instrumentation breaks the module: {error}"))
}

/// Where code that follows an instruction goes: after all phis, if it is one.
pub(crate) fn after(instruction: InstructionValue<'_>) -> Option<InstructionValue<'_>> {
    let mut next = instruction.get_next_instruction()?;
    if instruction.get_opcode() == InstructionOpcode::Phi {
        while next.get_opcode() == InstructionOpcode::Phi {
            next = next.get_next_instruction()?;
        }
    }
    Some(next)
}

impl<'ctx> Instrument<'ctx, '_> {
    fn zero(&self) -> IntValue<'ctx> {
        self.label.const_zero()
    }

    /// The label of a value; constants and what is not followed have none.
    fn of(&self, value: BasicValueEnum<'ctx>) -> IntValue<'ctx> {
        self.labels.get(&value).copied().unwrap_or_else(|| self.zero())
    }

    fn runtime(
        &self,
        name: &str,
        arguments: &[BasicMetadataValueEnum<'ctx>],
        returns: bool,
    ) -> Result<CallSiteValue<'ctx>> {
        let name = format!("__taint_{name}");
        let function = self.module.get_function(&name).unwrap_or_else(|| {
            let types: Vec<_> = arguments
                .iter()
                .map(|argument| match argument {
                    BasicMetadataValueEnum::PointerValue(value) => value.get_type().into(),
                    BasicMetadataValueEnum::IntValue(value) => value.get_type().into(),
                    other => panic!("no argument of the run-time part is {other:?}"),
                })
                .collect();
            let kind = if returns {
                self.label.fn_type(&types, false)
            } else {
                self.context.void_type().fn_type(&types, false)
            };
            self.module.add_function(&name, kind, None)
        });
        Ok(self.builder.build_call(function, arguments, "")?)
    }

    fn label_of_call(call: CallSiteValue<'ctx>) -> Result<IntValue<'ctx>> {
        Ok(call.try_as_basic_value().basic().context("a label is returned")?.into_int_value())
    }

    fn small(&self, value: u64) -> BasicMetadataValueEnum<'ctx> {
        self.label.const_int(value, false).into()
    }

    /// An integer or pointer as 64 bits, to be shown to the run-time part.
    fn word(&self, value: BasicValueEnum<'ctx>) -> Result<IntValue<'ctx>> {
        let wide = self.context.i64_type();
        Ok(match value {
            BasicValueEnum::IntValue(value) if value.get_type().get_bit_width() < 64 => {
                self.builder.build_int_z_extend(value, wide, "")?
            }
            BasicValueEnum::IntValue(value) if value.get_type().get_bit_width() == 64 => value,
            BasicValueEnum::PointerValue(value) => self.builder.build_ptr_to_int(value, wide, "")?,
            _ => wide.const_zero(),
        })
    }

    fn function(&mut self, function: FunctionValue<'ctx>, number: &mut u64) -> Result<()> {
        self.labels.clear();
        let numbered: HashMap<InstructionValue<'ctx>, u64> = numbered(function)
            .into_iter()
            .map(|instruction| {
                *number += 1;
                (instruction, *number - 1)
            })
            .collect();
        let blocks: Vec<(BasicBlock<'ctx>, Vec<InstructionValue<'ctx>>)> = function
            .get_basic_block_iter()
            .map(|block| (block, block.get_instructions().collect()))
            .collect();

        // Parameters' labels first, before anything that may call.
        let entry = blocks[0].1.first().context("an empty function")?;
        self.builder.position_before(entry);
        for (index, parameter) in function.get_param_iter().enumerate().take(64) {
            if followed(parameter.get_type()).is_some() {
                let call = self.runtime("argument", &[self.small(index as u64)], true)?;
                self.labels.insert(parameter, Self::label_of_call(call)?);
            }
        }
        // Phis need labels before their operands have some.
        let mut phis: Vec<(PhiValue<'ctx>, PhiValue<'ctx>)> = Vec::new();
        for (_, instructions) in &blocks {
            for &instruction in instructions.iter().filter(|one| one.get_opcode() == InstructionOpcode::Phi) {
                let phi: PhiValue<'ctx> =
                    instruction.try_into().map_err(|()| anyhow::anyhow!("a phi is no phi"))?;
                if followed(phi.as_basic_value().get_type()).is_some() {
                    self.builder.position_before(&instruction);
                    let twin = self.builder.build_phi(self.label, "")?;
                    self.labels.insert(phi.as_basic_value(), twin.as_basic_value().into_int_value());
                    phis.push((phi, twin));
                }
            }
        }
        // Reverse post-order is not needed: in what clang writes, a value's block comes before those it dominates,
        // but for loops, whose values pass through phis. A value met too early has no label.
        for (_, instructions) in &blocks {
            for &instruction in instructions {
                self.instruction(instruction, numbered.get(&instruction).copied())?;
            }
        }
        for (phi, twin) in phis {
            for (value, block) in phi.get_incomings() {
                twin.add_incoming(&[(&self.of(value), block)]);
            }
        }
        Ok(())
    }

    fn instruction(&mut self, instruction: InstructionValue<'ctx>, number: Option<u64>) -> Result<()> {
        let operand = |index: u32| match instruction.get_operand(index) {
            Some(Operand::Value(value)) => Some(value),
            _ => None,
        };
        let opcode = instruction.get_opcode();
        let next = after(instruction);
        let at_next = |builder: &Builder<'ctx>| {
            if let Some(next) = &next {
                builder.position_before(next);
            }
        };
        let mut label = None;
        match opcode {
            InstructionOpcode::Phi => label = self.labels.get(&result(instruction)?).copied(),
            InstructionOpcode::Load => {
                if let (Some(size), Some(pointer)) =
                    (followed(result(instruction)?.get_type()), pointer(operand(0)))
                {
                    at_next(&self.builder);
                    let call = self.runtime("load", &[pointer.into(), self.small(size)], true)?;
                    label = Some(Self::label_of_call(call)?);
                }
            }
            InstructionOpcode::Store => {
                if let (Some(value), Some(pointer)) = (operand(0), pointer(operand(1))) {
                    self.store(instruction, value, pointer)?;
                }
            }
            InstructionOpcode::Br | InstructionOpcode::Switch => {
                if let Some(condition) = operand(0) {
                    let condition = self.of(condition);
                    if condition != self.zero() {
                        self.builder.position_before(&instruction);
                        self.runtime("branch", &[condition.into()], false)?;
                    }
                }
            }
            InstructionOpcode::Return => {
                self.builder.position_before(&instruction);
                let value = operand(0).map_or(self.zero(), |value| self.of(value));
                self.runtime("set_return", &[value.into()], false)?;
            }
            InstructionOpcode::Call | InstructionOpcode::Invoke => {
                label = self.call(instruction, next)?;
            }
            InstructionOpcode::Select => {
                if let (Some(BasicValueEnum::IntValue(condition)), Some(a), Some(b)) =
                    (operand(0), operand(1), operand(2))
                    && followed(a.get_type()).is_some()
                {
                    let (a, b) = (self.of(a), self.of(b));
                    let own = self.of(condition.into());
                    at_next(&self.builder);
                    if own != self.zero() {
                        self.runtime("branch", &[own.into()], false)?;
                    }
                    label = Some(self.builder.build_select(condition, a, b, "")?.into_int_value());
                }
            }
            InstructionOpcode::Freeze
            | InstructionOpcode::PtrToInt
            | InstructionOpcode::IntToPtr
            | InstructionOpcode::BitCast => {
                if let Some(value) = operand(0)
                    && followed(value.get_type()).is_some()
                    && followed(result(instruction)?.get_type()) == followed(value.get_type())
                {
                    label = Some(self.of(value));
                }
            }
            _ => {
                if let Some(code) = operation(opcode)
                    && let Ok(whole) = result(instruction)
                    && let Some(a) = operand(0)
                    && (matches!(a, BasicValueEnum::IntValue(_)) || opcode == InstructionOpcode::ICmp)
                    && (whole.is_int_value())
                {
                    let b = operand(1);
                    let (label_a, label_b) = (self.of(a), b.map_or(self.zero(), |b| self.of(b)));
                    if label_a != self.zero() || label_b != self.zero() {
                        at_next(&self.builder);
                        let from = match a {
                            BasicValueEnum::IntValue(value) => value.get_type().get_bit_width(),
                            _ => 64,
                        };
                        let width = whole.into_int_value().get_type().get_bit_width();
                        let word_a = self.word(a)?;
                        let word_b = match b {
                            Some(b) => self.word(b)?,
                            None => self.context.i64_type().const_zero(),
                        };
                        let arguments = [
                            self.small(code),
                            self.small(width.into()),
                            self.small(from.into()),
                            label_a.into(),
                            label_b.into(),
                            word_a.into(),
                            word_b.into(),
                        ];
                        label = Some(Self::label_of_call(self.runtime("operation", &arguments, true)?)?);
                    }
                }
            }
        }
        if let Some(label) = label {
            self.labels.insert(result(instruction)?, label);
        }
        if let (Some(number), Some(next)) = (number, next) {
            // Behind whatever was added for it.
            self.builder.position_before(&next);
            let value = result(instruction)?;
            let word = self.word(value)?;
            let arguments = [self.small(number), self.of(value).into(), word.into()];
            self.runtime("value", &arguments, false)?;
        }
        Ok(())
    }

    fn store(
        &self,
        at: InstructionValue<'ctx>,
        value: BasicValueEnum<'ctx>,
        pointer: PointerValue<'ctx>,
    ) -> Result<()> {
        self.builder.position_before(&at);
        if let Some(size) = followed(value.get_type()) {
            let label = self.of(value);
            self.runtime("store", &[pointer.into(), self.small(size), label.into()], false)?;
            return Ok(());
        }
        let Some(size) = value.get_type().size_of() else { return Ok(()) };
        let size = self.builder.build_int_cast(size, self.context.i64_type(), "")?;
        // A wide value that was only loaded is a copy.
        let source =
            value.as_instruction_value().filter(|source| source.get_opcode() == InstructionOpcode::Load);
        let from = source.and_then(|source| match source.get_operand(0) {
            Some(Operand::Value(BasicValueEnum::PointerValue(from))) => Some(from),
            _ => None,
        });
        match from {
            Some(from) => self.runtime("copy", &[pointer.into(), from.into(), size.into()], false)?,
            None => self.runtime("clear", &[pointer.into(), size.into()], false)?,
        };
        Ok(())
    }

    fn call(
        &self,
        instruction: InstructionValue<'ctx>,
        next: Option<InstructionValue<'ctx>>,
    ) -> Result<Option<IntValue<'ctx>>> {
        let call: CallSiteValue<'ctx> =
            instruction.try_into().map_err(|()| anyhow::anyhow!("a call is no call"))?;
        let name =
            call.get_called_fn_value().map(|function| function.get_name().to_string_lossy().into_owned());
        let name = name.unwrap_or_default();
        let value = |index: u32| match instruction.get_operand(index) {
            Some(Operand::Value(value)) => Some(value),
            _ => None,
        };
        if let Some(intrinsic) = name.strip_prefix("llvm.") {
            self.builder.position_before(&instruction);
            let length = || match value(2) {
                Some(length) => self.word(length),
                None => Ok(self.context.i64_type().const_zero()),
            };
            if intrinsic.starts_with("memcpy") || intrinsic.starts_with("memmove") {
                if let (Some(to), Some(from)) = (pointer(value(0)), pointer(value(1))) {
                    self.runtime("copy", &[to.into(), from.into(), length()?.into()], false)?;
                }
            } else if intrinsic.starts_with("memset")
                && let Some(to) = pointer(value(0))
            {
                self.runtime("clear", &[to.into(), length()?.into()], false)?;
            }
            if intrinsic.starts_with("bswap.")
                && let Some(BasicValueEnum::IntValue(swapped)) = value(0)
            {
                let width = self.small(swapped.get_type().get_bit_width().into());
                let call = self.runtime("swap", &[self.of(swapped.into()).into(), width], true)?;
                return Ok(Some(Self::label_of_call(call)?));
            }
            return Ok(None);
        }
        // Nothing may come between such a call and the return behind it.
        let must_tail = instruction.get_tail_call_kind()
            == Ok(inkwell::values::LLVMTailCallKind::LLVMTailCallKindMustTail);
        self.builder.position_before(&instruction);
        for index in 0..call.count_arguments().min(64) {
            if let Some(argument) = value(index)
                && followed(argument.get_type()).is_some()
            {
                self.runtime("set_argument", &[self.small(index.into()), self.of(argument).into()], false)?;
            }
        }
        self.runtime("set_return", &[self.zero().into()], false)?;
        let returns = result(instruction).is_ok_and(|value| followed(value.get_type()).is_some());
        match next {
            Some(next) if returns && !must_tail => {
                self.builder.position_before(&next);
                Ok(Some(Self::label_of_call(self.runtime("return", &[], true)?)?))
            }
            _ => Ok(None),
        }
    }
}

fn result(instruction: InstructionValue<'_>) -> Result<BasicValueEnum<'_>> {
    instruction
        .as_any_value_enum()
        .try_into()
        .map_err(|()| anyhow::anyhow!("an instruction without a basic value"))
}

fn pointer(value: Option<BasicValueEnum<'_>>) -> Option<PointerValue<'_>> {
    match value {
        Some(BasicValueEnum::PointerValue(pointer)) => Some(pointer),
        _ => None,
    }
}

/// The size in bytes of a type whose values have labels; a truth value counts as one byte.
fn followed(kind: BasicTypeEnum<'_>) -> Option<u64> {
    match kind {
        BasicTypeEnum::IntType(kind) => match kind.get_bit_width() {
            width @ (8 | 16 | 24 | 32 | 40 | 48 | 56 | 64) => Some(u64::from(width / 8)),
            1 => Some(1),
            _ => None,
        },
        BasicTypeEnum::PointerType(_) => Some(8),
        _ => None,
    }
}

/// The run-time part's number of an operation.
fn operation(opcode: InstructionOpcode) -> Option<u64> {
    use InstructionOpcode as Op;
    Some(match opcode {
        Op::Add => 2,
        Op::Sub => 3,
        Op::Mul => 4,
        Op::And => 5,
        Op::Or => 6,
        Op::Xor => 7,
        Op::Shl => 8,
        Op::LShr => 9,
        Op::AShr => 10,
        Op::ZExt => 11,
        Op::SExt => 12,
        Op::Trunc => 13,
        // Comparisons, divisions: of the input, but not to be computed back.
        Op::ICmp | Op::UDiv | Op::SDiv | Op::URem | Op::SRem => 16,
        _ => return None,
    })
}
