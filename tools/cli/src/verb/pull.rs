//! `husk pull`: an image into the store.

use super::progress::Shown;
use husk_image::{Reference, Store, source};
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

/// How to reach a registry.
#[derive(clap::Args)]
pub(crate) struct Registry {
    /// Require HTTPS with a known certificate (the default but for loopback), or with `=false` do not
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    tls_verify: Option<bool>,
    /// In place of what `podman login` or `docker login` left
    #[arg(long, value_name = "USER:PASSWORD")]
    creds: Option<String>,
    /// A file with credentials, as `podman login` writes it
    #[arg(long, value_name = "FILE")]
    authfile: Option<PathBuf>,
    /// A folder with certificates of authorities (*.crt)
    #[arg(long, value_name = "DIR")]
    cert_dir: Option<PathBuf>,
}

impl Registry {
    pub(crate) fn options(&self) -> source::Options {
        source::Options {
            tls_verify: self.tls_verify,
            credentials: self.creds.clone(),
            auth_file: self.authfile.clone(),
            certificates: self.cert_dir.clone(),
        }
    }
}

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    registry: Registry,
    /// Print only the image's id
    #[arg(short, long)]
    quiet: bool,
    /// Of an image for several platforms take this one: linux/amd64, which is what guests run
    #[arg(long)]
    platform: Option<String>,
    /// NAME[:TAG][@DIGEST], or a place as oci:DIR[:TAG], oci-archive:FILE, docker-archive:FILE,
    /// containers-storage:NAME (podman), docker-daemon:NAME
    #[arg(required = true)]
    image: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    options.platform.as_deref().map_or(Ok(()), husk_image::config::check_platform)?;
    let session = Store::open_default()?.session()?;
    for text in &options.image {
        let source = source::open(text, &options.registry.options())?;
        let names: Vec<Reference> = source.reference().into_iter().collect();
        let image = if options.quiet {
            session.fetch(source.as_ref(), &names, &husk_image::Silent)
        } else {
            session.fetch(source.as_ref(), &names, &Shown::new())
        };
        let image = image.map_err(|error| format!("pull: {error}"))?;
        println!("{}", image.id());
    }
    Ok(ExitCode::SUCCESS)
}
