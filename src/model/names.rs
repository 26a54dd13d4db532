//! Names that people type and read: how usernames are compared, and which texts look alike.

use precis_core::profile::PrecisFastInvocation;
use precis_profiles::{UsernameCaseMapped, UsernameCasePreserved};
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};
use unicode_security::{RestrictionLevel, RestrictionLevelDetection, skeleton};

/// How usernames are compared: width, letter case and composition of characters make no difference (RFC 8265 §3.3). Names
/// that the profile does not know are compared without letter case.
pub fn username_key(username: &str) -> String {
    mapped(username).unwrap_or_else(|| username.trim().to_lowercase())
}

fn mapped(username: &str) -> Option<String> {
    parts(username.trim(), |part| {
        UsernameCaseMapped::enforce(part).ok().map(Into::into)
    })
}

/// Whether an agency means the account of a username: as [`username_key`] compares, but for names that the profile does not
/// know, of which only the letters of ASCII are alike.
pub fn is_username(known: &str, said: &str) -> bool {
    known.eq_ignore_ascii_case(said) || mapped(known).is_some_and(|known| mapped(said) == Some(known))
}

/// A new username, as it is kept: by parts with blanks in between (RFC 8265 §3.1), of scripts that belong together (UTS 39
/// §5.2, Highly Restrictive), so that none looks like another that somebody knows.
///
/// # Errors
/// What is wanted.
pub fn username(typed: &str) -> Result<String, String> {
    let wanted = |what: &str| format!("{typed:?} {what}");
    if !(1..=128).contains(&typed.chars().count()) || typed.trim() != typed {
        return Err(wanted(
            "must have 1 to 128 printable characters, without blanks at its ends",
        ));
    }
    let kept = parts(typed, |part| {
        UsernameCasePreserved::enforce(part).ok().map(Into::into)
    });
    let kept = kept.ok_or_else(|| {
        wanted("has a character that usernames cannot have: use letters, digits and signs such as . - _ @")
    })?;
    // Signs are no letters of a script.
    let letters: String = kept
        .chars()
        .filter(|c| !c.is_ascii() || c.is_ascii_alphanumeric())
        .collect();
    if !letters.check_restriction_level(RestrictionLevel::HighlyRestrictive) {
        return Err(wanted(
            "mixes letters of different alphabets that look alike: write it in one alphabet",
        ));
    }
    Ok(kept)
}

fn parts(text: &str, each: impl Fn(&str) -> Option<String>) -> Option<String> {
    let parts = text.split(' ').filter(|part| !part.is_empty()).map(each);
    let parts: Vec<String> = parts.collect::<Option<_>>()?;
    (!parts.is_empty()).then(|| parts.join(" "))
}

/// Whether a name can be read as it is kept: nothing in it is invisible or turns the direction of what follows.
pub fn is_readable(name: &str) -> bool {
    let hides = |c: char| {
        matches!(
            c.general_category(),
            GeneralCategory::Control
                | GeneralCategory::Format
                | GeneralCategory::LineSeparator
                | GeneralCategory::ParagraphSeparator
        ) || matches!(
            c,
            '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}'
        )
    };
    !name.chars().any(hides)
}

/// Whether people take one name for the other (UTS 39 §4): as they are written, or in small letters.
pub fn look_alike(one: &str, other: &str) -> bool {
    let look = |name: &str| skeleton(name).collect::<String>();
    let small = |name: &str| words(&look(&words(name).to_lowercase()));
    let written = |name: &str| words(&look(&look(name).to_lowercase()));
    small(one) == small(other) || written(one) == written(other)
}

/// A text with one blank between its words.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
