use alloc::vec::Vec;

use lx_core::abi::tty::{InputFlags, LocalFlags, OutputFlags, Termios};

use super::{Cell, Discipline, Effect, Signal};

/// Types text; what it did besides.
fn typed(discipline: &mut Discipline, text: &[u8]) -> Vec<Effect> {
    let effects = text.iter().map(|&byte| {
        assert!(discipline.accepts());
        discipline.receive(byte)
    });
    let effects = effects.filter(|effect| *effect != Effect::default()).collect();
    discipline.input_ends();
    effects
}

fn shown(discipline: &mut Discipline) -> Vec<u8> {
    let mut bytes = [0; 256];
    let count = discipline.take_output(&mut bytes);
    bytes[..count].to_vec()
}

/// Reads with room for `len` bytes; ends of file count as nothing.
fn read(discipline: &mut Discipline, len: usize) -> Vec<u8> {
    let mut cells = [Cell::default(); 256];
    let count = discipline.read(&mut cells[..len], true);
    cells[..count].iter().filter(|cell| !cell.is_end_of_file()).map(|cell| cell.byte).collect()
}

fn with(change: impl FnOnce(&mut Termios)) -> Discipline {
    let mut discipline = Discipline::new();
    let mut settings = *discipline.settings();
    change(&mut settings);
    discipline.set_settings(settings);
    discipline
}

#[test]
fn lines_are_read_one_by_one() {
    let mut tty = Discipline::new();
    typed(&mut tty, b"one\ntwo");
    assert_eq!(read(&mut tty, 2), b"on");
    assert_eq!(read(&mut tty, 9), b"e\n");
    assert!(!tty.input().has_line());
    typed(&mut tty, b"\n");
    assert_eq!(read(&mut tty, 9), b"two\n");
    assert_eq!(shown(&mut tty), b"one\r\ntwo\r\n");
}

#[test]
fn an_end_of_file_ends_a_line_without_a_byte() {
    let mut tty = Discipline::new();
    typed(&mut tty, b"ab\x04\x04");
    // It is taken along by a read that is full without it.
    assert_eq!(read(&mut tty, 2), b"ab");
    assert!(tty.input().has_line());
    assert_eq!(read(&mut tty, 9), b"");
    assert!(!tty.input().has_line());
}

#[test]
fn erased_characters_are_wiped_out() {
    let mut tty = Discipline::new();
    typed(&mut tty, b"ab\x7f\x01\x7f c\x17\n");
    assert_eq!(read(&mut tty, 9), b"a \n");
    assert_eq!(shown(&mut tty), b"ab\x08 \x08^A\x08 \x08\x08 \x08 c\x08 \x08\r\n");
}

#[test]
fn tabulators_are_erased_as_wide_as_they_were() {
    let mut tty = Discipline::new();
    tty.write(b"$ ");
    typed(&mut tty, b"a\t\x7f");
    assert_eq!(shown(&mut tty), b"$ a\t\x08\x08\x08\x08\x08");
}

#[test]
fn a_line_begins_at_the_first_byte_after_lines_ended() {
    let canonical = LocalFlags::ICANON.bits();
    let mut tty = with(|settings| settings.c_lflag &= !canonical);
    typed(&mut tty, b"abc");
    assert_eq!(read(&mut tty, 9), b"abc");
    typed(&mut tty, b"d");
    assert_eq!(read(&mut tty, 9), b"d");
    let settings = *tty.settings();
    let silent = settings.c_lflag & !LocalFlags::ECHO.bits() | canonical;
    tty.set_settings(Termios { c_lflag: silent, ..settings });
    typed(&mut tty, b"\x01");
    tty.set_settings(Termios { c_lflag: settings.c_lflag | canonical, ..settings });
    typed(&mut tty, b"\t\x7f");
    // Two columns for ^X, as the line counts from where `a` was shown.
    assert_eq!(shown(&mut tty), b"abcd\t\x08\x08\x08\x08\x08\x08");
}

#[test]
fn a_character_of_utf_8_is_erased_as_a_whole() {
    let mut tty = with(|settings| settings.c_iflag |= InputFlags::IUTF8.bits());
    typed(&mut tty, "aä\x7f\n".as_bytes());
    assert_eq!(read(&mut tty, 9), b"a\n");
    assert_eq!(shown(&mut tty), "aä\x08 \x08\r\n".as_bytes());
}

#[test]
fn deletions_that_are_shown_move_the_column_as_linux_moves_it() {
    let mut tty = with(|settings| {
        settings.c_iflag |= InputFlags::IUTF8.bits();
        settings.c_lflag |= LocalFlags::ECHOPRT.bits();
        settings.c_oflag |= OutputFlags::XTABS.bits();
    });
    typed(&mut tty, "\u{e4}\x7f\t".as_bytes());
    assert_eq!(shown(&mut tty), "\u{e4}\\\u{e4}/     ".as_bytes());
}

#[test]
fn a_killed_line_is_wiped_out_or_left_behind() {
    let mut tty = Discipline::new();
    typed(&mut tty, b"ab\x15");
    assert_eq!(shown(&mut tty), b"ab\x08 \x08\x08 \x08");
    let mut tty = with(|settings| settings.c_lflag &= !LocalFlags::ECHOKE.bits());
    typed(&mut tty, b"ab\x15");
    assert_eq!(shown(&mut tty), b"ab^U\r\n");
}

#[test]
fn keys_send_signals_and_throw_away_what_was_typed() {
    let mut tty = Discipline::new();
    let effects = typed(&mut tty, b"abc\x03d\n");
    assert_eq!(effects, [Effect { signal: Some(Signal::SIGINT), flushed: true }]);
    assert_eq!(read(&mut tty, 9), b"d\n");
    let mut tty = with(|settings| settings.c_lflag |= LocalFlags::NOFLSH.bits());
    let effects = typed(&mut tty, b"abc\x1ad\n");
    assert_eq!(effects, [Effect { signal: Some(Signal::SIGTSTP), flushed: false }]);
    assert_eq!(read(&mut tty, 9), b"abcd\n");
}

#[test]
fn a_key_that_flushes_takes_back_the_echo_of_what_came_with_it() {
    let mut tty = Discipline::new();
    typed(&mut tty, b"a");
    typed(&mut tty, b"bc\x03d");
    assert_eq!(shown(&mut tty), b"a^Cd");
    let mut tty = with(|settings| settings.c_lflag |= LocalFlags::NOFLSH.bits());
    typed(&mut tty, b"bc\x03d");
    assert_eq!(shown(&mut tty), b"bc^Cd");
}

#[test]
fn the_next_byte_is_literal() {
    let mut tty = Discipline::new();
    assert_eq!(typed(&mut tty, b"\x16\x03\n"), []);
    assert_eq!(read(&mut tty, 9), b"\x03\n");
    assert_eq!(shown(&mut tty), b"^\x08^C\r\n");
}

#[test]
fn stopped_output_waits_and_so_does_echo() {
    let mut tty = Discipline::new();
    typed(&mut tty, b"\x13a");
    assert!(!tty.can_write());
    assert_eq!(tty.write(b"x"), 0);
    assert_eq!(shown(&mut tty), b"");
    typed(&mut tty, b"\x11");
    assert_eq!(tty.write(b"x"), 1);
    assert_eq!(shown(&mut tty), b"ax");
}

#[test]
fn a_line_that_is_too_long_can_be_finished() {
    let mut tty = with(|settings| settings.c_lflag &= !LocalFlags::ECHO.bits());
    for _ in 0..5000 {
        typed(&mut tty, b"x");
    }
    typed(&mut tty, b"\n");
    assert!(!tty.accepts());
    let mut len = 0;
    while tty.input().has_line() {
        len += read(&mut tty, 256).len();
    }
    assert_eq!(len, 4096);
    assert!(tty.accepts());
}

#[test]
fn bytes_become_a_line_when_lines_are_wanted() {
    let mut tty = with(|settings| settings.c_lflag &= !LocalFlags::ICANON.bits());
    let raw = *tty.settings();
    typed(&mut tty, b"ab");
    tty.set_settings(Termios::INITIAL);
    assert!(tty.input().has_line());
    assert_eq!(read(&mut tty, 9), b"ab");
    typed(&mut tty, b"cd");
    tty.set_settings(raw);
    assert_eq!(read(&mut tty, 9), b"cd");
}

#[test]
fn output_is_processed() {
    let mut tty = with(|settings| settings.c_oflag |= OutputFlags::XTABS.bits());
    tty.write(b"a\tb\n\tc");
    assert_eq!(shown(&mut tty), b"a       b\r\n        c");
    let mut tty = with(|settings| settings.c_oflag = 0);
    tty.write(b"a\tb\n");
    assert_eq!(shown(&mut tty), b"a\tb\n");
}
