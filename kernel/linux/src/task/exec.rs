//! New programs: execve(2).

use super::sched::{self, Group};
use super::wait::{WaitLimit, wait_event};
use super::{Task, clone, process, rseq};
use crate::errno::Errno;
use crate::file::OpenFile;
use crate::file::io::Sink;
use crate::load::elf::{Image, Loaded};
use crate::load::stack::Stack;
use crate::mem::map::{Area, Name};
use crate::mem::{Layout, ProgramText, Request, Space, random_pages};
use crate::{fs, signal};
use alloc::sync::Arc;
use alloc::vec::Vec;
use husk_abi::layout::{GUEST_END, PAGE_SIZE};
use husk_machine::{context, cpu, random, start};
use linux_raw_sys::auxvec as aux;
use linux_raw_sys::general::{PROT_EXEC, PROT_READ, PROT_WRITE, RLIMIT_STACK, S_ISGID, S_ISUID, S_IXGRP};

/// Files that may be looked at: five scripts that lead to each other by `#!`, and the program (execve(2)).
const SCRIPTS_MAX: usize = 6;
/// personality(2): places are the same in each execution.
const ADDR_NO_RANDOMIZE: u32 = 0x004_0000;
/// Bytes of the first line that are looked at.
const SCRIPT_LINE_MAX: usize = 256;

/// A program that was found and understood, and its arguments.
struct Program {
    image: Image,
    interpreter: Option<Image>,
    args: Vec<Vec<u8>>,
    /// Path as it was named, for AT_EXECFN.
    name: Vec<u8>,
}

/// Splits a `#!` line into interpreter and optional argument.
fn script_line(head: &[u8]) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    let line = head.strip_prefix(b"#!")?;
    let end = line.iter().position(|byte| matches!(byte, b'\n' | 0)).unwrap_or(line.len());
    let line = line[..end].trim_ascii();
    let split = line.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(line.len());
    let (path, argument) = (&line[..split], line[split..].trim_ascii());
    (!path.is_empty()).then(|| (path.to_vec(), (!argument.is_empty()).then(|| argument.to_vec())))
}

/// Follows `#!` lines to an ELF image and opens its interpreter.
fn find(
    t: &Arc<Task>,
    mut file: Arc<OpenFile>,
    path: &[u8],
    mut args: Vec<Vec<u8>>,
) -> Result<Program, Errno> {
    let mut name = path.to_vec();
    for _ in 0..SCRIPTS_MAX {
        let mut head = [0; SCRIPT_LINE_MAX];
        let len = file.object.read(&file, 0, &mut Sink::Kernel(&mut head))?;
        if let Some((interpreter, argument)) = script_line(&head[..len]) {
            let mut line = alloc::vec![interpreter.clone()];
            line.extend(argument);
            line.push(name);
            line.extend(args.into_iter().skip(1));
            args = line;
            file = fs::open_exec(t, &interpreter)?;
            name = interpreter;
            continue;
        }
        let image = Image::parse(file)?;
        let interpreter = match &image.interpreter {
            Some(path) => {
                let file = fs::open_exec(t, path)?;
                Some(
                    Image::parse(file)
                        .map_err(|error| if error == Errno::ENOEXEC { Errno::ELIBBAD } else { error })?,
                )
            }
            None => None,
        };
        return Ok(Program { image, interpreter, args, name });
    }
    Err(Errno::ELOOP)
}

/// Replaces the program of the current process. On success the registers are the new program's.
pub fn execve(
    t: &Arc<Task>,
    file: Arc<OpenFile>,
    path: &[u8],
    args: Vec<Vec<u8>>,
    env: &[Vec<u8>],
) -> Result<(), Errno> {
    let exe = file.path.clone();
    let mut program = find(t, file, path, args)?;
    if program.args.is_empty() {
        // A program without arguments is given an empty name, as Linux does since 5.18.
        program.args.push(Vec::new());
    }
    end_other_threads(t)?;
    let space = new_space(t)?;

    // From here on the old program is gone: a failure ends the process.
    t.set_space(space.clone());
    space.activate();
    clone::release_vfork_parent(t);
    let comm = program.name.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let mut name = [0; 16];
    let len = comm.len().min(15);
    name[..len].copy_from_slice(&comm[..len]);
    t.comm.set(name);
    t.robust_list.set(0);
    t.rseq.forget();
    t.clear_child_tid.set(0);
    let exe = program.image.file.path.clone().or(exe);
    let old = t.process().exe.replace(exe);
    drop(old);
    t.process().did_exec.set(true);
    if Arc::strong_count(&t.files()) > 2 {
        // Shared with a process that is not replaced (CLONE_FILES without CLONE_THREAD).
        t.set_files(t.files().duplicate());
    }
    let closed = t.files().remove_close_on_exec();
    drop(closed);
    signal::reset_for_exec(t);
    take_identity(t, &program.image.file);
    if load(t, &space, &program, env).is_err() {
        super::exit::exit_group(t.process(), linux_raw_sys::general::SIGKILL as i32);
    }
    Ok(())
}

/// The identity that the file of the program gives: another one if it is a set-user-id or set-group-id file.
fn take_identity(t: &Task, file: &OpenFile) {
    let old = t.cred();
    let stat = file.object.stat().unwrap_or_default();
    let has = |bits: u32| !t.no_new_privs.get() && stat.mode & bits == bits;
    let set_uid = has(S_ISUID).then_some(stat.uid);
    // Without permission to execute, the bit means mandatory locking.
    let set_gid = has(S_ISGID | S_IXGRP).then_some(stat.gid);
    let new = old.for_program(set_uid, set_gid);
    let own = old.uid == old.euid && old.gid == old.egid;
    let same = new.euid == old.euid && new.egid == old.egid;
    t.process().dumpable.set(u32::from(own && same));
    if !same {
        t.attributes.borrow_mut().death_signal = 0;
    }
    t.set_cred(Arc::new(new));
}

/// Only the calling thread survives an execve, and it takes the process's id.
fn end_other_threads(t: &Arc<Task>) -> Result<(), Errno> {
    let process = t.process();
    if process.tasks.borrow().len() <= 1 {
        return Ok(());
    }
    process.replacing.set(Some(t.tid()));
    for other in process.living() {
        if !Arc::ptr_eq(&other, t) {
            sched::wake_for_signal(&other);
        }
    }
    let limit = WaitLimit { uninterruptible: true, ..WaitLimit::default() };
    let alone = || (process.tasks.borrow().len() <= 1).then_some(());
    let end = wait_event(&[&process.thread_ended], limit, alone);
    process.replacing.set(None);
    if end.is_err() {
        return Err(Errno::EAGAIN);
    }
    process::take_leader_id(t);
    Ok(())
}

/// An empty space: the old one, emptied, if nobody else uses it.
fn new_space(t: &Arc<Task>) -> Result<Arc<Space>, Errno> {
    let old = t.space();
    let shared =
        process::all_tasks().iter().any(|other| !Arc::ptr_eq(other, t) && Arc::ptr_eq(&other.space(), &old));
    if !shared {
        old.count_if_due();
        t.process().note_most_resident(old.most_resident());
        old.clear()?;
        return Ok(old);
    }
    if !cpu::is_process_tender() {
        return Space::new(old.group());
    }
    let group = Group::new_process(true).map_err(|error| Errno(error as u16))?;
    sched::migrate(&group);
    Space::new(Some(group))
}

fn load(t: &Arc<Task>, space: &Arc<Space>, program: &Program, env: &[Vec<u8>]) -> Result<(), Errno> {
    // The stack at the top, the rest below it, each moved by a random number of pages.
    let stack_limit = t.rlimit(RLIMIT_STACK).rlim_cur.clamp(1 << 17, 1 << 30) as usize;
    let stack_len = stack_limit.min(8 << 20).next_multiple_of(PAGE_SIZE);
    let fixed = t.attributes.borrow().personality & ADDR_NO_RANDOMIZE != 0;
    let random_pages = |bits| if fixed { 0 } else { random_pages(bits) };
    let stack_top = GUEST_END - PAGE_SIZE - random_pages(22);
    let mmap_top = stack_top - stack_limit.next_multiple_of(PAGE_SIZE) - (1 << 20) - random_pages(16);
    *space.layout.borrow_mut() = Layout { mmap_top, ..Layout::default() };
    let protection = PROT_READ | PROT_WRITE | if program.image.executable_stack { PROT_EXEC } else { 0 };
    let stack = Request::at(stack_top - stack_len, stack_len, Area::anonymous(protection, Name::Stack));
    space.map(Request { no_replace: true, ..stack })?;
    let base =
        if program.interpreter.is_some() { 0x5555_5555_4000 + random_pages(22) } else { 0x5a00_0000_0000 };
    let main = program.image.load(space, program.image.is_movable().then_some(base))?;
    let interpreter = match &program.interpreter {
        Some(image) => Some(image.load(space, None)?),
        None => None,
    };
    let vdso = crate::load::vdso::map(space)?;
    let brk_start = main.end + random_pages(if program.image.is_movable() { 12 } else { 8 });

    let mut stack = Stack::new(stack_top - 8);
    let name = stack.push(&[program.name.as_slice(), &[0]].concat())?;
    let platform = stack.push(b"x86_64\0")?;
    let mut seed = [0; 16];
    random::fill(&mut seed);
    let random = stack.push(&seed)?;
    let auxv = auxiliary_vector(t, &main, interpreter.as_ref(), vdso, name, platform, random);
    let placed = stack.finish(&program.args, env, &auxv)?;
    *space.layout.borrow_mut() = Layout {
        code: main.code,
        data: main.data,
        brk_start,
        brk: brk_start,
        stack_top,
        stack_start: placed.stack_pointer,
        args: placed.args,
        env: placed.env,
        mmap_top,
    };
    *space.auxv.borrow_mut() = auxv;
    let joined =
        |strings: &[Vec<u8>]| strings.iter().flat_map(|text| text.iter().copied().chain([0])).collect();
    *space.program_text.borrow_mut() = ProgramText { args: joined(&program.args), env: joined(env) };
    let entry = interpreter.map_or(main.entry, |loaded| loaded.entry);
    context::start_program(entry, placed.stack_pointer);
    Ok(())
}

fn auxiliary_vector(
    t: &Task,
    main: &Loaded,
    interpreter: Option<&Loaded>,
    vdso: usize,
    name: usize,
    platform: usize,
    random: usize,
) -> Vec<u64> {
    let cred = t.cred();
    let secure = cred.uid != cred.euid || cred.gid != cred.egid;
    let pairs: [(u32, usize); 21] = [
        (aux::AT_SYSINFO_EHDR, vdso),
        (aux::AT_MINSIGSTKSZ, signal::min_stack_len()),
        (aux::AT_HWCAP, start::boot().hwcap as usize),
        (aux::AT_PAGESZ, PAGE_SIZE),
        (aux::AT_CLKTCK, 100),
        (aux::AT_PHDR, main.headers),
        (aux::AT_PHENT, 56),
        (aux::AT_PHNUM, main.header_count),
        (aux::AT_BASE, interpreter.map_or(0, |loaded| loaded.bias)),
        (aux::AT_FLAGS, 0),
        (aux::AT_ENTRY, main.entry),
        (aux::AT_UID, cred.uid as usize),
        (aux::AT_EUID, cred.euid as usize),
        (aux::AT_GID, cred.gid as usize),
        (aux::AT_EGID, cred.egid as usize),
        (aux::AT_SECURE, usize::from(secure)),
        (aux::AT_RANDOM, random),
        (aux::AT_EXECFN, name),
        (aux::AT_PLATFORM, platform),
        (aux::AT_RSEQ_FEATURE_SIZE, rseq::FEATURE_SIZE),
        (aux::AT_RSEQ_ALIGN, rseq::ALIGN),
    ];
    let mut words: Vec<u64> =
        pairs.iter().flat_map(|(key, value)| [u64::from(*key), *value as u64]).collect();
    words.extend([u64::from(aux::AT_HWCAP2), 2, u64::from(aux::AT_NULL), 0]);
    words
}

#[cfg(test)]
mod tests {
    use super::script_line;

    #[test]
    fn script_lines_give_interpreter_and_one_argument() {
        let line = |text: &str| {
            script_line(text.as_bytes()).map(|(path, argument)| {
                let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
                (text(path), argument.map(text))
            })
        };
        let some = |path: &str, argument: Option<&str>| Some((path.to_owned(), argument.map(str::to_owned)));
        assert_eq!(line("#!/bin/sh\necho"), some("/bin/sh", None));
        assert_eq!(line("#! /usr/bin/env  python3 -u \n"), some("/usr/bin/env", Some("python3 -u")));
        assert_eq!(line("#!/bin/sh"), some("/bin/sh", None));
        assert_eq!(line("#!\n"), None);
        assert_eq!(line("\x7fELF"), None);
    }
}
