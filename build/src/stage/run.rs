//! RUN: a command in a guest, whose changes become a layer.

use super::instruction::shell;
use super::{Build, DEFAULT_PATH, PREDEFINED, State, absolute, key, unknown_option};
use crate::fs::Fs;
use crate::layer::Writer;
use crate::{BuildError, copy, users};
use husk_host::guest::{Run, Stdin};
use parse_dockerfile::Command;
use std::ffi::OsString;

impl Build<'_> {
    pub(super) fn run(
        &self,
        state: &mut State,
        run: &parse_dockerfile::RunInstruction<'_>,
        source: &str,
    ) -> Result<(), BuildError> {
        for flag in &run.options {
            let value = flag.value.as_ref().map_or("", |value| value.value.as_ref());
            match (flag.name.value.as_ref(), value) {
                ("network", "none" | "default") | ("security", "sandbox") => {}
                ("network" | "security", _) => {
                    return Err(BuildError::Instruction(format!(
                        "--{}={value}: guests have no such thing",
                        flag.name.value
                    )));
                }
                (name, _) => return Err(unknown_option(name)),
            }
        }
        let process = &state.config.config;
        let mut stdin = Vec::new();
        let words: Vec<String> = match (&run.arguments, &run.here_docs[..]) {
            (Command::Exec(words), _) => words.value.iter().map(|word| word.value.to_string()).collect(),
            (Command::Shell(text), []) => {
                let mut words = shell(process);
                words.push(self.unfold(text.value));
                words
            }
            (Command::Shell(text), [document]) if is_script(text.value) => {
                let script = document.value.to_string();
                match script.strip_prefix("#!").and_then(|line| line.lines().next()) {
                    // A script of its own interpreter is given to that.
                    Some(interpreter) => {
                        stdin = script.clone().into_bytes();
                        interpreter.split_whitespace().map(str::to_owned).collect()
                    }
                    None => {
                        let mut words = shell(process);
                        words.push(script);
                        words
                    }
                }
            }
            (Command::Shell(text), [document]) => {
                stdin = document.value.as_bytes().to_vec();
                let before = text.value.split("<<").next().unwrap_or_default();
                let mut words = shell(process);
                words.push(self.unfold(before));
                words
            }
            _ => return Err(BuildError::Instruction("RUN takes one here-document".to_owned())),
        };
        let user = users::find(&state.fs, &process.user, false)?;
        let mut env = state.args.clone();
        for (name, value) in self.request.args.iter().filter(|(name, _)| PREDEFINED.contains(&name.as_str()))
        {
            env.insert(name.clone(), value.clone());
        }
        env.entry("HOME".to_owned()).or_insert(user.home.clone());
        for entry in std::iter::once(DEFAULT_PATH).chain(process.env.iter().map(String::as_str)) {
            if let Some((name, value)) = entry.split_once('=') {
                env.insert(name.to_owned(), value.to_owned());
            }
        }
        let env: Vec<String> = env.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        let workdir = if process.working_dir.is_empty() { "/" } else { &process.working_dir };
        let mut parts = vec!["RUN", workdir, &process.user];
        parts.extend(words.iter().map(String::as_str));
        parts.push("");
        parts.extend(env.iter().map(String::as_str));
        let document = String::from_utf8_lossy(&stdin).into_owned();
        parts.push(&document);
        let new_key = key(&state.key, &parts);
        let ids = (user.uid, user.gid);
        let (workdir, before) = (workdir.to_owned(), state.key);
        state.key = new_key;
        let result = self.layer(
            state,
            |state, layer| self.run_in_guest(state, layer, &words, &env, &workdir, ids, &stdin),
            source,
        );
        if result.is_err() {
            state.key = before;
        }
        result
    }

    #[expect(clippy::too_many_arguments, reason = "all that a command is run with")]
    fn run_in_guest(
        &self,
        state: &State,
        layer: &mut Writer,
        words: &[String],
        env: &[String],
        workdir: &str,
        (uid, gid): (u32, u32),
        stdin: &[u8],
    ) -> Result<(), BuildError> {
        let path = env.iter().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or_default();
        let program = words.first().ok_or_else(|| BuildError::Instruction("RUN runs nothing".to_owned()))?;
        let program = find_program(&state.fs, program, path, workdir).ok_or(BuildError::Run {
            code: 127,
            note: ": there is no such program in the image (a base made `FROM scratch` has not even a shell)",
        })?;
        // The layers as they lie in the store: a base is not copied, however big it is.
        let mut diff_ids = state.config.rootfs.diff_ids.clone();
        for layer in &state.layers {
            diff_ids.push(layer.stored(&self.session)?);
        }
        let merged = self.scratch.path().join("root.erofs");
        let root = self.request.store.root_at(&diff_ids, merged)?;
        let mut options = self.request.run_options.clone();
        options.extend(["--no-inherit-env", "--workdir", workdir].map(OsString::from));
        options.extend([OsString::from("--user"), format!("{uid}:{gid}").into()]);
        for entry in env {
            options.extend([OsString::from("--env"), entry.into()]);
        }
        let mut command: Vec<OsString> = words.iter().map(OsString::from).collect();
        command[0] = program.into();
        let run = Run {
            front: &self.request.front,
            image: &root.files,
            command: &command,
            options,
            record: true,
            export: true,
            capture: husk_host::guest::Output::Stderr,
            stdin: if stdin.is_empty() { Stdin::Null } else { Stdin::Bytes(stdin) },
        };
        let outcome = run.run(layer)?;
        match outcome.exit_code {
            0 => Ok(()),
            code => {
                // connect, sendto, sendmsg, sendmmsg: it wanted to reach somebody.
                let tried = [42, 44, 46, 307].iter().any(|call| outcome.record.calls.contains(*call));
                let note = if tried {
                    "; guests have no outside network yet: if it was to download, fetch before and COPY"
                } else {
                    ""
                };
                Err(BuildError::Run { code, note })
            }
        }
    }
}

/// Whether all that RUN says is a here-document, which then is a script.
fn is_script(text: &str) -> bool {
    let text = text.trim();
    text.is_empty() || text.starts_with("<<")
}

/// The absolute path of a program in an image.
pub(crate) fn find_program(fs: &Fs, name: &str, path: &str, workdir: &str) -> Option<String> {
    let is_there = |path: &String| {
        let real = copy::clean(path).and_then(|path| fs.resolve(path.as_bytes()));
        real.is_some_and(|real| fs.get(&real).is_some() && !fs.is_directory(&real))
    };
    if name.contains('/') {
        return Some(absolute(workdir, name)).filter(is_there);
    }
    path.split(':')
        .filter(|dir| dir.starts_with('/'))
        .map(|dir| format!("{}/{name}", dir.trim_end_matches('/')))
        .find(is_there)
}
