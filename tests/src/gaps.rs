//! The known failures: `gaps.toml` names each with its reason. A gap that passes is an error, so that the list
//! only shrinks.

use serde::Deserialize;
use std::fs;
use std::path::Path;

/// One known failure.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Gap {
    /// `FAMILY/NAME` of the case.
    pub(crate) case: String,
    /// Only under this tender; absent: under both.
    pub(crate) tender: Option<String>,
    /// Why it fails.
    pub(crate) reason: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    gap: Vec<Gap>,
}

/// All known failures.
#[derive(Debug)]
pub(crate) struct Gaps(Vec<Gap>);

impl Gaps {
    /// Reads the list at `path`.
    pub(crate) fn read(path: &Path) -> Result<Gaps, String> {
        let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Gaps::parse(&text).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn parse(text: &str) -> Result<Gaps, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        match file.gap.iter().find(|gap| gap.reason.trim().is_empty()) {
            Some(gap) => Err(format!("{}: a gap needs a reason", gap.case)),
            None => Ok(Gaps(file.gap)),
        }
    }

    /// The gap that covers `case` under `tender`.
    pub(crate) fn find(&self, case: &str, tender: &str) -> Option<&Gap> {
        self.0.iter().find(|gap| gap.case == case && gap.tender.as_deref().is_none_or(|only| only == tender))
    }

    /// Gaps that name no case of `known`.
    pub(crate) fn strays(&self, known: &[String]) -> Vec<&Gap> {
        self.0.iter().filter(|gap| !known.contains(&gap.case)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[[gap]]\ncase = \"mm/a\"\nreason = \"r\"\n[[gap]]\ncase = \"mm/b\"\ntender = \"kvm\"\nreason = \"r\"\n";

    #[test]
    fn a_gap_covers_its_tender_only() {
        let gaps = Gaps::parse(TEXT).unwrap();
        assert!(gaps.find("mm/a", "kvm").is_some() && gaps.find("mm/a", "process").is_some());
        assert!(gaps.find("mm/b", "kvm").is_some() && gaps.find("mm/b", "process").is_none());
        assert!(gaps.find("mm/c", "kvm").is_none());
    }

    #[test]
    fn a_gap_of_no_case_is_a_stray() {
        let gaps = Gaps::parse(TEXT).unwrap();
        assert_eq!(gaps.strays(&["mm/a".into()]).len(), 1);
    }

    #[test]
    fn a_gap_needs_a_reason() {
        assert!(Gaps::parse("[[gap]]\ncase = \"mm/a\"\nreason = \" \"\n").is_err());
        assert!(Gaps::parse("[[gap]]\ncase = \"mm/a\"\n").is_err());
    }
}
