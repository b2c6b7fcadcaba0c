use super::*;
use proptest::prelude::*;

fn frame(tag: u8, bytes: &[u8]) -> Vec<u8> {
    [&[tag][..], &(bytes.len() as u32).to_le_bytes(), bytes].concat()
}

fn node(kind: u8, path: &[u8], target: &[u8], size: u64) -> Vec<u8> {
    let mut bytes = vec![kind];
    for number in [0o644_u32, 1, 2] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(5_i64.to_le_bytes());
    bytes.extend([0; 8]);
    bytes.extend(size.to_le_bytes());
    for text in [path, target] {
        bytes.extend((text.len() as u16).to_le_bytes());
        bytes.extend(text);
    }
    bytes.extend(0_u16.to_le_bytes());
    frame(abi::NODE, &bytes)
}

#[derive(Default)]
struct Kept(Vec<Node>, Vec<u8>);

impl Changes for Kept {
    fn node(&mut self, node: Node) -> io::Result<()> {
        self.0.push(node);
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.1.extend(bytes);
        Ok(())
    }
}

fn whole() -> Vec<u8> {
    [
        frame(abi::CALL, &1_u32.to_le_bytes()),
        frame(abi::PATH, b"\x02/etc/passwd"),
        frame(abi::PATH, b"\x04/etc/passwd"),
        node(abi::NODE_FILE, b"a/b", b"", 5),
        frame(abi::DATA, b"hel"),
        frame(abi::DATA, b"lo"),
        node(abi::NODE_WHITEOUT, b"gone", b"", 0),
        frame(abi::END, &3_u32.to_le_bytes()),
    ]
    .concat()
}

#[test]
fn a_record_reads_back() {
    let mut kept = Kept::default();
    let record = read(whole().as_slice(), &mut kept).unwrap();
    assert_eq!(record.exit_code, 3);
    assert_eq!(record.calls.numbers().collect::<Vec<_>>(), [1]);
    assert_eq!(record.paths[&b"/etc/passwd"[..]], Use(6));
    assert_eq!(kept.1, b"hello");
    assert_eq!(
        kept.0.iter().map(|node| node.kind.clone()).collect::<Vec<_>>(),
        [Kind::File(5), Kind::Whiteout]
    );
}

#[test]
fn a_record_that_is_cut_off_is_none() {
    let whole = whole();
    for len in 0..whole.len() {
        assert!(matches!(read(&whole[..len], &mut Kept::default()), Err(RecordError::Unfinished)), "{len}");
    }
}

#[test]
fn paths_that_lead_out_are_refused() {
    let wrong: [&[u8]; 6] = [b"../x", b"/x", b"a//b", b"a/./b", b"a/..", b"a\0b"];
    for path in wrong {
        for (path, target) in [(path, &b"x"[..]), (b"x", path)] {
            let bytes = node(abi::NODE_HARD_LINK, path, target, 0);
            assert!(matches!(read(bytes.as_slice(), &mut Kept::default()), Err(RecordError::Damaged(_))));
        }
    }
}

#[test]
fn files_have_the_bytes_they_say() {
    let short =
        [node(abi::NODE_FILE, b"a", b"", 3), frame(abi::DATA, b"ab"), frame(abi::END, &[0; 4])].concat();
    let long = [node(abi::NODE_FILE, b"a", b"", 1), frame(abi::DATA, b"ab")].concat();
    for bytes in [short, long] {
        assert!(matches!(read(bytes.as_slice(), &mut Kept::default()), Err(RecordError::Damaged(_))));
    }
}

proptest! {
    #[test]
    fn hostile_records_do_no_harm(mut bytes in Just(whole()), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6)) {
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let _ = read(bytes.as_slice(), &mut Kept::default());
    }
}
