//! Layers, odd and hostile: each is refused with a reason, or contained in a tree that is right.

mod tar;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use husk_erofs::{FileType, Image};
use husk_image::layer::{Limits, import, replay, uncompressed};
use husk_image::{Digest, ImageError};
use proptest::prelude::*;
use tar::{Entry, body, device, dir, entry, file, gnu_long_name, link, pax, symlink, tar};

struct Layer {
    image: Vec<u8>,
    folder: tempfile::TempDir,
}

fn run(tar: &[u8], limits: Limits) -> Result<Layer, ImageError> {
    let folder = tempfile::tempdir().unwrap();
    let open = |name: &str| {
        let mut options = File::options();
        options.read(true).write(true).create_new(true).open(folder.path().join(name)).unwrap()
    };
    let (image, frame) = (open("image"), open("frame"));
    let imported = import(tar, &image, &frame, limits)?;
    assert_eq!(imported.diff_id, Digest::of(tar), "the diff-id is of every byte");
    assert_eq!(imported.tar_size, tar.len() as u64);
    let (image, frame) =
        (File::open(folder.path().join("image")).unwrap(), File::open(folder.path().join("frame")).unwrap());
    let mut again = Vec::new();
    replay(&image, &frame, &mut again).unwrap();
    assert!(again == tar, "the tar comes out as it came in");
    let mut bytes = Vec::new();
    File::open(folder.path().join("image")).unwrap().read_to_end(&mut bytes).unwrap();
    Ok(Layer { image: bytes, folder })
}

fn refused(what: &str, tar: &[u8], why: &str) {
    match run(tar, Limits::default()) {
        Ok(layer) => panic!("{what}: was taken as {:?}", layer.list()),
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains(why), "{what}: {text:?} does not say {why:?}");
            assert!(text.len() < 600, "{what}: {} bytes of message", text.len());
        }
    }
}

fn taken(what: &str, entries: &[Entry], expected: &[&str]) -> Layer {
    let layer = run(&tar(entries), Limits::default()).unwrap_or_else(|error| panic!("{what}: {error}"));
    let found = layer.list();
    assert_eq!(found, expected, "{what}");
    // Nothing was written but the two files that import was given.
    assert_eq!(std::fs::read_dir(layer.folder.path()).unwrap().count(), 2, "{what}");
    layer
}

impl Layer {
    /// `path kind detail` of everything, in order.
    fn list(&self) -> Vec<String> {
        let image = Image::open(&self.image).unwrap();
        let mut lines = Vec::new();
        let mut todo = vec![(image.inode(image.root()).unwrap(), String::new())];
        while let Some((dir, path)) = todo.pop() {
            for entry in image.entries(&dir, 0).unwrap() {
                let entry = entry.unwrap();
                if matches!(entry.name, b"." | b"..") {
                    continue;
                }
                let inode = image.inode(entry.nid).unwrap();
                let path = format!("{path}/{}", entry.name.escape_ascii());
                let mut detail = match inode.file_type() {
                    FileType::Directory => {
                        todo.push((inode, path.clone()));
                        "d".to_owned()
                    }
                    FileType::Symlink => format!("l {}", image.symlink(&inode).unwrap().escape_ascii()),
                    FileType::CharDevice | FileType::BlockDevice if inode.device == (0, 0) => {
                        "whiteout".to_owned()
                    }
                    FileType::CharDevice => format!("c {}:{}", inode.device.0, inode.device.1),
                    FileType::BlockDevice => format!("b {}:{}", inode.device.0, inode.device.1),
                    FileType::Fifo => "p".to_owned(),
                    _ => {
                        let mut bytes = vec![0; (inode.size as usize).min(64)];
                        image.read(&inode, 0, &mut bytes).unwrap();
                        let links =
                            if inode.nlink > 1 { format!(" x{}", inode.nlink) } else { String::new() };
                        format!("f {} {}{links}", inode.size, bytes.escape_ascii())
                    }
                };
                if image.xattr(&inode, b"trusted.overlay.opaque").unwrap().is_some() {
                    detail.push_str(" opaque");
                }
                if image.xattr(&inode, b"trusted.husk.implicit").unwrap().is_some() {
                    detail.push_str(" implicit");
                }
                lines.push(format!("{path} {detail}"));
            }
        }
        lines.sort();
        lines
    }

    fn inode(&self, path: &str) -> (Image<'_>, husk_erofs::Inode) {
        let image = Image::open(&self.image).unwrap();
        let mut inode = image.inode(image.root()).unwrap();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let nid = image.lookup(&inode, name.as_bytes()).unwrap().unwrap().nid;
            inode = image.inode(nid).unwrap();
        }
        (image, inode)
    }
}

#[test]
fn paths_that_lead_out_are_refused() {
    refused("dot-dot", &tar(&[file(b"../x", b"")]), "leads out");
    refused("dot-dot below", &tar(&[file(b"a/../../x", b"")]), "leads out");
    refused("absolute dot-dot", &tar(&[file(b"/../x", b"")]), "leads out");
    refused("only dot-dot", &tar(&[dir(b"..")]), "leads out");
    refused("hard link out", &tar(&[link(b"x", b"../../etc/passwd")]), "leads out");
    refused("hard link to the host", &tar(&[link(b"x", b"/etc/passwd")]), "does not have");
    refused("whiteout out", &tar(&[file(b"../.wh.x", b"")]), "leads out");
    refused(
        "hard link over a link",
        &tar(&[symlink(b"l", b"/etc"), link(b"x", b"l/passwd")]),
        "does not have",
    );
    refused("long name out", &tar(&[gnu_long_name(b"../x"), file(b"y", b"")]), "leads out");
    refused("pax path out", &tar(&[pax(&[(b"path", b"../x")]), file(b"y", b"")]), "leads out");
}

#[test]
fn paths_that_stay_in_are_contained() {
    taken("absolute", &[file(b"/etc/x", b"1")], &["/etc d implicit", "/etc/x f 1 1"]);
    taken("dot-dot inside", &[file(b"a/../b", b"1")], &["/b f 1 1"]);
    taken("slashes and dots", &[file(b".//./a///./b", b"1")], &["/a d implicit", "/a/b f 1 1"]);
    taken(
        "a link out",
        &[symlink(b"l", b"../../../etc"), file(b"l/x", b"1")],
        &["/etc d implicit", "/etc/x f 1 1", "/l l ../../../etc"],
    );
    taken("an absolute link", &[symlink(b"l", b"/etc/passwd"), file(b"l", b"1")], &["/l f 1 1"]);
    taken("a link to the root", &[symlink(b"l", b"/"), file(b"l/x", b"1")], &["/l l /", "/x f 1 1"]);
    refused(
        "links in circles",
        &tar(&[symlink(b"a", b"b"), symlink(b"b", b"a"), file(b"a/x", b"")]),
        "symbolic links",
    );
    refused("links that grow", &tar(&[symlink(b"a", b"a/a/a/a"), file(b"a/x", b"")]), "symbolic links");
}

#[test]
fn hard_links_are_within_the_layer() {
    taken("two names", &[file(b"a", b"1"), link(b"b", b"a")], &["/a f 1 1 x2", "/b f 1 1 x2"]);
    taken("absolute target", &[file(b"a", b"1"), link(b"b", b"/a")], &["/a f 1 1 x2", "/b f 1 1 x2"]);
    taken("to a link", &[symlink(b"a", b"x"), link(b"b", b"a")], &["/a l x", "/b l x"]);
    taken("to itself", &[file(b"a", b"1"), link(b"a", b"a")], &["/a f 1 1"]);
    taken(
        "the first name goes",
        &[file(b"a", b"1"), link(b"b", b"a"), file(b"a", b"22")],
        &["/a f 2 22", "/b f 1 1"],
    );
    refused("to a directory", &tar(&[dir(b"a"), link(b"b", b"a")]), "directory");
    refused("to a whiteout", &tar(&[file(b".wh.a", b""), link(b"b", b"a")]), "directory");
    refused("to nothing", &tar(&[link(b"b", b"a")]), "does not have");
    refused("to no name", &tar(&[link(b"b", b"")]), "does not have");
    // The size of a link's header is not data.
    taken(
        "with a size",
        &[file(b"a", b"1"), Entry { size: Some(4), ..link(b"b", b"a") }, file(b"c", b"2")],
        &["/a f 1 1 x2", "/b f 1 1 x2", "/c f 1 2"],
    );
}

#[test]
fn later_entries_replace_earlier_ones() {
    taken("twice", &[file(b"a", b"1"), file(b"a", b"22")], &["/a f 2 22"]);
    taken("file by directory", &[file(b"a", b"1"), dir(b"a"), file(b"a/b", b"2")], &["/a d", "/a/b f 1 2"]);
    taken("directory by file", &[dir(b"a"), file(b"a/b", b"2"), file(b"a", b"1")], &["/a f 1 1"]);
    taken("file as a parent", &[file(b"a", b"1"), file(b"a/b", b"2")], &["/a d implicit", "/a/b f 1 2"]);
    taken("directory again", &[dir(b"a"), file(b"a/b", b"2"), dir(b"a")], &["/a d", "/a/b f 1 2"]);
    taken("late directory", &[file(b"a/b", b"2"), dir(b"a")], &["/a d", "/a/b f 1 2"]);
    refused("the root as a file", &tar(&[file(b".", b"x")]), "root");
    refused("the root as a link", &tar(&[symlink(b"./", b"x")]), "root");
}

#[test]
fn whiteouts_are_about_the_layers_below() {
    taken("plain", &[file(b"d/.wh.a", b"")], &["/d d implicit", "/d/a whiteout"]);
    taken("opaque", &[dir(b"d"), file(b"d/.wh..wh..opq", b"")], &["/d d opaque"]);
    taken("of a file that stays", &[file(b"a", b"1"), file(b".wh.a", b"")], &["/a f 1 1"]);
    taken("before the file", &[file(b".wh.a", b""), file(b"a", b"1")], &["/a f 1 1"]);
    taken("of a directory that stays", &[dir(b"a"), file(b".wh.a", b"")], &["/a d opaque"]);
    taken("before the directory", &[file(b".wh.a", b""), dir(b"a")], &["/a d opaque"]);
    taken("of what aufs kept", &[file(b".wh..wh.plnk", b"123")], &[]);
    refused("of nothing", &tar(&[file(b".wh.", b"")]), "no name");
    refused("of dot", &tar(&[file(b".wh..", b"")]), "no name");
    refused("of dot-dot", &tar(&[file(b".wh...", b"")]), "no name");
}

#[test]
fn devices_are_nodes_and_no_more() {
    taken(
        "a disk",
        &[Entry { device: (8, 1), ..entry(b"sda1", b'4') }, device(b"mem", 1, 1), entry(b"p", b'6')],
        &["/mem c 1:1", "/p p", "/sda1 b 8:1"],
    );
    refused("too big a number", &tar(&[device(b"x", 1 << 13, 0)]), "device number");
    refused("an unknown type", &tar(&[entry(b"x", b'9')]), "type");
}

#[test]
fn damaged_tars_are_refused() {
    let whole = tar(&[file(b"a", &[7; 3000])]);
    for len in [1, 100, 511, 600, 2000, 3511] {
        refused("cut off", &whole[..len], "cut off");
    }
    let mut bad = whole.clone();
    bad[0] ^= 1;
    refused("checksum", &bad, "checksum");
    refused("text", &[b'x'; 2048], "");
    refused(
        "too big a size",
        &{
            let mut entry = entry(b"a", b'0').header();
            entry[124..136].copy_from_slice(b"77777777777\0");
            tar::checksum(&mut entry);
            entry
        },
        "cut off",
    );
    refused(
        "a binary size",
        &{
            let mut entry = entry(b"a", b'0').header();
            entry[124..136].copy_from_slice(&[0xff; 12]);
            tar::checksum(&mut entry);
            entry
        },
        "",
    );
    refused("a lonely pax header", &tar(&[pax(&[(b"path", b"x")])]), "");
    // Without the end's zeros, and with much behind them, it is still a tar.
    assert!(run(&body(&[file(b"a", b"1")]), Limits::default()).is_ok());
    assert!(run(&[tar(&[file(b"a", b"1")]), vec![0; 20_000]].concat(), Limits::default()).is_ok());
    assert!(run(&[], Limits::default()).is_ok());
}

#[test]
fn names_of_all_kinds() {
    taken("no UTF-8", &[file(b"\xff\xfe", b"1")], &[r"/\xff\xfe f 1 1"]);
    let long = vec![b'n'; 255];
    let layer = run(&tar(&[gnu_long_name(&long), file(b"n", b"1")]), Limits::default()).unwrap();
    assert_eq!(layer.list(), [format!("/{} f 1 1", "n".repeat(255))]);
    refused("256 bytes", &tar(&[gnu_long_name(&[b'n'; 256]), file(b"n", b"")]), "255");
    let deep = b"d/".repeat(2040);
    assert!(
        run(&tar(&[gnu_long_name(&[&deep[..], b"f"].concat()), file(b"f", b"1")]), Limits::default()).is_ok()
    );
    refused("4,200 bytes", &tar(&[gnu_long_name(&b"d/".repeat(2100)), file(b"f", b"")]), "4096");
    refused("a long name bomb", &tar(&[Entry { size: Some(1 << 30), ..gnu_long_name(b"x") }]), "exceed");
    taken("a newline", &[file(b"a\nb", b"1")], &[r"/a\nb f 1 1"]);
    refused("a long target", &tar(&[pax(&[(b"linkpath", &[b'x'; 5000])]), symlink(b"l", b"")]), "");
    refused("no target", &tar(&[symlink(b"l", b"")]), "target");
    let named = pax(&[(b"path", b"from-pax"), (b"linkpath", b"to-pax")]);
    taken("pax names", &[named, symlink(b"x", b"y")], &["/from-pax l to-pax"]);
}

#[test]
fn attributes_of_all_kinds() {
    let value = b"\x01\n\x00 9 x=\n";
    let entries = [
        pax(&[
            (b"SCHILY.xattr.security.capability", value),
            (b"SCHILY.xattr.user.a", b"b"),
            (b"SCHILY.xattr.trusted.overlay.opaque", b"y"),
            (b"SCHILY.xattr.trusted.husk.implicit", b"y"),
            (b"SCHILY.xattr.com.apple.x", b"y"),
            (b"mtime", b"-1.25"),
            (b"uid", b"4000000000"),
        ]),
        Entry { mode: 0o104_755, ..file(b"a", b"1") },
    ];
    let layer = taken("xattrs", &entries, &["/a f 1 1"]);
    let (image, inode) = layer.inode("a");
    assert_eq!(image.xattr(&inode, b"security.capability").unwrap(), Some(&value[..]));
    assert_eq!(image.xattrs(&inode).count(), 2);
    assert_eq!((inode.mtime, inode.mtime_nsec), (-2, 750_000_000));
    assert_eq!((inode.uid, inode.mode & 0o7777), (4_000_000_000, 0o4755));

    let old = Entry { mtime: [0xff; 12], ..file(b"a", b"") };
    let layer = taken("before 1970 in binary", &[old], &["/a f 0 "]);
    assert_eq!(layer.inode("a").1.mtime, -1);
    refused("no number", &tar(&[pax(&[(b"mtime", b"soon")]), file(b"a", b"")]), "time");
    refused("no uid", &tar(&[pax(&[(b"uid", b"-1")]), file(b"a", b"")]), "uid");
    refused("a big uid", &tar(&[pax(&[(b"uid", b"4294967296")]), file(b"a", b"")]), "32 bits");
    refused("no size", &tar(&[pax(&[(b"size", b"x")]), file(b"a", b"1")]), "size");
    refused(
        "a pax size beyond the tar",
        &tar(&[pax(&[(b"size", b"99999999999999")]), file(b"a", b"")]),
        "bytes",
    );
    refused(
        "a big value",
        &tar(&[pax(&[(b"SCHILY.xattr.user.a", &[1; 66_000])]), file(b"a", b"")]),
        "65,535",
    );
    refused(
        "a long xattr name",
        &tar(&[pax(&[(&[&b"SCHILY.xattr.user."[..], &[b'n'; 300]].concat(), b"")]), file(b"a", b"")]),
        "too long",
    );
    let many: Vec<Vec<u8>> = (0..30).map(|n| format!("SCHILY.xattr.user.{n}").into_bytes()).collect();
    let records: Vec<(&[u8], &[u8])> = many.iter().map(|name| (name.as_slice(), &[9; 10_000][..])).collect();
    refused("many values", &tar(&[pax(&records), file(b"a", b"")]), "200 KiB");
    let mut broken = pax(&[(b"path", b"x")]);
    broken.data[0] = b'7';
    refused("a record's length", &tar(&[broken, file(b"a", b"")]), "");
}

/// An old GNU header of a sparse file: `parts` of (offset, length), `real` bytes in all.
fn sparse(name: &[u8], parts: &[(u64, u64)], real: u64, data: &[u8]) -> Vec<u8> {
    let mut header = Entry { data: data.to_vec(), ..entry(name, b'S') }.header();
    header[257..265].copy_from_slice(b"ustar  \0");
    header[345..512].fill(0);
    let octal = |number: u64| format!("{number:011o}\0").into_bytes();
    for (slot, (offset, len)) in parts.iter().enumerate() {
        let at = 386 + slot * 24;
        header[at..at + 12].copy_from_slice(&octal(*offset));
        header[at + 12..at + 24].copy_from_slice(&octal(*len));
    }
    header[483..495].copy_from_slice(&octal(real));
    tar::checksum(&mut header);
    let mut bytes = header.to_vec();
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len().next_multiple_of(512) + 1024, 0);
    bytes
}

#[test]
fn sparse_files_have_holes() {
    let layer = run(&sparse(b"s", &[(5000, 4), (1 << 20, 0)], 1 << 20, b"data"), Limits::default()).unwrap();
    let (image, inode) = layer.inode("s");
    let mut bytes = vec![1; 1 << 20];
    assert_eq!(image.read(&inode, 0, &mut bytes).unwrap(), 1 << 20);
    assert_eq!(&bytes[4998..5006], b"\0\0data\0\0");
    assert_eq!(bytes.iter().filter(|&&byte| byte != 0).count(), 4);
    refused("parts that overlap", &sparse(b"s", &[(0, 4), (2, 4)], 100, b"datadata"), "holes");
    refused("a part behind the end", &sparse(b"s", &[(98, 4)], 100, b"data"), "holes");
    refused("more data than parts", &sparse(b"s", &[(0, 2)], 100, b"data"), "holes");
    // A hole takes no space.
    let big = run(&sparse(b"s", &[(0, 4), (32 << 20, 0)], 32 << 20, b"data"), Limits::default());
    let folder = big.map(|layer| layer.folder).unwrap();
    use std::os::unix::fs::MetadataExt;
    assert!(std::fs::metadata(folder.path().join("image")).unwrap().blocks() < 200);
}

#[test]
fn bombs_end_at_a_limit() {
    let limits = Limits { tar: 1 << 20, contents: 1 << 20, inodes: 100, metadata: 10_000 };
    let failed = |tar: &[u8]| run(tar, limits).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(failed(&tar(&[file(b"a", &vec![0; 2 << 20])])).contains("bytes"));
    let many: Vec<Entry> = (0..200).map(|n| file(format!("{n}").as_bytes(), b"")).collect();
    assert!(failed(&tar(&many)).contains("entries"));
    let wide: Vec<Entry> =
        (0..90).flat_map(|n| [gnu_long_name(format!("{n:0200}").as_bytes()), file(b"x", b"")]).collect();
    assert!(failed(&tar(&wide)).contains("names and attributes"));
    assert!(failed(&sparse(b"s", &[(0, 4)], 1 << 30, b"data")).contains("bytes"));
    // A few kilobytes of gzip, megabytes of zeros: it ends where the limit is, not where the zeros do.
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::copy(&mut std::io::repeat(0).take(8 << 20), &mut packed).unwrap();
    let packed = packed.finish().unwrap();
    let open = || tempfile::tempfile().unwrap();
    let bomb = Entry { size: Some(1 << 30), ..file(b"a", b"") }.header();
    let reader = bomb.as_slice().chain(uncompressed(packed.as_slice()).unwrap());
    assert!(import(reader, &open(), &open(), limits).is_err());
}

#[test]
fn compressions_are_told_by_their_bytes() {
    let plain = tar(&[file(b"a", b"1")]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &plain).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd = zstd::encode_all(plain.as_slice(), 3).unwrap();
    for packed in [&plain, &gzip, &zstd] {
        let mut bytes = Vec::new();
        uncompressed(packed.as_slice()).unwrap().read_to_end(&mut bytes).unwrap();
        assert!(bytes == plain);
        let mut cut = Vec::new();
        let read = uncompressed(&packed[..packed.len() - 9])
            .is_ok_and(|mut reader| reader.read_to_end(&mut cut).is_ok());
        assert!(!read || cut != plain);
    }
    for (head, name) in [(&b"BZh91AY"[..], "bzip2"), (&b"\xfd7zXZ\0\0"[..], "xz")] {
        let error = uncompressed(head).err().unwrap().to_string();
        assert!(error.contains(name), "{error}");
    }
}

/// `fsck.erofs` accepts what an import makes.
#[test]
fn debians_tools_accept_layers() {
    let has = |program: &str| {
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
            .any(|folder| folder.join(program).exists())
    };
    if !has("fsck.erofs") {
        eprintln!("skipped: fsck.erofs is not installed");
        return;
    }
    let entries = [
        dir(b"d"),
        file(b"d/f", &[3; 10_000]),
        link(b"d/g", b"d/f"),
        symlink(b"l", b"d/f"),
        device(b"n", 1, 3),
        file(b".wh.gone", b""),
        file(b"d/.wh..wh..opq", b""),
        pax(&[(b"SCHILY.xattr.user.a", b"b")]),
        file(b"e", b""),
    ];
    let layer = run(&tar(&entries), Limits::default()).unwrap();
    let path = layer.folder.path().join("image");
    let output = std::process::Command::new("fsck.erofs").arg(Path::new(&path)).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever bytes are flipped in a tar of everything, import ends, and what it takes can be read back whole.
    #[test]
    fn no_damage_makes_an_import_panic(flips in proptest::collection::vec((0..9000_usize, any::<u8>()), 1..12), fix in any::<bool>(), cut in 0..9000_usize) {
        let mut bytes = tar(&[
            dir(b"d"), file(b"d/f", &[3; 1000]), link(b"d/g", b"d/f"), symlink(b"l", b"d/f"), device(b"n", 1, 3),
            file(b"d/.wh.x", b""), pax(&[(b"SCHILY.xattr.user.a", b"b"), (b"mtime", b"1.5")]), file(b"e", b"abc"),
            gnu_long_name(&[b'q'; 200]), file(b"q", b"1"),
        ]);
        for (at, byte) in flips {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        if fix {
            for header in bytes.chunks_exact_mut(512) {
                if &header[257..262] == b"ustar" {
                    tar::checksum(header);
                }
            }
        }
        bytes.truncate(bytes.len().min(cut.max(1024)));
        let limits = Limits { tar: 1 << 20, contents: 1 << 24, inodes: 100, metadata: 1 << 20 };
        if let Ok(layer) = run(&bytes, limits) {
            layer.list();
        }
    }

    /// Any sequence of entries over few names gives a tree that reads back.
    #[test]
    fn any_order_of_entries_gives_a_tree(choices in proptest::collection::vec((0..8_u8, 0..6_usize, 0..6_usize), 0..40)) {
        const NAMES: [&[u8]; 6] = [b"a", b"a/b", b"a/b/c", b"d", b"d/b", b"l"];
        let entries: Vec<Entry> = choices.iter().map(|&(kind, name, other)| match kind {
            0 => file(NAMES[name], NAMES[other]),
            1 => dir(NAMES[name]),
            2 => symlink(NAMES[name], NAMES[other]),
            3 => link(NAMES[name], NAMES[other]),
            4 => file(&[NAMES[name], b"/.wh..wh..opq"].concat(), b""),
            5 => file(&[b".wh.", &NAMES[name][..1]].concat(), b""),
            6 => device(NAMES[name], 1, 3),
            _ => symlink(NAMES[name], b"../d"),
        }).collect();
        if let Ok(layer) = run(&tar(&entries), Limits::default()) {
            layer.list();
        }
    }
}
