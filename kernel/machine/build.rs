//! Links the vDSO, which `vdso.rs` embeds, and the program of process 1 that `init.rs` embeds.

use std::env;
use std::mem::offset_of;
use std::path::PathBuf;
use std::process::Command;

use husk_abi::boot::Boot;
use husk_abi::layout::BOOT;
use linux_raw_sys::general as raw;

/// See `vdso.rs`.
const ENTER_PLACE: u64 = u64::from_le_bytes(*b"huskentr");
/// Offset from GS of the vCPU's number in its host process, asserted in `image/cpu.rs`.
const CPU_SLOT: usize = 60;

fn bits(clocks: &[u32]) -> u64 {
    clocks.iter().map(|clock| 1 << clock).sum()
}

fn run(cc: &mut Command) {
    let status = cc.status().unwrap_or_else(|error| panic!("{cc:?}: {error}"));
    assert!(status.success(), "{cc:?}: {status}");
}

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let mut cc = Command::new("cc");
    cc.args(["-static", "-nostdlib", "-s", "-Wl,--build-id=none", "-Wl,-z,noseparate-code", "-o"])
        .arg(out.join("init"));
    run(cc.arg("init/init.S"));
    let monotonic =
        [raw::CLOCK_MONOTONIC, raw::CLOCK_MONOTONIC_RAW, raw::CLOCK_MONOTONIC_COARSE, raw::CLOCK_BOOTTIME];
    let realtime = [raw::CLOCK_REALTIME, raw::CLOCK_REALTIME_COARSE, raw::CLOCK_TAI];
    let mut cc = Command::new("cc");
    cc.args([
        "-shared",
        "-nostdlib",
        "-Wl,-soname,linux-vdso.so.1",
        "-Wl,--hash-style=both",
        "-Wl,--eh-frame-hdr",
    ]);
    cc.args([
        "-Wl,--build-id=none",
        "-Wl,-z,max-page-size=4096",
        "-Wl,-Bsymbolic",
        "-s",
        "-Wl,-T,vdso/vdso.ld",
    ]);
    for (name, value) in [
        ("BOOT", BOOT as u64),
        ("BOOT_TSC", offset_of!(Boot, tsc) as u64),
        ("BOOT_TSC_MULT", offset_of!(Boot, tsc_mult) as u64),
        ("BOOT_MONOTONIC", offset_of!(Boot, monotonic) as u64),
        ("BOOT_REALTIME", offset_of!(Boot, realtime) as u64),
        ("MONOTONIC_CLOCKS", bits(&monotonic)),
        ("REALTIME_CLOCKS", bits(&realtime)),
        ("CPU_SLOT", CPU_SLOT as u64),
        ("NR_clock_gettime", u64::from(raw::__NR_clock_gettime)),
        ("ENTER_PLACE", ENTER_PLACE),
    ] {
        cc.arg(format!("-D{name}={value}"));
    }
    cc.arg("-o").arg(out.join("vdso.so")).arg("vdso/vdso.S");
    run(&mut cc);
    println!("cargo:rerun-if-changed=vdso");
    println!("cargo:rerun-if-changed=init");
    println!("cargo:rerun-if-changed=build.rs");
}
