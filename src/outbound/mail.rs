//! Mail to people: plain text, through the mail server of `[mail]`. Whoever posts a message never waits for it: a queue
//! of bounded length is worked off in the background, with a few tries. What became of a message is recorded, what it
//! says is not: it may hold a link that signs somebody in.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::{self, AsyncSmtpTransport};
use lettre::{Address, AsyncTransport, Tokio1Executor};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Instant, sleep_until, timeout};

use crate::audit::event::{Actor, Event, Kind, Outcome};
use crate::clock::{Clock, Entropy};
use crate::config::{MailConfig, MailTls, OutboundConfig};
use crate::store::Store;

/// Whether a text is an address that mail could go to (RFC 5321 §4.1.2).
pub fn is_address(text: &str) -> bool {
    // A quoted name or a bare address of a machine can be written, and then no server takes it.
    text.parse::<Address>().is_ok() && !text.contains(['"', '['])
}

/// How many messages may wait.
const QUEUE: usize = 1000;
/// How long to wait before each further try.
const PAUSES: [Duration; 3] = [
    Duration::from_secs(2),
    Duration::from_secs(30),
    Duration::from_secs(300),
];
/// How long one exchange with the mail server may take.
const STEP: Duration = Duration::from_secs(10);
/// How long one message may take.
const WHOLE: Duration = Duration::from_secs(30);

/// A message to one person.
#[derive(Clone)]
pub struct Mail {
    /// The person's id, for the record.
    pub person_id: String,
    /// The person's name.
    pub name: String,
    /// The address.
    pub address: String,
    /// What it is about, for the record: `invitation`, `new password`, `password changed`, `second factor
    /// changed`.
    pub about: &'static str,
    /// The subject.
    pub subject: String,
    /// The text, in lines.
    pub text: String,
}

/// Without the text: it may hold a link.
impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mail({} to {})", self.about, self.person_id)
    }
}

/// Why mail cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The settings cannot be used.
    #[error("{0}")]
    Settings(String),
    /// An address that cannot be written to.
    #[error("the address cannot be written to: {0}")]
    Address(String),
    /// The mail server refused with this code (RFC 5321 §4.2). Its words are left out: they may repeat the message.
    #[error("the mail server refused with {code}")]
    Refused {
        /// The code.
        code: String,
        /// Whether it may take the message later.
        later: bool,
    },
    /// No connection, no TLS, no sign-in, no SMTP.
    #[error("{0}")]
    Connection(String),
    /// The mail server took too long.
    #[error("the mail server did not answer within {} s", WHOLE.as_secs())]
    TimedOut,
}

impl MailError {
    /// What went wrong with a message.
    fn of(error: &smtp::Error) -> Self {
        match error.status() {
            Some(code) => Self::Refused {
                code: code.to_string(),
                later: !error.is_permanent(),
            },
            None => Self::Connection(error.to_string()),
        }
    }

    /// Whether another try may succeed.
    fn is_passing(&self) -> bool {
        match self {
            Self::Refused { later, .. } => *later,
            Self::Connection(_) | Self::TimedOut => true,
            Self::Settings(_) | Self::Address(_) => false,
        }
    }
}

/// A message that is not delivered yet.
#[derive(Debug)]
struct Waiting {
    mail: Mail,
    /// How often it was tried.
    tries: usize,
    /// When it is tried next.
    at: Instant,
}

/// What is to be sent.
#[derive(Debug)]
struct Posted {
    queue: Receiver<Mail>,
    /// What was tried in vain.
    waiting: Vec<Waiting>,
}

/// Sends mail.
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    reply_to: Option<Mailbox>,
    /// Where it connects to, for error texts.
    server: String,
    queue: Mutex<Option<Sender<Mail>>>,
    posted: tokio::sync::Mutex<Posted>,
    dropped: AtomicU64,
}

impl fmt::Debug for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mailer({})", self.server)
    }
}

impl Mailer {
    /// Sets up by `[mail]`, with the authorities of `[outbound] extra_ca_file` beside the system's. `host` is the name
    /// that this server gives itself.
    ///
    /// # Errors
    /// When the authorities cannot be read.
    pub fn new(config: &MailConfig, outbound: &OutboundConfig, host: &str) -> Result<Self, MailError> {
        let parameters = || tls_parameters(&config.host, outbound.extra_ca_file.as_deref());
        let tls = match config.tls {
            MailTls::StartTls => Tls::Required(parameters()?),
            MailTls::Tls => Tls::Wrapper(parameters()?),
            MailTls::None => Tls::None,
        };
        let hello = match host.parse::<IpAddr>() {
            Ok(IpAddr::V4(address)) => ClientId::Ipv4(address),
            Ok(IpAddr::V6(address)) => ClientId::Ipv6(address),
            Err(_) => ClientId::Domain(host.to_owned()),
        };
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&config.host)
            .port(config.port)
            .tls(tls)
            .hello_name(hello)
            .timeout(Some(STEP));
        if let Some(known) = &config.credentials {
            let credentials = Credentials::new(known.username.clone(), known.password.reveal().to_owned());
            transport = transport.credentials(credentials);
        }
        let (queue, posted) = channel(QUEUE);
        Ok(Self {
            transport: transport.build(),
            from: config.from.clone(),
            reply_to: config.reply_to.clone(),
            server: format!("{}:{}", config.host, config.port),
            queue: Mutex::new(Some(queue)),
            posted: tokio::sync::Mutex::new(Posted {
                queue: posted,
                waiting: Vec::new(),
            }),
            dropped: AtomicU64::new(0),
        })
    }

    /// Hands a message over. It never waits and never fails: what becomes of the message stands in the record.
    pub fn post(&self, mail: Mail) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if queue.is_none_or(|queue| queue.try_send(mail).is_err()) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// [`Mailer::post`] for somebody who has many messages: waits until there is room for one more.
    pub async fn post_in_turn(&self, mail: Mail) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let taken = match queue {
            Some(queue) => queue.send(mail).await.is_ok(),
            None => false,
        };
        if !taken {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Connects and signs in at the mail server, and sends nothing.
    ///
    /// # Errors
    /// What went wrong, in the mail server's own words where there are some.
    pub async fn check(&self) -> Result<(), MailError> {
        match timeout(WHOLE, self.transport.test_connection()).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(MailError::Connection("the mail server hung up".to_owned())),
            Ok(Err(error)) => Err(MailError::Connection(error.to_string())),
            Err(_) => Err(MailError::TimedOut),
        }
    }

    /// Sends a message now, in one try.
    ///
    /// # Errors
    /// What went wrong.
    pub async fn send(&self, mail: &Mail, now: i64) -> Result<(), MailError> {
        let address = mail
            .address
            .parse()
            .map_err(|cause| MailError::Address(format!("{cause}")))?;
        let date = UNIX_EPOCH + Duration::from_secs(u64::try_from(now).unwrap_or_default());
        let mut message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(Some(mail.name.clone()), address))
            .subject(mail.subject.clone())
            .date(date)
            .message_id(Some(format!(
                "<{}@{}>",
                Entropy.id("mail"),
                self.from.email.domain()
            )))
            // RFC 3834 §5: nobody's absence is answered.
            .raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".to_owned(),
            ))
            .header(ContentType::TEXT_PLAIN);
        if let Some(reply_to) = &self.reply_to {
            message = message.reply_to(reply_to.clone());
        }
        let message = message
            .body(mail.text.clone())
            .map_err(|cause| MailError::Address(cause.to_string()))?;
        match timeout(WHOLE, self.transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(MailError::of(&error)),
            Err(_) => Err(MailError::TimedOut),
        }
    }

    /// Works the queue off until [`Mailer::close`]. One at a time does.
    pub async fn run(&self, store: &Store, clock: &dyn Clock) {
        let Ok(mut posted) = self.posted.try_lock() else {
            return;
        };
        let Posted { queue, waiting } = &mut *posted;
        loop {
            let next = waiting.iter().map(|waiting| waiting.at).min();
            let mut due = tokio::select! {
                mail = queue.recv() => match mail {
                    Some(mail) => Waiting { mail, tries: 0, at: Instant::now() },
                    None => break,
                },
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                    let place = waiting.iter().position(|waiting| Some(waiting.at) == next).unwrap_or_default();
                    waiting.swap_remove(place)
                }
            };
            due.tries += 1;
            let outcome = self.send(&due.mail, clock.now()).await;
            match (&outcome, PAUSES.get(due.tries - 1)) {
                (Err(error), Some(pause)) if error.is_passing() => {
                    tracing::warn!(server = %self.server, %error, mail = ?due.mail, "mail is tried again later");
                    due.at = Instant::now() + *pause;
                    waiting.push(due);
                }
                _ => {
                    self.record(
                        store,
                        clock,
                        vec![event(&due.mail, &outcome, due.tries, clock, Actor::Server)],
                    )
                    .await
                }
            }
        }
        let stopped = Err(MailError::Connection(
            "the server stopped before another try".to_owned(),
        ));
        let given_up = waiting
            .iter()
            .map(|left| event(&left.mail, &stopped, left.tries, clock, Actor::Server));
        self.record(store, clock, given_up.collect()).await;
    }

    /// Takes no more messages: [`Mailer::run`] ends with those that are queued.
    pub fn close(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    async fn record(&self, store: &Store, clock: &dyn Clock, mut events: Vec<Event>) {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            let full =
                Event::new(clock.now_millis(), Kind::MailSent, Actor::Server).outcome(Outcome::MinorFailure);
            events.push(
                full.with("reason", "the queue was full")
                    .with("count", dropped.to_string()),
            );
        }
        let written = store.write(move |tx| {
            events.iter().for_each(|event| tx.audit(event.clone()));
            Ok(())
        });
        if let Err(cause) = written.await {
            tracing::error!(%cause, "what became of mail could not be recorded");
        }
    }
}

/// What became of a message, for the record.
pub fn event(
    mail: &Mail,
    outcome: &Result<(), MailError>,
    tries: usize,
    clock: &dyn Clock,
    actor: Actor,
) -> Event {
    let event = Event::new(clock.now_millis(), Kind::MailSent, actor)
        .person(&mail.person_id)
        .with("about", mail.about)
        .with("tries", tries.to_string());
    match outcome {
        Ok(()) => event,
        Err(error) => {
            tracing::error!(%error, ?mail, "mail could not be sent");
            event
                .outcome(Outcome::MinorFailure)
                .with("reason", error.to_string())
        }
    }
}

fn tls_parameters(host: &str, extra_ca_file: Option<&Path>) -> Result<TlsParameters, MailError> {
    let mut parameters = TlsParameters::builder(host.to_owned());
    if let Some(path) = extra_ca_file {
        let broken = |cause: &dyn fmt::Display| {
            MailError::Settings(format!(
                "[outbound] extra_ca_file = {:?} does not hold PEM certificates: {cause}",
                path.display()
            ))
        };
        let pem = std::fs::read(path).map_err(|cause| broken(&cause))?;
        parameters =
            parameters.add_root_certificate(Certificate::from_pem(&pem).map_err(|cause| broken(&cause))?);
    }
    parameters
        .build()
        .map_err(|cause| MailError::Settings(format!("cannot set up TLS for mail: {cause}")))
}
