use std::vec::Vec;

use proptest::prelude::*;

use super::*;

type List<'a> = core::iter::Copied<core::slice::Iter<'a, &'a [u8]>>;

fn request<'a>(program: &'a [u8], with: &'a [&'a [u8]]) -> Request<'a, List<'a>> {
    Request {
        program,
        with: with.iter().copied(),
        library_path: b"",
        uid: 1000,
        directory: b"/home",
        version: b"3",
    }
}

fn encoded(request: &Request<'_, List<'_>>, inputs: &[Input<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(request, b"/cache/image", 8192, b"/bin/true", inputs, |piece| bytes.extend_from_slice(piece));
    bytes
}

#[test]
fn what_is_written_is_read() {
    let stamp = Stamp { device: device(8, 1), ino: 7, size: 9, mtime_ns: -3, ctime_ns: i64::MAX };
    let inputs = [Input { path: c"/bin/true", stamp: Some(stamp) }, Input { path: c"/absent", stamp: None }];
    let with: [&[u8]; 2] = [b"git", b""];
    let asked = request(b"/bin/true", &with);
    let bytes = encoded(&asked, &inputs);
    let plan = Plan::decode(&bytes).unwrap();
    assert!(plan.answers(&asked));
    assert_eq!((plan.image(), plan.image_size(), plan.program()), (c"/cache/image", 8192, c"/bin/true"));
    assert!(plan.inputs().eq(inputs));
}

#[test]
fn another_request_is_not_answered() {
    let with: [&[u8]; 1] = [b"git"];
    let asked = request(b"/bin/true", &with);
    let bytes = encoded(&asked, &[]);
    let plan = Plan::decode(&bytes).unwrap();
    for other in [
        request(b"/bin/false", &with),
        request(b"/bin/true", &[]),
        request(b"/bin/true", &[b"git", b"git"]),
        request(b"/bin/true", &[b"gi"]),
        Request { uid: 0, ..asked.clone() },
        Request { directory: b"/", ..asked.clone() },
        Request { version: b"", ..asked.clone() },
        Request { library_path: b"/lib", ..asked.clone() },
    ] {
        assert!(!plan.answers(&other));
        assert_ne!(other.file_name(), asked.file_name());
    }
}

#[test]
fn the_file_name_is_the_hash_of_lengths_and_bytes() {
    // FNV-1a of the same bytes, by its definition.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let fields: [&[u8]; 7] = [b"/p", b"", b"/home", b"3", &1000_u32.to_le_bytes(), b"a", b"b"];
    for field in fields {
        for byte in (field.len() as u64).to_le_bytes().iter().chain(field) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    assert_eq!(request(b"/p", &[b"a", b"b"]).file_name(), std::format!("{hash:016x}").as_bytes());
}

#[test]
fn shims_are_known_by_their_directory() {
    assert!(chooses_by_directory(b"/home/me/.pyenv/shims/python3"));
    assert!(chooses_by_directory(b"/home/me/.pyenv/shims//python3"));
    assert!(!chooses_by_directory(b"/usr/bin/python3"));
    assert!(!chooses_by_directory(b"/shims/bin/python3"));
    assert!(!chooses_by_directory(b"shims"));
}

proptest! {
    #[test]
    fn damage_is_noticed(at in any::<prop::sample::Index>(), bit in 0..8_u32) {
        let inputs = [Input { path: c"/absent", stamp: None }];
        let mut bytes = encoded(&request(b"/bin/true", &[b"git"]), &inputs);
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        prop_assert!(Plan::decode(&bytes).is_err());
        bytes[at] ^= 1_u8 << bit;
        prop_assert!(Plan::decode(&bytes[..at]).is_err());
    }

    /// With a right checksum over wrong bytes, so that the bounds are what holds.
    #[test]
    fn no_bytes_make_it_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..300), edit in any::<prop::sample::Index>(), value in any::<u8>()) {
        for noise in [true, false] {
            if noise {
                bytes.splice(..0, *MAGIC);
            } else {
                bytes = encoded(&request(b"/bin/true", &[b"git"]), &[Input { path: c"/absent", stamp: None }]);
                bytes.truncate(bytes.len() - 8);
                let at = edit.index(bytes.len());
                bytes[at] = value;
            }
            let mut hash = Fnv::new();
            hash.add(&bytes);
            bytes.extend_from_slice(&hash.0.to_le_bytes());
            if let Ok(plan) = Plan::decode(&bytes) {
                prop_assert!(plan.with().count() + plan.inputs().count() <= bytes.len());
            }
        }
    }
}

fn image_request() -> ImageRequest<'static> {
    ImageRequest {
        image: b"alpine:3",
        user: b"web",
        directory: b"",
        data: b"/data",
        home: b"/home/me",
        uid: 1000,
    }
}

fn image_plan() -> Vec<u8> {
    let stamp = Stamp { device: device(8, 1), ino: 7, size: 9, mtime_ns: -3, ctime_ns: i64::MAX };
    let start = ImageStart {
        files: &[(b"/store/roots/a.erofs", 4096), (b"/store/layers/b.erofs", 8192)],
        entrypoint: &[b"/entry", b"-x"],
        cmd: &[b""],
        env: &[b"A=b"],
        cwd: b"/srv",
        uid: 33,
        gid: 44,
        groups: &[55, 66],
        stop_signal: 15,
        volumes: &[b"/a", b"/a/b"],
    };
    let mut bytes = Vec::new();
    let inputs = [Input { path: c"/store/references/alpine", stamp: Some(stamp) }];
    encode_image(&image_request(), &start, &inputs, |piece| bytes.extend_from_slice(piece));
    bytes
}

#[test]
fn an_image_plan_is_read_as_written() {
    let bytes = image_plan();
    let plan = ImagePlan::decode(&bytes).unwrap();
    assert!(plan.answers(&image_request()));
    for other in [
        ImageRequest { image: b"alpine:4", ..image_request() },
        ImageRequest { user: b"", ..image_request() },
        ImageRequest { data: b"", ..image_request() },
        ImageRequest { uid: 0, ..image_request() },
    ] {
        assert!(!plan.answers(&other));
        assert_ne!(other.file_name(), image_request().file_name());
    }
    assert!(plan.files.eq([(c"/store/roots/a.erofs", 4096), (c"/store/layers/b.erofs", 8192)]));
    assert!(plan.entrypoint.eq([c"/entry", c"-x"]) && plan.cmd.eq([c""]) && plan.env.eq([c"A=b"]));
    assert!(plan.volumes.clone().eq([c"/a", c"/a/b"]) && plan.bytes == bytes);
    assert!(plan.groups.eq([55, 66]) && plan.inputs.count() == 1);
    assert_eq!((plan.cwd, plan.uid, plan.gid, plan.stop_signal), (c"/srv", 33, 44, 15));
}

#[test]
fn a_damaged_image_plan_is_none() {
    let bytes = image_plan();
    for at in 0..bytes.len() {
        assert!(ImagePlan::decode(&bytes[..at]).is_err());
        let mut changed = bytes.clone();
        changed[at] ^= 0x40;
        assert!(ImagePlan::decode(&changed).is_err());
    }
}
