//! Docker's daemon (and podman's service, which speaks the same): an image is exported through its socket, as `docker save`
//! does, so that it does not matter how the daemon keeps it.

use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::ImageError;
use crate::archive::{DockerArchive, Files};

/// Where a daemon listens that nobody moved.
const SOCKET: &str = "/var/run/docker.sock";
/// How long the daemon may be silent: before the first byte it may have much to gather.
const SILENCE: Duration = Duration::from_secs(120);
/// Most bytes of an answer's head, and of an error's text.
const HEAD_MAX: u64 = 64 << 10;

/// The daemon's socket: DOCKER_HOST's, or the usual one if it is there.
///
/// # Errors
/// [`ImageError::Other`] where DOCKER_HOST is no Unix socket.
pub(crate) fn socket() -> Result<Option<PathBuf>, ImageError> {
    match env::var("DOCKER_HOST") {
        Ok(host) if !host.is_empty() => match host.strip_prefix("unix://") {
            Some(path) => Ok(Some(PathBuf::from(path))),
            None => Err(ImageError::Other(format!(
                "docker-daemon: DOCKER_HOST is {host}, and only unix:// sockets are read"
            ))),
        },
        _ => Ok(Some(PathBuf::from(SOCKET)).filter(|path| path.exists())),
    }
}

/// An image of the daemon behind a socket, by name or id.
///
/// # Errors
/// [`ImageError::NoImage`]; [`ImageError::Io`] where nobody listens; those of archives.
pub(crate) fn export(socket: &Path, name: &str) -> Result<DockerArchive, ImageError> {
    let what = format!("docker-daemon:{name}");
    let mut stream = UnixStream::connect(socket).map_err(ImageError::io(socket))?;
    let mut send = || {
        stream.set_read_timeout(Some(SILENCE))?;
        // HTTP/1.0: the body is plain and ends with the connection.
        write!(stream, "GET /images/{}/get HTTP/1.0\r\nHost: docker\r\n\r\n", escaped(name))
    };
    send().map_err(ImageError::io(socket))?;
    let mut reader = BufReader::new(stream);
    let status = head(&mut reader).map_err(ImageError::read(&what))?;
    match status {
        200 => DockerArchive::of(Files::of_reader(reader, Path::new(&what))?, None),
        404 => Err(ImageError::NoImage(what)),
        _ => {
            let mut bytes = Vec::new();
            reader.take(HEAD_MAX).read_to_end(&mut bytes).map_err(ImageError::read(&what))?;
            let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
            let why = value["message"].as_str().unwrap_or("no reason given");
            Err(ImageError::Other(format!("{what}: the daemon answers with status {status}: {why}")))
        }
    }
}

/// Reads an answer's head, and returns its status.
fn head(reader: &mut impl BufRead) -> io::Result<u16> {
    let bad = || io::Error::new(io::ErrorKind::InvalidData, "the daemon's answer is no HTTP");
    let mut head = reader.take(HEAD_MAX);
    let mut line = String::new();
    head.read_line(&mut line)?;
    let status = line.starts_with("HTTP/1.").then(|| line.split(' ').nth(1)?.parse().ok()).flatten();
    let status = status.ok_or_else(bad)?;
    loop {
        line.clear();
        if head.read_line(&mut line)? == 0 {
            return Err(bad());
        }
        if line.trim_end().is_empty() {
            return Ok(status);
        }
    }
}

/// A name as a part of a path: what has a meaning in it, or in HTTP, is escaped.
fn escaped(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:@".contains(&byte);
    let one = |byte: u8| {
        if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    name.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_to_their_end() {
        let mut answer: &[u8] = b"HTTP/1.0 404 Not Found\r\nA: b\r\n\r\nbody";
        assert_eq!(head(&mut answer).unwrap(), 404);
        assert_eq!(answer, b"body");
        for bad in
            ["", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\nA: b\r\n", "SSH-2.0 200\r\n\r\n", "HTTP/1.1 x y\r\n\r\n"]
        {
            assert!(head(&mut bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_cannot_leave_their_place() {
        assert_eq!(escaped("r.io:5/a/b-c_d:1@sha256:0"), "r.io:5/a/b-c_d:1@sha256:0");
        assert_eq!(escaped("a b?c\r\n"), "a%20b%3Fc%0D%0A");
    }
}
