//! `husk trace`: each system call as a line on stderr, in strace(1)'s manner.

use super::table::{self, Row};
use crate::errno::{Errno, SysResult};
use crate::mem::user;
use crate::task::Task;
use alloc::string::String;
use core::fmt::Write;
use husk_abi::boot::FLAG_TRACE;
use husk_machine::{report, start};

/// Whether this guest is traced.
pub fn enabled() -> bool {
    start::boot().flags & FLAG_TRACE != 0
}

const STRING_MAX: usize = 64;

fn write_text(out: &mut String, bytes: &[u8]) {
    out.push('"');
    for byte in bytes.iter().take(STRING_MAX) {
        for escaped in core::ascii::escape_default(*byte) {
            out.push(char::from(escaped));
        }
    }
    out.push('"');
    if bytes.len() > STRING_MAX {
        out.push_str("...");
    }
}

fn write_argument(out: &mut String, name: &str, kind: &str, value: usize) {
    match (name, kind) {
        ("path" | "old_path" | "new_path" | "target" | "name", _) => match user::read_path(value) {
            Ok(path) => write_text(out, &path),
            Err(_) => {
                let _ = write!(out, "{value:#x}");
            }
        },
        ("dirfd" | "old_dirfd" | "new_dirfd", _) if value as i32 == linux_raw_sys::general::AT_FDCWD => {
            out.push_str("AT_FDCWD");
        }
        (_, "i32") => {
            let _ = write!(out, "{}", value as i32);
        }
        (_, "i64" | "isize") => {
            let _ = write!(out, "{}", value as i64);
        }
        (_, "u32") if !name.contains("flags") && !name.contains("mode") && value < 4096 => {
            let _ = write!(out, "{}", value as u32);
        }
        (_, "usize") if name == "count" || name == "len" || name == "size" => {
            let _ = write!(out, "{value}");
        }
        (_, "u32") => {
            let _ = write!(out, "{:#x}", value as u32);
        }
        _ => {
            let _ = write!(out, "{value:#x}");
        }
    }
}

/// The call as text, before it runs: it may change what its arguments point to.
pub fn describe(t: &Task, number: u64, args: &[usize; 6]) -> String {
    let mut out = String::new();
    let _ = write!(out, "[{}] ", t.tid());
    match table::row(number) {
        Some(Row { name, args: declared, .. }) => {
            out.push_str(name);
            out.push('(');
            for (index, (name, kind)) in declared.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_argument(&mut out, name, kind, args[index]);
            }
            out.push(')');
        }
        None => {
            let _ = write!(out, "unknown call {number}({:#x}, {:#x}, {:#x})", args[0], args[1], args[2]);
        }
    }
    out
}

/// Prints the line, with the result.
pub fn print(line: &str, result: SysResult) {
    match result {
        Ok(value) if value > 0xffff => report::print(format_args!("{line} = {value:#x}\n")),
        Ok(value) => report::print(format_args!("{line} = {value}\n")),
        Err(Errno::ENOSYS) => report::print(format_args!("{line} = ? ENOSYS (not served)\n")),
        Err(error) => report::print(format_args!("{line} = -1 {error:?}\n")),
    }
}
