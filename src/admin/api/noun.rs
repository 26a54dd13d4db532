//! What the API does with any registered noun: the ten operations, their schemas and their answers. A noun says what it is
//! called and how its list is filtered, and adds what it alone can do.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{
    KnownFormat, Object, ObjectBuilder, Ref, Schema, SchemaFormat, Type as JsonType,
};

use super::body::Reads;
use super::operation::{About, Answered, Call, Operation, Shape, settled, unchanged};
use super::problem::{MemberMistake, Problem, Type};
use super::query::Parameter;
use super::reply::{Page, Reply, time};
use crate::model::registered::{Registered, StoredSecret};
use crate::model::secret::Secret;
use crate::policy::console::Right;
use crate::registry::belonging::INLINE;
use crate::registry::noun::{self, Registrable, Secrets};
use crate::registry::said::{Merge, Said};
use crate::registry::secrets::{DEFAULT_OVERLAP_SECONDS, Rotated};
use crate::store::{Conn, Stored, Tx, registered};

/// Members of answers that forms do not have.
const READ_ONLY: [&str; 2] = ["created_at", "updated_at"];

/// The member with public keys: kept as text.
const KEYS: &str = "jwks";

/// What a noun is called in the API, and what its operations say of it.
pub(super) struct Words {
    /// Where it is.
    pub path: &'static str,
    /// The name of its schema, and in the names of operations.
    pub one: &'static str,
    /// The same for several.
    pub several: &'static str,
    /// What its operations are about.
    pub about: About,
    /// Which parameters its list knows.
    pub list: &'static [Parameter],
    /// One that may be registered.
    pub example: Value,
    /// A change of it.
    pub change: Value,
    /// What is said of registering, deleting, disabling, enabling and making a new secret.
    pub says: [&'static str; 5],
}

/// One of the secrets of a client or resource server, without its text.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StoredSecret)]
struct SecretView {
    /// Its id.
    id: String,
    /// When it was made.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it ends, if it does.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// When it was last used, to the minute.
    #[schema(format = DateTime)]
    last_used_at: Option<String>,
}

impl SecretView {
    fn of(secret: StoredSecret) -> Self {
        Self {
            id: secret.id,
            created_at: time(secret.created_at),
            expires_at: secret.expires_at.map(time),
            last_used_at: secret.last_used_at.map(time),
        }
    }
}

/// How a secret is replaced.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RotateForm {
    /// How long the old secret stays valid beside the new one; 604800 if nothing is said, 0 ends it at once.
    #[schema(minimum = 0, maximum = 7_776_000)]
    overlap_seconds: Option<i64>,
}

/// A secret that was made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NewSecret)]
struct RotatedView {
    /// The secret: it is shown this once.
    secret: String,
    /// When the old one ends, if there was one.
    #[schema(format = DateTime)]
    old_secret_ends_at: Option<String>,
}

impl RotatedView {
    fn of(rotated: &Rotated) -> Self {
        Self {
            secret: rotated.secret.reveal().to_owned(),
            old_secret_ends_at: rotated.old_ends_at.map(time),
        }
    }
}

/// The operations; `list` answers the list.
pub(super) fn operations<S: Registrable, F: Future<Output = Answered> + 'static>(
    words: &Words,
    list: fn(Call) -> F,
) -> Vec<Operation> {
    let Words {
        path,
        one,
        several,
        about,
        ..
    } = *words;
    let a = S::NOUN.a();
    let [register_says, delete_says, disable_says, enable_says, rotate_says] = words.says;
    let under = |rest: &str| format!("{path}/{{id}}{rest}");
    let (view, form) = (|| view_shape::<S>(one), || form_shape::<S>(one));
    let mut operations = vec![
        Operation::get(path, format!("list{several}"), list)
            .says(format!("List {}", S::NOUN.many), "In the order of their ids.")
            .queries(words.list)
            .answers_page(view()),
        Operation::post(path, format!("register{one}"), move |call| {
            register::<S>(call, path)
        })
        .says(format!("Register {a}"), register_says)
        .takes(Reads::Json, form(), words.example.clone())
        .answers(201, view())
        .versioned()
        .named_by_caller(),
        Operation::get(under(""), format!("get{one}"), get::<S>)
            .says(format!("Look at {a}"), "")
            .answers(200, view())
            .versioned(),
        Operation::put(under(""), format!("replace{one}"), |call| {
            alter::<S>(call, Merge::Whole)
        })
        .says(
            format!("Replace {a}"),
            "What is left out takes its default; secrets stay.",
        )
        .takes(Reads::Json, form(), words.example.clone())
        .answers(200, view())
        .versioned(),
        Operation::patch(under(""), format!("change{one}"), |call| {
            alter::<S>(call, Merge::Patch)
        })
        .says(
            format!("Change {a}"),
            "What is left out stays, and what is null takes its default (RFC 7396).",
        )
        .takes(Reads::Patch, form(), words.change.clone())
        .answers(200, view())
        .versioned(),
        Operation::delete(under(""), format!("delete{one}"), delete::<S>)
            .says(format!("Delete {a}"), delete_says)
            .versioned(),
        Operation::post(under("/disable"), format!("disable{one}"), |call| {
            set_enabled::<S>(call, false)
        })
        .says(format!("Disable {a}"), disable_says)
        .answers(200, view())
        .versioned(),
        Operation::post(under("/enable"), format!("enable{one}"), |call| {
            set_enabled::<S>(call, true)
        })
        .says(format!("Enable {a}"), enable_says)
        .answers(200, view())
        .versioned(),
    ];
    if S::NOUN.secrets.are_theirs() {
        operations.extend([
            Operation::get(under("/secrets"), format!("list{one}Secrets"), list_secrets::<S>)
                .says(
                    format!("List the secrets of {a}"),
                    "When each was made, ends and was last used; never the secret.",
                )
                .answers_page(Shape::of::<SecretView>()),
            Operation::post(under("/secrets"), format!("rotate{one}Secret"), rotate::<S>)
                .says("Make a new secret", rotate_says)
                .takes(
                    Reads::MaybeJson,
                    Shape::of::<RotateForm>(),
                    json!({ "overlap_seconds": 604_800 }),
                )
                .answers(201, Shape::of::<RotatedView>()),
        ]);
    }
    let list_about = if about == About::Everybody {
        about
    } else {
        About::Own
    };
    let of_one = operations.into_iter().map(|operation| {
        let is_list = operation.path == path;
        let reads = operation.right == Right::Read;
        match (is_list, reads) {
            (false, _) => operation.about(about),
            (true, true) => operation.about(list_about),
            // Who looks after one agency alone registers nothing.
            (true, false) => operation,
        }
    });
    of_one.collect()
}

fn text(says: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(JsonType::String)
        .description(Some(says.to_owned()))
}

fn moment(says: &str) -> ObjectBuilder {
    text(says).format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
}

/// The settings, with what everything that is registered has.
fn object_of<S: Registrable>() -> Object {
    let mut object = noun::schema::<S>();
    object.required.clear();
    let properties = &mut object.properties;
    properties.insert(S::NOUN.id.to_owned(), text("Its id.").into());
    properties.insert("name".to_owned(), text("Its name for people.").into());
    let flag = ObjectBuilder::new()
        .schema_type(JsonType::Boolean)
        .description(Some("Whether it is served."));
    properties.insert("enabled".to_owned(), flag.into());
    object
}

fn shape<S: Registrable>(name: String, object: Object) -> Shape {
    let mut named = Vec::new();
    S::schemas(&mut named);
    let schema = Ref::from_schema_name(&name).into();
    named.push((name, Schema::Object(object).into()));
    Shape { schema, named }
}

fn view_shape<S: Registrable>(one: &str) -> Shape {
    let mut object = object_of::<S>();
    object.description = Some(format!("A {}.", S::NOUN.name));
    let properties = &mut object.properties;
    properties.insert("created_at".to_owned(), moment("When it was registered.").into());
    properties.insert(
        "updated_at".to_owned(),
        moment("When it was last changed.").into(),
    );
    properties.remove(INLINE);
    if S::NOUN.secrets.are_theirs() {
        let says = "The secret that was made: in the answer that makes it, and never again.";
        properties.insert("secret".to_owned(), text(says).into());
    }
    let always = serde_json::to_value(S::default()).unwrap_or_default();
    let always = always.as_object().into_iter().flatten();
    object.required = always
        .filter(|(_, value)| !value.is_null())
        .map(|(member, _)| member.clone())
        .chain([S::NOUN.id, "name", "enabled", "created_at", "updated_at"].map(str::to_owned))
        .collect();
    // Generators call the program that asks a client.
    shape::<S>(format!("Registered{one}"), object)
}

/// What may be said, with the limits that hold by every door. Each member may be null, which takes it away.
fn form_shape<S: Registrable>(one: &str) -> Shape {
    let mut object = object_of::<S>();
    object.description = Some(format!(
        "What is wanted of a {}. What is left out stays as it is, or takes its default.",
        S::NOUN.name
    ));
    let says = if S::NOUN.secrets.are_ours() {
        "Our secret there; without it, the one that is known stays."
    } else {
        "Its secret; without it, one is made if it needs one."
    };
    if !matches!(S::NOUN.secrets, Secrets::None) {
        object.properties.insert("secret".to_owned(), text(says).into());
    }
    for (member, property) in &mut object.properties {
        limited::<S>(member, property);
    }
    let closed = utoipa::openapi::schema::AdditionalProperties::FreeForm(false);
    object.additional_properties = Some(Box::new(closed));
    shape::<S>(form_name(one), object)
}

/// What the form of a noun is called.
pub(super) fn form_name(one: &str) -> String {
    format!("{one}Form")
}

fn limited<S: Registrable>(member: &str, property: &mut RefOr<Schema>) {
    let limit = S::NOUN.limit(member);
    let RefOr::T(schema) = property else { return };
    match schema {
        Schema::Object(text) => {
            let is_text = serde_json::to_value(&text.schema_type).is_ok_and(|types| {
                types == "string" || types.as_array().is_some_and(|all| all.contains(&json!("string")))
            });
            if is_text && text.enum_values.is_none() {
                text.max_length = Some(limit.text);
            } else if text.additional_properties.is_some() {
                text.max_properties = Some(limit.entries);
            }
        }
        Schema::Array(list) => list.max_items = Some(limit.entries),
        _ => {}
    }
}

/// What is shown of something that is registered.
pub(super) fn view<S: Registrable>(
    registered: &Registered<S>,
    secret: Option<&Secret>,
) -> Map<String, Value> {
    let mut view = noun::view(registered);
    view.insert(S::NOUN.id.to_owned(), json!(registered.id));
    view.insert("created_at".to_owned(), json!(time(registered.created_at)));
    view.insert("updated_at".to_owned(), json!(time(registered.updated_at)));
    // What goes in as an object comes out as one, and what GET answers may be sent back with PUT.
    let keys = view.get(KEYS).and_then(Value::as_str);
    if let Some(keys) = keys.and_then(|keys| serde_json::from_str::<Value>(keys).ok()) {
        view.insert(KEYS.to_owned(), keys);
    }
    view.retain(|_, value| !value.is_null());
    if let Some(secret) = secret {
        view.insert("secret".to_owned(), json!(secret.reveal()));
    }
    view
}

fn reply<S: Registrable>(registered: &Registered<S>, secret: Option<&Secret>) -> Reply {
    Reply::ok(&view(registered, secret)).version(noun::version(registered))
}

/// The one of an id.
pub(super) fn found<S: Registrable>(tx: &mut Tx<'_>, id: &str) -> Stored<Result<Registered<S>, Problem>> {
    Ok(registered::find(tx.conn(), id)?.ok_or_else(|| Problem::not_found(S::NOUN.name, id)))
}

/// The one that the address names.
pub(super) async fn read<S: Registrable>(call: &Call) -> Result<Registered<S>, Problem> {
    let id = call.id.clone();
    let found = call.read(move |conn| S::find(conn, &id)).await?;
    found.ok_or_else(|| Problem::not_found(S::NOUN.name, &call.id))
}

/// What the body says, with what takes long and belongs before the transaction.
async fn said<S: Registrable>(
    call: &Call,
    members: Map<String, Value>,
    merge: Merge,
) -> Result<Said, Problem> {
    let said = Said::new(members, merge);
    call.prepare(move |registry| noun::prepared::<S>(registry, said))
        .await
}

async fn register<S: Registrable>(call: Call, path: &'static str) -> Answered {
    let said = said::<S>(&call, call.object(&[])?, Merge::Whole).await?;
    let job = move |registry: &_, tx: &mut Tx<'_>| {
        let id = said.text(S::NOUN.id).unwrap_or_default();
        if S::find(tx.conn(), id)?.is_some() {
            return Ok(Err(Problem::new(
                Type::Exists,
                format!("a {} with the id {id:?} is registered already", S::NOUN.name),
            )));
        }
        let (made, secret) = settled!(noun::register::<S>(registry, tx, &said)?);
        Ok(Ok(reply(&made, secret.as_ref())
            .created()
            .at(&format!("{path}/{}", made.id))))
    };
    // Also if another one was registered under the same id since.
    let is_there = |conn: &mut Conn, reply: &Reply| {
        let member = |name: &str| reply.body().and_then(|body| body.get(name)?.as_str());
        let made = S::find(conn, member(S::NOUN.id).unwrap_or_default())?;
        Ok(made.is_some_and(|made| member("created_at") == Some(time(made.created_at).as_str())))
    };
    call.change_while(is_there, job).await
}

async fn get<S: Registrable>(call: Call) -> Answered {
    Ok(reply(&read::<S>(&call).await?, None))
}

async fn alter<S: Registrable>(call: Call, merge: Merge) -> Answered {
    let mut members = call.object(&READ_ONLY)?;
    let id = match members.remove(S::NOUN.id) {
        None | Some(Value::Null) => call.named(S::NOUN.id, None)?,
        Some(Value::String(id)) => call.named(S::NOUN.id, Some(id))?,
        Some(_) => {
            let wrong = MemberMistake::member(S::NOUN.id, "it must be a text");
            return Err(Problem::invalid(vec![wrong]));
        }
    };
    members.insert(S::NOUN.id.to_owned(), json!(id));
    let said = said::<S>(&call, members, merge).await?;
    let (id, seen) = (call.id.clone(), call.seen.clone());
    let job = move |registry: &_, tx: &mut Tx<'_>| {
        let before = settled!(found::<S>(tx, &id)?);
        settled!(unchanged(&seen, &reply(&before, None)));
        let (changed, secret) = settled!(noun::change::<S>(registry, tx, &said, None)?);
        Ok(Ok(reply(&changed, secret.as_ref())))
    };
    call.change(job).await
}

async fn delete<S: Registrable>(call: Call) -> Answered {
    let (id, seen) = (call.id.clone(), call.seen.clone());
    let job = move |registry: &_, tx: &mut Tx<'_>| {
        let before = settled!(found::<S>(tx, &id)?);
        settled!(unchanged(&seen, &reply(&before, None)));
        let users = S::users(tx.conn(), &id)?;
        if !users.is_empty() {
            let what = format!("{id} is used by {}", users.join(", "));
            return Ok(Err(Problem::new(Type::InUse, what)));
        }
        settled!(noun::delete::<S>(registry, tx, &id)?);
        Ok(Ok(Reply::done()))
    };
    call.change(job).await
}

async fn list_secrets<S: Registrable>(call: Call) -> Answered {
    let secrets = read::<S>(&call).await?.secrets;
    let views = secrets.into_iter().map(SecretView::of).collect();
    Ok(Reply::ok(&Page::whole(views)))
}

async fn rotate<S: Registrable>(call: Call) -> Answered {
    let (id, form) = (call.id.clone(), call.form::<RotateForm>(&[])?);
    let overlap = form.overlap_seconds.unwrap_or(DEFAULT_OVERLAP_SECONDS);
    let job = move |registry: &_, tx: &mut Tx<'_>| {
        settled!(found::<S>(tx, &id)?);
        let rotated = settled!(noun::rotate_secret::<S>(registry, tx, &id, overlap)?);
        Ok(Ok(Reply::ok(&RotatedView::of(&rotated)).created()))
    };
    let id = call.id.clone();
    let is_there = move |conn: &mut Conn, _: &Reply| Ok(S::find(conn, &id)?.is_some());
    call.change_while(is_there, job).await
}

async fn set_enabled<S: Registrable>(call: Call, enabled: bool) -> Answered {
    let id = call.id.clone();
    let job = move |registry: &_, tx: &mut Tx<'_>| {
        settled!(found::<S>(tx, &id)?);
        settled!(noun::set_enabled::<S>(registry, tx, &id, enabled)?);
        Ok(found::<S>(tx, &id)?.map(|registered| reply(&registered, None)))
    };
    call.change(job).await
}
