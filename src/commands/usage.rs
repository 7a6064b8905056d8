//! The commands that take a flag, and tips for unknown flags, commands and values.

use std::ffi::OsString;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use crate::server::listen::{ListenAddress, clash};
use crate::system::spelling::likely_meant;

/// Flags of other programs, and our flags for the same; of several flags, the first that the
/// command takes.
const FOREIGN_FLAGS: [(&[&str], &[&str]); 7] = [
    (&["c", "f", "cfg", "conf"], &["config.file"]),
    (
        &["a", "addr", "bind", "host", "l", "p", "port"],
        &["web.listen-address", "listen"],
    ),
    (&["debug", "q", "quiet", "verbose"], &["log.level"]),
    (&["metrics-path", "path"], &["web.telemetry-path"]),
    (&["v"], &["version"]),
    (&["dry-run", "t", "test"], &["config.check"]),
    (&["o", "out"], &["output"]),
];

/// The commands, apart from serving, that take a shared flag.
fn takers(flag: &str) -> &'static [&'static str] {
    match flag {
        "log.format" | "log.level" => &["once", "doctor", "simulate", "demo"],
        "config.file" | "replica.count" | "shard.index" | "shard.total" => &["once", "doctor"],
        "config.check" => &[],
        // The flags of the server.
        _ => &["demo"],
    }
}

fn long(argument: &Arg) -> &str {
    argument.get_long().unwrap_or_default()
}

/// The program's commands and flags, ready to parse with. Shared flags may stand before the
/// command or behind it. The help of a command shows the flags that it takes.
pub(super) fn prepare(command: Command) -> Command {
    let mut command = command.mut_args(|argument| argument.global(true));
    let shared: Vec<Arg> = command.get_arguments().cloned().collect();
    let names: Vec<String> = command
        .get_subcommands()
        .map(|command| command.get_name().to_owned())
        .collect();
    for name in &names {
        let others = shared
            .iter()
            .filter(|argument| !takers(long(argument)).contains(&name.as_str()))
            .map(|argument| argument.clone().hide(true));
        command = command.mut_subcommand(name, |command| command.args(others));
    }
    command.build();
    command
}

/// Refuses flags without effect: a flag that the command does not take, a flag that another
/// flag excludes, and a flag both before and behind the command. Refuses addresses that cannot
/// be listened on together, too.
pub(super) fn check(
    command: &mut Command,
    arguments: &[OsString],
    matches: &ArgMatches,
) -> Result<(), clap::Error> {
    let name = matches.subcommand_name();
    let shared = command.get_arguments();
    let given: Vec<(&str, usize)> = shared
        .filter(|argument| argument.is_global_set())
        .map(|argument| (long(argument), argument.get_id().as_str()))
        .filter(|(_, id)| matches.value_source(id) == Some(ValueSource::CommandLine))
        .map(|(flag, id)| (flag, matches.get_raw(id).map_or(0, Iterator::count)))
        .collect();
    let is_given = |flag: &str| given.iter().any(|(other, _)| *other == flag);
    let problem = given.iter().find_map(|(flag, values)| {
        if let Some(name) = name
            && !takers(flag).contains(&name)
        {
            return Some(format!(
                "'--{flag}' has no effect on '{name}'; leave the flag out, as only {}",
                taken_by(flag)
            ));
        }
        if *flag == "web.listen-address" && is_given("web.systemd-socket") {
            return Some(format!(
                "'--{flag}' has no effect with '--web.systemd-socket', because systemd says where \
                 to listen; leave one of the two flags out"
            ));
        }
        (times_given(flag, arguments) > *values).then(|| {
            let name = name.unwrap_or_default();
            format!("'--{flag}' is given before '{name}' and behind it; give the flag in one place")
        })
    });
    let Some(problem) = problem.or_else(|| address_clash(matches)) else {
        return Ok(());
    };
    let command = match name {
        Some(name) => command.find_subcommand_mut(name),
        None => Some(command),
    };
    Err(match command {
        Some(command) => command.error(ErrorKind::ArgumentConflict, problem),
        None => clap::Error::raw(ErrorKind::ArgumentConflict, problem),
    })
}

/// The problem of two addresses to listen on that need the same port of the same address.
fn address_clash(matches: &ArgMatches) -> Option<String> {
    let given = matches.try_get_many::<ListenAddress>("listen_addresses");
    let addresses: Vec<&ListenAddress> = given.ok().flatten()?.collect();
    let (one, other) = clash(&addresses)?;
    Some(format!(
        "'--web.listen-address {one}' and '--web.listen-address {other}' cannot be listened on \
         together, as both need the same port of the same address; leave one of them out, or \
         give it another port"
    ))
}

/// The commands that take a flag, as the end of a sentence.
fn taken_by(flag: &str) -> String {
    match takers(flag) {
        [] => "serving (without a command) takes the flag".to_owned(),
        [last] => format!("serving (without a command) and '{last}' take the flag"),
        [rest @ .., last] => format!(
            "serving (without a command), '{}' and '{last}' take the flag",
            rest.join("', '")
        ),
    }
}

/// How often the arguments have a flag. No value of a flag begins with a hyphen.
fn times_given(flag: &str, arguments: &[OsString]) -> usize {
    let arguments = arguments.iter().filter_map(|argument| argument.to_str());
    let arguments = arguments.take_while(|argument| *argument != "--");
    arguments
        .filter_map(|argument| argument.strip_prefix("--")?.strip_prefix(flag))
        .filter(|rest| rest.is_empty() || rest.starts_with('='))
        .count()
}

/// The error of an unknown word with a tip. clap's own tips compare letters only; ours know
/// files, addresses and the flags of other programs.
pub(super) fn add_tip(
    command: &mut Command,
    arguments: &[OsString],
    mut error: clap::Error,
) -> clap::Error {
    let context = match error.kind() {
        ErrorKind::UnknownArgument => ContextKind::InvalidArg,
        ErrorKind::InvalidSubcommand => ContextKind::InvalidSubcommand,
        _ => return error,
    };
    let Some(ContextValue::String(word)) = error.get(context).cloned() else {
        return error;
    };
    let words = arguments.iter().skip(1);
    let mut words = words.filter_map(|argument| argument.to_str());
    let name = words.find(|argument| command.find_subcommand(argument).is_some());
    let own = name.and_then(|name| command.find_subcommand(name));
    let own = own.unwrap_or(command);
    let tip = match word.strip_prefix('-') {
        Some(flag) => flag_tip(command, own, flag.trim_start_matches('-')),
        None => word_tip(command, own, &word),
    };
    for suggestion in [
        ContextKind::Suggested,
        ContextKind::SuggestedArg,
        ContextKind::SuggestedSubcommand,
    ] {
        error.remove(suggestion);
    }
    if let Some(tip) = tip {
        let tips = vec![StyledStr::from(tip)];
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
    }
    let usage = own.clone().render_usage();
    error.insert(ContextKind::Usage, ContextValue::StyledStr(usage));
    error
}

/// The flags that a command takes.
fn flags(command: &Command) -> Vec<&str> {
    let arguments = command.get_arguments();
    let shown = arguments.filter(|argument| !argument.is_hide_set());
    shown.map(long).collect()
}

/// A flag with the name of its value, as in `--config.file FILE`.
fn form(command: &Command, flag: &str) -> String {
    let mut arguments = command.get_arguments();
    let argument = arguments.find(|argument| long(argument) == flag);
    let valued = argument.filter(|argument| argument.get_action().takes_values());
    match valued.and_then(Arg::get_value_names) {
        Some([value]) => format!("--{flag} {value}"),
        _ => format!("--{flag}"),
    }
}

/// The tip for the unknown flag `given`, without its hyphens, of the command `own`.
fn flag_tip(root: &Command, own: &Command, given: &str) -> Option<String> {
    let flags = flags(own);
    let words = words(given).join("-");
    let plain = words.strip_prefix("web-").unwrap_or(&words);
    if plain.contains("secret") {
        return Some(
            "no flag takes a key, because every user of a machine can read the flags of a program; \
             set TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY, or name files in a \
             configuration"
                .to_owned(),
        );
    }
    let known = FOREIGN_FLAGS
        .iter()
        .find(|(others, _)| others.contains(&plain));
    let known = known.and_then(|(_, ours)| ours.iter().find(|flag| flags.contains(flag)).copied());
    if let Some(flag) = known.or_else(|| nearest(given, &flags)) {
        return Some(format!("did you mean '{}'?", form(own, flag)));
    }
    root.get_subcommands().find_map(|other| {
        let own = other
            .get_arguments()
            .filter(|argument| !argument.is_global_set());
        let own: Vec<&str> = own.map(long).filter(|flag| *flag != "help").collect();
        let flag = nearest(given, &own)?;
        let form = form(other, flag);
        Some(format!("the command '{}' takes '{form}'", other.get_name()))
    })
}

/// The tip for `given`, which is neither a flag nor a command, behind the command `own`.
fn word_tip(root: &Command, own: &Command, given: &str) -> Option<String> {
    let flags = flags(own);
    if matches!(given, "true" | "false") {
        return Some(format!(
            "a flag that switches something on takes no value; leave '{given}' out"
        ));
    }
    let is_port = given.bytes().all(|byte| byte.is_ascii_digit());
    let address = format!("{}{given}", if is_port { ":" } else { "" });
    if address.parse::<ListenAddress>().is_ok() {
        let mut flags = flags.into_iter();
        let flag = flags.find(|flag| matches!(*flag, "web.listen-address" | "listen"))?;
        // The simulated API listens on loopback addresses only.
        let is_loopback = flag == "listen" && address.starts_with(':');
        let host = if is_loopback { "127.0.0.1" } else { "" };
        return Some(format!("did you mean '--{flag} {host}{address}'?"));
    }
    if given.contains(['.', '/']) {
        let is_text_file = given.ends_with(".prom") || given.ends_with(".txt");
        let all = ["output", "scenario", "config.file"];
        let mut files = all.into_iter().skip(usize::from(!is_text_file));
        let flag = files.find(|flag| flags.contains(flag))?;
        return Some(format!("did you mean '--{flag} {given}'?"));
    }
    if own.get_name() != root.get_name() {
        return None;
    }
    match given {
        "help" | "version" => return Some(format!("did you mean '--{given}'?")),
        "check" | "test" | "validate" => return Some("did you mean '--config.check'?".to_owned()),
        "daemon" | "run" | "serve" | "server" | "start" => {
            return Some(format!(
                "cwp-exporter serves without a command; leave '{given}' out"
            ));
        }
        _ => {}
    }
    let commands: Vec<&str> = root.get_subcommands().map(Command::get_name).collect();
    nearest(given, &commands).map(|command| format!("did you mean '{command}'?"))
}

/// The words of a flag, in lower case.
fn words(flag: &str) -> Vec<String> {
    let words = flag.split(['.', '-', '_']).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

/// The name of `known` that `given` is a misspelling of, or the shortest name that has all words
/// of `given`, whole or abbreviated.
fn nearest<'k>(given: &str, known: &[&'k str]) -> Option<&'k str> {
    let known = known.iter().copied();
    let by_words = || {
        let given = words(given);
        let is_match = |word: &String, other: &String| {
            word.len() >= 3 && (other.starts_with(word) || word.starts_with(other))
        };
        let has_all = |name: &&str| {
            let name = words(name);
            let is_in_name = |word| name.iter().any(|other| is_match(word, other));
            !given.is_empty() && given.iter().all(is_in_name)
        };
        let names = known.clone().filter(has_all);
        names.min_by_key(|name| words(name).len())
    };
    likely_meant(given, known.clone()).or_else(by_words)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::CommandFactory as _;
    use clap_complete::Shell;
    use clap_mangen::Man;
    use expect_test::expect_file;

    use super::prepare;
    use crate::commands::Cli;

    /// The command line as a release describes it: the commit is not known before it is made.
    fn described() -> clap::Command {
        prepare(Cli::command()).version(env!("CARGO_PKG_VERSION"))
    }

    /// A file of deploy/.
    fn shipped(path: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("deploy")
            .join(path)
    }

    /// The message for the command line `text`, or `good`.
    fn message(text: &str) -> String {
        let arguments = text.split(' ').filter(|word| !word.is_empty());
        match Cli::read(["cwp-exporter"].into_iter().chain(arguments)) {
            Ok(_) => "good".to_owned(),
            Err(error) => {
                assert_eq!(error.exit_code(), 2, "{text}: {error}");
                let text = error.to_string();
                let lines = text.lines().map(str::trim);
                let is_general = |line: &&str| {
                    !line.starts_with("Usage:") && !line.starts_with("For more information")
                };
                let lines = lines.take_while(is_general);
                let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
                lines.join(" ")
            }
        }
    }

    #[test]
    fn the_message_for_wrong_usage_says_what_is_wrong_and_what_to_write() {
        // Pairs of lines: a command line and its message.
        let cases = include_str!("../../tests/fixtures/cli/usage.txt").lines();
        let commands = cases.filter_map(|line| line.strip_prefix("cwp-exporter"));
        let pairs =
            commands.map(|command| format!("cwp-exporter{command}\n{}\n", message(command)));
        let pairs: Vec<String> = pairs.collect();
        expect_file!["../../tests/fixtures/cli/usage.txt"].assert_eq(&pairs.join("\n"));
    }
    #[test]
    fn the_manual_pages_are_those_of_the_commands_and_their_flags() {
        let program = described();
        let pages = program.get_subcommands().map(|command| {
            let name = format!("cwp-exporter-{}", command.get_name());
            command.clone().display_name(name)
        });
        for command in [program.clone()].into_iter().chain(pages) {
            let page = Man::new(command.version(env!("CARGO_PKG_VERSION"))).manual("cwp-exporter");
            let mut text = Vec::new();
            page.render(&mut text).unwrap();
            let path = shipped(&format!("man/{}", page.get_filename()));
            expect_file![path].assert_eq(&String::from_utf8(text).unwrap());
        }
    }

    #[test]
    fn the_completions_are_those_of_the_commands_and_their_flags() {
        for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut described(), "cwp-exporter", &mut text);
            let name = match shell {
                Shell::Zsh => "_cwp-exporter".to_owned(),
                shell => format!("cwp-exporter.{shell}"),
            };
            let path = shipped("completions").join(name);
            expect_file![path].assert_eq(&String::from_utf8(text).unwrap());
        }
    }
}
