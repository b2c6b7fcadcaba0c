//! splice(2) and tee(2): bytes between a pipe and another file, chunk by chunk.
//!
//! Between pipes a chunk changes hands without a copy. A chunk leaves its pipe only after the other side has taken it.

use super::copy::Cursor;
use super::io::Sink;
use super::pipe::{Chunk, Pipe};
use crate::errno::{Errno, SysResult};
use alloc::sync::Arc;
use husk_abi::layout::PAGE_SIZE;

/// What was moved so far, or, if that is nothing, the error.
fn progress(done: usize, error: Errno) -> SysResult {
    if done > 0 { Ok(done) } else { Err(error) }
}

/// Moves up to `len` bytes from a pipe to a file. Waits for the first ones unless `nonblocking`.
pub fn from_pipe(pipe: &Pipe, to: &mut Cursor<'_>, len: usize, nonblocking: bool) -> SysResult {
    let mut buffer = [0; PAGE_SIZE];
    let mut done = 0;
    while done < len {
        match pipe.wait_data(nonblocking || done > 0) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => return progress(done, error),
        }
        let Some(chunk) = pipe.peek(0, len - done) else { continue };
        let bytes = &mut buffer[..chunk.len];
        chunk.pages.span().slice(chunk.offset, chunk.len).read(bytes);
        match to.write(bytes) {
            Ok(0) => break,
            Ok(count) => {
                pipe.consume(count);
                done += count;
                if count < chunk.len {
                    break;
                }
            }
            Err(error) => return progress(done, error),
        }
    }
    Ok(done)
}

/// Moves up to `len` bytes from a file to a pipe. Waits for room for the first ones unless `nonblocking`.
pub fn to_pipe(from: &mut Cursor<'_>, pipe: &Pipe, len: usize, nonblocking: bool) -> SysResult {
    let mut buffer = [0; PAGE_SIZE];
    let mut done = 0;
    while done < len {
        if let Err(error) = pipe.wait_room(nonblocking || done > 0) {
            return progress(done, error);
        }
        let bytes = &mut buffer[..PAGE_SIZE.min(len - done)];
        let wanted = bytes.len();
        let count = match from.read(&mut Sink::Kernel(bytes)) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) => return progress(done, error),
        };
        let Ok(pages) = husk_machine::page::Pages::unzeroed(1) else { return progress(done, Errno::ENOMEM) };
        pages.span().write(&buffer[..count]);
        // Room was there before the read, which may have waited: then what was read waits for room again.
        let mut chunk = Chunk::shared(Arc::new(pages), 0, count);
        while let Err(back) = pipe.fill(chunk) {
            chunk = back;
            if let Err(error) = pipe.wait_room(false) {
                return progress(done, error);
            }
        }
        done += count;
        if count < wanted {
            break;
        }
    }
    Ok(done)
}

/// Moves up to `len` bytes from one pipe to another; `keep` leaves them in the first too (tee(2)).
pub fn between_pipes(from: &Pipe, to: &Pipe, len: usize, nonblocking: bool, keep: bool) -> SysResult {
    let (mut done, mut index) = (0, 0);
    while done < len {
        let wait = !nonblocking && done == 0;
        match from.wait_data(!wait) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => return progress(done, error),
        }
        if let Err(error) = to.wait_room(!wait) {
            return progress(done, error);
        }
        let Some(chunk) = from.peek(index, len - done) else { break };
        let count = chunk.len;
        if to.fill(chunk).is_err() {
            continue;
        }
        done += count;
        if keep {
            index += 1;
        } else {
            from.consume(count);
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::super::copy::Cursor;
    use super::super::io::{Sink, Source};
    use super::super::pipe;
    use super::{between_pipes, from_pipe, to_pipe};
    use crate::errno::Errno;
    use crate::file::OpenFile;
    use crate::file::pipe::{Pipe, PipeEnd};
    use crate::fs::root;
    use crate::task::test;
    use alloc::sync::Arc;

    fn pipe_of(end: &OpenFile) -> Arc<Pipe> {
        end.object.downcast::<PipeEnd>().expect("a pipe's end").pipe().clone()
    }

    #[test]
    fn bytes_pass_through_pipes_unchanged() {
        let t = test::enter();
        let data: Vec<u8> = (0..30_000u32).map(|n| (n % 253) as u8).collect();
        let from = root::memory_file(b"from", &t.cred(), 0o600, 0);
        from.write(&mut Source::Kernel(&data)).unwrap();
        let to = root::memory_file(b"to", &t.cred(), 0o600, 0);
        let (first, second) = (pipe::create(0), pipe::create(0));
        let (one, two) = (pipe_of(&first.0), pipe_of(&second.0));
        let mut input = Cursor::At(&from, 100);
        assert_eq!(to_pipe(&mut input, &one, 20_000, true), Ok(20_000));
        assert_eq!((input.position(), from.position()), (20_100, 30_000));
        assert_eq!(between_pipes(&one, &two, 9_000, true, true), Ok(9_000));
        assert_eq!((one.len(), two.len()), (20_000, 9_000));
        assert_eq!(from_pipe(&two, &mut Cursor::Own(&to), 50_000, true), Ok(9_000));
        assert_eq!(between_pipes(&one, &two, 50_000, true, false), Ok(20_000));
        assert_eq!((one.len(), two.len()), (0, 20_000));
        assert_eq!(from_pipe(&two, &mut Cursor::Own(&to), 20_000, true), Ok(20_000));
        let mut back = vec![0; 29_001];
        to.set_position(0);
        assert_eq!(to.read(&mut Sink::Kernel(&mut back)), Ok(29_000));
        assert!(back[..9_000] == data[100..9_100] && back[9_000..29_000] == data[100..20_100]);
        assert_eq!(from_pipe(&two, &mut Cursor::Own(&to), 1, true), Err(Errno::EAGAIN));
    }
}
