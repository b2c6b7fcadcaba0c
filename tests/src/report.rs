//! Verdicts, counted and shown: each failure with the difference to the native run, and the closing line.

use crate::exec::Outcome;
use similar::{ChangeTag, TextDiff};
use std::collections::BTreeMap;
use std::fmt::Write;

/// What came of one case under one tender.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// As on the host.
    Passed,
    /// Not as on the host; the text shows how.
    Failed(String),
    /// Not run, or known to fail; the text says why.
    Skipped(String),
}

/// All verdicts of a run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    passed: usize,
    /// By family: (case, tender, how).
    failures: BTreeMap<String, Vec<(String, String, String)>>,
    /// By reason.
    skips: BTreeMap<String, usize>,
}

impl Report {
    /// Adds one verdict, and prints it when it is a failure.
    pub(crate) fn add(&mut self, case: &str, tender: &str, verdict: Verdict) {
        match verdict {
            Verdict::Passed => self.passed += 1,
            Verdict::Skipped(reason) => *self.skips.entry(reason).or_default() += 1,
            Verdict::Failed(how) => {
                println!("FAILED {case} ({tender})\n{}", indent(&how));
                let family = case.split('/').next().unwrap_or(case).to_owned();
                self.failures.entry(family).or_default().push((case.to_owned(), tender.to_owned(), how));
            }
        }
    }

    /// Prints reasons for skips and the closing line; true if nothing failed.
    pub(crate) fn close(&self) -> bool {
        for (reason, count) in &self.skips {
            println!("skipped {count}: {reason}");
        }
        let failed = self.failed();
        println!("{} passed, {failed} failed, {} skipped", self.passed, self.skips.values().sum::<usize>());
        failed == 0
    }

    fn failed(&self) -> usize {
        self.failures.values().map(Vec::len).sum()
    }

    /// The failures as Markdown, sorted by family.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::from("# Failures of the conformance suite\n\n");
        let _ = writeln!(text, "{} passed, {} failed.\n", self.passed, self.failed());
        let _ = writeln!(text, "| family | failures |\n|---|---|");
        for (family, list) in &self.failures {
            let _ = writeln!(text, "| {family} | {} |", list.len());
        }
        for (family, list) in &self.failures {
            let _ = writeln!(text, "\n## {family}");
            let mut list: Vec<_> = list.iter().collect();
            list.sort();
            for (case, tender, how) in list {
                let _ = writeln!(text, "\n**{case}** ({tender})\n\n```\n{}\n```", how.trim_end());
            }
        }
        text
    }
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

/// How `guest` differs from `native`, in a form for people: `-` what the host shows, `+` what the guest shows.
pub(crate) fn difference(native: &Outcome, guest: &Outcome) -> String {
    let mut text = String::new();
    if native.end != guest.end {
        let _ = writeln!(text, "native: {}, guest: {}", native.end, guest.end);
    }
    if native.stdout != guest.stdout {
        let diff = TextDiff::from_lines(&native.stdout, &guest.stdout);
        let mut lines = 0;
        for change in diff.iter_all_changes().filter(|change| change.tag() != ChangeTag::Equal) {
            lines += 1;
            if lines > 30 {
                let _ = writeln!(text, "…");
                break;
            }
            let sign = if change.tag() == ChangeTag::Delete { '-' } else { '+' };
            let line: String = change.value().trim_end_matches('\n').chars().take(300).collect();
            let _ = writeln!(text, "{sign}{line}");
        }
    }
    let errors: Vec<&str> = guest.stderr.lines().collect();
    if !errors.is_empty() {
        let _ = writeln!(text, "guest's standard error:");
        // A kernel panic begins with its message and ends with its registers: both ends are worth seeing.
        let skipped = errors.len().saturating_sub(60);
        for (n, line) in errors.iter().enumerate() {
            match n {
                30 if skipped > 0 => drop(writeln!(text, "  … {skipped} lines …")),
                _ if n > 30 && n < 30 + skipped => {}
                _ => drop(writeln!(text, "  {}", line.chars().take(300).collect::<String>())),
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::End;

    fn outcome(stdout: &str, status: i32) -> Outcome {
        Outcome { stdout: stdout.into(), stderr: String::new(), end: End::Status(status) }
    }

    #[test]
    fn the_difference_shows_both_sides() {
        let text = difference(&outcome("a\nb\n", 0), &outcome("a\nc\n", 139));
        assert_eq!(text, "native: exit status 0, guest: exit status 139\n-b\n+c\n");
    }

    #[test]
    fn a_failure_makes_the_report_fail() {
        let mut report = Report::default();
        report.add("mm/a", "kvm", Verdict::Passed);
        report.add("mm/b", "kvm", Verdict::Skipped("why".into()));
        assert!(report.close());
        report.add("mm/c", "kvm", Verdict::Failed("-x".into()));
        assert!(!report.close());
        assert!(report.markdown().contains("**mm/c** (kvm)"));
    }
}
