//! Making, moving and removing names.
//!
//! Each function checks what its system call checks, in that order, and then changes tables that nobody else sees half
//! changed: nothing in here waits.

use super::dir::Directory;
use super::inode::{Attributes, EXECUTE, Inode, Node, Target, WRITE};
use super::walk::{Found, Last, Walk};
use super::{Entry, Path, notify, remote};
use crate::errno::Errno;
use crate::task::Task;
use crate::task::cred::{CAP_DAC_READ_SEARCH, CAP_FSETID, CAP_MKNOD, Cred, Gid};
use crate::time::realtime_ns;
use alloc::sync::Arc;
use husk_machine::cell::KCell;
use linux_raw_sys::general::{
    IN_ATTRIB, IN_CREATE, IN_DELETE, IN_MOVE_SELF, IN_MOVED_FROM, IN_MOVED_TO, PROC_SUPER_MAGIC,
    RENAME_EXCHANGE, RENAME_NOREPLACE, S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG,
    S_IFSOCK, S_ISGID, S_IXGRP,
};

/// An inode to be put into the directory `parent`: owner and set-group-ID as inode(7) says.
pub(super) fn new_inode(parent: &Inode, cred: &Cred, mode: u32, node: Node) -> Arc<Inode> {
    let (mode, gid) = inherited(parent, cred, mode);
    let now = realtime_ns() as i64;
    let nlink = if mode & S_IFMT == S_IFDIR { 2 } else { 1 };
    let attributes =
        Attributes { mode, nlink, uid: cred.fsuid, gid, atime: now, mtime: now, ctime: now, btime: now };
    Inode::new(&parent.fs, attributes, node)
}

/// Mode and group of what `cred` makes in the directory `parent`.
pub(super) fn inherited(parent: &Inode, cred: &Cred, mut mode: u32) -> (u32, Gid) {
    let inherited = parent.attributes();
    let mut gid = cred.fsgid;
    if inherited.mode & S_ISGID != 0 {
        gid = inherited.gid;
        if mode & S_IFMT == S_IFDIR {
            mode |= S_ISGID;
        } else if mode & (S_ISGID | S_IXGRP) == S_ISGID | S_IXGRP
            && !cred.in_group(gid)
            && !cred.capable(CAP_FSETID)
        {
            mode &= !S_ISGID;
        }
    }
    (mode, gid)
}

/// The table of a directory that may be changed: ENOENT in a removed one, EPERM in a generated one.
fn table(parent: &Path) -> Result<&Directory, Errno> {
    if parent.entry.is_removed() {
        return Err(Errno::ENOENT);
    }
    parent.inode().directory().ok_or(Errno::EPERM)
}

/// ENOENT in /proc: as in Linux, its lookups fail before it comes to what may be made.
fn check_makes_names(parent: &Path) -> Result<(), Errno> {
    if parent.mount.fs.magic == PROC_SUPER_MAGIC { Err(Errno::ENOENT) } else { Ok(()) }
}

/// Whether `cred` may change names in `parent`.
pub(super) fn may_change(parent: &Path, cred: &Cred) -> Result<(), Errno> {
    parent.mount.check_writable()?;
    parent.inode().permission(cred, WRITE | EXECUTE)
}

/// Makes an inode under the free name `name` in `parent`. `mode` has kind and permissions.
pub(super) fn create(
    parent: &Path,
    cred: &Cred,
    name: &[u8],
    mode: u32,
    node: Node,
) -> Result<Arc<Entry>, Errno> {
    check_makes_names(parent)?;
    may_change(parent, cred)?;
    let entry = if parent.inode().is_remote() {
        remote::make(parent, cred, name, mode, &node)?
    } else {
        let table = table(parent)?;
        let inode = new_inode(parent.inode(), cred, mode, node);
        let entry = Entry::linked(&parent.entry, name, inode);
        table.insert(&parent.entry, name, &entry);
        entry
    };
    if mode & S_IFMT == S_IFDIR {
        parent.inode().change_links(1);
    }
    parent.inode().touch_modified();
    notify::name_event(parent.inode(), IN_CREATE, 0, name, entry.inode());
    Ok(entry)
}

/// Goes to the parent of a name to be made; EEXIST if there is something already. `directory`: the name may end in a slash.
fn to_free_name(walk: &mut Walk<'_>, directory: bool) -> Result<(), Errno> {
    match walk.to_parent()? {
        Last::Name => {}
        Last::Dot | Last::DotDot | Last::Root => return Err(Errno::EEXIST),
    }
    match walk.look_up_last() {
        Ok(_) => Err(Errno::EEXIST),
        Err(Errno::ENOENT) if walk.trailing_slash() && !directory => Err(Errno::ENOENT),
        Err(Errno::ENOENT) => check_makes_names(walk.parent()),
        Err(error) => Err(error),
    }
}

/// mkdirat(2).
pub fn make_directory(t: &Arc<Task>, dirfd: i32, path: &[u8], mode: u32) -> Result<(), Errno> {
    let mut walk = Walk::new(t, dirfd, path)?;
    to_free_name(&mut walk, true)?;
    let mode = S_IFDIR | mode & 0o1777 & !t.fs().umask();
    let node = Node::Directory(Directory::new());
    create(walk.parent(), &walk.cred(), walk.last_name(), mode, node).map(drop)
}

/// mknodat(2). `mode` has kind and permissions. Gives the path of what was made.
pub fn make_node(t: &Arc<Task>, dirfd: i32, path: &[u8], mode: u32, device: u64) -> Result<Path, Errno> {
    let mut walk = Walk::new(t, dirfd, path)?;
    let kind = if mode & S_IFMT == 0 { S_IFREG } else { mode & S_IFMT };
    let node = match kind {
        S_IFREG => Node::File(super::contents::Contents::default()),
        S_IFIFO | S_IFSOCK => Node::Endpoint(KCell::default()),
        S_IFCHR | S_IFBLK => Node::Device(device),
        S_IFDIR => return Err(Errno::EPERM),
        _ => return Err(Errno::EINVAL),
    };
    to_free_name(&mut walk, false)?;
    if matches!(kind, S_IFCHR | S_IFBLK) && !&walk.cred().capable(CAP_MKNOD) {
        return Err(Errno::EPERM);
    }
    let mode = kind | mode & 0o7777 & !t.fs().umask();
    let entry = create(walk.parent(), &walk.cred(), walk.last_name(), mode, node)?;
    Ok(Path { mount: walk.parent().mount.clone(), entry })
}

/// symlinkat(2).
pub fn make_symlink(t: &Arc<Task>, target: &[u8], dirfd: i32, path: &[u8]) -> Result<(), Errno> {
    if target.is_empty() {
        return Err(Errno::ENOENT);
    }
    let mut walk = Walk::new(t, dirfd, path)?;
    to_free_name(&mut walk, false)?;
    let node = Node::Symlink(Target::Memory(target.into()));
    create(walk.parent(), &walk.cred(), walk.last_name(), S_IFLNK | 0o777, node).map(drop)
}

/// linkat(2), once the old name has been resolved to `old`.
pub fn make_link(t: &Arc<Task>, old: &Path, dirfd: i32, path: &[u8]) -> Result<(), Errno> {
    let mut walk = Walk::new(t, dirfd, path)?;
    to_free_name(&mut walk, false)?;
    let parent = walk.parent();
    parent.mount.check_writable()?;
    if !Arc::ptr_eq(&parent.mount, &old.mount) {
        return Err(Errno::EXDEV);
    }
    may_change(parent, &walk.cred())?;
    let inode = old.inode();
    if inode.is_directory() {
        return Err(Errno::EPERM);
    }
    if !inode.is_linkable() {
        return Err(Errno::ENOENT);
    }
    if inode.is_remote() {
        remote::link(inode, parent, walk.last_name())?;
    } else {
        let table = table(parent)?;
        let entry = Entry::linked(&parent.entry, walk.last_name(), inode.clone());
        table.insert(&parent.entry, walk.last_name(), &entry);
        inode.change_links(1);
    }
    parent.inode().touch_modified();
    notify::inode_event(inode, IN_ATTRIB);
    notify::name_event(parent.inode(), IN_CREATE, 0, walk.last_name(), inode);
    Ok(())
}

/// The old name of linkat(2): a path, or with AT_EMPTY_PATH the descriptor itself.
pub fn link_source(t: &Arc<Task>, dirfd: i32, path: &[u8], follow: bool, empty: bool) -> Result<Path, Errno> {
    if path.is_empty() && empty {
        let file = t.files().get(dirfd)?;
        let path = file.path.clone().ok_or(Errno::EXDEV)?;
        if path.inode().attributes().nlink == 0 || t.cred().capable(CAP_DAC_READ_SEARCH) {
            return Ok(path);
        }
        return Err(Errno::ENOENT);
    }
    match Walk::new(t, dirfd, path)?.to_end(follow)? {
        Found::Path(path) => Ok(path),
        Found::File(_) => Err(Errno::EXDEV),
    }
}

/// unlinkat(2) without AT_REMOVEDIR.
pub fn unlink(t: &Arc<Task>, dirfd: i32, path: &[u8]) -> Result<(), Errno> {
    let mut walk = Walk::new(t, dirfd, path)?;
    if walk.to_parent()? != Last::Name {
        return Err(Errno::EISDIR);
    }
    walk.parent().mount.check_writable()?;
    let victim = walk.look_up_last()?;
    let (parent, cred) = (walk.parent(), &walk.cred());
    if walk.trailing_slash() {
        return Err(if victim.inode().is_directory() { Errno::EISDIR } else { Errno::ENOTDIR });
    }
    may_change(parent, cred)?;
    parent.inode().check_sticky(cred, victim.inode())?;
    if victim.inode().is_directory() {
        return Err(Errno::EISDIR);
    }
    if victim.is_mountpoint() {
        return Err(Errno::EBUSY);
    }
    remove(parent, &victim)
}

/// rmdir(2).
pub fn remove_directory(t: &Arc<Task>, dirfd: i32, path: &[u8]) -> Result<(), Errno> {
    let mut walk = Walk::new(t, dirfd, path)?;
    match walk.to_parent()? {
        Last::Name => {}
        Last::Dot => return Err(Errno::EINVAL),
        Last::DotDot => return Err(Errno::ENOTEMPTY),
        Last::Root => return Err(Errno::EBUSY),
    }
    walk.parent().mount.check_writable()?;
    let victim = walk.look_up_last()?;
    let (parent, cred) = (walk.parent(), &walk.cred());
    may_change(parent, cred)?;
    parent.inode().check_sticky(cred, victim.inode())?;
    if !victim.inode().is_directory() {
        return Err(Errno::ENOTDIR);
    }
    if victim.is_mountpoint() {
        return Err(Errno::EBUSY);
    }
    check_empty(victim.inode())?;
    remove(parent, &victim)
}

/// ENOTEMPTY if the directory has names. That of a volume its server looks at.
fn check_empty(inode: &Inode) -> Result<(), Errno> {
    if inode.is_remote() || inode.directory().ok_or(Errno::EPERM)?.is_empty() {
        Ok(())
    } else {
        Err(Errno::ENOTEMPTY)
    }
}

/// Takes the name of `victim` out of `parent`.
fn remove(parent: &Path, victim: &Arc<Entry>) -> Result<(), Errno> {
    if parent.inode().is_remote() {
        remote::remove(parent, victim)?;
    } else {
        table(parent)?.remove(&parent.entry, &victim.name()).ok_or(Errno::ENOENT)?;
    }
    let inode = victim.inode();
    if inode.is_directory() {
        inode.change_links(-2);
        parent.inode().change_links(-1);
    } else {
        inode.change_links(-1);
        notify::inode_event(inode, IN_ATTRIB);
    }
    parent.inode().touch_modified();
    notify::name_event(parent.inode(), IN_DELETE, 0, &victim.name(), inode);
    let_go_removed(inode);
    Ok(())
}

/// What watched an inode of a volume does not keep it when its names are gone.
fn let_go_removed(inode: &Inode) {
    if inode.is_remote() && inode.attributes().nlink == 0 {
        notify::let_go(inode);
    }
}

/// renameat2(2).
pub fn rename(
    t: &Arc<Task>,
    old_dirfd: i32,
    old_path: &[u8],
    new_dirfd: i32,
    new_path: &[u8],
    flags: u32,
) -> Result<(), Errno> {
    if flags & !(RENAME_NOREPLACE | RENAME_EXCHANGE) != 0 || flags == RENAME_NOREPLACE | RENAME_EXCHANGE {
        return Err(Errno::EINVAL);
    }
    let exchange = flags & RENAME_EXCHANGE != 0;
    let mut old = Walk::new(t, old_dirfd, old_path)?;
    let old_last = old.to_parent()?;
    let mut new = Walk::new(t, new_dirfd, new_path)?;
    let new_last = new.to_parent()?;
    let (from, to, cred) = (old.parent(), new.parent(), &old.cred());
    if !Arc::ptr_eq(&from.mount, &to.mount) {
        return Err(Errno::EXDEV);
    }
    if old_last != Last::Name {
        return Err(Errno::EBUSY);
    }
    if new_last != Last::Name {
        return Err(if flags & RENAME_NOREPLACE != 0 { Errno::EEXIST } else { Errno::EBUSY });
    }
    from.mount.check_writable()?;
    let source = old.look_up_last()?;
    let target = match new.look_up_last() {
        Ok(target) => Some(target),
        Err(Errno::ENOENT) => {
            check_makes_names(to)?;
            None
        }
        Err(error) => return Err(error),
    };
    if flags & RENAME_NOREPLACE != 0 && target.is_some() {
        return Err(Errno::EEXIST);
    }
    if exchange && target.is_none() {
        return Err(Errno::ENOENT);
    }
    let is_directory = source.inode().is_directory();
    let replaces_directory = target.as_ref().is_some_and(|target| target.inode().is_directory());
    if !is_directory && (old.trailing_slash() || new.trailing_slash() && !exchange) {
        return Err(Errno::ENOTDIR);
    }
    if exchange && new.trailing_slash() && !replaces_directory {
        return Err(Errno::ENOTDIR);
    }
    // A directory cannot move into itself, nor take the place of one it lies in.
    if to.entry.is_within(&source) {
        return Err(Errno::EINVAL);
    }
    if let Some(target) = &target
        && from.entry.is_within(target)
    {
        return Err(if exchange { Errno::EINVAL } else { Errno::ENOTEMPTY });
    }
    if let Some(target) = &target
        && Arc::ptr_eq(target.inode(), source.inode())
    {
        return Ok(());
    }
    may_change(from, cred)?;
    from.inode().check_sticky(cred, source.inode())?;
    may_change(to, cred)?;
    if let Some(target) = &target {
        to.inode().check_sticky(cred, target.inode())?;
        if !exchange {
            match (is_directory, replaces_directory) {
                (true, false) => return Err(Errno::ENOTDIR),
                (false, true) => return Err(Errno::EISDIR),
                _ => {}
            }
        }
    }
    // A directory's `..` is written when its parent changes.
    let same_parent = Arc::ptr_eq(&from.entry, &to.entry);
    if is_directory && !same_parent {
        source.inode().permission(cred, WRITE)?;
    }
    if exchange
        && replaces_directory
        && !same_parent
        && let Some(target) = &target
    {
        target.inode().permission(cred, WRITE)?;
    }
    if source.is_mountpoint() || target.as_ref().is_some_and(|target| target.is_mountpoint()) {
        return Err(Errno::EBUSY);
    }
    let (old_name, new_name) = (old.last_name(), new.last_name());
    if !exchange
        && replaces_directory
        && let Some(target) = &target
    {
        check_empty(target.inode())?;
    }
    if from.inode().is_remote() {
        remote::rename(from, old_name, &source, to, new_name, target.as_ref(), flags)?;
    } else {
        let (from_table, to_table) = (table(from)?, table(to)?);
        from_table.remove(&from.entry, old_name);
        if let Some(target) = &target {
            to_table.remove(&to.entry, new_name);
            if exchange {
                from_table.insert(&from.entry, old_name, target);
            }
        }
        to_table.insert(&to.entry, new_name, &source);
    }
    if let Some(target) = &target {
        if exchange {
            target.inode().touch_changed();
        } else {
            target.inode().change_links(if replaces_directory { -2 } else { -1 });
        }
    }
    source.inode().touch_changed();
    let (leaves, comes) = (i32::from(is_directory), i32::from(replaces_directory));
    from.inode().change_links(if exchange { comes } else { 0 } - leaves);
    to.inode().change_links(leaves - comes);
    from.inode().touch_modified();
    to.inode().touch_modified();
    report_move(from, old_name, to, new_name, source.inode());
    match &target {
        Some(target) if exchange => report_move(to, new_name, from, old_name, target.inode()),
        Some(target) => {
            notify::inode_event(target.inode(), IN_ATTRIB);
            let_go_removed(target.inode());
        }
        None => {}
    }
    Ok(())
}

fn report_move(from: &Path, old_name: &[u8], to: &Path, new_name: &[u8], inode: &Inode) {
    if notify::watching() {
        let cookie = notify::new_cookie();
        notify::name_event(from.inode(), IN_MOVED_FROM, cookie, old_name, inode);
        notify::name_event(to.inode(), IN_MOVED_TO, cookie, new_name, inode);
        notify::inode_event(inode, IN_MOVE_SELF);
    }
}
