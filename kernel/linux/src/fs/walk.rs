//! Path resolution (path_resolution(7), openat2(2)).
//!
//! A `Walk` goes through a path component by component. Where it meets a symbolic link, the link's text takes the place of
//! the component, so what remains is always one string. `to_parent` stops before the last component, for calls that make
//! or remove a name; `to_end` goes all the way.

use super::inode::{EXECUTE, Node};
use super::{Entry, Path, pseudo, remote};
use crate::errno::Errno;
use crate::file::OpenFile;
use crate::record;
use crate::task::Task;
use crate::task::cred::Cred;
use alloc::borrow::Cow;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use husk_abi::record::USE_FOUND;
use linux_raw_sys::general::{
    AT_FDCWD, MS_NOSYMFOLLOW, RESOLVE_BENEATH, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS,
    RESOLVE_NO_XDEV,
};

/// Symbolic links followed before ELOOP.
const LINKS_MAX: u32 = 40;
/// Bytes of one component.
pub const NAME_MAX: usize = 255;
const PATH_MAX: usize = 4096;
/// Directories whose tables a walk borrows at a time.
const AHEAD: u32 = 8;

/// The kind of a path's last component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// A name, to be had from `Walk::last_name`.
    Name,
    Dot,
    DotDot,
    /// There is none: the path is all slashes.
    Root,
}

/// Where a walk ends.
pub enum Found {
    Path(Path),
    /// An open file without a place in any tree, reached by a link in /proc/PID/fd.
    File(Arc<OpenFile>),
}

/// A path being resolved.
pub struct Walk<'a> {
    t: &'a Task,
    /// Whose rights count, if not the task's.
    cred: Option<Arc<Cred>>,
    /// The root under RESOLVE_BENEATH and RESOLVE_IN_ROOT; else it is the task's.
    scope: Option<Path>,
    at: Path,
    text: Cow<'a, [u8]>,
    /// Start of what is still to be resolved.
    rest: usize,
    last: Range<usize>,
    trailing_slash: bool,
    links: u32,
    resolve: u32,
}

impl<'a> Walk<'a> {
    /// A walk along `path` from `dirfd`, or from the root if it is absolute. ENOENT for an empty path.
    pub fn new(t: &'a Task, dirfd: i32, path: &'a [u8]) -> Result<Self, Errno> {
        Self::restricted(t, dirfd, path, 0)
    }

    /// As `new`, within the RESOLVE_* limits of openat2(2).
    pub fn restricted(t: &'a Task, dirfd: i32, path: &'a [u8], resolve: u32) -> Result<Self, Errno> {
        let first = path.first().ok_or(Errno::ENOENT)?;
        let scoped = resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT) != 0;
        let absolute = *first == b'/';
        if absolute && resolve & RESOLVE_BENEATH != 0 {
            return Err(Errno::EXDEV);
        }
        let mut rest = 0;
        let at = if absolute && !scoped {
            t.fs_ref().with_root(|root| match ahead(&root.entry, path, 0, &t.cred_ref(), AHEAD) {
                None => root.clone(),
                Some((entry, reached)) => {
                    rest = reached;
                    Path { mount: root.mount.clone(), entry }
                }
            })
        } else if dirfd == AT_FDCWD {
            t.fs_ref().cwd()
        } else {
            directory_of(t, dirfd)?
        };
        Ok(Self {
            t,
            cred: None,
            scope: scoped.then(|| at.clone()),
            at,
            text: Cow::Borrowed(path),
            rest,
            last: 0..0,
            trailing_slash: false,
            links: 0,
            resolve,
        })
    }

    /// The same walk with the rights of `cred`.
    pub fn as_cred(mut self, cred: Arc<Cred>) -> Self {
        self.cred = Some(cred);
        self
    }

    fn root(&self) -> Path {
        self.scope.clone().unwrap_or_else(|| self.t.fs_ref().root())
    }

    fn check_search(&self) -> Result<(), Errno> {
        match &self.cred {
            Some(cred) => self.at.inode().permission(cred, EXECUTE),
            None => self.at.inode().permission(&self.t.cred_ref(), EXECUTE),
        }
    }

    /// Whose rights count.
    pub fn cred(&self) -> Arc<Cred> {
        self.cred.clone().unwrap_or_else(|| self.t.cred())
    }

    /// The directory reached.
    pub fn parent(&self) -> &Path {
        &self.at
    }

    pub fn last_name(&self) -> &[u8] {
        &self.text[self.last.clone()]
    }

    /// Whether slashes follow the last component: then it must be a directory.
    pub fn trailing_slash(&self) -> bool {
        self.trailing_slash
    }

    /// Goes to the directory of the last component.
    pub fn to_parent(&mut self) -> Result<Last, Errno> {
        loop {
            self.run_ahead();
            let Some(range) = next_component(&self.text, self.rest) else {
                self.require_directory()?;
                self.last = 0..0;
                self.trailing_slash = true;
                return Ok(Last::Root);
            };
            let after = &self.text[range.end..];
            let last = after.iter().all(|byte| *byte == b'/');
            let trailing_slash = last && !after.is_empty();
            self.require_directory()?;
            self.check_search()?;
            if range.len() > NAME_MAX {
                return Err(Errno::ENAMETOOLONG);
            }
            self.rest = range.end;
            self.last = range;
            if last {
                self.trailing_slash = trailing_slash;
                return Ok(match self.last_name() {
                    b"." => Last::Dot,
                    b".." => Last::DotDot,
                    _ => Last::Name,
                });
            }
            if let Some(Found::File(_)) = self.step(true, true)? {
                return Err(Errno::ENOTDIR);
            }
        }
    }

    /// Goes through directories that are in memory already as far as they are plain: neither links nor covered by
    /// mounts, nor the last component.
    fn run_ahead(&mut self) {
        let ahead = match &self.cred {
            Some(cred) => ahead(&self.at.entry, &self.text, self.rest, cred, AHEAD),
            None => ahead(&self.at.entry, &self.text, self.rest, &self.t.cred_ref(), AHEAD),
        };
        if let Some((entry, rest)) = ahead {
            self.at.entry = entry;
            self.rest = rest;
        }
    }

    /// Resolves the whole path. `follow`: a symbolic link at the end is followed too.
    pub fn to_end(mut self, follow: bool) -> Result<Found, Errno> {
        loop {
            let last = self.to_parent()?;
            if last == Last::Root {
                self.at.inode().refresh()?;
                return Ok(Found::Path(self.at));
            }
            let follow = follow || self.trailing_slash;
            let before = self.links;
            if let Some(found) = self.step(follow, false)? {
                return Ok(found);
            }
            if self.links == before {
                if self.trailing_slash {
                    self.require_directory()?;
                }
                // A lookup has just told what it is; a step that was none has not.
                if last != Last::Name || self.at.is_mount_root() {
                    self.at.inode().refresh()?;
                }
                return Ok(Found::Path(self.at));
            }
        }
    }

    fn require_directory(&self) -> Result<(), Errno> {
        if self.at.inode().is_directory() { Ok(()) } else { Err(Errno::ENOTDIR) }
    }

    /// The entry of the last component (a `Last::Name`) in the directory reached; mounts and links are not followed.
    pub fn look_up_last(&self) -> Result<Arc<Entry>, Errno> {
        look_up(&self.at.entry, self.last_name()).inspect(|entry| record::used(entry, USE_FOUND))
    }

    /// Follows the symbolic link at the last component: the walk goes on with `to_parent`, unless the link leads to
    /// something without a name.
    pub fn follow_last(&mut self, link: &Arc<Entry>) -> Result<Option<Found>, Errno> {
        self.follow(link)
    }

    /// Takes the step to the component `self.last`; `passing`: more follow. Gives what a magic link led to, if it has no place; when a link was
    /// followed, `self.links` has grown and `self.rest` stands at the text that took its place.
    fn step(&mut self, follow: bool, passing: bool) -> Result<Option<Found>, Errno> {
        match self.last_name() {
            b"." => return Ok(None),
            b".." => return self.up().map(|()| None),
            _ => {}
        }
        let child = if passing && self.at.inode().is_remote() {
            remote::look_up_passing(&self.at.entry, self.last_name())?
        } else {
            self.look_up_last()?
        };
        if follow && child.inode().is_symlink() {
            return self.follow(&child);
        }
        self.at.entry = child;
        self.cross_mounts()?;
        Ok(None)
    }

    /// Goes from a covered entry to the root of what is mounted there.
    fn cross_mounts(&mut self) -> Result<(), Errno> {
        while let Some(mount) = self.at.mount.mounted_on(&self.at.entry) {
            if self.resolve & RESOLVE_NO_XDEV != 0 {
                return Err(Errno::EXDEV);
            }
            self.at = Path { entry: mount.root.clone(), mount };
        }
        Ok(())
    }

    fn up(&mut self) -> Result<(), Errno> {
        loop {
            if self.at == self.root() {
                if self.resolve & RESOLVE_BENEATH != 0 {
                    return Err(Errno::EXDEV);
                }
                return Ok(());
            }
            if !Arc::ptr_eq(&self.at.entry, &self.at.mount.root) {
                break;
            }
            let Some(place) = self.at.mount.place() else { return Ok(()) };
            if self.resolve & RESOLVE_NO_XDEV != 0 {
                return Err(Errno::EXDEV);
            }
            self.at = place;
        }
        if let Some(parent) = self.at.entry.parent() {
            self.at.entry = parent;
            self.cross_mounts()?;
        }
        Ok(())
    }

    fn follow(&mut self, link: &Arc<Entry>) -> Result<Option<Found>, Errno> {
        self.links += 1;
        if self.links > LINKS_MAX
            || self.resolve & RESOLVE_NO_SYMLINKS != 0
            || self.at.mount.flags() & MS_NOSYMFOLLOW != 0
        {
            return Err(Errno::ELOOP);
        }
        let target = match &link.inode().node {
            Node::Symlink(target) => Cow::Borrowed(target.bytes()),
            Node::Remote(_) => Cow::Owned(remote::read_link(link.inode())?),
            Node::Pseudo(pseudo::Node::Link(pseudo)) => {
                if let Some(found) = pseudo.jump(&self.cred())? {
                    return self.jump(found);
                }
                Cow::Owned(pseudo.target()?)
            }
            _ => return Err(Errno::EINVAL),
        };
        if target.is_empty() {
            return Err(Errno::ENOENT);
        }
        let rest = &self.text[self.rest..];
        if target.len() + rest.len() >= 2 * PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        let text = [&target, rest].concat();
        if text[0] == b'/' {
            if self.resolve & RESOLVE_BENEATH != 0 {
                return Err(Errno::EXDEV);
            }
            if self.resolve & RESOLVE_NO_XDEV != 0 && !Arc::ptr_eq(&self.at.mount, &self.root().mount) {
                return Err(Errno::EXDEV);
            }
            self.at = self.root();
        }
        self.text = Cow::Owned(text);
        self.rest = 0;
        Ok(None)
    }

    /// Goes where a magic link leads, if RESOLVE_* allows such links at all.
    fn jump(&mut self, found: Found) -> Result<Option<Found>, Errno> {
        if self.resolve & RESOLVE_NO_MAGICLINKS != 0 {
            return Err(Errno::ELOOP);
        }
        if self.resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT) != 0 {
            return Err(Errno::EXDEV);
        }
        let path = match found {
            Found::File(file) => return Ok(Some(Found::File(file))),
            Found::Path(path) => path,
        };
        if self.resolve & RESOLVE_NO_XDEV != 0 && !Arc::ptr_eq(&self.at.mount, &path.mount) {
            return Err(Errno::EXDEV);
        }
        self.at = path;
        if self.text[self.rest..].is_empty() {
            return Ok(Some(Found::Path(self.at.clone())));
        }
        // What follows the link: slashes, perhaps more components.
        Ok(None)
    }
}

/// Where the first component at or after `from` lies in `text`; `None` when only slashes are left.
fn next_component(text: &[u8], from: usize) -> Option<Range<usize>> {
    let rest = &text[from..];
    let begin = rest.iter().position(|byte| *byte != b'/')?;
    let len = rest[begin..].iter().position(|byte| *byte == b'/').unwrap_or(rest.len() - begin);
    Some(from + begin..from + begin + len)
}

/// See `Walk::run_ahead`: the directory reached from `entry`, if it is another, and where the text goes on.
fn ahead(
    entry: &Arc<Entry>,
    text: &[u8],
    from: usize,
    cred: &Cred,
    depth: u32,
) -> Option<(Arc<Entry>, usize)> {
    let range = next_component(text, from)?;
    let (end, name) = (range.end, &text[range]);
    let last = text[end..].iter().all(|byte| *byte == b'/');
    // A record wants to see each step.
    if depth == 0 || last || matches!(name, b"." | b"..") || record::enabled() {
        return None;
    }
    let directory = entry.inode().directory()?;
    entry.inode().permission(cred, EXECUTE).ok()?;
    directory.peek(name, |child| {
        if child.is_mountpoint() || child.inode().directory().is_none() {
            return None;
        }
        Some(ahead(child, text, end, cred, depth - 1).unwrap_or_else(|| (child.clone(), end)))
    })
}

/// The entry `name` in the directory `at`; ENOENT if there is none.
pub(super) fn look_up(at: &Arc<Entry>, name: &[u8]) -> Result<Arc<Entry>, Errno> {
    match &at.inode().node {
        Node::Directory(directory) => directory.lookup(at, name).ok_or(Errno::ENOENT),
        Node::Pseudo(pseudo::Node::Directory(directory)) => pseudo::look_up(at, directory, name),
        Node::Remote(_) => remote::look_up(at, name),
        _ => Err(Errno::ENOTDIR),
    }
}

/// Where relative names start from under descriptor `dirfd`: EBADF, ENOTDIR.
pub fn directory_of(t: &Task, dirfd: i32) -> Result<Path, Errno> {
    if dirfd == AT_FDCWD {
        return Ok(t.fs().cwd());
    }
    let file = t.files().get(dirfd)?;
    match &file.path {
        Some(path) if path.inode().is_directory() => Ok(path.clone()),
        _ => Err(Errno::ENOTDIR),
    }
}

/// Resolves `path` from `dirfd`; ENXIO where a link in /proc/PID/fd leads to something without a name.
pub fn lookup(t: &Task, dirfd: i32, path: &[u8], follow: bool) -> Result<Path, Errno> {
    match Walk::new(t, dirfd, path)?.to_end(follow)? {
        Found::Path(path) => Ok(path),
        Found::File(_) => Err(Errno::ENXIO),
    }
}

/// The name of `path` below the current task's root, as getcwd(2) and /proc/PID/fd show it, with ` (deleted)` after a
/// removed one.
pub fn path_of(path: &Path) -> Vec<u8> {
    let (mut name, _) = name_below(path, &crate::task::current().fs().root());
    if path.entry.is_removed() {
        name.extend_from_slice(b" (deleted)");
    }
    name
}

/// The name of `path` below `root`, and whether it lies below `root` at all; else it starts at the top of its mounts.
pub fn name_below(path: &Path, root: &Path) -> (Vec<u8>, bool) {
    let mut names: Vec<Arc<[u8]>> = Vec::new();
    let mut at = path.clone();
    let reached = loop {
        if at == *root {
            break true;
        }
        if Arc::ptr_eq(&at.entry, &at.mount.root) {
            match at.mount.place() {
                Some(place) => at = place,
                None => break false,
            }
        } else {
            names.push(at.entry.name());
            match at.entry.parent() {
                Some(parent) => at.entry = parent,
                None => break false,
            }
        }
    };
    let mut text = Vec::new();
    for name in names.iter().rev() {
        text.push(b'/');
        text.extend_from_slice(name);
    }
    if text.is_empty() {
        text.push(b'/');
    }
    (text, reached)
}

/// chdir(2).
pub fn change_directory(t: &Task, path: &[u8]) -> Result<(), Errno> {
    let found = lookup(t, AT_FDCWD, path, true)?;
    check_searchable(t, &found)?;
    t.fs().set_cwd(found);
    Ok(())
}

/// ENOTDIR unless it is a directory, EACCES unless the task may search it.
pub fn check_searchable(t: &Task, path: &Path) -> Result<(), Errno> {
    if !path.inode().is_directory() {
        return Err(Errno::ENOTDIR);
    }
    path.inode().permission(&t.cred(), EXECUTE)
}
