//! `/admin/audit/export`: what the filters find, as a file. It is read and sent in pieces, so that its length does not
//! matter, and that it was taken out is recorded before the first of them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_web::HttpResponse;
use actix_web::body::{BodySize, MessageBody};
use actix_web::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION};
use actix_web::web::Bytes;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::filters::{self, in_short};
use super::words::{self, Body, Names};
use crate::admin::access::{AdminRequest, Answered};
use crate::app::App;
use crate::audit::event::Kind;
use crate::error::{Broken, PageError};
use crate::store::audit::AuditRow;
use crate::store::audit_search::{Place, Rest, Search, find};

/// How many events are read at a time.
const PIECE: usize = 500;
/// How many pieces wait for a reader who is slow.
const WAITING: usize = 2;

const HEADINGS: [&str; 14] = [
    "time",
    "event",
    "what",
    "outcome",
    "actor_kind",
    "actor",
    "client_id",
    "person_id",
    "username",
    "address",
    "detail",
    "log",
    "seq",
    "leaf",
];

/// What the file looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Csv,
    Ndjson,
}

impl Format {
    fn of(word: &str) -> Option<Self> {
        match word {
            "" | "csv" => Some(Self::Csv),
            "ndjson" => Some(Self::Ndjson),
            _ => None,
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::Ndjson => "application/x-ndjson",
        }
    }

    fn write(self, rows: &[AuditRow], names: &Names) -> Result<Vec<u8>, Broken> {
        match self {
            Self::Csv => table(rows.iter().map(|row| cells(row, names))),
            // The body as it is stored: the hash is over these bytes.
            Self::Ndjson => {
                let line = |row: &AuditRow| {
                    let (log, seq) = (row.log(), row.seq());
                    format!(
                        "{{\"log\":{log},\"seq\":{seq},\"body\":{},\"leaf\":\"{}\"}}\n",
                        row.body,
                        row.leaf_in_words()
                    )
                };
                Ok(rows.iter().map(line).collect::<String>().into_bytes())
            }
        }
    }
}

/// `GET /admin/audit/export`
pub async fn get(admin: AdminRequest) -> Answered {
    let (app, looked) = (&admin.app, admin.query());
    let format = Format::of(looked.get("format"))
        .ok_or_else(|| PageError::new("The format must be csv or ndjson."))?;
    let search = filters::search(app, &admin.zone, &looked)
        .await?
        .map_err(|wrong| {
            PageError::new(
                wrong
                    .iter()
                    .map(|wrong| format!("{}.", wrong.text))
                    .collect::<Vec<_>>()
                    .join(" "),
            )
        })?;
    // What happens from now on is not part of it: else it would never end.
    let now_ms = app.clock.now_millis();
    let search = Search {
        to_ms: search.to_ms.min(now_ms.saturating_add(1)),
        before: Place::END,
        ..search
    };
    let event = admin
        .event(Kind::Exported)
        .with("what", "the record")
        .with("format", format.extension())
        .with("filters", in_short(&looked));
    let written = app.store.write(move |tx| {
        tx.audit(event.clone());
        Ok(())
    });
    written.await?;
    let (sender, receiver) = channel(WAITING);
    actix_web::rt::spawn(send(Arc::clone(app), search, format, sender));
    let day = admin
        .zone
        .when(app.now())
        .machine
        .chars()
        .take(10)
        .collect::<String>();
    Ok(HttpResponse::Ok()
        .content_type(format.content_type())
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((
            CONTENT_DISPOSITION,
            format!("attachment; filename=\"audit-{day}.{}\"", format.extension()),
        ))
        .body(Pieces(receiver)))
}

/// A body that comes in pieces.
struct Pieces(Receiver<Result<Bytes, Broken>>);

impl MessageBody for Pieces {
    type Error = Broken;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        self.get_mut().0.poll_recv(context)
    }
}

/// Reads piece by piece, until the end or until nobody listens any more. What breaks ends the answer halfway, so that
/// nobody takes a part for the whole.
async fn send(app: Arc<App>, mut search: Search, format: Format, sender: Sender<Result<Bytes, Broken>>) {
    let mut begin = match format {
        Format::Csv => table(std::iter::once(HEADINGS.map(str::to_owned))),
        Format::Ndjson => Ok(Vec::new()),
    };
    loop {
        let piece = match begin {
            Ok(begin) => read(&app, &search, format, begin).await,
            Err(broken) => Err(broken),
        };
        let (piece, rest) = match piece {
            Ok((piece, rest)) => (Ok(piece), rest),
            Err(broken) => {
                tracing::error!(%broken, "the record could not be taken out to its end");
                (Err(broken), Rest::Nothing)
            }
        };
        // An empty piece would end the answer.
        let is_empty = piece.as_ref().is_ok_and(Bytes::is_empty);
        if !is_empty && sender.send(piece).await.is_err() {
            return;
        }
        match rest {
            Rest::Nothing => return,
            Rest::More(place) | Rest::NotLookedAt(place) => search.before = place,
        }
        begin = Ok(Vec::new());
    }
}

async fn read(app: &App, search: &Search, format: Format, begin: Vec<u8>) -> Result<(Bytes, Rest), Broken> {
    let search = search.clone();
    let (found, names) = app
        .store
        .read(move |conn| {
            let found = find(conn, &search, PIECE)?;
            let names = Names::of(conn, &found.rows)?;
            Ok((found, names))
        })
        .await?;
    let mut piece = begin;
    piece.append(&mut format.write(&found.rows, &names)?);
    Ok((Bytes::from(piece), found.rest))
}

fn table(rows: impl Iterator<Item = [String; HEADINGS.len()]>) -> Result<Vec<u8>, Broken> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer
            .write_record(row.iter().map(|cell| harmless(cell)))
            .map_err(Broken::defect)?;
    }
    writer.into_inner().map_err(|cause| Broken::defect(cause.error()))
}

/// A cell that no spreadsheet takes for a formula.
fn harmless(cell: &str) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{cell}")
    } else {
        cell.to_owned()
    }
}

fn cells(row: &AuditRow, names: &Names) -> [String; HEADINGS.len()] {
    let body = Body::of(row);
    let at = jiff::Timestamp::from_millisecond(row.at_ms).unwrap_or_default();
    let username = row
        .person_id
        .as_deref()
        .and_then(|id| names.known(id))
        .map_or("", |(_, username)| username);
    [
        at.to_string(),
        row.kind.clone(),
        words::sentence(row, &body, names),
        words::outcome(&row.outcome).to_owned(),
        body.actor_kind.clone(),
        body.actor.clone(),
        row.client_id.clone().unwrap_or_default(),
        row.person_id.clone().unwrap_or_default(),
        username.to_owned(),
        body.address.clone().unwrap_or_default(),
        serde_json::to_string(&body.detail).unwrap_or_default(),
        row.log().to_string(),
        row.seq().to_string(),
        row.leaf_in_words(),
    ]
}
