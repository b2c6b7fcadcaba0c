//! Names as programs use them, against the rules of the man pages.

use super::open::{How, open};
use super::walk::{lookup, path_of};
use super::{Path, device_number, major_minor, root, tree};
use crate::errno::Errno;
use crate::file::OpenFile;
use crate::file::io::{Sink, Source};
use crate::task::cred::Cred;
use crate::task::{self, Task};
use alloc::sync::Arc;
use alloc::vec::Vec;
use husk_erofs_build::{Content, Kind, Meta, Tree};
use linux_raw_sys::general::{
    AT_FDCWD, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_PATH, O_RDONLY, O_RDWR, O_TMPFILE, O_TRUNC,
    O_WRONLY, RENAME_EXCHANGE, RENAME_NOREPLACE, RESOLVE_BENEATH, RESOLVE_IN_ROOT, RESOLVE_NO_SYMLINKS,
    RESOLVE_NO_XDEV,
};

fn enter() -> Arc<Task> {
    crate::tty::register();
    root::init_root(&[]).unwrap();
    task::test::enter()
}

/// A root image with these files; directories on the way are made.
pub(super) fn image(files: &[(&str, &[u8])]) -> super::image::RootImage {
    let mut tree = image_tree(files);
    let mut bytes = Vec::new();
    tree.meta_mut(Tree::ROOT).permissions = 0o755;
    tree.write(&mut bytes).unwrap();
    super::image::RootImage::open(bytes.leak()).unwrap()
}

fn image_tree(files: &[(&str, &[u8])]) -> Tree {
    let meta = |permissions| Meta { permissions, ..Meta::default() };
    let mut tree = Tree::new(meta(0o755));
    for (path, bytes) in files {
        let mut parent = Tree::ROOT;
        let (directories, name) = path.rsplit_once('/').unwrap_or(("", path));
        for directory in directories.split('/').filter(|name| !name.is_empty()) {
            parent = tree.child(parent, directory.as_bytes()).unwrap_or_else(|| {
                tree.add(parent, directory.as_bytes(), meta(0o755), Kind::directory()).unwrap()
            });
        }
        let kind = Kind::File { content: Content::Bytes(bytes.to_vec()), mapped: false };
        tree.add(parent, name.as_bytes(), meta(0o644), kind).unwrap();
    }
    tree
}

/// A task in a namespace over the image.
fn enter_image(image: super::image::RootImage) -> Arc<Task> {
    root::init_root(image.bytes()).unwrap();
    task::test::enter()
}

/// The names from `cookie` on with their cookies.
fn list(t: &Arc<Task>, path: &str, cookie: u64) -> Vec<(String, u64)> {
    let mut names = Vec::new();
    let found = find(t, path).unwrap();
    found.inode().directory().unwrap().list(cookie, |listed| {
        names.push((String::from_utf8(listed.name.to_vec()).unwrap(), listed.cookie));
        true
    });
    names
}

fn open_as(t: &Arc<Task>, path: &str, flags: u32) -> Result<Arc<OpenFile>, Errno> {
    open(t, AT_FDCWD, path.as_bytes(), How { flags, mode: 0o644, resolve: 0 })
}

fn write(t: &Arc<Task>, path: &str, text: &str) {
    let file = open_as(t, path, O_WRONLY | O_CREAT | O_TRUNC).unwrap();
    assert_eq!(file.write(&mut Source::Kernel(text.as_bytes())), Ok(text.len()));
}

fn read(t: &Arc<Task>, path: &str) -> Result<Vec<u8>, Errno> {
    let file = open_as(t, path, O_RDONLY)?;
    let mut bytes = [0; 256];
    let len = file.read(&mut Sink::Kernel(&mut bytes))?;
    Ok(bytes[..len].to_vec())
}

fn mkdir(t: &Arc<Task>, path: &str) -> Result<(), Errno> {
    tree::make_directory(t, AT_FDCWD, path.as_bytes(), 0o755)
}

fn symlink(t: &Arc<Task>, target: &str, path: &str) {
    tree::make_symlink(t, target.as_bytes(), AT_FDCWD, path.as_bytes()).unwrap();
}

fn unlink(t: &Arc<Task>, path: &str) -> Result<(), Errno> {
    tree::unlink(t, AT_FDCWD, path.as_bytes())
}

fn rmdir(t: &Arc<Task>, path: &str) -> Result<(), Errno> {
    tree::remove_directory(t, AT_FDCWD, path.as_bytes())
}

fn rename(t: &Arc<Task>, old: &str, new: &str, flags: u32) -> Result<(), Errno> {
    tree::rename(t, AT_FDCWD, old.as_bytes(), AT_FDCWD, new.as_bytes(), flags)
}

fn find(t: &Arc<Task>, path: &str) -> Result<Path, Errno> {
    lookup(t, AT_FDCWD, path.as_bytes(), true)
}

fn name(t: &Arc<Task>, path: &str) -> String {
    String::from_utf8(path_of(&find(t, path).unwrap())).unwrap()
}

#[test]
fn files_keep_what_was_written() {
    let t = enter();
    write(&t, "/tmp/a", "hello");
    assert_eq!(read(&t, "/tmp/a").unwrap(), b"hello");
    assert_eq!(read(&t, "/tmp/b"), Err(Errno::ENOENT));
    write(&t, "/tmp/a", "x");
    assert_eq!(read(&t, "/tmp/a").unwrap(), b"x");
    assert_eq!(open_as(&t, "/tmp/a", O_CREAT | O_EXCL).err(), Some(Errno::EEXIST));
    assert_eq!(open_as(&t, "/tmp", O_WRONLY).err(), Some(Errno::EISDIR));
    assert_eq!(open_as(&t, "/tmp/a/", O_RDONLY).err(), Some(Errno::ENOTDIR));
    assert_eq!(open_as(&t, "/tmp/new/", O_CREAT).err(), Some(Errno::EISDIR));
    assert_eq!(open_as(&t, "/tmp/a", O_DIRECTORY).err(), Some(Errno::ENOTDIR));
    assert_eq!(open_as(&t, "", O_RDONLY).err(), Some(Errno::ENOENT));
}

#[test]
fn dots_slashes_and_roots_resolve() {
    let t = enter();
    mkdir(&t, "/a").unwrap();
    mkdir(&t, "/a/b/").unwrap();
    assert_eq!(name(&t, "//a/./b//../b/."), "/a/b");
    assert_eq!(name(&t, "/../../a"), "/a");
    assert_eq!(name(&t, "/dev/pts/../../tmp/.."), "/");
    t.fs().set_cwd(find(&t, "/a/b").unwrap());
    assert_eq!(name(&t, ".."), "/a");
    assert_eq!(find(&t, "a").err(), Some(Errno::ENOENT));
    t.fs().set_root(find(&t, "/a").unwrap());
    assert_eq!(name(&t, "/b"), "/b");
    assert_eq!(name(&t, "/../b"), "/b");
    assert_eq!(find(&t, "/tmp").err(), Some(Errno::ENOENT));
}

#[test]
fn symbolic_links_are_followed_within_limits() {
    let t = enter();
    mkdir(&t, "/d").unwrap();
    write(&t, "/d/f", "f");
    symlink(&t, "d", "/rel");
    symlink(&t, "/d/", "/abs");
    symlink(&t, "f", "/d/l");
    symlink(&t, "loop2", "/loop1");
    symlink(&t, "loop1", "/loop2");
    symlink(&t, "/d/made", "/dangling");
    assert_eq!(read(&t, "/rel/../abs/l").unwrap(), b"f");
    assert_eq!(find(&t, "/loop1").err(), Some(Errno::ELOOP));
    assert_eq!(open_as(&t, "/d/l", O_NOFOLLOW).err(), Some(Errno::ELOOP));
    assert!(open_as(&t, "/d/l", O_NOFOLLOW | O_PATH).unwrap().stat().unwrap().mode & 0o170000 == 0o120000);
    assert_eq!(open_as(&t, "/rel", O_NOFOLLOW | O_DIRECTORY).err(), Some(Errno::ENOTDIR));
    assert!(open_as(&t, "/rel/", O_NOFOLLOW | O_DIRECTORY).is_ok());
    assert_eq!(open_as(&t, "/dangling", O_CREAT | O_EXCL).err(), Some(Errno::EEXIST));
    write(&t, "/dangling", "made");
    assert_eq!(read(&t, "/d/made").unwrap(), b"made");
    // Forty links are followed, forty-one are not.
    symlink(&t, "/d/f", "/chain0");
    for n in 1..41 {
        symlink(&t, &format!("chain{}", n - 1), &format!("/chain{n}"));
    }
    assert!(find(&t, "/chain39").is_ok());
    assert_eq!(find(&t, "/chain40").err(), Some(Errno::ELOOP));
    assert_eq!(unlink(&t, "/rel/"), Err(Errno::ENOTDIR));
    assert_eq!(unlink(&t, "/rel"), Ok(()));
}

#[test]
fn resolve_flags_hold_a_walk_in() {
    let t = enter();
    mkdir(&t, "/jail").unwrap();
    mkdir(&t, "/jail/in").unwrap();
    write(&t, "/jail/f", "f");
    write(&t, "/out", "out");
    symlink(&t, "/f", "/jail/abs");
    symlink(&t, "../../out", "/jail/in/up");
    symlink(&t, "f", "/jail/l");
    let dir = t.files().install(open_as(&t, "/jail", O_DIRECTORY).unwrap(), false).unwrap();
    let tmp = t.files().install(open_as(&t, "/", O_DIRECTORY).unwrap(), false).unwrap();
    let at = |dirfd, path: &str, resolve| {
        open(&t, dirfd, path.as_bytes(), How { flags: O_RDONLY, mode: 0, resolve }).map(drop)
    };
    assert_eq!(at(dir, "in/../f", RESOLVE_BENEATH), Ok(()));
    assert_eq!(at(dir, "../out", RESOLVE_BENEATH), Err(Errno::EXDEV));
    assert_eq!(at(dir, "/jail/f", RESOLVE_BENEATH), Err(Errno::EXDEV));
    assert_eq!(at(dir, "abs", RESOLVE_BENEATH), Err(Errno::EXDEV));
    assert_eq!(at(dir, "in/up", RESOLVE_BENEATH), Err(Errno::EXDEV));
    assert_eq!(at(dir, "abs", RESOLVE_IN_ROOT), Ok(()));
    assert_eq!(at(dir, "/f", RESOLVE_IN_ROOT), Ok(()));
    assert_eq!(at(dir, "../../f", RESOLVE_IN_ROOT), Ok(()));
    assert_eq!(at(dir, "in/up", RESOLVE_IN_ROOT), Err(Errno::ENOENT));
    assert_eq!(at(dir, "l", RESOLVE_NO_SYMLINKS), Err(Errno::ELOOP));
    assert_eq!(at(tmp, "tmp", RESOLVE_NO_XDEV), Err(Errno::EXDEV));
    assert_eq!(at(tmp, "jail/in", RESOLVE_NO_XDEV), Ok(()));
}

#[test]
fn removed_names_live_on_while_open() {
    let t = enter();
    write(&t, "/f", "data");
    let file = open_as(&t, "/f", O_RDWR).unwrap();
    unlink(&t, "/f").unwrap();
    assert_eq!(file.stat().unwrap().nlink, 0);
    assert_eq!(path_of(file.path.as_ref().unwrap()), b"/f (deleted)");
    let mut bytes = [0; 8];
    assert_eq!(file.read(&mut Sink::Kernel(&mut bytes)), Ok(4));
    mkdir(&t, "/d").unwrap();
    mkdir(&t, "/d/e").unwrap();
    t.fs().set_cwd(find(&t, "/d/e").unwrap());
    assert_eq!(rmdir(&t, "/d"), Err(Errno::ENOTEMPTY));
    rmdir(&t, "../e").unwrap();
    rmdir(&t, "/d").unwrap();
    assert_eq!(open_as(&t, "new", O_CREAT | O_WRONLY).err(), Some(Errno::ENOENT));
    assert_eq!(path_of(&t.fs().cwd()), b"/d/e (deleted)");
    assert_eq!(name(&t, "../.."), "/");
}

#[test]
fn nameless_files_get_a_name_by_link() {
    let t = enter();
    let file = open_as(&t, "/tmp", O_TMPFILE | O_RDWR).unwrap();
    file.write(&mut Source::Kernel(b"abc")).unwrap();
    assert_eq!(file.stat().unwrap().nlink, 0);
    tree::make_link(&t, file.path.as_ref().unwrap(), AT_FDCWD, b"/tmp/named").unwrap();
    assert_eq!(read(&t, "/tmp/named").unwrap(), b"abc");
    assert_eq!(file.stat().unwrap().nlink, 1);
    assert_eq!(open_as(&t, "/tmp", O_TMPFILE).err(), Some(Errno::EINVAL));
}

#[test]
fn rename_follows_its_matrix() {
    let t = enter();
    let fresh = || {
        let t = enter();
        write(&t, "/file", "file");
        write(&t, "/other", "other");
        for directory in ["/empty", "/full", "/full/sub"] {
            mkdir(&t, directory).unwrap();
        }
        t
    };
    drop(t);
    let cases = [
        ("/file", "/new", 0, Ok(())),
        ("/file", "/other", 0, Ok(())),
        ("/file", "/file", 0, Ok(())),
        ("/file", "/empty", 0, Err(Errno::EISDIR)),
        ("/empty", "/file", 0, Err(Errno::ENOTDIR)),
        ("/full", "/empty", 0, Ok(())),
        ("/empty", "/full", 0, Err(Errno::ENOTEMPTY)),
        ("/full", "/full/sub/x", 0, Err(Errno::EINVAL)),
        ("/full/sub", "/full", 0, Err(Errno::ENOTEMPTY)),
        ("/full/sub", "/full", RENAME_EXCHANGE, Err(Errno::EINVAL)),
        ("/none", "/new", 0, Err(Errno::ENOENT)),
        ("/file", "/none/new", 0, Err(Errno::ENOENT)),
        ("/file", "/new/", 0, Err(Errno::ENOTDIR)),
        ("/empty", "/new/", 0, Ok(())),
        ("/file", "/other", RENAME_NOREPLACE, Err(Errno::EEXIST)),
        ("/file", "/new", RENAME_NOREPLACE, Ok(())),
        ("/file", "/full", RENAME_EXCHANGE, Ok(())),
        ("/file", "/new", RENAME_EXCHANGE, Err(Errno::ENOENT)),
        ("/file", "/tmp/file", 0, Err(Errno::EXDEV)),
        ("/tmp", "/elsewhere", 0, Err(Errno::EBUSY)),
        ("/full/.", "/x", 0, Err(Errno::EBUSY)),
        ("/full", "/", 0, Err(Errno::EBUSY)),
    ];
    for (old, new, flags, expected) in cases {
        let t = fresh();
        assert_eq!(rename(&t, old, new, flags), expected, "{old} -> {new}, flags {flags}");
        if expected.is_ok() && flags == 0 && old != new {
            assert_eq!(find(&t, old).err(), Some(Errno::ENOENT), "{old} is gone");
            assert!(find(&t, new).is_ok());
        }
    }
    let t = fresh();
    rename(&t, "/file", "/full", RENAME_EXCHANGE).unwrap();
    assert_eq!(read(&t, "/full").unwrap(), b"file");
    assert_eq!(name(&t, "/file/sub"), "/file/sub");
    let t = fresh();
    let links = |path: &str| find(&t, path).unwrap().inode().attributes().nlink;
    let top = links("/");
    rename(&t, "/full/sub", "/sub", 0).unwrap();
    assert_eq!((links("/full"), links("/"), name(&t, "/sub/..")), (2, top + 1, "/".to_string()));
    rename(&t, "/sub", "/empty", 0).unwrap();
    assert_eq!(links("/"), top);
}

#[test]
fn permissions_follow_owner_group_and_capabilities() {
    let t = enter();
    write(&t, "/secret", "s");
    find(&t, "/secret").unwrap().inode().attributes.borrow_mut().mode = 0o100640;
    mkdir(&t, "/private").unwrap();
    write(&t, "/private/f", "f");
    find(&t, "/private").unwrap().inode().attributes.borrow_mut().mode = 0o040700;
    mkdir(&t, "/tmp/sticky").unwrap();
    write(&t, "/tmp/owned", "o");
    assert_eq!(open_as(&t, "/secret", O_RDWR).map(drop), Ok(()));
    t.set_cred(Cred::new(1000, 1000));
    assert_eq!(read(&t, "/secret"), Err(Errno::EACCES));
    assert_eq!(read(&t, "/private/f"), Err(Errno::EACCES));
    assert_eq!(mkdir(&t, "/mine"), Err(Errno::EACCES));
    assert_eq!(unlink(&t, "/tmp/owned"), Err(Errno::EPERM));
    assert_eq!(rmdir(&t, "/tmp/sticky"), Err(Errno::EPERM));
    write(&t, "/tmp/mine", "m");
    assert_eq!(unlink(&t, "/tmp/mine"), Ok(()));
    t.set_cred(Arc::new(Cred { groups: vec![0], ..(*Cred::new(1000, 1000)).clone() }));
    assert_eq!(read(&t, "/secret").unwrap(), b"s");
    assert_eq!(open_as(&t, "/secret", O_WRONLY).err(), Some(Errno::EACCES));
}

#[test]
fn device_numbers_split_as_they_were_joined() {
    for (major, minor) in [(0, 0), (1, 3), (136, 300), (4095, 255), (5000, 0x12345)] {
        assert_eq!(major_minor(device_number(major, minor)), (major, minor));
    }
    assert_eq!(device_number(8, 1), 0x801);
}

#[test]
fn the_image_shows_through_until_it_is_changed() {
    let t =
        enter_image(image(&[("etc/a", b"A"), ("etc/b", b"B"), ("etc/sub/c", b"C"), ("bin/sh", &[7; 9000])]));
    assert_eq!(read(&t, "/etc/sub/c").unwrap(), b"C");
    assert_eq!(read(&t, "/etc/none"), Err(Errno::ENOENT));
    assert_eq!(find(&t, "/bin/sh").unwrap().inode().stat().size, 9000);
    write(&t, "/etc/a", "changed");
    write(&t, "/etc/new", "new");
    unlink(&t, "/etc/b").unwrap();
    rename(&t, "/etc/sub", "/moved", 0).unwrap();
    assert_eq!(read(&t, "/etc/a").unwrap(), b"changed");
    assert_eq!(read(&t, "/etc/b"), Err(Errno::ENOENT));
    assert_eq!(read(&t, "/moved/c").unwrap(), b"C");
    assert_eq!(name(&t, "/moved/.."), "/");
    let names: Vec<String> = list(&t, "/etc", 0).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["a", "new"]);
    let links = |path: &str| find(&t, path).unwrap().inode().attributes().nlink;
    assert_eq!((links("/etc"), links("/moved"), links("/moved/c")), (2, 2, 1));
}

#[test]
fn listing_goes_on_where_it_was_when_names_change() {
    let files: Vec<(String, Vec<u8>)> = (0..500).map(|n| (format!("d/name{n:03}"), vec![])).collect();
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (&**name, &**bytes)).collect();
    let t = enter_image(image(&files));
    let before = list(&t, "/d", 2);
    assert_eq!(before.len(), 500);
    let (_, cookie) = before[299].clone();
    assert_eq!(list(&t, "/d", cookie + 1), before[300..]);
    // Some are looked up, some go, one comes: who goes on from the cookie sees the rest, each once.
    find(&t, "/d/name400").unwrap();
    for n in [10, 250, 310, 499] {
        unlink(&t, &format!("/d/name{n:03}")).unwrap();
    }
    write(&t, "/d/late", "");
    let mut expected: Vec<String> =
        (300..500).filter(|n| ![310, 499].contains(n)).map(|n| format!("name{n:03}")).collect();
    expected.push("late".to_string());
    let after: Vec<String> = list(&t, "/d", cookie + 1).into_iter().map(|(name, _)| name).collect();
    assert_eq!(after, expected);
    // Removing all while listing in small parts, as rm -r does, leaves nothing.
    let mut cookie = 0;
    loop {
        let part: Vec<(String, u64)> = list(&t, "/d", cookie).into_iter().take(7).collect();
        let Some((_, last)) = part.last() else { break };
        cookie = last + 1;
        for (name, _) in &part {
            unlink(&t, &format!("/d/{name}")).unwrap();
        }
    }
    assert_eq!(rmdir(&t, "/d"), Ok(()));
}

#[test]
fn hard_links_of_the_image_share_their_inode() {
    let mut tree = image_tree(&[("a/x", b"shared")]);
    let directory = tree.child(Tree::ROOT, b"a").unwrap();
    let file = tree.child(directory, b"x").unwrap();
    tree.link(directory, b"y", file).unwrap();
    let mut bytes = Vec::new();
    tree.write(&mut bytes).unwrap();
    let t = enter_image(super::image::RootImage::open(bytes.leak()).unwrap());
    write(&t, "/a/x", "new");
    assert_eq!(read(&t, "/a/y").unwrap(), b"new");
    assert_eq!(find(&t, "/a/y").unwrap().inode().stat().nlink, 2);
    unlink(&t, "/a/x").unwrap();
    assert_eq!(find(&t, "/a/y").unwrap().inode().stat().nlink, 1);
}

mod model {
    //! Random changes of a small tree, against a map from names to contents.
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Clone, Debug)]
    enum Step {
        Write(String, u8),
        Unlink(String),
        Mkdir(String),
        Rmdir(String),
        Rename(String, String),
    }

    fn path() -> impl Strategy<Value = String> {
        prop_oneof![
            (0..3u8).prop_map(|a| format!("/m/{a}")),
            (0..3u8, 0..3u8).prop_map(|(a, b)| format!("/m/{a}/{b}")),
            (0..3u8, 0..3u8, 0..2u8).prop_map(|(a, b, c)| format!("/m/{a}/{b}/{c}")),
        ]
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (path(), any::<u8>()).prop_map(|(path, byte)| Step::Write(path, byte)),
            path().prop_map(Step::Unlink),
            path().prop_map(Step::Mkdir),
            path().prop_map(Step::Rmdir),
            (path(), path()).prop_map(|(old, new)| Step::Rename(old, new)),
        ]
    }

    /// `None` is a directory.
    type Model = BTreeMap<String, Option<u8>>;

    fn parent_is_directory(model: &Model, path: &str) -> bool {
        let parent = path.rsplit_once('/').unwrap().0;
        model.get(parent) == Some(&None)
    }

    fn has_children(model: &Model, path: &str) -> bool {
        model.keys().any(|key| key.strip_prefix(path).is_some_and(|rest| rest.starts_with('/')))
    }

    /// Applies a step to the model; whether it succeeds.
    fn apply(model: &mut Model, step: &Step) -> bool {
        match step {
            Step::Write(path, byte) => {
                let allowed = parent_is_directory(model, path) && model.get(path) != Some(&None);
                allowed && (model.insert(path.clone(), Some(*byte)), true).1
            }
            Step::Unlink(path) => {
                let allowed = matches!(model.get(path), Some(Some(_)));
                allowed && model.remove(path).is_some()
            }
            Step::Mkdir(path) => {
                let allowed = parent_is_directory(model, path) && !model.contains_key(path);
                allowed && model.insert(path.clone(), None).is_none()
            }
            Step::Rmdir(path) => {
                let allowed = model.get(path) == Some(&None) && !has_children(model, path);
                allowed && model.remove(path).is_some()
            }
            Step::Rename(old, new) => {
                let Some(source) = model.get(old).copied() else { return false };
                if old == new {
                    return true;
                }
                let into_itself = new.strip_prefix(&**old).is_some_and(|rest| rest.starts_with('/'));
                let fits = match model.get(new) {
                    None => true,
                    Some(target) => target.is_none() == source.is_none() && !has_children(model, new),
                };
                if !parent_is_directory(model, new) || into_itself || !fits {
                    return false;
                }
                let moved: Vec<(String, Option<u8>)> = model
                    .iter()
                    .filter_map(|(key, value)| {
                        let rest = key.strip_prefix(&**old)?;
                        (rest.is_empty() || rest.starts_with('/')).then(|| (format!("{new}{rest}"), *value))
                    })
                    .collect();
                model.retain(|key, _| {
                    !key.strip_prefix(&**old).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                });
                model.extend(moved);
                true
            }
        }
    }

    fn perform(t: &Arc<Task>, step: &Step) -> bool {
        match step {
            Step::Write(path, byte) => open_as(t, path, O_WRONLY | O_CREAT | O_TRUNC)
                .is_ok_and(|file| file.write(&mut Source::Kernel(&[*byte])) == Ok(1)),
            Step::Unlink(path) => unlink(t, path).is_ok(),
            Step::Mkdir(path) => mkdir(t, path).is_ok(),
            Step::Rmdir(path) => rmdir(t, path).is_ok(),
            Step::Rename(old, new) => rename(t, old, new, 0).is_ok(),
        }
    }

    fn compare(t: &Arc<Task>, model: &Model) {
        for (path, value) in model {
            let found = find(t, path).unwrap();
            match value {
                Some(byte) => assert_eq!(read(t, path).unwrap(), [*byte]),
                None => {
                    let mut names: Vec<String> =
                        list(t, path, 0).into_iter().map(|(name, _)| format!("{path}/{name}")).collect();
                    names.sort();
                    let below = |key: &&String| parent_of(key) == path;
                    let expected: Vec<String> = model.keys().filter(below).cloned().collect();
                    assert_eq!(names, expected, "names in {path}");
                    let subdirs = expected.iter().filter(|key| model[*key].is_none()).count() as u32;
                    assert_eq!(found.inode().attributes().nlink, 2 + subdirs, "links of {path}");
                    assert_eq!(path_of(&found), path.as_bytes());
                }
            }
        }
    }

    fn parent_of(path: &str) -> &str {
        path.rsplit_once('/').unwrap().0
    }

    fn run(t: &Arc<Task>, mut model: Model, steps: &[Step]) {
        for step in steps {
            let expected = apply(&mut model, step);
            assert_eq!(perform(t, step), expected, "{step:?}");
        }
        compare(t, &model);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn a_tree_in_memory_agrees_with_a_map(steps in prop::collection::vec(step(), 1..60)) {
            let t = enter();
            mkdir(&t, "/m").unwrap();
            run(&t, Model::from([("/m".to_string(), None)]), &steps);
        }

        #[test]
        fn a_tree_over_an_image_agrees_with_a_map(steps in prop::collection::vec(step(), 1..60)) {
            let files = ["m/0/0/0", "m/0/1", "m/1/1/1", "m/2"];
            let t = enter_image(image(&files.map(|path| (path, b"i".as_slice()))));
            let mut model: Model = files.iter().map(|path| (format!("/{path}"), Some(b'i'))).collect();
            for directory in ["/m", "/m/0", "/m/0/0", "/m/1", "/m/1/1"] {
                model.insert(directory.to_string(), None);
            }
            run(&t, model, &steps);
        }
    }
}

#[test]
fn inotify_tells_what_linux_tells() {
    use super::notify::Inotify;
    use super::{attributes, xattr};
    use crate::file::File;
    let t = enter();
    mkdir(&t, "/d").unwrap();
    mkdir(&t, "/d/s").unwrap();
    write(&t, "/d/f", "text");
    let inotify = Inotify::new();
    let of = OpenFile::new(inotify.clone(), O_RDONLY, None);
    for (number, path) in [(1, "/d"), (2, "/d/s"), (3, "/d/f")] {
        assert_eq!(inotify.watch(find(&t, path).unwrap().inode(), 0xfff), Ok(number));
    }
    let events = || {
        let mut bytes = [0; 4096];
        let len = match inotify.poll(&of) {
            0 => 0,
            _ => inotify.read(&of, 0, &mut Sink::Kernel(&mut bytes)).unwrap(),
        };
        let mut text = Vec::new();
        let mut at = 0;
        while at < len {
            let field = |index: usize| {
                u32::from_le_bytes(bytes[at + index * 4..at + index * 4 + 4].try_into().unwrap())
            };
            let name_len = field(3) as usize;
            let name = &bytes[at + 16..at + 16 + name_len];
            let name = name.split(|byte| *byte == 0).next().unwrap();
            text.push(format!("{}:{:x}:{}", field(0), field(1), String::from_utf8_lossy(name)));
            at += 16 + name_len;
        }
        text.join(" ")
    };
    let cred = t.cred();
    // What each step gives was seen on Linux 6.12 (tmpfs and ext4 alike).
    rmdir(&t, "/d/s").unwrap();
    let gone = events();
    assert!(gone == "2:400: 2:8000: 1:40000200:s" || gone == "1:40000200:s 2:400: 2:8000:", "{gone}");
    let f = open_as(&t, "/d/f", O_RDWR).unwrap();
    assert_eq!(events(), "1:20:f 3:20:");
    f.write(&mut Source::Kernel(b"x")).unwrap();
    assert_eq!(events(), "1:2:f 3:2:");
    let mut byte = [0];
    f.read(&mut Sink::Kernel(&mut byte)).unwrap();
    assert_eq!(events(), "1:1:f 3:1:");
    f.set_position(100);
    f.read(&mut Sink::Kernel(&mut byte)).unwrap();
    assert_eq!(events(), "");
    let path = f.path.clone().unwrap();
    attributes::set_size(&path, None, 0).unwrap();
    assert_eq!(events(), "1:2:f 3:2:");
    attributes::set_mode(&path, &cred, 0o600).unwrap();
    assert_eq!(events(), "1:4:f 3:4:");
    xattr::set(&path, &cred, b"user.x", b"1".to_vec(), 0).unwrap();
    assert_eq!(events(), "1:4:f 3:4:");
    tree::make_link(&t, &path, AT_FDCWD, b"/d/g").unwrap();
    assert_eq!(events(), "3:4: 1:100:g");
    rename(&t, "/d/f", "/d/h", 0).unwrap();
    assert_eq!(events(), "1:40:f 1:80:h 3:800:");
    unlink(&t, "/d/g").unwrap();
    assert_eq!(events(), "3:4: 1:200:g");
    unlink(&t, "/d/h").unwrap();
    assert_eq!(events(), "3:4: 1:200:h");
    f.write(&mut Source::Kernel(b"y")).unwrap();
    assert_eq!(events(), "1:2:h 3:2:");
    drop((f, path));
    assert_eq!(events(), "1:8:h 3:8: 3:400: 3:8000:");
    let f = open_as(&t, "/d/new", O_CREAT | O_WRONLY | O_TRUNC).unwrap();
    assert_eq!(events(), "1:100:new 1:20:new");
    drop(f);
    assert_eq!(events(), "1:8:new");
    drop(open_as(&t, "/d/new", O_CREAT | O_WRONLY | O_TRUNC).unwrap());
    assert_eq!(events(), "1:20:new 1:2:new 1:8:new");
    symlink(&t, "x", "/d/sym");
    mkdir(&t, "/d/dd").unwrap();
    assert_eq!(events(), "1:100:sym 1:40000100:dd");
    rename(&t, "/d/new", "/d/sym", 0).unwrap();
    assert_eq!(events(), "1:40:new 1:80:sym");
    unlink(&t, "/d/sym").unwrap();
    rmdir(&t, "/d/dd").unwrap();
    events();
    rmdir(&t, "/d").unwrap();
    assert_eq!(events(), "1:400: 1:8000:");
    assert!(!super::notify::watching());
}

#[test]
fn memory_files_are_sealed() {
    use linux_raw_sys::general::{F_SEAL_GROW, F_SEAL_WRITE};
    let t = enter();
    let file = root::memory_file(b"m", &t.cred(), 0o777, 0);
    assert_eq!(path_of(file.path.as_ref().unwrap()), b"/memfd:m (deleted)");
    assert_eq!(file.write(&mut Source::Kernel(b"abc")), Ok(3));
    let inode = file.path.as_ref().unwrap().inode();
    inode.set_seals(F_SEAL_GROW);
    assert_eq!(file.object.write(&file, 0, &mut Source::Kernel(b"ABC")), Ok(3));
    assert_eq!(file.object.write(&file, 1, &mut Source::Kernel(b"ABC")), Err(Errno::EPERM));
    inode.set_seals(F_SEAL_WRITE);
    assert_eq!(file.object.write(&file, 0, &mut Source::Kernel(b"ABC")), Err(Errno::EPERM));
}

#[test]
fn copies_stop_where_the_target_does() {
    use crate::file::copy::{Cursor, copy};
    let bytes: Vec<u8> = (0..200_000u32).map(|n| n as u8).collect();
    let t = enter_image(image(&[("big", &bytes)]));
    let from = open_as(&t, "/big", O_RDONLY).unwrap();
    let to = open_as(&t, "/tmp/copy", O_RDWR | O_CREAT).unwrap();
    assert_eq!(copy(&mut Cursor::Own(&from), &mut Cursor::Own(&to), 150_000), Ok(150_000));
    assert_eq!((from.position(), to.position()), (150_000, 150_000));
    assert_eq!(copy(&mut Cursor::At(&from, 150_000), &mut Cursor::Own(&to), 1 << 20), Ok(50_000));
    assert_eq!(from.position(), 150_000);
    let mut back = vec![0; 200_001];
    to.set_position(0);
    assert_eq!(to.read(&mut Sink::Kernel(&mut back)), Ok(200_000));
    assert!(back[..200_000] == bytes);
    // From memory too, through the buffer.
    let again = open_as(&t, "/tmp/again", O_RDWR | O_CREAT).unwrap();
    assert_eq!(copy(&mut Cursor::At(&to, 7), &mut Cursor::Own(&again), 180_000), Ok(180_000));
    again.set_position(0);
    assert_eq!(again.read(&mut Sink::Kernel(&mut back)), Ok(180_000));
    assert!(back[..180_000] == bytes[7..180_007]);
}

#[test]
fn record_locks_go_with_any_descriptor_of_the_file() {
    use crate::file::locks::{Owner, Record};
    let t = enter();
    write(&t, "/f", "x");
    let files = t.files();
    let first = files.install(open_as(&t, "/f", O_RDWR).unwrap(), false).unwrap();
    let second = files.install(open_as(&t, "/f", O_RDWR).unwrap(), false).unwrap();
    let inode = find(&t, "/f").unwrap().inode().clone();
    let record = |owner| Record { owner, pid: 1, exclusive: true, start: 0, end: 9 };
    inode.make_locks().lock(record(Owner::table(&files)), false).unwrap();
    let other = record(Owner::Table(1));
    assert!(inode.make_locks().conflict(&other).is_some());
    files.close(second).unwrap();
    assert!(inode.make_locks().conflict(&other).is_none());
    let open = files.get(first).unwrap();
    inode.make_locks().lock(record(Owner::open(&open)), false).unwrap();
    inode.make_locks().lock_whole(Owner::open(&open), true, false).unwrap();
    files.close(first).unwrap();
    assert!(inode.make_locks().conflict(&other).is_some());
    drop(open);
    assert!(inode.make_locks().conflict(&other).is_none());
    assert_eq!(inode.make_locks().lock_whole(Owner::Open(1), true, false), Ok(()));
}

#[test]
fn a_fifo_carries_bytes_between_its_openers() {
    use linux_raw_sys::general::{O_NONBLOCK, S_IFIFO};
    let t = enter();
    tree::make_node(&t, AT_FDCWD, b"/tmp/fifo", S_IFIFO | 0o600, 0).unwrap();
    assert_eq!(open_as(&t, "/tmp/fifo", O_WRONLY | O_NONBLOCK).err(), Some(Errno::ENXIO));
    let reader = open_as(&t, "/tmp/fifo", O_RDONLY | O_NONBLOCK).unwrap();
    let writer = open_as(&t, "/tmp/fifo", O_WRONLY).unwrap();
    assert_eq!(writer.write(&mut Source::Kernel(b"through")), Ok(7));
    let mut bytes = [0; 16];
    assert_eq!(reader.read(&mut Sink::Kernel(&mut bytes)), Ok(7));
    assert_eq!(reader.stat().unwrap().mode & 0o170000, S_IFIFO);
    drop(writer);
    assert_eq!(reader.read(&mut Sink::Kernel(&mut bytes)), Ok(0));
}

#[test]
fn dev_pts_shows_the_terminals_there_are() {
    let t = enter();
    assert_eq!(find(&t, "/dev/pts/0").err(), Some(Errno::ENOENT));
    let master = open_as(&t, "/dev/ptmx", O_RDWR).unwrap();
    let slave = find(&t, "/dev/pts/0").unwrap();
    assert_eq!(major_minor(slave.inode().stat().rdev), (136, 0));
    assert_eq!(name(&t, "/dev/pts/0"), "/dev/pts/0");
    drop(master);
    assert_eq!(find(&t, "/dev/pts/0").err(), Some(Errno::ENOENT));
}

#[test]
fn mounts_cover_move_and_go() {
    use super::attach::{MountOptions, bind, mount_new, move_mount, unmount};
    let t = enter();
    let options = |text: &str| MountOptions::parse(text.as_bytes()).unwrap();
    for directory in ["/a", "/a/below", "/b", "/c"] {
        mkdir(&t, directory).unwrap();
    }
    write(&t, "/a/under", "u");
    mount_new(b"tmpfs", b"tmp", &find(&t, "/a").unwrap(), 0, &options("size=8k,mode=700")).unwrap();
    assert_eq!(find(&t, "/a").unwrap().inode().attributes().mode & 0o7777, 0o700);
    assert_eq!(read(&t, "/a/under"), Err(Errno::ENOENT));
    assert_eq!(name(&t, "/a/../a"), "/a");
    let file = open_as(&t, "/a/f", O_CREAT | O_RDWR).unwrap();
    assert_eq!(file.write(&mut Source::Kernel(&[1; 20_000])), Ok(8192));
    assert_eq!(rmdir(&t, "/a"), Err(Errno::EBUSY));
    assert_eq!(unmount(find(&t, "/a").unwrap(), false), Err(Errno::EBUSY));
    drop(file);
    bind(&find(&t, "/a").unwrap(), &find(&t, "/b").unwrap(), false).unwrap();
    assert_eq!(find(&t, "/b/f").unwrap().inode().stat().size, 8192);
    assert_eq!(rename(&t, "/a/f", "/b/g", 0), Err(Errno::EXDEV));
    move_mount(&find(&t, "/a").unwrap(), &find(&t, "/c").unwrap()).unwrap();
    assert_eq!(read(&t, "/a/under").unwrap(), b"u");
    assert!(find(&t, "/c/f").is_ok());
    assert_eq!(unmount(find(&t, "/a").unwrap(), false), Err(Errno::EINVAL));
    assert_eq!(unmount(find(&t, "/c").unwrap(), false), Ok(()));
    assert_eq!(unmount(find(&t, "/b").unwrap(), true), Ok(()));
    assert_eq!(rmdir(&t, "/b"), Ok(()));
    assert_eq!(mount_new(b"nonesuch", b"", &find(&t, "/c").unwrap(), 0, &options("")), Err(Errno::ENODEV));
    // A mount on a generated directory is found again by the next lookup.
    mount_new(b"devpts", b"", &find(&t, "/c").unwrap(), 0, &options("")).unwrap();
    assert!(find(&t, "/c/ptmx").is_ok());
}
