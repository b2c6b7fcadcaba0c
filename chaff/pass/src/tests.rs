//! The pass on small modules: what it writes, what the checker accepts of it, and that it refuses every mutant.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use husk_chaff::manifest::Class;
use husk_chaff::toolchain;
use husk_chaff_certify::{self as certify, Certificate, Claim, Image, Refusal};
use inkwell::context::Context;
use inkwell::memory_buffer::MemoryBuffer;
use inkwell::module::Module;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use crate::shapes::{Gate, Plan, Shape, Write, Writer};
use crate::{build, instrument, refuse, shapes};

const HOST: &str = "
target triple = \"x86_64-pc-linux-gnu\"
@level = global i32 3, align 4
declare ptr @malloc(i64)
declare void @free(ptr)
define i32 @main(i32 %0, ptr %1) {
  %3 = add i32 %0, 7
  ret i32 %3
}
";

fn module<'ctx>(context: &'ctx Context, text: &str) -> Module<'ctx> {
    let buffer = MemoryBuffer::create_from_memory_range_copy(text.as_bytes(), "test");
    context.create_module_from_ir(buffer).unwrap()
}

fn plan() -> Plan {
    Plan {
        id: 5,
        width: 32,
        gate: Gate::Range { start: 1000 },
        passed_bits: 8,
        shape: Shape::Overflow {
            write: Write::Index(8),
            heap: false,
            object: 16,
            slack: 16,
            shift: 3,
            mask: 31,
        },
        salt: [1, 2, 3, 1 << 20 | 4],
        deep: false,
    }
}

/// Builds one program with all these plans. Where `pairs` is set, two more functions for each pair of neighbours run one
/// bug's chain and then the other's, with one argument each that may be anything.
fn program(plans: &[Plan], pairs: bool) -> Image {
    let context = Context::create();
    let module = module(&context, HOST);
    let host = module.get_function("main").unwrap();
    let value = instrument::numbered(host)[0];
    let globals = shapes::readable(&module);
    let mut chains = Vec::new();
    for plan in plans {
        let functions = Writer::new(&context, &module, &globals, host).write(plan).unwrap();
        crate::inject::call(&context, value, functions[0], plan.width).unwrap();
        chains.push(functions[1]);
    }
    if pairs {
        let (builder, word) = (context.create_builder(), context.i64_type());
        for (pair, plan) in chains.windows(2).zip(plans) {
            let kind = context.void_type().fn_type(&[word.into(), word.into()], false);
            let function = module.add_function(&format!("pair.{}", plan.id), kind, None);
            builder.position_at_end(context.append_basic_block(function, ""));
            for (index, chain) in (0..).zip(pair) {
                builder.build_call(*chain, &[function.get_nth_param(index).unwrap().into()], "").unwrap();
            }
            builder.build_return(None).unwrap();
        }
    }
    link(&module)
}

fn link(module: &Module<'_>) -> Image {
    build::inline(module).unwrap();
    module.verify().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| -> PathBuf { scratch.path().join(name) };
    assert!(module.write_bitcode_to_path(at("p.bc")));
    husk_chaff::recipe::generate_code("clang", &["-O2".into()], &at("p.bc"), &at("p.o")).unwrap();
    let mut link = Command::new(toolchain::program("clang").unwrap());
    toolchain::run(link.arg(at("p.o")).arg("-o").arg(at("p"))).unwrap();
    Image::parse(&fs::read(at("p")).unwrap()).unwrap()
}

/// The functions of a bug's chain, first the one that the program enters.
fn chain(image: &Image, plan: &Plan) -> Vec<(u64, u64)> {
    (1..).map_while(|index| image.symbol(&format!("c.{}.{index}", plan.id))).collect()
}

/// Builds one program with all these plans and asks the checker about each.
fn judge(plans: &[Plan]) -> Vec<Result<Certificate, Refusal>> {
    let image = program(plans, false);
    let claim = |plan: &Plan| {
        let code = chain(&image, plan);
        Claim { entry: code[0].0, code, slack: plan.slack() }
    };
    plans.iter().map(|plan| certify::certify(&image, &claim(plan))).collect()
}

fn plans(class: Class, count: u32) -> Vec<Plan> {
    let mut random = ChaCha8Rng::seed_from_u64(11);
    (0..count).map(|id| Plan::choose(&mut random, id, class, 32, 12, 0x7654_3210, true)).collect()
}

#[test]
fn the_pass_writes_the_code_on_record() {
    let context = Context::create();
    let module = module(&context, HOST);
    let host = module.get_function("main").unwrap();
    let globals = shapes::readable(&module);
    let functions = Writer::new(&context, &module, &globals, host).write(&plan()).unwrap();
    crate::inject::call(&context, instrument::numbered(host)[0], functions[0], 32).unwrap();
    build::inline(&module).unwrap();
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/index.ll");
    let written = module.print_to_string().to_string();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(golden, &written).unwrap();
    }
    assert_eq!(written, fs::read_to_string(golden).unwrap(), "UPDATE_GOLDEN=1 writes {golden} again");
}

#[test]
fn instrumentation_writes_the_code_on_record() {
    let context = Context::create();
    let module = module(&context, HOST);
    instrument::instrument(&context, &module).unwrap();
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/taint.ll");
    let written = module.print_to_string().to_string();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(golden, &written).unwrap();
    }
    assert_eq!(written, fs::read_to_string(golden).unwrap(), "UPDATE_GOLDEN=1 writes {golden} again");
}

#[test]
fn bugs_are_certified_and_their_mutants_refused() {
    let mut mutants = 0;
    for class in [Class::Unused, Class::Constrained] {
        let plans = plans(class, 18);
        let verdicts = judge(&plans);
        let certified: Vec<&Plan> = plans
            .iter()
            .zip(&verdicts)
            .filter(|(_, verdict)| verdict.is_ok())
            .map(|(plan, _)| plan)
            .collect();
        assert!(certified.len() >= 14, "{class:?}: {verdicts:?}");
        let (names, mut broken): (Vec<&str>, Vec<Plan>) =
            certified.iter().flat_map(|plan| plan.mutants()).unzip();
        for (id, plan) in (0..).zip(&mut broken) {
            plan.id = id;
        }
        for ((verdict, plan), name) in judge(&broken).iter().zip(&broken).zip(names) {
            assert!(verdict.is_err(), "accepted although {name}: {plan:?}");
            mutants += 1;
        }
    }
    assert!(mutants >= 50, "only {mutants} mutants");
}

#[test]
fn an_overflow_is_certified_with_its_extent() {
    let verdicts = judge(&[plan()]);
    let certificate = verdicts[0].as_ref().unwrap();
    assert_eq!(certificate.overwrites.len(), 1);
    let overwrite = certificate.overwrites[0];
    assert_eq!(overwrite.high - overwrite.low, 32, "an index of five bits, one byte each");
    assert!(overwrite.high <= 0, "below the return address");
    assert!(certificate.crashes.is_empty());
}

#[test]
fn a_claim_of_less_slack_than_is_written_is_refused() {
    let mut small = plan();
    small.shape =
        Shape::Overflow { write: Write::Index(8), heap: false, object: 16, slack: 12, shift: 3, mask: 31 };
    assert!(judge(&[small])[0].is_err());
}

/// Bugs of one run share the stack and the heap, one after the other. A certificate takes memory to be anything, so it
/// covers what another bug leaves there; here pairs are followed in one go, and nothing of it may be refused.
#[test]
fn two_bugs_in_one_run_are_as_harmless_as_one() {
    let certified = |class| -> Vec<Plan> {
        let plans = plans(class, 8);
        let verdicts = judge(&plans);
        plans.into_iter().zip(verdicts).filter(|(_, verdict)| verdict.is_ok()).map(|(plan, _)| plan).collect()
    };
    let (unused, constrained) = (certified(Class::Unused), certified(Class::Constrained));
    let mut mixed: Vec<Plan> =
        unused.iter().zip(&constrained).flat_map(|(a, b)| [a.clone(), b.clone()]).collect();
    for (id, plan) in (0..).zip(&mut mixed) {
        plan.id = id;
    }
    let image = program(&mixed, true);
    let mut pairs = 0;
    for pair in mixed.windows(2) {
        let entry = image.symbol(&format!("pair.{}", pair[0].id)).unwrap();
        let code = [vec![entry], chain(&image, &pair[0]), chain(&image, &pair[1])].concat();
        let certificate = certify::certify(&image, &Claim { entry: entry.0, code, slack: None });
        assert!(certificate.is_ok(), "{certificate:?}: {pair:?}");
        // Where the first one does not always fault, the second one is followed after it.
        if pair[0].class() == Class::Unused {
            let code = [vec![entry], chain(&image, &pair[0])].concat();
            let alone = certify::certify(&image, &Claim { entry: entry.0, code, slack: None });
            let refusal = alone.unwrap_err();
            assert!(refusal.0.contains("outside of the bug's own code"), "{refusal:?}");
        }
        pairs += 1;
    }
    assert!(pairs >= 10, "only {pairs} pairs");
}

/// What touches another bug's object, or relies on what another one left, has no certificate.
#[test]
fn a_bug_that_needs_another_ones_memory_is_refused() {
    let context = Context::create();
    let module = module(
        &context,
        "
target triple = \"x86_64-pc-linux-gnu\"
define i32 @main(i32 %0, ptr %1) {
  ret i32 %0
}
define void @given(ptr %0) noinline {
  store i8 1, ptr %0, align 1
  ret void
}
define void @left(i64 %0) noinline {
  %2 = alloca [32 x i8], align 4
  %3 = getelementptr i8, ptr %2, i64 8
  %4 = load volatile i64, ptr %3, align 4
  %5 = getelementptr i8, ptr %2, i64 %4
  store volatile i8 1, ptr %5, align 1
  ret void
}
define void @bounded(i64 %0) noinline {
  %2 = alloca [32 x i8], align 4
  %3 = getelementptr i8, ptr %2, i64 8
  %4 = load volatile i64, ptr %3, align 4
  %5 = and i64 %4, 31
  %6 = getelementptr i8, ptr %2, i64 %5
  store volatile i8 1, ptr %6, align 1
  ret void
}
",
    );
    let image = link(&module);
    let judge = |name: &str| {
        let code = image.symbol(name).unwrap();
        certify::certify(&image, &Claim { entry: code.0, code: vec![code], slack: Some((16, 16)) })
    };
    for name in ["given", "left"] {
        let refusal = judge(name).unwrap_err();
        assert!(refusal.0.contains("not the bug's own"), "{name}: {refusal:?}");
    }
    assert!(judge("bounded").is_ok(), "{:?}", judge("bounded"));
}

#[test]
fn handlers_setjmp_and_threads_get_no_bug() {
    let context = Context::create();
    let module = module(
        &context,
        "
declare ptr @signal(i32, ptr)
declare i32 @_setjmp(ptr)
declare i32 @pthread_create(ptr, ptr, ptr, ptr)
@state = global [200 x i8] zeroinitializer
define void @deep(i32 %0) { ret void }
define void @handler(i32 %0) {
  call void @deep(i32 %0)
  ret void
}
define ptr @worker(ptr %0) { ret ptr %0 }
define void @plain(i32 %0) { ret void }
define i32 @jumps() {
  %1 = call i32 @_setjmp(ptr @state)
  ret i32 %1
}
define i32 @main() {
  %1 = call ptr @signal(i32 1, ptr @handler)
  %2 = call i32 @pthread_create(ptr null, ptr null, ptr @worker, ptr null)
  call void @plain(i32 1)
  ret i32 0
}
",
    );
    let refusals = refuse::refusals(&module);
    assert_eq!(refusals.get("handler"), Some(&"may run as a signal handler"));
    assert_eq!(refusals.get("deep"), Some(&"may run as a signal handler"));
    assert_eq!(refusals.get("worker"), Some(&"may run as a thread"));
    assert_eq!(refusals.get("jumps"), Some(&"calls setjmp or vfork"));
    assert_eq!(refusals.get("plain"), None);
    assert_eq!(refusals.get("main"), None);
}

#[test]
fn other_bitcode_is_refused_by_name() {
    let context = Context::create();
    let error = build::parse(&context, "x.o", b"not bitcode at all").unwrap_err().to_string();
    assert!(error.contains("x.o is not LLVM bitcode"), "{error}");
    // The bitcode of a module that claims a far newer epoch.
    let error = build::parse(&context, "y.o", b"BC\xc0\xde\xff\xff\xff\xff").unwrap_err().to_string();
    assert!(error.contains("y.o") && error.contains("clang 19"), "{error}");
}
