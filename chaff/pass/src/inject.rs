use std::path::PathBuf;
#[derive(clap::Args)]
pub(crate) struct Order {
    program: PathBuf,
}
pub(crate) fn inject(_: &Order) -> anyhow::Result<()> {
    Ok(())
}
