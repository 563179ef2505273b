//! Letters of names on Windows' drives. Those that Windows forbids are kept as private ones, U+F000 and
//! the letter, as WSL does it.

/// First of the private letters.
const PRIVATE: u32 = 0xf000;

fn is_forbidden(letter: char) -> bool {
    matches!(letter, '\u{1}'..='\u{1f}' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|')
}

/// The letter that Windows keeps for a letter of a guest's name.
#[must_use]
pub fn to_windows(letter: char) -> char {
    match is_forbidden(letter) {
        true => char::from_u32(PRIVATE + u32::from(letter)).unwrap_or(letter),
        false => letter,
    }
}

/// The letter that guests see for one of Windows' name.
#[must_use]
pub fn to_guest(letter: char) -> char {
    let original = u32::from(letter).checked_sub(PRIVATE).and_then(char::from_u32);
    original.filter(|original| is_forbidden(*original)).unwrap_or(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forbidden_letters_come_back_and_others_stay() {
        for letter in "a/ä\u{1}\u{1f}\\:*?\"<>|".chars() {
            assert_eq!(to_guest(to_windows(letter)), letter);
        }
        assert_eq!(to_windows(':'), '\u{f03a}');
        assert_eq!(to_windows('a'), 'a');
        // Nobody has made these from another letter, and no name has a NUL.
        assert_eq!((to_guest('\u{f041}'), to_guest('\u{f000}')), ('\u{f041}', '\u{f000}'));
    }
}
