//! The people-facing pages: structure, escaping, headers, and the assets they refer to.

use actix_web::body::to_bytes;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use actix_web::http::{Method, StatusCode};
use actix_web::{App, HttpResponse, test};
use askama::Template;
use mdi_auth::clock::local_time::When;
use mdi_auth::web::assets;
use mdi_auth::web::page::{Access, Page};
use mdi_auth::web::pages::account::{
    AccountPage, Address, Allowed, ConfirmAddressPage, EndApplicationPage, EndSessionsPage, IdentityItem,
    License, Methods, PasskeyItem, SignIn, SignedInAt,
};
use mdi_auth::web::pages::links::{FieldMistake, ForgottenPage, NewPasswordPage, NoticePage};
use mdi_auth::web::pages::passkeys::{AddPasskeyPage, PasskeyForm, PasskeyRefusedPage};
use mdi_auth::web::pages::set_up::{
    AuthenticatorPage, QrCode, RecoveredPage, RecoveryCodesPage, RecoveryPage, SetUpAppPage, SetUpPage,
};
use mdi_auth::web::pages::{
    Account, Application, BannerPage, ConsentClaim, ConsentPage, ConsentScope, ErrorPage, Fact, FormAction,
    FormError, FormPostPage, LoginPage, LogoutPage, MessagePage, Provider, SecondFactorPage, Shell,
    SignedInAs, SignedOutPage, Withheld, respond,
};

const SHELL: Shell = Shell {
    service_name: "Georgia MDI Sign-in",
    jurisdiction: Some("Georgia Department of Public Health, Office of Vital Records"),
    logo: None,
    account: None,
};
const SIGNED_IN: Shell = Shell {
    account: Some(SignedInAs {
        name: "Jane Núñez-Lehz, MD",
        csrf: "c5rf",
        administers: false,
    }),
    ..SHELL
};
const BANNER: &str = "This is a government system for authorized use only.\nBy signing in you agree that what you do is recorded and may be reviewed.";
const CMS: Application = Application {
    name: "Fulton County Medical Examiner’s Case Management System",
    organization: Some("Fulton County Medical Examiner’s Center"),
};
const JANE: Account = Account {
    name: "Jane Núñez-Lehz, MD",
    username: "jlehz",
};
const SCOPES: &[ConsentScope] = &[
    scope("openid", "Know that you signed in here", None, true),
    scope("fhirUser", "See which practitioner record is yours", None, true),
    scope("profile", "See your name", None, false),
    scope("email", "See your email address", None, false),
    scope(
        "user/Composition.crus",
        "Read, search, create and change death certificates and their drafts",
        None,
        true,
    ),
    scope(
        "user/Patient.rs",
        "Read and search the records of decedents",
        None,
        false,
    ),
    scope(
        "user/Location.crus",
        "Read, search, create and change places of death and injury",
        None,
        false,
    ),
    scope(
        "user/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory",
        "Read and search findings from the laboratory only",
        None,
        false,
    ),
    scope(
        "user/DocumentReference.crs",
        "Read, search and add documents",
        None,
        false,
    ),
    scope(
        "__mdi.certify",
        "Certify cause and manner of death in your name",
        Some("You are asked this each time. It ends 15 minutes after you signed in."),
        false,
    ),
    scope(
        "offline_access",
        "Stay connected when you are signed out",
        None,
        false,
    ),
];
const WITHHELD: &[Withheld] = &[
    Withheld {
        sentence: "Read the audit record",
        reason: "Your role, Medical examiner, does not include this.",
    },
    Withheld {
        sentence: "Delete death certificates",
        reason: "The Georgia EDRS does not allow this to anyone.",
    },
];
const FACTS: &[Fact] = &[
    Fact {
        label: "Name",
        value: "Jane Núñez-Lehz, MD",
    },
    Fact {
        label: "Roles",
        value: "Medical examiner, Reviewer",
    },
    Fact {
        label: "Organization",
        value: "Fulton County Medical Examiner’s Center",
    },
    Fact {
        label: "Purpose of use",
        value: "Public health, Investigation of a death",
    },
];

const fn scope(
    scope: &'static str,
    sentence: &'static str,
    hint: Option<&'static str>,
    required: bool,
) -> ConsentScope<'static> {
    ConsentScope {
        scope,
        sentence,
        hint,
        required,
    }
}

fn login(errors: &[FormError]) -> LoginPage<'_> {
    LoginPage {
        shell: SHELL,
        csrf: "c5rf",
        pending: "p3nd",
        application: Some(CMS),
        username: "jlehz",
        notice: None,
        passkey: None,
        errors,
        providers: &[],
    }
}

fn second_factor(errors: &[FormError]) -> SecondFactorPage<'_> {
    let start_again = "/login?pending=p3nd&again=1";
    SecondFactorPage {
        shell: SHELL,
        csrf: "c5rf",
        pending: "p3nd",
        username: "jlehz",
        passkey: None,
        has_app: true,
        start_again,
        recover: "/login/recovery?pending=p3nd",
        errors,
    }
}

fn set_up(errors: &[FormError]) -> SetUpPage<'_> {
    SetUpPage {
        shell: SHELL,
        csrf: "c5rf",
        pending: "p3nd",
        required: true,
        errors,
    }
}

fn set_up_app(errors: &[FormError]) -> SetUpAppPage<'_> {
    let qr = QrCode::of("otpauth://totp/MDI:jlehz?secret=GEZDGNBVGY3TQOJQ").unwrap();
    SetUpAppPage {
        shell: SHELL,
        csrf: "c5rf",
        pending: "p3nd",
        qr,
        secret: "GEZD GNBV",
        replaces: true,
        errors,
    }
}

fn recovery(errors: &[FormError]) -> RecoveryPage<'_> {
    RecoveryPage {
        shell: SHELL,
        csrf: "c5rf",
        pending: "p3nd",
        back: "/login/second-factor?pending=p3nd",
        errors,
    }
}

fn recovery_codes(codes: &[String]) -> RecoveryCodesPage<'_> {
    RecoveryCodesPage {
        shell: SHELL,
        csrf: "c5rf",
        pending: Some("p3nd"),
        codes,
        left: 10,
    }
}

fn authenticator(removable: bool) -> AuthenticatorPage<'static> {
    AuthenticatorPage {
        shell: SHELL,
        csrf: "c5rf",
        replace: "/login/set-up/app?pending=p3nd",
        removable,
    }
}

const PASSKEY: PasskeyForm = PasskeyForm {
    options: "{\"challenge\":\"x\"}",
    state: "s3al",
};

fn add_passkey(errors: &[FormError]) -> AddPasskeyPage<'_> {
    AddPasskeyPage {
        shell: SHELL,
        csrf: "c5rf",
        pending: "p3nd",
        passkey: PASSKEY,
        name: "Work laptop",
        back: "/account",
        errors,
    }
}

fn consent() -> ConsentPage<'static> {
    ConsentPage {
        shell: SHELL,
        csrf: "c5rf",
        pending: "p3nd",
        application: CMS,
        returns_to: "cms.fulton.example",
        resource_server: Some("Georgia Electronic Death Registration System"),
        account: JANE,
        scopes: SCOPES,
        claims: &[ConsentClaim {
            name: "birthdate",
            sentence: "See your date of birth",
        }],
        withheld: WITHHELD,
        facts: FACTS,
        minutes: 15,
        offline_access: true,
    }
}

fn form_post() -> FormPostPage<'static> {
    FormPostPage {
        shell: SHELL,
        application: CMS,
        redirect_uri: "https://cms.fulton.example/cb?tenant=1&x=2",
        parameters: &[
            ("code", "SplxlO"),
            ("state", "a\"b&c"),
            ("iss", "https://as.example"),
        ],
    }
}

fn when(words: &str) -> When {
    When {
        machine: "2026-11-20T21:05:00-05:00".to_owned(),
        words: words.to_owned(),
    }
}

fn allowed(text: &str) -> Allowed {
    Allowed {
        client_id: text.to_owned(),
        name: text.to_owned(),
        organization: Some(text.to_owned()),
        end_path: "/account/applications/end?client_id=x&y=%22".to_owned(),
        sentences: vec![text.to_owned(), text.to_owned()],
        since: Some(when(text)),
        until: Some(when(text)),
        remembered: true,
    }
}

/// Everything that the page can show, each text the same.
fn account<'a>(shell: Shell<'a>, text: &'a str) -> AccountPage<'a> {
    let session = |current| SignedInAt {
        id: text.to_owned(),
        device: text.to_owned(),
        address: text.to_owned(),
        how: text.to_owned(),
        since: when(text),
        used: when(text),
        current,
    };
    let passkey = |used| PasskeyItem {
        id: text.to_owned(),
        name: text.to_owned(),
        added: when(text),
        used,
    };
    let identity = IdentityItem {
        provider: text.to_owned(),
        linked: when(text),
        used: None,
    };
    AccountPage {
        shell,
        csrf: text,
        done: Some(text),
        account: Account {
            name: text,
            username: text,
        },
        agency: Some(text),
        roles: vec![text, text],
        address: Some(Address {
            email: text,
            confirmed: false,
            can_confirm: true,
        }),
        license: Some(License {
            last_day: text.to_owned(),
            ended: true,
        }),
        methods: Methods {
            password: Some(when(text)),
            authenticator: true,
            authenticator_used: Some(when(text)),
            passkeys: vec![passkey(Some(when(text))), passkey(None)],
            more_passkeys: true,
            recovery_codes: 1,
            recovery_codes_made: Some(when(text)),
            identities: vec![identity],
        },
        sessions: vec![session(true), session(false)],
        applications: vec![
            allowed(text),
            Allowed {
                since: None,
                until: None,
                ..allowed(text)
            },
        ],
        sign_ins: vec![
            SignIn {
                what: text.to_owned(),
                failed: true,
                at: when(text),
                address: Some(text.to_owned()),
            },
            SignIn {
                what: text.to_owned(),
                failed: false,
                at: when(text),
                address: None,
            },
        ],
    }
}

/// The page of somebody who has next to nothing.
fn bare_account() -> AccountPage<'static> {
    let full = account(SIGNED_IN, "x");
    AccountPage {
        done: None,
        agency: None,
        roles: Vec::new(),
        license: None,
        methods: Methods {
            password: None,
            authenticator: false,
            authenticator_used: None,
            passkeys: Vec::new(),
            more_passkeys: false,
            recovery_codes: 0,
            recovery_codes_made: None,
            identities: Vec::new(),
        },
        sessions: full.sessions.into_iter().take(1).collect(),
        applications: Vec::new(),
        sign_ins: Vec::new(),
        ..account(SIGNED_IN, "x")
    }
}

fn confirm_address<'a>(shell: Shell<'a>, text: &'a str, opened: bool) -> ConfirmAddressPage<'a> {
    ConfirmAddressPage {
        shell,
        csrf: text,
        email: text,
        action: text,
        opened,
    }
}

fn end_application<'a>(
    shell: Shell<'a>,
    text: &'a str,
    allowed: &'a Allowed,
    vouched: bool,
) -> EndApplicationPage<'a> {
    EndApplicationPage {
        shell,
        csrf: text,
        allowed,
        vouched,
    }
}

#[test]
async fn the_account_page_offers_what_there_is() {
    let full = account(SIGNED_IN, "x").render().unwrap();
    let bare = bare_account().render().unwrap();
    // What it says, whether there is everything, whether there is nothing.
    let rows = [
        ("action=\"/account/passkeys/rename\"", 2, 0),
        ("action=\"/account/passkeys/remove\"", 2, 0),
        ("action=\"/account/sessions/end\"", 1, 0),
        ("action=\"/account/sessions/end-others\"", 1, 0),
        ("href=\"/account/sessions/end-all\"", 1, 1),
        ("href=\"/account/applications/end?client_id=x&#38;y=%22\"", 2, 0),
        ("href=\"/account/password\"", 1, 0),
        ("href=\"/account/authenticator\"", 1, 1),
        ("href=\"/account/passkeys/add\"", 1, 0),
        ("Passkeys and security keys", 1, 0),
        ("href=\"/account/recovery-codes\"", 1, 1),
        ("1 code left", 1, 0),
        ("Not connected now", 1, 0),
        ("Your agency’s sign-in", 1, 0),
        ("class=\"failed\"", 1, 0),
        ("role=\"status\"", 1, 0),
        ("cannot certify", 1, 0),
    ];
    for (text, in_full, in_bare) in rows {
        assert_eq!(
            (full.matches(text).count(), bare.matches(text).count()),
            (in_full, in_bare),
            "{text}"
        );
    }
    // Each form says which passkey, session or application it is about, for those who hear the page.
    for button in full
        .split("<button")
        .skip(1)
        .map(|rest| rest.split("</button>").next().unwrap())
    {
        let same = ["Sign out</", "Sign out everywhere"]
            .iter()
            .any(|known| format!("{button}</").contains(known));
        assert!(same || button.contains("visually-hidden"), "{button}");
    }
    // The button of the header brings its form along, behind everything that the page itself asks.
    let forms: Vec<&str> = full.split("<form").skip(1).collect();
    assert!(
        forms
            .last()
            .unwrap()
            .starts_with(" id=\"sign-out-form\" action=\"/account/sign-out\" method=\"post\"")
    );
    assert!(tag(&full, "sign-out").contains("form=\"sign-out-form\" name=\"csrf\" value=\"c5rf\""));
    let vouched = end_application(SIGNED_IN, "x", &allowed("x"), true)
        .render()
        .unwrap();
    assert!(
        vouched.contains("Your administrator allowed it for everybody")
            && !vouched.contains("asks you again")
    );
}

fn new_password(errors: &'static [FieldMistake<'static>]) -> NewPasswordPage<'static> {
    NewPasswordPage {
        shell: SHELL,
        banner: None,
        heading: "Choose a new password",
        action: "/login/new-password",
        csrf: "c5rf",
        state: "st4te",
        pending: Some("p3nd"),
        username: "jlehz",
        welcome: false,
        ask_current: true,
        expired: true,
        shortest: 15,
        errors,
    }
}

/// The pages around a new password.
fn around_a_new_password() -> Vec<(&'static str, String)> {
    const WRONG: [FieldMistake<'static>; 3] = [
        FieldMistake {
            field: "current",
            text: "That is not your current password",
            whole_form: false,
        },
        FieldMistake {
            field: "password",
            text: "That password is too easy to guess",
            whole_form: false,
        },
        FieldMistake {
            field: "again",
            text: "The two passwords are not the same",
            whole_form: false,
        },
    ];
    let forgotten = |errors| {
        let (csrf, pending, back) = ("c5rf", "p3nd", "/login?pending=p3nd");
        ForgottenPage {
            shell: SHELL,
            csrf,
            pending,
            username: "jlehz",
            back,
            errors,
        }
        .render()
        .unwrap()
    };
    let invited = NewPasswordPage {
        welcome: true,
        banner: Some("Use is recorded."),
        ask_current: false,
        expired: false,
        ..new_password(&[])
    };
    let change = NewPasswordPage {
        shell: SIGNED_IN,
        action: "/account/password",
        expired: false,
        ..new_password(&WRONG)
    };
    let notice = NoticePage {
        shell: SHELL,
        heading: "Done",
        paragraphs: &["One.", "Two."],
        link: Some(("/account", "Back")),
    };
    vec![
        ("new-password", new_password(&[]).render().unwrap()),
        ("invitation", invited.render().unwrap()),
        ("change-password-errors", change.render().unwrap()),
        ("forgotten", forgotten(&[])),
        ("forgotten-error", forgotten(&[FormError::USERNAME_MISSING])),
        ("notice", notice.render().unwrap()),
    ]
}

/// Every page, by name, as its HTML.
pub fn all() -> Vec<(&'static str, String)> {
    let mut all = most();
    all.extend(around_a_new_password());
    all
}

fn most() -> Vec<(&'static str, String)> {
    let text = "The client_id “nobody” is not registered here.";
    let logout = LogoutPage {
        shell: SHELL,
        csrf: "c5rf",
        pending: "p3nd",
        account: JANE,
    };
    let notice = Some("To certify a death you must sign in again.");
    vec![
        ("login", login(&[]).render().unwrap()),
        ("login-error", login(&[FormError::NOT_ACCEPTED]).render().unwrap()),
        (
            "login-providers",
            LoginPage {
                providers: &[
                    Provider {
                        id: "fulton",
                        name: "Fulton County",
                        silent: false,
                    },
                    Provider {
                        id: "gbi",
                        name: "Georgia Bureau of Investigation",
                        silent: true,
                    },
                ],
                ..login(&[FormError::PROVIDER_SILENT])
            }
            .render()
            .unwrap(),
        ),
        (
            "login-missing",
            LoginPage {
                notice,
                ..login(&[FormError::USERNAME_MISSING, FormError::PASSWORD_MISSING])
            }
            .render()
            .unwrap(),
        ),
        (
            "banner",
            BannerPage {
                shell: SHELL,
                csrf: "c5rf",
                pending: "p3nd",
                banner: BANNER,
            }
            .render()
            .unwrap(),
        ),
        ("set-up", set_up(&[]).render().unwrap()),
        (
            "set-up-error",
            set_up(&[FormError::CHOICE_MISSING]).render().unwrap(),
        ),
        (
            "set-up-app",
            set_up_app(&[FormError::NEW_CODE_NOT_ACCEPTED]).render().unwrap(),
        ),
        (
            "recovery",
            recovery(&[FormError::RECOVERY_CODE_NOT_ACCEPTED])
                .render()
                .unwrap(),
        ),
        (
            "recovered",
            RecoveredPage {
                shell: SHELL,
                left: 1,
                set_up: "/login/set-up",
                onward: "/account",
            }
            .render()
            .unwrap(),
        ),
        (
            "recovery-codes",
            recovery_codes(&["k7qm-3fzp-x2ua-b6nd".to_owned()])
                .render()
                .unwrap(),
        ),
        ("recovery-codes-left", recovery_codes(&[]).render().unwrap()),
        ("authenticator", authenticator(false).render().unwrap()),
        ("authenticator-removable", authenticator(true).render().unwrap()),
        (
            "login-passkey",
            LoginPage {
                passkey: Some(PASSKEY),
                ..login(&[])
            }
            .render()
            .unwrap(),
        ),
        (
            "second-factor-passkey",
            SecondFactorPage {
                passkey: Some(PASSKEY),
                has_app: false,
                ..second_factor(&[FormError::PASSKEY_STALE])
            }
            .render()
            .unwrap(),
        ),
        (
            "second-factor-both",
            SecondFactorPage {
                passkey: Some(PASSKEY),
                ..second_factor(&[])
            }
            .render()
            .unwrap(),
        ),
        ("add-passkey", add_passkey(&[]).render().unwrap()),
        (
            "add-passkey-error",
            add_passkey(&[FormError::PASSKEY_NAME]).render().unwrap(),
        ),
        (
            "passkey-refused",
            PasskeyRefusedPage {
                shell: SHELL,
                heading: "Enter another name",
                text: "It is too long.",
            }
            .render()
            .unwrap(),
        ),
        ("account", account(SIGNED_IN, "x").render().unwrap()),
        ("account-bare", bare_account().render().unwrap()),
        (
            "end-application",
            end_application(SIGNED_IN, "c5rf", &allowed("x"), false)
                .render()
                .unwrap(),
        ),
        (
            "confirm-address",
            confirm_address(SIGNED_IN, "petra@fulton.example", false)
                .render()
                .unwrap(),
        ),
        (
            "address-opened",
            confirm_address(SIGNED_IN, "petra@fulton.example", true)
                .render()
                .unwrap(),
        ),
        (
            "end-sessions",
            EndSessionsPage {
                shell: SIGNED_IN,
                csrf: "c5rf",
            }
            .render()
            .unwrap(),
        ),
        ("second-factor", second_factor(&[]).render().unwrap()),
        (
            "second-factor-error",
            second_factor(&[FormError::CODE_NOT_ACCEPTED]).render().unwrap(),
        ),
        ("consent", consent().render().unwrap()),
        ("logout", logout.render().unwrap()),
        (
            "signed-out",
            SignedOutPage {
                shell: SHELL,
                here_only: false,
            }
            .render()
            .unwrap(),
        ),
        (
            "signed-out-here",
            SignedOutPage {
                shell: SHELL,
                here_only: true,
            }
            .render()
            .unwrap(),
        ),
        (
            "error",
            ErrorPage::new(SHELL, text, "7F3K-Q2MD").render().unwrap(),
        ),
        ("form-post", form_post().render().unwrap()),
    ]
}

/// The tag that has this `id`.
fn tag<'a>(html: &'a str, id: &str) -> &'a str {
    let at = html
        .find(&format!(" id=\"{id}\""))
        .unwrap_or_else(|| panic!("no element {id}"));
    let start = html[..at].rfind('<').unwrap();
    &html[start..=at + html[at..].find('>').unwrap()]
}

/// The values of the attribute `name`, in order.
fn values<'a>(html: &'a str, name: &str) -> Vec<&'a str> {
    let mark = format!(" {name}=\"");
    html.split(&mark)
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
        .collect()
}

#[test]
async fn every_page_is_whole_and_has_nothing_inline() {
    for (page, html) in all() {
        assert!(
            html.starts_with("<!DOCTYPE html>\n<html lang=\"en-US\">"),
            "{page}: lang (WCAG 3.1.1)"
        );
        assert_eq!(html.matches("<title>").count(), 1, "{page}: title (WCAG 2.4.2)");
        assert_eq!(html.matches("<h1>").count(), 1, "{page}: one h1");
        assert!(
            html.contains(" - Georgia MDI Sign-in</title>"),
            "{page}: title names the service"
        );
        assert!(
            html.contains("href=\"#main\"") && html.contains("<main id=\"main\""),
            "{page}: skip link (WCAG 2.4.1)"
        );
        for inline in [
            " style=",
            "<style",
            " onclick=",
            " onload=",
            " onsubmit=",
            "javascript:",
            "<script>",
        ] {
            assert!(
                !html.contains(inline),
                "{page}: {inline} is against the content security policy"
            );
        }
        for url in [values(&html, "src"), values(&html, "href")].concat() {
            assert!(
                url.starts_with('/') || url.starts_with('#'),
                "{page}: {url:?} is not ours"
            );
        }
        let mut ids = values(&html, "id");
        ids.sort();
        let count = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), count, "{page}: an id occurs twice");
        for name in ["for", "aria-describedby", "aria-labelledby"] {
            for id in values(&html, name).iter().flat_map(|list| list.split(' ')) {
                assert!(ids.contains(&id), "{page}: {name}={id} points nowhere");
            }
        }
    }
}

#[test]
async fn names_and_ids_that_others_rely_on() {
    let pages = all();
    let html = |name: &str| &pages.iter().find(|(page, _)| *page == name).unwrap().1;
    let rows: &[(&str, &str, &[&str])] = &[
        (
            "login",
            "username",
            &[
                "name=\"username\"",
                "value=\"jlehz\"",
                "autocomplete=\"username\"",
                "autocapitalize=\"none\"",
                "spellcheck=\"false\"",
            ],
        ),
        (
            "login",
            "password",
            &[
                "name=\"password\"",
                "type=\"password\"",
                "autocomplete=\"current-password\"",
            ],
        ),
        ("login", "login-submit", &["<button", "type=\"submit\""]),
        (
            "second-factor",
            "totp",
            &[
                "name=\"totp\"",
                "inputmode=\"numeric\"",
                "autocomplete=\"one-time-code\"",
                "pattern=\"[0-9]*\"",
                "maxlength=\"8\"",
            ],
        ),
        ("second-factor", "totp-submit", &["<button", "type=\"submit\""]),
        (
            "second-factor",
            "totp-restart",
            &["href=\"/login?pending=p3nd&#38;again=1\""],
        ),
        (
            "consent",
            "consent-approve",
            &[
                "<button",
                "type=\"submit\"",
                "name=\"decision\"",
                "value=\"approve\"",
            ],
        ),
        (
            "consent",
            "consent-deny",
            &[
                "<button",
                "type=\"submit\"",
                "name=\"decision\"",
                "value=\"deny\"",
            ],
        ),
        ("logout", "logout-confirm", &["<button", "type=\"submit\""]),
    ];
    for (page, id, parts) in rows {
        let tag = tag(html(page), id);
        for part in *parts {
            assert!(tag.contains(part), "{page}: {tag} lacks {part}");
        }
    }
    for (page, action) in [
        ("login", "/login"),
        ("second-factor", "/login/second-factor"),
        ("consent", "/consent"),
        ("logout", "/oauth2/logout"),
    ] {
        let html = html(page);
        assert!(
            html.contains(&format!("<form action=\"{action}\" method=\"post\"")),
            "{page}: action"
        );
        assert!(
            html.contains("<input type=\"hidden\" name=\"csrf\" value=\"c5rf\">"),
            "{page}: csrf"
        );
        assert!(
            html.contains("<input type=\"hidden\" name=\"pending\" value=\"p3nd\">"),
            "{page}: pending"
        );
    }
    assert!(html("signed-out").to_lowercase().contains("signed out"));
    assert!(html("error").contains("client_id") && html("error").contains("7F3K-Q2MD"));
}

#[test]
async fn errors_are_in_title_summary_and_beside_the_field() {
    for (html, title) in [
        (login(&[]).render().unwrap(), "<title>Sign in - "),
        (
            second_factor(&[]).render().unwrap(),
            "<title>Enter your security code - ",
        ),
    ] {
        assert!(html.contains(title));
        assert!(!html.contains("role=\"alert\"") && !html.contains("aria-invalid"));
    }
    let errors = [FormError::USERNAME_MISSING, FormError::PASSWORD_MISSING];
    let html = login(&errors).render().unwrap();
    assert!(html.contains("<title>Error: Sign in - "));
    assert!(html.contains("role=\"alert\" tabindex=\"-1\""));
    for (field, text) in [
        ("username", "Enter your username"),
        ("password", "Enter your password"),
    ] {
        assert!(
            html.contains(&format!("<a href=\"#{field}\">{text}</a>")),
            "summary links to {field}"
        );
        assert!(
            tag(&html, field).contains("aria-invalid=\"true\""),
            "{field} is marked"
        );
        assert!(
            tag(&html, field).contains(&format!("aria-describedby=\"{field}-error")),
            "{field} is described"
        );
        assert_eq!(
            html.matches(text).count(),
            2,
            "{field}: in the summary and beside the field"
        );
    }
    let html = login(&[FormError::NOT_ACCEPTED]).render().unwrap();
    assert!(
        tag(&html, "username").contains("value=\"jlehz\""),
        "the typed username is kept"
    );
    assert!(!tag(&html, "password").contains("value="), "the password is not");
    assert!(html.contains("role=\"alert\""));
    assert!(
        !html.contains("aria-invalid"),
        "neither field is blamed: that would tell which one was right"
    );
    let html = second_factor(&[FormError::CODE_NOT_ACCEPTED]).render().unwrap();
    assert!(html.contains("<title>Error: Enter your security code - "));
    assert!(tag(&html, "totp").contains("aria-invalid=\"true\""));
}

#[test]
async fn consent_offers_each_scope_once_and_keeps_the_needed_ones() {
    let html = consent().render().unwrap();
    for (i, scope) in SCOPES.iter().enumerate() {
        let hidden = format!("<input type=\"hidden\" name=\"scope\" value=\"{}\">", scope.scope);
        assert_eq!(
            html.contains(&hidden),
            scope.required,
            "{}: hidden only if needed",
            scope.scope
        );
        let tag = tag(&html, &format!("scope-{}", i + 1));
        assert!(
            tag.contains("type=\"checkbox\"") && tag.contains(" checked"),
            "{tag}"
        );
        assert_eq!(tag.contains(" disabled"), scope.required, "{tag}");
        assert_eq!(tag.contains("name=\"scope\""), !scope.required, "{tag}");
        assert!(html.contains(scope.sentence));
    }
    assert_eq!(html.matches("name=\"scope\"").count(), SCOPES.len());
    for item in WITHHELD {
        assert!(html.contains(item.sentence) && html.contains(item.reason));
    }
    for fact in FACTS {
        assert!(html.contains(fact.label) && html.contains(fact.value));
    }
    assert!(html.contains("15 minutes") && html.contains("stays connected until you revoke it"));
    let html = ConsentPage {
        minutes: 1,
        offline_access: false,
        withheld: &[],
        ..consent()
    }
    .render()
    .unwrap();
    assert!(html.contains("1 minute.") && !html.contains("revoke") && !html.contains("will not get"));
}

#[test]
async fn text_from_others_is_never_markup() {
    const EVIL: &str = "<img src=x onerror=alert(1)>\"'&</title>";
    const FIELDS: Shell = Shell {
        service_name: EVIL,
        jurisdiction: Some(EVIL),
        logo: Some(EVIL),
        account: Some(SignedInAs {
            name: EVIL,
            csrf: EVIL,
            administers: true,
        }),
    };
    const APPLICATION: Application = Application {
        name: EVIL,
        organization: Some(EVIL),
    };
    const PASSKEY: PasskeyForm = PasskeyForm {
        options: EVIL,
        state: EVIL,
    };
    const ACCOUNT: Account = Account {
        name: EVIL,
        username: EVIL,
    };
    let pages = [
        LoginPage {
            shell: FIELDS,
            csrf: EVIL,
            pending: EVIL,
            application: Some(APPLICATION),
            username: EVIL,
            notice: Some(EVIL),
            passkey: Some(PASSKEY),
            errors: &[],
            providers: &[Provider {
                id: EVIL,
                name: EVIL,
                silent: true,
            }],
        }
        .render(),
        SecondFactorPage {
            shell: FIELDS,
            csrf: EVIL,
            pending: EVIL,
            username: EVIL,
            passkey: Some(PASSKEY),
            has_app: true,
            start_again: EVIL,
            recover: EVIL,
            errors: &[],
        }
        .render(),
        ConsentPage {
            shell: FIELDS,
            csrf: EVIL,
            pending: EVIL,
            application: APPLICATION,
            returns_to: EVIL,
            resource_server: Some(EVIL),
            account: ACCOUNT,
            scopes: &[
                scope(EVIL, EVIL, Some(EVIL), true),
                scope(EVIL, EVIL, Some(EVIL), false),
            ],
            claims: &[ConsentClaim {
                name: EVIL,
                sentence: EVIL,
            }],
            withheld: &[Withheld {
                sentence: EVIL,
                reason: EVIL,
            }],
            facts: &[Fact {
                label: EVIL,
                value: EVIL,
            }],
            minutes: 15,
            offline_access: true,
        }
        .render(),
        account(FIELDS, EVIL).render(),
        end_application(FIELDS, EVIL, &allowed(EVIL), false).render(),
        confirm_address(FIELDS, EVIL, true).render(),
        EndSessionsPage {
            shell: FIELDS,
            csrf: EVIL,
        }
        .render(),
        LogoutPage {
            shell: FIELDS,
            csrf: EVIL,
            pending: EVIL,
            account: ACCOUNT,
        }
        .render(),
        AddPasskeyPage {
            shell: FIELDS,
            csrf: EVIL,
            pending: EVIL,
            passkey: PASSKEY,
            name: EVIL,
            back: EVIL,
            errors: &[],
        }
        .render(),
        PasskeyRefusedPage {
            shell: FIELDS,
            heading: EVIL,
            text: EVIL,
        }
        .render(),
        BannerPage {
            shell: FIELDS,
            csrf: EVIL,
            pending: EVIL,
            banner: EVIL,
        }
        .render(),
        RecoveryPage {
            shell: FIELDS,
            csrf: EVIL,
            pending: EVIL,
            back: EVIL,
            errors: &[],
        }
        .render(),
        MessagePage {
            shell: FIELDS,
            heading: EVIL,
            paragraphs: &[EVIL],
        }
        .render(),
        ErrorPage {
            shell: FIELDS,
            heading: EVIL,
            text: EVIL,
            advice: EVIL,
            details: Some(EVIL),
            reference: EVIL,
            sign_out: true,
        }
        .render(),
        FormPostPage {
            shell: FIELDS,
            application: APPLICATION,
            redirect_uri: EVIL,
            parameters: &[(EVIL, EVIL)],
        }
        .render(),
    ];
    for page in pages {
        let html = page.unwrap();
        assert!(
            html.contains("&#60;img src=x onerror=alert(1)&#62;&#34;&#39;&#38;"),
            "escaped: {html}"
        );
        assert!(
            !html.contains("<img src=x") && !html.contains(">\"'"),
            "raw: {html}"
        );
    }
}

#[test]
async fn form_post_carries_the_answer_and_works_without_script() {
    let html = form_post().render().unwrap();
    let form = tag(&html, "form-post");
    assert!(
        form.contains("method=\"post\"")
            && form.contains("action=\"https://cms.fulton.example/cb?tenant=1&#38;x=2\"")
    );
    assert!(html.contains("<input type=\"hidden\" name=\"state\" value=\"a&#34;b&#38;c\">"));
    assert!(tag(&html, "form-post-continue").contains("type=\"submit\""));
    assert!(html.contains(&format!(
        "<script src=\"{}\" defer></script>",
        assets::url("form-post.js")
    )));
}

#[test]
async fn an_answer_is_not_stored_and_names_where_its_forms_may_lead() {
    let rows = [
        (FormAction::SelfOnly, "'self'"),
        (
            FormAction::ThenRedirect("https://cms.example/cb"),
            "'self' https:",
        ),
        (
            FormAction::ThenRedirect("HTTP://127.0.0.1:4711/cb"),
            "'self' https: http:",
        ),
        (
            FormAction::ThenRedirect("com.example.app:/cb"),
            "'self' https: com.example.app:",
        ),
        (
            FormAction::ThenRedirect("x; script-src *://evil"),
            "'self' https:",
        ),
        (FormAction::ThenRedirect("no scheme"), "'self' https:"),
    ];
    for (form_action, expected) in rows {
        let response = respond(&login(&[]), StatusCode::OK, form_action);
        let header = |name| response.headers().get(name).unwrap().to_str().unwrap();
        assert_eq!(
            header(CONTENT_SECURITY_POLICY),
            format!(
                "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action {expected}; base-uri 'none'; frame-ancestors 'none'"
            )
        );
        assert_eq!(header(CACHE_CONTROL), "no-store");
        assert_eq!(header(CONTENT_TYPE), "text/html; charset=utf-8");
    }
    let page = ErrorPage::new(SHELL, "redirect_uri is missing.", "R1");
    let response: HttpResponse = respond(&page, StatusCode::BAD_REQUEST, FormAction::SelfOnly);
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let body = to_bytes(response.into_body()).await.unwrap();
    assert!(
        std::str::from_utf8(&body)
            .unwrap()
            .contains("redirect_uri is missing.")
    );
}

#[test]
async fn assets_live_at_the_hash_of_their_content_and_nowhere_else() {
    let app = test::init_service(App::new().configure(assets::configure)).await;
    let rows = [
        (
            "app.css",
            "app",
            "css",
            "text/css; charset=utf-8",
            &include_bytes!("../static/app.css")[..],
        ),
        (
            "consent.js",
            "consent",
            "js",
            "text/javascript; charset=utf-8",
            &include_bytes!("../static/consent.js")[..],
        ),
        (
            "form-post.js",
            "form-post",
            "js",
            "text/javascript; charset=utf-8",
            &include_bytes!("../static/form-post.js")[..],
        ),
        (
            "passkey.js",
            "passkey",
            "js",
            "text/javascript; charset=utf-8",
            &include_bytes!("../static/passkey.js")[..],
        ),
        (
            "mark.svg",
            "mark",
            "svg",
            "image/svg+xml",
            &include_bytes!("../static/mark.svg")[..],
        ),
    ];
    for (name, stem, extension, content_type, content) in rows {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, content);
        let hash = data_encoding::HEXLOWER.encode(&digest.as_ref()[..8]);
        assert_eq!(assets::url(name), format!("/static/{stem}.{hash}.{extension}"));
        let request = test::TestRequest::get().uri(assets::url(name)).to_request();
        let response = test::call_service(&app, request).await;
        assert_eq!(response.status(), StatusCode::OK);
        let header = |name| response.headers().get(name).unwrap().to_str().unwrap();
        assert_eq!(header(CONTENT_TYPE), content_type);
        assert_eq!(header(CACHE_CONTROL), "public, max-age=31536000, immutable");
        assert_eq!(test::read_body(response).await, content);
    }
    assert_eq!(assets::url("nothing.css"), "");
    for path in [
        "/static/app.css",
        "/static/app.0000000000000000.css",
        "/static/..%2fCargo.toml",
        "/static/",
    ] {
        let response = test::call_service(&app, test::TestRequest::get().uri(path).to_request()).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let request = test::TestRequest::post().uri(assets::url("app.css")).to_request();
    assert!(test::call_service(&app, request).await.status().is_client_error());
}

/// The list of pages for people as the operator's guide has it.
fn guide() -> String {
    let says = |page: &Page, method: Method| {
        let row = page.rows.iter().find(|row| row.method == method);
        row.map_or_else(String::new, |row| match row.access {
            Access::SignedIn(None) => "who is signed in".to_owned(),
            Access::SignedIn(Some(seconds)) => {
                format!("who signed in within the last {} minutes", seconds / 60)
            }
            Access::Pending => "a browser in the middle of a sign-in".to_owned(),
            Access::Link => "whoever has the link".to_owned(),
            Access::CrossSite => "a browser that another site sends".to_owned(),
            Access::Stranger => "anyone".to_owned(),
        })
    };
    let row = |page: &Page| {
        let (get, post) = (says(page, Method::GET), says(page, Method::POST));
        format!("| `{}` | {get} | {post} |\n", page.path)
    };
    let rows: String = mdi_auth::server::pages::pages().iter().map(row).collect();
    format!("| page | to see it | to send its form |\n|---|---|---|\n{rows}")
}

#[core::prelude::v1::test]
fn the_guide_has_every_page_for_people() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("OPERATING.md");
    let wanted = guide();
    assert!(
        std::fs::read_to_string(path).unwrap().contains(&wanted),
        "OPERATING.md must have this table:\n{wanted}"
    );
}
