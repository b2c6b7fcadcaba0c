//! `--env-file`: variables from files, as Docker reads them. A line is NAME=VALUE, taken as it is, or NAME, which stands for
//! the caller's variable; blank lines and those that begin with # are none.

use crate::args::Options;
use crate::run::{fail, say};
use core::ffi::CStr;
use husk_tender::host;

/// Most bytes of all the files together.
const SIZE_MAX: usize = 64 << 10;

/// Reads the files and puts their variables before those of `--env`.
pub(crate) fn load(options: &mut Options) {
    if options.env_files.as_slice().is_empty() {
        return;
    }
    static mut KEPT: [u8; SIZE_MAX] = [0; SIZE_MAX];
    let place = &raw mut KEPT;
    // SAFETY: called once, by the only thread. What is not written stays zeros.
    let mut room: &'static mut [u8] = unsafe { &mut *place };
    let mut at = 0;
    for index in 0..options.env_files.as_slice().len() {
        // SAFETY: the host gives C strings.
        let path = unsafe { CStr::from_ptr(options.env_files.as_slice()[index].cast()) };
        let len = read(path, room);
        let (text, rest) = room.split_at_mut(len + 1);
        room = rest;
        // Each line becomes a C string.
        text.iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = 0);
        let text: &'static [u8] = text;
        for line in text.split_inclusive(|byte| *byte == 0) {
            let line = &line[line.iter().take_while(|byte| byte.is_ascii_whitespace()).count()..];
            let Ok(entry) = CStr::from_bytes_with_nul(line) else { continue };
            let bytes = entry.to_bytes();
            if bytes.is_empty() || bytes.starts_with(b"#") {
                continue;
            }
            let name = bytes.split(|byte| *byte == b'=').next().unwrap_or_default();
            if name.is_empty() || name.iter().any(u8::is_ascii_whitespace) {
                fail(&[
                    b"run: --env-file: ",
                    path.to_bytes(),
                    b": ",
                    bytes,
                    b": a line is NAME=VALUE or NAME",
                ]);
            }
            if options.env.insert(at, entry).is_err() {
                fail(&[b"run: --env-file: ", path.to_bytes(), b": too many variables"]);
            }
            at += 1;
        }
    }
}

/// Reads a file into `room`, with a zero left behind it.
fn read(path: &CStr, room: &mut [u8]) -> usize {
    let fd = match host::open_read(path) {
        Ok(fd) => fd,
        Err(error) => {
            let why = error.description().or(error.name()).unwrap_or("unknown error");
            say(&[b"run: --env-file: ", path.to_bytes(), b": ", why.as_bytes()]);
            host::exit(125)
        }
    };
    let mut len = 0;
    loop {
        match host::read(fd, &mut room[len..]) {
            Ok(0) => break,
            Ok(count) => len += count,
            Err(error) => {
                let why = error.description().or(error.name()).unwrap_or("unknown error");
                fail(&[b"run: --env-file: ", path.to_bytes(), b": ", why.as_bytes()])
            }
        }
    }
    host::close(fd);
    if len >= room.len() {
        fail(&[b"run: --env-file: ", path.to_bytes(), b": more than 64 KiB of variables"]);
    }
    len
}
