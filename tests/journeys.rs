//! What people do from the first to the last page, in a real browser and on both databases.

use data_encoding::BASE32_NOPAD;
use thirtyfour::prelude::*;

use crate::harness::agent::totp;
use crate::harness::browser::{Browser, look, wait_for};
use crate::harness::{CALLBACK, EDRS_BASE, Harness, PASSWORD};
use crate::on_both;
use crate::second_factor::code_of;

/// An authorization request of the case system.
fn authorize(harness: &Harness, scope: &str, more: &[(&str, &str)]) -> String {
    let parameters = [
        ("response_type", "code"),
        ("client_id", "fulton-cms"),
        ("redirect_uri", CALLBACK),
        ("scope", scope),
        ("state", "xyz"),
        ("aud", EDRS_BASE),
        ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
        ("code_challenge_method", "S256"),
    ];
    let parameters = parameters.iter().chain(more);
    url::Url::parse_with_params(&harness.url("/oauth2/authorize"), parameters).unwrap().into()
}

/// Types into a field.
pub async fn fill(window: &WebDriver, id: &str, text: &str) {
    let field = window.find(By::Id(id)).await.unwrap_or_else(|_| panic!("no field {id}"));
    field.clear().await.unwrap();
    field.send_keys(text).await.unwrap();
}

/// Presses a button or follows a link.
pub async fn click(window: &WebDriver, id: &str) {
    match window.find(By::Id(id)).await {
        Ok(element) => element.click().await.unwrap(),
        Err(_) => panic!("no {id} at {}: {}", window.current_url().await.unwrap(), window.source().await.unwrap()),
    }
}

/// The text of an element.
pub async fn text_of(window: &WebDriver, id: &str) -> String {
    window.find(By::Id(id)).await.unwrap().text().await.unwrap()
}

on_both! {
    async fn a_role_has_its_second_factor_set_up_and_its_recovery_used(db) {
        let harness = Harness::start_with(db, |config| {
            config.server.banner = Some(
                "This is a system of Fulton County, for authorized use only.\nWhat you do here is recorded.".to_owned(),
            );
            config.server.jurisdiction = Some("Fulton County".to_owned());
        });
        harness.apply(crate::second_factor::NEWCOMER);
        let browser = Browser::start(&harness.ca_file);
        let window = browser.window(375, true).await;
        window.goto(authorize(&harness, "openid user/Composition.rs", &[])).await.unwrap();
        wait_for(&window, "/login/notice").await;
        look(&window, "notice", true).await;
        click(&window, "banner-acknowledge").await;
        wait_for(&window, "/login?").await;
        fill(&window, "username", "newcomer").await;
        fill(&window, "password", PASSWORD).await;
        click(&window, "login-submit").await;
        wait_for(&window, "/login/set-up").await;
        look(&window, "set-up", true).await;
        click(&window, "set-up-submit").await;
        window.query(By::Css("[role=alert]")).first().await.unwrap();
        look(&window, "set-up-error", true).await;
        click(&window, "choice-app").await;
        click(&window, "set-up-submit").await;
        wait_for(&window, "/login/set-up/app").await;
        look(&window, "set-up-app", true).await;
        window.find(By::Css("summary")).await.unwrap().click().await.unwrap();
        let shown = text_of(&window, "totp-secret").await;
        let secret = BASE32_NOPAD.decode(shown.replace(' ', "").as_bytes()).unwrap();
        fill(&window, "totp", "000000").await;
        click(&window, "totp-submit").await;
        window.query(By::Css("[role=alert]")).first().await.unwrap();
        look(&window, "set-up-app-error", true).await;
        fill(&window, "totp", &code_of(&secret, harness.now())).await;
        click(&window, "totp-submit").await;
        wait_for(&window, "/account/recovery-codes").await;
        look(&window, "recovery-codes", true).await;
        let codes = text_of(&window, "recovery-codes").await;
        let code = codes.split_whitespace().next().unwrap().to_owned();
        click(&window, "recovery-kept").await;
        wait_for(&window, "/consent").await;
        // The phone is lost: a recovery code in its place.
        let other = browser.window(1280, true).await;
        other.goto(authorize(&harness, "openid user/Composition.rs", &[])).await.unwrap();
        wait_for(&other, "/login/notice").await;
        click(&other, "banner-acknowledge").await;
        wait_for(&other, "/login?").await;
        fill(&other, "username", "newcomer").await;
        fill(&other, "password", PASSWORD).await;
        click(&other, "login-submit").await;
        wait_for(&other, "/login/second-factor").await;
        click(&other, "totp-recover").await;
        wait_for(&other, "/login/recovery").await;
        look(&other, "recovery", true).await;
        fill(&other, "recovery_code", "aaaa-bbbb").await;
        click(&other, "recovery-submit").await;
        other.query(By::Css("[role=alert]")).first().await.unwrap();
        look(&other, "recovery-error", true).await;
        fill(&other, "recovery_code", &code).await;
        click(&other, "recovery-submit").await;
        wait_for(&other, "/login/recovered").await;
        look(&other, "recovered", true).await;
        click(&other, "recovered-set-up").await;
        wait_for(&other, "/login/set-up").await;
        click(&other, "choice-app").await;
        click(&other, "set-up-submit").await;
        wait_for(&other, "/login/set-up/app").await;
        look(&other, "set-up-app-again", true).await;
        assert_eq!(browser.log(&other).await, serde_json::json!([]), "the console has nothing to complain about");
        other.quit().await.unwrap();
        window.quit().await.unwrap();
    }
}

on_both! {
    async fn certifying_asks_for_a_fresh_sign_in(db) {
        let harness = Harness::start(db);
        let browser = Browser::start(&harness.ca_file);
        let window = browser.window(375, true).await;
        let sign_in = async |code_at: i64| {
            fill(&window, "username", "jlehz").await;
            fill(&window, "password", PASSWORD).await;
            click(&window, "login-submit").await;
            wait_for(&window, "/login/second-factor").await;
            fill(&window, "totp", &totp(code_at)).await;
            click(&window, "totp-submit").await;
            wait_for(&window, "/consent").await;
        };
        window.goto(authorize(&harness, "openid user/Composition.rs", &[])).await.unwrap();
        sign_in(harness.now()).await;
        // Two hours later: reading needs nothing more, certifying does.
        harness.clock.advance(1500);
        window.goto(authorize(&harness, "openid user/Composition.rs", &[])).await.unwrap();
        wait_for(&window, "/consent").await;
        window.goto(authorize(&harness, "openid __mdi.certify", &[])).await.unwrap();
        wait_for(&window, "/login").await;
        look(&window, "step-up", true).await;
        sign_in(harness.now()).await;
        look(&window, "step-up-consent", true).await;
        let text = window.find(By::Tag("main")).await.unwrap().text().await.unwrap();
        assert!(text.contains("good for 15 minutes"), "{text}");
        window.quit().await.unwrap();
    }
}
