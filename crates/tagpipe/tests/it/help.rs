//! The help of every command, as it is printed.

use std::process::Command;

fn help_of(path: &[String]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_tagpipe"))
        .args(path)
        .arg("--help")
        .env_clear()
        .env("COLUMNS", "100")
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{path:?}");
    String::from_utf8(output.stdout).expect("help is UTF-8")
}

/// The commands that a help text lists.
fn commands(help: &str) -> Vec<String> {
    help.lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_command_explains_itself() {
    let mut open: Vec<Vec<String>> = vec![Vec::new()];
    let mut seen = 0;
    while let Some(path) = open.pop() {
        let help = help_of(&path);
        seen += 1;
        assert!(
            help.lines().all(|line| line.chars().count() <= 120),
            "{path:?} is too wide"
        );
        let name = if path.is_empty() {
            "tagpipe".to_owned()
        } else {
            path.join("-")
        };
        insta::assert_snapshot!(format!("help-{name}"), help);
        let below = commands(&help);
        assert!(
            !below.is_empty() || help.contains("Examples:\n  "),
            "{path:?} has no example"
        );
        for command in below {
            let mut longer = path.clone();
            longer.push(command);
            open.push(longer);
        }
    }
    assert!(seen >= 20, "{seen} commands");
}
