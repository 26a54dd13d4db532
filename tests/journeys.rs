//! What people do from the first to the last page, in a real browser and on both databases.

use data_encoding::BASE32_NOPAD;
use thirtyfour::prelude::*;

use mdi_auth::registry::{links, people};

use crate::browser::{NATIVE_CLIENT, listening_client};
use crate::harness::agent::totp;
use crate::harness::browser::{Browser, look, wait_for};
use crate::harness::{CALLBACK, Db, EDRS_BASE, Harness, PASSWORD, blocking};
use crate::on_both;
use crate::second_factor::code_of;
use crate::support::eventually;

/// An authorization request of the case system.
fn authorize(harness: &Harness, scope: &str, more: &[(&str, &str)]) -> String {
    request(harness, "fulton-cms", CALLBACK, scope, more)
}

fn request(
    harness: &Harness,
    client: &str,
    redirect_uri: &str,
    scope: &str,
    more: &[(&str, &str)],
) -> String {
    let parameters = [
        ("response_type", "code"),
        ("client_id", client),
        ("redirect_uri", redirect_uri),
        ("scope", scope),
        ("state", "xyz"),
        ("aud", EDRS_BASE),
        ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
        ("code_challenge_method", "S256"),
    ];
    let parameters = parameters.iter().chain(more);
    url::Url::parse_with_params(&harness.url("/oauth2/authorize"), parameters)
        .unwrap()
        .into()
}

/// Types into a field.
pub async fn fill(window: &WebDriver, id: &str, text: &str) {
    let field = window
        .find(By::Id(id))
        .await
        .unwrap_or_else(|_| panic!("no field {id}"));
    field.clear().await.unwrap();
    field.send_keys(text).await.unwrap();
}

/// Presses a button or follows a link, and waits for the page that follows.
pub async fn click(window: &WebDriver, id: &str) {
    let Ok(element) = window.find(By::Id(id)).await else {
        panic!(
            "no {id} at {}: {}",
            window.current_url().await.unwrap(),
            window.source().await.unwrap()
        );
    };
    follow(window, element).await;
}

/// The same with an element that was found already.
pub async fn follow(window: &WebDriver, element: WebElement) {
    window
        .execute("document.documentElement.dataset.left = 'yes'", Vec::new())
        .await
        .unwrap();
    element.click().await.unwrap();
    let arrived = "return document.readyState === 'complete' && !document.documentElement.dataset.left";
    let look = async || {
        // While one page goes and the next comes there is nothing to ask.
        let answer = window.execute(arrived, Vec::new()).await;
        let arrived = answer.is_ok_and(|answer| answer.convert::<bool>().unwrap_or(false));
        let url = window.current_url().await;
        (arrived, url.map_or_else(|cause| cause.to_string(), String::from))
    };
    eventually("page that follows", look, |(arrived, _)| *arrived).await;
}

/// Waits until an element says something.
async fn wait_until_told(window: &WebDriver, css: &str, what: &str) {
    let look = async || window.find(By::Css(css)).await.unwrap().text().await.unwrap();
    eventually(what, look, |told| told.contains(what)).await;
}

/// Ticks a box.
async fn tick(window: &WebDriver, id: &str) {
    window.find(By::Id(id)).await.unwrap().click().await.unwrap();
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
        tick(&window, "choice-app").await;
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
        tick(&other, "choice-app").await;
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

/// Invited, without a password or a second factor.
const INVITED: &str = r#"
[[user]]
username = "rturner"
name = "Robin Turner, MD"
roles = ["medical-examiner"]
"#;

on_both! {
    async fn from_the_invitation_to_the_last_sign_out(db) {
        const PHRASE: &str = "rivers carry seven lanterns";
        let harness = Harness::start(db);
        harness.apply(NATIVE_CLIENT);
        harness.apply(INVITED);
        let registry = harness.registry();
        let issued =
            blocking(move || registry.blocking(|registry, tx| links::invite(registry, tx, "rturner")).unwrap());
        let (browser, port) = (Browser::start(&harness.ca_file), listening_client());
        let window = browser.window(375, true).await;
        let back = format!("http://127.0.0.1:{port}/cb");
        let ask = |scope: &str| request(&harness, "desk-cms", &back, scope, &[]);
        // The link, a password that is easy to guess, a good one.
        window.goto(issued.url.reveal()).await.unwrap();
        wait_for(&window, "/new-password").await;
        look(&window, "journey-invitation", true).await;
        for password in ["password12345678", PHRASE] {
            fill(&window, "password", password).await;
            if password != PHRASE {
                // Told while it is typed.
                wait_until_told(&window, "input[data-strength] ~ p.hint", "Too easy to guess").await;
            }
            fill(&window, "again", password).await;
            click(&window, "new-password-submit").await;
            if password != PHRASE {
                window.query(By::Css("[role=alert]")).first().await.unwrap();
                look(&window, "journey-weak-password", true).await;
            }
        }
        // The role has a second factor set up.
        wait_for(&window, "/login/set-up").await;
        tick(&window, "choice-app").await;
        click(&window, "set-up-submit").await;
        wait_for(&window, "/login/set-up/app").await;
        window.find(By::Css("summary")).await.unwrap().click().await.unwrap();
        let secret = text_of(&window, "totp-secret").await.replace(' ', "");
        let secret = BASE32_NOPAD.decode(secret.as_bytes()).unwrap();
        fill(&window, "totp", &code_of(&secret, harness.now())).await;
        click(&window, "totp-submit").await;
        wait_for(&window, "/account/recovery-codes").await;
        click(&window, "recovery-kept").await;
        wait_for(&window, "/account").await;
        click(&window, "sign-out").await;
        wait_for(&window, "/oauth2/logout").await;
        look(&window, "journey-signed-out", true).await;
        // An application asks, and may read.
        let sign_in = async || {
            fill(&window, "username", "rturner").await;
            fill(&window, "password", PHRASE).await;
            click(&window, "login-submit").await;
            wait_for(&window, "/login/second-factor").await;
            harness.clock.advance(30);
            fill(&window, "totp", &code_of(&secret, harness.now())).await;
            click(&window, "totp-submit").await;
        };
        window.goto(ask("openid profile user/Composition.rs offline_access")).await.unwrap();
        wait_for(&window, "/login?").await;
        sign_in().await;
        wait_for(&window, "/consent").await;
        click(&window, "consent-approve").await;
        wait_for(&window, "/cb?code=").await;
        // Certifying asks for more, once the sign-in is not fresh any more.
        harness.clock.advance(1200);
        window.goto(ask("openid __mdi.certify")).await.unwrap();
        wait_for(&window, "/login?").await;
        sign_in().await;
        wait_for(&window, "/consent").await;
        look(&window, "journey-certify-consent", true).await;
        click(&window, "consent-approve").await;
        wait_for(&window, "/cb?code=").await;
        // What the person sees of it, takes back, and signs out.
        window.goto(harness.url("/account")).await.unwrap();
        look(&window, "journey-account", true).await;
        let main = window.find(By::Tag("main")).await.unwrap().text().await.unwrap();
        assert!(main.contains("Fulton County CMS (desktop)") && main.contains("Medical examiner"), "{main}");
        follow(&window, window.find(By::PartialLinkText("Take back")).await.unwrap()).await;
        wait_for(&window, "/account/applications/end").await;
        look(&window, "journey-take-back", true).await;
        click(&window, "end-application").await;
        wait_for(&window, "/account").await;
        assert!(!text_of(&window, "main").await.contains("Fulton County CMS (desktop)"));
        click(&window, "sign-out").await;
        wait_for(&window, "/oauth2/logout").await;
        window.goto(harness.url("/account")).await.unwrap();
        wait_for(&window, "/login?").await;
        assert_eq!(browser.log(&window).await, serde_json::json!([]), "the console has nothing to complain about");
        window.quit().await.unwrap();
    }
}

on_both! {
    async fn locked_out_and_released(db) {
        let harness = Harness::start_with(db, |config| {
            config.login.lockout = mdi_auth::config::Lockout::UntilAdmin;
        });
        let browser = Browser::start(&harness.ca_file);
        let window = browser.window(375, true).await;
        window.goto(authorize(&harness, "openid user/Composition.rs", &[])).await.unwrap();
        let try_with = async |password: &str| {
            wait_for(&window, "/login?").await;
            fill(&window, "username", "jlehz").await;
            fill(&window, "password", password).await;
            click(&window, "login-submit").await;
        };
        let mut told = Vec::new();
        for number in 0..6 {
            try_with(if number < 5 { "not the password of anybody" } else { PASSWORD }).await;
            let alert = window.query(By::Css("[role=alert]")).first().await.unwrap();
            told.push(alert.text().await.unwrap());
        }
        look(&window, "journey-locked", true).await;
        assert!(told.iter().all(|text| *text == told[0]), "nothing tells that it is locked: {told:?}");
        let registry = harness.registry();
        blocking(move || registry.blocking(|registry, tx| people::unlock(registry, tx, "jlehz")).unwrap());
        try_with(PASSWORD).await;
        wait_for(&window, "/login/second-factor").await;
        window.quit().await.unwrap();
    }
}

/// Pages that no journey passes: axe looks at them, and whoever wants to.
#[tokio::test(flavor = "multi_thread")]
async fn the_other_pages_are_looked_at() {
    let harness = Harness::start_with(Db::Sqlite, |config| {
        config.outbound.allow_loopback = true;
        config.login.password_days = 90;
    });
    harness.apply(
        "[[identity_provider]]\nid = \"fulton\"\nname = \"Fulton County\"\nissuer = \"https://localhost:1\"\n\
         client_id = \"mdi-auth\"\nsecret = \"a secret of the agency, long enough\"\n",
    );
    let browser = Browser::start(&harness.ca_file);
    let window = browser.window(375, true).await;
    window
        .goto(authorize(&harness, "openid user/Composition.rs", &[]))
        .await
        .unwrap();
    look(&window, "other-login-provider", true).await;
    click(&window, "upstream-fulton").await;
    assert!(
        window
            .source()
            .await
            .unwrap()
            .contains("does not answer just now")
    );
    look(&window, "other-login-provider-silent", true).await;
    follow(
        &window,
        window.find(By::LinkText("I forgot my password")).await.unwrap(),
    )
    .await;
    look(&window, "other-forgotten", true).await;
    window
        .goto(harness.url("/invitation/nobody-has-this"))
        .await
        .unwrap();
    look(&window, "other-dead-link", true).await;
    // Signed in: what changes an account.
    window.goto(harness.url("/account/authenticator")).await.unwrap();
    fill(&window, "username", "jlehz").await;
    fill(&window, "password", PASSWORD).await;
    click(&window, "login-submit").await;
    fill(&window, "totp", &totp(harness.now())).await;
    click(&window, "totp-submit").await;
    for (path, name) in [
        ("/account/authenticator", "other-authenticator"),
        ("/account/password", "other-change-password"),
        ("/account/recovery-codes", "other-recovery-codes"),
        ("/account/passkeys/add", "other-add-passkey"),
        ("/account/sessions/end-all", "other-end-all"),
    ] {
        window.goto(harness.url(path)).await.unwrap();
        look(&window, name, true).await;
    }
    // The password has expired meanwhile.
    harness.clock.advance(91 * 86_400);
    window.goto(harness.url("/account")).await.unwrap();
    fill(&window, "username", "jlehz").await;
    fill(&window, "password", PASSWORD).await;
    click(&window, "login-submit").await;
    fill(&window, "totp", &totp(harness.now())).await;
    click(&window, "totp-submit").await;
    wait_for(&window, "/login/new-password").await;
    look(&window, "other-expired-password", true).await;
    window.quit().await.unwrap();
}
