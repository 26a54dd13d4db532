//! Which passwords are accepted (NIST SP 800-63B-4 §3.1.1.2), and how easy one is to guess, in words for the person who
//! chooses it. Length, a blocklist, and the person's own names count; nothing is asked of the characters.
//!
//! The blocklist of the program are the dictionaries of zxcvbn: common passwords, names, English words, keyboard rows,
//! dates and their usual disguises. A password is refused when zxcvbn needs fewer than a million guesses for it, or for
//! what is left of it without the words that anybody knows about the person. An installation can add a list of its own.

mod blocklist;

use std::path::Path;

use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;
use zxcvbn::feedback::Warning;

use crate::config::Config;
use crate::model::names::username_key;
use crate::model::person::Person;
use crate::model::secret::Secret;
use blocklist::Blocklist;

/// The longest password, in bytes (§3.1.1.2 asks for at least 64 characters).
pub const LONGEST: usize = 1024;
/// How much of a password is judged, in characters.
const JUDGED: usize = 64;
/// Symbols that zxcvbn takes for letters in disguise. It tries all combinations, which takes seconds for many of them.
const DISGUISES: &str = "@({[<!|$+%";
/// How many of them it gets to see.
const DISGUISES_SEEN: usize = 2;
/// What the others become: symbols that stand for themselves.
const PLAIN: &str = "~^*_=:;?&-";
/// The lowest score that is accepted: a million guesses, 10,000 times what an account allows in a row.
const LOWEST_SCORE: u8 = 2;
/// The shortest word that is looked for in a password, in characters.
const SHORTEST_WORD: usize = 3;
const DAY_SECONDS: i64 = 86_400;

/// A password as it is hashed and compared: in Unicode's normalization form C (§3.1.1.2), because the same letter can be
/// typed in more than one way.
pub fn normalized(password: &Secret) -> Zeroizing<String> {
    Zeroizing::new(password.reveal().nfc().collect())
}

/// Whose password it is to be.
#[derive(Debug, Clone, Copy)]
pub struct Whose<'a> {
    /// Username.
    pub username: &'a str,
    /// Full name.
    pub name: &'a str,
    /// Whether the account has a second factor.
    pub second_factor: bool,
}

impl<'a> Whose<'a> {
    /// Somebody's; `has_passkey`: whether she has one.
    pub fn of(person: &'a Person, has_passkey: bool) -> Self {
        Self {
            username: &person.username,
            name: &person.name,
            second_factor: person.has_second_factor(has_passkey),
        }
    }
}

/// Why a password is refused. `Display` is for an administrator, [`PasswordRefused::for_person`] for the one who chooses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordRefused {
    /// Fewer characters than wanted.
    TooShort {
        /// How many there are.
        has: usize,
        /// How many are wanted.
        wanted: usize,
        /// Whether the account has a second factor.
        second_factor: bool,
    },
    /// More bytes than are hashed.
    TooLong(usize),
    /// It is the username.
    Username,
    /// Too easy to guess; with advice.
    Easy(String),
    /// It stands in the list of the installation.
    Listed,
    /// One of the last so many passwords of the account.
    Used(u32),
}

impl std::fmt::Display for PasswordRefused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooShort {
                has,
                wanted,
                second_factor,
            } => {
                let beside = if *second_factor {
                    "beside a second factor"
                } else {
                    "without a second factor"
                };
                write!(
                    f,
                    "it has {has} characters; {beside} at least {wanted} are needed"
                )
            }
            Self::TooLong(bytes) => write!(f, "it has {bytes} bytes; at most {LONGEST} are taken"),
            Self::Username => f.write_str("it is the username"),
            Self::Easy(advice) => write!(f, "it is too easy to guess. {advice}"),
            Self::Listed => f.write_str("it stands in [login] password_blocklist_file"),
            Self::Used(1) => f.write_str("it is the present password"),
            Self::Used(count) => write!(f, "it is one of the last {count} passwords of this account"),
        }
    }
}

impl PasswordRefused {
    /// What the person is told at the field.
    pub fn for_person(&self) -> String {
        match self {
            Self::TooShort { wanted, .. } => format!("Choose a password with at least {wanted} characters"),
            Self::TooLong(_) => format!("Choose a password with fewer than {LONGEST} characters"),
            Self::Username => "Choose a password that is not your username".to_owned(),
            Self::Easy(advice) => format!("That password is too easy to guess. {advice}"),
            Self::Listed => "Choose another password: that one is known and is tried by attackers".to_owned(),
            Self::Used(1) => "Choose a password that is not your present one".to_owned(),
            Self::Used(count) => format!("Choose a password that is not one of your last {count}"),
        }
    }
}

/// The rules of this installation.
#[derive(Debug)]
pub struct Rules {
    length: u32,
    length_with_second_factor: u32,
    days: i64,
    history: u32,
    service: Vec<String>,
    blocklist: Option<Blocklist>,
}

impl Rules {
    /// Those of the configuration.
    ///
    /// # Errors
    /// When the blocklist file cannot be read.
    pub fn new(config: &Config) -> Result<Self, String> {
        let login = &config.login;
        let service = [
            Some(config.server.name.as_str()),
            config.server.jurisdiction.as_deref(),
        ];
        Ok(Self {
            length: login.password_length,
            length_with_second_factor: login.password_length_with_second_factor,
            days: login.password_days,
            history: login.password_history,
            service: service.into_iter().flatten().map(str::to_owned).collect(),
            blocklist: login
                .password_blocklist_file
                .as_deref()
                .map(Blocklist::open)
                .transpose()?,
        })
    }

    /// The fewest characters.
    pub fn shortest(&self, second_factor: bool) -> u32 {
        if second_factor {
            self.length_with_second_factor
        } else {
            self.length
        }
    }

    /// How many of the last passwords, the present one among them, may not be chosen again.
    pub fn history(&self) -> u32 {
        self.history
    }

    /// Whether a password that was set then must be changed now; a time before the epoch says that it must.
    pub fn has_expired(&self, changed_at: i64, now: i64) -> bool {
        changed_at < 0 || self.days > 0 && now - changed_at >= self.days * DAY_SECONDS
    }

    /// The words of the service, which attackers try first.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.service.iter().map(String::as_str)
    }

    /// Checks a password that somebody chose, but for the passwords used before: comparing those takes long.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, password: &Secret, whose: Whose<'_>) -> Result<(), PasswordRefused> {
        let text = normalized(password);
        let has = text.chars().count();
        let wanted = usize::try_from(self.shortest(whose.second_factor)).unwrap_or(usize::MAX);
        if has < wanted {
            return Err(PasswordRefused::TooShort {
                has,
                wanted,
                second_factor: whose.second_factor,
            });
        }
        if password.reveal().len() > LONGEST {
            return Err(PasswordRefused::TooLong(password.reveal().len()));
        }
        if username_key(&text) == username_key(whose.username) {
            return Err(PasswordRefused::Username);
        }
        if self.blocklist.as_ref().is_some_and(|list| list.contains(&text)) {
            return Err(PasswordRefused::Listed);
        }
        let words: Vec<&str> = [whose.username, whose.name]
            .into_iter()
            .chain(self.words())
            .collect();
        let strength = strength(&text, &words);
        if strength.score < LOWEST_SCORE {
            Err(PasswordRefused::Easy(strength.advice))
        } else {
            Ok(())
        }
    }
}

/// How hard a password is to guess.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Strength {
    /// 0 (a thousand guesses) to 4 (more than 10¹⁰); below 2 it is refused.
    pub score: u8,
    /// The score in words.
    pub word: &'static str,
    /// What would make it better; may be empty.
    pub advice: String,
}

const OWN_WORDS: &str = "Your name, your username and the name of this service are tried first.";
const MORE_WORDS: &str = "Use three or four words that do not belong together.";

/// Judges a password; `words` are those that anybody knows about the person and the place.
pub fn strength(password: &str, words: &[&str]) -> Strength {
    let text = Zeroizing::new(undisguised(password.nfc().take(JUDGED)));
    let known = parts(words);
    let whole = judge(&text, &known);
    let lower = Zeroizing::new(text.to_lowercase());
    let rest = Zeroizing::new(
        known
            .iter()
            .fold(lower.to_string(), |rest, word| rest.replace(word.as_str(), "")),
    );
    let rest = (*rest != *lower).then(|| judge(&rest, &[]));
    let (score, reason) = match rest {
        Some((score, _)) if score < whole.0 => (score, Some(OWN_WORDS)),
        _ => whole,
    };
    let word = match score {
        0 | 1 => "Too easy to guess",
        2 => "Could be stronger",
        3 => "Strong",
        _ => "Very strong",
    };
    let advice = match (score, reason) {
        (3.., _) => String::new(),
        (_, None) => MORE_WORDS.to_owned(),
        (_, Some(reason)) => format!("{reason} {MORE_WORDS}"),
    };
    Strength { score, word, advice }
}

/// The text with few of the symbols that take zxcvbn long.
fn undisguised(text: impl Iterator<Item = char>) -> String {
    let mut seen: Vec<char> = Vec::new();
    text.map(|c| match DISGUISES.find(c) {
        Some(place) if !seen.contains(&c) && seen.len() >= DISGUISES_SEEN => {
            PLAIN.chars().nth(place).unwrap_or_default()
        }
        Some(_) => {
            if !seen.contains(&c) {
                seen.push(c);
            }
            c
        }
        None => c,
    })
    .collect()
}

/// The words and their parts, in small letters, the longest first.
fn parts(words: &[&str]) -> Vec<String> {
    let mut parts: Vec<String> = words
        .iter()
        .flat_map(|word| std::iter::once(*word).chain(word.split(|c: char| !c.is_alphanumeric())))
        .map(|part| part.nfc().collect::<String>().to_lowercase())
        .filter(|part| part.chars().count() >= SHORTEST_WORD)
        .collect();
    parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
    parts.dedup();
    parts
}

/// How many guesses a secret withstands, as a power of ten.
pub fn log10_guesses(secret: &str) -> f64 {
    zxcvbn::zxcvbn(&undisguised(secret.chars()), &[]).guesses_log10()
}

fn judge(text: &str, known: &[String]) -> (u8, Option<&'static str>) {
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let judged = zxcvbn::zxcvbn(text, &known);
    let warning = judged.feedback().and_then(zxcvbn::feedback::Feedback::warning);
    (judged.score().into(), warning.map(in_words))
}

fn in_words(warning: Warning) -> &'static str {
    match warning {
        Warning::StraightRowsOfKeysAreEasyToGuess | Warning::ShortKeyboardPatternsAreEasyToGuess => {
            "Keys that lie side by side are easy to guess."
        }
        Warning::RepeatsLikeAaaAreEasyToGuess | Warning::RepeatsLikeAbcAbcAreOnlySlightlyHarderToGuess => {
            "Saying the same thing again makes it hardly harder to guess."
        }
        Warning::ThisIsATop10Password | Warning::ThisIsATop100Password | Warning::ThisIsACommonPassword => {
            "Many people use this password, so it is tried first."
        }
        Warning::ThisIsSimilarToACommonlyUsedPassword => "It is close to a password that many people use.",
        Warning::SequencesLikeAbcAreEasyToGuess => "Sequences such as abc or 6543 are easy to guess.",
        Warning::RecentYearsAreEasyToGuess | Warning::DatesAreOftenEasyToGuess => {
            "Dates and years are easy to guess."
        }
        Warning::AWordByItselfIsEasyToGuess => "A single word is easy to guess.",
        Warning::NamesAndSurnamesByThemselvesAreEasyToGuess
        | Warning::CommonNamesAndSurnamesAreEasyToGuess => "Names are easy to guess.",
    }
}

/// Whether a list of passwords can be read, and how many stand in it.
///
/// # Errors
/// Why not.
pub fn count_listed(path: &Path) -> Result<usize, String> {
    Blocklist::open(path).map(|list| list.len())
}
