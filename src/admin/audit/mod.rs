//! The record at the console: searched, one event whole, checked, taken out. Looking at it is recorded as well.

pub mod check;
pub mod difference;
pub mod event;
pub mod export;
pub mod list;
pub mod looked_for;
pub mod words;

use crate::admin::visit::Visit;
use crate::audit::event::Kind;
use crate::error::Broken;

/// Records that somebody looks at this part of the record, once a minute.
async fn note_look(visit: &Visit, at: String) -> Result<(), Broken> {
    if !visit
        .app
        .readers
        .is_first(&visit.signed_in.person.id, &at, visit.app.now())
    {
        return Ok(());
    }
    let event = visit.event(Kind::AuditRead).with("path", at);
    let written = visit.app.store.write(move |tx| {
        tx.audit(event.clone());
        Ok(())
    });
    written.await
}
