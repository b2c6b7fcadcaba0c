//! What a user asks to have mounted into a guest: `-v`, `--mount` and `--tmpfs`, as Docker has them.

use crate::server::Access;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// Where the files of a mount come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file or directory of the host.
    Path(PathBuf),
    /// A volume by its name.
    Named(String),
    /// A volume that nobody has named yet.
    Anonymous,
    /// Memory of the guest: most bytes, permissions.
    Memory { size: Option<u64>, mode: Option<u32> },
}

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    pub source: Source,
    /// Where in the guest: absolute, without `.`, `..` and doubled slashes.
    pub target: Vec<u8>,
    pub access: Access,
    /// A volume that is new gets what the image has at `target`.
    pub copies: bool,
}

/// Why a mount is refused: what is wrong with which option.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{option}: {}: {why}", text(value))]
pub struct Refused {
    pub option: &'static str,
    pub value: OsString,
    pub why: String,
}

fn text(value: &OsString) -> String {
    value.to_string_lossy().into_owned()
}

/// Whether a volume may be called so.
#[must_use]
pub fn is_volume_name(name: &[u8]) -> bool {
    (1..=255).contains(&name.len())
        && name[0].is_ascii_alphanumeric()
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(byte))
}

fn target(path: &[u8]) -> Result<Vec<u8>, String> {
    if !path.starts_with(b"/") {
        return Err("the place in the guest must be an absolute path".into());
    }
    let mut clean = Vec::with_capacity(path.len());
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err("the place in the guest must not have `..` in it".into()),
            part => {
                clean.push(b'/');
                clean.extend_from_slice(part);
            }
        }
    }
    if clean.is_empty() {
        return Err("a guest's root is an image or `--rootfs`; nothing can be mounted over it".into());
    }
    if clean.len() >= 4096 {
        return Err("the place in the guest is longer than 4095 bytes".into());
    }
    Ok(clean)
}

/// What `-v` and `--mount` name as a source: with a slash or a dot in front it is a path, as Docker has it.
fn source(name: &[u8]) -> Result<Source, String> {
    if name.starts_with(b"/") || name.starts_with(b".") {
        return Ok(Source::Path(PathBuf::from(OsStr::from_bytes(name))));
    }
    if is_volume_name(name) {
        return Ok(Source::Named(String::from_utf8_lossy(name).into_owned()));
    }
    Err("neither a path (with `/` or `./` in front) nor a name of letters, digits, `_`, `.` and `-`".into())
}

fn bytes(text: &[u8]) -> Option<u64> {
    let (digits, shift) = match text.last()?.to_ascii_lowercase() {
        b'k' => (&text[..text.len() - 1], 10),
        b'm' => (&text[..text.len() - 1], 20),
        b'g' => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    number.checked_mul(1 << shift)
}

fn octal(text: &[u8]) -> Option<u32> {
    let mode = u32::from_str_radix(std::str::from_utf8(text).ok()?, 8).ok()?;
    (mode <= 0o7777).then_some(mode)
}

fn refused(option: &'static str, value: &OsStr) -> impl Fn(String) -> Refused {
    move |why| Refused { option, value: value.to_owned(), why }
}

/// `-v [SOURCE:]TARGET[:OPTIONS]`.
///
/// # Errors
/// What cannot be understood.
pub fn parse_volume(value: &OsStr) -> Result<Mount, Refused> {
    let refused = refused("--volume", value);
    let parts: Vec<&[u8]> = value.as_bytes().split(|byte| *byte == b':').collect();
    let (from, to, options): (Option<&[u8]>, &[u8], &[u8]) = match parts[..] {
        [to] => (None, to, b""),
        [from, to] => (Some(from), to, b""),
        [from, to, options] => (Some(from), to, options),
        _ => return Err(refused("it has more than SOURCE:TARGET:OPTIONS".into())),
    };
    let (mut access, mut copies) = (Access::ReadWrite, true);
    for option in options.split(|byte| *byte == b',').filter(|option| !option.is_empty()) {
        match option {
            b"ro" => access = Access::ReadOnly,
            b"rw" => access = Access::ReadWrite,
            b"copy" => copies = true,
            b"nocopy" => copies = false,
            // For SELinux and mount propagation, which mean nothing here.
            b"z" | b"Z" | b"rprivate" | b"private" | b"rbind" => {}
            option => {
                return Err(refused(format!(
                    "unknown option `{}`; there are ro, rw and nocopy",
                    String::from_utf8_lossy(option)
                )));
            }
        }
    }
    let source = match from {
        None => Source::Anonymous,
        Some(b"") => return Err(refused("the source is empty".into())),
        Some(from) => source(from).map_err(|why| refused(format!("source: {why}")))?,
    };
    let target = target(to).map_err(&refused)?;
    Ok(Mount { source, target, access, copies })
}

/// `--tmpfs TARGET[:OPTIONS]`.
///
/// # Errors
/// What cannot be understood.
pub fn parse_tmpfs(value: &OsStr) -> Result<Mount, Refused> {
    let refused = refused("--tmpfs", value);
    let mut parts = value.as_bytes().splitn(2, |byte| *byte == b':');
    let target = target(parts.next().unwrap_or_default()).map_err(&refused)?;
    let (mut size, mut mode, mut access) = (None, None, Access::ReadWrite);
    let options = parts.next().unwrap_or_default();
    for option in options.split(|byte| *byte == b',').filter(|option| !option.is_empty()) {
        let text = String::from_utf8_lossy(option);
        match option {
            b"ro" => access = Access::ReadOnly,
            b"rw" | b"exec" | b"noexec" | b"suid" | b"nosuid" | b"dev" | b"nodev" => {}
            _ => match (option.strip_prefix(b"size="), option.strip_prefix(b"mode=")) {
                (Some(value), _) => {
                    size = Some(bytes(value).ok_or_else(|| refused(format!("{text}: no number of bytes")))?);
                }
                (_, Some(value)) => {
                    mode = Some(
                        octal(value).ok_or_else(|| refused(format!("{text}: no permissions in octal")))?,
                    );
                }
                _ => return Err(refused(format!("unknown option `{text}`; there are size=, mode= and ro"))),
            },
        }
    }
    Ok(Mount { source: Source::Memory { size, mode }, target, access, copies: false })
}

/// `--mount type=bind|volume|tmpfs,...`.
///
/// # Errors
/// What cannot be understood.
pub fn parse_mount(value: &OsStr) -> Result<Mount, Refused> {
    let refused = refused("--mount", value);
    let (mut kind, mut from, mut to): (&[u8], Option<&[u8]>, Option<&[u8]>) = (b"volume", None, None);
    let (mut access, mut size, mut mode, mut copies) = (Access::ReadWrite, None, None, true);
    for field in value.as_bytes().split(|byte| *byte == b',') {
        let (key, given) = match field.iter().position(|byte| *byte == b'=') {
            Some(at) => (&field[..at], Some(&field[at + 1..])),
            None => (field, None),
        };
        let text = String::from_utf8_lossy(field);
        match (key, given) {
            (b"type", Some(given)) => kind = given,
            (b"source" | b"src", given) => from = given,
            (b"target" | b"dst" | b"destination", given) => to = given,
            (b"readonly" | b"ro", None | Some(b"true" | b"1")) => access = Access::ReadOnly,
            (b"readonly" | b"ro", Some(b"false" | b"0")) => access = Access::ReadWrite,
            (b"tmpfs-size", Some(given)) => {
                size = Some(bytes(given).ok_or_else(|| refused(format!("{text}: no number of bytes")))?);
            }
            (b"tmpfs-mode", Some(given)) => {
                mode = Some(octal(given).ok_or_else(|| refused(format!("{text}: no permissions in octal")))?);
            }
            (b"volume-nocopy", None | Some(b"true" | b"1")) => copies = false,
            (b"volume-nocopy", Some(b"false" | b"0")) => copies = true,
            (b"bind-propagation" | b"consistency" | b"bind-nonrecursive", _) => {}
            _ => {
                return Err(refused(format!(
                    "unknown field `{text}`; there are type=, source=, target=, readonly, volume-nocopy, tmpfs-size= and tmpfs-mode="
                )));
            }
        }
    }
    let to = to.ok_or_else(|| refused("it needs target=PATH".into()))?;
    let target = target(to).map_err(&refused)?;
    let needs_source =
        || from.filter(|from| !from.is_empty()).ok_or_else(|| refused("it needs source=".into()));
    let source = match kind {
        b"bind" => Source::Path(PathBuf::from(OsString::from_vec(needs_source()?.to_vec()))),
        b"volume" => match from.filter(|from| !from.is_empty()) {
            None => Source::Anonymous,
            Some(from) if is_volume_name(from) => Source::Named(String::from_utf8_lossy(from).into_owned()),
            Some(_) => {
                return Err(refused("source= of a volume is its name; a path is for type=bind".into()));
            }
        },
        b"tmpfs" if from.is_some() => return Err(refused("a tmpfs has no source".into())),
        b"tmpfs" => Source::Memory { size, mode },
        other => {
            return Err(refused(format!(
                "unknown type `{}`; there are bind, volume and tmpfs",
                String::from_utf8_lossy(other)
            )));
        }
    };
    if kind != b"tmpfs" && (size.is_some() || mode.is_some()) {
        return Err(refused("tmpfs-size= and tmpfs-mode= are for type=tmpfs".into()));
    }
    Ok(Mount { source, target, access, copies })
}
