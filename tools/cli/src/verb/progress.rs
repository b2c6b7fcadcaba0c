//! How an import goes on, on stderr: bars on a terminal, a line for each layer elsewhere.

use husk_image::{Descriptor, Progress};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::sync::Mutex;

/// Bars or lines.
pub(crate) struct Shown {
    is_terminal: bool,
    bars: MultiProgress,
    layers: Mutex<Vec<(String, ProgressBar)>>,
}

impl Shown {
    pub(crate) fn new() -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        Self { is_terminal, bars: MultiProgress::new(), layers: Mutex::new(Vec::new()) }
    }

    fn with(&self, layer: usize, show: impl FnOnce(&str, &ProgressBar)) {
        if let Ok(layers) = self.layers.lock()
            && let Some((name, bar)) = layers.get(layer)
        {
            show(name, bar);
        }
    }
}

impl Progress for Shown {
    fn layers(&self, layers: &[Descriptor]) {
        let style =
            ProgressStyle::with_template("{prefix} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        let Ok(mut known) = self.layers.lock() else { return };
        for layer in layers {
            let name = layer.digest.hex()[..12].to_owned();
            let bar = if self.is_terminal {
                self.bars
                    .add(ProgressBar::new(layer.size).with_style(style.clone()).with_prefix(name.clone()))
            } else {
                ProgressBar::hidden()
            };
            known.push((name, bar));
        }
    }

    fn advance(&self, layer: usize, bytes: u64) {
        self.with(layer, |_, bar| bar.inc(bytes));
    }

    fn done(&self, layer: usize, known: bool) {
        let what = if known { "already there" } else { "done" };
        self.with(layer, |name, bar| {
            if self.is_terminal {
                bar.finish_with_message(what);
            } else {
                eprintln!("{name}: {what}");
            }
        });
    }
}
