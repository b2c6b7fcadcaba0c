//! What each instruction does to a stage. Those that change files are their own modules' and `layer`'s.

use super::{Build, Part, State, absolute, key, unknown_option};
use crate::BuildError;
use crate::copy;
use crate::expand::{pairs, word};
use husk_image::config::Process;
use parse_dockerfile::{Command, Flag, HealthcheckArguments, Instruction, JsonOrStringArray};
use serde_json::json;

impl Build<'_> {
    pub(super) fn instruction(
        &self,
        parts: &[Part],
        stage: usize,
        instruction: &Instruction<'_>,
        source: &str,
        state: &mut State,
    ) -> Result<(), BuildError> {
        let expand = |state: &State, text: &str| {
            word(text, self.escape, &|name| self.value(state, name)).map_err(BuildError::from)
        };
        let expanded_words = |state: &State, text: &str| {
            crate::expand::words(text, self.escape, &|name| self.value(state, name)).map_err(BuildError::from)
        };
        let expanded_pairs = |state: &State, text: &str| {
            pairs(text, self.escape, &|name| self.value(state, name), true).map_err(BuildError::from)
        };
        match instruction {
            Instruction::Run(run) => return self.run(state, run, source),
            Instruction::Copy(copy) => {
                return self.copy(
                    parts,
                    stage,
                    state,
                    "COPY",
                    &copy.options,
                    &copy.src,
                    &copy.dest.value,
                    source,
                );
            }
            Instruction::Add(add) => {
                return self.copy(
                    parts,
                    stage,
                    state,
                    "ADD",
                    &add.options,
                    &add.src,
                    &add.dest.value,
                    source,
                );
            }
            Instruction::Workdir(workdir) => {
                let path = expand(state, &workdir.arguments.value)?;
                let path = absolute(&state.config.config.working_dir, &path);
                state.config.config.working_dir.clone_from(&path);
                state.key = key(&state.key, &["WORKDIR", &path]);
                return self.layer(
                    state,
                    |state, layer| copy::make_directory(&state.fs, &path, layer),
                    source,
                );
            }
            Instruction::Arg(arg) => {
                for declared in expanded_words(state, &arg.arguments.value)? {
                    let (name, default) = match declared.split_once('=') {
                        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                        None => (declared, None),
                    };
                    if let Some(value) = self.given(&name).or(default).or_else(|| self.global_value(&name)) {
                        state.args.insert(name, value);
                    }
                }
            }
            Instruction::Env(env) => {
                for (name, value) in expanded_pairs(state, &env.arguments.value)? {
                    set_variable(&mut state.config.config, &name, &value);
                }
            }
            Instruction::Label(label) => {
                let labels = expanded_pairs(state, &label.arguments.value)?;
                state.config.config.labels.extend(labels);
            }
            Instruction::Expose(expose) => {
                for port in &expose.arguments {
                    for port in expanded_words(state, &port.value)? {
                        let port = if port.contains('/') { port } else { format!("{port}/tcp") };
                        state.config.config.exposed_ports.insert(port, json!({}));
                    }
                }
            }
            Instruction::Volume(volume) => {
                let volumes: Vec<&str> = match &volume.arguments {
                    JsonOrStringArray::Json(array) => {
                        array.value.iter().map(|item| item.value.as_ref()).collect()
                    }
                    JsonOrStringArray::String(items) => {
                        items.iter().map(|item| item.value.as_ref()).collect()
                    }
                };
                for volume in volumes {
                    let volume = expand(state, volume)?;
                    state.config.config.volumes.insert(volume, json!({}));
                }
            }
            Instruction::User(user) => {
                state.config.config.user = expand(state, &user.arguments.value)?;
            }
            Instruction::Stopsignal(signal) => {
                state.config.config.stop_signal = expand(state, &signal.arguments.value)?;
            }
            Instruction::Shell(shell) => {
                state.config.config.shell =
                    shell.arguments.iter().map(|word| word.value.to_string()).collect();
            }
            Instruction::Cmd(cmd) => {
                state.config.config.cmd = self.command(state, &cmd.arguments);
            }
            Instruction::Entrypoint(entrypoint) => {
                state.config.config.entrypoint = self.command(state, &entrypoint.arguments);
                // A CMD of the base belonged to another program.
                state.config.config.cmd.clear();
            }
            Instruction::Healthcheck(check) => {
                state.config.config.healthcheck = Some(self.healthcheck(&check.options, &check.arguments)?);
            }
            Instruction::Maintainer(maintainer) => {
                state.config.author = Some(maintainer.name.value.to_string());
            }
            Instruction::Onbuild(_) => {
                let rest = source.split_once(char::is_whitespace).map_or("", |(_, rest)| rest.trim());
                state.config.config.on_build.push(rest.to_owned());
            }
            _ => return Err(BuildError::Instruction("this instruction is not known".to_owned())),
        }
        state.key = key(&state.key, &[source]);
        self.note(state, source, true);
        Ok(())
    }

    /// The words of CMD and ENTRYPOINT.
    fn command(&self, state: &State, command: &Command<'_>) -> Vec<String> {
        match command {
            Command::Exec(words) => words.value.iter().map(|word| word.value.to_string()).collect(),
            Command::Shell(text) => {
                let mut words = shell(&state.config.config);
                words.push(self.unfold(text.value));
                words
            }
            _ => Vec::new(),
        }
    }

    /// A shell's line without the ends of lines that the escape character took away, and without comments between.
    pub(super) fn unfold(&self, text: &str) -> String {
        let mut line = String::new();
        for part in text.lines() {
            if !line.is_empty() && part.trim_start().starts_with('#') {
                continue;
            }
            match part.trim_end().strip_suffix(self.escape) {
                Some(part) => line.push_str(part),
                None => {
                    line.push_str(part);
                    line.push('\n');
                }
            }
        }
        line.trim_end_matches('\n').to_owned()
    }

    fn healthcheck(
        &self,
        options: &[Flag<'_>],
        arguments: &HealthcheckArguments<'_>,
    ) -> Result<serde_json::Value, BuildError> {
        let test: Vec<String> = match arguments {
            HealthcheckArguments::Cmd { arguments: Command::Exec(words), .. } => {
                std::iter::once("CMD".to_owned())
                    .chain(words.value.iter().map(|word| word.value.to_string()))
                    .collect()
            }
            HealthcheckArguments::Cmd { arguments: Command::Shell(text), .. } => {
                vec!["CMD-SHELL".to_owned(), self.unfold(text.value)]
            }
            _ => vec!["NONE".to_owned()],
        };
        let mut check = json!({"Test": test});
        for flag in options {
            let value = flag.value.as_ref().map_or("", |value| value.value.as_ref());
            let wrong = || {
                BuildError::Instruction(format!("--{}={value}: the value is not understood", flag.name.value))
            };
            let (name, number) = match flag.name.value.as_ref() {
                "interval" => ("Interval", duration(value)),
                "timeout" => ("Timeout", duration(value)),
                "start-period" => ("StartPeriod", duration(value)),
                "start-interval" => ("StartInterval", duration(value)),
                "retries" => ("Retries", value.parse().ok()),
                name => return Err(unknown_option(name)),
            };
            check[name] = number.ok_or_else(wrong)?.into();
        }
        Ok(check)
    }
}

fn set_variable(process: &mut Process, name: &str, value: &str) {
    let entry = format!("{name}={value}");
    match process.env.iter_mut().find(|entry| entry.split('=').next() == Some(name)) {
        Some(known) => *known = entry,
        None => process.env.push(entry),
    }
}

/// The shell of RUN, CMD and ENTRYPOINT.
pub(super) fn shell(process: &Process) -> Vec<String> {
    if process.shell.is_empty() { vec!["/bin/sh".to_owned(), "-c".to_owned()] } else { process.shell.clone() }
}

/// A duration as Go writes it, `1m30s`, in nanoseconds.
fn duration(text: &str) -> Option<u64> {
    let mut total = 0_f64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|end: char| !end.is_ascii_digit() && end != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|end: char| end.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        total += number * unit;
        rest = &rest[end..];
    }
    (!text.is_empty()).then_some(total as u64)
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn durations_are_those_of_go() {
        assert_eq!(duration("1m30s"), Some(90_000_000_000));
        assert_eq!(duration("1.5s"), Some(1_500_000_000));
        assert_eq!(duration("5"), None);
        assert_eq!(duration(""), None);
    }
}
