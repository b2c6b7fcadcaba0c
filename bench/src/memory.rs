//! Memory of an idle guest, and sizes on disk.

use crate::Bench;
use crate::report::{Figure, Row};
use crate::sample::Summary;
use crate::start::Idle;
use object::read::elf::{ElfFile64, ProgramHeader};
use std::path::Path;
use std::process::Command;

/// Idle guests that are measured at once: what they share counts in parts.
const GUESTS: [usize; 2] = [1, 10];

pub(crate) fn measure(bench: &Bench, husk: &Path) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    for count in GUESTS {
        let name = format!("PSS of an idle guest beyond native, {count} running");
        if bench.wanted(&name) {
            rows.push(idle(bench, name, count)?);
        }
    }
    if bench.wanted("size of tenders and kernel") {
        rows.push(size(bench, husk)?);
    }
    Ok(rows)
}

fn idle(bench: &Bench, name: String, count: usize) -> Result<Row, String> {
    let mut figures = Vec::new();
    let mut native = 0.0;
    for variant in &bench.variants.main {
        let idle = match Idle::start(bench, variant, count) {
            Ok(idle) => idle,
            Err(error) => {
                figures.push(Figure::absent(variant.name, &error));
                continue;
            }
        };
        let sizes = idle.processes().iter().map(|group| group.iter().map(|pid| pss(*pid)).sum()).collect();
        let Some(Summary { least, median }) = Summary::of(sizes) else { continue };
        let is_native = variant.name == "native";
        if is_native {
            native = median;
        }
        let beyond = if is_native { 0.0 } else { native };
        figures.push(Figure {
            variant: variant.name.to_owned(),
            value: Some(Summary { least: least - beyond, median: median - beyond }),
            cpu: None,
            note: None,
            target: (!is_native).then_some(1024.0),
        });
    }
    Ok(Row { name, unit: "KiB", figures })
}

/// Proportional set size in KiB.
fn pss(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0.0)
}

fn size(bench: &Bench, husk: &Path) -> Result<Row, String> {
    let stripped = bench.work.path("husk-stripped");
    let status = Command::new("strip").arg("-o").arg(&stripped).arg(husk).status();
    if !status.is_ok_and(|status| status.success()) {
        return Err("strip: failed (it comes with binutils)".to_owned());
    }
    let file = std::fs::read(&stripped).map_err(|error| format!("{}: {error}", stripped.display()))?;
    let elf = ElfFile64::<object::Endianness>::parse(&*file)
        .map_err(|error| format!("{}: {error}", stripped.display()))?;
    let loaded: u64 = elf.elf_program_headers().iter().map(|header| header.p_filesz(elf.endian())).sum();
    let figure = |variant: &str, bytes: u64| {
        let kib = bytes as f64 / 1024.0;
        let value = Some(Summary { least: kib, median: kib });
        Figure { variant: variant.to_owned(), value, cpu: None, note: None, target: Some(2048.0) }
    };
    let figures = vec![figure("husk, stripped", file.len() as u64), figure("of that loaded", loaded)];
    Ok(Row { name: "size of tenders and kernel".to_owned(), unit: "KiB", figures })
}
