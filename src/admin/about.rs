//! What a page or an operation is about: who looks after one agency alone sees what belongs to it, and nothing else. What
//! says nothing of that is for those who look after everybody's affairs.

use std::sync::Arc;

use crate::app::App;
use crate::error::Broken;
use crate::model::client::ClientSettings;
use crate::policy::console::{Area, Authority, Reach, Right};
use crate::store::{Conn, Stored, grants, people, registered, sessions};

/// What a page or an operation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// Everybody's affairs.
    Everybody,
    /// Those that whoever asks looks after: the handler shows and changes no others.
    Own,
    /// The agency in the address.
    Agency,
    /// The client in the address.
    Client,
    /// The person in the address.
    Person,
    /// The session in the address.
    Session,
    /// The grant in the address.
    Grant,
}

/// Whether somebody is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admitted {
    /// She may do it.
    Yes,
    /// It is another agency's affair: there is no such thing.
    Hidden,
    /// It is not for her.
    No,
}

impl About {
    /// The agency that what the address names belongs to; none: nobody's, or there is no such thing.
    fn agency(self, conn: &mut Conn, id: &str) -> Stored<Option<String>> {
        let person_id = match self {
            Self::Everybody | Self::Own => return Ok(None),
            Self::Agency => return Ok(Some(id.to_owned())),
            Self::Client => {
                let client = registered::find::<ClientSettings>(conn, id)?;
                return Ok(client.and_then(|client| client.settings.agency));
            }
            Self::Person => {
                let person = people::find(conn, id)?;
                return Ok(person.and_then(|person| person.settings.agency));
            }
            Self::Session => sessions::by_id(conn, id)?.map(|session| session.person_id),
            Self::Grant => grants::find(conn, id)?.map(|grant| grant.person_id),
        };
        let person = person_id.map(|id| people::find(conn, &id)).transpose()?.flatten();
        Ok(person.and_then(|person| person.settings.agency))
    }

    /// Whether somebody is let in to what an address names by `id`.
    ///
    /// # Errors
    /// What the database says.
    pub async fn admits(
        self,
        app: &Arc<App>,
        authority: &Authority,
        (area, right): (Area, Right),
        id: &str,
    ) -> Result<Admitted, Broken> {
        let reach = authority.reach(area, right);
        if reach == Reach::Everybody {
            return Ok(Admitted::Yes);
        }
        let seen = authority.reach(area, Right::Read);
        let admitted = |yes: bool| if yes { Admitted::Yes } else { Admitted::No };
        match self {
            _ if !seen.is_somebody() => Ok(Admitted::No),
            Self::Everybody => Ok(Admitted::No),
            Self::Own => Ok(admitted(reach.is_somebody())),
            Self::Agency | Self::Client | Self::Person | Self::Session | Self::Grant => {
                let id = id.to_owned();
                let agency = app.store.read(move |conn| self.agency(conn, &id)).await?;
                if !seen.holds_for(agency.as_deref()) {
                    return Ok(Admitted::Hidden);
                }
                Ok(admitted(reach.holds_for(agency.as_deref())))
            }
        }
    }
}
