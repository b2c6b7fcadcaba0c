//! Users and groups by name, from /etc/passwd and /etc/group of the image.

use crate::BuildError;
use crate::fs::Fs;

/// A user: ids and home directory.
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) home: String,
}

/// The line of a file like /etc/passwd in which field `by` is `value`.
fn line(fs: &Fs, file: &str, by: usize, value: &str) -> Option<Vec<String>> {
    let path = fs.resolve(file.as_bytes())?;
    let text = fs.get(&path)?.bytes.to_vec().ok()?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let mut lines = text.lines().map(|line| line.split(':').map(str::to_owned).collect::<Vec<_>>());
    lines.find(|fields| fields.get(by).is_some_and(|field| field == value))
}

/// `USER[:GROUP]`, each by name or number; nothing is root. Without a group it is the user's own: a number without an
/// entry has group 0, as in Docker, or where `same_group` the group of the same number, as for --chown.
pub(crate) fn find(fs: &Fs, text: &str, same_group: bool) -> Result<User, BuildError> {
    let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
    let user = if user.is_empty() { "0" } else { user };
    let number: Option<u32> = user.parse().ok();
    let entry = line(fs, "etc/passwd", if number.is_some() { 2 } else { 0 }, user);
    let field =
        |at: usize| entry.as_ref().and_then(|fields| fields.get(at)).and_then(|field| field.parse().ok());
    let uid = number.or_else(|| field(2)).ok_or_else(|| BuildError::NoUser(user.to_owned()))?;
    let gid = match group {
        Some(group) => match group.parse() {
            Ok(gid) => gid,
            Err(_) => line(fs, "etc/group", 0, group)
                .and_then(|fields| fields.get(2)?.parse().ok())
                .ok_or_else(|| BuildError::NoUser(group.to_owned()))?,
        },
        None if same_group && number.is_some() => uid,
        None => field(3).unwrap_or(0),
    };
    let home = entry.as_ref().and_then(|fields| fields.get(5)).filter(|home| !home.is_empty());
    Ok(User { uid, gid, home: home.cloned().unwrap_or_else(|| "/".to_owned()) })
}
