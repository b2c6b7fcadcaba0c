//! Variables in instructions: `$NAME`, `${NAME}`, `${NAME:-default}`, `${NAME:+other}` and the same without colons, as
//! Docker expands them; quotes and the escape character as a shell has them.

/// Why a text cannot be expanded.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ExpandError {
    #[error("a quote is not closed")]
    Quote,
    #[error("${{ is not closed")]
    Brace,
    #[error("${{{0}}}: this kind of expansion is not known")]
    Unknown(String),
    #[error("{0}: {1}")]
    Required(String, String),
    #[error("{0:?} is no NAME=VALUE")]
    Pair(String),
}

/// Looks a variable up.
pub(crate) type Look<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Expands variables and takes quotes and escapes away: one word, which keeps its spaces.
pub(crate) fn word(text: &str, escape: char, look: Look<'_>) -> Result<String, ExpandError> {
    let words = split(text, escape, look, false)?;
    Ok(words.into_iter().next().unwrap_or_default())
}

/// The same with unquoted spaces between words.
pub(crate) fn words(text: &str, escape: char, look: Look<'_>) -> Result<Vec<String>, ExpandError> {
    split(text, escape, look, true)
}

/// `NAME=VALUE NAME2="A VALUE"`, or the old `NAME VALUE WITH SPACES` where `old` allows it.
pub(crate) fn pairs(
    text: &str,
    escape: char,
    look: Look<'_>,
    old: bool,
) -> Result<Vec<(String, String)>, ExpandError> {
    let text = text.trim();
    let first = text.split(char::is_whitespace).next().unwrap_or_default();
    if old && !first.contains('=') {
        let value = text[first.len()..].trim_start();
        if first.is_empty() || value.is_empty() {
            return Err(ExpandError::Pair(text.to_owned()));
        }
        return Ok(vec![(word(first, escape, look)?, word(value, escape, look)?)]);
    }
    words(text, escape, look)?
        .into_iter()
        .map(|pair| match pair.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
            _ => Err(ExpandError::Pair(pair)),
        })
        .collect()
}

fn split(text: &str, escape: char, look: Look<'_>, at_spaces: bool) -> Result<Vec<String>, ExpandError> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut begun = false;
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            space if at_spaces && space.is_whitespace() => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
                continue;
            }
            '\'' => loop {
                match rest.next() {
                    Some('\'') => break,
                    Some(inner) => word.push(inner),
                    None => return Err(ExpandError::Quote),
                }
            },
            '"' => loop {
                match rest.next() {
                    Some('"') => break,
                    Some(inner) if inner == escape => match rest.next() {
                        Some(special @ ('"' | '$')) => word.push(special),
                        Some(special) if special == escape => word.push(special),
                        Some(other) => word.extend([escape, other]),
                        None => return Err(ExpandError::Quote),
                    },
                    Some('$') => word.push_str(&variable(&mut rest, escape, look)?),
                    Some(inner) => word.push(inner),
                    None => return Err(ExpandError::Quote),
                }
            },
            '$' => word.push_str(&variable(&mut rest, escape, look)?),
            other if other == escape => word.extend(rest.next()),
            other => word.push(other),
        }
        begun = true;
    }
    if begun || !at_spaces {
        words.push(word);
    }
    Ok(words)
}

type Rest<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn is_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

/// What follows a dollar.
fn variable(rest: &mut Rest<'_>, escape: char, look: Look<'_>) -> Result<String, ExpandError> {
    if rest.peek() != Some(&'{') {
        let mut name = String::new();
        while let Some(character) = rest.next_if(|next| is_name(*next)) {
            name.push(character);
        }
        return Ok(if name.is_empty() { "$".to_owned() } else { look(&name).unwrap_or_default() });
    }
    rest.next();
    let mut name = String::new();
    while let Some(character) = rest.next_if(|next| is_name(*next)) {
        name.push(character);
    }
    let mut operator = String::new();
    while let Some(character) =
        rest.next_if(|next| matches!(next, ':' | '-' | '+' | '?') && operator.len() < 2)
    {
        operator.push(character);
        if character != ':' {
            break;
        }
    }
    let mut other = String::new();
    let mut depth = 1;
    loop {
        match rest.next() {
            None => return Err(ExpandError::Brace),
            Some('}') if depth == 1 => break,
            Some(character) => {
                depth += i32::from(character == '{') - i32::from(character == '}');
                other.push(character);
                if character == escape {
                    other.extend(rest.next());
                }
            }
        }
    }
    let found = look(&name);
    let is_there = if operator.starts_with(':') {
        found.as_ref().is_some_and(|value| !value.is_empty())
    } else {
        found.is_some()
    };
    let other = || word(&other, escape, look);
    match operator.trim_start_matches(':') {
        "" if operator.is_empty() && other()?.is_empty() => Ok(found.unwrap_or_default()),
        "-" if is_there => Ok(found.unwrap_or_default()),
        "-" => other(),
        "+" if is_there => other(),
        "+" => Ok(String::new()),
        "?" if is_there => Ok(found.unwrap_or_default()),
        "?" => Err(ExpandError::Required(name, other()?)),
        _ => Err(ExpandError::Unknown(name + &operator + &other()?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn look(name: &str) -> Option<String> {
        match name {
            "A" => Some("one two".to_owned()),
            "E" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn variables_are_what_docker_makes_of_them() {
        for (text, expanded) in [
            ("x$A/y", "xone two/y"),
            ("${A}b", "one twob"),
            ("$Ab", ""),
            ("${B:-$A}", "one two"),
            ("${E:-d}${E-d}${B-d}", "dd"),
            ("${A:+yes}${B:+no}${E+set}", "yesset"),
            (r"\$A '$A' \x", "$A $A x"),
            (r#""\"$A\"""#, "\"one two\""),
            ("a$", "a$"),
            ("${B:-{}}", "{}"),
        ] {
            assert_eq!(word(text, '\\', &look).as_deref(), Ok(expanded), "{text}");
        }
        assert_eq!(word("'a", '\\', &look), Err(ExpandError::Quote));
        assert_eq!(word("${A", '\\', &look), Err(ExpandError::Brace));
        assert!(matches!(word("${B:?is needed}", '\\', &look), Err(ExpandError::Required(..))));
        assert!(matches!(word("${A%x}", '\\', &look), Err(ExpandError::Unknown(_))));
    }

    #[test]
    fn pairs_are_read_in_both_forms() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let read = |text| pairs(text, '\\', &look, true).unwrap();
        assert_eq!(
            read("A=1 B=\"2 3\" C=4\\ 5 D=$A"),
            [pair("A", "1"), pair("B", "2 3"), pair("C", "4 5"), pair("D", "one two")]
        );
        assert_eq!(read("NAME a value  of words"), [pair("NAME", "a value  of words")]);
        assert!(pairs("=x", '\\', &look, true).is_err());
        assert!(pairs("A", '\\', &look, true).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in r#"[$\{\}A:\-+?'"\\ =]{0,30}"#) {
            let _ = word(&text, '\\', &look);
            let _ = pairs(&text, '\\', &look, true);
        }
    }
}
