//! A thread that never runs.

use crate::context::Regs;
use crate::page::OutOfMemory;

/// See the image's.
pub struct Thread {
    regs: Regs,
}

impl Thread {
    pub fn new() -> Result<Self, OutOfMemory> {
        Ok(Self { regs: crate::context::regs() })
    }

    pub fn set_start(&mut self, result: u64, rsp: Option<u64>, _fs_base: Option<u64>) {
        self.regs.rax = result;
        self.regs.rsp = rsp.unwrap_or(self.regs.rsp);
    }

    pub fn regs(&self) -> Regs {
        self.regs
    }
}
