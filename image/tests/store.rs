//! The store: layers merge as overlayfs would, imports do not disturb each other, and what comes in goes out the same.

mod tar;

use std::fs;
use std::path::Path;

use husk_image::launch::{find_user, read_file};
use husk_image::{Config, Digest, Image, ImageError, Reference, Silent, Store, source};
use tar::{Entry, dir, entry, file, link, symlink, tar};

fn name(text: &str) -> Reference {
    text.parse().unwrap()
}

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store")).unwrap();
    (folder, store)
}

fn image(store: &Store, layers: &[Vec<Entry>], called: &str) -> Image {
    let session = store.session().unwrap();
    let mut config = Config { architecture: "amd64".into(), os: "linux".into(), ..Config::default() };
    config.rootfs.kind = "layers".into();
    for layer in layers {
        config.rootfs.diff_ids.push(session.add_layer(tar(layer).as_slice()).unwrap().diff_id);
    }
    session.commit(&config, &[name(called)]).unwrap()
}

fn text(store: &Store, image: &Image, path: &str) -> Option<String> {
    let root = store.root(image).unwrap();
    read_file(&root, path, 1 << 20).unwrap().map(|bytes| String::from_utf8(bytes).unwrap())
}

#[test]
fn layers_merge() {
    let (_folder, store) = store();
    let merged = image(
        &store,
        &[
            vec![
                dir(b"etc"),
                file(b"etc/a", b"1"),
                file(b"etc/b", b"1"),
                file(b"etc/long", &[b'x'; 9000]),
                dir(b"usr/lib"),
                symlink(b"lib", b"usr/lib"),
                dir(b"gone"),
                file(b"gone/x", b"1"),
                dir(b"opaque"),
                file(b"opaque/old", b"1"),
                file(b"one", b"1"),
                link(b"two", b"one"),
            ],
            vec![
                file(b"etc/a", b"2"),
                file(b"etc/.wh.b", b""),
                file(b"lib/new", b"by the link"),
                file(b".wh.gone", b""),
                file(b"opaque/.wh..wh..opq", b""),
                file(b"opaque/fresh", b"2"),
                file(b"one", b"2"),
            ],
            vec![file(b"etc/b", b"3"), dir(b"gone"), file(b"gone/y", b"3")],
        ],
        "merged",
    );
    for (path, expected) in [
        ("/etc/a", Some("2")),
        ("/etc/b", Some("3")),
        ("/usr/lib/new", Some("by the link")),
        ("/lib/new", Some("by the link")),
        ("/gone/x", None),
        ("/gone/y", Some("3")),
        ("/opaque/old", None),
        ("/opaque/fresh", Some("2")),
        ("/one", Some("2")),
        ("/two", Some("1")),
    ] {
        assert_eq!(text(&store, &merged, path).as_deref(), expected, "{path}");
    }
    assert_eq!(text(&store, &merged, "/etc/long"), Some("x".repeat(9000)));
}

#[test]
fn layers_are_shared_and_swept() {
    let (_folder, store) = store();
    let base = vec![file(b"base", &[1; 100_000])];
    let one = image(&store, &[base.clone(), vec![file(b"one", b"1")]], "one");
    let two = image(&store, &[base, vec![file(b"two", b"2")]], "two");
    let (first, second) = (store.root(&one).unwrap(), store.root(&two).unwrap());
    assert_eq!(first.files[1], second.files[1]);
    assert!(first.sizes[0] < 10_000, "the merged image is of metadata only");
    let layers = || fs::read_dir(store.path().join("layers")).unwrap().count();
    assert_eq!(layers(), 6);
    store.remove("one", false).unwrap();
    assert_eq!(layers(), 4);
    assert_eq!(text(&store, &two, "/two").as_deref(), Some("2"));
    assert!(matches!(store.remove("one", false), Err(ImageError::NoImage(_))));
    // While something is added nothing is swept.
    let session = store.session().unwrap();
    assert_eq!(store.remove("two", false).unwrap().freed, None);
    drop(session);
    let would = store.sweep(true).unwrap().unwrap();
    assert!(would.bytes > 0 && store.sweep(true).unwrap() == Some(would));
    assert_eq!(store.sweep(false).unwrap(), Some(would));
    assert_eq!(store.sweep(false).unwrap().unwrap().files, 0);
    assert_eq!(layers(), 0);
}

#[test]
fn what_goes_out_comes_in() {
    let (folder, store) = store();
    let made =
        image(&store, &[vec![dir(b"d"), file(b"d/f", &[7; 5000])], vec![entry(b"p", b'6')]], "x/made:1");
    let at = |text: &str| text.replace("DIR", folder.path().to_str().unwrap());
    for (number, target) in
        ["oci:DIR/l:t", "oci-archive:DIR/o.tar:t", "docker-archive:DIR/d.tar"].iter().enumerate()
    {
        store.save(&made, &at(target).parse().unwrap(), Some(&name("x/made:1"))).unwrap();
        let other = Store::open(&folder.path().join(format!("other{number}"))).unwrap();
        let source = source::open(&at(target), &source::Options::default()).unwrap();
        let found = other.session().unwrap().fetch(source.as_ref(), &[name("y")], &Silent).unwrap();
        assert_eq!(found.id(), made.id(), "{target}");
        let size = read_file(&other.root(&found).unwrap(), "d/f", 1 << 20).unwrap().unwrap().len();
        assert_eq!(size, 5000);
    }
}

/// Every byte of a layout is checked: a change of any blob is found.
#[test]
fn tampered_layouts_are_refused() {
    let (folder, store) = store();
    let made = image(&store, &[vec![file(b"f", &[7; 5000])]], "made");
    let path = folder.path().join("layout");
    store.save(&made, &husk_image::Target::Layout(path.clone(), None), None).unwrap();
    let fetch = |number: usize| {
        let other = Store::open(&folder.path().join(format!("t{number}"))).unwrap();
        let source = source::open(&format!("oci:{}", path.display()), &source::Options::default())?;
        let session = other.session()?;
        let fetched = session.fetch(source.as_ref(), &[name("y")], &Silent);
        if fetched.is_err() {
            assert!(other.find("y").unwrap().is_none(), "nothing half-made has a name");
        }
        fetched
    };
    assert!(fetch(0).is_ok());
    let mut number = 0;
    for blob in fs::read_dir(path.join("blobs/sha256")).unwrap() {
        let blob = blob.unwrap().path();
        let whole = fs::read(&blob).unwrap();
        let mut changed = whole.clone();
        let last = changed.len() - 1;
        changed[last] ^= 1;
        for bad in [&changed[..], &whole[..last], &[&whole[..], b"x"].concat(), b""] {
            number += 1;
            fs::write(&blob, bad).unwrap();
            let error = fetch(number).unwrap_err().to_string();
            assert!(error.contains("digest") || error.contains("bytes"), "{error}");
        }
        fs::write(&blob, &whole).unwrap();
    }
    assert_eq!(number, 12);
}

#[test]
fn imports_at_once_do_not_disturb_each_other() {
    let (_folder, store) = store();
    let layers: Vec<Vec<Entry>> =
        (0..4).map(|n| vec![file(format!("{n}").as_bytes(), &vec![n as u8 + 1; 300_000])]).collect();
    std::thread::scope(|scope| {
        for n in 0..6 {
            let (store, layers) = (&store, &layers);
            scope.spawn(move || {
                let made = image(store, layers, &format!("image{}", n % 2));
                let bytes = read_file(&store.root(&made).unwrap(), "3", 1 << 20).unwrap().unwrap();
                assert!(bytes == vec![4; 300_000]);
            });
        }
    });
    assert_eq!(store.images().unwrap().len(), 2);
    assert_eq!(fs::read_dir(store.path().join("tmp")).unwrap().count(), 0);
}

#[test]
fn what_a_killed_import_left_is_swept() {
    let (_folder, store) = store();
    fs::write(store.path().join("tmp/.half"), b"x").unwrap();
    drop(store.session().unwrap());
    assert_eq!(fs::read_dir(store.path().join("tmp")).unwrap().count(), 0);
    assert!(store.images().unwrap().is_empty());
}

#[test]
fn users_are_looked_up_in_the_image() {
    let (_folder, store) = store();
    let passwd = b"root:x:0:0::/root:/bin/sh\nweb:x:33:44::/var/www:/bin/sh\n";
    let group = b"root:x:0:\nwebg:x:44:\nextra:x:55:a,web\nother:x:66:b\n";
    let made = image(&store, &[vec![file(b"etc/passwd", passwd), file(b"etc/group", group)]], "users");
    let root = store.root(&made).unwrap();
    let find = |text: &str| find_user(&root, text).map(|user| (user.uid, user.gid, user.groups, user.home));
    let home = |text: &str| text.to_owned();
    assert_eq!(find("").unwrap(), (0, 0, vec![], home("/root")));
    assert_eq!(find("web").unwrap(), (33, 44, vec![55], home("/var/www")));
    assert_eq!(find("33").unwrap(), (33, 44, vec![55], home("/var/www")));
    assert_eq!(find("web:other").unwrap(), (33, 66, vec![], home("/var/www")));
    assert_eq!(find("1000").unwrap(), (1000, 0, vec![], home("/")));
    assert_eq!(find("1000:7").unwrap(), (1000, 7, vec![], home("/")));
    for bad in ["nobody", "web:none", "-1", "99999999999", "web:-1"] {
        assert!(find(bad).is_err(), "{bad}");
    }
}

/// Manifests and configurations that lie are refused.
#[test]
fn documents_that_do_not_fit_are_refused() {
    let (folder, store) = store();
    let session = store.session().unwrap();
    let write = |path: &Path, bytes: &[u8]| {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    let layout = folder.path().join("lying");
    let blob = |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        write(&layout.join("blobs/sha256").join(digest.hex()), bytes);
        format!(r#""digest":"{digest}","size":{}"#, bytes.len())
    };
    let layer = blob(&tar(&[file(b"a", b"1")]));
    let zeros = "0".repeat(64);
    let fetch = |config: &str, layers: &str| {
        let config = blob(config.as_bytes());
        let manifest = format!(r#"{{"schemaVersion":2,"config":{{{config}}},"layers":[{layers}]}}"#);
        let manifest = blob(manifest.as_bytes());
        write(
            &layout.join("index.json"),
            format!(r#"{{"schemaVersion":2,"manifests":[{{{manifest}}}]}}"#).as_bytes(),
        );
        let source = source::open(&format!("oci:{}", layout.display()), &source::Options::default()).unwrap();
        session.fetch(source.as_ref(), &[], &Silent).map(|_| ()).map_err(|error| error.to_string())
    };
    let layer = format!("{{{layer}}}");
    let wrong = format!(r#"{{"os":"linux","rootfs":{{"type":"layers","diff_ids":["sha256:{zeros}"]}}}}"#);
    assert!(fetch(&wrong, &layer).unwrap_err().contains("diff-id"));
    assert!(fetch(r#"{"rootfs":{"type":"layers","diff_ids":[]}}"#, &layer).unwrap_err().contains("layers"));
    assert!(
        fetch(r#"{"os":"windows","rootfs":{"type":"layers","diff_ids":[]}}"#, "")
            .unwrap_err()
            .contains("windows")
    );
    assert!(fetch("{", "").is_err());
    assert!(fetch(r#"{"rootfs":{"type":"layers","diff_ids":["sha256:../../x"]}}"#, &layer).is_err());
    assert!(fetch(r#"{"rootfs":{"type":"layers","diff_ids":[]}}"#, "").is_ok());
}
