//! Tars made byte by byte, so that they can be wrong.

#![allow(dead_code)]

/// A header of the ustar format and what follows it.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) name: Vec<u8>,
    pub(crate) kind: u8,
    pub(crate) link: Vec<u8>,
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) size: Option<u64>,
    pub(crate) mtime: [u8; 12],
    pub(crate) device: (u32, u32),
    pub(crate) data: Vec<u8>,
}

pub(crate) fn entry(name: &[u8], kind: u8) -> Entry {
    Entry {
        name: name.to_vec(),
        kind,
        link: Vec::new(),
        mode: if kind == b'5' { 0o755 } else { 0o644 },
        uid: 0,
        size: None,
        mtime: *b"00000001750\0",
        device: (0, 0),
        data: Vec::new(),
    }
}

pub(crate) fn file(name: &[u8], data: &[u8]) -> Entry {
    Entry { data: data.to_vec(), ..entry(name, b'0') }
}

pub(crate) fn dir(name: &[u8]) -> Entry {
    entry(name, b'5')
}

pub(crate) fn link(name: &[u8], target: &[u8]) -> Entry {
    Entry { link: target.to_vec(), ..entry(name, b'1') }
}

pub(crate) fn symlink(name: &[u8], target: &[u8]) -> Entry {
    Entry { link: target.to_vec(), ..entry(name, b'2') }
}

pub(crate) fn device(name: &[u8], major: u32, minor: u32) -> Entry {
    Entry { device: (major, minor), ..entry(name, b'3') }
}

/// A pax header for the next entry, of `key=value` records.
pub(crate) fn pax(records: &[(&[u8], &[u8])]) -> Entry {
    let mut data = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let mut len = rest + 1;
        while len != rest + len.to_string().len() {
            len = rest + len.to_string().len();
        }
        data.extend_from_slice(format!("{len} ").as_bytes());
        data.extend_from_slice(key);
        data.push(b'=');
        data.extend_from_slice(value);
        data.push(b'\n');
    }
    Entry { data, ..entry(b"pax", b'x') }
}

pub(crate) fn gnu_long_name(name: &[u8]) -> Entry {
    Entry { data: [name, b"\0"].concat(), ..entry(b"././@LongLink", b'L') }
}

impl Entry {
    pub(crate) fn header(&self) -> [u8; 512] {
        let mut header = [0; 512];
        let octal = |field: &mut [u8], number: u64| {
            let text = format!("{number:0width$o}\0", width = field.len() - 1);
            field.copy_from_slice(&text.as_bytes()[..field.len()]);
        };
        let len = self.name.len().min(100);
        header[..len].copy_from_slice(&self.name[..len]);
        octal(&mut header[100..108], u64::from(self.mode));
        octal(&mut header[108..116], self.uid);
        octal(&mut header[116..124], 0);
        octal(&mut header[124..136], self.size.unwrap_or(self.data.len() as u64));
        header[136..148].copy_from_slice(&self.mtime);
        header[156] = self.kind;
        let len = self.link.len().min(100);
        header[157..157 + len].copy_from_slice(&self.link[..len]);
        header[257..265].copy_from_slice(b"ustar\x0000");
        octal(&mut header[329..337], u64::from(self.device.0));
        octal(&mut header[337..345], u64::from(self.device.1));
        checksum(&mut header);
        header
    }
}

pub(crate) fn checksum(header: &mut [u8]) {
    header[148..156].fill(b' ');
    let sum: u32 = header[..512].iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

pub(crate) fn body(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        bytes.extend_from_slice(&entry.header());
        bytes.extend_from_slice(&entry.data);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes
}

pub(crate) fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = body(entries);
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}
