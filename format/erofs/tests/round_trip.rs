//! What the builder writes, the reader reads: same names, same attributes, same bytes.

use std::collections::BTreeMap;
use std::io::Write;

use husk_erofs::{FileType, Image, Inode};
use husk_erofs_build::{Content, Kind, Meta, NodeId, Tree};
use proptest::prelude::*;

fn meta(permissions: u16) -> Meta {
    Meta { permissions, ..Meta::default() }
}

fn image(tree: &Tree) -> Vec<u8> {
    let mut bytes = Vec::new();
    let len = tree.write(&mut bytes).unwrap();
    assert_eq!(len, bytes.len() as u64);
    bytes
}

fn find(image: &Image<'_>, path: &str) -> Inode {
    path.split('/').filter(|name| !name.is_empty()).fold(image.inode(image.root()).unwrap(), |dir, name| {
        let entry = image.lookup(&dir, name.as_bytes()).unwrap().unwrap();
        image.inode(entry.nid).unwrap()
    })
}

fn content(image: &Image<'_>, inode: &Inode) -> Vec<u8> {
    let mut bytes = vec![0xaa; inode.size as usize + 7];
    let count = image.read(inode, 0, &mut bytes).unwrap();
    bytes.truncate(count);
    bytes
}

#[test]
fn an_empty_root() {
    let bytes = image(&Tree::new(meta(0o755)));
    let image = Image::open(&bytes).unwrap();
    image.verify_checksum().unwrap();
    let root = image.inode(image.root()).unwrap();
    assert_eq!((root.mode, root.nlink), (0o040_755, 2));
    let names: Vec<_> = image.entries(&root, 0).unwrap().map(|entry| entry.unwrap().name).collect();
    assert_eq!(names, [&b"."[..], b".."]);
    assert_eq!(image.lookup(&root, b"..").unwrap().unwrap().nid, image.root());
}

#[test]
fn every_type_of_file() {
    let mut tree = Tree::new(meta(0o755));
    let mut attributes = Meta {
        permissions: 0o6711,
        uid: 70_000,
        gid: u32::MAX - 1,
        mtime: -5,
        mtime_nsec: 999_999_999,
        xattrs: BTreeMap::new(),
    };
    attributes.xattrs.insert(b"user.one".to_vec(), b"1".to_vec());
    attributes.xattrs.insert(b"security.capability".to_vec(), vec![7; 20]);
    attributes.xattrs.insert(b"system.posix_acl_access".to_vec(), vec![]);
    let host = tempfile();
    let size = host.1.len() as u64;
    let kind = Kind::File { content: Content::Host { path: host.0.clone(), size }, mapped: true };
    let file = tree.add(Tree::ROOT, b"host", attributes, kind).unwrap();
    let dir = tree.add(Tree::ROOT, b"dir", meta(0o1777), Kind::directory()).unwrap();
    tree.link(dir, b"again", file).unwrap();
    tree.add(dir, b"!", meta(0o777), Kind::Symlink(b"../host".to_vec())).unwrap();
    tree.add(dir, b"long", meta(0o777), Kind::Symlink(vec![b'x'; 4095])).unwrap();
    tree.add(dir, b"tty", meta(0o620), Kind::CharDevice { major: 5, minor: 300 }).unwrap();
    tree.add(dir, b"disk", meta(0o660), Kind::BlockDevice { major: 259, minor: 0x12345 }).unwrap();
    tree.add(dir, b"fifo", meta(0o600), Kind::Fifo).unwrap();
    tree.add(dir, b"socket", meta(0o600), Kind::Socket).unwrap();

    let bytes = image(&tree);
    std::fs::remove_file(&host.0).unwrap();
    let image = Image::open(&bytes).unwrap();
    let inode = find(&image, "host");
    assert_eq!(inode.nid, find(&image, "dir/again").nid);
    assert_eq!(
        (inode.mode, inode.nlink, inode.uid, inode.gid, inode.mtime, inode.mtime_nsec),
        (0o106_711, 2, 70_000, u32::MAX - 1, -5, 999_999_999)
    );
    assert_eq!(content(&image, &inode), host.1);
    let extents: Vec<_> = image.extents(&inode, 0).map(Result::unwrap).collect();
    assert_eq!(extents.len(), 1);
    assert!(extents[0].image_offset.unwrap().is_multiple_of(4096));
    assert_eq!(image.xattr(&inode, b"user.one").unwrap(), Some(&b"1"[..]));
    assert_eq!(image.xattr(&inode, b"security.capability").unwrap(), Some(&[7; 20][..]));
    assert_eq!(image.xattr(&inode, b"system.posix_acl_access").unwrap(), Some(&b""[..]));
    assert_eq!(image.xattr(&inode, b"user.on").unwrap(), None);
    assert_eq!(image.xattrs(&inode).count(), 3);
    assert_eq!(image.symlink(&find(&image, "dir/!")).unwrap(), b"../host");
    assert_eq!(image.symlink(&find(&image, "dir/long")).unwrap(), &[b'x'; 4095]);
    assert_eq!(find(&image, "dir/tty").device, (5, 300));
    assert_eq!(find(&image, "dir/disk").device, (259, 0x12345));
    assert_eq!(find(&image, "dir/fifo").file_type(), FileType::Fifo);
    assert_eq!(find(&image, "dir/socket").file_type(), FileType::Socket);
    let dir = find(&image, "dir");
    let names: Vec<_> = image.entries(&dir, 0).unwrap().map(|entry| entry.unwrap().name).collect();
    let expect: [&[u8]; 9] = [b"!", b".", b"..", b"again", b"disk", b"fifo", b"long", b"socket", b"tty"];
    assert_eq!(names, expect);
}

fn tempfile() -> (std::path::PathBuf, Vec<u8>) {
    let path = std::env::temp_dir().join(format!("husk-erofs-test-{}", std::process::id()));
    let bytes: Vec<u8> = (0..600_001_u32).map(|at| (at % 251) as u8).collect();
    std::fs::File::create(&path).unwrap().write_all(&bytes).unwrap();
    (path, bytes)
}

#[test]
fn a_file_that_changed_is_refused() {
    let path = std::env::temp_dir().join(format!("husk-erofs-changed-{}", std::process::id()));
    std::fs::write(&path, b"four").unwrap();
    let mut tree = Tree::new(meta(0o755));
    let kind = Kind::File { content: Content::Host { path: path.clone(), size: 5 }, mapped: false };
    tree.add(Tree::ROOT, b"file", meta(0o644), kind).unwrap();
    let result = tree.write(Vec::new());
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(result, Err(husk_erofs_build::Error::Changed { .. })));
}

#[test]
fn names_that_no_directory_may_have() {
    let mut tree = Tree::new(meta(0o755));
    for name in [&b""[..], b".", b"..", b"a/b", b"a\0", &[b'x'; 256]] {
        assert!(tree.add(Tree::ROOT, name, meta(0o600), Kind::Fifo).is_err());
    }
    tree.add(Tree::ROOT, b"a", meta(0o600), Kind::Fifo).unwrap();
    assert!(tree.add(Tree::ROOT, b"a", meta(0o600), Kind::Fifo).is_err());
}

#[test]
fn listing_goes_on_from_every_cookie() {
    let mut tree = Tree::new(meta(0o755));
    for number in 0..1000 {
        let name = format!("a-rather-long-name-to-fill-blocks-{number:04}");
        tree.add(Tree::ROOT, name.as_bytes(), meta(0o600), Kind::Fifo).unwrap();
    }
    let bytes = image(&tree);
    let image = Image::open(&bytes).unwrap();
    let root = image.inode(image.root()).unwrap();
    let all: Vec<_> = image.entries(&root, 0).unwrap().map(Result::unwrap).collect();
    assert_eq!(all.len(), 1002);
    for (index, entry) in all.iter().enumerate() {
        let next = image.entries(&root, entry.cookie).unwrap().next().map(Result::unwrap);
        assert_eq!(next, all.get(index + 1).copied());
        assert_eq!(image.lookup(&root, entry.name).unwrap().unwrap(), *entry);
    }
}

/// A file or a directory of a random tree.
#[derive(Clone, Debug)]
enum Item {
    File(Vec<u8>, bool),
    Link(Vec<u8>),
    Dir(BTreeMap<Vec<u8>, Item>),
}

fn names() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![4 => b'a'..=b'd', 1 => any::<u8>()];
    prop::collection::vec(byte, 1..255).prop_filter("a file name", |name| {
        !name.contains(&0) && !name.contains(&b'/') && name != b"." && name != b".."
    })
}

fn items() -> impl Strategy<Value = Item> {
    let sizes = prop_oneof![0..64_usize, 2040..2060_usize, 4090..4100_usize, 0..20_000_usize];
    let file = (sizes, any::<u8>(), any::<bool>())
        .prop_map(|(size, seed, mapped)| Item::File((0..size).map(|at| at as u8 ^ seed).collect(), mapped));
    let link = prop::collection::vec(1..=255_u8, 1..4096).prop_map(Item::Link);
    prop_oneof![4 => file, 1 => link].prop_recursive(3, 200, 40, |inner| {
        prop::collection::btree_map(names(), inner, 0..40).prop_map(Item::Dir)
    })
}

fn grow(tree: &mut Tree, parent: NodeId, name: &[u8], item: &Item) {
    let kind = match item {
        Item::File(bytes, mapped) => Kind::File { content: Content::Bytes(bytes.clone()), mapped: *mapped },
        Item::Link(target) => Kind::Symlink(target.clone()),
        Item::Dir(_) => Kind::directory(),
    };
    let id = tree.add(parent, name, meta(0o644), kind).unwrap();
    if let Item::Dir(below) = item {
        for (name, item) in below {
            grow(tree, id, name, item);
        }
    }
}

fn compare(image: &Image<'_>, dir: &Inode, name: &[u8], item: &Item) {
    let entry = image.lookup(dir, name).unwrap().unwrap();
    let inode = image.inode(entry.nid).unwrap();
    assert_eq!(inode.file_type(), entry.file_type);
    match item {
        Item::File(bytes, mapped) => {
            assert_eq!(&content(image, &inode), bytes);
            for extent in image.extents(&inode, 0).map(Result::unwrap) {
                let aligned = extent.image_offset.unwrap().is_multiple_of(4096);
                assert!(aligned || (!mapped && extent.len < 4096));
            }
        }
        Item::Link(target) => assert_eq!(image.symlink(&inode).unwrap(), target),
        Item::Dir(below) => {
            let listed: Vec<_> = image.entries(&inode, 0).unwrap().map(|entry| entry.unwrap().name).collect();
            assert!(listed.is_sorted());
            assert_eq!(listed.len(), below.len() + 2);
            for (name, item) in below {
                compare(image, &inode, name, item);
            }
            assert_eq!(image.lookup(&inode, b"..").unwrap().unwrap().nid, dir.nid);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn random_trees(item in items()) {
        let mut tree = Tree::new(meta(0o755));
        grow(&mut tree, Tree::ROOT, b"top", &item);
        let bytes = image(&tree);
        prop_assert_eq!(&bytes, &image(&tree.clone()));
        let view = Image::open(&bytes).unwrap();
        view.verify_checksum().unwrap();
        compare(&view, &view.inode(view.root()).unwrap(), b"top", &item);
    }
}
