//! `husk ps`: the guests that run.

use std::error::Error;
use std::process::ExitCode;
use std::time::SystemTime;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How to print them
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Table,
    Json,
}

#[derive(serde::Serialize)]
struct Row {
    id: String,
    pid: u64,
    tender: String,
    state: &'static str,
    started: u64,
    program: String,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let guests = husk_host::running::list().map_err(|error| format!("ps: {error}"))?;
    let rows: Vec<Row> = guests
        .iter()
        .map(|guest| Row {
            id: guest.id.clone(),
            pid: guest.pid(),
            tender: guest.tender(),
            state: "running",
            started: seconds(guest.started().duration_since(SystemTime::UNIX_EPOCH)),
            program: guest.program().to_string_lossy().into_owned(),
        })
        .collect();
    if options.format == Format::Json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(ExitCode::SUCCESS);
    }
    println!("{:<16} {:>8} {:<8} {:<8} {:>8}  PROGRAM", "ID", "PID", "TENDER", "STATE", "AGE");
    for (row, guest) in rows.iter().zip(&guests) {
        let age = format!("{}s", seconds(SystemTime::now().duration_since(guest.started())));
        let Row { id, pid, tender, state, program, .. } = row;
        println!("{id:<16} {pid:>8} {tender:<8} {state:<8} {age:>8}  {}", program.escape_debug());
    }
    Ok(ExitCode::SUCCESS)
}

fn seconds<E>(duration: Result<std::time::Duration, E>) -> u64 {
    duration.map_or(0, |duration| duration.as_secs())
}
