//! What a guest of an image is started with: the image's configuration as Docker understands it, with names of users
//! looked up in the image's own files.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use husk_erofs::{FileType, Inode};

use crate::map::Mapped;
use crate::merge::names_from_end;
use crate::store::{Image, Root, Store};
use crate::{ImageError, source};

/// A ready start.
#[derive(Clone, Debug)]
pub struct Launch {
    pub root: Root,
    pub entrypoint: Vec<String>,
    pub cmd: Vec<String>,
    /// `NAME=VALUE`, each name once, with PATH and HOME. HOSTNAME and TERM are the start's to add.
    pub env: Vec<String>,
    /// Absolute.
    pub cwd: String,
    pub user: User,
    /// 15 where the image says nothing.
    pub stop_signal: u32,
    /// Where the image wants volumes: absolute paths without `.`, `..` and doubled slashes, in order.
    pub volumes: Vec<String>,
}

/// Who a guest's first program is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    pub home: String,
}

/// Docker's search path where the image has none.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl Store {
    /// Prepares the start of an image; `user` stands in for the image's own.
    ///
    /// # Errors
    /// [`ImageError::User`]; those of [`Store::root`].
    pub fn launch(&self, image: &Image, user: Option<&str>) -> Result<Launch, ImageError> {
        let process = &image.config.config;
        let root = self.root(image)?;
        let user = find_user(&root, user.unwrap_or(&process.user))?;
        let mut env: Vec<String> = Vec::new();
        let home = format!("HOME={}", user.home);
        for entry in [PATH, &home].into_iter().chain(process.env.iter().map(String::as_str)) {
            let (name, _) = entry.split_once('=').unwrap_or((entry, ""));
            if name.is_empty() || entry.contains('\0') {
                continue;
            }
            env.retain(|known| known.split('=').next() != Some(name));
            env.push(if entry.contains('=') { entry.to_owned() } else { format!("{entry}=") });
        }
        let cwd = match process.working_dir.as_str() {
            "" => "/".to_owned(),
            dir if dir.starts_with('/') => dir.to_owned(),
            dir => format!("/{dir}"),
        };
        for text in process.entrypoint.iter().chain(&process.cmd).chain([&cwd]) {
            if text.contains('\0') {
                return Err(ImageError::document("configuration", "a string contains a zero"));
            }
        }
        Ok(Launch {
            root,
            entrypoint: process.entrypoint.clone(),
            cmd: process.cmd.clone(),
            env,
            cwd,
            user,
            stop_signal: signal(&process.stop_signal).unwrap_or(15),
            volumes: volumes(process.volumes.keys()),
        })
    }
}

/// The paths of VOLUME instructions as Docker understands them. The root itself is no volume.
fn volumes<'a>(paths: impl Iterator<Item = &'a String>) -> Vec<String> {
    let clean = |path: &String| {
        let mut names: Vec<&str> = Vec::new();
        for name in path.split('/') {
            match name {
                "" | "." => {}
                ".." => drop(names.pop()),
                name => names.push(name),
            }
        }
        (!names.is_empty() && !path.contains('\0')).then(|| format!("/{}", names.join("/")))
    };
    let mut all: Vec<String> = paths.filter_map(clean).collect();
    all.sort_unstable_by(|one, other| one.split('/').cmp(other.split('/')));
    all.dedup();
    all
}

/// The number of a signal by name, with or without SIG, or by number.
fn signal(text: &str) -> Option<u32> {
    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
        "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
        "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
    ];
    let upper = text.to_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(at) = NAMES.iter().position(|known| *known == name) {
        return Some(at as u32 + 1);
    }
    let offset = |rest: &str| {
        if rest.is_empty() { Some(0) } else { rest.strip_prefix(['+', '-'])?.parse::<u32>().ok() }
    };
    let number = if let Some(rest) = name.strip_prefix("RTMIN") {
        34_u32.checked_add(offset(rest)?)
    } else if let Some(rest) = name.strip_prefix("RTMAX") {
        64_u32.checked_sub(offset(rest)?)
    } else {
        text.parse().ok()
    };
    number.filter(|number| (1..=64).contains(number))
}

/// Largest /etc/passwd and /etc/group that are read.
const ACCOUNTS_MAX: u64 = 4 << 20;

/// Resolves `USER[:GROUP]`, names or numbers, by the root's /etc/passwd and /etc/group, as runc does.
///
/// # Errors
/// [`ImageError::User`].
pub fn find_user(root: &Root, text: &str) -> Result<User, ImageError> {
    let failed = |why| ImageError::User { user: text.to_owned(), why };
    let (user, group) = text.split_once(':').unwrap_or((text, ""));
    let file = |path: &str| {
        let bytes = read_file(root, path, ACCOUNTS_MAX)?.unwrap_or_default();
        Ok::<_, ImageError>(String::from_utf8_lossy(&bytes).into_owned())
    };
    let passwd = file("/etc/passwd")?;
    let id = |text: &str| text.parse::<u32>().ok().filter(|&id| i32::try_from(id).is_ok());
    let uid = if user.is_empty() { Some(0) } else { id(user) };
    let account = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| {
        fields.len() >= 4
            && (fields[0] == user && !user.is_empty() || uid.is_some() && fields[2].parse().ok() == uid)
    });
    let mut found = match (&account, uid) {
        (Some(fields), _) => User {
            uid: id(fields[2]).ok_or(failed("its number in the image's /etc/passwd is none"))?,
            gid: id(fields[3]).ok_or(failed("its group in the image's /etc/passwd is no number"))?,
            groups: Vec::new(),
            home: fields.get(5).filter(|home| home.starts_with('/')).map_or("/", |home| home).to_owned(),
        },
        (None, Some(uid)) => User { uid, gid: 0, groups: Vec::new(), home: "/".to_owned() },
        (None, None) => return Err(failed("no such user in the image's /etc/passwd")),
    };
    let groups = file("/etc/group")?;
    let mut groups =
        groups.lines().map(|line| line.split(':').collect::<Vec<_>>()).filter(|fields| fields.len() >= 3);
    if group.is_empty() {
        if let Some(fields) = account {
            let is_member = |group: &Vec<&str>| {
                group.get(3).is_some_and(|all| all.split(',').any(|name| name == fields[0]))
            };
            found.groups = groups.filter(is_member).filter_map(|group| id(group[2])).collect();
            found.groups.retain(|&group| group != found.gid);
            found.groups.dedup();
        }
    } else {
        let named = groups.find(|fields| fields[0] == group).and_then(|fields| id(fields[2]));
        found.gid = named.or_else(|| id(group)).ok_or(failed("no such group in the image's /etc/group"))?;
    }
    Ok(found)
}

/// Links on the way to a file.
const LINKS_MAX: usize = 40;

/// A file of a root, links followed within it; `None` where there is no regular file.
///
/// # Errors
/// [`ImageError::Io`], [`ImageError::Erofs`], [`ImageError::Document`] for one that is larger than `max` bytes.
pub fn read_file(root: &Root, path: &str, max: u64) -> Result<Option<Vec<u8>>, ImageError> {
    let merged = Path::new(&root.files[0]);
    let mapped = Mapped::open(merged)?;
    let image = mapped.metadata(merged, root.sizes.iter().sum())?;
    let failed = |error| ImageError::Erofs { path: merged.to_path_buf(), error };
    let Some(inode) = look_up(&image, path).map_err(failed)? else { return Ok(None) };
    if inode.file_type() != FileType::Regular {
        return Ok(None);
    }
    if inode.size > max {
        return Err(ImageError::document(path, format!("larger than {max} bytes")));
    }
    let mut bytes = vec![0; inode.size as usize];
    for extent in image.extents(&inode, 0) {
        let extent = extent.map_err(failed)?;
        let Some(mut at) = extent.image_offset else { continue };
        for (file, &size) in root.files.iter().zip(&root.sizes) {
            if at < size {
                let part = &mut bytes[extent.offset as usize..(extent.offset + extent.len) as usize];
                let opened = File::open(file).and_then(|opened| opened.read_exact_at(part, at));
                opened.map_err(ImageError::io(file))?;
                break;
            }
            at -= size;
        }
    }
    Ok(Some(bytes))
}

pub(crate) fn look_up(image: &husk_erofs::Image<'_>, path: &str) -> Result<Option<Inode>, husk_erofs::Error> {
    let mut todo = names_from_end(path.as_bytes());
    let mut at = vec![image.inode(image.root())?];
    let mut links = 0;
    while let Some(name) = todo.pop() {
        if name == b".." {
            if at.len() > 1 {
                at.pop();
            }
            continue;
        }
        let here = at[at.len() - 1];
        if here.file_type() != FileType::Directory {
            return Ok(None);
        }
        let Some(entry) = image.lookup(&here, &name)? else { return Ok(None) };
        let inode = image.inode(entry.nid)?;
        if inode.file_type() == FileType::Symlink {
            links += 1;
            if links > LINKS_MAX {
                return Ok(None);
            }
            let target = image.symlink(&inode)?;
            if target.starts_with(b"/") {
                at.truncate(1);
            }
            todo.extend(names_from_end(target));
        } else {
            at.push(inode);
        }
    }
    Ok(at.pop())
}

/// Whether `text` can only mean an image, never a program of the host.
#[must_use]
pub fn is_transport(text: &str) -> bool {
    source::TRANSPORTS.iter().any(|prefix| text.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::{signal, volumes};

    #[test]
    fn volumes_are_clean_paths_in_order() {
        let paths = ["/b//c/", "/a-b", "/a/./b", "x/../y", "/a", "/", "/..", "/b/c"].map(str::to_owned);
        assert_eq!(volumes(paths.iter()), ["/a", "/a/b", "/a-b", "/b/c", "/y"]);
    }

    #[test]
    fn signals_have_names_and_numbers() {
        for (text, number) in [
            ("SIGTERM", Some(15)),
            ("quit", Some(3)),
            ("9", Some(9)),
            ("SIGRTMIN+3", Some(37)),
            ("RTMAX-1", Some(63)),
            ("SIGRTMAX", Some(64)),
            ("65", None),
            ("", None),
            ("SIGNO", None),
            ("RTMAX-90", None),
        ] {
            assert_eq!(signal(text), number, "{text}");
        }
    }
}
