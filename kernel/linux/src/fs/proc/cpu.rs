//! /proc/cpuinfo, and lists of CPUs as /proc and /sys write them.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::arch::x86_64::{__cpuid, __cpuid_count};
use core::fmt::Write;
use husk_machine::start;

/// CPUs in a mask as `0-2,5`.
pub(in crate::fs) fn list_of(mask: u64) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut cpu = 0;
    while cpu < 64 {
        if mask >> cpu & 1 == 0 {
            cpu += 1;
            continue;
        }
        let first = cpu;
        while cpu < 64 && mask >> cpu & 1 != 0 {
            cpu += 1;
        }
        parts.push(if cpu - first == 1 { first.to_string() } else { format!("{first}-{}", cpu - 1) });
    }
    parts.join(",")
}

/// How many CPUs the guest has.
pub(in crate::fs) fn count() -> u32 {
    start::boot().cpus.clamp(1, 64)
}

/// A mask of all CPUs.
pub(in crate::fs) fn all() -> u64 {
    u64::MAX >> (64 - count())
}

#[derive(Clone, Copy)]
enum Register {
    A,
    B,
    C,
    D,
}

/// Names of the feature bits that programs look for: leaf, subleaf, register, and bit with name.
type Features = (u32, u32, Register, &'static [(u32, &'static str)]);

const FEATURES: [Features; 8] = [
    (
        1,
        0,
        Register::D,
        &[
            (0, "fpu"),
            (1, "vme"),
            (2, "de"),
            (3, "pse"),
            (4, "tsc"),
            (5, "msr"),
            (6, "pae"),
            (7, "mce"),
            (8, "cx8"),
            (9, "apic"),
            (11, "sep"),
            (12, "mtrr"),
            (13, "pge"),
            (14, "mca"),
            (15, "cmov"),
            (16, "pat"),
            (17, "pse36"),
            (19, "clflush"),
            (23, "mmx"),
            (24, "fxsr"),
            (25, "sse"),
            (26, "sse2"),
            (27, "ss"),
            (28, "ht"),
        ],
    ),
    (
        0x8000_0001,
        0,
        Register::D,
        &[
            (11, "syscall"),
            (20, "nx"),
            (22, "mmxext"),
            (25, "fxsr_opt"),
            (26, "pdpe1gb"),
            (27, "rdtscp"),
            (29, "lm"),
        ],
    ),
    (
        1,
        0,
        Register::C,
        &[
            (0, "pni"),
            (1, "pclmulqdq"),
            (3, "monitor"),
            (5, "vmx"),
            (9, "ssse3"),
            (12, "fma"),
            (13, "cx16"),
            (17, "pcid"),
            (19, "sse4_1"),
            (20, "sse4_2"),
            (21, "x2apic"),
            (22, "movbe"),
            (23, "popcnt"),
            (24, "tsc_deadline_timer"),
            (25, "aes"),
            (26, "xsave"),
            (28, "avx"),
            (29, "f16c"),
            (30, "rdrand"),
            (31, "hypervisor"),
        ],
    ),
    (
        0x8000_0001,
        0,
        Register::C,
        &[
            (0, "lahf_lm"),
            (1, "cmp_legacy"),
            (4, "cr8_legacy"),
            (5, "abm"),
            (6, "sse4a"),
            (7, "misalignsse"),
            (8, "3dnowprefetch"),
            (11, "xop"),
            (16, "fma4"),
            (22, "topoext"),
        ],
    ),
    (
        7,
        0,
        Register::B,
        &[
            (0, "fsgsbase"),
            (3, "bmi1"),
            (4, "hle"),
            (5, "avx2"),
            (7, "smep"),
            (8, "bmi2"),
            (9, "erms"),
            (10, "invpcid"),
            (11, "rtm"),
            (16, "avx512f"),
            (17, "avx512dq"),
            (18, "rdseed"),
            (19, "adx"),
            (20, "smap"),
            (21, "avx512ifma"),
            (23, "clflushopt"),
            (24, "clwb"),
            (28, "avx512cd"),
            (29, "sha_ni"),
            (30, "avx512bw"),
            (31, "avx512vl"),
        ],
    ),
    (0xd, 1, Register::A, &[(0, "xsaveopt"), (1, "xsavec"), (2, "xgetbv1"), (3, "xsaves")]),
    (
        7,
        0,
        Register::C,
        &[
            (1, "avx512vbmi"),
            (2, "umip"),
            (3, "pku"),
            (6, "avx512_vbmi2"),
            (8, "gfni"),
            (9, "vaes"),
            (10, "vpclmulqdq"),
            (11, "avx512_vnni"),
            (12, "avx512_bitalg"),
            (14, "avx512_vpopcntdq"),
            (22, "rdpid"),
            (27, "movdiri"),
            (28, "movdir64b"),
        ],
    ),
    (
        7,
        0,
        Register::D,
        &[
            (4, "fsrm"),
            (14, "serialize"),
            (22, "amx_bf16"),
            (23, "avx512_fp16"),
            (24, "amx_tile"),
            (25, "amx_int8"),
        ],
    ),
];

fn highest_leaf(leaf: u32) -> u32 {
    __cpuid(leaf & 0x8000_0000).eax
}

fn flags() -> String {
    let mut names: Vec<&str> = Vec::new();
    for (leaf, subleaf, register, bits) in FEATURES {
        if leaf > highest_leaf(leaf) {
            continue;
        }
        let found = __cpuid_count(leaf, subleaf);
        let word = match register {
            Register::A => found.eax,
            Register::B => found.ebx,
            Register::C => found.ecx,
            Register::D => found.edx,
        };
        names.extend(bits.iter().filter(|(bit, _)| word >> bit & 1 != 0).map(|(_, name)| *name));
    }
    names.join(" ")
}

fn text(words: &[u32]) -> String {
    let bytes: Vec<u8> =
        words.iter().flat_map(|word| word.to_le_bytes()).take_while(|byte| *byte != 0).collect();
    String::from_utf8_lossy(&bytes).trim().to_string()
}

fn model_name() -> String {
    if highest_leaf(0x8000_0000) < 0x8000_0004 {
        return String::from("unknown");
    }
    let words: Vec<u32> = (0x8000_0002..=0x8000_0004)
        .flat_map(|leaf| {
            let found = __cpuid(leaf);
            [found.eax, found.ebx, found.ecx, found.edx]
        })
        .collect();
    text(&words)
}

/// The tick rate of the time-stamp counter, which is the processor's nominal one, in kHz.
pub(in crate::fs) fn khz() -> u64 {
    // Nanoseconds per 2^32 ticks.
    (1_000_000_u64 << 32).checked_div(start::boot().tsc_mult).unwrap_or(1_000_000)
}

/// /proc/cpuinfo.
pub(super) fn info() -> String {
    let vendor = __cpuid(0);
    let vendor = text(&[vendor.ebx, vendor.edx, vendor.ecx]);
    let found = __cpuid(1);
    let signature = found.eax;
    let (base_family, base_model) = (signature >> 8 & 0xf, signature >> 4 & 0xf);
    let family = if base_family == 15 { base_family + (signature >> 20 & 0xff) } else { base_family };
    let model = if base_family == 6 || base_family == 15 {
        base_model + (signature >> 12 & 0xf0)
    } else {
        base_model
    };
    let (stepping, line) = (signature & 0xf, (found.ebx >> 8 & 0xff) * 8);
    let (name, flags, khz, count) = (model_name(), flags(), khz(), count());
    let (mhz, fraction) = (khz / 1000, khz % 1000);
    let (physical_bits, virtual_bits) = match highest_leaf(0x8000_0000) {
        0x8000_0008.. => {
            let sizes = __cpuid(0x8000_0008).eax;
            (sizes & 0xff, sizes >> 8 & 0xff)
        }
        _ => (36, 48),
    };
    let mut out = String::new();
    for cpu in 0..count {
        let _ = write!(
            out,
            "processor\t: {cpu}\nvendor_id\t: {vendor}\ncpu family\t: {family}\nmodel\t\t: {model}\n\
             model name\t: {name}\nstepping\t: {stepping}\ncpu MHz\t\t: {mhz}.{fraction:03}\n\
             physical id\t: 0\nsiblings\t: {count}\ncore id\t\t: {cpu}\ncpu cores\t: {count}\n\
             apicid\t\t: {cpu}\ninitial apicid\t: {cpu}\nfpu\t\t: yes\nfpu_exception\t: yes\ncpuid level\t: {}\n\
             wp\t\t: yes\nflags\t\t: {flags}\nbugs\t\t:\nbogomips\t: {}.{:02}\nclflush size\t: {line}\n\
             cache_alignment\t: {line}\n\
             address sizes\t: {physical_bits} bits physical, {virtual_bits} bits virtual\npower management:\n\n",
            highest_leaf(0),
            khz * 2 / 1000,
            khz * 2 % 1000 / 10,
        );
    }
    out
}
