//! The root image of a guest: found by its plan in the user's cache, or packed by `husk-pack`, which then leaves a plan.

use crate::args::Options;
use crate::image::{self, Container};
use crate::path::PathBuffer;
use crate::start::Process;
use crate::{cli, run};
use core::ffi::CStr;
use husk_plan::{FILE_NAME_LEN, Plan, Request, SIZE_MAX, Stamp, chooses_by_directory, device};
use husk_tender::host;
use linux_raw_sys::general as raw;
use syscalls::{Errno, Sysno};

/// An open root image and the program in it.
pub(crate) struct Root {
    pub(crate) fd: i32,
    /// Where it begins in its file.
    pub(crate) offset: u64,
    pub(crate) len: u64,
    /// Bytes of each file, where there are several: their descriptors follow on `fd`.
    pub(crate) files: &'static [u64],
    pub(crate) program: &'static CStr,
    /// Where the image is.
    pub(crate) path: &'static CStr,
    /// How the program is started, where the root is a container image's.
    pub(crate) container: Option<Container>,
}

const PATH_MAX: usize = 4096;

/// What outlives this module's functions: the fast path has no heap.
struct Kept {
    program: PathBuffer,
    image: PathBuffer,
    plan: [u8; SIZE_MAX],
}

static mut KEPT: Kept = Kept { program: PathBuffer::new(), image: PathBuffer::new(), plan: [0; SIZE_MAX] };

/// Finds or packs what the options ask for.
pub(crate) fn open(process: &Process, options: &Options) -> Root {
    // SAFETY: the host gives C strings.
    let named = unsafe { CStr::from_ptr(options.args[0].cast()) };
    if image::is_meant(process, options, named) {
        return image::open(process, options, named);
    }
    let kept_at = &raw mut KEPT;
    // SAFETY: called once, by the only thread.
    let kept = unsafe { &mut *kept_at };
    if let Some(path) = options.rootfs {
        return open_rootfs(process, options, path, named, kept);
    }
    if let Some(root) = find_packed(process, options, named, kept) {
        return root;
    }
    // SAFETY: as above; `find_packed` let go of what it had.
    let kept = unsafe { &mut *kept_at };
    let mut arguments = [core::ptr::null::<u8>(); 2 * crate::args::LIST_MAX + 3];
    let mut count = 1;
    for with in options.with.as_slice() {
        arguments[count] = c"--with".as_ptr().cast();
        arguments[count + 1] = *with;
        count += 2;
    }
    arguments[count] = named.as_ptr().cast();
    let len = run_for_output(process, b"husk-pack", &mut arguments, &mut kept.plan);
    let mut lines = kept.plan[..len].split(|byte| *byte == b'\n');
    kept.image = PathBuffer::of(&[lines.next().unwrap_or_default()]);
    kept.program = PathBuffer::of(&[lines.next().unwrap_or_default()]);
    if host::stat(kept.image.as_c_str()).is_err() {
        // Somebody has emptied the cache just now.
        run_for_output(process, b"husk-pack", &mut arguments, &mut kept.plan);
    }
    open_image(kept.image.as_c_str(), kept.program.as_c_str())
}

/// `--rootfs`: an image, or a directory that becomes one.
fn open_rootfs(
    process: &Process,
    options: &Options,
    path: &'static CStr,
    named: &'static CStr,
    kept: &'static mut Kept,
) -> Root {
    let is_directory = host::stat(path).is_ok_and(|stat| stat.st_mode & raw::S_IFMT == raw::S_IFDIR);
    let devices = options.root_devices.as_slice();
    if !devices.is_empty() {
        // SAFETY: the list holds C strings.
        let devices = devices.iter().map(|device| unsafe { CStr::from_ptr(device.cast()) });
        let found = image::open_files(core::iter::once(path).chain(devices), named, path);
        return found.unwrap_or_else(|| {
            run::say(&[b"run: ", path.to_bytes(), b": the root image or a device of it cannot be opened"]);
            host::exit(125)
        });
    }
    if !is_directory {
        return open_image(path, named);
    }
    let mut arguments = [core::ptr::null::<u8>(); 4];
    arguments[1] = c"--rootfs".as_ptr().cast();
    arguments[2] = path.as_ptr().cast();
    let len = run_for_output(process, b"husk-pack", &mut arguments, &mut kept.plan);
    let line = kept.plan[..len].split(|byte| *byte == b'\n').next().unwrap_or_default();
    kept.image = PathBuffer::of(&[line]);
    open_image(kept.image.as_c_str(), named)
}

fn open_image(path: &'static CStr, program: &'static CStr) -> Root {
    match host::open_read(path).and_then(|fd| host::stat_fd(fd).map(|stat| (fd, stat))) {
        Ok((fd, stat)) => {
            Root { fd, offset: 0, len: stat.st_size as u64, files: &[], program, path, container: None }
        }
        Err(error) => {
            let name = error.name().unwrap_or("error").as_bytes();
            run::say(&[b"run: ", path.to_bytes(), b": the root image cannot be opened: ", name]);
            host::exit(125)
        }
    }
}

/// Runs a program beside this one and returns how much it wrote to its stdout. Ends as it ended when it failed.
pub(crate) fn run_for_output(
    process: &Process,
    name: &[u8],
    arguments: &mut [*const u8],
    out: &mut [u8],
) -> usize {
    let mut buffer = [0; PATH_MAX];
    let Some(path) = cli::beside(name, &mut buffer) else {
        run::say(&[b"run: the program ", name, b" is not beside this one"]);
        host::exit(125)
    };
    arguments[0] = path.as_ptr().cast();
    let mut ends = [0_i32; 2];
    // SAFETY: pipe2 writes two descriptors; this process has one thread; the arrays end with NULL.
    let child = unsafe {
        if host::call(Sysno::pipe2, [ends.as_mut_ptr() as usize, raw::O_CLOEXEC as usize, 0, 0, 0, 0])
            .is_err()
        {
            host::exit(125)
        }
        match host::fork(0) {
            Ok(0) => {
                let _ = host::call(Sysno::dup2, [ends[1] as usize, 1, 0, 0, 0, 0]);
                let _ = host::execve(path, arguments.as_ptr(), process.env.as_ptr());
                run::say(&[b"run: ", path.to_bytes(), b" cannot be executed"]);
                host::exit(125)
            }
            Ok(child) => child,
            Err(_) => host::exit(125),
        }
    };
    host::close(ends[1]);
    let mut len = 0;
    while let Ok(count @ 1..) = host::read(ends[0], &mut out[len..]) {
        len += count;
    }
    host::close(ends[0]);
    match host::wait(child) {
        Ok(Some(0)) => len,
        Ok(Some(status)) if status & 0x7f == 0 => host::exit((status >> 8) & 0xff),
        _ => host::exit(125),
    }
}

fn is_executable(path: &CStr) -> bool {
    // SAFETY: the path is a C string.
    let allowed =
        unsafe { host::call(Sysno::access, [path.as_ptr() as usize, raw::X_OK as usize, 0, 0, 0, 0]) };
    allowed.is_ok() && host::stat(path).is_ok_and(|stat| stat.st_mode & raw::S_IFMT == raw::S_IFREG)
}

pub(crate) fn working_directory() -> PathBuffer {
    let mut path = PathBuffer::new();
    // SAFETY: the buffer has room for the given length.
    let done = unsafe { host::call(Sysno::getcwd, [path.bytes.as_mut_ptr() as usize, PATH_MAX, 0, 0, 0, 0]) };
    path.len = done.map_or(0, |len| len - 1);
    path
}

/// The absolute path that `husk-pack` would find for a program.
pub(crate) fn find(process: &Process, named: &[u8], directory: &PathBuffer) -> Option<PathBuffer> {
    if named.starts_with(b"/") {
        return Some(PathBuffer::of(&[named]));
    }
    if named.contains(&b'/') {
        return Some(PathBuffer::of(&[directory.as_bytes(), b"/", named]));
    }
    let path = process.variable(b"PATH")?.to_bytes();
    path.split(|byte| *byte == b':').find_map(|folder| {
        let found = PathBuffer::of(&[folder, b"/", named]);
        (folder.starts_with(b"/") && is_executable(found.as_c_str())).then_some(found)
    })
}

/// The stamp of a file, following links; `None` when there is no such file.
pub(crate) fn stamp(path: &CStr) -> Result<Option<Stamp>, Errno> {
    // SAFETY: all-zero is a valid `statx`, which the call overwrites; the path is a C string.
    let stat = unsafe {
        let mut stat: raw::statx = core::mem::zeroed();
        let mask = raw::STATX_BASIC_STATS;
        let args =
            [raw::AT_FDCWD as usize, path.as_ptr() as usize, 0, mask as usize, (&raw mut stat) as usize, 0];
        match host::call(Sysno::statx, args) {
            Ok(_) => stat,
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(None),
            Err(error) => return Err(error),
        }
    };
    let nanoseconds = |time: raw::statx_timestamp| time.tv_sec * 1_000_000_000 + i64::from(time.tv_nsec);
    Ok(Some(Stamp {
        device: device(stat.stx_dev_major, stat.stx_dev_minor),
        ino: stat.stx_ino,
        size: stat.stx_size,
        mtime_ns: nanoseconds(stat.stx_mtime),
        ctime_ns: nanoseconds(stat.stx_ctime),
    }))
}

/// Where a plan lies in the user's cache.
pub(crate) fn cached(process: &Process, name: &[u8; FILE_NAME_LEN]) -> PathBuffer {
    in_cache(process, &[b"run/", name])
}

/// The image of a request that was packed before, if nothing it was made from has changed.
fn find_packed(process: &Process, options: &Options, named: &CStr, kept: &'static mut Kept) -> Option<Root> {
    let directory = working_directory();
    let program = find(process, named.to_bytes(), &directory)?;
    let chooses = chooses_by_directory(program.as_bytes());
    let variable = |name: &[u8]| process.variable(name).map_or(&b""[..], CStr::to_bytes);
    let with = options.with.as_slice().iter().map(|with| {
        // SAFETY: the host gives C strings.
        unsafe { CStr::from_ptr(with.cast()) }.to_bytes()
    });
    // SAFETY: no pointers.
    let uid = unsafe { host::call(Sysno::geteuid, [0; 6]) }.unwrap_or(0) as u32;
    let request = Request {
        program: program.as_bytes(),
        with,
        library_path: variable(b"LD_LIBRARY_PATH"),
        uid,
        directory: if chooses { directory.as_bytes() } else { b"" },
        version: if chooses { variable(b"PYENV_VERSION") } else { b"" },
    };
    let name: [u8; FILE_NAME_LEN] = request.file_name();
    let path = cached(process, &name);
    let fd = host::open_read(path.as_c_str()).ok()?;
    let mut len = 0;
    while let Ok(count @ 1..) = host::read(fd, &mut kept.plan[len..]) {
        len += count;
    }
    host::close(fd);
    let plan = Plan::decode(&kept.plan[..len]).ok()?;
    let unchanged = || plan.inputs().all(|input| stamp(input.path).is_ok_and(|found| found == input.stamp));
    if !plan.answers(&request) || !unchanged() {
        return None;
    }
    let fd = host::open_read(plan.image()).ok()?;
    let len = host::stat_fd(fd).ok()?.st_size as u64;
    (len == plan.image_size()).then_some(Root {
        fd,
        offset: 0,
        len,
        files: &[],
        program: plan.program(),
        path: plan.image(),
        container: None,
    })
}

/// A path in the user's cache, from its parts.
pub(crate) fn in_cache(process: &Process, parts: &[&[u8]]) -> PathBuffer {
    let variable = |name: &[u8]| process.variable(name).map_or(&b""[..], CStr::to_bytes);
    let cache = variable(b"XDG_CACHE_HOME");
    let [first, second] = [parts.first(), parts.get(1)].map(|part| part.map_or(&b""[..], |part| *part));
    if cache.starts_with(b"/") {
        PathBuffer::of(&[cache, b"/husk/", first, second])
    } else {
        PathBuffer::of(&[variable(b"HOME"), b"/.cache/husk/", first, second])
    }
}

/// The host's name.
pub(crate) fn hostname(buffer: &mut [u8; 65]) -> &CStr {
    let mut names = [[0_u8; 65]; 6];
    // SAFETY: `struct new_utsname` is six arrays of 65 bytes.
    let _ = unsafe { host::call(Sysno::uname, [names.as_mut_ptr() as usize, 0, 0, 0, 0, 0]) };
    *buffer = names[1];
    CStr::from_bytes_until_nul(buffer).unwrap_or(c"husk")
}

/// CPUs that this process may use.
pub(crate) fn host_cpus() -> u32 {
    let mut mask = [0_u64; 16];
    let args = [0, size_of_val(&mask), mask.as_mut_ptr() as usize, 0, 0, 0];
    // SAFETY: the mask has room for the given length.
    let _ = unsafe { host::call(Sysno::sched_getaffinity, args) };
    mask.iter().map(|word| word.count_ones()).sum::<u32>().clamp(1, 64)
}
