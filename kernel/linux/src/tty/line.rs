//! The line discipline: what termios(3) says happens to bytes between a terminal and its readers and writers.
//!
//! Pure data: bytes from the far side (a pty's master, the host's terminal) go in by `receive`, bytes from writers by
//! `write`; what a reader gets comes out by `take_line` or `take_raw`, what goes to the far side (echo and output) is
//! in `output`. Signals to be sent are reported, not sent.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use linux_raw_sys::general as raw;
use raw::termios2;

/// Bytes a line may have before its end: more are dropped, as MAX_CANON says.
const LINE_MAX: usize = 4095;
/// Unread input beyond which the far side should hold back, and raw bytes are dropped.
pub const INPUT_MAX: usize = 65_536;
/// Output the far side has not taken beyond which writers wait.
pub const OUTPUT_MAX: usize = 65_536;
/// A control character that is switched off.
const DISABLED: u8 = 0;

/// Settings that a new terminal has (`stty sane`, as Linux starts).
pub fn default_termios() -> termios2 {
    let mut cc = [0; 19];
    for (index, value) in [
        (raw::VINTR, 3),
        (raw::VQUIT, 28),
        (raw::VERASE, 127),
        (raw::VKILL, 21),
        (raw::VEOF, 4),
        (raw::VMIN, 1),
        (raw::VSTART, 17),
        (raw::VSTOP, 19),
        (raw::VSUSP, 26),
        (raw::VREPRINT, 18),
        (raw::VDISCARD, 15),
        (raw::VWERASE, 23),
        (raw::VLNEXT, 22),
    ] {
        cc[index as usize] = value;
    }
    termios2 {
        c_iflag: raw::ICRNL | raw::IXON,
        c_oflag: raw::OPOST | raw::ONLCR,
        c_cflag: raw::B38400 | raw::CS8 | raw::CREAD,
        c_lflag: raw::ISIG
            | raw::ICANON
            | raw::ECHO
            | raw::ECHOE
            | raw::ECHOK
            | raw::ECHOCTL
            | raw::ECHOKE
            | raw::IEXTEN,
        c_line: 0,
        c_cc: cc,
        c_ispeed: 38_400,
        c_ospeed: 38_400,
    }
}

fn is_control(byte: u8) -> bool {
    byte < 32 || byte == 127
}

// Linux's idea of letters is Latin-1, and so is that of its terminals.

fn is_upper(byte: u8) -> bool {
    byte.is_ascii_uppercase() || (matches!(byte, 0xc0..=0xde) && byte != 0xd7)
}

fn is_lower(byte: u8) -> bool {
    byte.is_ascii_lowercase() || (byte >= 0xdf && byte != 0xf7)
}

/// What VWERASE takes for a part of a word.
fn is_word(byte: u8) -> bool {
    is_upper(byte) || is_lower(byte) || byte.is_ascii_digit() || byte == b'_'
}

/// One terminal's settings, input and output.
pub struct Line {
    pub termios: termios2,
    /// Bytes for readers. Those from `line_start` on are still being edited in canonical mode.
    input: VecDeque<u8>,
    line_start: usize,
    /// Where in `input` lines end: indices of their last bytes. An end that holds `DISABLED` is an end of file.
    line_ends: VecDeque<usize>,
    /// The next byte is taken literally.
    literal_next: bool,
    /// Within a run of ECHOPRT erasures.
    erasing: bool,
    /// Where the cursor of the far side is, and where it was when the current line began.
    column: usize,
    line_column: usize,
    /// Bytes for the far side.
    output: VecDeque<u8>,
    /// Echo that came while output was stopped.
    held: VecDeque<u8>,
    stopped: bool,
    /// Packet-mode events (TIOCPKT_*) that the far side has not been told.
    pub packet_events: u8,
    /// The far side edits and echoes by itself: bytes pass unchanged, apart from the division into lines.
    pub cooked_far_side: bool,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            termios: default_termios(),
            input: VecDeque::new(),
            line_start: 0,
            line_ends: VecDeque::new(),
            literal_next: false,
            erasing: false,
            column: 0,
            line_column: 0,
            output: VecDeque::new(),
            held: VecDeque::new(),
            stopped: false,
            packet_events: 0,
            cooked_far_side: false,
        }
    }
}

impl Line {
    fn iflag(&self, flag: u32) -> bool {
        self.termios.c_iflag & flag != 0
    }

    fn oflag(&self, flag: u32) -> bool {
        self.termios.c_oflag & flag != 0
    }

    pub fn lflag(&self, flag: u32) -> bool {
        self.termios.c_lflag & flag != 0
    }

    pub fn cc(&self, index: u32) -> u8 {
        self.termios.c_cc[index as usize]
    }

    fn is(&self, byte: u8, index: u32) -> bool {
        byte != DISABLED && byte == self.cc(index)
    }

    pub fn canonical(&self) -> bool {
        self.lflag(raw::ICANON)
    }

    fn continues_character(&self, byte: u8) -> bool {
        self.iflag(raw::IUTF8) && byte & 0xc0 == 0x80
    }

    fn editing(&self) -> bool {
        self.input.len() > self.line_start
    }

    // Output.

    /// Writes as much of `data` as fits and returns how many bytes that was; none while output is stopped.
    pub fn write(&mut self, data: &[u8]) -> usize {
        if self.stopped {
            return 0;
        }
        let mut done = 0;
        if !self.oflag(raw::OPOST) || self.cooked_far_side {
            done = data.len().min(OUTPUT_MAX.saturating_sub(self.output.len()));
            self.output.extend(&data[..done]);
            return done;
        }
        for byte in data {
            if self.output.len() + 8 > OUTPUT_MAX {
                break;
            }
            self.process_output(*byte);
            done += 1;
        }
        done
    }

    pub fn can_write(&self) -> bool {
        !self.stopped && self.output.len() + 8 <= OUTPUT_MAX
    }

    pub fn output(&self) -> &VecDeque<u8> {
        &self.output
    }

    /// Takes up to `max` bytes for the far side.
    pub fn take_output(&mut self, max: usize) -> Vec<u8> {
        let count = max.min(self.output.len());
        self.output.drain(..count).collect()
    }

    /// Drops output that the far side has taken.
    pub fn consume_output(&mut self, count: usize) {
        self.output.drain(..count);
    }

    fn emit(&mut self, byte: u8) {
        if self.stopped {
            self.held.push_back(byte);
        } else {
            self.output.push_back(byte);
        }
    }

    fn process_output(&mut self, mut byte: u8) {
        match byte {
            b'\n' => {
                if self.oflag(raw::ONLRET) {
                    self.column = 0;
                }
                if self.oflag(raw::ONLCR) {
                    self.column = 0;
                    self.emit(b'\r');
                }
                self.line_column = self.column;
            }
            b'\r' => {
                if self.oflag(raw::ONOCR) && self.column == 0 {
                    return;
                }
                if self.oflag(raw::OCRNL) {
                    byte = b'\n';
                    if self.oflag(raw::ONLRET) {
                        self.column = 0;
                        self.line_column = 0;
                    }
                } else {
                    self.column = 0;
                    self.line_column = 0;
                }
            }
            b'\t' => {
                let spaces = 8 - self.column % 8;
                self.column += spaces;
                if self.termios.c_oflag & raw::TABDLY == raw::XTABS {
                    for _ in 0..spaces {
                        self.emit(b' ');
                    }
                    return;
                }
            }
            8 => self.column = self.column.saturating_sub(1),
            _ if is_control(byte) => {}
            _ => {
                if self.oflag(raw::OLCUC) && is_lower(byte) {
                    byte -= 32;
                }
                if !self.continues_character(byte) {
                    self.column += 1;
                }
            }
        }
        self.emit(byte);
    }

    fn echo_raw(&mut self, byte: u8) {
        if self.cooked_far_side {
            return;
        }
        if self.output.len() + self.held.len() > 2 * OUTPUT_MAX {
            return;
        }
        if byte == 0xff {
            // Linux counts its column even where it counts no other's.
            self.column += 1;
            self.emit(byte);
        } else if self.oflag(raw::OPOST) {
            self.process_output(byte);
        } else {
            self.emit(byte);
        }
    }

    /// Echoes an input byte: control characters as ^X where ECHOCTL says so.
    fn echo(&mut self, byte: u8) {
        if self.lflag(raw::ECHOCTL) && is_control(byte) && byte != b'\t' {
            if !self.cooked_far_side {
                self.emit(b'^');
                self.emit(byte ^ 0o100);
                self.column += 2;
            }
        } else {
            self.echo_raw(byte);
        }
    }

    fn echo_all(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.echo_raw(*byte);
        }
    }

    fn finish_erasing(&mut self) {
        if core::mem::take(&mut self.erasing) {
            self.echo_raw(b'/');
        }
    }

    /// Stops output: a stop character, or tcflow(3).
    pub fn stop(&mut self) {
        if !self.stopped {
            self.stopped = true;
            self.note_packet_event(raw::TIOCPKT_STOP, raw::TIOCPKT_START);
        }
    }

    /// Lets output go on.
    pub fn start(&mut self) {
        if self.stopped {
            self.stopped = false;
            self.output.append(&mut self.held);
            self.note_packet_event(raw::TIOCPKT_START, raw::TIOCPKT_STOP);
        }
    }

    /// Sends a control character to the far side, past what waits: tcflow(3).
    pub fn send_control(&mut self, byte: u8) {
        if byte != DISABLED {
            self.output.push_front(byte);
        }
    }

    fn note_packet_event(&mut self, event: u32, opposite: u32) {
        self.packet_events = (self.packet_events & !(opposite as u8)) | event as u8;
    }

    // Input.

    /// Takes bytes from the far side. Signals that they stand for are appended to `signals`.
    pub fn receive(&mut self, bytes: &[u8], signals: &mut Vec<u32>) {
        for byte in bytes {
            self.receive_byte(*byte, signals);
        }
    }

    /// The far side is at the end of its file for now: what the EOF character stands for.
    pub fn receive_eof(&mut self) {
        self.end_line(DISABLED);
    }

    /// Bytes that may still be received before the far side should hold back.
    pub fn room(&self) -> usize {
        INPUT_MAX.saturating_sub(self.input.len())
    }

    fn receive_byte(&mut self, mut byte: u8, signals: &mut Vec<u32>) {
        if self.iflag(raw::ISTRIP) {
            byte &= 0x7f;
        }
        if self.iflag(raw::IUCLC) && self.lflag(raw::IEXTEN) && is_upper(byte) {
            byte += 32;
        }
        if core::mem::take(&mut self.literal_next) {
            return self.receive_plain(byte, false);
        }
        if self.iflag(raw::IXON) {
            if self.is(byte, raw::VSTART) {
                return self.start();
            }
            if self.is(byte, raw::VSTOP) {
                return self.stop();
            }
        }
        if self.lflag(raw::ISIG) {
            for (index, signal) in
                [(raw::VINTR, raw::SIGINT), (raw::VQUIT, raw::SIGQUIT), (raw::VSUSP, raw::SIGTSTP)]
            {
                if self.is(byte, index) {
                    return self.receive_signal(byte, signal, signals);
                }
            }
        }
        if self.iflag(raw::IXON) && self.iflag(raw::IXANY) {
            self.start();
        }
        let mut mapped = false;
        match byte {
            b'\r' if self.iflag(raw::IGNCR) => return,
            b'\r' if self.iflag(raw::ICRNL) => {
                byte = b'\n';
                mapped = true;
            }
            b'\n' if self.iflag(raw::INLCR) => byte = b'\r',
            _ => {}
        }
        if self.canonical() && self.receive_canonical(byte) {
            return;
        }
        self.receive_plain(byte, mapped);
    }

    /// `mapped`: a newline that ICRNL made, which is echoed as one and not as ^J.
    fn receive_plain(&mut self, byte: u8, mapped: bool) {
        if self.lflag(raw::ECHO) {
            self.finish_erasing();
            if mapped {
                self.echo_raw(byte);
            } else {
                self.note_line_column();
                self.echo(byte);
            }
        }
        if byte == 0xff && self.iflag(raw::PARMRK) {
            self.put(byte);
        }
        self.put(byte);
    }

    fn note_line_column(&mut self) {
        if !self.editing() {
            self.line_column = self.column;
        }
    }

    /// Handles a byte that canonical mode gives a meaning; false: it is ordinary.
    fn receive_canonical(&mut self, byte: u8) -> bool {
        let extended = self.lflag(raw::IEXTEN);
        let echoing = self.lflag(raw::ECHO);
        if self.is(byte, raw::VERASE)
            || self.is(byte, raw::VKILL)
            || (extended && self.is(byte, raw::VWERASE))
        {
            self.erase(byte);
        } else if extended && self.is(byte, raw::VLNEXT) {
            self.literal_next = true;
            if echoing {
                self.finish_erasing();
                if self.lflag(raw::ECHOCTL) {
                    self.echo_all(b"^\x08");
                }
            }
        } else if extended && echoing && self.is(byte, raw::VREPRINT) {
            self.finish_erasing();
            self.echo(byte);
            self.echo_raw(b'\n');
            for index in self.line_start..self.input.len() {
                self.echo(self.input[index]);
            }
        } else if byte == b'\n' {
            if echoing || self.lflag(raw::ECHONL) {
                self.echo_raw(b'\n');
            }
            self.end_line(byte);
        } else if self.is(byte, raw::VEOF) {
            self.end_line(DISABLED);
        } else if self.is(byte, raw::VEOL) || (extended && self.is(byte, raw::VEOL2)) {
            if echoing {
                self.note_line_column();
                self.echo(byte);
            }
            self.end_line(byte);
        } else {
            return false;
        }
        true
    }

    fn put(&mut self, byte: u8) {
        let full = match self.canonical() {
            true => self.input.len() - self.line_start >= LINE_MAX,
            false => self.input.len() >= INPUT_MAX,
        };
        if !full {
            self.input.push_back(byte);
        }
    }

    fn end_line(&mut self, byte: u8) {
        self.line_ends.push_back(self.input.len());
        self.input.push_back(byte);
        self.line_start = self.input.len();
    }

    fn receive_signal(&mut self, byte: u8, signal: u32, signals: &mut Vec<u32>) {
        signals.push(signal);
        if !self.lflag(raw::NOFLSH) {
            self.flush_input();
            self.held.clear();
            self.packet_events |= (raw::TIOCPKT_FLUSHREAD | raw::TIOCPKT_FLUSHWRITE) as u8;
        }
        if self.iflag(raw::IXON) {
            self.start();
        }
        if self.lflag(raw::ECHO) {
            self.echo(byte);
        }
    }

    /// Forgets what was not read.
    pub fn flush_input(&mut self) {
        self.input.clear();
        self.line_start = 0;
        self.line_ends.clear();
        self.literal_next = false;
        self.erasing = false;
    }

    /// Forgets what the far side has not taken.
    pub fn flush_output(&mut self) {
        self.output.clear();
        self.held.clear();
    }

    /// VERASE, VWERASE or VKILL: takes back a character, a word or the line.
    fn erase(&mut self, key: u8) {
        if !self.editing() {
            return;
        }
        let (one, word) = match () {
            () if self.is(key, raw::VERASE) => (true, false),
            () if self.is(key, raw::VWERASE) => (false, true),
            () => (false, false),
        };
        let echoing = self.lflag(raw::ECHO);
        if !one && !word {
            let visually = self.lflag(raw::ECHOK) && self.lflag(raw::ECHOKE) && self.lflag(raw::ECHOE);
            if !echoing || !visually {
                self.input.truncate(self.line_start);
                if echoing {
                    self.finish_erasing();
                    self.echo(key);
                    if self.lflag(raw::ECHOK) {
                        self.echo_raw(b'\n');
                    }
                }
                return;
            }
        }
        let mut in_word = false;
        while self.editing() {
            let mut start = self.input.len() - 1;
            while start > self.line_start && self.continues_character(self.input[start]) {
                start -= 1;
            }
            let first = self.input[start];
            if self.continues_character(first) {
                break;
            }
            if word {
                if is_word(first) {
                    in_word = true;
                } else if in_word {
                    break;
                }
            }
            let character: Vec<u8> = self.input.drain(start..).collect();
            if echoing {
                self.echo_erasure(&character, one);
            }
            if one {
                break;
            }
        }
        if echoing && !self.editing() {
            self.finish_erasing();
        }
    }

    fn echo_erasure(&mut self, character: &[u8], one: bool) {
        let first = character[0];
        if self.lflag(raw::ECHOPRT) {
            if !self.erasing {
                self.erasing = true;
                self.echo_raw(b'\\');
            }
            self.echo(first);
            for byte in &character[1..] {
                self.echo_raw(*byte);
                self.column = self.column.saturating_sub(1);
            }
        } else if one && !self.lflag(raw::ECHOE) {
            self.echo(self.cc(raw::VERASE));
        } else if first == b'\t' {
            self.echo_tab_erasure();
        } else {
            if is_control(first) && self.lflag(raw::ECHOCTL) {
                self.echo_all(b"\x08 \x08");
            }
            if !is_control(first) || self.lflag(raw::ECHOCTL) {
                self.echo_all(b"\x08 \x08");
            }
        }
    }

    /// Goes back over the columns that an erased tab had taken.
    fn echo_tab_erasure(&mut self) {
        let mut columns = 0;
        let mut after_tab = false;
        for index in (self.line_start..self.input.len()).rev() {
            let byte = self.input[index];
            if byte == b'\t' {
                after_tab = true;
                break;
            }
            columns += match byte {
                _ if is_control(byte) => 2 * usize::from(self.lflag(raw::ECHOCTL)),
                _ if self.continues_character(byte) => 0,
                _ => 1,
            };
        }
        if !after_tab {
            columns += self.line_column;
        }
        if !self.cooked_far_side {
            for _ in 0..8 - columns % 8 {
                self.emit(8);
                self.column = self.column.saturating_sub(1);
            }
        }
    }

    // Reading.

    /// Bytes that FIONREAD tells of.
    pub fn readable(&self) -> usize {
        if self.canonical() {
            let eofs = self.line_ends.iter().filter(|end| self.input[**end] == DISABLED).count();
            self.line_start - eofs
        } else {
            self.input.len()
        }
    }

    /// Whether a read would find something; with `wanted` bytes when not canonical.
    pub fn has_input(&self, wanted: usize) -> bool {
        if self.canonical() { !self.line_ends.is_empty() } else { self.input.len() >= wanted.max(1) }
    }

    /// The next line or its first `max` bytes; an empty one is the end of the file. `None`: there is no line yet.
    pub fn take_line(&mut self, max: usize) -> Option<Vec<u8>> {
        let end = *self.line_ends.front()?;
        let is_eof = self.input[end] == DISABLED;
        let len = end + usize::from(!is_eof);
        let line: Vec<u8> = self.input.drain(..len.min(max)).collect();
        let mut gone = line.len();
        if len <= max {
            self.line_ends.pop_front();
            if is_eof {
                self.input.pop_front();
                gone += 1;
            }
        }
        self.forget(gone);
        Some(line)
    }

    /// Up to `max` bytes, regardless of lines.
    pub fn take_raw(&mut self, max: usize) -> Vec<u8> {
        let bytes: Vec<u8> = self.input.drain(..max.min(self.input.len())).collect();
        while self.line_ends.front().is_some_and(|end| *end < bytes.len()) {
            self.line_ends.pop_front();
        }
        self.forget(bytes.len());
        bytes
    }

    /// Renumbers after the first `count` bytes of input have gone.
    fn forget(&mut self, count: usize) {
        for end in &mut self.line_ends {
            *end -= count;
        }
        self.line_start = self.line_start.saturating_sub(count);
    }

    /// tcsetattr(3).
    pub fn set_termios(&mut self, mut new: termios2) {
        let flow = |termios: &termios2| {
            termios.c_iflag & raw::IXON != 0
                && termios.c_cc[raw::VSTOP as usize] == 19
                && termios.c_cc[raw::VSTART as usize] == 17
        };
        new.c_cflag = (new.c_cflag & !(raw::CSIZE | raw::PARENB)) | raw::CS8 | raw::CREAD;
        let (was_canonical, old_flow) = (self.canonical(), flow(&self.termios));
        self.termios = new;
        if flow(&self.termios) != old_flow {
            let (event, opposite) = match old_flow {
                true => (raw::TIOCPKT_NOSTOP, raw::TIOCPKT_DOSTOP),
                false => (raw::TIOCPKT_DOSTOP, raw::TIOCPKT_NOSTOP),
            };
            self.note_packet_event(event, opposite);
        }
        if was_canonical != self.canonical() {
            // What was there becomes readable as it is: in canonical mode, as one line.
            self.line_ends.clear();
            if self.canonical() && !self.input.is_empty() {
                self.line_ends.push_back(self.input.len() - 1);
            }
            self.line_start = self.input.len();
            self.erasing = false;
            self.literal_next = false;
        }
        if !self.iflag(raw::IXON) {
            self.start();
        }
    }
}

#[cfg(test)]
mod tests;
