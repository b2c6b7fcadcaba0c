//! System V semaphores, message queues and shared memory (sysvipc(7)).

use super::poll::deadline_after;
use crate::errno::{Errno, SysResult};
use crate::ipc::msg::{self, Message, MsgQueue};
use crate::ipc::sem::{self, Operation, SemSet};
use crate::ipc::shm::{self, Segment};
use crate::ipc::{EXECUTE, IPC_INFO, IPC_NOWAIT, IPC_RMID, IPC_SET, IPC_STAT, Object, READ, Table, WRITE};
use crate::mem::map::{Area, Backing, Name};
use crate::mem::{Request, user};
use crate::task::Task;
use crate::task::cred::{CAP_IPC_LOCK, CAP_SYS_RESOURCE};
use crate::time;
use alloc::sync::Arc;
use alloc::vec::Vec;
use husk_abi::layout::PAGE_SIZE;
use linux_raw_sys::general as raw;

const GETPID: u32 = 11;
const GETVAL: u32 = 12;
const GETALL: u32 = 13;
const GETNCNT: u32 = 14;
const GETZCNT: u32 = 15;
const SETVAL: u32 = 16;
const SETALL: u32 = 17;
const SEM_STAT: u32 = 18;
const SEM_INFO: u32 = 19;
const SEM_STAT_ANY: u32 = 20;
const MSG_STAT: u32 = 11;
const MSG_INFO: u32 = 12;
const MSG_STAT_ANY: u32 = 13;
const SHM_LOCK: u32 = 11;
const SHM_UNLOCK: u32 = 12;
const SHM_STAT: u32 = 13;
const SHM_INFO: u32 = 14;
const SHM_STAT_ANY: u32 = 15;

fn id(result: Result<i32, Errno>) -> SysResult {
    result.map(|id| id as usize)
}

/// IPC_STAT and its variants: writes the structure and gives what the call returns.
fn stat<T: Object>(
    t: &Task,
    table: &Table<T>,
    (identifier, command): (i32, u32),
    any: u32,
    buf: usize,
    ds: impl FnOnce(&T) -> Vec<u8>,
) -> SysResult {
    let by_id = command == IPC_STAT;
    let object = if by_id { table.find(identifier)? } else { table.find_slot(identifier)? };
    let perm = *object.perm().borrow();
    if command != any {
        perm.check(READ, &t.cred())?;
    }
    user::copy_out(buf, &ds(&object))?;
    Ok(if by_id { 0 } else { perm.id as usize })
}

fn write_ints(address: usize, values: &[i32]) -> Result<(), Errno> {
    user::copy_out(address, husk_machine::pod::slice_bytes(values))
}

pub(super) fn semget(t: &Arc<Task>, key: i32, nsems: i32, semflg: u32) -> SysResult {
    let count = usize::try_from(nsems).map_err(|_| Errno::EINVAL)?;
    if count > sem::SEMMSL {
        return Err(Errno::EINVAL);
    }
    let fits = |set: &SemSet| if count <= set.len() { Ok(()) } else { Err(Errno::EINVAL) };
    id(sem::SETS.get(key, semflg, &t.cred(), fits, |perm| match count {
        0 => Err(Errno::EINVAL),
        _ => Ok(SemSet::new(perm, count)),
    }))
}

fn operate(t: &Arc<Task>, semid: i32, sops: usize, nsops: usize, deadline: Option<u64>) -> SysResult {
    if nsops == 0 || semid < 0 {
        return Err(Errno::EINVAL);
    }
    if nsops > sem::SEMOPM {
        return Err(Errno::E2BIG);
    }
    let words: Vec<[u16; 3]> = user::read_vec(sops, nsops)?;
    let operations: Vec<Operation> = words
        .iter()
        .map(|[number, change, flags]| Operation { number: *number, change: *change as i16, flags: *flags })
        .collect();
    let set = sem::SETS.find(semid)?;
    let len = set.len();
    if operations.iter().any(|operation| usize::from(operation.number) >= len) {
        return Err(Errno::EFBIG);
    }
    let alters = operations.iter().any(|operation| operation.change != 0);
    let perm = *set.perm().borrow();
    perm.check(if alters { WRITE } else { READ }, &t.cred())?;
    set.operate(&operations, t.pid(), deadline)?;
    Ok(0)
}

pub(super) fn semop(t: &Arc<Task>, semid: i32, sops: usize, nsops: usize) -> SysResult {
    operate(t, semid, sops, nsops, None)
}

pub(super) fn semtimedop(t: &Arc<Task>, semid: i32, sops: usize, nsops: usize, timeout: usize) -> SysResult {
    let deadline = if timeout == 0 {
        None
    } else {
        let ns = time::from_timespec(&user::read(timeout)?)?;
        // A time that has passed already is still a time: 0 would not wait for ever, but not look either.
        Some(deadline_after(ns).max(1))
    };
    operate(t, semid, sops, nsops, deadline)
}

pub(super) fn semctl(t: &Arc<Task>, semid: i32, semnum: i32, cmd: u32, argument: usize) -> SysResult {
    let cred = t.cred();
    let number = || usize::try_from(semnum).map_err(|_| Errno::EINVAL);
    let allowed = |set: &SemSet, wanted: u32| {
        let perm = *set.perm().borrow();
        perm.check(wanted, &cred)
    };
    match cmd {
        IPC_INFO | SEM_INFO => {
            let sets = sem::SETS.all();
            let (used, semaphores) = match cmd {
                SEM_INFO => (sets.len() as i32, sets.iter().map(|set| set.len() as i32).sum()),
                _ => (20, sem::SEMVMX),
            };
            let (sets, each, operations) = (sem::SEMMNI as i32, sem::SEMMSL as i32, sem::SEMOPM as i32);
            let all = sets * each;
            write_ints(
                argument,
                &[all, sets, all, all, each, operations, operations, used, sem::SEMVMX, semaphores],
            )?;
            Ok(sem::SETS.highest_slot())
        }
        IPC_STAT | SEM_STAT | SEM_STAT_ANY => {
            stat(t, &sem::SETS, (semid, cmd), SEM_STAT_ANY, argument, |set: &SemSet| set.ds().to_vec())
        }
        IPC_SET | IPC_RMID => {
            let set = sem::SETS.find(semid)?;
            let ds =
                if cmd == IPC_SET { user::read::<[u8; sem::DS_LEN]>(argument)?.to_vec() } else { Vec::new() };
            let perm = *set.perm().borrow();
            perm.check_owner(&cred)?;
            if cmd == IPC_SET {
                set.set_perm(&ds)
            } else {
                set.remove()
            }
            Ok(0)
        }
        GETPID | GETVAL | GETNCNT | GETZCNT => {
            let set = sem::SETS.find(semid)?;
            allowed(&set, READ)?;
            let number = number()?;
            match cmd {
                GETPID => set.last_pid(number),
                GETVAL => set.value(number),
                GETNCNT => set.growth_waiters(number),
                _ => set.zero_waiters(number),
            }
        }
        GETALL => {
            let set = sem::SETS.find(semid)?;
            allowed(&set, READ)?;
            user::copy_out(argument, husk_machine::pod::slice_bytes(&set.values()))?;
            Ok(0)
        }
        SETVAL => {
            let set = sem::SETS.find(semid)?;
            allowed(&set, WRITE)?;
            set.set_values(number()?, &[argument as i32], t.pid())?;
            Ok(0)
        }
        SETALL => {
            let set = sem::SETS.find(semid)?;
            allowed(&set, WRITE)?;
            let values: Vec<u16> = user::read_vec(argument, set.len())?;
            let values: Vec<i32> = values.into_iter().map(i32::from).collect();
            set.set_values(0, &values, t.pid())?;
            Ok(0)
        }
        _ => Err(Errno::EINVAL),
    }
}

pub(super) fn msgget(t: &Arc<Task>, key: i32, msgflg: u32) -> SysResult {
    id(msg::QUEUES.get(key, msgflg, &t.cred(), |_| Ok(()), |perm| Ok(MsgQueue::new(perm))))
}

pub(super) fn msgsnd(t: &Arc<Task>, msqid: i32, msgp: usize, msgsz: usize, msgflg: u32) -> SysResult {
    let kind: i64 = user::read(msgp)?;
    if msgsz > msg::MSGMAX || msqid < 0 || kind < 1 {
        return Err(Errno::EINVAL);
    }
    let mut text = alloc::vec![0; msgsz];
    user::copy_in(msgp.checked_add(8).ok_or(Errno::EFAULT)?, &mut text)?;
    let queue = msg::QUEUES.find(msqid)?;
    let perm = *queue.perm().borrow();
    perm.check(WRITE, &t.cred())?;
    queue.send(Message { kind, text }, msgflg, t.pid())?;
    Ok(0)
}

pub(super) fn msgrcv(
    t: &Arc<Task>,
    msqid: i32,
    msgp: usize,
    msgsz: usize,
    msgtyp: i64,
    msgflg: u32,
) -> SysResult {
    if msqid < 0 || msgsz > isize::MAX as usize {
        return Err(Errno::EINVAL);
    }
    if msgflg & msg::MSG_COPY != 0 && (msgflg & msg::MSG_EXCEPT != 0 || msgflg & IPC_NOWAIT == 0) {
        return Err(Errno::EINVAL);
    }
    let queue = msg::QUEUES.find(msqid)?;
    let perm = *queue.perm().borrow();
    perm.check(READ, &t.cred())?;
    let message = queue.receive(msgtyp, msgsz, msgflg, t.pid())?;
    user::write(msgp, &message.kind)?;
    user::copy_out(msgp + 8, &message.text)?;
    Ok(message.text.len())
}

pub(super) fn msgctl(t: &Arc<Task>, msqid: i32, cmd: u32, buf: usize) -> SysResult {
    let cred = t.cred();
    match cmd {
        IPC_INFO | MSG_INFO => {
            let queues = msg::QUEUES.all();
            let usage = queues.iter().map(|queue| queue.usage());
            let (messages, bytes) = usage.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
            let (pool, map, total) = match cmd {
                MSG_INFO => (queues.len(), messages, bytes),
                _ => (msg::MSGMNI * msg::MSGMNB / 1024, msg::MSGMNB, msg::MSGMNB),
            };
            let (max, most, sets) = (msg::MSGMAX as i32, msg::MSGMNB as i32, msg::MSGMNI as i32);
            write_ints(buf, &[pool as i32, map as i32, max, most, sets, 16, total as i32, 0xffff])?;
            Ok(msg::QUEUES.highest_slot())
        }
        IPC_STAT | MSG_STAT | MSG_STAT_ANY => {
            stat(t, &msg::QUEUES, (msqid, cmd), MSG_STAT_ANY, buf, |queue: &MsgQueue| queue.ds().to_vec())
        }
        IPC_SET | IPC_RMID => {
            let queue = msg::QUEUES.find(msqid)?;
            let ds = if cmd == IPC_SET { user::read::<[u8; msg::DS_LEN]>(buf)?.to_vec() } else { Vec::new() };
            let perm = *queue.perm().borrow();
            perm.check_owner(&cred)?;
            match cmd {
                IPC_SET => queue.set(&ds, cred.capable(CAP_SYS_RESOURCE))?,
                _ => queue.remove(),
            }
            Ok(0)
        }
        _ => Err(Errno::EINVAL),
    }
}

pub(super) fn shmget(t: &Arc<Task>, key: i32, size: usize, shmflg: u32) -> SysResult {
    let fits = |segment: &Segment| if size <= segment.len() { Ok(()) } else { Err(Errno::EINVAL) };
    id(shm::SEGMENTS.get(key, shmflg, &t.cred(), fits, |perm| match size {
        0 => Err(Errno::EINVAL),
        _ if size as u64 > shm::SHMMAX => Err(Errno::EINVAL),
        _ => Ok(Segment::new(perm, size, t.pid())),
    }))
}

pub(super) fn shmat(t: &Arc<Task>, shmid: i32, shmaddr: usize, shmflg: u32) -> SysResult {
    let mut address = shmaddr;
    if shmflg & shm::SHM_RND != 0 {
        address &= !(PAGE_SIZE - 1);
    }
    if !address.is_multiple_of(PAGE_SIZE) || (address == 0 && shmflg & shm::SHM_REMAP != 0) {
        return Err(Errno::EINVAL);
    }
    let segment = shm::SEGMENTS.find(shmid)?;
    let writes = shmflg & shm::SHM_RDONLY == 0;
    let executes = shmflg & shm::SHM_EXEC != 0;
    let wanted = if writes { READ | WRITE } else { READ } | if executes { EXECUTE } else { 0 };
    let perm = *segment.perm().borrow();
    perm.check(wanted, &t.cred())?;
    let protection =
        raw::PROT_READ | if writes { raw::PROT_WRITE } else { 0 } | if executes { raw::PROT_EXEC } else { 0 };
    let mut area = Area::anonymous(protection, Name::None);
    area.shared = true;
    if !writes {
        area.may &= !raw::PROT_WRITE;
    }
    area.backing = Backing::File { file: segment.memory()?, offset: 0 };
    let replaces = shmflg & shm::SHM_REMAP != 0;
    let request = Request {
        fixed: replaces,
        no_replace: address != 0 && !replaces,
        address,
        ..Request::anywhere(segment.len(), area)
    };
    let address = t.space().map(request).map_err(|error| match error {
        Errno::EEXIST => Errno::EINVAL,
        error => error,
    })?;
    segment.was_attached(t.pid());
    Ok(address)
}

pub(super) fn shmdt(t: &Arc<Task>, shmaddr: usize) -> SysResult {
    let space = t.space();
    let (start, area) = space.area_at(shmaddr).ok_or(Errno::EINVAL)?;
    let Backing::File { file, offset: 0 } = &area.backing else { return Err(Errno::EINVAL) };
    let segment = shm::segment_of(file).filter(|_| start == shmaddr).ok_or(Errno::EINVAL)?;
    // mprotect(2) may have split the mapping: all parts of it that are still in place go.
    let mut parts = Vec::new();
    space.for_each_area(|start, area| {
        if let Backing::File { file: other, offset } = &area.backing
            && Arc::ptr_eq(file, other)
            && start.checked_sub(shmaddr) == Some(*offset as usize)
        {
            parts.push((start, area.end - start));
        }
    });
    for (start, len) in parts {
        space.unmap(start, len)?;
    }
    segment.was_detached(t.pid());
    Ok(0)
}

pub(super) fn shmctl(t: &Arc<Task>, shmid: i32, cmd: u32, buf: usize) -> SysResult {
    let cred = t.cred();
    match cmd {
        IPC_INFO => {
            let words = [shm::SHMMAX, 1, shm::SHMMNI as u64, shm::SHMMNI as u64, shm::SHMMAX, 0, 0, 0, 0];
            user::copy_out(buf, husk_machine::pod::slice_bytes(&words))?;
            Ok(shm::SEGMENTS.highest_slot())
        }
        SHM_INFO => {
            let segments = shm::SEGMENTS.all();
            let pages: usize = segments.iter().map(|segment| segment.len().div_ceil(PAGE_SIZE)).sum();
            let resident: usize = segments.iter().map(|segment| segment.resident()).sum();
            let words = [segments.len() as u64, pages as u64, resident as u64, 0, 0, 0];
            user::copy_out(buf, husk_machine::pod::slice_bytes(&words))?;
            Ok(shm::SEGMENTS.highest_slot())
        }
        IPC_STAT | SHM_STAT | SHM_STAT_ANY => {
            stat(t, &shm::SEGMENTS, (shmid, cmd), SHM_STAT_ANY, buf, |segment: &Segment| {
                segment.ds().to_vec()
            })
        }
        IPC_SET | IPC_RMID | SHM_LOCK | SHM_UNLOCK => {
            let segment = shm::SEGMENTS.find(shmid)?;
            let ds = if cmd == IPC_SET { user::read::<[u8; shm::DS_LEN]>(buf)?.to_vec() } else { Vec::new() };
            let perm = *segment.perm().borrow();
            match cmd {
                SHM_LOCK | SHM_UNLOCK if cred.capable(CAP_IPC_LOCK) => {}
                _ => perm.check_owner(&cred)?,
            }
            match cmd {
                IPC_SET => segment.set_perm(&ds),
                IPC_RMID => segment.remove(),
                _ => segment.set_locked(cmd == SHM_LOCK),
            }
            Ok(0)
        }
        _ => Err(Errno::EINVAL),
    }
}
