//! The assembler: puts the machine and the Linux personality together as one kernel image.
//!
//! The build of `husk` compiles this crate with `--cfg husk_image` and links it by `kernel.ld`; without that flag it is
//! empty, so that the workspace builds and tests as ordinary programs do.
#![cfg_attr(husk_image, no_std)]

#[cfg(husk_image)]
mod image {
    husk_freestanding::memory_functions!();

    use husk_machine::personality::Personality;

    // SAFETY: the machine declares the same name with the same type.
    #[unsafe(no_mangle)]
    static HUSK_PERSONALITY: &dyn Personality = &husk_kernel::Linux;
}
