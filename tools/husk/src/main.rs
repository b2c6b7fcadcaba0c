//! `husk`: the front. Its fast path, `husk run` of a program that was packed before, reaches the guest without a libc.
#![no_std]
#![no_main]

mod app;
mod args;
mod bound;
mod cli;
mod control;
mod cpuid;
mod env_file;
mod image;
mod info;
mod path;
mod restore;
mod root;
mod run;
mod start;
mod terminal;

husk_freestanding::memory_functions!();

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    struct Stderr;
    impl core::fmt::Write for Stderr {
        fn write_str(&mut self, text: &str) -> core::fmt::Result {
            husk_tender::host::print(text.as_bytes());
            Ok(())
        }
    }
    let _ = core::fmt::write(&mut Stderr, format_args!("husk: {info}\n"));
    husk_tender::host::exit(125)
}
