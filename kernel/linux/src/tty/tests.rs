use super::*;
use crate::task::process::Session;
use husk_abi::boot::Stdio;
use husk_machine::host;

fn pair() -> (Arc<OpenFile>, Arc<OpenFile>, Arc<Tty>) {
    let master = pty::open_master(2, raw::O_RDWR).unwrap();
    let master = OpenFile::new(master, raw::O_RDWR | raw::O_NONBLOCK, None);
    let tty = master.object.downcast::<pty::Master>().unwrap().tty().clone();
    assert!(pty::list().iter().any(|listed| Arc::ptr_eq(listed, &tty)));
    let FarSide::Master(side) = &tty.far else { panic!("a pty") };
    side.set_locked(false);
    let slave = pty::open_slave(tty.index(), raw::O_RDWR | raw::O_NOCTTY).unwrap();
    (master, OpenFile::new(slave, raw::O_RDWR | raw::O_NONBLOCK, None), tty)
}

fn read(of: &OpenFile) -> Result<Vec<u8>, Errno> {
    let mut bytes = alloc::vec![0; 1000];
    let count = of.read(&mut Sink::Kernel(&mut bytes))?;
    bytes.truncate(count);
    Ok(bytes)
}

fn write(of: &OpenFile, data: &[u8]) -> SysResult {
    of.write(&mut Source::Kernel(data))
}

fn set(tty: &Tty, change: impl FnOnce(&mut raw::termios2)) {
    let mut termios = tty.line.borrow().termios;
    change(&mut termios);
    tty.line.borrow_mut().set_termios(termios);
}

#[test]
fn a_pty_carries_lines_one_way_and_output_the_other() {
    let _task = task::test::enter();
    let (master, slave, _tty) = pair();
    assert_eq!(read(&slave), Err(Errno::EAGAIN));
    assert_eq!(write(&master, b"typed\n"), Ok(6));
    assert_eq!(slave.object.poll(&slave), READABLE | WRITABLE);
    assert_eq!(read(&slave).unwrap(), b"typed\n");
    assert_eq!(read(&master).unwrap(), b"typed\r\n");
    assert_eq!(write(&slave, b"said\n"), Ok(5));
    assert_eq!(read(&master).unwrap(), b"said\r\n");
    assert_eq!(read(&master), Err(Errno::EAGAIN));
}

#[test]
fn a_locked_or_closed_pty_cannot_be_opened() {
    let _task = task::test::enter();
    let (master, slave, tty) = pair();
    let FarSide::Master(side) = &tty.far else { panic!("a pty") };
    side.set_locked(true);
    assert_eq!(pty::open_slave(tty.index(), raw::O_RDWR).err(), Some(Errno::EIO));
    side.set_locked(false);
    drop(master);
    assert_eq!(pty::open_slave(tty.index(), raw::O_RDWR).err(), Some(Errno::ENXIO));
    assert_eq!(read(&slave).unwrap(), b"");
    assert_eq!(write(&slave, b"x"), Err(Errno::EIO));
    assert_eq!(slave.object.poll(&slave), READABLE | WRITABLE | EPOLLERR | EPOLLHUP);
}

#[test]
fn the_master_sees_the_slave_go_and_come_back() {
    let _task = task::test::enter();
    let (master, slave, tty) = pair();
    write(&slave, b"last").unwrap();
    drop(slave);
    assert_eq!(master.object.poll(&master), READABLE | WRITABLE | EPOLLHUP);
    assert_eq!(read(&master).unwrap(), b"last");
    assert_eq!(read(&master), Err(Errno::EIO));
    let _again = pty::open_slave(tty.index(), raw::O_RDWR | raw::O_NOCTTY).unwrap();
    assert_eq!(read(&master), Err(Errno::EAGAIN));
}

#[test]
fn numbers_are_used_again_when_nobody_has_them() {
    let _task = task::test::enter();
    let (first, slave, tty) = pair();
    let index = tty.index();
    drop((first, tty));
    let (second, _, other) = pair();
    assert_ne!(other.index(), index);
    drop(slave);
    let (_third, _, third) = pair();
    assert_eq!(third.index(), index);
    drop((second, other));
}

#[test]
fn raw_reads_wait_for_as_many_as_vmin_says() {
    let _task = task::test::enter();
    let (master, slave, tty) = pair();
    set(&tty, |termios| {
        termios.c_lflag &= !(raw::ICANON | raw::ECHO);
        termios.c_cc[raw::VMIN as usize] = 3;
    });
    write(&master, b"ab").unwrap();
    assert_eq!(slave.object.poll(&slave) & READABLE, 0);
    write(&master, b"c").unwrap();
    assert_eq!(slave.object.poll(&slave) & READABLE, READABLE);
    assert_eq!(read(&slave).unwrap(), b"abc");
    set(&tty, |termios| termios.c_cc[raw::VMIN as usize] = 0);
    assert_eq!(read(&slave).unwrap(), b"");
}

#[test]
fn packet_mode_tells_of_flow_and_data() {
    let _task = task::test::enter();
    let (master, slave, tty) = pair();
    let FarSide::Master(side) = &tty.far else { panic!("a pty") };
    side.set_packet_mode(true);
    write(&slave, b"data").unwrap();
    assert_eq!(read(&master).unwrap(), b"\0data");
    write(&master, b"\x13").unwrap();
    assert_eq!(master.object.poll(&master), READABLE | WRITABLE | EPOLLPRI_BIT);
    assert_eq!(read(&master).unwrap(), [raw::TIOCPKT_STOP as u8]);
    assert_eq!(write(&slave, b"held"), Err(Errno::EAGAIN));
    write(&master, b"\x11").unwrap();
    assert_eq!(read(&master).unwrap(), [raw::TIOCPKT_START as u8]);
}

const EPOLLPRI_BIT: u32 = raw::EPOLLPRI;

#[test]
fn a_session_leader_gets_the_first_terminal_it_opens_and_loses_it_with_it() {
    let task = task::test::enter();
    let process = task.process();
    let (master, _slave, tty) = pair();
    assert!(!tty.controls(process));
    assert_eq!(open_controlling(0, raw::O_RDWR).err(), Some(Errno::ENXIO));
    let _own = pty::open_slave(tty.index(), raw::O_RDWR).unwrap();
    assert!(tty.controls(process));
    assert_eq!(tty.foreground(), process.pgid.get());
    assert!(open_controlling(0, raw::O_RDWR).is_ok());

    // A second terminal does not replace it.
    let (_other_master, _other_slave, other) = pair();
    let _open = pty::open_slave(other.index(), raw::O_RDWR).unwrap();
    assert!(tty.controls(process) && !other.controls(process));
    assert_eq!(job::take_control(&other, false), Err(Errno::EPERM));

    drop(master);
    assert!(!tty.controls(process) && tty.session().is_none());
    assert_eq!(job::take_control(&other, false), Ok(()));
    assert!(other.controls(process));
}

#[test]
fn only_members_of_the_session_choose_the_foreground() {
    // Process 1 is the one whose group is never orphaned.
    let _first = task::test::enter();
    let task = task::test::enter();
    let process = task.process();
    let (_master, _slave, tty) = pair();
    assert_eq!(job::set_foreground(&tty, process.pgid.get()), Err(Errno::ENOTTY));
    job::take_control(&tty, false).unwrap();
    assert_eq!(job::set_foreground(&tty, 99_999), Err(Errno::ESRCH));
    let stranger = task::test::another(task.cred());
    let session = Arc::new(Session { id: stranger.pid(), terminal: KCell::default() });
    drop(stranger.process().session.replace(session));
    assert_eq!(job::set_foreground(&tty, stranger.process().pgid.get()), Err(Errno::EPERM));
    assert_eq!(job::set_foreground(&tty, process.pgid.get()), Ok(()));
    // In a background group that nobody could bring back: an error, not a stop for ever.
    job::control(&tty, &process.session.borrow().clone(), stranger.process().pgid.get());
    assert_eq!(job::check_background(&tty, raw::SIGTTIN), Err(Errno::EIO));
}

fn stdio(modes: [u32; 3], terminals: [u32; 3]) -> [Option<Arc<OpenFile>>; 3] {
    let stdio = core::array::from_fn(|fd| Stdio { mode: modes[fd], terminal: terminals[fd] });
    console::make_stdio(&stdio, true, [24, 80, 0, 0])
}

#[test]
fn streams_of_the_host_block_and_end() {
    let _task = task::test::enter();
    let [input, output, none] = stdio([raw::S_IFIFO, raw::S_IFREG, 0], [0; 3]);
    let (input, output) = (input.unwrap(), output.unwrap());
    assert!(none.is_none());
    assert_eq!(input.object.stat().unwrap().mode & raw::S_IFMT, raw::S_IFIFO);
    assert_eq!(output.object.stat().unwrap().mode & raw::S_IFMT, raw::S_IFREG);
    input.set_flags(input.flags() | raw::O_NONBLOCK);
    assert_eq!(input.object.poll(&input), 0);
    assert_eq!(read(&input), Err(Errno::EAGAIN));
    assert!(!console::watch()[0].input, "nobody waits");
    host::feed(0, b"from the host");
    console::look();
    assert_eq!(input.object.poll(&input), READABLE);
    assert_eq!(read(&input).unwrap(), b"from the host");
    host::close(0);
    assert_eq!(read(&input).unwrap(), b"");
    assert_eq!(input.object.poll(&input), EPOLLHUP);

    assert_eq!(write(&output, b"all"), Ok(3));
    host::set_room(1, Some(2));
    assert_eq!(write(&output, b"some"), Ok(2));
    output.set_flags(output.flags() | raw::O_NONBLOCK);
    assert_eq!(write(&output, b"me"), Err(Errno::EAGAIN));
    assert_eq!(output.object.poll(&output), 0);
    host::set_room(1, None);
    console::look();
    assert_eq!(output.object.poll(&output), WRITABLE);
    assert_eq!(host::take_written(1), b"allso");
}

#[test]
fn a_terminal_of_the_host_becomes_the_controlling_terminal() {
    let task = task::test::enter();
    let [input, output, error] = stdio([raw::S_IFCHR, raw::S_IFCHR, raw::S_IFIFO], [1, 1, 0]);
    let (input, output) = (input.unwrap(), output.unwrap());
    assert!(Arc::ptr_eq(&input, &output) && !Arc::ptr_eq(&input, &error.unwrap()));
    assert!(console::controls(task.process()));
    assert_eq!(input.object.link(), "/dev/pts/0");
    assert!(console::watch()[0].input && !console::watch()[1].output);
    host::feed(0, b"ls\r");
    console::look();
    assert_eq!(read(&input).unwrap(), b"ls\n");
    assert_eq!(host::take_written(1), b"ls\r\n");
    assert_eq!(write(&output, b"file\n"), Ok(5));
    assert_eq!(host::take_written(1), b"file\r\n");
    host::close(0);
    console::look();
    assert_eq!(read(&input).unwrap(), b"");
    assert!(!console::controls(task.process()));
}
