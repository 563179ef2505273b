//! The command line: options and what is said about wrong ones.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ErrorKind};
use clap::{Parser, Subcommand};

use crate::names::os_string;
use crate::paths::Direction;

/// Run Linux programs on lx, a Linux kernel in user mode
#[derive(Debug, Parser)]
#[command(name = "lx", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(RunOptions),
    /// List the system calls that are implemented, and how far
    Syscalls,
    Path(PathOptions),
    /// Tell what this host offers, and what lx does without it
    ///
    /// On Windows also measures what the questions R1 to R12 of docs/windows.md are about.
    Doctor {
        /// Only these questions, such as R3
        #[arg(value_name = "QUESTION")]
        questions: Vec<String>,
    },
}

/// Run a program
///
/// Without --rootfs, the program sees the file system of the host, and what it writes is kept in
/// memory and gone when it ends. It runs as the calling user, in the current directory, with the
/// caller's environment, as if it were started without lx.
///
/// With --rootfs, it sees the directory as its root file system and writes there; or it sees what
/// is in the archive (.tar, .tar.gz, .tar.xz, .tar.zst), which is unpacked into memory. It runs as
/// root, in '/', with an environment of PATH, HOME, HOSTNAME and TERM. Owners and modes in a
/// directory that you may not set are kept beside the files, in extended attributes (user.lx.*).
///
/// A terminal among the standard streams is the program's, too. With -t, it gets one of its own
/// (/dev/pts/0), which is shown there: the caller's terminal passes every key on, and has its
/// settings back when lx ends or stops, even if lx is killed.
///
/// The exit status is the program's own; 128+n when signal n ended it; 125 when lx failed; 126
/// when the program cannot be executed; 127 when it was not found. When the program ends,
/// everything that it left running is killed.
#[derive(Debug, Default, PartialEq, Eq, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  lx run /bin/bash -c 'uname -a'
  lx run make test
  lx run --rootfs ./debian -v ./src:/src -w /src -u builder make"
)]
pub(crate) struct RunOptions {
    /// Directory that is the root file system, or archive to be unpacked into memory
    #[arg(long, value_name = "DIR|FILE")]
    pub(crate) rootfs: Option<PathBuf>,
    /// Set an environment variable; without a value, pass on the caller's
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<OsString>,
    /// Working directory
    #[arg(short, long, value_name = "DIR")]
    pub(crate) workdir: Option<PathBuf>,
    /// User to run as, by name or number
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub(crate) user: Option<OsString>,
    /// Show a file or directory of the host; writes go to the host unless :ro
    #[arg(short, long, value_name = "HOST:GUEST[:ro]", value_parser = ParseVolume)]
    pub(crate) volume: Vec<Volume>,
    /// Give the program a terminal of its own, shown on the caller's
    #[arg(short, long)]
    pub(crate) terminal: bool,
    /// Print every system call, to standard error or a file
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    pub(crate) strace: Option<Option<PathBuf>>,
    /// At the end, print counters of system calls, to standard error or a file
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    pub(crate) stats: Option<Option<PathBuf>>,
    /// Program and its arguments; a name without a slash is looked up in the guest's PATH
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_names = ["PROGRAM", "ARGS"]
    )]
    pub(crate) command: Vec<OsString>,
}

/// Translate a path between Windows and the guest, as wslpath does
///
/// Windows' drives are below /mnt: C:\\Users is /mnt/c/Users.
#[derive(Debug, Default, PartialEq, Eq, clap::Args)]
pub(crate) struct PathOptions {
    /// From Windows to the guest (default)
    #[arg(short = 'u', conflicts_with_all = ["to_windows", "to_windows_with_slashes"])]
    to_guest: bool,
    /// From the guest to Windows
    #[arg(short = 'w', conflicts_with = "to_windows_with_slashes")]
    to_windows: bool,
    /// From the guest to Windows, with '/' instead of '\\'
    #[arg(short = 'm')]
    to_windows_with_slashes: bool,
    /// Make the result absolute
    #[arg(short = 'a')]
    pub(crate) absolute: bool,
    /// The path
    pub(crate) path: OsString,
}

impl PathOptions {
    /// The way that the options ask for.
    pub(crate) fn direction(&self) -> Direction {
        match (self.to_windows, self.to_windows_with_slashes) {
            (_, true) => Direction::WindowsWithSlashes,
            (true, false) => Direction::Windows,
            (false, false) => Direction::Guest,
        }
    }
}

/// The value of `--volume`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Volume {
    pub(crate) host: PathBuf,
    pub(crate) guest: PathBuf,
    pub(crate) read_only: bool,
}

#[derive(Clone)]
struct ParseVolume;

impl clap::builder::TypedValueParser for ParseVolume {
    type Value = Volume;

    fn parse_ref(
        &self,
        _: &clap::Command,
        _: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<Volume, clap::Error> {
        let bytes = value.as_encoded_bytes();
        let (paths, read_only) = match (bytes.strip_suffix(b":ro"), bytes.strip_suffix(b":rw")) {
            (Some(paths), _) => (paths, true),
            (None, Some(paths)) => (paths, false),
            (None, None) => (bytes, false),
        };
        // From the right, as a host path of Windows has a colon behind its drive.
        let at = paths.windows(2).rposition(|pair| pair == b":/").unwrap_or(0);
        let (host, guest) = paths.split_at(at);
        let guest = guest.strip_prefix(b":").unwrap_or_default();
        if host.is_empty() || guest.contains(&b':') {
            let sentence = format!(
                "'{}' is not of the form HOST:GUEST[:ro] with an absolute path GUEST",
                value.display()
            );
            return Err(clap::Error::raw(ErrorKind::ValueValidation, sentence));
        }
        Ok(Volume { host: os_string(host).into(), guest: os_string(guest).into(), read_only })
    }
}

/// What the user wants.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Run(RunOptions),
    Syscalls,
    Path(PathOptions),
    /// With the questions that are to be asked, if not all.
    Doctor(Vec<String>),
    /// Help, the version: text for standard output.
    Print(String),
}

/// Understands a command line.
///
/// # Errors
///
/// One sentence that says what is wrong and what to do.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Action, String> {
    let args: Vec<_> = args.into_iter().collect();
    match Cli::try_parse_from(&args) {
        Ok(Cli { command: Command::Run(options) }) => {
            // Everything from the first word that is no option belongs to the program, so an
            // option that lx does not know would be taken for the program.
            let first =
                options.command.first().filter(|word| word.as_encoded_bytes().starts_with(b"-"));
            let before = args.len().checked_sub(options.command.len() + 1);
            let ended = before.and_then(|at| args.get(at)).is_some_and(|word| word == "--");
            match first {
                Some(word) if !ended => Err(unknown_option(&word.display().to_string())),
                _ => Ok(Action::Run(options)),
            }
        }
        Ok(Cli { command: Command::Syscalls }) => Ok(Action::Syscalls),
        Ok(Cli { command: Command::Path(options) }) => Ok(Action::Path(options)),
        Ok(Cli { command: Command::Doctor { questions } }) => Ok(Action::Doctor(questions)),
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                Ok(Action::Print(error.render().to_string()))
            }
            _ => Err(sentence(&error)),
        },
    }
}

fn unknown_option(option: &str) -> String {
    format!("unknown option '{option}'; `lx run --help` lists the options, and `--` ends them")
}

fn sentence(error: &clap::Error) -> String {
    let context = |kind| error.get(kind).map(ToString::to_string).unwrap_or_default();
    match error.kind() {
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            "say what to do, as in `lx run /bin/bash`; `lx --help` tells more".to_owned()
        }
        ErrorKind::MissingRequiredArgument => {
            "say which program to run, as in `lx run /bin/bash`".to_owned()
        }
        ErrorKind::InvalidSubcommand => {
            let word = context(ContextKind::InvalidSubcommand);
            format!("unknown command '{word}'; to run a program of this name, `lx run {word}`")
        }
        ErrorKind::UnknownArgument => unknown_option(&context(ContextKind::InvalidArg)),
        _ => {
            let text = error.render().to_string();
            let line = text.lines().next().unwrap_or_default();
            let line = line.strip_prefix("error: ").unwrap_or(line);
            format!("{line}; `lx run --help` shows the options")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Action, String> {
        parse(line.split_whitespace().map(OsString::from))
    }

    fn options(line: &str) -> RunOptions {
        match parsed(line) {
            Ok(Action::Run(options)) => options,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn options_end_at_the_program() {
        let found = options("lx run -e A=1 -e B prog -e C -- --stats -x");
        assert_eq!(found.env, ["A=1", "B"]);
        assert_eq!(found.command, ["prog", "-e", "C", "--", "--stats", "-x"]);
        assert_eq!(found.stats, None);
        assert_eq!(options("lx run -- -x --rootfs y").command, ["-x", "--rootfs", "y"]);
        assert_eq!(options("lx run --stats -- prog --").command, ["prog", "--"]);
    }

    #[test]
    fn paths_have_a_direction() {
        let direction = |line: &str| match parsed(line) {
            Ok(Action::Path(options)) => (options.direction(), options.absolute),
            other => panic!("{line}: {other:?}"),
        };
        assert_eq!(direction("lx path x"), (Direction::Guest, false));
        assert_eq!(direction("lx path -au x"), (Direction::Guest, true));
        assert_eq!(direction("lx path -w x"), (Direction::Windows, false));
        assert_eq!(direction("lx path -m x"), (Direction::WindowsWithSlashes, false));
        assert!(parsed("lx path -u -w x").is_err());
    }

    #[test]
    fn files_of_strace_and_stats_need_an_equals_sign() {
        let found = options("lx run --strace --stats=out prog");
        assert_eq!(found.strace, Some(None));
        assert_eq!(found.stats, Some(Some("out".into())));
        assert_eq!(found.command, ["prog"]);
    }

    #[test]
    fn every_option_is_taken() {
        let found = options("lx run -t --rootfs /r -w /w -u ann:users -v a:/b:ro -v c:/d prog");
        let volume = |host: &str, guest: &str, read_only| Volume {
            host: host.into(),
            guest: guest.into(),
            read_only,
        };
        assert_eq!(
            options("lx run -v C:/a:/b:rw prog").volume,
            [volume("C:/a", "/b", false)],
            "a drive is part of the host path"
        );
        let expected = RunOptions {
            rootfs: Some("/r".into()),
            workdir: Some("/w".into()),
            user: Some("ann:users".into()),
            volume: vec![volume("a", "/b", true), volume("c", "/d", false)],
            terminal: true,
            command: vec!["prog".into()],
            ..RunOptions::default()
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn wrong_command_lines_get_one_sentence() {
        let sentence = |line: &str| parsed(line).unwrap_err();
        let unknown = |option: &str| unknown_option(option);
        assert_eq!(
            sentence("lx"),
            "say what to do, as in `lx run /bin/bash`; `lx --help` tells more"
        );
        assert_eq!(
            sentence("lx bash"),
            "unknown command 'bash'; to run a program of this name, `lx run bash`"
        );
        assert_eq!(sentence("lx --foo"), unknown("--foo"));
        assert_eq!(sentence("lx run --foo prog"), unknown("--foo"));
        assert_eq!(sentence("lx run -z"), unknown("-z"));
        for line in ["lx run", "lx run --", "lx run --stats"] {
            assert_eq!(sentence(line), "say which program to run, as in `lx run /bin/bash`");
        }
        for volume in ["a", "a:b", ":/b", "a:/b:rx", "a:/b:ro:c"] {
            assert_eq!(
                sentence(&format!("lx run -v {volume} prog")),
                format!(
                    "'{volume}' is not of the form HOST:GUEST[:ro] with an absolute path GUEST; \
                     `lx run --help` shows the options"
                )
            );
        }
        assert_eq!(
            sentence("lx run --rootfs"),
            "a value is required for '--rootfs <DIR|FILE>' but none was supplied; `lx run --help` \
             shows the options"
        );
    }

    #[test]
    fn help_and_version_are_no_errors() {
        for line in ["lx --help", "lx run --help", "lx --version"] {
            assert!(matches!(parsed(line), Ok(Action::Print(_))), "{line}");
        }
    }
}
