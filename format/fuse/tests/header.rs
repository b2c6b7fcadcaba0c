//! The messages agree with the host's `linux/fuse.h`: numbers, sizes and offsets, as its C compiler sees them.

use husk_fuse as fuse;
use std::fmt::Write as _;
use std::process::Command;

/// Prints what the header says and compares it line by line with what the crate says.
#[test]
fn messages_agree_with_the_header() {
    let mut program =
        String::from("#include <stddef.h>\n#include <stdio.h>\n#include <linux/fuse.h>\nint main(void) {\n");
    let mut expected = String::new();
    let mut number = |what: &str, ours: u64| {
        writeln!(program, "printf(\"{what} %llu\\n\", (unsigned long long)({what}));").unwrap();
        writeln!(expected, "{what} {ours}").unwrap();
    };
    for (opcode, name) in fuse::OPCODES {
        let name = match *name {
            "BatchForget" => "BATCH_FORGET".into(),
            "CopyFileRange" => "COPY_FILE_RANGE".into(),
            name => name.to_uppercase(),
        };
        number(&format!("FUSE_{name}"), *opcode as u64);
    }
    for (name, ours) in [
        ("FATTR_MODE", fuse::fattr::MODE),
        ("FATTR_UID", fuse::fattr::UID),
        ("FATTR_GID", fuse::fattr::GID),
        ("FATTR_SIZE", fuse::fattr::SIZE),
        ("FATTR_ATIME", fuse::fattr::ATIME),
        ("FATTR_MTIME", fuse::fattr::MTIME),
        ("FATTR_FH", fuse::fattr::FH),
        ("FATTR_ATIME_NOW", fuse::fattr::ATIME_NOW),
        ("FATTR_MTIME_NOW", fuse::fattr::MTIME_NOW),
        ("FUSE_GETATTR_FH", fuse::GETATTR_FH),
        ("FUSE_LK_FLOCK", fuse::LK_FLOCK),
        ("FUSE_POSIX_LOCKS", fuse::POSIX_LOCKS),
        ("FUSE_ATOMIC_O_TRUNC", fuse::ATOMIC_O_TRUNC),
        ("FUSE_FLOCK_LOCKS", fuse::FLOCK_LOCKS),
        ("FUSE_DO_READDIRPLUS", fuse::DO_READDIRPLUS),
    ] {
        number(name, ours.into());
    }
    number("sizeof(struct fuse_entry_out)", (fuse::EntryOut::LEN + fuse::Attr::LEN) as u64);
    number("sizeof(struct fuse_attr_out)", (fuse::AttrOut::LEN + fuse::Attr::LEN) as u64);
    number("offsetof(struct fuse_direntplus, dirent)", (fuse::EntryOut::LEN + fuse::Attr::LEN) as u64);
    number("FUSE_COMPAT_SETXATTR_IN_SIZE", fuse::SetxattrIn::LEN as u64);
    macro_rules! layout {
        ($($ours:ident $theirs:ident $whole:literal;)*) => { $(
            if $whole {
                number(concat!("sizeof(struct ", stringify!($theirs), ")"), fuse::$ours::LEN as u64);
            }
            for (field, offset) in fuse::$ours::FIELDS {
                let field = match (stringify!($ours), *field) {
                    ("LkIn", "start" | "end" | "pid") => format!("lk.{field}"),
                    ("LkIn", "kind") => "lk.type".into(),
                    ("LkOut", "kind") => "lk.type".into(),
                    ("LkOut", field) => format!("lk.{field}"),
                    ("Dirent", "kind") => "type".into(),
                    (_, field) => field.into(),
                };
                number(&format!(concat!("offsetof(struct ", stringify!($theirs), ", {})"), field), *offset as u64);
            }
        )* };
    }
    layout! {
        OutHeader fuse_out_header true;
        InitIn fuse_init_in false;
        InitOut fuse_init_out false;
        Attr fuse_attr true;
        EntryOut fuse_entry_out false;
        AttrOut fuse_attr_out false;
        ForgetIn fuse_forget_in true;
        GetattrIn fuse_getattr_in true;
        SetattrIn fuse_setattr_in true;
        MknodIn fuse_mknod_in true;
        MkdirIn fuse_mkdir_in true;
        Rename2In fuse_rename2_in true;
        LinkIn fuse_link_in true;
        ReadIn fuse_read_in true;
        WriteIn fuse_write_in true;
        WriteOut fuse_write_out true;
        Kstatfs fuse_kstatfs false;
        ReleaseIn fuse_release_in true;
        FlushIn fuse_flush_in true;
        FsyncIn fuse_fsync_in true;
        GetxattrIn fuse_getxattr_in true;
        GetxattrOut fuse_getxattr_out true;
        LkIn fuse_lk_in true;
        LkOut fuse_lk_out true;
        FallocateIn fuse_fallocate_in true;
        LseekIn fuse_lseek_in true;
        LseekOut fuse_lseek_out true;
        CopyFileRangeIn fuse_copy_file_range_in true;
    }
    // Fields that came with later headers than the one here may be compared by size only.
    number("sizeof(struct fuse_in_header)", fuse::InHeader::LEN as u64);
    number("sizeof(struct fuse_open_in)", fuse::OpenIn::LEN as u64);
    number("sizeof(struct fuse_create_in)", fuse::CreateIn::LEN as u64);
    number("offsetof(struct fuse_dirent, name)", fuse::Dirent::LEN as u64);
    program.push_str("}\n");
    let folder = std::env::temp_dir().join(format!("husk-fuse-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (source, binary) = (folder.join("header.c"), folder.join("header"));
    std::fs::write(&source, program).unwrap();
    let compiled = Command::new("cc").arg("-o").arg(&binary).arg(&source).output().expect("a C compiler");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let output = Command::new(&binary).output().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}

/// Any bytes are read without a panic, and what was read is what is written again.
#[test]
fn any_bytes_are_safe() {
    let mut seed = 7_u64;
    for round in 0..20_000_usize {
        let bytes: Vec<u8> = (0..round % 300)
            .map(|_| {
                seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (seed >> 56) as u8 & if round % 3 == 0 { 3 } else { 0xff }
            })
            .collect();
        if let Some(header) = fuse::InHeader::from_bytes(&bytes) {
            assert_eq!(header.to_bytes(), bytes[..fuse::InHeader::LEN]);
        }
        let mut rest = bytes.as_slice();
        while let Some((record, after)) = fuse::Direntplus::split(rest) {
            assert!(record.name.len() <= 255 && after.len() < rest.len());
            rest = after;
        }
        if let Some((name, after)) = fuse::split_name(&bytes) {
            assert_eq!(name.len() + 1 + after.len(), bytes.len());
        }
    }
}
