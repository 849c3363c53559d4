use std::time::{Duration, Instant};

use crate::commands::Output;
use crate::lab::Lab;
use crate::node::{Node, Role, assert_identical};
use crate::proxy::{Proxy, Weather};
use crate::session::Session;
use crate::wait::wait_until;
use crate::writers::monotonic_seconds;

/// How long the nodes may take to be one leader and two followers again.
const SETTLE_LIMIT: Duration = Duration::from_secs(90);
/// A follower that does not stream for that long is started again, as an operator would.
const RESTART_AFTER: Duration = Duration::from_secs(6);
/// And if nobody leads for that long, one of them is promoted.
const PROMOTE_AFTER: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(50);

/// Timings of nodes that notice soon what happens to them.
const SOON: [&str; 5] = [
    "peers_check_interval=200ms",
    "wal_retrieve_retry_interval=100ms",
    "wal_receiver_timeout=5s",
    "wal_sender_timeout=5s",
    "wal_receiver_status_interval=1s",
];

/// Three nodes of one cluster, each of which reaches each other one over a link of its own.
/// Clients and the operator reach them directly.
pub struct Trio {
    /// Their directory.
    pub lab: Lab,
    /// The nodes: `a`, which leads at first, `b` and `c`.
    pub nodes: [Node; 3],
    links: [[Option<Proxy>; 3]; 3],
    /// Timelines, and since when nobody may write on an older one.
    pub begun: Vec<(u32, f64)>,
}

/// What the nodes have become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// Which of them leads.
    pub leader: usize,
    /// Its timeline.
    pub timeline: u32,
    /// Whether somebody had to be promoted for that.
    pub promoted: bool,
}

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// `leader`, `follower` or `fenced`.
    pub role: String,
    /// Its timeline.
    pub timeline: u32,
    /// Whether it receives a log.
    pub streams: bool,
    /// How many receive its log.
    pub followers: u32,
}

/// The leader and its timeline, if all three say that they are on it, and both others receive
/// its log.
fn settled(said: &[Option<Said>; 3]) -> Option<(usize, u32)> {
    let leads = |said: &Option<Said>| said.as_ref().is_some_and(|said| said.role == "leader");
    let at = said.iter().position(leads)?;
    let leader = said.get(at)?.as_ref()?;
    let followers = others(at).into_iter().filter_map(|at| said.get(at)?.as_ref());
    let follow = followers
        .filter(|said| said.role == "follower" && said.streams && said.timeline == leader.timeline)
        .count();
    (follow == 2 && leader.followers == 2).then_some((at, leader.timeline))
}

impl Trio {
    /// Starts them, with more settings (`name=value`) and a variable for each.
    ///
    /// # Panics
    /// When one does not start.
    pub fn start(settings: &[&str], variable: Option<(&str, &str)>) -> Trio {
        let lab = Lab::new();
        let mut nodes = [Role::Leader, Role::Follower, Role::Follower]
            .into_iter()
            .zip(["a", "b", "c"])
            .map(|(role, name)| lab.node(role, name, &["-c", &format!("cluster_name={name}")]));
        let mut nodes = [nodes.next(), nodes.next(), nodes.next()].map(|node| node.expect("there are three"));
        let ports = [0, 1, 2].map(|to: usize| nodes[to].port());
        let links = [0, 1, 2].map(|from| [0, 1, 2].map(|to| (from != to).then(|| Proxy::to(ports[to]))));
        for (at, node) in nodes.iter_mut().enumerate() {
            for setting in settings.iter().chain(&SOON) {
                node.add_arguments(&["-c", setting]);
            }
            let places = others(at).map(|to| place(&links, at, to));
            node.add_arguments(&["-c", &format!("peers={}", places.join(";"))]);
            if let Some((name, value)) = variable {
                node.set_variable(name, value);
            }
        }
        let mut trio = Trio { lab, nodes, links, begun: Vec::new() };
        trio.nodes[0].start();
        for at in 0..3 {
            let ports = others(at).map(|to| trio.link(at, to).port().to_string());
            let primary =
                format!("host=127.0.0.1,127.0.0.1 port={} user=postgres connect_timeout=2", ports.join(","));
            let node = &mut trio.nodes[at];
            // whoever comes back finds out by itself what it is
            node.set_role(Role::Follower);
            let name = node.name().to_owned();
            node.add_arguments(&["--primary", &primary, "--name", &name, "--auto-rewind"]);
        }
        trio.nodes[1].start();
        trio.nodes[2].start();
        trio.settle(&mut |_| {});
        trio
    }

    fn link(&self, from: usize, to: usize) -> &Proxy {
        self.links[from][to].as_ref().expect("a node has a link to each other one")
    }

    /// The connection string with which one node reaches another.
    pub fn place(&self, from: usize, to: usize) -> String {
        place(&self.links, from, to)
    }

    /// The connection string with which a client finds the leader, whichever it is: it asks
    /// this node first.
    pub fn clients(&self, first: usize) -> String {
        let ports = [0, 1, 2].map(|step| self.nodes[(first + step) % 3].port().to_string()).join(",");
        format!(
            "host=127.0.0.1,127.0.0.1,127.0.0.1 port={ports} user=postgres dbname=postgres connect_timeout=2 \
             target_session_attrs=read-write"
        )
    }

    /// The weather between two nodes, in both directions.
    pub fn between(&self, one: usize, other: usize, weather: Weather) {
        self.link(one, other).set(weather);
        self.link(other, one).set(weather);
    }

    /// The weather between one node and the others.
    pub fn around(&self, at: usize, weather: Weather) {
        others(at).into_iter().for_each(|other| self.between(at, other, weather));
    }

    /// What a node says of itself.
    pub fn role(&mut self, at: usize) -> Option<Said> {
        let node = &mut self.nodes[at];
        if !node.is_alive() {
            return None;
        }
        let session = Session::connect(node.port(), "postgres").ok()?;
        let asked = "SELECT f.role, f.timeline, \
                     coalesce((SELECT status FROM pg_stat_wal_receiver), ''), \
                     (SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming') \
                     FROM walship_stat_failover f";
        let cells: Vec<String> =
            session.query(asked).ok()?.into_iter().next()?.into_iter().flatten().collect();
        let [role, timeline, receiver, followers] = cells.as_slice() else { return None };
        Some(Said {
            role: role.clone(),
            timeline: timeline.parse().ok()?,
            streams: receiver == "streaming",
            followers: followers.parse().ok()?,
        })
    }

    /// Promotes one node, whatever the others have.
    pub fn promote(&mut self, at: usize) -> Output {
        let output = self.lab.walctl(&["promote", "-D", &self.nodes[at].dir().to_string_lossy()]);
        self.note_promotion(&output);
        output
    }

    /// Promotes the best of these.
    pub fn promote_best(&mut self, among: &[usize]) -> Output {
        let places: Vec<String> = among
            .iter()
            .map(|&at| format!("host=127.0.0.1 port={} user=postgres", self.nodes[at].port()))
            .collect();
        let mut arguments = vec!["promote", "--best"];
        arguments.extend(places.iter().map(String::as_str));
        let output = self.lab.walctl(&arguments);
        self.note_promotion(&output);
        output
    }

    /// Hands over from one to another.
    pub fn switch_over(&mut self, from: usize, to: usize) -> Output {
        let (here, there) = (format!("127.0.0.1:{}", self.nodes[from].port()), self.place(from, to));
        let output = self.lab.walctl(&["switchover", "--from", &here, "--to", &there]);
        if output.status == Some(0) {
            self.note_begun(&output.stdout);
        }
        output
    }

    fn note_promotion(&mut self, output: &Output) {
        if output.stdout.contains("\nold leader: fenced") {
            self.note_begun(&output.stdout);
        }
    }

    /// Older timelines are over: the leader of the last one was told.
    fn note_begun(&mut self, said: &str) {
        let timeline =
            said.split_once(" begins at ").and_then(|(before, _)| before.rsplit(' ').next()?.parse().ok());
        let timeline = timeline.unwrap_or_else(|| panic!("no timeline in {said:?}"));
        self.begun.push((timeline, monotonic_seconds()));
    }

    /// Lets everyone run and reach everyone, and waits until one leads and two follow it.
    /// What has to be done by hand for that is told.
    ///
    /// # Panics
    /// When they do not come to that.
    pub fn settle(&mut self, tell: &mut dyn FnMut(&str)) -> Settled {
        self.between(0, 1, Weather::Fair);
        self.around(2, Weather::Fair);
        let started = Instant::now();
        let mut well = [started; 3];
        let mut leaderless = started;
        let mut promoted = false;
        loop {
            let said = [self.role(0), self.role(1), self.role(2)];
            if let Some((leader, timeline)) = settled(&said) {
                return Settled { leader, timeline, promoted };
            }
            assert!(started.elapsed() < SETTLE_LIMIT, "not one leader and two followers: {said:?}");
            for (at, said) in said.iter().enumerate() {
                // one that is starting has the time for it
                if said.as_ref().is_none_or(|said| said.streams || said.role == "leader") {
                    well[at] = Instant::now();
                }
                let late = well[at].elapsed() >= RESTART_AFTER;
                let why = match said {
                    Some(said) if said.role == "fenced" => "is fenced",
                    Some(_) if late => "does not stream",
                    None if !self.nodes[at].is_alive() => "is down",
                    _ => continue,
                };
                tell(&format!("{} {why}: started again", self.nodes[at].name()));
                if self.nodes[at].is_alive() {
                    self.nodes[at].stop();
                }
                self.nodes[at].spawn();
                well[at] = Instant::now();
            }
            if said.iter().any(|said| said.as_ref().is_none_or(|said| said.role == "leader")) {
                leaderless = Instant::now();
            }
            if leaderless.elapsed() >= PROMOTE_AFTER {
                tell("nobody leads: the best is promoted");
                promoted = true;
                let output = self.promote_best(&[0, 1, 2]);
                if output.status != Some(0) {
                    tell(&output.stderr);
                }
                leaderless = Instant::now();
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Holds both followers against the leader, page for page.
    ///
    /// # Panics
    /// When they differ.
    pub fn assert_all_identical(&self, leader: usize) {
        for follower in others(leader) {
            assert_identical(&self.nodes[leader], &self.nodes[follower], "postgres");
        }
    }

    /// Waits until a node says that it was fenced, and so has stopped writing.
    ///
    /// # Panics
    /// When it is not.
    pub fn wait_fenced(&mut self, at: usize) {
        wait_until("the old leader is fenced", || self.role(at).is_some_and(|said| said.role == "fenced"));
    }
}

/// The two nodes beside one.
pub fn others(at: usize) -> [usize; 2] {
    [(at + 1) % 3, (at + 2) % 3]
}

fn place(links: &[[Option<Proxy>; 3]; 3], from: usize, to: usize) -> String {
    let port = links[from][to].as_ref().map_or(0, Proxy::port);
    format!("host=127.0.0.1 port={port} user=postgres connect_timeout=2")
}
