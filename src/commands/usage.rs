//! Which commands take a flag, and what was probably meant by a word that is none of ours.

use std::ffi::OsString;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use crate::server::listen::{ListenAddress, clash};
use crate::system::spelling::wrong_letters;

/// Words that people who know other programs try, and the flags that do it here; of
/// several flags, the first that the command takes.
const OTHER_WORDS: [(&[&str], &[&str]); 7] = [
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

/// The commands, apart from serving, in which a flag of all commands has an effect.
fn takers(flag: &str) -> &'static [&'static str] {
    match flag {
        "log.format" | "log.level" => &["once", "doctor", "simulate", "demo"],
        "config.file" | "replica.count" | "shard.index" | "shard.total" => &["once", "doctor"],
        "config.check" => &[],
        // How it serves.
        _ => &["demo"],
    }
}

fn long(argument: &Arg) -> &str {
    argument.get_long().unwrap_or_default()
}

/// The program's commands and flags, ready to parse with. The help of a command shows
/// the flags that it takes.
pub(super) fn prepared(mut command: Command) -> Command {
    let shared: Vec<Arg> = command.get_arguments().cloned().collect();
    let names: Vec<String> = command
        .get_subcommands()
        .map(|command| command.get_name().to_owned())
        .collect();
    for name in &names {
        let others = shared
            .iter()
            .filter(|argument| argument.is_global_set())
            .filter(|argument| !takers(long(argument)).contains(&name.as_str()))
            .map(|argument| argument.clone().hide(true));
        command = command.mut_subcommand(name, |command| command.args(others));
    }
    command.build();
    command
}

/// Refuses what would have no effect: a flag that the command does not take, a flag that
/// another one puts out of use, and a flag before the command that the same flag behind
/// the command replaces. Refuses addresses that cannot be listened on together, too.
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
                "'--{flag}' has no effect beside '--web.systemd-socket', with which systemd says \
                 where to listen; leave one of them out"
            ));
        }
        (times_given(flag, arguments) > *values).then(|| {
            let name = name.unwrap_or_default();
            format!("'--{flag}' is given before '{name}' and behind it; give the flag in one place")
        })
    });
    let Some(problem) = problem.or_else(|| two_for_one_address(matches)) else {
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

/// What is wrong where two of the addresses to listen on need the same port of the same
/// address: the second could not be listened on.
fn two_for_one_address(matches: &ArgMatches) -> Option<String> {
    let given = matches.try_get_many::<ListenAddress>("listen_addresses");
    let addresses: Vec<&ListenAddress> = given.ok().flatten()?.collect();
    let (one, other) = clash(&addresses)?;
    Some(format!(
        "'--web.listen-address {one}' and '--web.listen-address {other}' cannot be listened on \
         together, as both need the same port of the same address; leave one of them out, or \
         give it another port"
    ))
}

/// Who takes a flag, as the end of a sentence.
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

/// How often a flag is among the arguments. No value of a flag begins with a hyphen.
fn times_given(flag: &str, arguments: &[OsString]) -> usize {
    let arguments = arguments.iter().filter_map(|argument| argument.to_str());
    let arguments = arguments.take_while(|argument| *argument != "--");
    arguments
        .filter_map(|argument| argument.strip_prefix("--")?.strip_prefix(flag))
        .filter(|rest| rest.is_empty() || rest.starts_with('='))
        .count()
}

/// The error with a tip that fits where a word is not ours. The library that parses
/// compares letters only, and knows neither files nor other programs.
pub(super) fn explained(
    command: &mut Command,
    arguments: &[OsString],
    mut error: clap::Error,
) -> clap::Error {
    let context = match error.kind() {
        ErrorKind::UnknownArgument => ContextKind::InvalidArg,
        ErrorKind::InvalidSubcommand => ContextKind::InvalidSubcommand,
        _ => return error,
    };
    let Some(ContextValue::String(word)) = error.get(context) else {
        return error;
    };
    let word = word.clone();
    let mut given = arguments
        .iter()
        .skip(1)
        .filter_map(|argument| argument.to_str());
    let name = given.find(|argument| command.find_subcommand(argument).is_some());
    let tip = match word.strip_prefix('-') {
        Some(flag) => about_flag(command, name, flag.trim_start_matches('-')),
        None => about_word(command, name, &word),
    };
    for suggested in [
        ContextKind::Suggested,
        ContextKind::SuggestedArg,
        ContextKind::SuggestedSubcommand,
    ] {
        error.remove(suggested);
    }
    if let Some(tip) = tip {
        let tips = vec![StyledStr::from(tip)];
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
    }
    let usage = match name.and_then(|name| command.find_subcommand_mut(name)) {
        Some(command) => command.render_usage(),
        None => command.render_usage(),
    };
    error.insert(ContextKind::Usage, ContextValue::StyledStr(usage));
    error
}

/// The flags that a command takes, or those of serving.
fn flags<'c>(command: &'c Command, name: Option<&str>) -> Vec<&'c str> {
    let command = name
        .and_then(|name| command.find_subcommand(name))
        .unwrap_or(command);
    let arguments = command.get_arguments();
    let shown = arguments.filter(|argument| !argument.is_hide_set());
    shown.map(long).collect()
}

/// A flag with what stands for its value, as in `--config.file FILE`.
fn form(command: &Command, flag: &str) -> String {
    let mut arguments = command.get_arguments();
    let argument = arguments.find(|argument| long(argument) == flag);
    let valued = argument.filter(|argument| argument.get_action().takes_values());
    match valued.and_then(Arg::get_value_names) {
        Some([value]) => format!("--{flag} {value}"),
        _ => format!("--{flag}"),
    }
}

/// What may have been meant by the flag `given`, without its hyphens.
fn about_flag(command: &Command, name: Option<&str>, given: &str) -> Option<String> {
    let flags = flags(command, name);
    let words = words(given).join("-");
    let plain = words.strip_prefix("web-").unwrap_or(&words);
    if plain.contains("secret") {
        return Some(
            "no flag takes a key, as everybody on a machine can read the flags of a program; set \
             TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY, or name files in a configuration"
                .to_owned(),
        );
    }
    let known = OTHER_WORDS
        .iter()
        .find(|(others, _)| others.contains(&plain));
    let known = known.and_then(|(_, ours)| ours.iter().find(|flag| flags.contains(flag)).copied());
    if let Some(flag) = known.or_else(|| nearest(given, &flags)) {
        let own = name.and_then(|name| command.find_subcommand(name));
        let form = form(own.unwrap_or(command), flag);
        return Some(format!("did you mean '{form}'?"));
    }
    command.get_subcommands().find_map(|other| {
        let own = other
            .get_arguments()
            .filter(|argument| !argument.is_global_set());
        let own: Vec<&str> = own.map(long).filter(|flag| *flag != "help").collect();
        let flag = nearest(given, &own)?;
        let form = form(other, flag);
        Some(format!("the command '{}' takes '{form}'", other.get_name()))
    })
}

/// What may have been meant by `given`, which is neither a flag nor a command.
fn about_word(command: &Command, name: Option<&str>, given: &str) -> Option<String> {
    let flags = flags(command, name);
    let takes = |flag: &str| flags.contains(&flag);
    if matches!(given, "true" | "false") {
        return Some(format!(
            "a flag that switches something on takes no value; leave '{given}' out"
        ));
    }
    let is_port = given.bytes().all(|byte| byte.is_ascii_digit());
    let address = if is_port {
        format!(":{given}")
    } else {
        given.to_owned()
    };
    if address.parse::<ListenAddress>().is_ok() {
        let (flag, host) = match address.starts_with(':') && takes("listen") {
            // The simulated API does not listen on every address.
            true => ("listen", "127.0.0.1"),
            false => (
                ["web.listen-address", "listen"]
                    .into_iter()
                    .find(|flag| takes(flag))?,
                "",
            ),
        };
        return Some(format!("did you mean '--{flag} {host}{address}'?"));
    }
    if given.contains(['.', '/']) {
        let is_text_file = given.ends_with(".prom") || given.ends_with(".txt");
        let all = ["output", "scenario", "config.file"];
        let mut files = all.into_iter().skip(usize::from(!is_text_file));
        let flag = files.find(|flag| takes(flag))?;
        return Some(format!("did you mean '--{flag} {given}'?"));
    }
    if name.is_some() {
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
    let commands: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
    nearest(given, &commands).map(|command| format!("did you mean '{command}'?"))
}

/// The words of a flag, in lower case.
fn words(flag: &str) -> Vec<String> {
    let words = flag.split(['.', '-', '_']).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

/// The one of `known` that is most like `given`, if one is.
fn nearest<'k>(given: &str, known: &[&'k str]) -> Option<&'k str> {
    let given = words(given);
    let mut best = None;
    for name in known {
        let likeness = likeness(&given, &words(name));
        if likeness > best.map_or(0, |(most, _)| most) {
            best = Some((likeness, *name));
        }
    }
    best.map(|(_, name)| name)
}

/// How much alike two names are, in percent: as they share words, or are the same but
/// for a few letters. 0 is not alike.
fn likeness(given: &[String], name: &[String]) -> usize {
    let letters = name.concat();
    let by_letters = match wrong_letters(&given.concat(), &letters) {
        None => 0,
        Some(wrong) => 100 - 100 * wrong / letters.len().max(1),
    };
    let is_word = |word: &String| {
        let begins =
            |other: &String| other.starts_with(word.as_str()) || word.starts_with(other.as_str());
        word.len() >= 3 && name.iter().any(begins)
    };
    let by_words = match given.iter().all(is_word) && !given.is_empty() {
        true => 100 * given.len().min(name.len()) / name.len().max(1),
        false => 0,
    };
    by_letters.max(by_words)
}

#[cfg(test)]
mod tests {
    use expect_test::expect_file;

    use crate::commands::Cli;

    /// What the command line `text` is told, or that it is good.
    fn told(text: &str) -> String {
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
                let told = lines.take_while(is_general);
                let told: Vec<&str> = told.filter(|line| !line.is_empty()).collect();
                told.join(" ")
            }
        }
    }

    #[test]
    fn wrong_usage_is_told_what_is_wrong_and_what_to_write() {
        // Each two lines: the command line, and what is said of it.
        let cases = include_str!("../../tests/fixtures/cli/usage.txt").lines();
        let commands = cases.filter_map(|line| line.strip_prefix("cwp-exporter"));
        let told = commands.map(|command| format!("cwp-exporter{command}\n{}\n", told(command)));
        let told: Vec<String> = told.collect();
        expect_file!["../../tests/fixtures/cli/usage.txt"].assert_eq(&told.join("\n"));
    }
}
