//! `/admin/users/{id}/{action}`: what is done to one person. Each asks first, on a page of its own that says what it
//! means.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;

use super::{PATH, labels, path_of};
use crate::admin::about::About;
use crate::admin::access::{AdminRequest, Answered, Frame, Requires, done};
use crate::admin::form::{FieldMistake, Typed};
use crate::admin::page::{Page, page};
use crate::admin::shown_once::Once;
use crate::app::App;
use crate::model::person::Person;
use crate::policy::console::Area;
use crate::registry::links::{self, Issued};
use crate::registry::{Refused, link_mails, people, sessions};
use crate::web::browser::PostedForm;
use crate::web::pages::{self, FormAction, Shell};

/// The field that says how a link is handed over.
const HAND_OVER: &str = "hand_over";

/// What can be done to a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A link for somebody without a password.
    Invite,
    /// A link for a new password.
    ResetLink,
    /// Forget failed sign-ins.
    Unlock,
    /// Take second factors away.
    ResetSecondFactor,
    /// Sign out everywhere.
    SignOut,
    /// Sign out everywhere and take back everything.
    Revoke,
    /// Nobody signs in any more.
    Disable,
    /// Sign in again.
    Enable,
    /// A mistaken entry goes.
    Delete,
}

impl Action {
    const ALL: [Self; 9] = [
        Self::Invite,
        Self::ResetLink,
        Self::Unlock,
        Self::ResetSecondFactor,
        Self::SignOut,
        Self::Revoke,
        Self::Disable,
        Self::Enable,
        Self::Delete,
    ];

    /// Its part of the address.
    pub fn path(self) -> &'static str {
        match self {
            Self::Invite => "invite",
            Self::ResetLink => "reset-link",
            Self::Unlock => "unlock",
            Self::ResetSecondFactor => "reset-second-factor",
            Self::SignOut => "sign-out",
            Self::Revoke => "revoke",
            Self::Disable => "disable",
            Self::Enable => "enable",
            Self::Delete => "delete",
        }
    }

    /// What it is called.
    pub fn heading(self) -> &'static str {
        match self {
            Self::Invite => "Make a new invitation",
            Self::ResetLink => "Make a link for a new password",
            Self::Unlock => "Unlock the account",
            Self::ResetSecondFactor => "Reset the second factor",
            Self::SignOut => "Sign out everywhere",
            Self::Revoke => "Sign out everywhere and take back everything",
            Self::Disable => "Disable the account",
            Self::Enable => "Enable the account",
            Self::Delete => "Delete the account",
        }
    }

    /// Those that make sense for a person.
    pub fn for_person(person: &Person, locked: bool) -> Vec<Self> {
        let fits = |action: &Self| match action {
            Self::Invite => person.enabled && person.password.is_none(),
            Self::ResetLink => person.enabled && person.password.is_some(),
            Self::Unlock => locked,
            Self::ResetSecondFactor | Self::SignOut | Self::Revoke | Self::Disable => person.enabled,
            Self::Enable => !person.enabled,
            Self::Delete => person.last_login_at.is_none(),
        };
        Self::ALL.into_iter().filter(fits).collect()
    }

    /// What it means, one sentence each.
    fn means(self) -> &'static [&'static str] {
        match self {
            Self::Invite => &[
                "You get a link with which the person chooses a password. It works once.",
                "Links that were made before do not work any more.",
            ],
            Self::ResetLink => &[
                "You get a link with which the person chooses a new password. It works once.",
                "The old password works until then. When the new one is chosen, the person is signed out everywhere.",
                "Make sure that you give the link to the right person: call back on a number that you know.",
            ],
            Self::Unlock => &[
                "Failed sign-ins are forgotten, and the person can try again.",
                "If you do not know why there were so many, ask the person first: somebody may be guessing the password.",
            ],
            Self::ResetSecondFactor => &[
                "The authenticator app, all passkeys and all recovery codes of the person stop working.",
                "The person is signed out everywhere, and applications lose what they were allowed.",
                "The next sign-in with the password sets up a new second factor. Make sure that it is the right person who asks for this.",
            ],
            Self::SignOut => &[
                "The person is signed out in every browser.",
                "Applications that were allowed to stay connected stay connected.",
                "The person can sign in again.",
            ],
            Self::Revoke => &[
                "The person is signed out in every browser.",
                "Every application loses what it was allowed, also those that stay connected.",
                "The person can sign in again. To prevent that, disable the account instead.",
            ],
            Self::Disable => &[
                "Nobody can sign in with this account any more.",
                "The person is signed out everywhere, and applications lose what they were allowed.",
                "The account stays in the list and in the record. You can enable it again.",
            ],
            Self::Enable => &[
                "The person can sign in again with the password and second factor of before.",
                "What has ended stays ended: applications ask again.",
            ],
            Self::Delete => &[
                "The account disappears. This cannot be undone.",
                "Only an account that nobody has ever signed in with can be deleted: the record names everybody else.",
            ],
        }
    }

    fn button(self) -> &'static str {
        match self {
            Self::Invite | Self::ResetLink => "Make the link",
            Self::Unlock => "Unlock",
            Self::ResetSecondFactor => "Reset",
            Self::SignOut => "Sign out",
            Self::Revoke => "Sign out and take back",
            Self::Disable => "Disable",
            Self::Enable => "Enable",
            Self::Delete => "Delete",
        }
    }

    /// Whether it takes something away.
    fn is_dangerous(self) -> bool {
        matches!(
            self,
            Self::ResetSecondFactor | Self::SignOut | Self::Revoke | Self::Disable | Self::Delete
        )
    }

    /// Whether it lets somebody into the account, and so wants a fresh sign-in.
    fn opens_account(self) -> bool {
        matches!(
            self,
            Self::Invite | Self::ResetLink | Self::ResetSecondFactor | Self::Enable
        )
    }

    fn makes_link(self) -> bool {
        matches!(self, Self::Invite | Self::ResetLink)
    }
}

/// The pages, one for each action.
pub fn pages() -> Vec<Page> {
    let page_of = |action: Action| {
        let requires = Requires::change(Area::People).about(About::Person);
        let requires = if action.opens_account() {
            requires.fresh()
        } else {
            requires
        };
        let path = format!("{PATH}/{{id}}/{}", action.path());
        page(path, requires, move |admin| ask(admin, action))
            .form(move |admin, form| act(admin, form, action))
    };
    Action::ALL.into_iter().map(page_of).collect()
}

#[derive(Template)]
#[template(path = "../admin/person_action.html")]
struct ActionPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    action: Action,
    person: &'a Person,
    roles: String,
    /// The person is the one who looks at the page.
    oneself: bool,
    /// Where a link could be mailed.
    mail_to: Option<&'a str>,
    typed: Typed,
    wrong: Vec<FieldMistake>,
}

/// Where a link can be mailed, if mail is configured and the person has an address.
pub(super) fn mail_to<'a>(app: &App, person: &'a Person) -> Option<&'a str> {
    app.mailer.as_ref()?;
    person.settings.email.as_deref()
}

/// `GET /admin/users/{id}/{action}`
async fn ask(admin: AdminRequest, action: Action) -> Answered {
    let person = admin.about()?;
    let typed = Typed::default().with(
        HAND_OVER,
        if mail_to(&admin.app, &person).is_some() {
            "mail"
        } else {
            "show"
        },
    );
    Ok(show(&admin, &person, action, StatusCode::OK, (typed, Vec::new())))
}

fn show(
    admin: &AdminRequest,
    person: &Person,
    action: Action,
    status: StatusCode,
    (typed, wrong): (Typed, Vec<FieldMistake>),
) -> HttpResponse {
    let page = ActionPage {
        shell: admin.shell(),
        frame: admin.frame(Area::People),
        action,
        person,
        roles: labels(&admin.app.policy, &person.settings.roles).join(", "),
        oneself: person.id == admin.signed_in.person.id,
        mail_to: mail_to(&admin.app, person),
        typed,
        wrong,
    };
    pages::respond(&page, status, FormAction::SelfOnly)
}

/// `POST /admin/users/{id}/{action}`
async fn act(admin: AdminRequest, form: PostedForm, action: Action) -> Answered {
    let person = admin.about()?;
    let typed = Typed::of(&form, &[HAND_OVER]);
    match run(&admin, &person, action).await {
        Ok(Some(issued)) => Ok(hand_over(
            &admin,
            &issued,
            typed.get(HAND_OVER) == "mail",
            "link-made",
        )),
        Ok(None) => Ok(finished(&person, action)),
        Err(Refused::Mistakes(mistakes)) => {
            let wrong = FieldMistake::of(&mistakes, &[]);
            Ok(show(
                &admin,
                &person,
                action,
                StatusCode::UNPROCESSABLE_ENTITY,
                (typed, wrong),
            ))
        }
        Err(Refused::Broken(broken)) => Err(broken.into()),
    }
}

/// Does it. Answers a link, if one was made.
async fn run(admin: &AdminRequest, person: &Person, action: Action) -> Result<Option<Issued>, Refused> {
    let username = person.username.clone();
    let job = admin.registry();
    job.run(move |registry, tx| {
        Ok(match action {
            Action::Invite => links::invite(registry, tx, &username)?.map(Some),
            Action::ResetLink => links::reset_link(registry, tx, &username)?.map(Some),
            Action::Unlock => people::unlock(registry, tx, &username)?.map(|_| None),
            Action::ResetSecondFactor => {
                people::reset_second_factor(registry, tx, &username, None)?.map(|_| None)
            }
            Action::SignOut => sessions::end_all(registry, tx, &username)?.map(|_| None),
            Action::Revoke => people::revoke_everything(registry, tx, &username)?.map(|_| None),
            Action::Disable => people::set_enabled(registry, tx, &username, false)?.map(|_| None),
            Action::Enable => people::set_enabled(registry, tx, &username, true)?.map(|_| None),
            Action::Delete => people::delete(registry, tx, &username)?.map(|_| None),
        })
    })
    .await
}

fn finished(person: &Person, action: Action) -> HttpResponse {
    let word = match action {
        Action::Delete => return done(PATH, "deleted"),
        Action::Unlock => "unlocked",
        Action::ResetSecondFactor => "factors-reset",
        Action::SignOut => "signed-out",
        Action::Revoke => "revoked",
        Action::Disable => "person-disabled",
        Action::Enable => "person-enabled",
        Action::Invite | Action::ResetLink => "link-made",
    };
    done(&path_of(&person.id), word)
}

/// Hands a link over: by mail, where that is wanted and possible, else on the page of the person, once.
pub(super) fn hand_over(admin: &AdminRequest, issued: &Issued, by_mail: bool, word: &str) -> HttpResponse {
    let (app, path) = (&admin.app, path_of(&issued.person.id));
    if let (true, Some(mailer), Some(mail)) = (by_mail, &app.mailer, link_mails::link(app, issued)) {
        mailer.post(mail);
        return done(&path, "mailed");
    }
    let once = Once {
        subject: issued.person.id.clone(),
        value: issued.url.reveal().to_owned(),
        note: Some(format!(
            "It works once, until {}.",
            admin.zone.when(issued.expires_at).words
        )),
    };
    admin.show_once(&path, word, &once)
}
