//! The root image of a guest: found, or made by `husk-cli`.

use crate::args::Options;
use crate::start::Process;
use core::ffi::CStr;
use husk_tender::host;

/// An open root image and the program in it.
pub struct Root {
    pub fd: i32,
    pub len: u64,
    pub program: &'static CStr,
}

/// Opens the image of `--rootfs`.
pub fn open(process: &Process, options: &Options) -> Root {
    // SAFETY: the host gives C strings.
    let program = unsafe { CStr::from_ptr(process.args[options.program].cast()) };
    let Some(path) = options.rootfs else {
        crate::run::say(&[b"run: not packed"]);
        host::exit(125)
    };
    match host::open_read(path).and_then(|fd| host::stat_fd(fd).map(|stat| (fd, stat))) {
        Ok((fd, stat)) => Root { fd, len: stat.st_size as u64, program },
        Err(error) => {
            let name = error.name().unwrap_or("error").as_bytes();
            crate::run::say(&[b"run: ", path.to_bytes(), b": the root image cannot be opened: ", name]);
            host::exit(125)
        }
    }
}

/// The host's name.
pub fn hostname(buffer: &mut [u8; 65]) -> &CStr {
    let mut names = [[0_u8; 65]; 6];
    // SAFETY: `struct new_utsname` is six arrays of 65 bytes.
    let _ = unsafe { host::call(syscalls::Sysno::uname, [names.as_mut_ptr() as usize, 0, 0, 0, 0, 0]) };
    *buffer = names[1];
    CStr::from_bytes_until_nul(buffer).unwrap_or(c"husk")
}

/// CPUs that this process may use.
pub fn host_cpus() -> u32 {
    let mut mask = [0_u64; 16];
    let args = [0, size_of_val(&mask), mask.as_mut_ptr() as usize, 0, 0, 0];
    // SAFETY: the mask has room for the given length.
    let _ = unsafe { host::call(syscalls::Sysno::sched_getaffinity, args) };
    mask.iter().map(|word| word.count_ones()).sum::<u32>().clamp(1, 64)
}
