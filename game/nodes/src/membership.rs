//! Who is alive and who leads, as Redis knows it.
//!
//! Each node sets a key that expires, again and again, and in the same script holds the lease of the
//! leader or takes it if nobody does. What the script answers is shown as a [`View`]. What was not heard
//! in time is not known: a node that cannot reach Redis counts nobody as dead and does not lead.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use redis::{Script, aio::MultiplexedConnection};
use tokio::{
    sync::{Notify, mpsc, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{ConnectError, Instance, RedisUrl, Timing};

/// One sign of life. KEYS: own presence, all members, the lease, its token. ARGV: own instance, what the
/// presence says, the time to live, 1 to lead if nobody does, what comes before a member in its presence.
/// Answers the lease, then each member and whether it is alive.
const SIGN: &str = r"
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('SADD', KEYS[2], ARGV[1])
local lease = redis.call('GET', KEYS[3])
local mine = lease and string.sub(lease, 1, #ARGV[1] + 1) == ARGV[1] .. ' '
if mine and ARGV[4] == '1' then
    redis.call('PEXPIRE', KEYS[3], ARGV[3])
elseif mine then
    redis.call('DEL', KEYS[3])
    lease = false
elseif not lease and ARGV[4] == '1' then
    lease = ARGV[1] .. ' ' .. redis.call('INCR', KEYS[4])
    redis.call('SET', KEYS[3], lease, 'PX', ARGV[3])
end
local answer = {lease or ''}
for _, member in ipairs(redis.call('SMEMBERS', KEYS[2])) do
    answer[#answer + 1] = member
    answer[#answer + 1] = tostring(redis.call('EXISTS', ARGV[5] .. member))
end
return answer
";

/// The last sign. KEYS: own presence, the lease. ARGV: own instance.
const LEAVE: &str = r"
redis.call('DEL', KEYS[1])
local lease = redis.call('GET', KEYS[2])
if lease and string.sub(lease, 1, #ARGV[1] + 1) == ARGV[1] .. ' ' then
    redis.call('DEL', KEYS[2])
end
";

/// A dead member has nothing left. KEYS: its presence, all members. ARGV: the member.
const FORGET: &str = r"
if redis.call('EXISTS', KEYS[1]) == 0 then
    redis.call('SREM', KEYS[2], ARGV[1])
end
";

/// Wishes that wait for Redis.
const WISHES_MAX: usize = 64;

/// Who leads, and the fencing token of its lease: the higher one is the newer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leader {
    pub instance: Instance,
    pub token: u64,
}

/// What is known of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Alive,
    Dead,
    /// Redis was not heard for too long, or not long enough.
    Unknown,
}

/// What Redis said last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// In order, this node among them.
    pub alive: Vec<Instance>,
    /// Nodes that may have left games behind. Empty until it is sure.
    pub dead: Vec<Instance>,
    pub leader: Option<Leader>,
    /// Redis is heard, and has been for as long as a presence lasts: who is not alive is dead.
    pub settled: bool,
}

impl View {
    #[must_use]
    pub fn standing(&self, instance: &str) -> Standing {
        if self.alive.iter().any(|alive| **alive == *instance) {
            Standing::Alive
        } else if self.settled {
            Standing::Dead
        } else {
            Standing::Unknown
        }
    }
}

/// Until when this node leads, by its own monotonic clock. Cheap to ask before each thing that only a
/// leader may do: a process that was stopped for a while finds out by itself.
#[derive(Debug)]
pub struct Lease {
    start: Instant,
    /// Microseconds after the start; 0: not at all.
    until_us: AtomicU64,
}

impl Lease {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            until_us: AtomicU64::new(0),
        }
    }

    #[must_use]
    pub fn is_held(&self) -> bool {
        let now_us = u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX);
        now_us < self.until_us.load(Ordering::Acquire)
    }

    fn hold_until(&self, until: Option<Instant>) {
        let after = until.map(|until| until.saturating_duration_since(self.start).as_micros());
        let until_us = u64::try_from(after.unwrap_or(0)).unwrap_or(0);
        self.until_us.store(until_us, Ordering::Release);
    }
}

#[derive(Debug)]
enum Wish {
    Leave,
    Forget(Instance),
}

/// This node among the others. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Membership {
    view: watch::Receiver<View>,
    lease: Arc<Lease>,
    wishes: mpsc::Sender<Wish>,
    nudge: Arc<Notify>,
    left: CancellationToken,
}

/// Says that an instance that does not exist has games, so that whoever leads spreads them over the nodes.
///
/// # Errors
/// Redis cannot be reached.
pub async fn leave_games_of(url: &RedisUrl, release: &str, instance: &str) -> Result<(), String> {
    let mut connection = url.connect().await.map_err(|error| error.to_string())?;
    let added: redis::RedisResult<i64> = redis::cmd("SADD")
        .arg(format!("sv:owners:{release}"))
        .arg(instance)
        .query_async(&mut connection)
        .await;
    added.map(drop).map_err(|error| error.to_string())
}

impl Membership {
    /// Gives the first sign of life; the task gives the others, until `stop` or [`Self::leave`].
    ///
    /// # Errors
    /// Redis cannot be reached. Later it may be away for as long as it likes.
    pub async fn join(
        url: &RedisUrl,
        release: &str,
        me: Instance,
        started_at_ms: i64,
        timing: Timing,
        stop: CancellationToken,
    ) -> Result<(Self, impl Future<Output = ()> + Send + 'static), ConnectError> {
        let connection = url.connect().await?;
        let (show, view) = watch::channel(View::default());
        let (wishes, wished) = mpsc::channel(WISHES_MAX);
        let membership = Self {
            view,
            lease: Arc::new(Lease::new()),
            wishes,
            nudge: Arc::new(Notify::new()),
            left: CancellationToken::new(),
        };
        let says = serde_json::json!({ "instance": &*me, "started_at_ms": started_at_ms }).to_string();
        let mut task = Task {
            url: url.clone(),
            connection: Some(connection),
            presence_prefix: format!("sv:node:{release}:"),
            members: format!("sv:owners:{release}"),
            lead: format!("sv:lead:{release}"),
            token: format!("sv:lead-token:{release}"),
            me,
            says,
            timing,
            lease: membership.lease.clone(),
            show,
            known_since: None,
            known_until: None,
            down: false,
        };
        task.sign().await;
        let run = task.run(wished, membership.nudge.clone(), membership.left.clone(), stop);
        Ok((membership, run))
    }

    /// What Redis said last, and each change of it.
    #[must_use]
    pub fn view(&self) -> watch::Receiver<View> {
        self.view.clone()
    }

    #[must_use]
    pub fn lease(&self) -> &Arc<Lease> {
        &self.lease
    }

    /// Asks Redis now, and more often for a while: somebody may have gone.
    pub fn nudge(&self) {
        self.nudge.notify_one();
    }

    /// No more signs of life: for the others this node is gone once this is ready.
    pub async fn leave(&self) {
        self.lease.hold_until(None);
        if self.wishes.send(Wish::Leave).await.is_ok() {
            self.left.cancelled().await;
        }
    }

    /// The dead `instance` has left nothing behind.
    pub fn forget(&self, instance: &Instance) {
        // Found again later, if there is no room for this now.
        let _ = self.wishes.try_send(Wish::Forget(instance.clone()));
    }
}

struct Task {
    url: RedisUrl,
    connection: Option<MultiplexedConnection>,
    presence_prefix: String,
    members: String,
    lead: String,
    token: String,
    me: Instance,
    says: String,
    timing: Timing,
    lease: Arc<Lease>,
    show: watch::Sender<View>,
    known_since: Option<Instant>,
    known_until: Option<Instant>,
    /// Redis did not answer last time.
    down: bool,
}

impl Task {
    async fn run(
        mut self,
        mut wishes: mpsc::Receiver<Wish>,
        nudge: Arc<Notify>,
        left: CancellationToken,
        stop: CancellationToken,
    ) {
        let _left = left.drop_guard();
        let mut next = Instant::now() + self.timing.every;
        let mut hurry_until = Instant::now();
        loop {
            let lapses = self.known_until;
            let lapsed = async {
                match lapses {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                wish = wishes.recv() => match wish {
                    Some(Wish::Leave) => {
                        self.leave().await;
                        break;
                    }
                    Some(Wish::Forget(member)) => self.forget(&member).await,
                    None => break,
                },
                () = nudge.notified() => {
                    hurry_until = Instant::now() + 2 * self.timing.time_to_live;
                    next = next.min(Instant::now() + self.timing.every / 8);
                }
                () = lapsed => self.lapse(),
                () = tokio::time::sleep_until(next) => {
                    self.sign().await;
                    let pause = if Instant::now() < hurry_until { self.timing.every / 4 } else { self.timing.every };
                    next = Instant::now() + pause;
                }
            }
        }
        self.lease.hold_until(None);
        self.show.send_replace(View::default());
    }

    async fn connection(&mut self) -> Result<MultiplexedConnection, String> {
        if self.connection.is_none() {
            let connection = self.url.connect().await.map_err(|error| error.to_string())?;
            self.connection = Some(connection);
        }
        self.connection.clone().ok_or_else(|| "no connection".to_owned())
    }

    async fn sign(&mut self) {
        let sent_at = Instant::now();
        match self.ask().await {
            Ok(answer) => self.learn(&answer, sent_at),
            Err(error) => {
                self.connection = None;
                if !self.down {
                    tracing::warn!(redis = %self.url, %error, "Redis does not answer; trying again");
                }
                self.down = true;
            }
        }
    }

    async fn ask(&mut self) -> Result<Vec<String>, String> {
        let mut connection = self.connection().await?;
        let time_to_live = u64::try_from(self.timing.time_to_live.as_millis()).unwrap_or(u64::MAX);
        let script = Script::new(SIGN);
        let mut asked = script.key(format!("{}{}", self.presence_prefix, self.me));
        asked
            .key(&self.members)
            .key(&self.lead)
            .key(&self.token)
            .arg(&*self.me)
            .arg(&self.says)
            .arg(time_to_live)
            .arg("1")
            .arg(&self.presence_prefix);
        asked
            .invoke_async(&mut connection)
            .await
            .map_err(|error| error.to_string())
    }

    fn learn(&mut self, answer: &[String], sent_at: Instant) {
        if self.down {
            tracing::info!(redis = %self.url, "Redis answers again");
        }
        self.down = false;
        let known_since = *self.known_since.get_or_insert(sent_at);
        self.known_until = Some(sent_at + self.timing.time_to_live);
        let leader = answer.first().and_then(|lease| {
            let (instance, token) = lease.split_once(' ')?;
            let token = token.parse().ok()?;
            Some(Leader {
                instance: instance.into(),
                token,
            })
        });
        let leads = leader.as_ref().is_some_and(|leader| leader.instance == self.me);
        // A little less than the others grant, so that no two ever lead at the same moment.
        let held = self.timing.time_to_live - self.timing.time_to_live / 8;
        self.lease.hold_until(leads.then_some(sent_at + held));
        let settled = sent_at >= known_since + self.timing.time_to_live;
        let mut view = View {
            leader,
            settled,
            ..View::default()
        };
        for member in answer.get(1..).unwrap_or_default().chunks_exact(2) {
            let [name, is_alive] = member else { continue };
            if is_alive == "1" {
                view.alive.push(name.as_str().into());
            } else if settled {
                view.dead.push(name.as_str().into());
            }
        }
        view.alive.sort();
        view.dead.sort();
        self.show.send_if_modified(|shown| {
            let changed = *shown != view;
            *shown = view;
            changed
        });
    }

    /// Redis was not heard for so long that nothing is known any more.
    fn lapse(&mut self) {
        (self.known_since, self.known_until) = (None, None);
        self.lease.hold_until(None);
        self.show.send_replace(View::default());
        tracing::error!(redis = %self.url, "Redis has been away for too long: no other node is counted on, and no matches are made");
    }

    async fn leave(&mut self) {
        let left = async {
            let mut connection = self.connection().await?;
            let script = Script::new(LEAVE);
            let mut asked = script.key(format!("{}{}", self.presence_prefix, self.me));
            asked.key(&self.lead).arg(&*self.me);
            let done: Result<(), _> = asked.invoke_async(&mut connection).await;
            done.map_err(|error| error.to_string())
        };
        if let Err(error) = left.await {
            tracing::warn!(%error, "could not say goodbye to the other nodes; they will find out");
        }
    }

    async fn forget(&mut self, member: &Instance) {
        let forgotten = async {
            let mut connection = self.connection().await?;
            let script = Script::new(FORGET);
            let mut asked = script.key(format!("{}{member}", self.presence_prefix));
            asked.key(&self.members).arg(&**member);
            let done: Result<(), _> = asked.invoke_async(&mut connection).await;
            done.map_err(|error| error.to_string())
        };
        if let Err(error) = forgotten.await {
            tracing::debug!(%error, "a node that is gone could not be forgotten yet");
        }
    }
}

/// For how long a question about a node may wait for an answer.
impl Timing {
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.time_to_live + 2 * self.every
    }
}
