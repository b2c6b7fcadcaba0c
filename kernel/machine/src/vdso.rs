//! The vDSO image that `build.rs` links from `vdso/`.

/// What the image holds in place of the kernel's entry address.
const ENTER_PLACE: [u8; 8] = *b"huskentr";

static IMAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/vdso.so"));

/// Bytes of the image; it fits a page.
pub const LEN: usize = IMAGE.len();

const _: () = assert!(LEN <= husk_abi::layout::PAGE_SIZE);

/// Writes the image, ready to be mapped, to the front of `page`.
pub fn write(page: &mut [u8]) {
    let page = &mut page[..LEN];
    page.copy_from_slice(IMAGE);
    let place = page.windows(8).position(|bytes| bytes == ENTER_PLACE).expect("the image has a place for it");
    page[place..place + 8].copy_from_slice(&crate::patch::enter_address().to_le_bytes());
}
