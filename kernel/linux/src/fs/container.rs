//! What Docker puts into every container before its program: the working directory, and the files in /etc that tell who
//! and where it is. Only guests of container images get it (`FLAG_CONTAINER`), before their first program.

use super::contents::Contents;
use super::inode::Node;
use super::root::{attributes, directory, put};
use super::{mount, mounts, open_exec};
use crate::errno::Errno;
use crate::file::OpenFile;
use crate::file::io::Source;
use crate::task::Task;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use linux_raw_sys::general::S_IFREG;

/// Makes the files, over the image's own, and the working directory where it is missing.
pub fn prepare(t: &Arc<Task>, hostname: &[u8], cwd: &[u8]) {
    let hostname = String::from_utf8_lossy(hostname);
    let root = mount::root();
    let etc = directory(&root, "etc", 0o755);
    let files = [
        ("hostname", format!("{hostname}\n")),
        (
            "hosts",
            format!(
                "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\n\
                 ff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n127.0.1.1\t{hostname}\n"
            ),
        ),
        // Without servers the resolver asks the loopback, where a name server of the guest's own can answer.
        ("resolv.conf", String::from("# This guest has no network but its own loopback.\n")),
    ];
    for (name, text) in files {
        let contents = Contents::default();
        // There is memory for three small files, or the guest would not have come so far.
        let _ = contents.write(&etc.inode().fs, 0, &mut Source::Kernel(text.as_bytes()));
        put(&etc, name, attributes(S_IFREG | 0o644), Node::File(contents));
    }
    // What cannot be made is told by whoever enters it.
    let _ = mounts::make_working_directory(t, cwd);
}

/// Finds a program by its name in PATH, as execvp(3). EACCES where there are only such that may not be run.
pub fn search(t: &Arc<Task>, name: &[u8], env: &[Vec<u8>]) -> (Vec<u8>, Result<Arc<OpenFile>, Errno>) {
    let path = env.iter().find_map(|entry| entry.strip_prefix(b"PATH=")).unwrap_or_default();
    let mut error = Errno::ENOENT;
    for folder in path.split(|byte| *byte == b':') {
        let folder = if folder.is_empty() { b"." } else { folder };
        let found = [folder, b"/", name].concat();
        match open_exec(t, &found) {
            Ok(file) => return (found, Ok(file)),
            Err(Errno::EACCES) => error = Errno::EACCES,
            Err(_) => {}
        }
    }
    (name.to_vec(), Err(error))
}
