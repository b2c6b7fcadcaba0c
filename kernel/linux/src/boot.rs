//! Boot: process 1, its open files, its program.

use crate::file::table::FdTable;
use crate::mem::Space;
use crate::syscall::trace;
use crate::task::cred::Cred;
use crate::task::sched::{self, Entity, Group};
use crate::task::{Task, exec, process};
use crate::{fs, tty};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use husk_abi::boot::{FLAG_CONTAINER, FLAG_INIT, FLAG_TEST_FAULT, FLAG_TEST_PANIC};
use husk_machine::thread::Thread;
use husk_machine::{cpu, report, start};
use linux_raw_sys::general::AT_FDCWD;

/// Strings of a text of the boot block.
fn strings(text: husk_abi::boot::Text) -> Vec<Vec<u8>> {
    let bytes = start::text(text);
    bytes.split(|byte| *byte == 0).take(text.count as usize).map(<[u8]>::to_vec).collect()
}

/// Makes process 1. Its program is loaded by its own task: see `init`.
pub(crate) fn boot() {
    let boot = start::boot();
    let group = Group::boot();
    let thread = Thread::new().expect("memory for the first kernel stack");
    let groups = &boot.groups[..(boot.group_count as usize).min(boot.groups.len())];
    let cred = Cred::new(boot.uid, boot.gid).with_groups(groups);
    let entity = Entity::new(Some(thread), Some(group.clone()));
    let space = Space::new(Some(group)).expect("memory for the first address space");
    let on_terminal = boot.stdio.iter().any(|file| file.mode != 0 && file.terminal != 0);
    let leads_session = on_terminal || boot.flags & FLAG_CONTAINER != 0;
    let task = process::init_task(cred, entity, space, leads_session);
    task.set_files(FdTable::new());
    sched::start_first(task);
}

/// Ends the guest before it has begun.
fn fail(code: i32, what: core::fmt::Arguments<'_>) -> ! {
    report::print(format_args!("husk: {what}\n"));
    crate::record::finish(code);
    cpu::exit_guest(code)
}

/// First kernel code of process 1's task: files, then the program.
pub(crate) fn init(t: &Arc<Task>) {
    let boot = start::boot();
    if let Err(why) = trace::init() {
        fail(125, format_args!("trace: {why}"));
    }
    fs::proc::register();
    fs::sys::register();
    tty::register();
    if let Err(error) = fs::init_root(start::root_image()) {
        let name = strings(boot.root_name).into_iter().next().unwrap_or_default();
        let name = String::from_utf8_lossy(&name).into_owned();
        fail(125, format_args!("run: {name}: the root image cannot be read: {error}"));
    }
    t.set_fs(fs::FsContext::new());
    t.fs().set_umask(boot.umask);
    tty::console::open_stdio(t);
    let program = strings(boot.program).into_iter().next().unwrap_or_default();
    let args = strings(boot.args);
    let env = strings(boot.env);
    let cwd = strings(boot.cwd).into_iter().next().unwrap_or_default();
    let name = String::from_utf8_lossy(&program).into_owned();
    if let Err((place, why)) = fs::mounts::prepare(t, &strings(boot.mounts)) {
        let place = String::from_utf8_lossy(&place).into_owned();
        fail(125, format_args!("run: {place}: cannot be mounted: {why}"));
    }
    let is_container = boot.flags & FLAG_CONTAINER != 0;
    let hostname = strings(boot.hostname).into_iter().next().unwrap_or_default();
    if !hostname.is_empty()
        && let Err(error) = crate::uts::set_hostname(&hostname)
    {
        fail(125, format_args!("cannot set the host's name: {error:?}"));
    }
    if is_container {
        fs::container::prepare(t, &hostname, &cwd);
        t.process().is_init.set(true);
    }
    if !cwd.is_empty()
        && let Err(error) = fs::walk::lookup(t, AT_FDCWD, &cwd, true).map(|path| t.fs().set_cwd(path))
    {
        let cwd = String::from_utf8_lossy(&cwd).into_owned();
        fail(125, format_args!("cannot enter the working directory {cwd}: {error:?}"));
    }
    if boot.flags & FLAG_TEST_PANIC != 0 {
        panic!("as the test asked for");
    }
    if boot.flags & FLAG_TEST_FAULT != 0 {
        report::fault();
    }
    let (program, found) = if is_container && !program.contains(&b'/') {
        fs::container::search(t, &program, &env)
    } else {
        let found = fs::open_exec(t, &program);
        (program, found)
    };
    let (program, args, found) = match found {
        Ok(_) if boot.flags & FLAG_INIT != 0 => {
            let init = fs::put_init();
            let path = init.unwrap_or_default().to_vec();
            let args = [path.clone(), program].into_iter().chain(args).collect();
            (path, args, init.and_then(|path| fs::open_exec(t, path)))
        }
        found => (program, args, found),
    };
    trace::started(&program, &args, env.len());
    let loaded = found.and_then(|file| exec::execve(t, file, &program, args, &env));
    if let Err(error) = loaded {
        let code = if error == crate::errno::Errno::ENOENT { 127 } else { 126 };
        fail(code, format_args!("{name}: cannot be executed: {error:?}"));
    }
}
