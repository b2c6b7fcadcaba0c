//! Builds the kernel image and lets `husk` embed it.
//!
//! The kernel is compiled by a cargo of its own, with the flag that makes it a kernel image and a target folder of its
//! own, linked by the system's `ld` at its fixed address, and split by `objcopy` into what is mapped from the executable
//! (text and read-only data) and what is copied into the arena (data).

use sha2::{Digest, Sha256};
use std::env;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

fn run(command: &mut Command) {
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}

fn main() {
    let var = |name: &str| PathBuf::from(env::var_os(name).unwrap_or_else(|| panic!("cargo sets {name}")));
    let root = var("CARGO_MANIFEST_DIR").join("../..");
    let out = var("OUT_DIR");
    let kernel = build_kernel(&root, &out);
    for (section, file) in [(".text", "kernel.text"), (".data", "kernel.data")] {
        let mut objcopy = Command::new("objcopy");
        objcopy.args(["-O", "binary", "-j", section]).arg(&kernel).arg(out.join(file));
        run(&mut objcopy);
    }
    let mut id = Sha256::new();
    for file in ["kernel.text", "kernel.data"] {
        id.update(std::fs::read(out.join(file)).unwrap_or_else(|error| panic!("{file}: {error}")));
    }
    let id = id.finalize();
    std::fs::write(out.join("kernel.id"), id).unwrap_or_else(|error| panic!("kernel.id: {error}"));
    println!("cargo:rustc-env=HUSK_KERNEL_CONTENT={:016x}", content(&kernel));
    let script = var("CARGO_MANIFEST_DIR").join("husk.ld");
    let script = script.display();
    for argument in
        ["-nostartfiles", "-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none", "-Wl,-z,norelro"]
    {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
    println!("cargo:rustc-link-arg-bins=-Wl,-T,{script}");
    for part in ["abi", "format", "freestanding", "kernel", "tools/husk", "Cargo.toml", "Cargo.lock"] {
        println!("cargo:rerun-if-changed={}", root.join(part).display());
    }
}

/// Differs for different kernels, so that a compiler that keeps what it compiled before (CARGO_INCREMENTAL) sees that the
/// files embedded by the assembler have changed.
fn content(kernel: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    std::fs::read(kernel).unwrap_or_else(|error| panic!("{}: {error}", kernel.display())).hash(&mut hasher);
    hasher.finish()
}

fn build_kernel(root: &Path, out: &Path) -> PathBuf {
    let target = out.join("kernel-target");
    let flags = [
        "--cfg",
        "husk_image",
        "-C",
        "relocation-model=pic",
        "-C",
        "panic=abort",
        "-C",
        "force-frame-pointers=yes",
    ];
    let mut cargo = Command::new(env::var_os("CARGO").expect("cargo sets CARGO"));
    cargo
        .args(["build", "--profile", "kernel", "--lib", "--manifest-path"])
        .arg(root.join("kernel/image/Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .env_remove("RUSTFLAGS")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("CARGO_BUILD_TARGET_DIR");
    run(&mut cargo);
    let image = out.join("kernel.elf");
    let mut ld = Command::new("ld");
    ld.args(["-static", "-nostdlib", "--gc-sections", "--build-id=none", "-z", "noexecstack", "-T"])
        .arg(root.join("kernel/image/kernel.ld"))
        .arg("-o")
        .arg(&image)
        .arg(target.join("kernel/libhusk_kernel_image.a"));
    run(&mut ld);
    image
}
