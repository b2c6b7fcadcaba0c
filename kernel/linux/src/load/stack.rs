//! The first stack of a program: strings, auxiliary vector, pointers, as the x86-64 ABI lays them out.

use crate::errno::Errno;
use crate::mem::user;
use alloc::vec::Vec;

/// Most bytes of one argument or environment string (MAX_ARG_STRLEN, execve(2)).
pub const STRING_MAX: usize = 128 << 10;

/// Fills a stack downwards from its top.
pub struct Stack {
    at: usize,
}

/// Addresses of what a program and /proc/PID look for on the stack.
pub struct Placed {
    pub stack_pointer: usize,
    pub args: (usize, usize),
    pub env: (usize, usize),
}

impl Stack {
    pub fn new(top: usize) -> Self {
        Self { at: top }
    }

    /// Puts bytes; their address.
    pub fn push(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        self.at -= bytes.len();
        user::copy_out(self.at, bytes)?;
        Ok(self.at)
    }

    /// Puts strings so that the first has the lowest address; the addresses, and the range they take.
    fn push_strings(&mut self, strings: &[Vec<u8>]) -> Result<(Vec<usize>, (usize, usize)), Errno> {
        let mut block = Vec::with_capacity(strings.iter().map(|string| string.len() + 1).sum());
        let mut offsets = Vec::with_capacity(strings.len());
        for string in strings {
            offsets.push(block.len());
            block.extend_from_slice(string);
            block.push(0);
        }
        let end = self.at;
        let start = self.push(&block)?;
        Ok((offsets.into_iter().map(|offset| start + offset).collect(), (start, end)))
    }

    /// Puts strings, auxiliary vector and pointers. `auxv` may refer to what was pushed before.
    pub fn finish(mut self, args: &[Vec<u8>], env: &[Vec<u8>], auxv: &[u64]) -> Result<Placed, Errno> {
        let (env_pointers, env_range) = self.push_strings(env)?;
        let (arg_pointers, arg_range) = self.push_strings(args)?;
        let mut words: Vec<u64> = Vec::with_capacity(args.len() + env.len() + auxv.len() + 3);
        words.push(args.len() as u64);
        words.extend(arg_pointers.iter().map(|pointer| *pointer as u64));
        words.push(0);
        words.extend(env_pointers.iter().map(|pointer| *pointer as u64));
        words.push(0);
        words.extend_from_slice(auxv);
        let stack_pointer = (self.at - words.len() * 8) & !15;
        user::copy_out(stack_pointer, husk_machine::pod::slice_bytes(&words))?;
        Ok(Placed { stack_pointer, args: arg_range, env: env_range })
    }
}
