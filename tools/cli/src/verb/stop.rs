//! `husk stop`: ends guests, gently at first.

use husk_host::running;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

/// Sends each guest its stop signal (SIGTERM, or what its image says), and kills it if it is still there after a while.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Guests, as `husk ps` calls them
    #[arg(required = true)]
    ids: Vec<String>,
    /// How long a guest may take to end before it is killed
    #[arg(short, long, default_value_t = 10, value_name = "SECONDS")]
    time: u32,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let patience = Duration::from_secs(options.time.into());
    let stop = |id: &String| running::find(id).and_then(|guest| guest.stop(patience));
    // At the same time, as each may use all of its time.
    let results: Vec<_> = std::thread::scope(|scope| {
        let started: Vec<_> = options.ids.iter().map(|id| scope.spawn(move || stop(id))).collect();
        started.into_iter().map(|thread| thread.join().expect("stopping a guest does not panic")).collect()
    });
    let mut code = ExitCode::SUCCESS;
    for (id, result) in options.ids.iter().zip(results) {
        match result {
            Ok(()) => println!("{id}"),
            Err(error) => {
                eprintln!("husk: stop: {error}");
                code = ExitCode::from(1);
            }
        }
    }
    Ok(code)
}
