//! The list of the pages for people: signing in, consent, new passwords, "My access", and what links lead to. It makes the
//! addresses and the check before each handler; the operator's guide shows it as a table. The console's pages have a list
//! of their own ([`crate::admin::pages`]).

use actix_web::web;

use crate::admin::clients::vendor;
use crate::admin::first_administrator;
use crate::login::set_up::FRESH;
use crate::oauth::{authorize, consent, logout};
use crate::password_change::{self, address, by_link, change, forgotten};
use crate::web::page::{Page, cross_site, link, pending, signed_in, stranger};
use crate::{account, login, provider_sign_in};

/// All of them.
pub fn pages() -> Vec<Page> {
    let mut pages = vec![
        cross_site("/oauth2/authorize")
            .get(authorize::get)
            .body(authorize::post)
            .into(),
        pending("/consent").get(consent::get).form(consent::post).into(),
        cross_site("/oauth2/logout")
            .get(logout::get)
            .body(logout::post)
            .into(),
    ];
    pages.extend(signing_in());
    pages.extend(new_passwords());
    pages.extend(my_access());
    pages.extend(by_links());
    pages
}

fn signing_in() -> Vec<Page> {
    use login::{banner, passkey, recovery, second_factor, set_up, set_up_passkey, sign_in};
    vec![
        pending("/login").get(sign_in::get).form(sign_in::post).into(),
        pending("/login/notice")
            .get(banner::get)
            .form(banner::post)
            .into(),
        pending("/login/passkey").form(passkey::post).into(),
        pending("/login/upstream/{provider}")
            .form(provider_sign_in::start)
            .into(),
        cross_site("/login/upstream/{provider}/callback")
            .get(provider_sign_in::callback)
            .into(),
        pending("/login/second-factor")
            .get(second_factor::get)
            .form(second_factor::post)
            .into(),
        pending("/login/second-factor/passkey")
            .form(passkey::post_second_factor)
            .into(),
        pending("/login/recovery")
            .get(recovery::get)
            .form(recovery::post)
            .into(),
        pending("/login/recovered").get(recovery::recovered).into(),
        pending("/login/set-up")
            .get(set_up::get)
            .form(set_up::post)
            .into(),
        pending("/login/set-up/app")
            .get(set_up::app_get)
            .form(set_up::app_post)
            .into(),
        pending("/login/set-up/passkey")
            .get(set_up_passkey::get)
            .form(set_up_passkey::post)
            .into(),
    ]
}

fn new_passwords() -> Vec<Page> {
    vec![
        pending("/login/new-password")
            .get(change::get_expired)
            .form(change::post_expired)
            .into(),
        pending("/login/forgotten")
            .get(forgotten::get)
            .form(forgotten::post)
            .into(),
        link("/invitation/{secret}").get(by_link::open).into(),
        link("/new-password/{secret}").get(by_link::open).into(),
        link("/new-password").get(by_link::get).form(by_link::post).into(),
        signed_in("/account/password")
            .fresh(change::FRESH)
            .get(change::get)
            .form(change::post)
            .into(),
        stranger("/password-strength")
            .form(password_change::strength::post)
            .into(),
    ]
}

fn my_access() -> Vec<Page> {
    use account::{applications, authenticator, passkeys, recovery_codes, sessions};
    vec![
        signed_in("/account").get(account::get).into(),
        stranger("/account/sign-out").form(logout::sign_out).into(),
        signed_in("/account/authenticator")
            .fresh(FRESH)
            .get(authenticator::get)
            .form(authenticator::post)
            .into(),
        signed_in("/account/email")
            .fresh(FRESH)
            .get(address::get)
            .form(address::send)
            .into(),
        signed_in("/account/email/{secret}")
            .get(address::open)
            .form(address::confirm)
            .into(),
        signed_in("/account/recovery-codes")
            .get(recovery_codes::get)
            .fresh(FRESH)
            .form(recovery_codes::make_anew)
            .into(),
        signed_in("/account/recovery-codes/kept")
            .form(recovery_codes::keep)
            .into(),
        signed_in("/account/passkeys/add")
            .fresh(FRESH)
            .get(passkeys::add)
            .into(),
        signed_in("/account/passkeys/rename")
            .fresh(FRESH)
            .form(passkeys::rename)
            .into(),
        signed_in("/account/passkeys/remove")
            .fresh(FRESH)
            .form(passkeys::remove)
            .into(),
        signed_in("/account/sessions/end").form(sessions::end).into(),
        signed_in("/account/sessions/end-others")
            .form(sessions::end_others)
            .into(),
        signed_in("/account/sessions/end-all")
            .get(sessions::ask_end_all)
            .form(sessions::end_all)
            .into(),
        signed_in("/account/applications/end")
            .fresh(FRESH)
            .get(applications::ask_end)
            .form(applications::end)
            .into(),
    ]
}

fn by_links() -> Vec<Page> {
    vec![
        link("/first/{secret}").get(first_administrator::open).into(),
        link("/first")
            .get(first_administrator::get)
            .form(first_administrator::post)
            .into(),
        link("/vendor").get(vendor::sheet).into(),
        link("/vendor/hand-off.txt").get(vendor::text).into(),
        link("/vendor/ca.pem").get(vendor::authority).into(),
        link("/vendor/check").get(vendor::check).form(vendor::post).into(),
        link("/vendor/{secret}").get(vendor::open).into(),
    ]
}

/// Their addresses.
pub fn urls(config: &mut web::ServiceConfig) {
    for page in pages() {
        page.register(config);
    }
}
