//! Everything but the fast path: `husk-cli`, an ordinary program beside this one.

use crate::start::Process;
use core::ffi::CStr;
use husk_tender::host;

/// Bytes of a path.
const PATH_MAX: usize = 4096;

/// The path of a program in the folder of this executable.
pub(crate) fn beside<'a>(name: &[u8], buffer: &'a mut [u8; PATH_MAX]) -> Option<&'a CStr> {
    let args = [
        c"/proc/self/exe".as_ptr() as usize,
        buffer.as_mut_ptr() as usize,
        PATH_MAX - name.len() - 1,
        0,
        0,
        0,
    ];
    // SAFETY: the path is a C string, and the buffer has room for the given length.
    let len = unsafe { host::call(syscalls::Sysno::readlink, args) }.ok()?;
    let folder = buffer[..len].iter().rposition(|byte| *byte == b'/')? + 1;
    buffer.get_mut(folder..folder + name.len())?.copy_from_slice(name);
    *buffer.get_mut(folder + name.len())? = 0;
    CStr::from_bytes_until_nul(buffer).ok()
}

/// Becomes `husk-cli` with the same arguments.
pub(crate) fn exec(process: &Process) -> ! {
    exec_with(process, process.args.as_ptr())
}

/// Becomes `husk-cli` with the same arguments and, behind the verb, `--plan FD`.
pub(crate) fn exec_with_plan(process: &Process, fd: i32) -> ! {
    const ROOM: usize = 8192;
    static mut ARGUMENTS: [*const u8; ROOM] = [core::ptr::null(); ROOM];
    let place = &raw mut ARGUMENTS;
    // SAFETY: called once, by the only thread.
    let arguments = unsafe { &mut *place };
    let mut digits = crate::path::PathBuffer::new();
    let _ = core::fmt::write(&mut digits, format_args!("{fd}"));
    // The last one stays NULL.
    if process.args.len() + 2 >= ROOM {
        crate::run::fail(&[b"run: too many arguments"])
    }
    let (front, rest) = process.args.split_at(2);
    arguments[..2].copy_from_slice(front);
    arguments[2..4].copy_from_slice(&[c"--plan".as_ptr().cast(), digits.as_c_str().as_ptr().cast()]);
    arguments[4..4 + rest.len()].copy_from_slice(rest);
    exec_with(process, arguments.as_ptr())
}

/// `arguments` ends with NULL.
fn exec_with(process: &Process, arguments: *const *const u8) -> ! {
    let mut buffer = [0; PATH_MAX];
    if let Some(path) = beside(b"husk-cli", &mut buffer) {
        // SAFETY: arguments and environment are arrays of C strings that end with NULL.
        let _ = unsafe { host::execve(path, arguments, process.env.as_ptr()) };
    }
    crate::run::say(&[
        b"the program husk-cli is not beside this one; usage: husk run [options] [--] PROGRAM [ARGS]",
    ]);
    host::exit(125)
}
