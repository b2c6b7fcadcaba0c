//! The host's pseudo-terminals are the model: the same settings and bytes must give the same echo and input.

use super::*;
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{
    ControlModes, InputModes, LocalModes, OptionalActions, OutputModes, SpecialCodeIndex, tcgetattr,
    tcsetattr,
};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

struct HostPty {
    master: OwnedFd,
    slave: OwnedFd,
}

impl HostPty {
    fn open() -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("the host has pseudo-terminals");
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let slave = ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        for fd in [&master, &slave] {
            rustix::io::ioctl_fionbio(fd, true).unwrap();
        }
        Self { master, slave }
    }

    fn set(&self, new: &termios2) {
        let mut termios = tcgetattr(&self.slave).unwrap();
        termios.input_modes = InputModes::from_bits_retain(new.c_iflag);
        termios.output_modes = OutputModes::from_bits_retain(new.c_oflag);
        termios.control_modes = ControlModes::from_bits_retain(new.c_cflag);
        termios.local_modes = LocalModes::from_bits_retain(new.c_lflag);
        let codes = [
            (SpecialCodeIndex::VERASE, raw::VERASE),
            (SpecialCodeIndex::VKILL, raw::VKILL),
            (SpecialCodeIndex::VEOL, raw::VEOL),
            (SpecialCodeIndex::VEOL2, raw::VEOL2),
        ];
        for (code, index) in codes {
            termios.special_codes[code] = new.c_cc[index as usize];
        }
        tcsetattr(&self.slave, OptionalActions::Now, &termios).unwrap();
    }

    /// Reads until there are as many bytes as expected: the host moves them in its own time.
    fn read(fd: &OwnedFd, expected: usize) -> Vec<u8> {
        let mut all = Vec::new();
        let start = Instant::now();
        loop {
            let mut buffer = [0; 4096];
            if let Ok(count) = rustix::io::read(fd, &mut buffer[..]) {
                all.extend_from_slice(&buffer[..count]);
            }
            if all.len() >= expected || start.elapsed() > Duration::from_secs(5) {
                return all;
            }
            std::thread::yield_now();
        }
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    /// Some of the flags.
    fn some(&mut self, flags: &[u32]) -> u32 {
        flags.iter().filter(|_| self.below(3) > 0).sum()
    }
}

fn random_termios(random: &mut Random) -> termios2 {
    let mut termios = default_termios();
    use raw::{ECHO, ECHOCTL, ECHOE, ECHOK, ECHOKE, ECHONL, ECHOPRT, ICANON, IEXTEN, ISIG};
    use raw::{ICRNL, IGNCR, INLCR, ISTRIP, IUTF8, OCRNL, ONLCR, ONLRET, ONOCR, OPOST};
    termios.c_iflag = random.some(&[ICRNL, IUTF8]);
    termios.c_oflag = random.some(&[OPOST, ONLCR]);
    termios.c_lflag = random.some(&[ICANON, ECHO, ECHOE, ECHOK, ECHOKE, ECHOCTL, IEXTEN, ISIG]) | raw::NOFLSH;
    if random.below(4) == 0 {
        termios.c_iflag |= random.some(&[INLCR, IGNCR, ISTRIP, raw::IUCLC]);
        termios.c_oflag |= random.some(&[OCRNL, ONOCR, ONLRET, raw::OLCUC, raw::XTABS]);
        termios.c_lflag |= random.some(&[ECHONL, ECHOPRT]);
        termios.c_cc[raw::VEOL as usize] = b';';
        termios.c_cc[raw::VEOL2 as usize] = b'|';
    }
    termios
}

#[test]
fn random_input_is_echoed_and_read_as_on_the_host() {
    let words: [&[u8]; 30] = [
        b"a",
        b"word",
        b"two words",
        b" ",
        b"\t",
        b"x\ty",
        b"\n",
        b"\r",
        b"\x7f",
        b"\x7f\x7f",
        b"\x15",
        b"\x17",
        b"\x16",
        b"\x16\x7f",
        b"\x12",
        b"\x04",
        b"\x04\n",
        b"\x03",
        b"\x1c",
        b"\x1a",
        b"\x01",
        b"\x1b[A",
        b";",
        b"|",
        b"ABC",
        "\u{e9}".as_bytes(),
        "\u{4e2d}\u{6587}".as_bytes(),
        b"\xff",
        b"\x08",
        b"under_score9",
    ];
    let mut random = Random(0x1234_5678_9abc_def1);
    for round in 0..1500 {
        let host = HostPty::open();
        let mut line = Line::default();
        let termios = random_termios(&mut random);
        host.set(&termios);
        line.set_termios(termios);
        let mut history = Vec::new();
        for _ in 0..40 {
            let context = |history: &Vec<u8>| {
                let termios2 { c_iflag, c_oflag, c_lflag, .. } = termios;
                format!("round {round} i {c_iflag:o} o {c_oflag:o} l {c_lflag:o} {}", history.escape_ascii())
            };
            let mut bytes = Vec::new();
            for _ in 0..=random.below(6) {
                bytes.extend_from_slice(words[random.below(words.len())]);
            }
            history.extend_from_slice(&bytes);
            rustix::io::write(&host.master, &bytes).unwrap();
            line.receive(&bytes, &mut Vec::new());
            let own = line.take_output(usize::MAX);
            let expected = HostPty::read(&host.master, own.len());
            assert_eq!(
                own.escape_ascii().to_string(),
                expected.escape_ascii().to_string(),
                "{}",
                context(&history)
            );
            if random.below(3) == 0 {
                let text = b"Out put\tx\r\n\n\r\x08y\x01";
                assert_eq!(rustix::io::write(&host.slave, text).unwrap(), line.write(text));
                history.extend_from_slice(b"<OUT>");
                let own = line.take_output(usize::MAX);
                let expected = HostPty::read(&host.master, own.len());
                assert_eq!(
                    own.escape_ascii().to_string(),
                    expected.escape_ascii().to_string(),
                    "{}",
                    context(&history)
                );
            }
            if random.below(3) == 0 {
                let own = match line.canonical() {
                    true => core::iter::from_fn(|| line.take_line(5)).flatten().collect(),
                    false => line.take_raw(usize::MAX),
                };
                let expected = HostPty::read(&host.slave, own.len());
                assert_eq!(
                    own.escape_ascii().to_string(),
                    expected.escape_ascii().to_string(),
                    "{}",
                    context(&history)
                );
                history.extend_from_slice(b"<READ>");
            }
        }
    }
}

fn received(line: &mut Line, bytes: &[u8]) -> Vec<u32> {
    let mut signals = Vec::new();
    line.receive(bytes, &mut signals);
    signals
}

#[test]
fn signal_characters_report_signals_and_flush() {
    let mut line = Line::default();
    assert_eq!(received(&mut line, b"half\x03"), [raw::SIGINT]);
    assert_eq!(line.take_output(100), b"half^C");
    assert_eq!(received(&mut line, b"\x1a\x1c"), [raw::SIGTSTP, raw::SIGQUIT]);
    assert_eq!(received(&mut line, b"new\n"), []);
    assert_eq!(line.take_line(100).unwrap(), b"new\n");
}

#[test]
fn lines_end_files_and_come_one_at_a_time() {
    let mut line = Line::default();
    received(&mut line, b"one\ntwo\x04\x04rest");
    assert_eq!(line.readable(), 7);
    assert_eq!(line.take_line(2).unwrap(), b"on");
    assert_eq!(line.take_line(100).unwrap(), b"e\n");
    assert_eq!(line.take_line(100).unwrap(), b"two");
    assert_eq!(line.take_line(100).unwrap(), b"");
    assert_eq!(line.take_line(100), None);
    let mut termios = default_termios();
    termios.c_lflag &= !raw::ICANON;
    line.set_termios(termios);
    assert_eq!(line.take_raw(100), b"rest");
}

#[test]
fn a_stopped_terminal_holds_output_and_echo() {
    let mut line = Line::default();
    assert_eq!(received(&mut line, b"\x13x"), []);
    assert_eq!(line.write(b"data"), 0);
    assert!(!line.can_write() && line.take_output(10).is_empty());
    assert_eq!(u32::from(line.packet_events), raw::TIOCPKT_STOP);
    received(&mut line, b"\x11");
    assert_eq!(line.take_output(10), b"x");
    assert_eq!(u32::from(line.packet_events), raw::TIOCPKT_START);
    assert_eq!(line.write(b"data\n"), 5);
    assert_eq!(line.take_output(10), b"data\r\n");
}

#[test]
fn a_far_side_that_edits_itself_gets_no_echo() {
    let mut line = Line { cooked_far_side: true, ..Line::default() };
    received(&mut line, b"typed\n");
    line.receive_eof();
    assert_eq!(line.write(b"a\n"), 2);
    assert_eq!(line.take_output(100), b"a\n");
    assert_eq!(line.take_line(100).unwrap(), b"typed\n");
    assert_eq!(line.take_line(100).unwrap(), b"");
}
