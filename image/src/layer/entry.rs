//! What an entry of a layer's tar says: its headers, checked.

use super::refused;
use crate::ImageError;
use husk_erofs_build::Meta;
use std::collections::BTreeMap;
use tar_core::parse::ParsedEntry;
use tar_core::{EntryType, PaxExtensions};

/// An entry, freed from the buffer it was parsed in.
pub(super) struct Item {
    pub(super) path: Vec<u8>,
    pub(super) kind: EntryType,
    pub(super) link: Vec<u8>,
    pub(super) meta: Meta,
    pub(super) device: (u32, u32),
    /// Bytes in the tar.
    pub(super) size: u64,
    /// Bytes of the file, and which of them are in the tar.
    pub(super) sparse: Option<(u64, Vec<(u64, u64)>)>,
}

impl Item {
    pub(super) fn link_text(&self) -> String {
        String::from_utf8_lossy(&self.link).chars().take(200).collect()
    }
}

/// A path's names below the layer's root. `..` goes up, but not out.
pub(super) fn names(path: &[u8]) -> Result<Vec<&[u8]>, ImageError> {
    let mut names = Vec::new();
    for part in path.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                names.pop().ok_or_else(|| refused(path, "it leads out of the layer"))?;
            }
            _ if part.len() > 255 => return Err(refused(path, "a name is longer than 255 bytes")),
            _ if part.contains(&0) => return Err(refused(path, "a name contains a zero")),
            _ => names.push(part),
        }
    }
    Ok(names)
}

pub(super) fn item(
    entry: &ParsedEntry<'_>,
    sparse: Option<(u64, Vec<(u64, u64)>)>,
) -> Result<Item, ImageError> {
    let path = entry.path.to_vec();
    let id = |id: u64, what: &str| {
        u32::try_from(id).map_err(|_| refused(&path, format!("its {what} {id} is not of 32 bits")))
    };
    let mut meta = Meta {
        permissions: (entry.mode & 0o7777) as u16,
        uid: id(entry.uid, "owner")?,
        gid: id(entry.gid, "group")?,
        // In the header's binary form it is of two's complement.
        mtime: entry.mtime.cast_signed(),
        mtime_nsec: 0,
        xattrs: BTreeMap::new(),
    };
    for extension in PaxExtensions::new(entry.pax.unwrap_or_default()) {
        let extension = extension.map_err(|error| refused(&path, error.to_string()))?;
        let (key, value) = (extension.key_bytes(), extension.value_bytes());
        match key {
            b"mtime" => {
                let time = std::str::from_utf8(value).ok().and_then(time);
                (meta.mtime, meta.mtime_nsec) =
                    time.ok_or_else(|| refused(&path, "its time is no number"))?;
            }
            b"size" | b"uid" | b"gid" => {
                let number = std::str::from_utf8(value).ok().and_then(|text| text.parse::<u64>().ok());
                number.ok_or_else(|| {
                    refused(&path, format!("its pax {:?} is no number", String::from_utf8_lossy(key)))
                })?;
            }
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    xattr(&path, &mut meta, name, value)?;
                }
            }
        }
    }
    // The mode's type bits are not looked at: the entry's type decides.
    let has_data = !matches!(
        entry.entry_type,
        EntryType::Link
            | EntryType::Symlink
            | EntryType::Char
            | EntryType::Block
            | EntryType::Directory
            | EntryType::Fifo
    );
    Ok(Item {
        kind: entry.entry_type,
        link: entry.link_target.as_deref().unwrap_or_default().to_vec(),
        device: (entry.dev_major.unwrap_or(0), entry.dev_minor.unwrap_or(0)),
        size: if has_data { entry.size } else { 0 },
        meta,
        sparse,
        path,
    })
}

/// Takes an attribute that a guest can have. Those of this store's own marks are not the layer's to set.
fn xattr(path: &[u8], meta: &mut Meta, name: &[u8], value: &[u8]) -> Result<(), ImageError> {
    let known =
        [&b"user."[..], b"security.", b"trusted.", b"system.posix_acl_access", b"system.posix_acl_default"];
    let ours = [&b"trusted.overlay."[..], b"trusted.husk."];
    let has = |prefixes: &[&[u8]]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    if !has(&known) || has(&ours) {
        return Ok(());
    }
    if name.len() > 255 || name.contains(&0) {
        return Err(refused(path, "the name of an extended attribute is too long or contains a zero"));
    }
    if value.len() > 65_535 {
        return Err(refused(path, "an extended attribute has more than 65,535 bytes"));
    }
    meta.xattrs.insert(name.to_vec(), value.to_vec());
    // What listxattr(2) can tell, and what an inode can hold.
    let total: usize = meta.xattrs.iter().map(|(name, value)| name.len() + value.len() + 8).sum();
    if total > 200 << 10 {
        return Err(refused(path, "its extended attributes have more than 200 KiB"));
    }
    Ok(())
}

/// Seconds and nanoseconds of a decimal number, rounded down.
fn time(text: &str) -> Option<(i64, u32)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    if !digits.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) || digits.is_empty() {
        return None;
    }
    let seconds: i64 = whole.parse().ok()?;
    let nanoseconds: u32 = format!("{fraction:0<9.9}").parse().ok()?;
    if whole.starts_with('-') && nanoseconds > 0 {
        return Some((seconds.checked_sub(1)?, 1_000_000_000 - nanoseconds));
    }
    Some((seconds, nanoseconds))
}
