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
use crate::{build, instrument, refuse};

const HOST: &str = "
target triple = \"x86_64-pc-linux-gnu\"
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
        salt: [1, 2, 3, 4],
        deep: false,
    }
}

/// Builds one program with all these plans and asks the checker about each.
fn judge(plans: &[Plan]) -> Vec<Result<Certificate, Refusal>> {
    let context = Context::create();
    let module = module(&context, HOST);
    let host = module.get_function("main").unwrap();
    let value = instrument::numbered(host)[0];
    for plan in plans {
        let functions = Writer::new(&context, &module, host).write(plan).unwrap();
        crate::inject::call(&context, value, functions[0], plan.width).unwrap();
    }
    module.verify().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| -> PathBuf { scratch.path().join(name) };
    assert!(module.write_bitcode_to_path(at("p.bc")));
    husk_chaff::recipe::generate_code("clang", &["-O2".into()], &at("p.bc"), &at("p.o")).unwrap();
    let mut link = Command::new(toolchain::program("clang").unwrap());
    toolchain::run(link.arg(at("p.o")).arg("-o").arg(at("p"))).unwrap();
    let image = Image::parse(&fs::read(at("p")).unwrap()).unwrap();
    let claim = |plan: &Plan| {
        let code: Vec<(u64, u64)> =
            (0..).map_while(|index| image.symbol(&format!("c.{}.{index}", plan.id))).collect();
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
    let functions = Writer::new(&context, &module, host).write(&plan()).unwrap();
    crate::inject::call(&context, instrument::numbered(host)[0], functions[0], 32).unwrap();
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
