//! The list of the console's pages. It makes the addresses, the navigation, and the checks before each handler; the
//! operator's guide shows it as a table.

use std::rc::Rc;

use actix_web::{HttpRequest, web};

use super::about::About;
use super::access::{Parts, Requires};
use super::page::{Page, page, run};
use super::{
    agencies, api_tokens, audit, clients, grants, home, identity_providers, kept, keys, noun, people, policy,
    resource_servers, review, sessions, settings,
};
use crate::app::App;
use crate::model::agency::AgencySettings;
use crate::model::client::ClientSettings;
use crate::model::identity_provider::IdentityProviderSettings;
use crate::model::resource_server::ResourceServerSettings;
use crate::policy::console::Area;
use crate::web::methods::only;

/// A page to look at.
const fn read(area: Area) -> Requires {
    Requires::read(area)
}

/// A page that changes something.
const fn change(area: Area) -> Requires {
    Requires::change(area)
}

/// All pages, those of the navigation in its order.
pub fn pages() -> Vec<Page> {
    let mut pages = vec![page("/admin", read(Area::Home).about(About::Own), home::get).called("Home")];
    pages.extend(noun::pages::<AgencySettings>());
    pages.push(
        page(
            "/admin/agencies/{id}/members",
            change(Area::People).fresh().about(About::Agency),
            agencies::members,
        )
        .felt()
        .form(agencies::set_member)
        .keeps_what_is_typed(),
    );
    pages.extend(noun::pages::<ClientSettings>());
    pages.extend(about_clients());
    pages.extend(noun::pages::<ResourceServerSettings>());
    pages.extend([
        page(
            "/admin/resource-servers/{id}/documents",
            read(Area::ResourceServers),
            resource_servers::documents::get,
        )
        .felt(),
        page(
            "/admin/resource-servers/{id}/documents/{document}",
            read(Area::ResourceServers),
            resource_servers::documents::download,
        ),
    ]);
    pages.extend(noun::pages::<IdentityProviderSettings>());
    pages.extend([
        page(
            "/admin/identity-providers/{id}/try",
            change(Area::IdentityProviders),
            identity_providers::examine,
        )
        .felt(),
        page(
            "/admin/identity-providers/{id}/link",
            change(Area::IdentityProviders).fresh(),
            identity_providers::links::get,
        )
        .form(identity_providers::links::post)
        .keeps_what_is_typed(),
        page(
            "/admin/identity-providers/{id}/unlink",
            change(Area::IdentityProviders),
            identity_providers::links::ask_unlink,
        )
        .form(identity_providers::links::unlink),
    ]);
    pages.extend(about_people());
    pages.extend(others());
    pages
}

fn about_clients() -> Vec<Page> {
    use clients::{check, hand_off, vendor_link};
    let client = |requires: Requires| requires.about(About::Client);
    vec![
        page(
            "/admin/ca.pem",
            read(Area::Home).about(About::Own),
            hand_off::authority,
        ),
        page(
            "/admin/clients/{id}/hand-off",
            client(read(Area::Clients)),
            hand_off::get,
        ),
        page(
            "/admin/clients/{id}/hand-off.txt",
            client(read(Area::Clients)),
            hand_off::text,
        ),
        page(
            "/admin/clients/{id}/check",
            client(read(Area::Clients)),
            check::get,
        )
        .form(check::post),
        page(
            "/admin/clients/{id}/vendor-link",
            client(change(Area::Clients)),
            vendor_link::get,
        )
        .form(vendor_link::post),
        page(
            "/admin/clients/{id}/end-vendor-link",
            client(change(Area::Clients)),
            vendor_link::ask_end,
        )
        .form(vendor_link::end),
    ]
}

fn about_people() -> Vec<Page> {
    use people::{action, edit, import, list, show};
    let about = |requires: Requires| requires.about(About::Person);
    let own = |requires: Requires| requires.about(About::Own);
    let mut pages = vec![
        page("/admin/users", own(read(Area::People)), list::get)
            .called("People")
            .felt(),
        page("/admin/users/new", own(change(Area::People)).fresh(), edit::new)
            .form(edit::add)
            .keeps_what_is_typed(),
        page("/admin/users/import", import::REQUIRES, import::get).upload(import::upload),
        page(
            "/admin/users/import/template",
            own(change(Area::People)),
            import::template,
        ),
        page(
            "/admin/users/import/{import}",
            own(change(Area::People)),
            import::show,
        )
        .form_of(own(change(Area::People)).fresh(), import::start),
        page(
            "/admin/users/import/{import}/links",
            own(change(Area::People)).fresh(),
            import::back,
        )
        .form(import::links),
        page("/admin/users/{id}", about(read(Area::People)), show::get).felt(),
        page(
            "/admin/users/{id}/edit",
            about(change(Area::People)).recent(),
            edit::get,
        )
        .felt()
        .form(edit::post)
        .keeps_what_is_typed(),
        page(
            "/admin/users/{id}/roles",
            about(change(Area::People)).fresh(),
            edit::roles,
        )
        .felt()
        .form(edit::post_roles)
        .keeps_what_is_typed(),
    ];
    pages.extend(action::pages());
    pages.extend([
        page("/admin/sessions", own(read(Area::Sessions)), sessions::get)
            .called("Sessions")
            .felt(),
        page(
            "/admin/sessions/{id}/end",
            change(Area::Sessions).about(About::Session),
            sessions::ask,
        )
        .form(sessions::end),
        page("/admin/grants", own(read(Area::Grants)), grants::get)
            .called("Grants")
            .felt(),
        page(
            "/admin/grants/{id}/end",
            change(Area::Grants).about(About::Grant),
            grants::ask,
        )
        .form(grants::end),
    ]);
    pages
}

fn others() -> Vec<Page> {
    use settings::{apply, export};
    vec![
        page("/admin/policy", read(Area::Policy).about(About::Own), policy::get).called("Policy"),
        page("/admin/keys", read(Area::Keys), keys::get).called("Keys"),
        page("/admin/keys/new", change(Area::Keys).fresh(), keys::new_get).form(keys::new_post),
        page("/admin/audit", read(Area::Audit), audit::list::get)
            .called("Audit")
            .felt(),
        page(
            "/admin/audit/export",
            read(Area::Audit).fresh(),
            audit::export::get,
        )
        .felt(),
        page("/admin/audit/check", read(Area::Audit), audit::check::get).form(audit::check::post),
        page("/admin/audit/{log}/{seq}", read(Area::Audit), audit::event::get).felt(),
        page("/admin/access-review", read(Area::AccessReview), review::get)
            .called("Access review")
            .felt(),
        page(
            "/admin/access-review/export",
            read(Area::AccessReview).fresh(),
            review::ask_export,
        )
        .form(review::export),
        page(
            "/admin/access-review/sign-off",
            change(Area::AccessReview),
            review::ask_sign_off,
        )
        .form(review::sign_off),
        page("/admin/settings", read(Area::Configuration), settings::get).called("Import and export"),
        page(
            "/admin/settings/export",
            read(Area::Configuration).fresh(),
            export::get,
        )
        .form(export::post),
        page("/admin/settings/apply", apply::REQUIRES, apply::get).upload(apply::post),
        page("/admin/api-tokens", read(Area::ApiTokens), api_tokens::list).called("API tokens"),
        page(
            "/admin/api-tokens/new",
            change(Area::ApiTokens).fresh(),
            api_tokens::new,
        )
        .form(api_tokens::create)
        .keeps_what_is_typed(),
        page(
            "/admin/api-tokens/{id}/revoke",
            change(Area::ApiTokens).fresh(),
            api_tokens::ask,
        )
        .form(api_tokens::revoke),
        page(kept::CONFIRMED, kept::CONFIRMED_REQUIRES, kept::confirmed),
    ]
}

/// Their addresses.
pub fn urls(config: &mut web::ServiceConfig) {
    let pages = pages();
    let in_navigation = pages
        .iter()
        .filter_map(|page| Some((page.path.clone(), page.label?, page.get.requires)));
    let parts: Parts = in_navigation.collect();
    for page in pages {
        let methods = page.methods();
        let names: Vec<&str> = methods.iter().map(actix_web::http::Method::as_str).collect();
        let mut resource = only(&page.path, names.join(", "));
        let page = Rc::new(page);
        for method in methods {
            let (page, parts) = (Rc::clone(&page), Rc::clone(&parts));
            let handler = move |app: web::Data<App>, request: HttpRequest, payload: web::Payload| {
                let (page, parts) = (Rc::clone(&page), Rc::clone(&parts));
                async move { run(&page, &parts, &app.into_inner(), &request, payload).await }
            };
            resource = resource.route(web::method(method).to(handler));
        }
        config.service(resource);
    }
}
