//! A profile of system calls as text: one name a line, in the order of the numbers; `#` begins a comment.

use husk_app::Allowed;
use std::str::FromStr;
use syscalls::Sysno;

/// A line that is no name of a system call: its number, from 1, and what it says.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("line {0}: {1}: there is no such system call")]
pub struct UnknownCall(pub usize, pub String);

/// # Errors
/// [`UnknownCall`] for the first line that names none.
pub fn parse(text: &str) -> Result<Allowed, UnknownCall> {
    let mut allowed = Allowed::default();
    for (index, line) in text.lines().enumerate() {
        let name = line.split('#').next().unwrap_or_default().trim();
        if name.is_empty() {
            continue;
        }
        let call = Sysno::from_str(name).map_err(|_| UnknownCall(index + 1, name.to_owned()))?;
        allowed.add(call as u32);
    }
    Ok(allowed)
}

/// The names of a profile's calls.
#[must_use]
pub fn names(allowed: &Allowed) -> Vec<&'static str> {
    let numbers = allowed.numbers();
    numbers.filter_map(|number| Some(Sysno::new(number as usize)?.name())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        let allowed = parse("# what hello does\nwrite\n  exit_group # the end\n\nclone3\n").unwrap();
        assert_eq!(names(&allowed), ["write", "exit_group", "clone3"]);
        assert_eq!(parse(&names(&allowed).join("\n")).unwrap(), allowed);
        assert_eq!(parse("read\nreed"), Err(UnknownCall(2, "reed".to_owned())));
    }
}
