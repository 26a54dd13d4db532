//! Requests that may be sent again (`Idempotency-Key`): the answer is kept in the transaction that makes the change, so
//! there is never one without the other, and of several that come at once one does it.

use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::BASE64URL_NOPAD;

use super::problem::{MemberMistake, Problem, Type};
use super::reply::Reply;
use crate::app::App;
use crate::secrets::master_key::{Derivation, Purpose};
use crate::store::idempotency::{self, Kept};
use crate::store::{StoreBroken, Stored, Tx};

/// The header with the key.
pub const HEADER: &str = "Idempotency-Key";
/// The longest key, in characters.
pub const LONGEST_KEY: usize = 64;
/// How long an answer is kept, in seconds.
const KEPT_SECONDS: i64 = 86_400;

/// A request under a key.
#[derive(Debug, Clone)]
pub struct Once {
    key: String,
    request: String,
}

fn hash(parts: &[&[u8]]) -> String {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    BASE64URL_NOPAD.encode(context.finish().as_ref())
}

impl Once {
    /// A request of a token: `request` are its method, its address and its body.
    ///
    /// # Errors
    /// A key that is none.
    pub fn new(app: &App, token: &str, key: &str, request: &[&[u8]]) -> Result<Self, Problem> {
        if !(1..=LONGEST_KEY).contains(&key.len()) || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            let wanted =
                format!("it must have 1 to {LONGEST_KEY} printable characters of ASCII without blanks");
            return Err(Problem::invalid(vec![MemberMistake::parameter(HEADER, wanted)]));
        }
        // Keyed: the body may hold a password, which nobody with the database must be able to guess quickly.
        let request = app.master.derive(Derivation::Request, &[&hash(request)]);
        Ok(Self {
            key: hash(&[token.as_bytes(), key.as_bytes()]),
            request,
        })
    }

    /// The answer that was given already, if there is one.
    ///
    /// # Errors
    /// What the database says, or an answer that does not open; that the key stands for another request is part of the
    /// answer.
    pub fn known(&self, app: &App, tx: &mut Tx<'_>) -> Stored<Option<Result<Reply, Problem>>> {
        let Some(kept) = idempotency::find(tx.conn(), &self.key, app.now())? else {
            return Ok(None);
        };
        if kept.request != self.request {
            let what = "this key came with another request before; make a new key for each request";
            return Ok(Some(Err(Problem::new(Type::KeyReused, what))));
        }
        let opened = app
            .master
            .open(Purpose::IdempotentAnswer, &self.key, &kept.answer);
        let plain = opened.map_err(|cause| StoreBroken::stored("answer", cause))?;
        let reply = serde_json::from_slice(&plain).map_err(|cause| StoreBroken::stored("answer", cause))?;
        Ok(Some(Ok(reply)))
    }

    /// Keeps an answer.
    pub fn keep(&self, app: &App, tx: &mut Tx<'_>, reply: &Reply) -> Stored<()> {
        let plain = serde_json::to_vec(reply).map_err(|cause| StoreBroken::stored("answer", cause))?;
        let now = app.now();
        let kept = Kept {
            key: self.key.clone(),
            request: self.request.clone(),
            status: reply.status.into(),
            answer: app
                .master
                .seal(Purpose::IdempotentAnswer, &self.key, &plain, app.entropy),
            purge_at: now + KEPT_SECONDS,
        };
        idempotency::keep(tx.conn(), &kept, now)
    }
}
