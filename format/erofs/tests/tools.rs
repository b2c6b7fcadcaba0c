//! Against erofs-utils and the host's kernel: they accept what we write, and we read what they write.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::Command;

use husk_erofs::{FileType, Image, Inode};
use husk_erofs_build::{Content, Kind, Meta, NodeId, Tree};

/// Whether a tool can be run; says so where it cannot.
fn has(tool: &str) -> bool {
    let found = Command::new(tool).arg("--help").output().is_ok();
    if !found {
        eprintln!("skipped: {tool} is not installed (Debian: erofs-utils)");
    }
    found
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {text}");
    text
}

/// A directory of the host with a bit of everything that an ordinary user may make.
fn fill(dir: &Path) {
    fs::create_dir_all(dir.join("sub/empty")).unwrap();
    fs::create_dir(dir.join("many")).unwrap();
    for number in 0..700 {
        fs::write(dir.join(format!("many/file-with-a-name-{number}")), vec![b'x'; number * 9]).unwrap();
    }
    for size in [0, 1, 2047, 2048, 2049, 4095, 4096, 4097, 1_000_000] {
        let bytes: Vec<u8> = (0..size).map(|at: usize| (at * 7 % 256) as u8).collect();
        fs::write(dir.join(format!("sub/size-{size}")), bytes).unwrap();
    }
    fs::hard_link(dir.join("sub/size-4097"), dir.join("hard")).unwrap();
    symlink("sub/size-1", dir.join("soft")).unwrap();
    symlink("/absent", dir.join("sub/dangling")).unwrap();
}

/// The same directory as a tree for the builder.
fn gather(tree: &mut Tree, parent: NodeId, dir: &Path, seen: &mut BTreeMap<u64, NodeId>) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let (path, name) = (entry.path(), entry.file_name());
        let stat = fs::symlink_metadata(&path).unwrap();
        if let Some(&id) = seen.get(&stat.ino()) {
            tree.link(parent, name.as_encoded_bytes(), id).unwrap();
            continue;
        }
        let kind = if stat.is_dir() {
            Kind::directory()
        } else if stat.is_symlink() {
            Kind::Symlink(fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes())
        } else {
            let content = Content::Host { path: path.clone(), size: stat.size() };
            Kind::File { content, mapped: stat.size() % 2 == 0 }
        };
        let meta = Meta {
            permissions: (stat.mode() & 0o7777) as u16,
            uid: stat.uid(),
            gid: stat.gid(),
            mtime: stat.mtime(),
            mtime_nsec: stat.mtime_nsec() as u32,
            xattrs: BTreeMap::from([(b"user.size".to_vec(), stat.size().to_string().into_bytes())]),
        };
        let id = tree.add(parent, name.as_encoded_bytes(), meta, kind).unwrap();
        if stat.is_dir() {
            gather(tree, id, &path, seen);
        } else {
            seen.insert(stat.ino(), id);
        }
    }
}

fn built(dir: &Path) -> Tree {
    let mut tree = Tree::new(Meta { permissions: 0o755, ..Meta::default() });
    gather(&mut tree, Tree::ROOT, dir, &mut BTreeMap::new());
    tree
}

/// Compares a directory of the image with one of the host.
fn compare(image: &Image<'_>, inode: &Inode, dir: &Path) {
    let listed = image.entries(inode, 0).unwrap().map(Result::unwrap).collect::<Vec<_>>().len();
    assert_eq!(listed, fs::read_dir(dir).unwrap().count() + 2, "{}", dir.display());
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let path = entry.path();
        let found = image.lookup(inode, entry.file_name().as_encoded_bytes()).unwrap();
        let found = image.inode(found.unwrap_or_else(|| panic!("{} is absent", path.display())).nid).unwrap();
        let stat = fs::symlink_metadata(&path).unwrap();
        assert_eq!(u32::from(found.mode), stat.mode(), "{}", path.display());
        assert_eq!((found.uid, found.gid), (stat.uid(), stat.gid()));
        assert_eq!((found.mtime, i64::from(found.mtime_nsec)), (stat.mtime(), stat.mtime_nsec()));
        assert_eq!(u64::from(found.nlink), stat.nlink(), "{}", path.display());
        match found.file_type() {
            FileType::Directory => compare(image, &found, &path),
            FileType::Symlink => {
                let target = fs::read_link(&path).unwrap();
                assert_eq!(image.symlink(&found).unwrap(), target.as_os_str().as_encoded_bytes());
            }
            FileType::Regular => {
                let mut bytes = vec![0; found.size as usize];
                assert_eq!(image.read(&found, 0, &mut bytes).unwrap(), bytes.len());
                assert!(bytes == fs::read(&path).unwrap(), "{}", path.display());
            }
            other => panic!("{}: {other:?}", path.display()),
        }
    }
}

#[test]
fn fsck_accepts_our_image_and_dump_reads_it() {
    if !has("fsck.erofs") || !has("dump.erofs") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fill(&source);
    let path = dir.path().join("image");
    built(&source).write(fs::File::create(&path).unwrap()).unwrap();
    run(Command::new("fsck.erofs").arg("--extract").arg(&path));
    let told = run(Command::new("dump.erofs").args(["--path=/sub/size-4097"]).arg(&path));
    assert!(told.contains("4097") && told.contains("Links: 2"), "{told}");
}

#[test]
fn we_read_what_mkfs_writes() {
    if !has("mkfs.erofs") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fill(&source);
    for options in [
        &[][..],
        &["-Enoinline_data"],
        &["-Eforce-inode-extended"],
        &["--chunksize=4096"],
        &["--chunksize=65536"],
    ] {
        let path = dir.path().join("image");
        run(Command::new("mkfs.erofs").args(options).arg(&path).arg(&source));
        let bytes = fs::read(&path).unwrap();
        let image = Image::open(&bytes).unwrap();
        image.verify_checksum().unwrap();
        compare(&image, &image.inode(image.root()).unwrap(), &source);
    }
}

#[test]
fn a_compressed_image_is_refused_by_name() {
    if !has("mkfs.erofs") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fill(&source);
    let path = dir.path().join("image");
    run(Command::new("mkfs.erofs").arg("-zlz4").arg(&path).arg(&source));
    let bytes = fs::read(&path).unwrap();
    let image = Image::open(&bytes).unwrap();
    let root = image.inode(image.root()).unwrap();
    let sub = image.inode(image.lookup(&root, b"sub").unwrap().unwrap().nid).unwrap();
    let file = image.lookup(&sub, b"size-1000000").unwrap().unwrap();
    assert!(matches!(image.inode(file.nid), Err(husk_erofs::Error::Compressed(_))));
}

#[test]
fn the_hosts_kernel_mounts_our_image() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fill(&source);
    let (path, target) = (dir.path().join("image"), dir.path().join("mounted"));
    built(&source).write(fs::File::create(&path).unwrap()).unwrap();
    fs::create_dir(&target).unwrap();
    let mounted =
        Command::new("mount").args(["-t", "erofs", "-o", "loop,ro"]).args([&path, &target]).output().unwrap();
    if !mounted.status.success() {
        eprintln!("skipped: {}", String::from_utf8_lossy(&mounted.stderr));
        return;
    }
    let same = Command::new("diff").args(["-r", "--no-dereference"]).args([&source, &target]).output();
    let stat = fs::symlink_metadata(target.join("hard"));
    run(Command::new("umount").arg(&target));
    let same = same.unwrap();
    assert!(same.status.success(), "{}", String::from_utf8_lossy(&same.stdout));
    let (stat, expect) = (stat.unwrap(), fs::symlink_metadata(source.join("hard")).unwrap());
    assert_eq!((stat.mode(), stat.nlink(), stat.mtime()), (expect.mode(), 2, expect.mtime()));
}
