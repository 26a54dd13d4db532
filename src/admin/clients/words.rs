//! Clients in words: what a dataflow is for, how a client proves itself, when things were.

use crate::app::App;
use crate::model::client::{AuthMethod, Client, GrantType};
use crate::policy::dataflow::Dataflow;

/// A dataflow as administrators speak of it: what happens, and who is the client. The labels of the policy stand for
/// dataflows that are not among those that come with it.
pub fn of_dataflow(flow: &Dataflow) -> (String, String) {
    let (title, text) = match flow.id.as_str() {
        "lims-to-cms" => (
            "A laboratory sends us results",
            "A toxicology laboratory's system sends finished reports to your case system by itself. Nobody signs in.",
        ),
        "cms-to-edrs" => (
            "Our registration system accepts a case system",
            "A medical examiner's or coroner's case system exchanges death records with the EDRS by itself. Nobody signs in.",
        ),
        "cms-user-to-edrs" => (
            "Certifiers work from their case system",
            "Medical examiners and coroners sign in here and work on death records in the EDRS from their own case system.",
        ),
        "edrs-user" => (
            "People use the registration system's own pages",
            "Registrars, funeral directors, clerks and physicians sign in here to use the EDRS itself.",
        ),
        "lims-user-to-cms" => (
            "Analysts work from their laboratory system",
            "Toxicologists and analysts sign in here and look into your case system from the laboratory's system.",
        ),
        "edrs-cms-review" => (
            "Death certificate review or cremation clearance",
            "A registration system and a case system send each other requests and answers. Either may begin.",
        ),
        "custom" => (
            "Something else",
            "You write down yourself what the client may do. For systems that fit none of the others.",
        ),
        _ => return (flow.label.clone(), format!("The client is: {}.", flow.client)),
    };
    (title.to_owned(), text.to_owned())
}

/// How a client proves who it is.
pub fn of_method(method: AuthMethod) -> &'static str {
    match method {
        AuthMethod::PrivateKeyJwt => "With a key of its own (private_key_jwt)",
        AuthMethod::ClientSecretBasic => "With a secret (client_secret_basic)",
        AuthMethod::ClientSecretPost => "With a secret in the form (client_secret_post)",
        AuthMethod::None => "Not at all: a public application (none)",
    }
}

/// What a client will be able to do, as sentences.
pub fn abilities(app: &App, flow: &Dataflow, client: Option<&Client>) -> Vec<String> {
    let scopes = flow.ceiling(client.and_then(|client| client.settings.scopes.as_ref()));
    let mut sentences: Vec<String> = Vec::new();
    for sentence in app.policy.sentences(&scopes) {
        if !sentences.contains(&sentence.sentence) {
            sentences.push(sentence.sentence);
        }
    }
    sentences
}

/// Whether people sign in for this client.
pub fn is_for_people(flow: &Dataflow, grants: &[GrantType]) -> bool {
    if flow.as_written {
        grants.is_empty() || grants.contains(&GrantType::AuthorizationCode)
    } else {
        !flow.is_for_systems()
    }
}
