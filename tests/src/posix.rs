//! The POSIX cases: a source `cases/posix/CALL.c` holds many named cases about one call, and each is compared by itself, in
//! each place of a guest where files can be. `posix.h` has what such a source is made of.

use crate::case::Case;
use crate::exec::{End, Outcome};
use std::collections::BTreeMap;
use std::path::Path;

/// Where in a guest the cases work.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) name: &'static str,
    /// The folder in the guest; none: the one that was prepared on the host and is part of the root image.
    folder: Option<&'static str>,
    /// What `husk run` gets before the command; `{}` is a folder of the host that the guest may have for this run.
    options: &'static [&'static str],
    /// The host's run is in the folder for temporary files, which is a tmpfs where the host has one.
    pub(crate) like_scratch: bool,
}

/// All places.
pub(crate) const PLACES: &[Place] = &[
    Place { name: "tmpfs", folder: Some("/dev/shm/posix"), options: &[], like_scratch: true },
    Place { name: "overlay", folder: None, options: &["--with", "{}/"], like_scratch: false },
    Place {
        name: "volume",
        folder: Some("/volume/posix"),
        options: &["-v", "{}:/volume"],
        like_scratch: false,
    },
];

impl Place {
    /// Whether the folders of the cases are made on the host, before the guest starts.
    pub(crate) fn is_prepared(&self) -> bool {
        self.folder.is_none()
    }

    /// What `husk run` gets before the command, with `host` as the host's folder.
    pub(crate) fn options(&self, host: &Path) -> Vec<String> {
        self.options.iter().map(|option| option.replace("{}", &host.to_string_lossy())).collect()
    }

    /// Where the cases work in the guest, with `host` as the host's folder.
    pub(crate) fn folder<'a>(&self, host: &'a Path) -> &'a Path {
        self.folder.map_or(host, Path::new)
    }
}

/// One source.
#[derive(Debug)]
pub(crate) struct Posix {
    pub(crate) case: Case,
    /// The places, and of each the names of the cases to run there.
    pub(crate) places: Vec<(&'static Place, Vec<String>)>,
}

impl Posix {
    /// All cases of a source, in all places.
    pub(crate) fn of(case: Case) -> Result<Posix, String> {
        let names = names(&case.text()?);
        Ok(Posix { case, places: PLACES.iter().map(|place| (place, names.clone())).collect() })
    }

    /// `posix/PLACE/CALL/NAME` of the case `name`.
    pub(crate) fn id(&self, place: &Place, name: &str) -> String {
        format!("{}/{}/{}/{name}", self.case.family, place.name, self.case.name)
    }

    /// What its verdicts are about.
    pub(crate) fn ids(&self) -> Vec<String> {
        let of = |(place, names): &(&Place, Vec<String>)| -> Vec<String> {
            names.iter().map(|name| self.id(place, name)).collect()
        };
        self.places.iter().flat_map(of).collect()
    }

    /// The same with only those cases whose ids are wanted, if there are any.
    pub(crate) fn filter(self, wanted: impl Fn(&str) -> bool) -> Option<Posix> {
        let kept = |(place, names): &(&'static Place, Vec<String>)| {
            let names: Vec<String> =
                names.iter().filter(|name| wanted(&self.id(place, name))).cloned().collect();
            (!names.is_empty()).then_some((*place, names))
        };
        let places: Vec<_> = self.places.iter().filter_map(kept).collect();
        (!places.is_empty()).then_some(Posix { case: self.case, places })
    }
}

/// The names in a source: what its lines `CASE(name) {` say.
fn names(source: &str) -> Vec<String> {
    let title = |line: &str| Some(line.strip_prefix("CASE(")?.split_once(')')?.0.to_owned());
    source.lines().filter_map(title).collect()
}

/// What a run printed, by the name of the case; a case that is missing did not come to its turn.
pub(crate) fn sections(stdout: &str) -> BTreeMap<&str, &str> {
    // A case's lines may hold the mark, but not begin with it.
    let mut starts: Vec<usize> = stdout.match_indices("\n== ").map(|(at, _)| at + 1).collect();
    if stdout.starts_with("== ") {
        starts.insert(0, 0);
    }
    let ends = starts.iter().skip(1).copied().chain([stdout.len()]);
    let section = |(start, end): (usize, usize)| stdout.get(start + 3..end)?.split_once('\n');
    starts.iter().copied().zip(ends).filter_map(section).collect()
}

/// What the host lacks for a case that printed `text`.
pub(crate) fn lacks(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("lacks "))
}

/// The part of `outcome` that belongs to the case `name`: its lines, and whether it got to its end.
pub(crate) fn part(outcome: &Outcome, name: &str) -> Outcome {
    let text = sections(&outcome.stdout).get(name).map(|text| (*text).to_owned());
    // The program as a whole ends well whatever its cases print.
    let end = if text.is_some() && outcome.end == End::Status(0) { End::Status(0) } else { outcome.end };
    let stdout = text.unwrap_or_else(|| "the case did not run\n".to_owned());
    Outcome { stdout, stderr: outcome.stderr.clone(), end }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_from_the_source() {
        assert_eq!(names("// x\nCASE(one) {\n}\n\nCASE(two) {\n"), ["one", "two"]);
    }

    #[test]
    fn a_run_is_split_by_case() {
        let text = "== one\na == b\nb\n== two\nlacks xattrs\n== three\n";
        let sections = sections(text);
        assert_eq!(sections["one"], "a == b\nb\n");
        assert_eq!(lacks(sections["two"]), Some("xattrs"));
        assert_eq!(sections["three"], "");
        let outcome = Outcome { stdout: text.into(), stderr: String::new(), end: End::Status(0) };
        assert_eq!(part(&outcome, "one").stdout, "a == b\nb\n");
        assert_ne!(part(&outcome, "four").stdout, part(&outcome, "three").stdout);
    }
}
