//! Passwords: argon2id on a few threads of low priority with memory of their own, so that a storm of sign-ins
//! never starves the token endpoint.

use std::collections::HashSet;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use tokio::sync::oneshot;
use zeroize::Zeroize;

use crate::clock::Entropy;
use crate::error::Broken;
use crate::model::secret::Secret;
use crate::secrets::fair_queue::FairQueue;
use crate::secrets::password_rules::{Strength, normalized};
use crate::supervisor;

/// How many sign-ins may wait for a hashing thread.
const QUEUE: usize = 256;
/// How many passwords may wait to be judged while they are typed.
const JUDGED: usize = 32;
/// How much the threads give way (nice(1)): against one that does not, they get a tenth.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;
/// How long one may wait before it is told to come back.
const PATIENCE: Duration = Duration::from_secs(8);
const OUTPUT: usize = 32;
/// Salt of what is hashed for the time it takes alone.
const DECOY_SALT: [u8; 16] = *b"equal for anyone";

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
    /// How stored hashes of this cost begin.
    pub fn prefix(self) -> String {
        format!(
            "$argon2id$v=19$m={},t={},p={}$",
            self.memory_kib, self.iterations, self.parallelism
        )
    }

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
    work: Work,
    queued: Instant,
    answer: oneshot::Sender<Result<Answer, Broken>>,
}

enum Work {
    /// Compare with what is stored, if anything.
    Verify(Secret, Option<String>),
    /// Hash, unless it is one of these.
    Hash(Secret, Vec<String>),
}

enum Answer {
    Verified(Verified),
    Hashed(Option<String>),
}

/// A password that somebody types, and who judges how easy it is to guess.
struct Typed {
    password: Secret,
    judge: Box<dyn FnOnce(&Secret) -> Strength + Send>,
    answer: oneshot::Sender<Result<Strength, Broken>>,
}

/// The costs of the hashes that may be stored: today's first, then those of before.
#[derive(Debug, Clone)]
struct Costs {
    today: Params,
    before: Vec<Params>,
}

/// The hashing threads, and the one that judges what is being typed.
pub struct Hasher {
    jobs: Arc<FairQueue<Job>>,
    typed: Arc<FairQueue<Typed>>,
    /// Browsers whose password is being judged.
    judging: Arc<Mutex<HashSet<String>>>,
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hasher")
    }
}

impl Drop for Hasher {
    fn drop(&mut self) {
        self.jobs.close();
        self.typed.close();
    }
}

/// Takes a browser out of those whose password is being judged, however that ends.
struct Judging {
    browsers: Arc<Mutex<HashSet<String>>>,
    browser: String,
}

impl Drop for Judging {
    fn drop(&mut self) {
        let mut browsers = self.browsers.lock().unwrap_or_else(PoisonError::into_inner);
        browsers.remove(&self.browser);
    }
}

impl Hasher {
    /// Starts the threads. `before` are other costs of which hashes are stored: a comparison then takes the time of all of
    /// them together, whoever signs in, so that it does not tell which account is an old one, or exists.
    ///
    /// # Errors
    /// When the cost is not one that argon2 allows, or a thread cannot be started.
    pub fn start(cost: Cost, before: &[Cost], threads: usize) -> Result<Self, Broken> {
        let before = before
            .iter()
            .filter(|other| **other != cost)
            .map(|other| other.params());
        let costs = Costs {
            today: cost.params()?,
            before: before.collect::<Result<_, _>>()?,
        };
        let (jobs, typed) = (Arc::new(FairQueue::new(QUEUE)), Arc::new(FairQueue::new(JUDGED)));
        for _ in 0..threads.max(1) {
            let (queue, costs) = (Arc::clone(&jobs), costs.clone());
            supervisor::thread("argon2", move || work(&queue, &costs)).map_err(Broken::defect)?;
        }
        let queue = Arc::clone(&typed);
        supervisor::thread("password-judge", move || judge(&queue)).map_err(Broken::defect)?;
        Ok(Self {
            jobs,
            typed,
            judging: Arc::default(),
        })
    }

    /// Compares a password with a stored hash; with none, it takes as long and says wrong. `network` is who asks: networks
    /// take turns.
    ///
    /// # Errors
    /// [`Broken::Busy`] when too many wait.
    pub async fn verify(
        &self,
        network: IpAddr,
        password: Secret,
        stored: Option<String>,
    ) -> Result<Verified, Broken> {
        match self
            .queue(network, Work::Verify(password, stored))
            .await
            .map_err(|_| ended())??
        {
            Answer::Verified(verified) => Ok(verified),
            Answer::Hashed(_) => Err(Broken::defect("a comparison was asked for")),
        }
    }

    /// Judges a password while it is typed, one of each browser at a time: that can take long as well, and must not keep
    /// anybody from signing in.
    ///
    /// # Errors
    /// [`Broken::Busy`] when too many wait, or one of this browser does.
    pub async fn judge(
        &self,
        network: IpAddr,
        browser: &str,
        password: Secret,
        judge: impl FnOnce(&Secret) -> Strength + Send + 'static,
    ) -> Result<Strength, Broken> {
        let fresh = {
            let mut browsers = self.judging.lock().unwrap_or_else(PoisonError::into_inner);
            browsers.insert(browser.to_owned())
        };
        if !fresh {
            return Err(Broken::Busy);
        }
        let _until_answered = Judging {
            browsers: Arc::clone(&self.judging),
            browser: browser.to_owned(),
        };
        let (answer, receiver) = oneshot::channel();
        let typed = Typed {
            password,
            judge: Box::new(judge),
            answer,
        };
        // Whoever is displaced is told by its sender, which ends.
        drop(self.typed.put(network, typed));
        receiver.await.map_err(|_| Broken::Busy)?
    }

    fn queue(&self, network: IpAddr, work: Work) -> oneshot::Receiver<Result<Answer, Broken>> {
        let (answer, receiver) = oneshot::channel();
        let job = Job {
            work,
            queued: Instant::now(),
            answer,
        };
        if let Some(displaced) = self.jobs.put(network, job) {
            let _ = displaced.answer.send(Err(Broken::Busy));
        }
        receiver
    }

    /// Hashes a password for storage. None when it is one of `earlier`, which are stored hashes.
    pub async fn hash_unused(
        &self,
        network: IpAddr,
        password: Secret,
        earlier: Vec<String>,
    ) -> Result<Option<String>, Broken> {
        hashed(
            self.queue(network, Work::Hash(password, earlier))
                .await
                .map_err(|_| ended())??,
        )
    }

    /// [`Hasher::hash_unused`] for threads that run no async tasks.
    pub fn hash_unused_blocking(
        &self,
        network: IpAddr,
        password: Secret,
        earlier: Vec<String>,
    ) -> Result<Option<String>, Broken> {
        hashed(
            self.queue(network, Work::Hash(password, earlier))
                .blocking_recv()
                .map_err(|_| ended())??,
        )
    }

    /// Hashes a password for storage, on threads that run no async tasks.
    pub fn hash_blocking(&self, network: IpAddr, password: Secret) -> Result<String, Broken> {
        self.hash_unused_blocking(network, password, Vec::new())?
            .ok_or_else(|| Broken::defect("a hash was asked for"))
    }
}

fn ended() -> Broken {
    Broken::defect("the hashing threads have ended")
}

fn hashed(answer: Answer) -> Result<Option<String>, Broken> {
    match answer {
        Answer::Hashed(phc) => Ok(phc),
        Answer::Verified(_) => Err(Broken::defect("a hash was asked for")),
    }
}

/// Hashing and judging give way to everything else, but not altogether: where something else keeps every core busy, people
/// must still get in.
fn give_way() {
    // Of this thread alone, on Linux. Where the system refuses, it only runs at the usual priority.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, NICENESS);
}

fn judge(queue: &FairQueue<Typed>) {
    give_way();
    while let Some(typed) = queue.take() {
        if typed.answer.is_closed() {
            continue;
        }
        // Whatever a stranger types must not be counted as a fault of the thread.
        let judged = catch_unwind(AssertUnwindSafe(|| (typed.judge)(&typed.password)))
            .map_err(|_| Broken::defect("a password could not be judged"));
        let _ = typed.answer.send(judged);
    }
}

fn work(queue: &FairQueue<Job>, costs: &Costs) {
    give_way();
    let mut memory = Vec::new();
    while let Some(job) = queue.take() {
        let answer = if job.queued.elapsed() > PATIENCE || job.answer.is_closed() {
            Err(Broken::Busy)
        } else {
            match job.work {
                Work::Verify(password, stored) => {
                    verify(&password, stored.as_deref(), costs, &mut memory).map(Answer::Verified)
                }
                Work::Hash(password, earlier) => {
                    hash_unused(&password, &earlier, &costs.today, &mut memory).map(Answer::Hashed)
                }
            }
        };
        let _ = job.answer.send(answer);
    }
}

fn digest(
    password: &Secret,
    salt: &[u8],
    params: &Params,
    memory: &mut Vec<Block>,
) -> Result<[u8; OUTPUT], Broken> {
    memory.resize(params.block_count().max(memory.len()), Block::default());
    let mut output = [0; OUTPUT];
    let blocks = memory.get_mut(..params.block_count()).unwrap_or_default();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone())
        .hash_password_into_with_memory(normalized(password).as_bytes(), salt, &mut output, blocks)
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

fn hash_unused(
    password: &Secret,
    earlier: &[String],
    params: &Params,
    memory: &mut Vec<Block>,
) -> Result<Option<String>, Broken> {
    for stored in earlier {
        if is_it(password, stored, memory)?.0 {
            return Ok(None);
        }
    }
    hash(password, params, memory).map(Some)
}

/// Whether it is the password of a stored hash, with that hash's cost.
fn is_it(password: &Secret, stored: &str, memory: &mut Vec<Block>) -> Result<(bool, Params), Broken> {
    let phc = PasswordHash::new(stored)
        .map_err(|cause| Broken::defect(format!("stored password hash: {cause}")))?;
    let (Some(salt), Some(expected)) = (&phc.salt, &phc.hash) else {
        return Err(Broken::defect("stored password hash lacks salt or output"));
    };
    let theirs = Params::try_from(&phc).map_err(Broken::defect)?;
    let output = digest(password, salt.as_ref(), &theirs, memory)?;
    Ok((
        verify_slices_are_equal(&output, expected.as_bytes()).is_ok(),
        theirs,
    ))
}

fn same(one: &Params, other: &Params) -> bool {
    (one.m_cost(), one.t_cost(), one.p_cost()) == (other.m_cost(), other.t_cost(), other.p_cost())
}

fn verify(
    password: &Secret,
    stored: Option<&str>,
    costs: &Costs,
    memory: &mut Vec<Block>,
) -> Result<Verified, Broken> {
    let compared = stored.map(|stored| is_it(password, stored, memory)).transpose()?;
    // What the others take, for everybody.
    for params in std::iter::once(&costs.today).chain(&costs.before) {
        if !compared.as_ref().is_some_and(|(_, theirs)| same(theirs, params)) {
            digest(password, &DECOY_SALT, params, memory)?.zeroize();
        }
    }
    match compared {
        Some((true, theirs)) if same(&theirs, &costs.today) => Ok(Verified::Right(None)),
        Some((true, _)) => Ok(Verified::Right(Some(hash(password, &costs.today, memory)?))),
        _ => Ok(Verified::Wrong),
    }
}

/// The cost of a stored hash; none of one that cannot be read.
pub fn cost_of(stored: &str) -> Option<Cost> {
    let params = Params::try_from(&PasswordHash::new(stored).ok()?).ok()?;
    Some(Cost {
        memory_kib: params.m_cost(),
        iterations: params.t_cost(),
        parallelism: params.p_cost(),
    })
}
