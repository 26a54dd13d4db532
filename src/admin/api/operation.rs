//! The operations: each says where it is, who may call it, what it reads and what it answers. The one list of them makes
//! the addresses, the checks before each handler, and the OpenAPI document.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use actix_web::http::Method;
use actix_web::http::header::{Header, HeaderName, IF_NONE_MATCH, IfNoneMatch};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{Array, Object, Ref, Schema, Type as JsonType};

use super::access::{self, Caller, Rate};
use super::body::{self, Reads};
use super::idempotency::Once;
use super::problem::{MemberMistake, Problem, Type};
use super::query::{self, Parameter, Query};
use super::reply::{Reply, Seen};
pub use crate::admin::about::About;
use crate::app::App;
use crate::audit::event::{Actor, Kind};
use crate::policy::console::{Area, Reach, Right};
use crate::registry::{ActingCredential, Registry};
use crate::store::{Conn, Stored, Tx};
use crate::web::parameters::Parameters;

/// What a handler answers.
pub type Answered = Result<Reply, Problem>;
type Handler = Rc<dyn Fn(Call) -> Pin<Box<dyn Future<Output = Answered>>>>;

/// How much of what a program looks for is recorded, in characters.
const LONGEST_LOOK: usize = 200;

/// The longest id in an address, in characters.
pub const LONGEST_ID: usize = 64;

/// A schema, with those that it names.
#[derive(Clone)]
pub struct Shape {
    /// The schema.
    pub schema: RefOr<Schema>,
    /// Those that go into the document under their names.
    pub named: Vec<(String, RefOr<Schema>)>,
}

impl Shape {
    /// That of a type.
    pub fn of<T: ToSchema>() -> Self {
        let mut named = Vec::new();
        T::schemas(&mut named);
        named.push((T::name().into_owned(), T::schema()));
        Self {
            schema: Ref::from_schema_name(T::name()).into(),
            named,
        }
    }

    /// That of a page of a list of them.
    fn page(self) -> Self {
        let Self { schema, named } = self;
        let cursor = Object::builder().schema_type(JsonType::String).description(Some(
            "What to send as cursor for the next page; the last page has none.",
        ));
        let page = Object::builder()
            .property("items", Array::new(schema))
            .required("items")
            .property("next_cursor", cursor);
        Self {
            schema: Schema::Object(page.build()).into(),
            named,
        }
    }
}

/// Something that can be asked for.
#[derive(Clone)]
pub struct Operation {
    /// The method.
    pub method: Method,
    /// Its address below [`BASE`](super::address::BASE).
    pub path: String,
    /// Its `operationId`.
    pub id: String,
    /// What it does, in a few words.
    pub summary: String,
    /// More about it.
    pub note: String,
    /// Where it belongs.
    pub area: Area,
    /// What is needed there.
    pub right: Right,
    /// What it is about.
    pub about: About,
    /// The parameters that it knows.
    pub query: &'static [Parameter],
    /// What it reads.
    pub reads: Reads,
    /// The schema of what it reads, with an example.
    pub body: Option<(Shape, Value)>,
    /// The status of its answer.
    pub status: u16,
    /// The schema of its answer.
    pub answer: Option<Shape>,
    /// Whether the answer has a version.
    pub versioned: bool,
    /// Whether it makes something that may exist already.
    pub named_by_caller: bool,
    handler: Handler,
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

impl Operation {
    fn new<F: Future<Output = Answered> + 'static>(
        method: Method,
        path: impl Into<String>,
        id: impl Into<String>,
        handler: impl Fn(Call) -> F + 'static,
    ) -> Self {
        let right = if method == Method::GET {
            Right::Read
        } else {
            Right::Change
        };
        Self {
            method,
            path: path.into(),
            id: id.into(),
            summary: String::new(),
            note: String::new(),
            area: Area::Home,
            right,
            about: About::Everybody,
            query: &[],
            reads: Reads::Nothing,
            body: None,
            status: 200,
            answer: None,
            versioned: false,
            named_by_caller: false,
            handler: Rc::new(move |call| Box::pin(handler(call))),
        }
    }

    /// Looks at something.
    pub fn get<F: Future<Output = Answered> + 'static>(
        path: impl Into<String>,
        id: impl Into<String>,
        handler: impl Fn(Call) -> F + 'static,
    ) -> Self {
        Self::new(Method::GET, path, id, handler)
    }

    /// Makes or does something.
    pub fn post<F: Future<Output = Answered> + 'static>(
        path: impl Into<String>,
        id: impl Into<String>,
        handler: impl Fn(Call) -> F + 'static,
    ) -> Self {
        Self::new(Method::POST, path, id, handler)
    }

    /// Replaces something.
    pub fn put<F: Future<Output = Answered> + 'static>(
        path: impl Into<String>,
        id: impl Into<String>,
        handler: impl Fn(Call) -> F + 'static,
    ) -> Self {
        Self::new(Method::PUT, path, id, handler)
    }

    /// Changes part of something.
    pub fn patch<F: Future<Output = Answered> + 'static>(
        path: impl Into<String>,
        id: impl Into<String>,
        handler: impl Fn(Call) -> F + 'static,
    ) -> Self {
        Self::new(Method::PATCH, path, id, handler)
    }

    /// Deletes or ends something.
    pub fn delete<F: Future<Output = Answered> + 'static>(
        path: impl Into<String>,
        id: impl Into<String>,
        handler: impl Fn(Call) -> F + 'static,
    ) -> Self {
        Self {
            status: 204,
            ..Self::new(Method::DELETE, path, id, handler)
        }
    }

    /// Says what it does.
    pub fn says(self, summary: impl Into<String>, note: impl Into<String>) -> Self {
        Self {
            summary: summary.into(),
            note: note.into(),
            ..self
        }
    }

    /// Says where it belongs.
    pub fn of(self, area: Area) -> Self {
        Self { area, ..self }
    }

    /// Says what it is about.
    pub fn about(self, about: About) -> Self {
        Self { about, ..self }
    }

    /// Says which parameters it knows.
    pub fn queries(self, query: &'static [Parameter]) -> Self {
        Self { query, ..self }
    }

    /// Says what it reads.
    pub fn takes(self, reads: Reads, shape: Shape, example: Value) -> Self {
        Self {
            reads,
            body: Some((shape, example)),
            ..self
        }
    }

    /// Says that it changes nothing, although what it looks at is sent.
    pub fn only_looks(self) -> Self {
        Self {
            right: Right::Read,
            ..self
        }
    }

    /// Says that it reads a file of a kind.
    pub fn takes_file(self, reads: Reads, what: &str, example: &str) -> Self {
        let schema = Object::builder()
            .schema_type(JsonType::String)
            .description(Some(what));
        let shape = Shape {
            schema: Schema::Object(schema.build()).into(),
            named: Vec::new(),
        };
        Self {
            reads,
            body: Some((shape, Value::String(example.to_owned()))),
            ..self
        }
    }

    /// Says what it answers.
    pub fn answers(self, status: u16, shape: Shape) -> Self {
        Self {
            status,
            answer: Some(shape),
            ..self
        }
    }

    /// Says that it answers a page of a list.
    pub fn answers_page(self, shape: Shape) -> Self {
        Self {
            answer: Some(shape.page()),
            ..self
        }
    }

    /// Says that its answer has a version.
    pub fn versioned(self) -> Self {
        Self {
            versioned: true,
            ..self
        }
    }

    /// Says that what it makes may exist already.
    pub fn named_by_caller(self) -> Self {
        Self {
            named_by_caller: true,
            ..self
        }
    }

    /// Whether it wants to know which version the caller has seen.
    pub fn needs_version(&self) -> bool {
        [Method::PUT, Method::PATCH].contains(&self.method)
    }

    /// Whether an answer of it is kept for those who send a request again.
    pub fn repeatable(&self) -> bool {
        self.method == Method::POST
    }
}

/// Operations that belong together.
#[derive(Debug)]
pub struct Group {
    /// What people call them.
    pub name: &'static str,
    /// What they are about.
    pub says: &'static str,
    /// The operations.
    pub operations: Vec<Operation>,
}

impl Group {
    /// Operations of one area.
    pub(super) fn new(
        name: &'static str,
        says: &'static str,
        area: Area,
        operations: Vec<Operation>,
    ) -> Self {
        let operations = operations
            .into_iter()
            .map(|operation| match operation.area {
                Area::Home => operation.of(area),
                _ => operation,
            })
            .collect();
        Self {
            name,
            says,
            operations,
        }
    }
}

/// A request that may be done.
pub struct Call {
    /// The application.
    pub app: Arc<App>,
    /// Who calls.
    pub caller: Caller,
    /// For whose affairs the caller may do this.
    pub reach: Reach,
    /// The id in the address; empty when there is none.
    pub id: String,
    /// The parameters.
    pub query: Query,
    /// Which versions the caller has seen.
    pub seen: Seen,
    bytes: web::Bytes,
    once: Option<Once>,
}

impl Call {
    /// The registry, as the caller uses it.
    pub fn registry(&self) -> Registry {
        Registry::new(
            Arc::clone(&self.app),
            Actor::ApiToken(self.caller.token.id.clone()),
        )
        .bounded(
            self.caller.authority.clone(),
            ActingCredential::Token {
                id: self.caller.token.id.clone(),
                owner: self.caller.owner.clone(),
            },
            self.caller.address.to_string(),
        )
    }

    /// The form in the body; `read_only` are members that answers have and forms do not.
    pub fn form<F: DeserializeOwned>(&self, read_only: &[&str]) -> Result<F, Problem> {
        body::form(&self.bytes, read_only)
    }

    /// The object in the body, without its `read_only` members.
    pub fn object(&self, read_only: &[&str]) -> Result<Map<String, Value>, Problem> {
        body::members(&self.bytes, read_only)
    }

    /// Whether it has a key by which it may have been answered before.
    pub fn may_be_known(&self) -> bool {
        self.once.is_some()
    }

    /// The bytes of the body.
    pub fn bytes(&self) -> Vec<u8> {
        self.bytes.to_vec()
    }

    /// The apply file in the body.
    pub fn file(&self) -> Result<String, Problem> {
        body::text(&self.bytes)
    }

    /// Takes the id of the address for the body, which may say it too.
    ///
    /// # Errors
    /// When the body says another one.
    pub fn named(&self, member: &str, said: Option<String>) -> Result<Option<String>, Problem> {
        match said {
            Some(said) if said != self.id => {
                let what = format!("{said:?} is not the id in the address, and an id does not change");
                Err(Problem::invalid(vec![MemberMistake::member(member, what)]))
            }
            _ => Ok(Some(self.id.clone())),
        }
    }

    /// Runs a query.
    pub async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&mut Conn) -> Stored<T> + Send + 'static,
    ) -> Result<T, Problem> {
        Ok(self.app.store.read(query).await?)
    }

    /// Runs a change in one transaction, once for each idempotency key. A job that answers a problem has written nothing.
    ///
    /// # Errors
    /// The problem that the job answers, or what the database says.
    pub async fn change(
        &self,
        job: impl FnMut(&Registry, &mut Tx<'_>) -> Stored<Answered> + Send + 'static,
    ) -> Answered {
        self.change_while(|_, _| Ok(true), job).await
    }

    /// The same, where an answer is given again only as long as what it tells of is there.
    ///
    /// # Errors
    /// The problem that the job answers, or what the database says.
    pub async fn change_while(
        &self,
        is_there: impl Fn(&mut Conn, &Reply) -> Stored<bool> + Send + 'static,
        mut job: impl FnMut(&Registry, &mut Tx<'_>) -> Stored<Answered> + Send + 'static,
    ) -> Answered {
        let (registry, once) = (self.registry(), self.once.clone());
        let done = registry.run(move |registry, tx| {
            let Some(once) = &once else {
                return Ok(Ok(job(registry, tx)?));
            };
            if let Some(known) = once.known(registry.app(), tx)? {
                let reply = match known {
                    Ok(reply) => reply,
                    Err(problem) => return Ok(Ok(Err(problem))),
                };
                if !is_there(tx.conn(), &reply)? {
                    let what = "what this request made was deleted meanwhile; make a new key to make it anew";
                    return Ok(Ok(Err(Problem::new(Type::Gone, what))));
                }
                return Ok(Ok(Ok(reply.replayed())));
            }
            let answered = job(registry, tx)?;
            if let Ok(reply) = &answered {
                once.keep(registry.app(), tx, reply)?;
            }
            Ok(Ok(answered))
        });
        done.await?
    }

    /// Runs what takes long and belongs before a transaction, on a thread that runs no async tasks.
    ///
    /// # Errors
    /// What it says.
    pub async fn prepare<T: Send + 'static, E: Into<Problem> + Send + 'static>(
        &self,
        work: impl FnOnce(&Registry) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Problem> {
        let registry = self.registry();
        let done = tokio::task::spawn_blocking(move || work(&registry)).await;
        done.map_err(crate::error::Broken::defect)?.map_err(Into::into)
    }
}

/// Takes the value of a decision, or ends the job with its refusal.
macro_rules! settled {
    ($decided:expr) => {
        match $decided {
            Ok(value) => value,
            Err(refusal) => return Ok(Err(crate::admin::api::problem::Problem::from(refusal))),
        }
    };
}
pub(super) use settled;

/// Refuses a change by somebody who has seen another version than `now`.
///
/// # Errors
/// What it is now.
pub fn unchanged(seen: &Seen, now: &Reply) -> Result<(), Problem> {
    if seen.includes(now) {
        Ok(())
    } else {
        Err(Problem::changed(now.clone()))
    }
}

/// Answers a request.
pub async fn run(
    operation: &Operation,
    app: &Arc<App>,
    request: &HttpRequest,
    payload: web::Payload,
) -> HttpResponse {
    let caller = match query::refuse_token(request) {
        Ok(()) => access::authenticate(app, request).await,
        Err(problem) => Err(problem),
    };
    let caller = match caller {
        Ok(caller) => caller,
        Err(problem) => return problem.answer(app),
    };
    let rate = caller.rate;
    let answered = attempt(operation, app, request, payload, caller).await;
    let mut answer = match answered {
        Ok(reply) => {
            let asks = operation.method == Method::GET && request.headers().contains_key(IF_NONE_MATCH);
            let known = asks.then(|| IfNoneMatch::parse(request).ok()).flatten();
            reply.answer(known.as_ref())
        }
        Err(problem) => problem.answer(app),
    };
    tell(&mut answer, rate);
    answer
}

async fn attempt(
    operation: &Operation,
    app: &Arc<App>,
    request: &HttpRequest,
    payload: web::Payload,
    caller: Caller,
) -> Answered {
    let wanted = (operation.area, operation.right, operation.about);
    access::admit(app, request, &caller, wanted).await?;
    let query = Query::read(request, operation.query)?;
    let seen = Seen::read(request).ok_or_else(|| {
        let what = "If-Match must be an entity tag in quotes, such as the ETag of a GET, or *";
        Problem::new(Type::Malformed, what)
    })?;
    if operation.needs_version() && !seen.is_said() {
        let what = "If-Match is missing: send the ETag of the GET that you started from";
        return Err(Problem::new(Type::PreconditionRequired, what));
    }
    let bytes = body::bytes(request, payload, operation.reads).await?;
    let id = request.match_info().get("id").unwrap_or_default();
    if !is_id(id) {
        return Err(Problem::not_found("thing", id));
    }
    let key = header(request, &HeaderName::from_static("idempotency-key")).filter(|_| operation.repeatable());
    let address = request
        .uri()
        .path_and_query()
        .map_or("", |address| address.as_str());
    let asked: [&[u8]; 3] = [operation.method.as_str().as_bytes(), address.as_bytes(), &bytes];
    let once = key
        .map(|key| Once::new(app, &caller.token.id, &key, &asked))
        .transpose()?;
    if operation.method == Method::GET && operation.area.tells_of_people() {
        let parameters = Parameters::parse(request.query_string().as_bytes()).unwrap_or_default();
        let asked = parameters.without(&["cursor", "limit"]).in_short(LONGEST_LOOK);
        let at = format!("{} {asked}", request.path());
        note_look(app, &caller, Kind::PeopleRead, at.trim_end().to_owned()).await?;
    }
    let call = Call {
        app: Arc::clone(app),
        id: id.to_owned(),
        reach: caller.authority.reach(operation.area, operation.right),
        caller,
        query,
        seen,
        bytes,
        once,
    };
    (operation.handler)(call).await
}

/// Records that a program looks at this, once a minute.
pub(super) async fn note_look(app: &App, caller: &Caller, kind: Kind, at: String) -> Result<(), Problem> {
    let token = &caller.token.id;
    if !app.readers.is_first(token, &at, app.now()) {
        return Ok(());
    }
    let event = app.event(kind, Actor::ApiToken(token.clone()));
    let event = event.from(caller.address.to_string()).with("path", at);
    let written = app.store.write(move |tx| {
        tx.audit(event.clone());
        Ok(())
    });
    Ok(written.await?)
}

/// Whether a text may be an id: ours and those that people choose have these characters alone. None is no id, too.
fn is_id(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    text.len() <= LONGEST_ID && text.bytes().all(plain)
}

fn header(request: &HttpRequest, name: &HeaderName) -> Option<String> {
    let values: Vec<&[u8]> = request
        .headers()
        .get_all(name)
        .map(|value| value.as_bytes())
        .collect();
    (!values.is_empty()).then(|| String::from_utf8_lossy(&values.join(&b", "[..])).into_owned())
}

/// Tells how much of its minute the token has used up (draft-ietf-httpapi-ratelimit-headers).
fn tell(answer: &mut HttpResponse, rate: Rate) {
    let left = rate.limit.saturating_sub(rate.used);
    let lines = [
        ("ratelimit-policy", format!("\"minute\";q={};w=60", rate.limit)),
        ("ratelimit", format!("\"minute\";r={left};t={}", rate.reset)),
    ];
    for (name, value) in lines {
        if let Ok(value) = value.parse() {
            answer.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
}
