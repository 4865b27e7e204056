//! The dashboard: pages rendered on the server, with live parts over an event stream.
//!
//! Every page works without JavaScript; forms are sent and answered by a redirect. The security policy allows no inline
//! script and no inline style, so a template has neither, and a test reads all of them.

pub mod assets;
pub mod show;
pub mod views;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    /// What must stand in no template, and why.
    const FORBIDDEN: [(&str, &str); 8] = [
        ("|safe", "what is not escaped may be a stranger's"),
        ("| safe", "what is not escaped may be a stranger's"),
        (" style=", "the policy forbids inline styles"),
        ("<style", "the policy forbids inline styles"),
        ("<script>", "the policy forbids inline scripts"),
        ("hx-on", "the policy forbids inline handlers"),
        ("=\"http", "the dashboard asks no other host"),
        ("=\"//", "the dashboard asks no other host"),
    ];

    #[test]
    fn templates_keep_to_the_security_policy() {
        let templates = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
        let mut read = 0;
        for folder in [templates.clone(), templates.join("live"), templates.join("parts")] {
            for entry in fs::read_dir(folder).expect("a folder of templates") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    continue;
                }
                let text = fs::read_to_string(&path).expect("a template");
                for (part, why) in FORBIDDEN {
                    assert!(!text.contains(part), "{} has `{part}`: {why}", path.display());
                }
                assert_eq!(inline_handler(&text), None, "{}", path.display());
                read += 1;
            }
        }
        assert!(read > 30, "only {read} templates were found");
    }

    /// The first attribute such as `onclick`.
    fn inline_handler(text: &str) -> Option<&str> {
        text.split_whitespace()
            .find(|word| word.starts_with("on") && word.split('=').next() != Some(*word))
    }
}
