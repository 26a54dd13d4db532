//! Agencies: their rules, and what ends with one.

use super::belonging::{AGENCY, check_identifier};
use super::limits::Limit;
use super::noun::{Ending, Judging, Noun, Registrable, Secrets};
use super::people::check_npi;
use super::{Decided, Registry, api_tokens, display_name, mistake};
use crate::audit::event::{Event, Kind};
use crate::model::agency::{AgencySettings, OTHER};
use crate::model::client::{AuthMethod, ClientSettings};
use crate::model::identity_provider::IdentityProviderSettings;
use crate::model::registered::Registered;
use crate::model::resource_server::ResourceServerSettings;
use crate::policy::console::{ADMINISTRATOR, Area};
use crate::session;
use crate::store::changes::ChangeKind;
use crate::store::{Conn, Stored, Tx, people, registered};

/// How many of those that belong to an agency are named.
const NAMED: usize = 20;

impl Registrable for AgencySettings {
    const NOUN: Noun = Noun {
        name: "agency",
        many: "agencies",
        table: "agency",
        id: "id",
        area: Area::Agencies,
        event: Kind::AgencyChanged,
        change: ChangeKind::Agency,
        reserved: &["new"],
        limits: &[("identifier", Limit::URI)],
        secrets: Secrets::None,
    };

    fn check(&mut self, judging: &mut Judging<'_, Self>) {
        if self.kind.is_empty() {
            OTHER.clone_into(&mut self.kind);
        }
        let policy = &judging.registry.app.policy;
        if policy.agency_kind(&self.kind).is_none() {
            let known = policy.agency_kinds().iter().map(|kind| kind.code.as_str());
            let known = known.collect::<Vec<_>>().join(", ");
            judging.mistakes.add(
                "kind",
                format!("the policy has no kind {:?}; it has {known}", self.kind),
            );
        }
        if let Some(identifier) = &self.identifier {
            let same = judging.around.agencies.by_identifier(identifier);
            let checked = check_identifier(identifier).and_then(|()| {
                match same.filter(|other| other.id != judging.id) {
                    Some(other) => Err(format!(
                        "{identifier:?} is already the identifier of {}",
                        other.id
                    )),
                    None => Ok(()),
                }
            });
            judging.mistakes.take("identifier", checked);
        }
        if let Some(npi) = &self.npi {
            judging.mistakes.take("npi", check_npi(npi));
        }
        if let Some(jurisdiction) = &self.jurisdiction {
            let checked = display_name(Some(jurisdiction), None).map(|_| ());
            judging.mistakes.take("jurisdiction", checked);
        }
        judging.mail_addresses("contacts", &self.contacts);
    }

    fn proof(&self) -> AuthMethod {
        AuthMethod::None
    }

    fn whose(registered: &Registered<Self>) -> Option<&str> {
        Some(&registered.id)
    }

    /// Other roles count there: what its people hold is decided anew.
    fn is_another(&self, before: &Self) -> bool {
        self.kind != before.kind
    }

    fn end(registry: &Registry, tx: &mut Tx<'_>, id: &str, _: Ending) -> Stored<Vec<(&'static str, String)>> {
        // One change may give it another kind and disable it: what is stored decides.
        let is_closed = !registered::is_open(tx.conn(), Some(&id.to_owned()))?;
        let mut sessions = 0;
        for person_id in people::of_agency(tx.conn(), id)? {
            people::raise_generation(tx.conn(), &person_id)?;
            sessions += session::end_all(&registry.app, tx, &person_id, registry.kept_session.as_deref())?;
            registry.tell(tx, ChangeKind::Person, &person_id);
            let person = people::find(tx.conn(), &person_id)?;
            let is_home = person.is_some_and(|person| person.settings.agency.as_deref() == Some(id));
            if is_home && is_closed {
                api_tokens::revoke_of(registry, tx, &person_id)?;
            }
        }
        end_all::<ClientSettings>(registry, tx, id)?;
        end_all::<ResourceServerSettings>(registry, tx, id)?;
        Ok(vec![("sessions_ended", sessions.to_string())])
    }

    fn may_be_disabled(registry: &Registry, conn: &mut Conn, id: &str) -> Decided<()> {
        if registry.bounds.is_some() && !people::somebody_has_without(conn, ADMINISTRATOR, id)? {
            return Ok(mistake(
                "enabled",
                "every administrator who can sign in belongs to this agency: nobody could administer this server",
            ));
        }
        Ok(Ok(()))
    }

    fn named(event: Event, id: &str) -> Event {
        event.with(AGENCY, id)
    }

    fn users(conn: &mut Conn, id: &str) -> Stored<Vec<String>> {
        let mut users = ids_of_agency::<ClientSettings>(conn, id)?;
        users.extend(ids_of_agency::<ResourceServerSettings>(conn, id)?);
        users.extend(ids_of_agency::<IdentityProviderSettings>(conn, id)?);
        let mut used: Vec<String> = users.into_iter().take(NAMED).collect();
        match people::of_agency(conn, id)?.len() {
            0 => {}
            1 => used.push("1 person".to_owned()),
            count => used.push(format!("{count} people")),
        }
        Ok(used)
    }
}

fn of_agency<S: Registrable>(conn: &mut Conn, agency: &str) -> Stored<Vec<Registered<S>>> {
    let mut all = registered::all::<S>(conn)?;
    all.retain(|registered| S::whose(registered) == Some(agency));
    Ok(all)
}

fn ids_of_agency<S: Registrable>(conn: &mut Conn, agency: &str) -> Stored<Vec<String>> {
    let all = of_agency::<S>(conn, agency)?.into_iter();
    Ok(all.map(|registered| registered.id).collect())
}

/// Ends what those that belong to an agency were given.
fn end_all<S: Registrable>(registry: &Registry, tx: &mut Tx<'_>, agency: &str) -> Stored<()> {
    for mut registered in of_agency::<S>(tx.conn(), agency)? {
        registered.generation += 1;
        S::put(tx.conn(), &registered)?;
        registry.tell(tx, S::NOUN.change, &registered.id);
    }
    Ok(())
}
