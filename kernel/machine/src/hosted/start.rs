//! A boot block for tests.

use husk_abi::boot::{Boot, Text};

/// An all-zero block with one vCPU and 1 GiB.
pub fn boot() -> &'static Boot {
    use std::sync::OnceLock;
    static BOOT: OnceLock<Boot> = OnceLock::new();
    BOOT.get_or_init(|| Boot { cpus: 1, memory: 1 << 30, ..Boot::default() })
}

pub fn text(_text: Text) -> &'static [u8] {
    &[]
}

/// No texts.
pub fn boot_bytes() -> &'static [u8] {
    &[]
}

/// No root image.
pub fn root_image() -> &'static [u8] {
    &[]
}
