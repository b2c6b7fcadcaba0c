//! Works off a Containerfile, stage by stage and instruction by instruction.

mod instruction;
mod run;
mod sources;

pub(crate) use run::find_program;

use crate::expand::word;
use crate::fs::Fs;
use crate::layer::{Layer, Writer};
use crate::{BuildError, Built, Request, copy};
use husk_image::config::{Config, History, Process, RootFs};
use husk_image::{Session, Silent, source};
use parse_dockerfile::{Dockerfile, Flag, Instruction, Span};
use sha2::{Digest, Sha256};
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// What every program is given where the image says nothing.
const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Build arguments that need no ARG.
const PREDEFINED: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];
/// What is known of the platform, for FROM and, where an ARG asks for it, in a stage.
const PLATFORM: [(&str, &str); 8] = [
    ("TARGETPLATFORM", "linux/amd64"),
    ("TARGETOS", "linux"),
    ("TARGETARCH", "amd64"),
    ("TARGETVARIANT", ""),
    ("BUILDPLATFORM", "linux/amd64"),
    ("BUILDOS", "linux"),
    ("BUILDARCH", "amd64"),
    ("BUILDVARIANT", ""),
];

/// One stage while it is built.
#[derive(Clone)]
struct State {
    fs: Fs,
    layers: Vec<Layer>,
    config: Config,
    /// Digest of all that led here.
    key: [u8; 32],
    /// Build arguments that the stage has declared.
    args: BTreeMap<String, String>,
}

/// Everything of one build.
struct Build<'r> {
    request: &'r Request,
    file: Dockerfile<'r>,
    escape: char,
    context: OnceCell<Fs>,
    /// Values of ARGs before the first FROM.
    global: BTreeMap<String, String>,
    done: BTreeMap<usize, State>,
    scratch: tempfile::TempDir,
    /// While it lives nothing of the store is swept.
    session: Session,
}

/// A part of the file between FROMs.
struct Part {
    name: Option<String>,
    /// Indices of its instructions, FROM first.
    instructions: std::ops::Range<usize>,
}

/// Builds what `request` asks for.
///
/// # Errors
/// [`BuildError`], with the line where an instruction fails.
pub fn build(request: &Request) -> Result<Built, BuildError> {
    let syntax = |what: String| BuildError::Syntax { path: request.containerfile.clone(), what };
    let file = parse_dockerfile::parse(&request.text).map_err(|error| syntax(error.to_string()))?;
    let escape = file.parser_directives.escape.as_ref().map_or('\\', |escape| escape.value.value);
    let io = |path: &Path| {
        let path = path.to_path_buf();
        move |source| BuildError::Io { path, source }
    };
    fs::create_dir_all(&request.cache).map_err(io(&request.cache))?;
    let scratch = tempfile::tempdir_in(&request.cache).map_err(io(&request.cache))?;
    let mut build = Build {
        request,
        escape,
        file,
        context: OnceCell::new(),
        global: BTreeMap::new(),
        done: BTreeMap::new(),
        scratch,
        session: request.store.session()?,
    };
    let parts = build.parts()?;
    let target = match &request.target {
        None => parts.len() - 1,
        Some(target) => {
            let named = parts.iter().position(|part| part.name.as_deref() == Some(&target.to_lowercase()));
            let numbered = target.parse().ok().filter(|index| *index < parts.len());
            named.or(numbered).ok_or_else(|| BuildError::NoTarget(target.clone()))?
        }
    };
    let needed = build.needed(&parts, target)?;
    for index in needed {
        let state = build.stage(&parts, index)?;
        build.done.insert(index, state);
    }
    let mut state = build.done.remove(&target).ok_or_else(|| BuildError::NoTarget(target.to_string()))?;
    for (name, value) in &request.labels {
        state.config.config.labels.insert(name.clone(), value.clone());
    }
    state.config.created = Some(build.now());
    for (name, _) in request.args.iter().filter(|(name, _)| !build.is_declared(name)) {
        eprintln!("husk: build: note: --build-arg {name}: no ARG asks for it");
    }
    for layer in &state.layers {
        state.config.rootfs.diff_ids.push(layer.stored(&build.session)?);
    }
    let image = build.session.commit(&state.config, &request.names)?;
    Ok(Built { image, root: state.fs })
}

fn span(instruction: &Instruction<'_>) -> Span {
    match instruction {
        Instruction::Add(it) => &it.add,
        Instruction::Arg(it) => &it.arg,
        Instruction::Cmd(it) => &it.cmd,
        Instruction::Copy(it) => &it.copy,
        Instruction::Entrypoint(it) => &it.entrypoint,
        Instruction::Env(it) => &it.env,
        Instruction::Expose(it) => &it.expose,
        Instruction::From(it) => &it.from,
        Instruction::Healthcheck(it) => &it.healthcheck,
        Instruction::Label(it) => &it.label,
        Instruction::Maintainer(it) => &it.maintainer,
        Instruction::Onbuild(it) => &it.onbuild,
        Instruction::Run(it) => &it.run,
        Instruction::Shell(it) => &it.shell,
        Instruction::Stopsignal(it) => &it.stopsignal,
        Instruction::User(it) => &it.user,
        Instruction::Volume(it) => &it.volume,
        Instruction::Workdir(it) => &it.workdir,
        _ => return 0..0,
    }
    .span
    .clone()
}

impl Build<'_> {
    /// An instruction as the file has it, without comments, and its line.
    fn source(&self, index: usize) -> (String, usize) {
        let text = &self.request.text;
        let start = span(&self.file.instructions[index]).start;
        let end = self.file.instructions.get(index + 1).map_or(text.len(), |next| span(next).start);
        let lines = text[start..end].lines().filter(|line| !line.trim_start().starts_with('#'));
        let joined = lines.collect::<Vec<_>>().join("\n").trim_end().to_owned();
        (joined, text[..start].matches('\n').count() + 1)
    }

    fn at(&self, index: usize, source: BuildError) -> BuildError {
        let line = self.source(index).1;
        BuildError::At { path: self.request.containerfile.clone(), line, source: Box::new(source) }
    }

    /// The stages. ARGs before the first get their values.
    fn parts(&mut self) -> Result<Vec<Part>, BuildError> {
        let mut parts: Vec<Part> = Vec::new();
        for index in 0..self.file.instructions.len() {
            match &self.file.instructions[index] {
                Instruction::From(from) => {
                    let name = from.as_.as_ref().map(|(_, name)| name.value.to_lowercase());
                    parts.push(Part { name, instructions: index..index + 1 });
                }
                Instruction::Arg(arg) if parts.is_empty() => {
                    let text = arg.arguments.value.clone();
                    self.declare_global(&text).map_err(|error| self.at(index, error))?;
                }
                _ => match parts.last_mut() {
                    Some(part) => part.instructions.end = index + 1,
                    None => {
                        let error = BuildError::Instruction(
                            "an instruction other than ARG comes before FROM".to_owned(),
                        );
                        return Err(self.at(index, error));
                    }
                },
            }
        }
        if parts.is_empty() {
            let what = "there is no FROM in it".to_owned();
            return Err(BuildError::Syntax { path: self.request.containerfile.clone(), what });
        }
        Ok(parts)
    }

    fn declare_global(&mut self, text: &str) -> Result<(), BuildError> {
        for declared in crate::expand::words(text, self.escape, &|name| self.global_value(name))? {
            let (name, default) = match declared.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (declared, None),
            };
            if let Some(value) = self.given(&name).or(default) {
                self.global.insert(name, value);
            }
        }
        Ok(())
    }

    fn given(&self, name: &str) -> Option<String> {
        self.request.args.iter().rev().find(|(given, _)| given == name).map(|(_, value)| value.clone())
    }

    fn global_value(&self, name: &str) -> Option<String> {
        let platform =
            PLATFORM.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        self.global.get(name).cloned().or(platform)
    }

    /// Whether some ARG asks for a build argument.
    fn is_declared(&self, name: &str) -> bool {
        let asks = |text: &str| {
            let declares = |word: &str| word.split('=').next() == Some(name);
            text.split_whitespace().any(declares)
        };
        PREDEFINED.contains(&name)
            || self
                .file
                .instructions
                .iter()
                .any(|instruction| matches!(instruction, Instruction::Arg(arg) if asks(&arg.arguments.value)))
    }

    /// The stages that `target` needs, each after those that it needs itself.
    fn needed(&self, parts: &[Part], target: usize) -> Result<BTreeSet<usize>, BuildError> {
        let mut needed = BTreeSet::new();
        let mut todo = vec![target];
        while let Some(index) = todo.pop() {
            if !needed.insert(index) {
                continue;
            }
            for at in parts[index].instructions.clone() {
                let name = match &self.file.instructions[at] {
                    Instruction::From(from) => {
                        word(&from.image.value, self.escape, &|name| self.global_value(name))
                            .map_err(|error| self.at(at, error.into()))?
                    }
                    Instruction::Copy(copy) => match option(&copy.options, "from") {
                        Some(from) => from.to_owned(),
                        None => continue,
                    },
                    _ => continue,
                };
                todo.extend(find_stage(parts, index, &name));
            }
        }
        Ok(needed)
    }

    fn now(&self) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
        timestamp(self.request.epoch.map_or(now, |epoch| now.min(epoch)))
    }

    fn stage(&self, parts: &[Part], index: usize) -> Result<State, BuildError> {
        let part = &parts[index];
        let name = part.name.clone().unwrap_or_else(|| index.to_string());
        let mut state = None;
        for (step, at) in part.instructions.clone().enumerate() {
            let (source, _) = self.source(at);
            let first_line = source.lines().next().unwrap_or_default().trim_end_matches(self.escape);
            eprintln!("[{name} {}/{}] {first_line}", step + 1, part.instructions.len());
            let result = match (&self.file.instructions[at], &mut state) {
                (Instruction::From(from), state) => {
                    let image = word(&from.image.value, self.escape, &|name| self.global_value(name));
                    image
                        .map_err(BuildError::from)
                        .and_then(|image| self.base(parts, index, &image, &from.options))
                        .map(|base| *state = Some(base))
                }
                (instruction, Some(state)) => self.instruction(parts, index, instruction, &source, state),
                (_, None) => Ok(()),
            };
            result.map_err(|error| self.at(at, error))?;
        }
        state.ok_or(BuildError::NoTarget(name))
    }

    /// What a FROM begins with.
    fn base(
        &self,
        parts: &[Part],
        index: usize,
        image: &str,
        options: &[Flag<'_>],
    ) -> Result<State, BuildError> {
        for flag in options {
            match (flag.name.value.as_ref(), flag.value.as_ref().map(|value| value.value.as_ref())) {
                ("platform", Some(platform)) => {
                    let platform = word(platform, self.escape, &|name| self.global_value(name))?;
                    if !matches!(platform.as_str(), "" | "linux/amd64" | "linux/x86_64") {
                        return Err(BuildError::Instruction(format!(
                            "--platform={platform}: guests are linux/amd64"
                        )));
                    }
                }
                (name, _) => return Err(unknown_option(name)),
            }
        }
        if let Some(stage) = find_stage(parts, index, image) {
            let mut state = self.done[&stage].clone();
            state.args.clear();
            return Ok(state);
        }
        let empty = State {
            fs: Fs::empty(),
            layers: Vec::new(),
            config: Config {
                architecture: "amd64".to_owned(),
                os: "linux".to_owned(),
                config: Process { env: vec![DEFAULT_PATH.to_owned()], ..Process::default() },
                rootfs: RootFs { kind: "layers".to_owned(), diff_ids: Vec::new() },
                ..Config::default()
            },
            key: Sha256::digest(b"scratch").into(),
            args: BTreeMap::new(),
        };
        if image == "scratch" {
            return Ok(empty);
        }
        if let Some(root) = image.strip_prefix("rootfs:") {
            return self.root_as_base(root, empty, image);
        }
        let found = self.image(image)?;
        let mut state = State {
            fs: Fs::of_image(&self.request.store.root(&found)?.files)?,
            key: key(&empty.key, &["FROM", &found.id().to_string()]),
            config: found.config.clone(),
            ..empty
        };
        if variable(&state.config.config, "PATH").is_none() {
            state.config.config.env.insert(0, DEFAULT_PATH.to_owned());
        }
        // What the base left to whoever builds on it.
        for trigger in std::mem::take(&mut state.config.config.on_build) {
            eprintln!("  ONBUILD {trigger}");
            let text = format!("FROM scratch\n{trigger}\n");
            let file = parse_dockerfile::parse(&text)
                .map_err(|error| BuildError::Instruction(format!("ONBUILD {trigger}: {error}")))?;
            if let Some(instruction) = file.instructions.get(1) {
                self.instruction(parts, index, instruction, &trigger, &mut state)?;
            }
        }
        Ok(state)
    }

    /// An image of the store, which is fetched where it is not there.
    fn image(&self, name: &str) -> Result<husk_image::Image, BuildError> {
        let wrong = |error| BuildError::NoBase(name.to_owned(), error);
        let is_name = !source::TRANSPORTS.iter().any(|transport| name.starts_with(transport));
        if is_name && let Some(image) = self.request.store.find(name).map_err(wrong)? {
            return Ok(image);
        }
        eprintln!("  fetching {name}");
        let source = source::open(name, &self.request.registry).map_err(wrong)?;
        let names = if is_name { vec![name.parse().map_err(wrong)?] } else { Vec::new() };
        self.session.fetch(source.as_ref(), &names, &Silent).map_err(wrong)
    }

    /// A directory or an EROFS image as the base, which becomes one layer.
    fn root_as_base(&self, root: &str, empty: State, image: &str) -> Result<State, BuildError> {
        let path = self.request.context.join(root);
        let path = if path.is_dir() {
            husk_host::pack::pack_rootfs(&path, &husk_host::pack::default_cache()?)?
        } else {
            path
        };
        let fs = Fs::of_image(std::slice::from_ref(&path))?;
        let bytes = fs::read(&path).map_err(|source| BuildError::Io { path: path.clone(), source })?;
        let mut state = State { key: Sha256::digest(&bytes).into(), ..empty };
        self.layer(&mut state, |_, layer| copy::whole(&fs, layer), &format!("FROM {image}"))?;
        Ok(state)
    }

    /// Does something that changes the root, unless it was done before from the same state; `state.key` must say already
    /// what it is.
    fn layer(
        &self,
        state: &mut State,
        act: impl FnOnce(&State, &mut Writer) -> Result<(), BuildError>,
        source: &str,
    ) -> Result<(), BuildError> {
        let name: String = state.key.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = self.request.cache.join(format!("{name}.layer"));
        let io = |source| BuildError::Io { path: path.clone(), source };
        let layer = Layer::new(path.clone());
        if self.request.use_cache && husk_host::cache::touch(&path) {
            eprintln!("  cached");
        } else {
            let file = tempfile::NamedTempFile::new_in(&self.request.cache).map_err(io)?;
            let latest = self.request.epoch.map(|epoch| epoch.saturating_mul(1_000_000_000));
            let mut writer = Writer::new(file.reopen().map_err(io)?, latest);
            act(state, &mut writer)?;
            writer.finish().map_err(io)?;
            file.persist(&path).map_err(|error| io(error.error))?;
        }
        let changes = layer.changes()?;
        let is_empty = changes.is_empty();
        changes.into_iter().for_each(|(node, bytes)| state.fs.apply(node, bytes));
        if !is_empty {
            state.layers.push(layer);
        }
        self.note(state, source, is_empty);
        Ok(())
    }

    fn note(&self, state: &mut State, source: &str, empty_layer: bool) {
        let entry = History {
            created: Some(self.now()),
            created_by: Some(source.to_owned()),
            author: None,
            comment: Some("husk".to_owned()),
            empty_layer,
        };
        state.config.history.push(entry);
    }

    /// What `name` is in an instruction: the environment counts before build arguments.
    fn value(&self, state: &State, name: &str) -> Option<String> {
        variable(&state.config.config, name).map(str::to_owned).or_else(|| state.args.get(name).cloned())
    }
}

/// A variable of an image's environment.
pub(crate) fn variable<'a>(process: &'a Process, name: &str) -> Option<&'a str> {
    process.env.iter().find_map(|entry| entry.strip_prefix(name)?.strip_prefix('='))
}

/// A path that is relative to the working directory.
fn absolute(workdir: &str, path: &str) -> String {
    let joined = if path.starts_with('/') { path.to_owned() } else { format!("{workdir}/{path}") };
    let slash = if path.ends_with('/') && path.len() > 1 { "/" } else { "" };
    format!("/{}{slash}", copy::clean(&format!("/{joined}")).unwrap_or_default())
}

fn unknown_option(name: &str) -> BuildError {
    BuildError::Instruction(format!("--{name}: this option is not known here"))
}

fn option<'a>(options: &'a [Flag<'_>], name: &str) -> Option<&'a str> {
    let flag = options.iter().find(|flag| flag.name.value == name)?;
    flag.value.as_ref().map(|value| value.value.as_ref())
}

/// An earlier stage by its name or number.
fn find_stage(parts: &[Part], before: usize, name: &str) -> Option<usize> {
    let earlier = &parts[..before];
    let named = earlier.iter().rposition(|part| part.name.as_deref() == Some(&name.to_lowercase()));
    named.or_else(|| name.parse().ok().filter(|index| *index < before))
}

/// The key of a state that follows another by something with these parts.
fn key(before: &[u8; 32], parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"husk build 1\n");
    hash.update(before);
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// Seconds since the epoch as RFC 3339 has them.
fn timestamp(seconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Civil from days, with years that begin in March.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_rfc_3339() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00Z");
        assert_eq!(timestamp(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(timestamp(1_795_839_345), "2026-11-28T04:15:45Z");
    }

    #[test]
    fn paths_are_made_absolute() {
        assert_eq!(absolute("/a", "b"), "/a/b");
        assert_eq!(absolute("", "b/"), "/b/");
        assert_eq!(absolute("/a", "../../x"), "/x");
        assert_eq!(absolute("/a", "/"), "/");
    }
}
