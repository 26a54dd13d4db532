//! Refusals: a network whose strangers are refused again and again waits for each further refusal, so that a flood of them
//! costs little. What is right is answered at once, whoever is next door.

use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest, HttpResponse, web};

use crate::app::App;
use crate::session::client_address;

/// How many refusals the strangers of a network get at once within a minute.
pub const AT_ONCE: u32 = 1200;
/// How long each further one is held back.
const HELD_BACK: Duration = Duration::from_secs(1);

/// Whoever asks is known: signed in, or authenticated.
struct Known;

/// The answer refuses, although its status does not say so.
struct Refuses;

/// Notes that whoever asks is known, so that what is refused is no stranger's.
pub fn note_known(request: &HttpRequest) {
    request.extensions_mut().insert(Known);
}

/// Notes that an answer refuses, although its status does not say so: a form is shown again by a redirect.
pub fn refusing(mut answer: HttpResponse) -> HttpResponse {
    answer.extensions_mut().insert(Refuses);
    answer
}

/// Holds back what refuses strangers of a network that had many refusals in this minute.
pub async fn hold_back(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let app = request.app_data::<web::Data<App>>().cloned();
    let answer = next.call(request).await?;
    let refuses =
        answer.status().is_client_error() || answer.response().extensions().get::<Refuses>().is_some();
    if let Some(app) = app.filter(|_| refuses && answer.request().extensions().get::<Known>().is_none()) {
        let address = client_address::of(&app, answer.request());
        if app.failure_counts.refusal(address, app.now()) > AT_ONCE {
            tokio::time::sleep(HELD_BACK).await;
        }
    }
    Ok(answer)
}
