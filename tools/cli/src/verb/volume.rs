//! `husk volume`: named volumes.

use husk_volume::store::{Held, Store, Volume};
use std::error::Error;
use std::io::Read;
use std::process::ExitCode;
use std::time::UNIX_EPOCH;

use super::Format;

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Make a volume, and print its name
    Create {
        /// One of letters and digits by chance, if it is left out
        name: Option<String>,
    },
    /// List the volumes
    #[command(alias = "list")]
    Ls {
        /// Print names only
        #[arg(short, long)]
        quiet: bool,
        #[arg(long, value_enum, default_value = "table")]
        format: Format,
    },
    /// Remove volumes and all that is in them
    #[command(alias = "remove")]
    Rm {
        /// Do not mind volumes that are not there
        #[arg(short, long)]
        force: bool,
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Say where volumes are, as JSON
    Inspect {
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Remove all volumes that no guest uses
    Prune {
        /// Do not ask
        #[arg(short, long)]
        force: bool,
    },
}

fn describe(volume: &Volume) -> serde_json::Value {
    let created = volume.created.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    serde_json::json!({
        "Name": volume.name,
        "Mountpoint": volume.data,
        "CreatedAt": created.map(|since| since.as_secs()),
    })
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    act(&options.verb).map_err(|error| format!("volume: {error}").into())
}

fn act(verb: &Verb) -> Result<ExitCode, Box<dyn Error>> {
    let store = Store::open_default()?;
    match verb {
        Verb::Create { name } => {
            let name = match name {
                Some(name) => name.clone(),
                None => by_chance()?,
            };
            let Held { volume, .. } = store.hold(&name)?;
            println!("{}", volume.name);
        }
        Verb::Ls { quiet: true, .. } => store.list()?.iter().for_each(|volume| println!("{}", volume.name)),
        Verb::Ls { format: Format::Json, .. } => {
            let all: Vec<_> = store.list()?.iter().map(describe).collect();
            println!("{}", serde_json::to_string_pretty(&all)?);
        }
        Verb::Ls { .. } => {
            let all = store.list()?;
            let width = all.iter().map(|volume| volume.name.len()).fold("VOLUME NAME".len(), usize::max);
            println!("{:width$}  MOUNTPOINT", "VOLUME NAME");
            all.iter().for_each(|volume| println!("{:width$}  {}", volume.name, volume.data.display()));
        }
        Verb::Rm { force, names } => {
            let mut code = ExitCode::SUCCESS;
            for name in names {
                match store.remove(name) {
                    Ok(()) => println!("{name}"),
                    Err(husk_volume::store::StoreError::Unknown(_)) if *force => {}
                    Err(error) => {
                        eprintln!("husk: volume: {error}");
                        code = ExitCode::FAILURE;
                    }
                }
            }
            return Ok(code);
        }
        Verb::Inspect { names } => {
            let all = names.iter().map(|name| store.get(name).map(|volume| describe(&volume)));
            println!("{}", serde_json::to_string_pretty(&all.collect::<Result<Vec<_>, _>>()?)?);
        }
        Verb::Prune { force } => {
            let mut unused = store.list()?;
            unused.retain(|volume| store.is_used(&volume.name).is_ok_and(|used| !used));
            if unused.is_empty() {
                return Ok(ExitCode::SUCCESS);
            }
            if !force {
                let names: Vec<&str> = unused.iter().map(|volume| volume.name.as_str()).collect();
                eprint!("This removes {} and all that is in them. Go on? [y/N] ", names.join(", "));
                let mut answer = String::new();
                std::io::stdin().read_line(&mut answer)?;
                if !matches!(answer.trim(), "y" | "Y" | "yes") {
                    return Ok(ExitCode::FAILURE);
                }
            }
            for volume in unused {
                store.remove(&volume.name)?;
                println!("{}", volume.name);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A name for a volume that was given none.
fn by_chance() -> std::io::Result<String> {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
