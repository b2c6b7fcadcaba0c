//! Requests of random bytes: nothing ends the server, and nothing outside of the served directory changes.

mod common;

use common::{Client, ROOT};
use husk_fuse::{InHeader, OPCODES, OutHeader};
use husk_volume::Access;
use proptest::prelude::*;
use std::fs;

fn requests() -> impl Strategy<Value = Vec<(usize, u64, Vec<u8>, Vec<u8>)>> {
    // Small numbers are likely to be nodes, handles and offsets; names are likely to exist.
    let words = prop::collection::vec(
        prop_oneof![
            (0_u64..6).prop_map(|word| word.to_le_bytes().to_vec()),
            any::<u64>().prop_map(|word| word.to_le_bytes().to_vec()),
            (0_u32..6).prop_map(|word| word.to_le_bytes().to_vec()),
            prop::sample::select(vec!["f", "d", "l", "..", "../secret", "/etc/passwd", "", "new"])
                .prop_map(|name| [name.as_bytes(), b"\0"].concat()),
        ],
        0..16,
    );
    let data = prop::collection::vec(any::<u8>(), 0..64);
    prop::collection::vec((0..OPCODES.len(), 0_u64..6, words.prop_map(|words| words.concat()), data), 1..64)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_request_has_a_reply(requests in requests(), cut in any::<prop::sample::Index>()) {
        let whole = tempfile::tempdir().unwrap();
        let served = whole.path().join("served");
        fs::create_dir_all(served.join("d")).unwrap();
        fs::write(served.join("f"), "text").unwrap();
        fs::write(whole.path().join("secret"), "secret").unwrap();
        std::os::unix::fs::symlink("../secret", served.join("l")).unwrap();
        let client = Client::new(&served, Access::ReadWrite);
        for name in ["f", "d", "l"] {
            client.look_up(ROOT, name).unwrap();
        }
        for (opcode, node, body, data) in requests {
            let header = InHeader {
                len: (InHeader::LEN + body.len()) as u32,
                opcode: OPCODES[opcode].0 as u32,
                unique: 3,
                nodeid: node,
                ..InHeader::default()
            };
            let head = [header.to_bytes().as_slice(), &body].concat();
            let mut memory = vec![0; 4096];
            memory[..data.len()].copy_from_slice(&data);
            for head in [&head[..], &head[..cut.index(head.len())]] {
                let (reply, len) = client.server.serve(head, data.len(), &mut memory.as_mut_slice().into());
                prop_assert!(len <= memory.len() && reply.len() <= husk_ring::HEAD_LEN);
                prop_assert_eq!(OutHeader::from_bytes(&reply).unwrap().len as usize, reply.len());
            }
        }
        prop_assert_eq!(fs::read(whole.path().join("secret")).unwrap(), b"secret");
        prop_assert_eq!(fs::read_dir(whole.path()).unwrap().count(), 2);
    }
}
