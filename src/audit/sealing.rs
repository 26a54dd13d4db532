//! What is done behind the events: the hashes of whole subtrees are kept, and checkpoints are signed. Several servers may
//! do it: the database decides whose checkpoint of a size is kept, and the same size always gives the same one.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::audit::checkpoint::{Bundle, CheckpointKey, PublicKeys};
use crate::audit::tree::Tree;
use crate::clock::SharedClock;
use crate::error::Broken;
use crate::secrets::master_key::MasterKey;
use crate::store::audit::{self, Log, Node, StoredCheckpoint, StoredCheckpointKey};
use crate::store::{Conn, Store, StoreBroken, Stored, installation};

/// How often what is new is signed.
const PAUSE: Duration = Duration::from_secs(60);
/// How many events of a log come under one checkpoint at the most: what one step reads stays small.
const STEP: u64 = 1 << 16;

/// The newest bundle, outside the database: its name in the directory of the record.
pub const NEWEST: &str = "newest-bundle";

/// What signs the record.
#[derive(Clone)]
pub struct Sealer {
    dir: PathBuf,
    published: Arc<Mutex<Option<i64>>>,
    store: Arc<Store>,
    master: Arc<MasterKey>,
    clock: SharedClock,
    name: String,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealer({})", self.name)
    }
}

/// What one step has signed.
#[derive(Debug, Default)]
struct Step {
    /// How many checkpoints.
    kept: usize,
    /// Whether there was more than one step takes.
    more: bool,
}

/// A log that has grown.
struct Grown {
    /// Whether it has grown further than this.
    is_part: bool,
    log: Log,
    to: u64,
    nodes: Vec<Node>,
    root: tlog_tiles::tlog::Hash,
}

impl Sealer {
    /// `name` stands in front of the origins: see [`crate::store::audit::open_logs`]. What is signed is published in `dir`.
    pub fn new(
        store: Arc<Store>,
        master: Arc<MasterKey>,
        clock: SharedClock,
        name: String,
        dir: PathBuf,
    ) -> Self {
        Self {
            dir,
            published: Arc::default(),
            store,
            master,
            clock,
            name,
        }
    }

    /// Signs what is new every minute, until it is ended.
    pub async fn follow(&self) {
        loop {
            if let Err(cause) = self.seal().await {
                tracing::warn!(%cause, "what is new in the record could not be signed");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Signs all that is there when it begins. Answers how many checkpoints that were.
    ///
    /// # Errors
    /// What the database says; a key that does not open.
    pub async fn seal(&self) -> Result<usize, Broken> {
        let mut signed = 0;
        loop {
            let step = self.step().await?;
            signed += step.kept;
            if !step.more {
                self.publish().await?;
                return Ok(signed);
            }
        }
    }

    /// Writes the newest bundle beside the database, if it is not the one that is there: only what is committed, also by
    /// another server or before a crash.
    async fn publish(&self) -> Result<(), Broken> {
        let Some(bundle) = self.store.read(audit::newest_bundle).await? else {
            return Ok(());
        };
        let published = || self.published.lock().unwrap_or_else(PoisonError::into_inner);
        if *published() == Some(bundle.id) {
            return Ok(());
        }
        let dir = self.dir.clone();
        let written = tokio::task::spawn_blocking(move || write_whole(&dir, NEWEST, &bundle.note));
        match written.await {
            Ok(Ok(())) => *published() = Some(bundle.id),
            Ok(Err(cause)) => {
                tracing::error!(%cause, dir = %self.dir.display(), "what was signed of the record cannot be written")
            }
            Err(cause) => return Err(Broken::defect(cause)),
        }
        Ok(())
    }

    async fn step(&self) -> Result<Step, Broken> {
        let read = self.store.read(|conn| {
            let before = audit::newest_bundle(conn)?.map(|bundle| bundle.id);
            let keys = audit::checkpoint_keys(conn)?;
            let (grown, sizes) = grown(conn, &keys)?;
            Ok((before, keys, grown, sizes))
        });
        let (before, keys, grown, sizes) = read.await?;
        if grown.is_empty() {
            return Ok(Step::default());
        }
        let key = keys
            .last()
            .ok_or_else(|| Broken::defect("there is no key that signs checkpoints"))?;
        let key = CheckpointKey::open(key, &self.master).map_err(Broken::defect)?;
        let mut bundle = Bundle {
            name: self.name.clone(),
            at_ms: self.clock.now_millis(),
            logs: sizes,
        };
        let more = grown.iter().any(|grown| grown.is_part);
        let mut checkpoints = Vec::new();
        let mut nodes = Vec::new();
        for grown in grown {
            let note = key
                .checkpoint(&grown.log.origin, grown.to, grown.root)
                .map_err(Broken::defect)?;
            let size = i64::try_from(grown.to).map_err(Broken::defect)?;
            checkpoints.push(StoredCheckpoint {
                log: grown.log.id,
                size,
                note,
            });
            nodes.extend(grown.nodes);
            for (origin, size, root) in &mut bundle.logs {
                if *origin == grown.log.origin {
                    (*size, *root) = (grown.to, grown.root);
                }
            }
        }
        let note = key.bundle(&bundle).map_err(Broken::defect)?;
        let kept = self.store.write(move |tx| {
            // A bundle names the checkpoints of all logs: where another server has signed meanwhile, it knows more.
            installation::lock(tx.conn())?;
            if audit::newest_bundle(tx.conn())?.map(|bundle| bundle.id) != before {
                return Ok(0);
            }
            let mut kept = 0;
            for node in &nodes {
                audit::add_node(tx.conn(), node)?;
            }
            for checkpoint in &checkpoints {
                kept += usize::from(audit::add_checkpoint(tx.conn(), checkpoint)?);
            }
            if kept > 0 {
                audit::add_bundle(tx.conn(), bundle.at_ms, &note)?;
            }
            Ok(kept)
        });
        Ok(Step {
            kept: kept.await?,
            more,
        })
    }
}

/// Writes a file so that there is the old or the new one, whole, whatever happens.
fn write_whole(dir: &Path, name: &str, text: &str) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let temporary = dir.join(format!("{name}.{}", std::process::id()));
    let mut file = std::fs::File::create(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&temporary, dir.join(name))?;
    std::fs::File::open(dir)?.sync_all()
}

type Sizes = Vec<(String, u64, tlog_tiles::tlog::Hash)>;

/// The logs that have grown since their last checkpoint; and what was signed of each log.
fn grown(conn: &mut Conn, keys: &[StoredCheckpointKey]) -> Stored<(Vec<Grown>, Sizes)> {
    let keys = PublicKeys::read(keys.iter().map(|key| key.public_key.as_str()))
        .map_err(|cause| StoreBroken::stored("checkpoint key", cause))?;
    let (mut all, mut sizes) = (Vec::new(), Vec::new());
    for log in audit::logs(conn)? {
        let signed = match audit::newest_checkpoint(conn, log.id)? {
            Some(stored) => {
                let signed = keys
                    .checkpoint(&stored.note)
                    .map_err(|cause| StoreBroken::stored("checkpoint", cause))?;
                (signed.size(), *signed.hash())
            }
            None => (0, tlog_tiles::tlog::EMPTY_HASH),
        };
        sizes.push((log.origin.clone(), signed.0, signed.1));
        let size = u64::try_from(log.size).map_err(|cause| StoreBroken::stored("size", cause))?;
        let to = size.min(signed.0 + STEP);
        if to > signed.0 {
            let tree = Tree::new(conn, log.id);
            let nodes = tree.grown(signed.0, to)?;
            let root = tree.root(to)?;
            all.push(Grown {
                is_part: to < size,
                log,
                to,
                nodes,
                root,
            });
        }
    }
    Ok((all, sizes))
}
