//! The lines of a `.env` file, as Compose reads them: a value without quotes goes to the end of its line, so that
//! `PIPELINE_SCHEDULE=0 2 * * 0` means what it says. (The crates at hand want quotes around it.)

/// The variables that `text` sets, in order.
///
/// # Errors
/// The number and the fault of the first line that is none.
pub(super) fn variables(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |what: &str| format!("line {}: {what}, e.g. LOG_LEVEL=INFO", number + 1);
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, rest) = line
            .split_once('=')
            .ok_or_else(|| wrong("it takes a name, `=` and a value"))?;
        let name = name.trim();
        let is_name = !name.is_empty() && name.chars().all(|one| one.is_ascii_alphanumeric() || one == '_');
        if !is_name {
            return Err(wrong("what stands before `=` is no name"));
        }
        let value = value(rest.trim()).ok_or_else(|| wrong("a quote is not closed"))?;
        found.push((name.to_owned(), value));
    }
    Ok(found)
}

/// A value: quoted, or bare up to a comment. `None` when its quote is not closed.
fn value(text: &str) -> Option<String> {
    match text.chars().next() {
        Some('\'') => Some(text[1..].split_once('\'')?.0.to_owned()),
        Some('"') => unescaped(&text[1..]),
        _ => {
            let end = text.find(" #").unwrap_or(text.len());
            Some(text[..end].trim_end().to_owned())
        }
    }
}

/// What stands before the closing double quote; a backslash takes the next character as it is, `\n` a line's end.
fn unescaped(text: &str) -> Option<String> {
    let mut value = String::new();
    let mut characters = text.chars();
    loop {
        match characters.next()? {
            '"' => return Some(value),
            '\\' => match characters.next()? {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_as_compose_takes_them() {
        for (line, expected) in [
            ("PIPELINE_SCHEDULE=0 2 * * 0", "0 2 * * 0"),
            ("A=\"0 2 * * 0\"", "0 2 * * 0"),
            ("export A = x ", "x"),
            ("A=x # a comment", "x"),
            ("A=x#y", "x#y"),
            ("A='it # is'", "it # is"),
            ("A=\"a \\\"b\\\" \\\\ c\" # end", "a \"b\" \\ c"),
            ("A=", ""),
            ("A=b=c", "b=c"),
            ("A=$HOME", "$HOME"),
        ] {
            let found = variables(line).expect(line);
            assert_eq!(found.len(), 1, "{line}");
            assert_eq!(found[0].1, expected, "{line}");
        }
        assert_eq!(variables("# only\n\n  \n").expect("comments"), []);
    }

    #[test]
    fn a_wrong_line_is_named() {
        for (text, line) in [
            ("A=1\nrubbish\n", "line 2"),
            ("=x", "line 1"),
            ("A B=1", "line 1"),
            ("A=\"x", "line 1"),
        ] {
            let error = variables(text).expect_err(text);
            assert!(error.starts_with(line), "{error}");
        }
    }
}
