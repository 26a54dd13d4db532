//! The house: who may know whom. Each table is a promise of ARCHITECTURE.md. What a file names is read from its syntax
//! tree, through what rooms export anew, so that a name is a fact about the file that defines it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};

/// The rooms from the ground floor up: a file may name what is on its floor or below. The longest entry counts.
const FLOORS: &[&str] = &[
    "model",
    "policy",
    "clock",
    "supervisor",
    "error",
    "config",
    "tls",
    "secrets",
    "keys",
    "audit::reason",
    "audit::event",
    "audit::leaf",
    "store",
    "outbound",
    "live",
    "audit",
    "webauthn",
    "app",
    "session",
    "web",
    "issuance",
    "oauth",
    "registry",
    "login",
    "account",
    "password_change",
    "provider_sign_in",
    "admin",
    "server",
    "demo",
    "cli",
    "main",
];

/// Rooms that must not know each other although one of them is above.
const APART: &[(&str, &[&str])] = &[
    ("registry", &["oauth", "web"]),
    ("login", &["registry", "oauth"]),
    ("account", &["registry", "oauth"]),
    ("password_change", &["oauth", "account"]),
    ("provider_sign_in", &["oauth", "account", "password_change"]),
    ("admin", &["password_change", "provider_sign_in"]),
    // Configuration is read where things are put together; everything else gets what it needs.
    ("oauth", &["config"]),
    ("issuance", &["config"]),
    ("policy", &["config", "clock"]),
];

/// Rooms, and crates that they must not name.
const WITHOUT: &[(&str, &[&str])] = &[
    ("model", &["actix_web", "diesel", "tokio", "reqwest"]),
    ("policy", &["actix_web", "diesel", "tokio", "reqwest"]),
    ("store", &["actix_web"]),
    ("audit", &["actix_web"]),
    ("keys", &["actix_web"]),
    ("config", &["actix_web"]),
    ("secrets", &["actix_web"]),
    ("live", &["actix_web"]),
    ("app", &["actix_web"]),
    ("registry", &["actix_web"]),
    ("issuance", &["actix_web"]),
    ("outbound", &["actix_web"]),
    ("session::notices", &["actix_web"]),
    ("oauth::authorization_request", &["actix_web"]),
    ("oauth::authorization_decision", &["actix_web"]),
    ("secrets::password_rules", &["tokio"]),
    ("outbound::identity_provider", &["reqwest"]),
];

/// Crates, and the only places that may use them.
const ONLY: &[(&str, &[&str])] = &[
    ("diesel", &["store"]),
    ("diesel_async", &["store"]),
    ("jsonwebtoken", &["keys"]),
    ("openidconnect", &["outbound::identity_provider"]),
    ("rsa", &["keys"]),
    ("argon2", &["secrets::password"]),
    ("webauthn_rs", &["webauthn"]),
    ("totp_rs", &["login::totp", "registry::people", "demo", "cli"]),
    ("reqwest", &["outbound"]),
    ("rcgen", &["tls"]),
    ("lettre", &["outbound::mail", "config::mail"]),
    ("clap", &["cli"]),
    ("zxcvbn", &["secrets::password_rules"]),
    (
        "toml",
        &["config", "policy", "registry::apply", "registry::export", "demo"],
    ),
    ("csv", &["registry::spreadsheet", "admin::audit"]),
    ("actix_multipart", &["admin::upload"]),
    ("precis_core", &["model::names"]),
    ("precis_profiles", &["model::names"]),
    ("unicode_security", &["model::names"]),
    ("unicode_properties", &["model::names"]),
];

/// A file of `src/`.
struct Source {
    path: PathBuf,
    text: String,
    /// Every path that it names, from `crate` on; from the name of a crate where it is somebody else's.
    names: BTreeSet<Vec<String>>,
    /// What it exports of others: the name here, and what it stands for.
    exports: BTreeMap<String, Vec<String>>,
}

/// All files by their module: `store::people`; the crate's root is the empty text.
struct House(BTreeMap<String, Source>);

/// Reads what a file names.
struct Reader<'a> {
    module: &'a [String],
    children: &'a BTreeSet<String>,
    names: BTreeSet<Vec<String>>,
    exports: BTreeMap<String, Vec<String>>,
}

impl Reader<'_> {
    /// A path from the crate's root, or of another crate.
    fn absolute(&self, path: &[String]) -> Vec<String> {
        let supers = path.iter().take_while(|part| *part == "super").count();
        let (base, rest) = match path.first().map(String::as_str) {
            Some("crate") => (&self.module[..0], &path[1..]),
            Some("self") => (self.module, &path[1..]),
            Some("super") => (&self.module[..self.module.len() - supers], &path[supers..]),
            Some(child) if self.children.contains(child) => (self.module, path),
            _ => return path.to_vec(),
        };
        [&["crate".to_owned()], base, rest].concat()
    }

    fn note(&mut self, path: &[String]) {
        let absolute = self.absolute(path);
        self.names.insert(absolute);
    }

    /// The leaves of a `use`: each a path, and the name that it has here.
    fn leaves(tree: &syn::UseTree, before: &[String], found: &mut Vec<(Vec<String>, String)>) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => Self::leaves(&path.tree, &with(&path.ident), found),
            syn::UseTree::Group(group) => group
                .items
                .iter()
                .for_each(|tree| Self::leaves(tree, before, found)),
            syn::UseTree::Glob(_) => found.push((before.to_vec(), "*".to_owned())),
            syn::UseTree::Name(name) if name.ident == "self" => {
                found.push((before.to_vec(), before.last().cloned().unwrap_or_default()));
            }
            syn::UseTree::Name(name) => found.push((with(&name.ident), name.ident.to_string())),
            syn::UseTree::Rename(name) => found.push((with(&name.ident), name.rename.to_string())),
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let mut leaves = Vec::new();
        Self::leaves(&item.tree, &[], &mut leaves);
        for (path, name) in leaves {
            if matches!(item.vis, syn::Visibility::Inherited) {
                self.note(&path);
            } else {
                let absolute = self.absolute(&path);
                self.exports.insert(name, absolute);
            }
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Vec<String> = path.segments.iter().map(|part| part.ident.to_string()).collect();
        if parts.len() > 1 {
            self.note(&parts);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        // What stands in a macro is no syntax yet, but paths look the same in it.
        let tokens = called.tokens.to_string().replace(" :: ", "::");
        for word in tokens.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')) {
            let parts: Vec<String> = word.split("::").map(str::to_owned).collect();
            if parts.len() > 1 && parts.iter().all(|part| !part.is_empty()) {
                self.note(&parts);
            }
        }
        visit::visit_macro(self, called);
    }
}

/// The Rust files below a folder of the repository.
fn files(under: &str) -> Vec<PathBuf> {
    fn walk(path: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join(under), &mut found);
    found
}

impl House {
    fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let paths = files("src");
        let module = |path: &Path| {
            let place = path.strip_prefix(&root).unwrap().with_extension("");
            let parts = place.iter().map(|part| part.to_str().unwrap().to_owned());
            let parts: Vec<String> = parts.filter(|part| part != "mod" && part != "lib").collect();
            parts
        };
        let modules: BTreeSet<Vec<String>> = paths.iter().map(|path| module(path)).collect();
        let read = |path: PathBuf| {
            let text = std::fs::read_to_string(&path).unwrap();
            let module = module(&path);
            let below = modules
                .iter()
                .filter(|other| other.split_last().is_some_and(|(_, above)| above == module));
            let children = below.filter_map(|other| other.last().cloned()).collect();
            let mut reader = Reader {
                module: &module,
                children: &children,
                names: BTreeSet::new(),
                exports: BTreeMap::new(),
            };
            reader.visit_file(&syn::parse_file(&text).unwrap());
            let Reader { names, exports, .. } = reader;
            (
                module.join("::"),
                Source {
                    path,
                    text,
                    names,
                    exports,
                },
            )
        };
        Self(paths.into_iter().map(read).collect())
    }

    /// The file that defines what a path names.
    fn file_of(&self, path: &[String]) -> Option<&str> {
        let path = path.strip_prefix(&["crate".to_owned()])?;
        for length in (0..=path.len()).rev() {
            let Some((module, source)) = self.0.get_key_value(&path[..length].join("::")) else {
                continue;
            };
            return match path.get(length).and_then(|name| source.exports.get(name)) {
                Some(stands_for) => self.file_of(&[stands_for, &path[length + 1..]].concat()),
                None => Some(module),
            };
        }
        None
    }

    /// The files that each file names.
    fn arrows(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let arrows = self.0.iter().map(|(module, source)| {
            let named = source.names.iter().filter_map(|path| self.file_of(path));
            (module.as_str(), named.filter(|other| other != module).collect())
        });
        arrows.collect()
    }
}

/// Whether a module is a place or within it.
fn is_in(module: &str, place: &str) -> bool {
    module
        .strip_prefix(place)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The floor of a module.
fn floor(module: &str) -> usize {
    let floors = FLOORS
        .iter()
        .enumerate()
        .filter(|(_, place)| is_in(module, place));
    let found = floors.max_by_key(|(_, place)| place.len());
    found
        .unwrap_or_else(|| panic!("{module} is on no floor: add its room to FLOORS"))
        .0
}

#[test]
fn no_arrow_leads_up() {
    let house = House::read();
    let mut wrong = Vec::new();
    for (module, named) in house
        .arrows()
        .into_iter()
        .filter(|(module, _)| !module.is_empty())
    {
        for other in named.into_iter().filter(|other| !other.is_empty()) {
            if floor(other) > floor(module) {
                wrong.push(format!("{module} names {other}, which is above it"));
            }
            let apart = APART.iter().filter(|(room, _)| is_in(module, room));
            if apart
                .flat_map(|(_, others)| *others)
                .any(|room| is_in(other, room))
            {
                wrong.push(format!("{module} must not know {other}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_file_knows_one_that_knows_it() {
    fn reaches<'a>(
        arrows: &BTreeMap<&'a str, BTreeSet<&'a str>>,
        from: &'a str,
        seen: &mut BTreeSet<&'a str>,
    ) {
        for other in arrows.get(from).into_iter().flatten() {
            if seen.insert(other) {
                reaches(arrows, other, seen);
            }
        }
    }
    let house = House::read();
    let arrows = house.arrows();
    let mut wrong = Vec::new();
    for (module, named) in &arrows {
        for other in named {
            let mut seen = BTreeSet::new();
            reaches(&arrows, other, &mut seen);
            if seen.contains(module) {
                wrong.push(format!("{module} -> {other}, which comes back to it"));
            }
        }
    }
    assert!(wrong.is_empty(), "circles:\n{}", wrong.join("\n"));
}

#[test]
fn crates_stay_in_their_rooms() {
    let mut wrong = Vec::new();
    for (module, source) in &House::read().0 {
        for named in source.names.iter().chain(source.exports.values()) {
            let krate = named[0].as_str();
            let without = WITHOUT.iter().filter(|(room, _)| is_in(module, room));
            if without
                .flat_map(|(_, crates)| *crates)
                .any(|forbidden| *forbidden == krate)
            {
                wrong.push(format!("{module} must not use {krate}"));
            }
            let only = ONLY.iter().find(|(name, _)| *name == krate);
            if only.is_some_and(|(_, rooms)| !rooms.iter().any(|room| is_in(module, room))) {
                wrong.push(format!("{krate} is not for {module}: {}", named.join("::")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_says_what_it_is() {
    for source in House::read().0.values() {
        assert!(
            source.text.starts_with("//!"),
            "{} has no module documentation",
            source.path.display()
        );
    }
}

#[test]
fn the_house_has_few_rooms() {
    let entries = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    assert!(
        entries.count() <= 30,
        "a new room is a decision: can it be part of another?"
    );
}

/// The tables must not rot: what they name exists.
#[test]
fn the_tables_name_what_exists() {
    let house = House::read();
    let rooms = FLOORS.iter().copied();
    let rooms = rooms.chain(
        APART
            .iter()
            .flat_map(|(room, others)| others.iter().chain([room]).copied()),
    );
    let rooms = rooms.chain(WITHOUT.iter().map(|(room, _)| *room));
    let rooms = rooms.chain(ONLY.iter().flat_map(|(_, rooms)| rooms.iter().copied()));
    for room in rooms {
        assert!(
            house.0.keys().any(|module| is_in(module, room)),
            "there is no {room}"
        );
    }
    for (krate, rooms) in ONLY {
        let used = |module: &String, source: &Source| {
            rooms.iter().any(|room| is_in(module, room)) && source.names.iter().any(|path| path[0] == *krate)
        };
        assert!(
            house.0.iter().any(|(module, source)| used(module, source)),
            "nobody uses {krate}"
        );
    }
}

/// A fixed time is too short on a busy machine and too long on every other: tests wait by `support::eventually`.
#[test]
fn tests_wait_for_states_and_not_for_times() {
    // Where time passes or is measured, in how many lines, and why.
    #[rustfmt::skip]
    let known = BTreeMap::from([
        ("architecture.rs",       (1, "these words")),
        ("harness/mod.rs",        (1, "a transaction is held open: a race, which is run until it is won")),
        ("logout.rs",             (1, "a sign-out is quicker than a client may be: one of them has to be")),
        ("support/eventually.rs", (4, "how tests wait")),
    ]);
    let words = || "sleep elapsed interval( recv_timeout wait_timeout park_timeout".split(' ');
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    for path in files("tests") {
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.lines().map(str::trim).filter(|line| !line.starts_with("//"));
        let lines: Vec<&str> = code
            .filter(|line| words().any(|word| line.contains(word)))
            .collect();
        let place = path.strip_prefix(&root).unwrap().to_str().unwrap();
        let allowed = known.get(place).map_or(0, |(count, _)| *count);
        assert_eq!(lines.len(), allowed, "{place} waits for a time: {lines:#?}");
    }
}
