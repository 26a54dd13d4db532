//! Passwords: argon2id on a few threads of low priority with memory of their own, so that a storm of sign-ins
//! never starves the token endpoint.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use tokio::sync::oneshot;
use zeroize::Zeroize;

use crate::clock::Entropy;
use crate::error::Broken;
use crate::secret::Secret;

/// How many sign-ins may wait for a hashing thread.
const QUEUE: usize = 256;
/// How long one may wait before it is told to come back.
const PATIENCE: Duration = Duration::from_secs(8);
const OUTPUT: usize = 32;

/// The cost of a password hash (RFC 9106 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub iterations: u32,
    /// Lanes.
    pub parallelism: u32,
}

impl Cost {
    fn params(self) -> Result<Params, Broken> {
        Params::new(self.memory_kib, self.iterations, self.parallelism, Some(OUTPUT)).map_err(Broken::defect)
    }
}

/// How a comparison ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verified {
    /// Not the password.
    Wrong,
    /// The password; with a new hash to store where the cost has changed since.
    Right(Option<String>),
}

struct Job {
    password: Secret,
    stored: Option<String>,
    queued: Instant,
    answer: oneshot::Sender<Result<Answer, Broken>>,
}

enum Answer {
    Verified(Verified),
    Hashed(String),
}

/// The hashing threads.
#[derive(Debug)]
pub struct Hasher {
    jobs: SyncSender<Job>,
    /// Hash of nothing anybody knows: compared for unknown accounts, so that they take the same time.
    decoy: String,
}

impl Hasher {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the cost is not one that argon2 allows, or a thread cannot be started.
    pub fn start(cost: Cost, threads: usize) -> Result<Self, Broken> {
        let params = cost.params()?;
        let (jobs, queue) = sync_channel(QUEUE);
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..threads.max(1) {
            let (queue, params) = (Arc::clone(&queue), params.clone());
            std::thread::Builder::new()
                .name("argon2".to_owned())
                .spawn(move || work(&queue, &params))
                .map_err(Broken::defect)?;
        }
        let mut memory = Vec::new();
        let decoy = hash(&Secret::new(Entropy.secret()), &params, &mut memory)?;
        Ok(Self { jobs, decoy })
    }

    /// Compares a password with a stored hash; with none, it takes as long and says wrong.
    ///
    /// # Errors
    /// [`Broken::Busy`] when too many wait.
    pub async fn verify(&self, password: Secret, stored: Option<String>) -> Result<Verified, Broken> {
        let known = stored.is_some();
        let stored = stored.unwrap_or_else(|| self.decoy.clone());
        match self.ask(password, Some(stored)).await? {
            Answer::Verified(verified) if known => Ok(verified),
            _ => Ok(Verified::Wrong),
        }
    }

    async fn ask(&self, password: Secret, stored: Option<String>) -> Result<Answer, Broken> {
        self.queue(password, stored)?.await.map_err(|_| Broken::defect("a hashing thread ended"))?
    }

    fn queue(
        &self,
        password: Secret,
        stored: Option<String>,
    ) -> Result<oneshot::Receiver<Result<Answer, Broken>>, Broken> {
        let (answer, receiver) = oneshot::channel();
        self.jobs.try_send(Job { password, stored, queued: Instant::now(), answer }).map_err(|error| match error {
            TrySendError::Full(_) => Broken::Busy,
            TrySendError::Disconnected(_) => Broken::defect("the hashing threads have ended"),
        })?;
        Ok(receiver)
    }

    /// Hashes a password for storage, on threads that run no async tasks.
    ///
    /// # Errors
    /// As [`Hasher::verify`].
    pub fn hash_blocking(&self, password: Secret) -> Result<String, Broken> {
        match self.queue(password, None)?.blocking_recv().map_err(|_| Broken::defect("a hashing thread ended"))?? {
            Answer::Hashed(phc) => Ok(phc),
            Answer::Verified(_) => Err(Broken::defect("a hash was asked for")),
        }
    }
}

fn work(queue: &Mutex<Receiver<Job>>, params: &Params) {
    // Hashing gives way to everything else; where the system refuses, it only runs at the usual priority.
    let _ = rustix::process::setpriority_process(None, 19);
    let mut memory = Vec::new();
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        let answer = if job.queued.elapsed() > PATIENCE || job.answer.is_closed() {
            Err(Broken::Busy)
        } else {
            match &job.stored {
                Some(stored) => verify(&job.password, stored, params, &mut memory).map(Answer::Verified),
                None => hash(&job.password, params, &mut memory).map(Answer::Hashed),
            }
        };
        let _ = job.answer.send(answer);
    }
}

fn digest(password: &Secret, salt: &[u8], params: &Params, memory: &mut Vec<Block>) -> Result<[u8; OUTPUT], Broken> {
    memory.resize(params.block_count().max(memory.len()), Block::default());
    let mut output = [0; OUTPUT];
    let blocks = memory.get_mut(..params.block_count()).unwrap_or_default();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone())
        .hash_password_into_with_memory(password.reveal().as_bytes(), salt, &mut output, blocks)
        .map_err(Broken::defect)?;
    Ok(output)
}

fn hash(password: &Secret, params: &Params, memory: &mut Vec<Block>) -> Result<String, Broken> {
    let salt = Entropy.bytes::<16>();
    let mut output = digest(password, &salt, params, memory)?;
    let phc = PasswordHash {
        algorithm: ARGON2ID_IDENT,
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(params).map_err(Broken::defect)?,
        salt: Some(Salt::new(&salt).map_err(Broken::defect)?),
        hash: Some(Output::new(&output).map_err(Broken::defect)?),
    };
    output.zeroize();
    Ok(phc.to_string())
}

fn verify(password: &Secret, stored: &str, params: &Params, memory: &mut Vec<Block>) -> Result<Verified, Broken> {
    let phc = PasswordHash::new(stored).map_err(|cause| Broken::defect(format!("stored password hash: {cause}")))?;
    let (Some(salt), Some(expected)) = (&phc.salt, &phc.hash) else {
        return Err(Broken::defect("stored password hash lacks salt or output"));
    };
    let theirs = Params::try_from(&phc).map_err(Broken::defect)?;
    let output = digest(password, salt.as_ref(), &theirs, memory)?;
    if verify_slices_are_equal(&output, expected.as_bytes()).is_err() {
        return Ok(Verified::Wrong);
    }
    let same =
        (theirs.m_cost(), theirs.t_cost(), theirs.p_cost()) == (params.m_cost(), params.t_cost(), params.p_cost());
    Ok(Verified::Right(if same { None } else { Some(hash(password, params, memory)?) }))
}
