use super::msg::{MSG_COPY, MSG_EXCEPT, MSG_NOERROR, Message, MsgQueue};
use super::sem::{NOWAIT, Operation, SEM_UNDO, SEMVMX, SemSet};
use super::*;
use crate::task;

fn cred(uid: u32) -> Arc<Cred> {
    Cred::new(uid, uid)
}

fn new_set(key: i32, flags: u32, cred: &Cred) -> Result<i32, Errno> {
    let fits = |set: &SemSet| if set.len() >= 2 { Ok(()) } else { Err(Errno::EINVAL) };
    sem::SETS.get(key, flags, cred, fits, |perm| Ok(SemSet::new(perm, 2)))
}

fn operation(number: u16, change: i16, flags: u16) -> Operation {
    Operation { number, change, flags }
}

#[test]
fn keys_find_objects_and_removed_identifiers_stay_dead() {
    let _task = task::test::enter();
    let user = cred(1000);
    assert_eq!(new_set(7, 0o600, &user), Err(Errno::ENOENT));
    let id = new_set(7, IPC_CREAT | 0o600, &user).unwrap();
    assert_eq!(new_set(7, 0o600, &user), Ok(id));
    assert_eq!(new_set(7, IPC_CREAT | IPC_EXCL | 0o600, &user), Err(Errno::EEXIST));
    assert_eq!(new_set(7, 0o400, &cred(1001)), Err(Errno::EACCES));
    assert_eq!(new_set(7, 0o400, &cred(0)), Ok(id));
    let set = sem::SETS.find(id).unwrap();
    assert_eq!(set.perm().borrow().check_owner(&cred(1001)), Err(Errno::EPERM));
    set.remove();
    assert_eq!(sem::SETS.find(id).err(), Some(Errno::EINVAL));
    let next = new_set(7, IPC_CREAT | 0o600, &user).unwrap();
    assert_ne!(next, id);
    assert_eq!(sem::SETS.find(id).err(), Some(Errno::EINVAL));
    assert_ne!(new_set(IPC_PRIVATE, 0o600, &user), new_set(IPC_PRIVATE, 0o600, &user));
}

#[test]
fn operations_happen_together_or_not_at_all() {
    let task = task::test::enter();
    let id = new_set(IPC_PRIVATE, 0o600, &task.cred()).unwrap();
    let set = sem::SETS.find(id).unwrap();
    set.set_values(0, &[3, 0], 1).unwrap();
    let both = [operation(0, -2, NOWAIT), operation(1, -1, NOWAIT)];
    assert_eq!(set.operate(&both, 5, None), Err(Errno::EAGAIN));
    assert_eq!(set.values(), [3, 0]);
    assert_eq!(set.last_pid(0), Ok(1));
    assert_eq!(set.operate(&[operation(1, 1, 0), operation(0, -2, 0), operation(1, -1, 0)], 5, None), Ok(()));
    assert_eq!((set.values(), set.last_pid(0)), (alloc::vec![1, 0], Ok(5)));
    assert_eq!(set.operate(&[operation(0, SEMVMX as i16, 0)], 5, None), Err(Errno::ERANGE));
    assert_eq!(set.operate(&[operation(1, 0, 0)], 5, None), Ok(()));
    assert_eq!(set.operate(&[operation(0, 0, 0)], 5, None), Err(Errno::EINTR));
    assert_eq!((set.growth_waiters(0), set.zero_waiters(0)), (Ok(0), Ok(0)));
    set.remove();
    assert_eq!(set.operate(&[operation(0, 1, 0)], 5, None), Err(Errno::EIDRM));
}

#[test]
fn the_end_of_a_process_undoes_its_operations() {
    let task = task::test::enter();
    let process = task.process();
    let id = new_set(IPC_PRIVATE, 0o600, &task.cred()).unwrap();
    let set = sem::SETS.find(id).unwrap();
    set.set_values(0, &[5, 5], 1).unwrap();
    let pid = process.pid();
    set.operate(&[operation(0, -3, SEM_UNDO), operation(1, 2, SEM_UNDO)], pid, None).unwrap();
    set.operate(&[operation(0, -1, SEM_UNDO)], pid, None).unwrap();
    set.operate(&[operation(1, -6, 0)], pid, None).unwrap();
    assert_eq!(set.values(), [1, 1]);
    process_ends(process);
    // 1 + 3 + 1, and 1 - 2, which stops at 0.
    assert_eq!(set.values(), [5, 0]);
    process_ends(process);
    assert_eq!(set.values(), [5, 0]);
}

fn message(kind: i64, text: &[u8]) -> Message {
    Message { kind, text: text.to_vec() }
}

#[test]
fn messages_are_chosen_by_type() {
    let task = task::test::enter();
    let id = msg::QUEUES
        .get(IPC_PRIVATE, 0o600, &task.cred(), |_| Ok(()), |perm| Ok(MsgQueue::new(perm)))
        .unwrap();
    let queue = msg::QUEUES.find(id).unwrap();
    for (kind, text) in [(5, "five"), (3, "three"), (9, "nine"), (3, "third")] {
        queue.send(message(kind, text.as_bytes()), 0, 1).unwrap();
    }
    let receive = |kind, max, flags| queue.receive(kind, max, flags | IPC_NOWAIT, 1);
    assert_eq!(receive(2, 100, MSG_COPY), Ok(message(9, b"nine")));
    assert_eq!(receive(9, 3, 0), Err(Errno::E2BIG));
    assert_eq!(receive(9, 3, MSG_NOERROR), Ok(message(9, b"nin")));
    assert_eq!(receive(-4, 100, 0), Ok(message(3, b"three")));
    assert_eq!(receive(5, 100, MSG_EXCEPT), Ok(message(3, b"third")));
    assert_eq!(receive(0, 100, 0), Ok(message(5, b"five")));
    assert_eq!(receive(0, 100, 0), Err(Errno::ENOMSG));
    assert_eq!(queue.receive(0, 100, 0, 1), Err(Errno::ERESTARTNOHAND));
    assert_eq!(queue.usage(), (0, 0));
}

#[test]
fn a_full_queue_refuses_messages() {
    let task = task::test::enter();
    let id = msg::QUEUES
        .get(IPC_PRIVATE, 0o600, &task.cred(), |_| Ok(()), |perm| Ok(MsgQueue::new(perm)))
        .unwrap();
    let queue = msg::QUEUES.find(id).unwrap();
    queue.send(message(1, &[0; 8192]), 0, 1).unwrap();
    queue.send(message(1, &[0; 8192]), 0, 1).unwrap();
    assert_eq!(queue.send(message(1, &[0; 1]), IPC_NOWAIT, 1), Err(Errno::EAGAIN));
    assert_eq!(queue.send(message(1, &[0; 1]), 0, 1), Err(Errno::ERESTARTNOHAND));
    queue.receive(0, 8192, 0, 1).unwrap();
    assert_eq!(queue.send(message(1, &[0; 1]), IPC_NOWAIT, 1), Ok(()));
    queue.remove();
    assert_eq!(queue.receive(0, 8192, 0, 1), Err(Errno::EIDRM));
}

#[test]
fn a_removed_segment_lives_until_its_last_mapping_ends() {
    let task = task::test::enter();
    let id = shm::SEGMENTS
        .get(9, IPC_CREAT | 0o600, &task.cred(), |_| Ok(()), |perm| Ok(shm::Segment::new(perm, 10_000, 1)))
        .unwrap();
    let segment = shm::SEGMENTS.find(id).unwrap();
    let mapping = segment.memory().unwrap();
    assert_eq!(segment.attachments(), 1);
    assert!(Arc::ptr_eq(&shm::segment_of(&mapping).unwrap(), &segment));
    segment.remove();
    assert_eq!(segment.attachments(), 1);
    assert_eq!(segment.perm().borrow().mode, 0o600 | shm::SHM_DEST);
    assert!(shm::SEGMENTS.find(id).is_ok());
    drop(mapping);
    assert_eq!(shm::SEGMENTS.find(id).err(), Some(Errno::EINVAL));
    assert!(shm::SEGMENTS.all().is_empty());
}

fn open_mq(t: &task::Task, flags: u32) -> Result<Arc<crate::file::OpenFile>, Errno> {
    mq::open(t, b"name", flags, 0o600, Some(mq::Limits { messages: 2, message_len: 8 }))
}

#[test]
fn posix_queues_order_by_priority_and_notify_once() {
    use linux_raw_sys::general::{EPOLLIN, EPOLLOUT, O_CREAT, O_EXCL, O_RDWR};
    let task = task::test::enter();
    assert_eq!(open_mq(&task, O_RDWR).err(), Some(Errno::ENOENT));
    let of = open_mq(&task, O_RDWR | O_CREAT).unwrap();
    assert_eq!(open_mq(&task, O_RDWR | O_CREAT | O_EXCL).err(), Some(Errno::EEXIST));
    let queue = of.object.downcast::<mq::Descriptor>().unwrap().queue().clone();
    let notification = mq::Notification { pid: task.pid(), signo: 10, value: 4 };
    queue.notify(task.pid(), Some(notification)).unwrap();
    assert_eq!(queue.notify(task.pid(), Some(notification)), Err(Errno::EBUSY));
    queue.send(b"low".to_vec(), 1, true, None, &task).unwrap();
    // The message has used the registration up.
    assert_eq!(queue.notify(task.pid(), Some(notification)), Ok(()));
    queue.notify(task.pid(), None).unwrap();
    queue.send(b"high".to_vec(), 7, true, None, &task).unwrap();
    assert_eq!(of.object.poll(&of) & (EPOLLIN | EPOLLOUT), EPOLLIN);
    assert_eq!(queue.send(b"more".to_vec(), 7, true, None, &task), Err(Errno::EAGAIN));
    assert_eq!(queue.send(alloc::vec![0; 9], 7, true, None, &task), Err(Errno::EMSGSIZE));
    assert_eq!(queue.receive(7, true, None), Err(Errno::EMSGSIZE));
    assert_eq!(queue.receive(8, true, None), Ok((b"high".to_vec(), 7)));
    assert_eq!(queue.receive(8, true, None), Ok((b"low".to_vec(), 1)));
    assert_eq!(queue.receive(8, true, None), Err(Errno::EAGAIN));
    mq::unlink(&task, b"name").unwrap();
    assert_eq!(mq::unlink(&task, b"name"), Err(Errno::ENOENT));
}
