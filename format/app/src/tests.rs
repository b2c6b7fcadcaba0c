use super::*;
use proptest::prelude::*;
use std::borrow::ToOwned;
use std::ffi::{CStr, CString};
use std::vec::Vec;

fn note() -> Note {
    Note {
        file_len: 0x9010,
        front_len: 0x1234,
        root_offset: 0x2000,
        root_len: 0x6001,
        manifest_offset: 0x9000,
        manifest_len: 16,
        manifest_checksum: 7,
    }
}

fn encoded(manifest: &Manifest<'_>, args: &[CString], env: &[CString]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Encoder::new(|part| bytes.extend_from_slice(part)).write(
        manifest,
        args.iter().map(CString::as_c_str),
        env.iter().map(CString::as_c_str),
    );
    bytes
}

fn sample() -> Vec<u8> {
    let args = [c"sh".to_owned(), c"-c".to_owned(), c"true".to_owned()];
    let env = [c"A=1".to_owned()];
    let profile = Some(Allowed([1, 2, 3, 4, 5, 6, 7, 8]));
    let mut manifest = Manifest::fields(c"/bin/sh");
    manifest.memory = Some(1 << 30);
    manifest.cpus = Some(2);
    manifest.flags = flag::FORK;
    manifest.free = free::ALL;
    manifest.strict = Strict::Kill;
    manifest.profile = profile;
    manifest.root = [9; 32];
    encoded(&manifest, &args, &env)
}

#[test]
fn the_checksum_is_crc_32c() {
    assert_eq!(checksum(b"123456789"), 0xe306_9283);
}

#[test]
fn a_note_reads_back_and_any_changed_bit_is_seen() {
    let bytes = note().encode();
    assert_eq!(Note::decode(&bytes), Ok(Some(note())));
    assert_eq!(Note::decode(&[0; DESCRIPTOR_LEN]), Ok(None));
    for bit in 0..DESCRIPTOR_LEN * 8 {
        let mut changed = bytes;
        changed[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Note::decode(&changed), Err(Damage::Note), "bit {bit}");
    }
}

#[test]
fn a_note_that_contradicts_itself_is_refused() {
    let wrong: [fn(&mut Note); 6] = [
        |note| note.root_offset += 1,
        |note| note.manifest_offset += 1,
        |note| note.root_len = u64::MAX,
        |note| note.file_len += 1,
        |note| note.front_len = 0x2001,
        |note| note.root_len = 0x7001,
    ];
    for change in wrong {
        let mut note = note();
        change(&mut note);
        assert_eq!(Note::decode(&note.encode()), Err(Damage::Layout), "{note:?}");
    }
}

#[test]
fn a_manifest_reads_back() {
    let bytes = sample();
    let read = Manifest::decode(&bytes).unwrap();
    assert_eq!(read.program, c"/bin/sh");
    assert_eq!(read.args().collect::<Vec<&CStr>>(), [c"sh", c"-c", c"true"]);
    assert_eq!(read.env().collect::<Vec<&CStr>>(), [c"A=1"]);
    assert_eq!((read.memory, read.cpus, read.strict), (Some(1 << 30), Some(2), Strict::Kill));
    assert_eq!(read.profile, Some(Allowed([1, 2, 3, 4, 5, 6, 7, 8])));
    assert_eq!(read.root, [9; 32]);
}

#[test]
fn every_cut_manifest_is_refused() {
    let bytes = sample();
    for len in 0..bytes.len() {
        assert!(Manifest::decode(&bytes[..len]).is_err(), "{len}");
    }
}

#[test]
fn a_set_of_calls_holds_what_was_added() {
    let mut allowed = Allowed::default();
    for number in [0, 63, 64, 435, 511, 512, u32::MAX] {
        allowed.add(number);
    }
    assert_eq!(allowed.numbers().collect::<Vec<_>>(), [0, 63, 64, 435, 511]);
    assert!(!allowed.contains(512) && !allowed.contains(u32::MAX));
}

proptest! {
    #[test]
    fn strings_survive(args in prop::collection::vec("[^\0]{0,40}", 1..8), env in prop::collection::vec("[A-Z]{1,5}=[^\0]{0,20}", 0..8)) {
        let c = |items: &[std::string::String]| items.iter().map(|item| CString::new(item.as_str()).unwrap()).collect::<Vec<_>>();
        let (args, env) = (c(&args), c(&env));
        let bytes = encoded(&Manifest::fields(c"/x"), &args, &env);
        let read = Manifest::decode(&bytes).unwrap();
        prop_assert_eq!(read.args().map(CStr::to_owned).collect::<Vec<_>>(), args);
        prop_assert_eq!(read.env().map(CStr::to_owned).collect::<Vec<_>>(), env);
    }

    #[test]
    fn hostile_bytes_do_no_harm(mut bytes in Just(sample()), at in any::<prop::sample::Index>(), value: u8, junk in prop::collection::vec(any::<u8>(), 0..64)) {
        let at = at.index(bytes.len());
        bytes[at] = value;
        if let Ok(manifest) = Manifest::decode(&bytes) {
            manifest.args().chain(manifest.env()).for_each(drop);
        }
        let _ = Manifest::decode(&junk);
        let _ = note_in(&junk);
    }
}
