//! What is to happen to secrets: those that somebody chose, and those that we make.

use super::Mistakes;
use crate::live::valid_secrets;
use crate::model::registered::StoredSecret;
use crate::model::secret::{CHOSEN_SECRET_LOG10, SHORTEST_CHOSEN_SECRET, Secret};
use crate::secrets::password_rules::log10_guesses;

/// What is to happen to the secrets of a client or resource server.
#[derive(Debug, Clone, Default)]
pub(super) enum SecretStep {
    /// Nothing.
    #[default]
    Keep,
    /// This one becomes the only one.
    Set(Secret),
    /// A new one is made and becomes the only one.
    Generate,
    /// They end: keys take their place.
    End,
}

impl SecretStep {
    /// What a form means. `used`: the owner proves itself by secret.
    pub fn decide(
        given: Option<&Secret>,
        used: bool,
        existing: &[StoredSecret],
        now: i64,
        mistakes: &mut Mistakes,
    ) -> Self {
        let has_valid = valid_secrets(existing, now).next().is_some();
        let Some(given) = given else {
            return match (used, has_valid) {
                (true, false) => Self::Generate,
                (false, true) => Self::End,
                _ => Self::Keep,
            };
        };
        if !used {
            mistakes.add(
                "secret",
                "it is of no use beside keys or auth_method none; leave it out",
            );
            return Self::Keep;
        }
        if let Err(text) = strong(given) {
            mistakes.add("secret", text);
            return Self::Keep;
        }
        let hash = given.hash();
        match existing.iter().find(|known| known.hash.matches(&hash)) {
            None => Self::Set(given.clone()),
            Some(known) if known.expires_at.is_none_or(|ends| now < ends) => Self::Keep,
            Some(_) => {
                mistakes.add(
                    "secret",
                    "this secret has ended and must not come back; choose another, or leave the key out",
                );
                Self::Keep
            }
        }
    }

    /// What a form means of a secret that was made elsewhere: whether one is kept, and which one it `matches`.
    pub fn decide_ours(
        given: Option<&Secret>,
        used: bool,
        kept: bool,
        matches: impl Fn(&Secret) -> bool,
        mistakes: &mut Mistakes,
    ) -> Self {
        match (given, used) {
            (Some(_), false) => {
                mistakes.add("secret", "it is of no use beside auth_method none; leave it out");
                Self::Keep
            }
            (Some(given), true) if given.reveal().is_empty() => {
                mistakes.add("secret", "it is empty");
                Self::Keep
            }
            (Some(given), true) if matches(given) => Self::Keep,
            (Some(given), true) => Self::Set(given.clone()),
            (None, false) if kept => Self::End,
            (None, _) => Self::Keep,
        }
    }

    /// What it is called in the record; none if nothing happens.
    pub fn name(&self) -> Option<&'static str> {
        match self {
            Self::Keep => None,
            Self::Set(_) => Some("set"),
            Self::Generate => Some("generated"),
            Self::End => Some("ended"),
        }
    }
}

/// A secret that somebody chose.
fn strong(secret: &Secret) -> Result<(), String> {
    let mut characters = secret.reveal().chars();
    let count = characters.clone().count();
    if count < SHORTEST_CHOSEN_SECRET {
        return Err(format!(
            "it has {count} characters; at least {SHORTEST_CHOSEN_SECRET} are needed (leave the key out and one is made)"
        ));
    }
    if !secret.reveal().is_ascii() {
        return Err(
            "it has characters beyond ASCII, which much software does not send as they are; leave the key out and one is made"
                .to_owned(),
        );
    }
    let first = characters.next();
    if characters.all(|character| Some(character) == first) {
        return Err("it is one character repeated; leave the key out and a secret is made".to_owned());
    }
    // Whoever has the wrong one is slowed down and nobody else is: the secret itself must withstand guessing.
    if log10_guesses(secret.reveal()) < CHOSEN_SECRET_LOG10 {
        return Err(
            "it is too easy to guess (words, dates, rows of the keyboard, repetitions); leave the key out and one is made"
                .to_owned(),
        );
    }
    Ok(())
}
