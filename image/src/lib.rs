//! Container images: where they come from, the local store, and the root that a guest gets of one.
//!
//! How to use it:
//!
//! ```no_run
//! # fn main() -> Result<(), husk_image::ImageError> {
//! use husk_image::{Store, Reference, source, Silent};
//! let store = Store::open_default()?;
//! // An image by reference, and the files of its root: `files[0]` is the merged metadata, behind it (in this order) the
//! // layers that it points into. A tender maps them one behind the other, each from a whole block on.
//! let image = store.find("alpine:3.20")?.expect("pulled before");
//! let root = store.root(&image)?;
//! println!("{:?} {:?}", image.config.config.entrypoint, root.files);
//! // A new image: a layer from a tar stream on top of another image's.
//! let session = store.session()?;
//! let layer = session.add_layer(std::io::stdin().lock())?;
//! let mut config = image.config.clone();
//! config.rootfs.diff_ids.push(layer.diff_id);
//! let built = session.commit(&config, &["mine:latest".parse::<Reference>()?])?;
//! // Out again, as an OCI layout that podman and skopeo take.
//! store.save(&built, &"oci:/tmp/layout:mine".parse()?, None)?;
//! // And in, from anywhere: `oci:`, `oci-archive:`, `docker-archive:`, `containers-storage:`, `docker-daemon:`, a registry.
//! let source = source::open("oci:/tmp/layout:mine", &source::Options::default())?;
//! session.fetch(source.as_ref(), &[], &Silent)?;
//! # Ok(())
//! # }
//! ```
//!
//! Invariants: a file of the store gets its name when it is whole and synced, and is never changed after; so readers need
//! no lock, and any number of imports may run at once. Content is named by its digest and is checked against it when it
//! comes in. Nothing of an image is unpacked into the host's file system, but for
//! what [`copy_out`] gives to a new volume.

#![deny(unsafe_code)]

pub mod archive;
pub mod config;
mod copy_out;
mod credentials;
mod daemon;
mod digest;
mod error;
pub mod launch;
pub mod layer;
pub mod layout;
pub mod local;
mod map;
mod merge;
pub mod plan;
mod reference;
pub mod registry;
mod save;
pub mod source;
mod store;

pub use config::{Config, Descriptor, Manifest};
pub use copy_out::copy_out;
pub use digest::{Digest, Verified};
pub use error::ImageError;
pub use reference::Reference;
pub use save::Target;
pub use source::{Progress, Silent, Source};
pub use store::{Freed, Image, Removed, Root, Session, Store, Stored};
