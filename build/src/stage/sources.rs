//! COPY and ADD: where their files come from.

use super::{Build, Part, State, absolute, find_stage, key, unknown_option};
use crate::copy::{self, Copy};
use crate::expand::word;
use crate::fs::Fs;
use crate::ignore::Ignore;
use crate::layer::Writer;
use crate::{BuildError, users};
use parse_dockerfile::{Flag, HereDoc, Source};
use std::fs;
use std::io::Read;
use std::path::PathBuf;

impl Build<'_> {
    fn context(&self) -> Result<&Fs, BuildError> {
        if let Some(context) = self.context.get() {
            return Ok(context);
        }
        let own = PathBuf::from(format!("{}.dockerignore", self.request.containerfile.display()));
        let shared = [".containerignore", ".dockerignore"].map(|name| self.request.context.join(name));
        let file = std::iter::once(own).chain(shared).find(|path| path.exists());
        let ignore = match file {
            None => Ignore::default(),
            Some(path) => {
                let text = fs::read_to_string(&path)
                    .map_err(|source| BuildError::Io { path: path.clone(), source })?;
                Ignore::parse(&text).map_err(|(line, error)| BuildError::Syntax {
                    path: path.clone(),
                    what: format!("line {line}: {error}"),
                })?
            }
        };
        let context = copy::context(&self.request.context, &ignore)?;
        Ok(self.context.get_or_init(|| context))
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of an instruction, which two kinds share")]
    pub(super) fn copy(
        &self,
        parts: &[Part],
        stage: usize,
        state: &mut State,
        what: &str,
        options: &[Flag<'_>],
        sources: &[Source<'_>],
        to: &str,
        source: &str,
    ) -> Result<(), BuildError> {
        let expand =
            |text: &str| word(text, self.escape, &|name| self.value(state, name)).map_err(BuildError::from);
        let (mut owner, mut permissions, mut from) = (None, None, None);
        for flag in options {
            let value = expand(flag.value.as_ref().map_or("", |value| value.value.as_ref()))?;
            match flag.name.value.as_ref() {
                "chown" => {
                    owner = Some(users::find(&state.fs, &value, true).map(|user| (user.uid, user.gid))?)
                }
                "chmod" => {
                    let mode = u32::from_str_radix(&value, 8).ok().filter(|mode| *mode <= 0o7777);
                    let wrong = || {
                        BuildError::Instruction(format!("--chmod={value}: it is no octal number up to 7777"))
                    };
                    permissions = Some(mode.ok_or_else(wrong)?);
                }
                "from" if what == "COPY" => from = Some(value),
                // A layer of its own is what every COPY gets.
                "link" => {}
                name => return Err(unknown_option(name)),
            }
        }
        let image;
        let from_fs = match &from {
            None => self.context()?,
            Some(name) => match find_stage(parts, stage, name) {
                Some(index) => &self.done[&index].fs,
                None => {
                    image = Fs::of_image(&self.request.store.root(&self.image(name)?)?.files)?;
                    &image
                }
            },
        };
        let (mut paths, mut inline, mut archives) = (Vec::new(), Vec::new(), Vec::new());
        for item in sources {
            match item {
                Source::Path(path) => {
                    let path = expand(&path.value)?;
                    match if what == "ADD" { self.archive(from_fs, &path)? } else { None } {
                        Some(archive) => archives.push(archive),
                        None => paths.push(path),
                    }
                }
                Source::HereDoc(document) => {
                    inline.push((here_name(source, inline.len())?, self.here_text(state, document)?))
                }
                _ => return Err(BuildError::Instruction("this kind of source is not known".to_owned())),
            }
        }
        let is_directory = to.ends_with('/') || matches!(to, "." | "..");
        let mut to = absolute(&state.config.config.working_dir, &expand(to)?);
        if is_directory && !to.ends_with('/') {
            to.push('/');
        }
        let copy = Copy {
            from: from_fs,
            inline: &inline,
            sources: &paths,
            to: &to,
            owner,
            permissions,
            scratch: self.scratch.path(),
        };
        let everything = ["/".to_owned()];
        let unpacks =
            archives.iter().map(|archive| Copy { from: archive, inline: &[], sources: &everything, ..copy });
        let mut copies: Vec<Copy<'_>> = unpacks.collect();
        if !(copy.sources.is_empty() && copy.inline.is_empty()) {
            copies.push(copy);
        }
        if copies.len() > 1 && !to.ends_with('/') {
            let why = "several files need a directory, with a slash at its end";
            return Err(BuildError::Destination(to.clone(), why));
        }
        let mut words = vec![what.to_owned(), to.clone(), format!("{owner:?} {permissions:?}")];
        for copy in &copies {
            words.push(copy.digest()?.iter().map(|byte| format!("{byte:02x}")).collect());
        }
        state.key = key(&state.key, &words.iter().map(String::as_str).collect::<Vec<_>>());
        let write = |state: &State, layer: &mut Writer| {
            copies.iter().try_for_each(|copy| copy.write(&state.fs, layer))
        };
        self.layer(state, write, source)
    }

    /// What ADD unpacks: the contents of an archive of the context. What it would fetch is refused.
    fn archive(&self, from: &Fs, path: &str) -> Result<Option<Fs>, BuildError> {
        let is_remote =
            ["http://", "https://", "ftp://", "git@", "git://"].iter().any(|start| path.starts_with(start));
        if is_remote {
            return Err(BuildError::Instruction(format!(
                "ADD {path}: nothing is fetched while building: fetch it before, and COPY it"
            )));
        }
        let real = copy::clean(path).and_then(|path| from.resolve(path.as_bytes()));
        let Some(inode) = real.and_then(|real| from.get(&real)) else { return Ok(None) };
        let mut head = Vec::new();
        let _ = inode.bytes.each(|piece| {
            head.extend_from_slice(&piece[..piece.len().min(512)]);
            Err(std::io::ErrorKind::Other.into())
        });
        if !copy::is_archive(&head) {
            return Ok(None);
        }
        let bytes = inode.bytes.to_vec().map_err(|source| BuildError::Io { path: path.into(), source })?;
        let scratch = || tempfile::NamedTempFile::new_in(self.scratch.path());
        let io = |source| BuildError::Io { path: path.into(), source };
        let (image, frame) = (scratch().map_err(io)?, scratch().map_err(io)?);
        let (_, image_path) = image.keep().map_err(|error| io(error.error))?;
        let file = fs::File::options().read(true).write(true).open(&image_path).map_err(io)?;
        let tar = husk_image::layer::uncompressed(bytes.as_slice())?;
        match husk_image::layer::import(tar, &file, frame.as_file(), husk_image::layer::Limits::default()) {
            Ok(_) => Fs::of_image(&[image_path]).map(Some),
            // Something compressed that is no archive is copied as it is.
            Err(_) if head.get(257..262) != Some(b"ustar") && is_no_tar(&bytes) => Ok(None),
            Err(error) => Err(BuildError::Instruction(format!("ADD {path}: {error}"))),
        }
    }

    fn here_text(&self, state: &State, document: &HereDoc<'_>) -> Result<Vec<u8>, BuildError> {
        if !document.expand {
            return Ok(document.value.as_bytes().to_vec());
        }
        // Quotes mean nothing in a here-document.
        let quoted = document.value.replace(['\'', '"'], "");
        if quoted.contains('$') {
            let guarded = document.value.replace('"', "\\\"").replace('\'', "\\'");
            return Ok(word(&guarded, '\\', &|name| self.value(state, name))?.into_bytes());
        }
        Ok(document.value.as_bytes().to_vec())
    }
}

/// The name of an instruction's here-document by its number, which COPY makes the name of a file.
fn here_name(source: &str, number: usize) -> Result<String, BuildError> {
    let marks = source.match_indices("<<").map(|(at, _)| source[at + 2..].trim_start_matches('-'));
    let names = marks.map(|rest| {
        let rest = rest.trim_start_matches(['"', '\'']);
        let end = rest.find(|end: char| !end.is_alphanumeric() && !"._-".contains(end)).unwrap_or(rest.len());
        rest[..end].to_owned()
    });
    let name = names.filter(|name| !name.is_empty()).nth(number);
    name.ok_or_else(|| BuildError::Instruction("a here-document has no name".to_owned()))
}

/// Whether compressed bytes hold no tar.
fn is_no_tar(bytes: &[u8]) -> bool {
    let mut head = vec![0; 512];
    let read = husk_image::layer::uncompressed(bytes).map(|mut from| from.read_exact(&mut head));
    !matches!(read, Ok(Ok(()))) || head.get(257..262) != Some(b"ustar")
}
