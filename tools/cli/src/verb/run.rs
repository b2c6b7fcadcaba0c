//! `husk run` and `husk trace` are the front's own. Here they are declared, from the front's tables, for help and
//! completions; whoever starts this program with them is sent to the front.

use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches};
use husk_options::{Opt, RUN, TRACE};
use husk_volume::Access;
use husk_volume::mount::{self, Mount, Refused};
use husk_volume::ring::Wake;
use husk_volume::start;
use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::ExitCode;

const EXIT_CODES: &str = "\
Exit status: the program's own; 128 + n when signal n ended it; 127 no such program; 126 it cannot be executed; \
125 Husk itself failed.";

fn declare(mut command: Command, tables: &[&'static [Opt]]) -> Command {
    let mut shorts = Vec::new();
    for option in tables.iter().flat_map(|table| table.iter()) {
        let id = option.long.unwrap_or(option.help);
        let mut argument = Arg::new(id).help(option.help).hide(option.hidden);
        argument = match option.value {
            Some(value) if option.switch => argument
                .value_name(value)
                .value_parser(clap::value_parser!(OsString))
                .num_args(0..=1)
                .require_equals(true),
            Some(value) => argument.value_name(value).value_parser(clap::value_parser!(OsString)),
            None => argument.action(ArgAction::SetTrue),
        };
        if option.many {
            argument = argument.action(ArgAction::Append);
        }
        if let Some(long) = option.long {
            argument = argument.long(long);
        }
        if let Some(short) = option.short.filter(|short| !shorts.contains(short)) {
            argument = argument.short(short);
            shorts.push(short);
        }
        command = command.arg(argument);
    }
    let program = Arg::new("PROGRAM")
        .help("The program: a path, or a name to be found in PATH")
        .value_parser(clap::value_parser!(OsString))
        .required(true);
    let arguments = Arg::new("ARGS")
        .help("Its arguments")
        .value_parser(clap::value_parser!(OsString))
        .num_args(0..)
        .trailing_var_arg(true)
        .allow_hyphen_values(true);
    command.arg(program).arg(arguments).after_help(EXIT_CODES)
}

macro_rules! verb {
    ($name:ident, $tables:expr) => {
        pub(crate) struct $name(ArgMatches);

        impl clap::Args for $name {
            fn augment_args(command: Command) -> Command {
                declare(command, $tables)
            }

            fn augment_args_for_update(command: Command) -> Command {
                Self::augment_args(command)
            }
        }

        impl FromArgMatches for $name {
            fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
                Ok(Self(matches.clone()))
            }

            fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
                self.0 = matches.clone();
                Ok(())
            }
        }

        impl $name {
            /// Prepares what is to be mounted, and becomes the front.
            pub(crate) fn run(&self) -> Result<ExitCode, Box<dyn Error>> {
                become_front(&self.0)
            }
        }
    };
}

verb!(Run, &[RUN]);
verb!(Trace, &[TRACE, RUN]);

type Parse = fn(&OsStr) -> Result<Mount, Refused>;

/// The front reads the command line itself: it is given it as it is, and in front what the mounts became.
fn become_front(matches: &ArgMatches) -> Result<ExitCode, Box<dyn Error>> {
    let own = std::env::current_exe()?;
    let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let mut mounts = Vec::new();
    let options: [(&str, Parse); 3] =
        [("volume", mount::parse_volume), ("mount", mount::parse_mount), ("tmpfs", mount::parse_tmpfs)];
    for (option, parse) in options {
        for value in matches.get_many::<OsString>(option).into_iter().flatten() {
            mounts.push(parse(value).map_err(|refused| format!("run: {refused}"))?);
        }
    }
    if !mounts.is_empty() {
        let image = match matches.get_one::<OsString>("plan") {
            Some(fd) => {
                let path = Path::new("/proc/self/fd").join(fd);
                let plan = std::fs::read(path).map_err(|error| format!("run: the image's plan: {error}"))?;
                Some(husk_image::plan::read(&plan)?)
            }
            None => None,
        };
        for target in image.iter().flat_map(|(_, volumes)| volumes) {
            if mounts.iter().all(|mount| mount.target != *target) {
                let (source, access) = (mount::Source::Anonymous, Access::ReadWrite);
                mounts.push(Mount { source, target: target.clone(), access, copies: true });
            }
        }
        let fill = |target: &[u8], to: &Path| match &image {
            Some((root, _)) => Ok(husk_image::copy_out(root, &String::from_utf8_lossy(target), to)?),
            None => Ok(false),
        };
        let is_kvm = matches.get_one::<OsString>("tender").is_some_and(|tender| tender == "kvm");
        let wake = if is_kvm { Wake::Counter } else { Wake::Futex };
        let prepared = start::prepare(mounts, wake, (&own, super::SERVE_VOLUMES), &fill);
        let numbers =
            prepared.and_then(start::Prepared::hand_over).map_err(|error| format!("run: {error}"))?;
        arguments.splice(1..1, ["--mounts".into(), numbers.into()]);
    }
    let front = own.with_file_name("husk");
    let error = std::process::Command::new(&front).args(arguments).exec();
    Err(format!("{}: {error}", front.display()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_in_the_help() {
        for tables in [[RUN].as_slice(), [TRACE, RUN].as_slice()] {
            let help = declare(Command::new("husk"), tables).render_long_help().to_string();
            for option in tables.iter().flat_map(|table| table.iter()).filter(|option| !option.hidden) {
                let name = format!("--{}", option.long.unwrap_or_default());
                assert!(help.contains(&name), "{name} is not in:\n{help}");
            }
            declare(Command::new("husk"), tables).debug_assert();
        }
    }
}
