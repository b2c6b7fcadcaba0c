//! Functions that get no bug, and why. A certificate covers what a bug does; where control can arrive at the middle of
//! the surrounding code by other ways than calls and branches, it is not relied on.

use std::collections::{BTreeMap, HashMap, HashSet};

use inkwell::module::Module;
use inkwell::values::{
    AnyValue as _, AnyValueEnum, BasicValue as _, BasicValueEnum, FunctionValue, InstructionOpcode,
    InstructionValue, Operand,
};

/// Reasons by function name; functions that are not in it may be used.
pub(crate) fn refusals(module: &Module<'_>) -> BTreeMap<String, &'static str> {
    let mut callees: HashMap<String, HashSet<String>> = HashMap::new();
    let mut result = BTreeMap::new();
    let names = |function: FunctionValue<'_>| function.get_name().to_string_lossy().into_owned();
    let mut outside: HashSet<String> = HashSet::new();
    for function in module.get_functions() {
        let own = names(function);
        for block in function.get_basic_block_iter() {
            for instruction in block.get_instructions() {
                let opcode = instruction.get_opcode();
                if opcode == InstructionOpcode::IndirectBr {
                    result.insert(own.clone(), "has a computed goto");
                }
                if !matches!(opcode, InstructionOpcode::Call | InstructionOpcode::Invoke) {
                    continue;
                }
                let callee = instruction
                    .get_num_operands()
                    .checked_sub(1)
                    .and_then(|last| instruction.get_operand(last));
                if let Some(Operand::Value(BasicValueEnum::PointerValue(callee))) = callee
                    && let Ok(name) = callee.get_name().to_str()
                    && let Some(callee) = module.get_function(name)
                {
                    if callee.count_basic_blocks() == 0 {
                        outside.insert(name.to_owned());
                    }
                    callees.entry(own.clone()).or_default().insert(name.to_owned());
                    if matches!(name, "setjmp" | "_setjmp" | "sigsetjmp" | "__sigsetjmp" | "vfork") {
                        result.insert(own.clone(), "calls setjmp or vfork");
                    }
                }
            }
        }
    }
    let handles_signals =
        ["signal", "sigaction", "bsd_signal", "sigset"].iter().any(|name| outside.contains(*name));
    let has_threads = ["pthread_create", "thrd_create", "clone"].iter().any(|name| outside.contains(*name));
    // Which function becomes a handler or a thread is only known when the program runs: every function of that type
    // whose address is used counts, and what it calls.
    for function in module.get_functions().filter(|function| function.count_basic_blocks() > 0) {
        let kind = function.get_type();
        let parameters = kind.get_param_types();
        let returns = kind.get_return_type();
        let is_int = |index: usize| parameters.get(index).is_some_and(|one| one.is_int_type());
        let is_pointer = |index: usize| parameters.get(index).is_some_and(|one| one.is_pointer_type());
        let like_handler = returns.is_none()
            && is_int(0)
            && (parameters.len() == 1 || (parameters.len() == 3 && is_pointer(1)));
        let like_thread =
            returns.is_some_and(|one| one.is_pointer_type()) && parameters.len() == 1 && is_pointer(0);
        let reason = match (handles_signals && like_handler, has_threads && like_thread) {
            (true, _) => "may run as a signal handler",
            (_, true) => "may run as a thread",
            _ => continue,
        };
        if !address_used(function) {
            continue;
        }
        let mut pending = vec![names(function)];
        while let Some(name) = pending.pop() {
            if result.insert(name.clone(), reason).is_none() {
                pending.extend(callees.get(&name).into_iter().flatten().cloned());
            }
        }
    }
    result
}

/// Whether a function is used otherwise than by being called.
fn address_used(function: FunctionValue<'_>) -> bool {
    let own = function.as_global_value().as_pointer_value();
    let mut next = own.get_first_use();
    while let Some(one) = next {
        next = one.get_next_use();
        let called = instruction(one.get_user().as_any_value_enum()).is_some_and(|user| {
            // The callee is the last operand; before it the address is an argument.
            let arguments = user.get_num_operands().saturating_sub(1);
            matches!(user.get_opcode(), InstructionOpcode::Call | InstructionOpcode::Invoke)
                && !(0..arguments).any(|index| {
                    let argument = user.get_operand(index);
                    matches!(argument, Some(Operand::Value(BasicValueEnum::PointerValue(value))) if value == own)
                })
        });
        if !called {
            return true;
        }
    }
    false
}

/// The instruction behind a value; one with a result appears as that.
fn instruction(value: AnyValueEnum<'_>) -> Option<InstructionValue<'_>> {
    match value {
        AnyValueEnum::InstructionValue(value) => Some(value),
        AnyValueEnum::IntValue(value) => value.as_instruction(),
        AnyValueEnum::PointerValue(value) => value.as_instruction(),
        AnyValueEnum::FloatValue(value) => value.as_instruction(),
        AnyValueEnum::StructValue(value) => value.as_instruction(),
        AnyValueEnum::VectorValue(value) => value.as_instruction(),
        _ => None,
    }
}
