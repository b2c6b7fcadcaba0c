//! `.dockerignore`: which files of the context are not there for the build. The last pattern that matches decides; a
//! pattern that begins with `!` takes files back in.

use globset::{GlobBuilder, GlobMatcher};
use std::path::Path;

/// The patterns of one file.
#[derive(Debug, Default)]
pub(crate) struct Ignore {
    /// Whether it takes files back in; what it matches, and what lies below.
    patterns: Vec<(bool, GlobMatcher)>,
}

/// A pattern as Docker means it: `*` and `?` do not match a slash, `**` does.
pub(crate) fn glob(pattern: &str) -> Result<GlobMatcher, globset::Error> {
    // Braces mean nothing to Docker.
    let pattern = pattern.replace('{', "[{]").replace('}', "[}]");
    GlobBuilder::new(&pattern)
        .literal_separator(true)
        .backslash_escape(true)
        .build()
        .map(|glob| glob.compile_matcher())
}

impl Ignore {
    /// # Errors
    /// The line, from 1, and what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, (usize, globset::Error)> {
        let mut patterns = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (takes_back, pattern) = match line.strip_prefix('!') {
                Some(pattern) => (true, pattern.trim()),
                None => (false, line),
            };
            let pattern = pattern.trim_start_matches("./").trim_matches('/');
            if !pattern.is_empty() {
                patterns.push((takes_back, glob(pattern).map_err(|error| (index + 1, error))?));
            }
        }
        Ok(Self { patterns })
    }

    /// Whether a path, relative to the context, is left out.
    pub(crate) fn leaves_out(&self, path: &Path) -> bool {
        let matches = |pattern: &GlobMatcher| {
            path.ancestors().any(|path| !path.as_os_str().is_empty() && pattern.is_match(path))
        };
        let last = self.patterns.iter().rev().find(|(_, pattern)| matches(pattern));
        last.is_some_and(|(takes_back, _)| !takes_back)
    }

    /// Whether something below a directory that is left out may be taken back in.
    pub(crate) fn may_take_back(&self) -> bool {
        self.patterns.iter().any(|(takes_back, _)| *takes_back)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_pattern_decides() {
        let ignore =
            Ignore::parse("# all\n*.md\n!README.md\nbuild/\n**/*.o\n/top\nfoo/*\n!foo/keep\n").unwrap();
        let left_out = |path: &str| ignore.leaves_out(Path::new(path));
        for path in ["a.md", "build", "build/x/y", "x/y/z.o", "z.o", "top", "foo/x", "foo/x/y"] {
            assert!(left_out(path), "{path}");
        }
        for path in ["README.md", "sub/a.md", "x/top", "src/main.c", "foo", "foo/keep", "foo/keep/x"] {
            assert!(!left_out(path), "{path}");
        }
    }
}
