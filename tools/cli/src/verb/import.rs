//! `husk import`: an image from a file, a directory or standard input.

use super::progress::Shown;
use husk_image::{Reference, Store, source};
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// An OCI layout, an archive of `docker save` or `podman save`, or the tar of a root file system (`-`: standard input);
    /// its kind is found out. With a prefix (oci:, oci-archive:, docker-archive:) it is said, with a name inside
    source: String,
    /// The image's name; without it, the one that the source gives
    name: Option<Reference>,
    /// For the tar of a root file system: set part of the configuration, as `CMD ["sh"]`, `ENV A=b`, `ENTRYPOINT`,
    /// `WORKDIR`, `USER`
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let session = Store::open_default()?.session()?;
    let image = match source::of_file(&options.source)? {
        source::Found::Image(source) => {
            if !options.change.is_empty() {
                return Err("import: --change is for the tar of a root file system".into());
            }
            let names: Vec<Reference> =
                options.name.clone().or_else(|| source.reference()).into_iter().collect();
            if names.is_empty() {
                return Err(format!("import: {}: the image has no name: give one", options.source).into());
            }
            session.fetch(source.as_ref(), &names, &Shown::new())
        }
        source::Found::Tar(tar) => {
            let by_file = || Path::new(&options.source).file_stem()?.to_str()?.to_lowercase().parse().ok();
            let name = options.name.clone().or_else(by_file);
            let name =
                name.ok_or_else(|| format!("import: {}: the image has no name: give one", options.source))?;
            session.import_root(tar, &options.change, &name)
        }
    };
    let image = image.map_err(|error| format!("import: {}: {error}", options.source))?;
    println!("{}", image.id());
    Ok(ExitCode::SUCCESS)
}
