//! From what a user wrote behind `husk run` to the plan by which its front starts the guest.

use std::ffi::{CString, OsStr};
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use husk_plan::{ImageRequest, ImageStart, Input, Stamp, encode_image};

use crate::launch::{Launch, is_transport};
use crate::source::{self, Options, Progress};
use crate::store::{Root, Store};
use crate::{ImageError, Reference};

/// What to start.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// As `husk run` got it.
    pub image: &'a str,
    /// `--user`, empty where it was not given.
    pub user: &'a str,
    pub pull: Pull,
}

/// When an image is fetched that may be in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pull {
    Always,
    Missing,
    Never,
}

/// What a plan says that matters to mounts: the root, and where the image wants volumes.
///
/// # Errors
/// [`ImageError::Document`] for what is no plan.
pub fn read(bytes: &[u8]) -> Result<(Root, Vec<Vec<u8>>), ImageError> {
    let plan = husk_plan::ImagePlan::decode(bytes).map_err(|error| ImageError::document("plan", error))?;
    let path = |path: &std::ffi::CStr| PathBuf::from(OsStr::from_bytes(path.to_bytes()));
    let (files, sizes) = plan.files.map(|(file, size)| (path(file), size)).unzip();
    Ok((Root { files, sizes }, plan.volumes.map(|volume| volume.to_bytes().to_vec()).collect()))
}

/// Finds an image in the store, or else brings it there, and makes its plan, which is kept in the user's cache too. The
/// second value says whether the image was in the store.
///
/// # Errors
/// Those of sources, store and launch.
pub fn plan(
    store: &Store,
    request: &Request<'_>,
    options: &Options,
    progress: &dyn Progress,
) -> Result<Vec<u8>, ImageError> {
    // While it lives no other process removes what this one finds.
    let session = store.session()?;
    let (image, inputs) = if is_transport(request.image) {
        let source = source::open(request.image, options)?;
        let image = session.fetch(source.as_ref(), &[], progress)?;
        (image, local_input(request.image))
    } else {
        let name = request.image.parse::<Reference>();
        let found = match request.pull {
            // By an id nothing can be fetched.
            Pull::Always if name.is_ok() => None,
            _ => store.look_up(request.image)?,
        };
        let image = match found {
            Some((image, _)) => image,
            None if request.pull == Pull::Never => {
                return Err(ImageError::Other("it is not in the store, and --pull=never".to_owned()));
            }
            None => {
                let name = request.image.parse()?;
                let source = source::open(request.image, options)?;
                session.fetch(source.as_ref(), &[name], progress)?
            }
        };
        (image, name.ok().map(|name| store.reference(&name)))
    };
    let launch = store.launch(&image, Some(request.user).filter(|user| !user.is_empty()))?;
    let variable = |name| std::env::var_os(name).unwrap_or_default();
    let (data, home) = (variable("XDG_DATA_HOME"), variable("HOME"));
    let directory = if is_transport(request.image) {
        std::env::current_dir().map_err(ImageError::io(Path::new(".")))?
    } else {
        PathBuf::new()
    };
    let asked = ImageRequest {
        image: request.image.as_bytes(),
        user: request.user.as_bytes(),
        directory: directory.as_os_str().as_bytes(),
        data: data.as_bytes(),
        home: home.as_bytes(),
        uid: rustix::process::geteuid().as_raw(),
    };
    let bytes = encode(&asked, &launch, inputs.as_deref());
    if bytes.len() > husk_plan::IMAGE_SIZE_MAX {
        return Err(ImageError::document(request.image, "its environment and arguments are too long"));
    }
    // Where nothing says when the plan is stale, every start asks again.
    if inputs.is_some()
        && let Some(cache) = husk_home::cache()
    {
        let folder = cache.join("run");
        // A cache that cannot be written is a slower start, no failure.
        let kept = fs::create_dir_all(&folder).and_then(|()| tempfile::NamedTempFile::new_in(&folder));
        if let Ok(file) = kept
            && fs::write(file.path(), &bytes).is_ok()
        {
            let name = String::from_utf8_lossy(&asked.file_name()).into_owned();
            let _ = file.persist(folder.join(name));
        }
    }
    Ok(bytes)
}

/// The file whose change makes the plan of a local image stale.
fn local_input(text: &str) -> Option<PathBuf> {
    let (kind, rest) = text.split_once(':')?;
    let whole = Path::new(rest);
    let path = if whole.exists() { whole } else { Path::new(rest.split_once(':')?.0) };
    let path = match kind {
        "oci" => path.join("index.json"),
        "oci-archive" | "docker-archive" => path.to_path_buf(),
        _ => return None,
    };
    fs::canonicalize(path).ok()
}

fn encode(asked: &ImageRequest<'_>, launch: &Launch, input: Option<&Path>) -> Vec<u8> {
    let bytes = |list: &'_ [String]| list.iter().map(|text| text.clone().into_bytes()).collect::<Vec<_>>();
    let lists = [bytes(&launch.entrypoint), bytes(&launch.cmd), bytes(&launch.env), bytes(&launch.volumes)];
    let [entrypoint, cmd, env, volumes] =
        lists.each_ref().map(|list| list.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let files: Vec<(&[u8], u64)> = launch
        .root
        .files
        .iter()
        .zip(&launch.root.sizes)
        .map(|(path, size)| (path.as_os_str().as_bytes(), *size))
        .collect();
    let start = ImageStart {
        files: &files,
        entrypoint: &entrypoint,
        cmd: &cmd,
        env: &env,
        cwd: launch.cwd.as_bytes(),
        uid: launch.user.uid,
        gid: launch.user.gid,
        groups: &launch.user.groups,
        stop_signal: launch.stop_signal,
        volumes: &volumes,
    };
    let path = input.and_then(|path| CString::new(path.as_os_str().as_bytes()).ok());
    let stamp = input.and_then(|path| fs::metadata(path).ok()).map(|stat| stamp(&stat));
    let inputs: Vec<Input<'_>> = path.iter().map(|path| Input { path, stamp }).collect();
    let mut all = Vec::new();
    encode_image(asked, &start, &inputs, |piece| all.extend_from_slice(piece));
    all
}

fn stamp(stat: &Metadata) -> Stamp {
    let ns = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
    Stamp {
        device: husk_plan::device(rustix::fs::major(stat.dev()), rustix::fs::minor(stat.dev())),
        ino: stat.ino(),
        size: stat.size(),
        mtime_ns: ns(stat.mtime(), stat.mtime_nsec()),
        ctime_ns: ns(stat.ctime(), stat.ctime_nsec()),
    }
}
