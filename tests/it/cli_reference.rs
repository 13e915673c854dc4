//! `docs/cli.md` says what `--help` says. `UPDATE_EXPECT=1` writes it anew.

use std::fmt::Write as _;

use crate::expect;

#[test]
fn the_reference_is_what_the_commands_say() {
    let mut command = berqenas::cli::command().term_width(100);
    command.build();
    let mut text = String::from(
        "# Command line reference\n\nGenerated from the program's own help: change the doc comments in `reconciler/app/src/cli/`.\n",
    );
    describe(&mut command, "", &mut text);
    expect::file("docs/cli.md", &text);
}

fn describe(command: &mut clap::Command, parents: &str, text: &mut String) {
    let name = format!("{parents}{}", command.get_name());
    let help: Vec<String> = command.render_long_help().to_string().lines().map(|line| line.trim_end().to_owned()).collect();
    write!(text, "\n## `{name}`\n\n```text\n{}\n```\n", help.join("\n").trim_end()).unwrap();
    for inner in command.get_subcommands_mut().filter(|inner| inner.get_name() != "help") {
        describe(inner, &format!("{name} "), text);
    }
}
