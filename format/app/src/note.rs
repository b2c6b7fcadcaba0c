//! The note: where in the file root image and manifest lie.

use crate::{ALIGN, Damage, checksum};

/// The note's owner and type, as `readelf -n` shows them.
pub const NOTE_NAME: &[u8; 8] = b"Husk\0\0\0\0";
/// See `NOTE_NAME`.
pub const NOTE_TYPE: u32 = 1;
/// Bytes of the descriptor.
pub const DESCRIPTOR_LEN: usize = 64;
/// Bytes of the whole note: three words, name, descriptor.
pub const NOTE_LEN: usize = 12 + 8 + DESCRIPTOR_LEN;

/// The format's version.
const VERSION: u32 = 1;

/// The note's descriptor, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    /// Bytes of the whole file.
    pub file_len: u64,
    /// Bytes of the front before the padding that `root_offset` ends.
    pub front_len: u64,
    pub root_offset: u64,
    pub root_len: u64,
    pub manifest_offset: u64,
    pub manifest_len: u32,
    /// `checksum` of the manifest.
    pub manifest_checksum: u32,
}

impl Note {
    /// The descriptor's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; DESCRIPTOR_LEN] {
        let mut bytes = [0; DESCRIPTOR_LEN];
        let words = [self.file_len, self.front_len, self.root_offset, self.root_len, self.manifest_offset];
        bytes[..4].copy_from_slice(&VERSION.to_le_bytes());
        for (at, word) in words.iter().enumerate() {
            bytes[8 + at * 8..16 + at * 8].copy_from_slice(&word.to_le_bytes());
        }
        bytes[48..52].copy_from_slice(&self.manifest_len.to_le_bytes());
        bytes[52..56].copy_from_slice(&self.manifest_checksum.to_le_bytes());
        let sum = checksum(&bytes[..DESCRIPTOR_LEN - 4]);
        bytes[DESCRIPTOR_LEN - 4..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// `None` for the front itself: a descriptor of zeros.
    ///
    /// # Errors
    /// [`Damage::Note`], [`Damage::Version`], [`Damage::Layout`].
    pub fn decode(bytes: &[u8; DESCRIPTOR_LEN]) -> Result<Option<Self>, Damage> {
        if bytes.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        let word = |at: usize| u32::from_le_bytes(core::array::from_fn(|byte| bytes[at + byte]));
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        if checksum(&bytes[..DESCRIPTOR_LEN - 4]) != word(DESCRIPTOR_LEN - 4) {
            return Err(Damage::Note);
        }
        if word(0) != VERSION {
            return Err(Damage::Version(word(0)));
        }
        let note = Self {
            file_len: long(8),
            front_len: long(16),
            root_offset: long(24),
            root_len: long(32),
            manifest_offset: long(40),
            manifest_len: word(48),
            manifest_checksum: word(52),
        };
        if note.holds_together() { Ok(Some(note)) } else { Err(Damage::Layout) }
    }

    fn holds_together(&self) -> bool {
        let root_end = self.root_offset.checked_add(self.root_len);
        let end = self.manifest_offset.checked_add(u64::from(self.manifest_len));
        self.front_len <= self.root_offset
            && self.root_offset.is_multiple_of(ALIGN)
            && self.manifest_offset.is_multiple_of(ALIGN)
            && root_end.is_some_and(|root_end| root_end <= self.manifest_offset)
            && end == Some(self.file_len)
            && self.manifest_len as usize <= crate::MANIFEST_MAX
    }

    /// # Errors
    /// [`Damage::Length`].
    pub fn check_length(&self, has: u64) -> Result<(), Damage> {
        if has == self.file_len { Ok(()) } else { Err(Damage::Length(self.file_len, has)) }
    }
}

/// Where the descriptor of the front's note lies in the bytes of its ELF file: found by its program header.
#[must_use]
pub fn note_in(elf: &[u8]) -> Option<usize> {
    let word = |at: usize| Some(u32::from_le_bytes(*elf.get(at..)?.first_chunk()?));
    let long = |at: usize| usize::try_from(u64::from_le_bytes(*elf.get(at..)?.first_chunk()?)).ok();
    if !elf.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let (headers, count) = (long(32)?, u16::from_le_bytes(*elf.get(56..)?.first_chunk()?));
    (0..usize::from(count)).find_map(|index| {
        const PT_NOTE: u32 = 4;
        const HEADER_LEN: usize = 56;
        let header = headers.checked_add(index * HEADER_LEN)?;
        let at = long(header.checked_add(8)?)?;
        let is_ours = word(header)? == PT_NOTE
            && word(at)? == NOTE_NAME.len() as u32
            && word(at.checked_add(4)?)? == DESCRIPTOR_LEN as u32
            && word(at.checked_add(8)?)? == NOTE_TYPE
            && elf.get(at + 12..at + 20)? == NOTE_NAME;
        (is_ours && elf.len() >= at + NOTE_LEN).then_some(at + 20)
    })
}
