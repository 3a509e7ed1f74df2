//! The reference of the command line, made from its definition.

use clap::{Arg, Command, CommandFactory};
use segport_reference::{keep, listed, table};

use crate::arguments::Arguments;

fn definition() -> Command {
    let mut definition = Arguments::command();
    definition.build();
    definition
}

/// One section a command; a command of commands has one for each of them.
fn sections(path: &str, command: &Command, text: &mut String) {
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        let path = if path.is_empty() { inner.get_name().to_owned() } else { format!("{path} {}", inner.get_name()) };
        if inner.has_subcommands() {
            sections(&path, inner, text);
        } else {
            section(&path, inner, text);
        }
    }
}

fn section(path: &str, command: &Command, text: &mut String) {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").replace("\n       ", "\n");
    text.push_str(&format!("### {path}\n\n```text\n{usage}\n```\n\n"));
    text.push_str(&paragraphs(command));
    let options = options(command, false);
    if !options.is_empty() {
        text.push_str(&format!("{options}\n"));
    }
    if let Some(more) = command.get_after_help() {
        text.push_str(&remarks(&more.to_string()));
    }
}

fn paragraphs(command: &Command) -> String {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let long = command.get_long_about().map_or_else(|| about.clone(), ToString::to_string);
    long.split("\n\n").map(|paragraph| format!("{}.\n\n", paragraph.trim_end_matches('.'))).collect()
}

/// What stands below the help: examples as they are, sentences as sentences.
fn remarks(text: &str) -> String {
    let paragraph = |paragraph: &str| match paragraph.contains("\n  ") {
        true => format!("```text\n{paragraph}\n```\n\n"),
        false => format!("{}\n\n", paragraph.replace('\n', " ")),
    };
    text.trim().split("\n\n").map(paragraph).collect()
}

/// The arguments and options of a command itself, or those of every command.
fn options(command: &Command, global: bool) -> String {
    let rows: Vec<_> = command
        .get_arguments()
        .filter(|argument| argument.is_global_set() == global && !is_help(argument))
        .map(|argument| {
            let help = argument.get_long_help().or_else(|| argument.get_help()).map(ToString::to_string);
            let (meaning, said) = without_default(&help.unwrap_or_default());
            let defaults: Vec<_> =
                argument.get_default_values().iter().map(|value| format!("`{}`", value.to_string_lossy())).collect();
            let default = match defaults.as_slice() {
                _ if argument.is_required_set() => "required".to_owned(),
                [_, ..] if takes_value(argument) => defaults.join(" "),
                _ => said,
            };
            [format!("`{}`", written(argument)), default, meaning + &values(argument) + &conflicts(command, argument)]
        })
        .collect();
    table(["argument or option", "default", "meaning"], rows)
}

fn is_help(argument: &Arg) -> bool {
    ["help", "version"].contains(&argument.get_id().as_str())
}

fn takes_value(argument: &Arg) -> bool {
    argument.get_action().takes_values()
}

/// The argument as a user types it, such as `-q, --quiet` or `--out FILE`.
fn written(argument: &Arg) -> String {
    let value = argument.get_value_names().and_then(<[_]>::first).map_or_else(String::new, ToString::to_string);
    if argument.is_positional() {
        let several = argument.get_num_args().is_some_and(|range| range.max_values() > 1);
        let value = format!("{value}{}", if several { "..." } else { "" });
        return if argument.is_required_set() { value } else { format!("[{value}]") };
    }
    let short = argument.get_short().map(|letter| format!("-{letter}"));
    let long = argument.get_long().map(|word| format!("--{word}"));
    let names: Vec<_> = short.into_iter().chain(long).collect();
    if takes_value(argument) { format!("{} {value}", names.join(", ")) } else { names.join(", ") }
}

/// The possible values, with what each means.
fn values(argument: &Arg) -> String {
    if !takes_value(argument) {
        return String::new();
    }
    let values: Vec<_> = argument
        .get_possible_values()
        .iter()
        .map(|value| {
            let (name, help) = (value.get_name(), value.get_help().map(ToString::to_string).unwrap_or_default());
            let says_more = !help.is_empty() && !help.eq_ignore_ascii_case(name);
            if says_more { format!("`{name}`: {help}") } else { format!("`{name}`") }
        })
        .collect();
    if values.is_empty() { String::new() } else { format!(". {}", values.join("; ")) }
}

/// What an argument cannot stand beside.
fn conflicts(command: &Command, argument: &Arg) -> String {
    let others = command.get_arg_conflicts_with(argument);
    let names: Vec<_> = others.into_iter().map(|other| format!("`{}`", written(other))).collect();
    if names.is_empty() { String::new() } else { format!(". Not together with {}", listed(&names)) }
}

/// A help text without its `[default: ...]`, and what that says.
fn without_default(help: &str) -> (String, String) {
    match help.split_once(" [default: ") {
        Some((meaning, default)) => (meaning.to_owned(), default.trim_end_matches(']').to_owned()),
        None => (help.to_owned(), String::new()),
    }
}

#[test]
fn reference_of_the_command_line() {
    let definition = definition();
    let mut commands = String::new();
    sections("", &definition, &mut commands);
    let parts = [("global options", options(&definition, true)), ("commands", commands)];
    keep("docs/src/reference/command-line.md", &parts).unwrap();
}

#[test]
fn reference_of_the_sandbox() {
    let definition = definition();
    let standin =
        definition.find_subcommand("sandbox").and_then(|sandbox| sandbox.find_subcommand("autopilot")).unwrap();
    keep("docs/src/reference/sandbox.md", &[("options", options(standin, false))]).unwrap();
}
