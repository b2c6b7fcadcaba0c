//! The root of a container image: found by its plan in the user's cache, or by `husk-cli`, which pulls and merges as needed
//! and leaves a plan.

use crate::args::{Options, Pull};
use crate::path::PathBuffer;
use crate::root::{Root, find, run_for_output, stamp, working_directory};
use crate::run;
use crate::start::Process;
use core::ffi::CStr;
use husk_abi::boot::{GROUPS_MAX, ROOT_FILES_MAX};
use husk_abi::layout::PAGE_SIZE;
use husk_plan::{IMAGE_SIZE_MAX, ImagePlan, ImageRequest};
use husk_tender::host;
use linux_raw_sys::general as raw;
use syscalls::Sysno;

/// How an image's program is started.
pub(crate) struct Container {
    pub(crate) plan: ImagePlan<'static>,
    pub(crate) groups: [u32; GROUPS_MAX],
    pub(crate) group_count: usize,
}

/// What outlives this module's functions: the fast path has no heap.
struct Kept {
    plan: [u8; IMAGE_SIZE_MAX],
    sizes: [u64; ROOT_FILES_MAX],
}

static mut KEPT: Kept = Kept { plan: [0; IMAGE_SIZE_MAX], sizes: [0; ROOT_FILES_MAX] };

/// What can only be an image: `husk-cli` tells their kinds apart.
const TRANSPORTS: [&[u8]; 6] =
    [b"oci:", b"oci-archive:", b"docker-archive:", b"containers-storage:", b"docker-daemon:", b"docker://"];

fn is_transport(named: &[u8]) -> bool {
    TRANSPORTS.iter().any(|prefix| named.starts_with(prefix))
}

/// Whether `named` means an image: it says so, or it is neither a path nor a program in PATH. `--rootfs` and `--with`
/// are about programs.
pub(crate) fn is_meant(process: &Process, options: &Options, named: &CStr) -> bool {
    let bytes = named.to_bytes();
    if options.image || is_transport(bytes) {
        return true;
    }
    if options.rootfs.is_some() || !options.with.as_slice().is_empty() || bytes.is_empty() {
        return false;
    }
    if bytes.contains(&b'/') {
        let is_path = [&b"/"[..], b"./", b"../"].iter().any(|start| bytes.starts_with(start));
        return !is_path && host::stat(named).is_err();
    }
    find(process, bytes, &PathBuffer::new()).is_none()
}

/// Finds or makes the root of an image.
pub(crate) fn open(process: &Process, options: &Options, named: &'static CStr) -> Root {
    let at = &raw mut KEPT;
    // SAFETY: called once, by the only thread.
    let kept = unsafe { &mut *at };
    if let Some(fd) = options.plan {
        let len = read_all(fd, &mut kept.plan);
        return decoded(&kept.plan[..len], &mut kept.sizes, named);
    }
    if options.pull != Pull::Always
        && let Some(root) = planned(process, options, named, kept)
    {
        return root;
    }
    // SAFETY: as above; `planned` let go of what it had.
    let kept = unsafe { &mut *at };
    // The last one stays NULL.
    let mut arguments = [core::ptr::null::<u8>(); 17];
    let user = options.user.unwrap_or(c"");
    let pull = match options.pull {
        Pull::Always => c"always",
        Pull::Missing => c"missing",
        Pull::Never => c"never",
    };
    let or_program: &CStr = if options.image { c"--image" } else { c"--or-program" };
    let registry = [
        (options.credentials, c"--creds"),
        (options.auth_file, c"--authfile"),
        (options.certificates, c"--cert-dir"),
    ];
    let registry = registry.iter().filter_map(|(value, name)| value.map(|value| [*name, value])).flatten();
    let words = [c"plan-image", or_program, c"--user", user, c"--pull", pull].into_iter();
    let words = words.chain(options.tls_verify).chain(registry).chain([c"--", named]);
    for (slot, text) in arguments[1..].iter_mut().zip(words) {
        *slot = text.as_ptr().cast();
    }
    let len = run_for_output(process, b"husk-cli", &mut arguments, &mut kept.plan);
    decoded(&kept.plan[..len], &mut kept.sizes, named)
}

/// A plan that was just made.
fn decoded(plan: &'static [u8], sizes: &'static mut [u64; ROOT_FILES_MAX], named: &CStr) -> Root {
    let found = ImagePlan::decode(plan).ok().and_then(|plan| open_plan(plan, sizes));
    found.unwrap_or_else(|| {
        run::say(&[b"run: ", named.to_bytes(), b": the files of the image's root cannot be opened"]);
        host::exit(125)
    })
}

/// The root of an earlier plan, if it still holds.
fn planned(process: &Process, options: &Options, named: &CStr, kept: &'static mut Kept) -> Option<Root> {
    let variable = |name: &[u8]| process.variable(name).map_or(&b""[..], CStr::to_bytes);
    let directory = if is_transport(named.to_bytes()) { working_directory() } else { PathBuffer::new() };
    let (data, home) = (variable(b"XDG_DATA_HOME"), variable(b"HOME"));
    // SAFETY: no pointers.
    let uid = unsafe { host::call(Sysno::geteuid, [0; 6]) }.unwrap_or(0) as u32;
    let request = ImageRequest {
        image: named.to_bytes(),
        user: options.user.map_or(b"", CStr::to_bytes),
        directory: directory.as_bytes(),
        data,
        home,
        uid,
    };
    let path = crate::root::cached(process, &request.file_name());
    let fd = host::open_read(path.as_c_str()).ok()?;
    let len = read_all(fd, &mut kept.plan);
    let plan = ImagePlan::decode(&kept.plan[..len]).ok()?;
    let unchanged =
        plan.inputs.clone().all(|input| stamp(input.path).is_ok_and(|found| found == input.stamp));
    if !plan.answers(&request) || !unchanged {
        return None;
    }
    open_plan(plan, &mut kept.sizes)
}

/// Reads a file to its end, as far as there is room, and closes it.
fn read_all(fd: i32, buffer: &mut [u8]) -> usize {
    let mut len = 0;
    while let Ok(count @ 1..) = host::read(fd, &mut buffer[len..]) {
        len += count;
    }
    host::close(fd);
    len
}

/// The plan in a file of memory, for programs that this one becomes.
pub(crate) fn plan_file(container: &Container) -> Option<i32> {
    // SAFETY: the name is a C string.
    let fd =
        unsafe { host::call(Sysno::memfd_create, [c"husk-plan".as_ptr() as usize, 0, 0, 0, 0, 0]) }.ok()?;
    let bytes = container.plan.bytes;
    let args = [fd, bytes.as_ptr() as usize, bytes.len(), 0, 0, 0];
    // SAFETY: the bytes may be read.
    let written = unsafe { host::call(Sysno::pwrite64, args) }.ok()?;
    (written == bytes.len()).then_some(fd as i32)
}

/// Opens the files of an image.
fn open_plan(plan: ImagePlan<'static>, sizes: &'static mut [u64; ROOT_FILES_MAX]) -> Option<Root> {
    let root = open_in_a_row(plan.files.clone().map(|(path, _)| path), sizes)?;
    if !plan.files.clone().map(|(_, size)| size).eq(root.files.iter().copied()) {
        return None;
    }
    let mut groups = [0; GROUPS_MAX];
    let mut group_count = 0;
    for (slot, group) in groups.iter_mut().zip(plan.groups.clone()) {
        *slot = group;
        group_count += 1;
    }
    let container = Container { plan, groups, group_count };
    Some(Root { path: c"the image", container: Some(container), ..root })
}

/// Opens a root of several files that are no image of the store.
pub(crate) fn open_files(
    paths: impl Iterator<Item = &'static CStr> + Clone,
    program: &'static CStr,
    path: &'static CStr,
) -> Option<Root> {
    let at = &raw mut KEPT;
    // SAFETY: called once, by the only thread, and not besides `open`.
    let kept = unsafe { &mut *at };
    open_in_a_row(paths, &mut kept.sizes).map(|root| Root { program, path, ..root })
}

/// Opens a root's files, each with the descriptor after the one before, as tenders take them.
fn open_in_a_row<'a>(
    paths: impl Iterator<Item = &'a CStr> + Clone,
    sizes: &'static mut [u64; ROOT_FILES_MAX],
) -> Option<Root> {
    /// Where descriptors are free even if this process has inherited some that lie among the next ones.
    const FREE: i32 = 256;
    let (fd, count) =
        try_in_a_row(paths.clone(), sizes, None).or_else(|| try_in_a_row(paths, sizes, Some(FREE)))?;
    let len = sizes[..count].iter().fold(0_u64, |len, size| (len + size).next_multiple_of(PAGE_SIZE as u64));
    Some(Root { fd, offset: 0, len, files: &sizes[..count], program: c"", path: c"", container: None })
}

/// The first descriptor and the number of files; `None` where one cannot be opened, or gets another descriptor than the
/// next. `first` asks for descriptors from there on.
fn try_in_a_row<'a>(
    paths: impl Iterator<Item = &'a CStr>,
    sizes: &mut [u64],
    first: Option<i32>,
) -> Option<(i32, usize)> {
    let mut first = first;
    let mut count = 0;
    for path in paths {
        let mut fd = host::open_read(path).ok()?;
        let wanted = *first.get_or_insert(fd) + count as i32;
        if fd != wanted {
            let args = [fd as usize, raw::F_DUPFD as usize, wanted as usize, 0, 0, 0];
            // SAFETY: numbers only.
            let copy = unsafe { host::call(Sysno::fcntl, args) }.ok()? as i32;
            host::close(fd);
            fd = copy;
        }
        let stat = host::stat_fd(fd).ok()?;
        if fd != wanted {
            return None;
        }
        *sizes.get_mut(count)? = stat.st_size as u64;
        count += 1;
    }
    Some((first?, count))
}
