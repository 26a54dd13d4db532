//! Recovery codes: each signs in once in place of a second factor that was lost. They are made when the first second
//! factor is set up, shown until the person says that they are kept, and stored as keyed hashes.

use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};

use crate::app::App;
use crate::audit::event::{Actor, Kind};
use crate::model::person::Person;
use crate::secrets::master_key::Derivation;
use crate::store::{Stored, Tx, recovery_codes, sessions};

/// Where the codes are shown and made.
pub const CODES_PATH: &str = "/account/recovery-codes";
/// What stands in `amr` for a recovery code, for which RFC 8176 has no word.
pub const METHOD: &str = "recovery";
/// How many codes there are.
const CODES: usize = 10;
/// Characters of a code: 80 bits in base32.
const LENGTH: usize = 16;

/// The codes that derive from a nonce, each in groups of four.
pub(crate) fn codes(app: &App, person_id: &str, nonce: &str) -> Vec<String> {
    let code = |number: usize| {
        let derived = app.master.derive(
            Derivation::RecoveryCode,
            &["code", person_id, nonce, &number.to_string()],
        );
        let bytes = BASE64URL_NOPAD.decode(derived.as_bytes()).unwrap_or_default();
        let text: Vec<char> = BASE32_NOPAD
            .encode(&bytes)
            .to_lowercase()
            .chars()
            .take(LENGTH)
            .collect();
        text.chunks(4)
            .map(|group| group.iter().collect::<String>())
            .collect::<Vec<_>>()
            .join("-")
    };
    (0..CODES).map(code).collect()
}

/// What the database keeps of a code, however it was typed.
pub(crate) fn hash(app: &App, person_id: &str, typed: &str) -> String {
    let plain: String = typed
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect::<String>()
        .to_lowercase();
    app.master
        .derive(Derivation::RecoveryCode, &["hash", person_id, &plain])
}

/// Makes new codes in place of those that a person has, to be shown in a session.
pub fn make(app: &App, tx: &mut Tx<'_>, person: &Person, session_id: &str) -> Stored<()> {
    let nonce = app.entropy.secret();
    let hashes: Vec<String> = codes(app, &person.id, &nonce)
        .iter()
        .map(|code| hash(app, &person.id, code))
        .collect();
    recovery_codes::replace(tx.conn(), &person.id, &hashes, app.now())?;
    sessions::keep_recovery_nonce(tx.conn(), session_id, Some(&nonce))?;
    tx.audit(
        app.event(Kind::SecondFactorChanged, Actor::Person(person.id.clone()))
            .with("action", "recovery_codes_made"),
    );
    Ok(())
}

/// What follows when a second factor was set up: whoever has no recovery codes gets some, shown at [`CODES_PATH`].
pub fn after_set_up(app: &App, tx: &mut Tx<'_>, person: &Person, session_id: &str) -> Stored<()> {
    if recovery_codes::left(tx.conn(), &person.id)?.0 == 0 {
        make(app, tx, person, session_id)?;
    }
    Ok(())
}
