//! glibc's `/etc/ld.so.cache`: read on the host, and written for the guest with only what the guest has.
//!
//! Layout: a 48-byte header, entries of 24 bytes in the linker's own order, strings. An older table may stand
//! before it and is passed over.

use std::fs;
use std::path::{Path, PathBuf};

/// Where the linker looks for it.
pub(super) const CACHE_FILE: &str = "/etc/ld.so.cache";

const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const OLD_MAGIC: &[u8] = b"ld.so-1.7.0\0";
const HEADER: usize = 48;
const ENTRY: usize = 24;
/// An entry's flags: an ELF library for the C library version 6, for 64-bit x86-64.
const X86_64_LIBC6: u32 = 0x0303;
/// The header's flags: little endian.
const LITTLE_ENDIAN: u8 = 2;

/// The libraries that the cache names, in its order: name and path.
#[derive(Debug, Default)]
pub(super) struct CacheFile {
    entries: Vec<(String, PathBuf)>,
}

impl CacheFile {
    /// The host's cache; empty where there is none or it cannot be read.
    pub(super) fn host() -> Self {
        Self::parse(&fs::read(CACHE_FILE).unwrap_or_default()).unwrap_or_default()
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut table = bytes;
        if bytes.starts_with(OLD_MAGIC) {
            let count = u32_at(bytes, OLD_MAGIC.len())? as usize;
            table = bytes.get((16 + count.checked_mul(12)?).next_multiple_of(8)..)?;
        }
        if !table.starts_with(MAGIC) {
            return None;
        }
        let count = u32_at(table, MAGIC.len())? as usize;
        let raw = table.get(HEADER..HEADER.checked_add(count.checked_mul(ENTRY)?)?)?;
        let text = |at: u32| {
            let bytes = table.get(at as usize..)?.split(|&byte| byte == 0).next()?;
            String::from_utf8(bytes.to_vec()).ok()
        };
        let mut entries = Vec::new();
        for entry in raw.chunks_exact(ENTRY) {
            // Those with hardware capabilities are variants of another entry, which serves every machine.
            let has_capabilities = entry[16..24] != [0; 8];
            if u32_at(entry, 0)? == X86_64_LIBC6 && !has_capabilities {
                entries.push((text(u32_at(entry, 4)?)?, text(u32_at(entry, 8)?)?.into()));
            }
        }
        Some(Self { entries })
    }

    /// The path of a library by its name.
    pub(super) fn find(&self, name: &str) -> Option<PathBuf> {
        self.entries.iter().find(|entry| entry.0 == name).map(|entry| entry.1.clone())
    }

    /// The cache with only those entries whose path is kept. The order stays, so the linker's search holds.
    pub(super) fn filtered(&self, keep: impl Fn(&Path) -> bool) -> Vec<u8> {
        let kept: Vec<_> = self.entries.iter().filter(|entry| keep(&entry.1)).collect();
        let strings_at = HEADER + kept.len() * ENTRY;
        let mut strings = Vec::new();
        let mut table = Vec::new();
        for (name, path) in &kept {
            table.extend_from_slice(&X86_64_LIBC6.to_le_bytes());
            for text in [name.as_bytes(), path.as_os_str().as_encoded_bytes()] {
                table.extend_from_slice(&((strings_at + strings.len()) as u32).to_le_bytes());
                strings.extend_from_slice(text);
                strings.push(0);
            }
            table.extend_from_slice(&[0; 12]);
        }
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&(kept.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(strings.len() as u32).to_le_bytes());
        bytes.push(LITTLE_ENDIAN);
        bytes.resize(HEADER, 0);
        bytes.extend_from_slice(&table);
        bytes.extend_from_slice(&strings);
        bytes
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filtered_cache_reads_back() {
        let entry = |name: &str, path: &str| (name.to_string(), PathBuf::from(path));
        let cache = CacheFile {
            entries: vec![entry("libz.so.1", "/lib/libz.so.1"), entry("libc.so.6", "/lib/libc.so.6")],
        };
        let read = CacheFile::parse(&cache.filtered(|path| path.ends_with("libc.so.6"))).unwrap();
        assert_eq!(read.entries, cache.entries[1..]);
    }

    #[test]
    fn the_hosts_cache_names_the_c_library() {
        if !Path::new(CACHE_FILE).exists() {
            eprintln!("skipped: this host has no {CACHE_FILE}");
            return;
        }
        let path = CacheFile::host().find("libc.so.6").expect("libc.so.6 in the cache");
        assert!(path.exists());
    }

    #[test]
    fn damaged_caches_are_no_caches() {
        let whole = CacheFile { entries: vec![("a".into(), "/a".into())] }.filtered(|_| true);
        for len in 0..whole.len() - 2 {
            assert!(CacheFile::parse(&whole[..len]).is_none_or(|cache| cache.entries.len() <= 1));
        }
        let mut many = whole;
        many[20..24].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(CacheFile::parse(&many).is_none());
    }
}
