//! The Merkle tree of a log (RFC 6962 §2.1), read from the leaves of its events and from the hashes of whole subtrees that
//! are kept beside them: one for every 256 events, one for every 256 of those, and so on.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use tlog_tiles::tlog::{self, Hash, HashReader, node_hash, split_stored_hash_index, tree_hash};

use crate::store::audit::{self, Node};
use crate::store::{Conn, StoreBroken, Stored};

/// How many hashes stand together, as a power of two: the tiles of c2sp.org/tlog-tiles.
const TILE_BITS: u8 = 8;
/// How many hashes stand together.
pub const TILE: u64 = 1 << TILE_BITS;

/// A hash of the store.
///
/// # Errors
/// It has another length.
pub fn hash_of(bytes: &[u8]) -> Stored<Hash> {
    let bytes = bytes
        .try_into()
        .map_err(|_| StoreBroken::stored("hash of the record", bytes.len()))?;
    Ok(Hash(bytes))
}

/// The tree of a log, as it is read.
pub struct Tree<'a> {
    conn: RefCell<&'a mut Conn>,
    log: i32,
    /// Level and number of a tile, and its hashes.
    tiles: RefCell<HashMap<(u8, u64), Vec<Hash>>>,
    /// What the database said, where it failed: the library's error cannot carry it.
    broken: Cell<Option<StoreBroken>>,
}

impl<'a> Tree<'a> {
    /// The tree of a log.
    pub fn new(conn: &'a mut Conn, log: i32) -> Self {
        Self {
            conn: RefCell::new(conn),
            log,
            tiles: RefCell::default(),
            broken: Cell::default(),
        }
    }

    /// The root of the tree over the first `size` events.
    ///
    /// # Errors
    /// What the database says; events that are missing.
    pub fn root(&self, size: u64) -> Stored<Hash> {
        tree_hash(size, self).map_err(|cause| self.failure(&cause))
    }

    /// What a failure of the library comes from.
    pub fn failure(&self, cause: &tlog::Error) -> StoreBroken {
        self.broken
            .take()
            .unwrap_or_else(|| StoreBroken::Defect(format!("tree of log {}: {cause}", self.log)))
    }

    /// The hashes of whole subtrees that come in when a log grows.
    ///
    /// # Errors
    /// What the database says; events that are missing.
    pub fn grown(&self, from: u64, to: u64) -> Stored<Vec<Node>> {
        let mut grown = Vec::new();
        for level in 1.. {
            let bits = u32::from(level * TILE_BITS);
            let (first, end) = (from >> bits, to >> bits);
            if end == 0 {
                break;
            }
            for number in first..end {
                let below = self.tile(level - 1, number)?;
                let hash = fold(&below);
                // Nobody asks again for what lies under a whole subtree.
                self.tiles.borrow_mut().remove(&(level - 1, number));
                let mut tiles = self.tiles.borrow_mut();
                if let Some(tile) = tiles.get_mut(&(level, number >> TILE_BITS)) {
                    tile.push(hash);
                } else {
                    drop(tiles);
                    let mut tile = self.stored(level, number >> TILE_BITS)?;
                    // Another server may have been here first.
                    tile.truncate(usize::try_from(number % TILE).unwrap_or(0));
                    tile.push(hash);
                    self.tiles.borrow_mut().insert((level, number >> TILE_BITS), tile);
                }
                grown.push(Node {
                    log: self.log,
                    level: level.into(),
                    number: i64::try_from(number).map_err(|cause| StoreBroken::stored("number", cause))?,
                    hash: hash.0.to_vec(),
                });
            }
        }
        Ok(grown)
    }

    /// All hashes of a tile.
    fn tile(&self, level: u8, number: u64) -> Stored<Vec<Hash>> {
        if let Some(tile) = self.tiles.borrow().get(&(level, number)) {
            return Ok(tile.clone());
        }
        let tile = self.stored(level, number)?;
        self.tiles.borrow_mut().insert((level, number), tile.clone());
        Ok(tile)
    }

    /// The hashes of a tile that are in the database, up to the first that is missing.
    fn stored(&self, level: u8, number: u64) -> Stored<Vec<Hash>> {
        let first = number << TILE_BITS;
        let mut conn = self.conn.borrow_mut();
        let mut tile = Vec::new();
        if level == 0 {
            let numbers = first..first + TILE;
            for (place, (id, leaf)) in numbers.clone().zip(audit::leaves(&mut conn, self.log, numbers)?) {
                let seq = i64::try_from(place).unwrap_or(i64::MAX).saturating_add(1);
                if id != audit::id_of(self.log, seq) {
                    break;
                }
                tile.push(hash_of(&leaf)?);
            }
        } else {
            let first = i64::try_from(first).map_err(|cause| StoreBroken::stored("number", cause))?;
            let numbers = first..first + i64::try_from(TILE).unwrap_or(0);
            let nodes = audit::nodes(&mut conn, self.log, level.into(), numbers.clone())?;
            for (number, node) in numbers.zip(nodes) {
                if node.number != number {
                    break;
                }
                tile.push(hash_of(&node.hash)?);
            }
        }
        Ok(tile)
    }

    /// The hash of the subtree with this level and number, as the library counts them.
    fn subtree(&self, level: u8, number: u64) -> Stored<Hash> {
        let (tile_level, rest) = (level / TILE_BITS, level % TILE_BITS);
        let first = number << rest;
        let tile = self.tile(tile_level, first >> TILE_BITS)?;
        let start = usize::try_from(first % TILE).unwrap_or(usize::MAX);
        let hashes = tile.get(start..start.saturating_add(1 << rest));
        let hashes = hashes.ok_or_else(|| {
            StoreBroken::Defect(format!("log {} has not all events that it should have", self.log))
        })?;
        Ok(fold(hashes))
    }
}

/// The root over a number of hashes that is a power of two.
fn fold(hashes: &[Hash]) -> Hash {
    let mut level = hashes.to_vec();
    while level.len() > 1 {
        level = level
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => node_hash(*left, *right),
                rest => rest.first().copied().unwrap_or(tlog::EMPTY_HASH),
            })
            .collect();
    }
    level.first().copied().unwrap_or(tlog::EMPTY_HASH)
}

impl HashReader for Tree<'_> {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog::Error> {
        let read = |index: &u64| {
            let (level, number) = split_stored_hash_index(*index);
            self.subtree(level, number)
        };
        indexes.iter().map(read).collect::<Stored<_>>().map_err(|broken| {
            self.broken.set(Some(broken));
            tlog::Error::IndexesNotInTree
        })
    }
}

/// The right edge of a tree that grows leaf by leaf: what is needed for its root, and no more.
#[derive(Debug, Clone, Default)]
pub struct Edge {
    size: u64,
    /// Whole subtrees, the largest first, each with its level.
    subtrees: Vec<(u8, Hash)>,
}

impl Edge {
    /// How many leaves there were.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf. Tells each whole subtree of which the store keeps the hash: level there, number, hash.
    pub fn push(&mut self, leaf: Hash, mut whole: impl FnMut(u8, u64, Hash)) {
        let (mut level, mut hash) = (0, leaf);
        while let Some((_, left)) = self.subtrees.pop_if(|(other, _)| *other == level) {
            level += 1;
            hash = node_hash(left, hash);
            if level % TILE_BITS == 0 {
                whole(level / TILE_BITS, self.size >> level, hash);
            }
        }
        self.subtrees.push((level, hash));
        self.size += 1;
    }

    /// The root of the tree as it is now.
    pub fn root(&self) -> Hash {
        let mut subtrees = self.subtrees.iter().rev().map(|(_, hash)| *hash);
        let last = subtrees.next();
        last.map_or(tlog::EMPTY_HASH, |last| {
            subtrees.fold(last, |right, left| node_hash(left, right))
        })
    }
}
