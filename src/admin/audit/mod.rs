//! The record at the console: searched, one event whole, checked, taken out. Looking at it is recorded as well.

pub mod check;
pub mod difference;
pub mod event;
pub mod export;
pub mod filters;
pub mod list;
pub mod words;

use crate::admin::access::AdminRequest;
use crate::audit::event::Kind;
use crate::error::Broken;

/// Records that somebody looks at this part of the record, once a minute.
async fn note_look(admin: &AdminRequest, at: String) -> Result<(), Broken> {
    if !admin
        .app
        .readers
        .is_first(&admin.signed_in.person.id, &at, admin.app.now())
    {
        return Ok(());
    }
    let event = admin.event(Kind::AuditRead).with("path", at);
    let written = admin.app.store.write(move |tx| {
        tx.audit(event.clone());
        Ok(())
    });
    written.await
}
