//! Whatever happens to three nodes, in whatever order: commits hold what their level promised,
//! the followers end as the leader, no number is given out twice, and no two nodes lead.
//!
//! `WALSHIP_SEED` repeats a run, `WALSHIP_FAILOVERS` says how many blows each test deals out.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use walship_tests::{Promises, Trio, Weather, Writer, Written, contradictions, others, wait_until};

/// Blows of each test in an ordinary run.
const BLOWS: usize = 6;
/// Numbers that an old leader cannot give out in the time in which it does not know.
const GAP: &str = "promote_sequence_gap=20000";
/// A blow falls at most this long after the command into which it falls, in milliseconds.
const WITHIN_MS: u64 = 150;
/// Wrong rows that are shown.
const SHOWN: usize = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    /// A planned change.
    Switchover,
    /// The leader, or the one that is to lead, dies in a planned change.
    DeadInSwitchover,
    /// The leader dies, another is promoted.
    DeadLeader,
    /// The leader dies, another is promoted and dies in that.
    DeadInPromotion,
    /// The leader dies and is started again.
    Crash,
    /// The leader stands still while another is promoted.
    FrozenLeader,
    /// The leader and the others do not reach each other any more; another is promoted.
    CutOffLeader(Weather),
    /// Another is promoted although the leader is well.
    Deposed,
    /// A follower dies, stands still, or is not reached for a while.
    DeadFollower,
    FrozenFollower,
    CutOffFollower,
    /// The followers do not reach each other, or one of them the leader only through the other.
    BrokenLink,
}

const ALL: [Blow; 13] = [
    Blow::Switchover,
    Blow::DeadInSwitchover,
    Blow::DeadLeader,
    Blow::DeadInPromotion,
    Blow::Crash,
    Blow::FrozenLeader,
    Blow::CutOffLeader(Weather::Cut),
    Blow::CutOffLeader(Weather::Silent),
    Blow::Deposed,
    Blow::DeadFollower,
    Blow::FrozenFollower,
    Blow::CutOffFollower,
    Blow::BrokenLink,
];

/// One run: the nodes, what writers were told, and what was promised.
struct Run {
    trio: Trio,
    random: StdRng,
    synchronous: bool,
    told: Vec<Written>,
    /// Timelines that a promotion began which could lose commits.
    unplanned: Vec<u32>,
    leader: usize,
    timeline: u32,
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}

impl Run {
    fn start(synchronous: bool, seed: u64, variable: Option<(&str, &str)>) -> Run {
        let names = if synchronous { "ANY 1 (a, b, c)" } else { "" };
        let names = format!("synchronous_standby_names={names}");
        let mut trio = Trio::start(&[GAP, &names], variable);
        let settled = trio.settle(&mut |_| {});
        trio.nodes[settled.leader]
            .sql("CREATE TABLE written(id INTEGER PRIMARY KEY AUTOINCREMENT, writer TEXT, number INTEGER)");
        Run {
            trio,
            random: StdRng::seed_from_u64(seed),
            synchronous,
            told: Vec::new(),
            unplanned: Vec::new(),
            leader: settled.leader,
            timeline: settled.timeline,
        }
    }

    /// One blow, with two clients that write all along, and a look at what came of it.
    fn round(&mut self, number: usize, blow: Blow) {
        let begun = std::time::Instant::now();
        eprintln!(
            "{number}: {blow:?}, {} leads timeline {}",
            self.trio.nodes[self.leader].name(),
            self.timeline
        );
        let writers: Vec<Writer> = (0..2)
            .map(|writer| {
                let name = format!("{number}.{writer}");
                let conninfo = self.trio.clients(self.leader + writer);
                Writer::start(&conninfo, &name, self.trio.lab.path().join(format!("{name}.told")))
            })
            .collect();
        acknowledged(&writers, 20);
        self.deal(blow, &writers);
        let settled = self.trio.settle(&mut |done| eprintln!("   {done}"));
        acknowledged(&writers, 20);
        let planned = matches!(blow, Blow::Switchover | Blow::DeadInSwitchover) && !settled.promoted;
        if !planned && !self.synchronous {
            self.unplanned.extend(self.timeline + 1..=settled.timeline);
        }
        (self.leader, self.timeline) = (settled.leader, settled.timeline);
        for writer in writers {
            self.told.extend(writer.finish());
        }
        self.trio.assert_all_identical(self.leader);
        let wrong = self.wrong();
        let outcomes = |outcome| self.told.iter().filter(|row| row.outcome == outcome).count();
        eprintln!(
            "   {:.1} s; {} acknowledged, {} unknown so far",
            begun.elapsed().as_secs_f64(),
            outcomes("ack"),
            outcomes("unknown")
        );
        assert!(wrong.is_empty(), "{} rows are wrong: {:#?}", wrong.len(), &wrong[..wrong.len().min(SHOWN)]);
    }

    fn wrong(&self) -> Vec<String> {
        let kept = |timeline| self.unplanned.iter().all(|&begun| begun <= timeline);
        let promises = Promises { kept: &kept, begun: &self.trio.begun, one_leader: self.synchronous };
        contradictions(&self.told, &self.trio.nodes[self.leader], &promises)
    }

    /// One of the followers; both, the chosen one first.
    fn followers(&mut self) -> [usize; 2] {
        let mut followers = others(self.leader);
        followers.shuffle(&mut self.random);
        followers
    }

    /// As an operator does: with commits that wait for any one follower, the best of all; else
    /// whichever comes first.
    fn promote(&mut self, among: [usize; 2]) -> walship_tests::Output {
        match self.synchronous {
            true => self.trio.promote_best(&among),
            false => self.trio.promote(among[0]),
        }
    }

    fn deal(&mut self, blow: Blow, writers: &[Writer]) {
        let leader = self.leader;
        let followers = self.followers();
        let a_while = Duration::from_millis(self.random.random_range(200..1500));
        match blow {
            Blow::Switchover => drop(self.trio.switch_over(leader, followers[0]).success()),
            Blow::DeadInSwitchover => {
                let victim = if self.random.random() { leader } else { followers[0] };
                let from = format!("127.0.0.1:{}", self.trio.nodes[leader].port());
                let to = self.trio.place(leader, followers[0]);
                self.strike(victim, &["switchover", "--from", &from, "--to", &to]);
            }
            Blow::DeadLeader => {
                self.trio.nodes[leader].kill();
                self.promote(followers).success();
            }
            Blow::DeadInPromotion => {
                self.trio.nodes[leader].kill();
                let places = followers.map(|at| format!("127.0.0.1:{}", self.trio.nodes[at].port()));
                let arguments = match self.synchronous {
                    true => vec!["promote", "--best", &places[0], &places[1]],
                    false => vec!["promote", "--best", &places[0]],
                };
                self.strike(followers[0], &arguments);
            }
            Blow::Crash => {
                self.trio.nodes[leader].kill();
                std::thread::sleep(a_while);
                self.trio.nodes[leader].start();
            }
            Blow::FrozenLeader => {
                self.trio.nodes[leader].pause();
                let promoted = self.promote(followers);
                acknowledged(writers, 5);
                self.trio.nodes[leader].resume();
                promoted.success();
                self.trio.wait_fenced(leader);
            }
            Blow::CutOffLeader(weather) => {
                self.trio.around(leader, weather);
                self.promote(followers).success();
                std::thread::sleep(a_while);
                self.trio.around(leader, Weather::Fair);
                self.trio.wait_fenced(leader);
            }
            Blow::Deposed => {
                let said = self.promote(followers).success();
                assert!(said.contains("old leader: fenced"), "{said}");
            }
            Blow::DeadFollower => {
                self.trio.nodes[followers[0]].kill();
                std::thread::sleep(a_while);
            }
            Blow::FrozenFollower => {
                self.trio.nodes[followers[0]].pause();
                std::thread::sleep(a_while);
                self.trio.nodes[followers[0]].resume();
            }
            Blow::CutOffFollower => {
                self.trio.around(followers[0], Weather::Silent);
                std::thread::sleep(a_while * 3);
            }
            Blow::BrokenLink => {
                let [one, other] = if self.random.random() { [leader, followers[0]] } else { followers };
                self.trio.between(one, other, Weather::Cut);
                std::thread::sleep(a_while);
            }
        }
    }

    /// Kills a node at some moment of a command, which then may fail.
    fn strike(&mut self, victim: usize, arguments: &[&str]) {
        let after = Duration::from_millis(self.random.random_range(0..WITHIN_MS));
        let (lab, node) = (&self.trio.lab, &mut self.trio.nodes[victim]);
        let output = std::thread::scope(|scope| {
            let command = scope.spawn(|| lab.walctl(arguments));
            std::thread::sleep(after);
            node.kill();
            node.spawn();
            command.join().expect("the command ends")
        });
        eprintln!(
            "   {} killed after {after:?}: {}",
            node.name(),
            output.stderr.lines().next().unwrap_or("done")
        );
    }
}

fn acknowledged(writers: &[Writer], more: usize) {
    let count = || writers.iter().map(Writer::acknowledged).sum::<usize>();
    let target = count() + more;
    wait_until("clients write", || count() >= target);
}

fn run(synchronous: bool) {
    let seed = number("WALSHIP_SEED").unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    let blows = number("WALSHIP_FAILOVERS").map_or(BLOWS, |wanted| usize::try_from(wanted).unwrap_or(BLOWS));
    eprintln!("WALSHIP_SEED={seed} WALSHIP_FAILOVERS={blows}");
    let mut run = Run::start(synchronous, seed, None);
    let mut deck = Vec::new();
    for number in 1..=blows {
        if deck.is_empty() {
            deck = ALL.to_vec();
            deck.shuffle(&mut run.random);
        }
        let blow = deck.pop().expect("the deck was filled");
        run.round(number, blow);
    }
}

#[test]
fn what_a_follower_confirmed_survives_everything() {
    run(true);
}

#[test]
fn without_confirmation_a_change_loses_what_it_says_and_no_more() {
    run(false);
}

#[test]
fn the_checker_notices_a_leader_that_is_not_fenced() {
    for skipped in [true, false] {
        let variable = skipped.then_some(("WALSHIP_TEST_SKIP", "fence"));
        let mut run = Run::start(false, 0, variable);
        let writer = Writer::start(&run.trio.clients(0), "one", run.trio.lab.path().join("one.told"));
        acknowledged(std::slice::from_ref(&writer), 20);
        let said = run.trio.promote(1).success();
        assert!(said.contains("old leader: fenced"), "{said}");
        acknowledged(std::slice::from_ref(&writer), 20);
        let told = writer.finish();
        run.told.extend(told);
        (run.leader, run.unplanned) = (1, vec![2]);
        let wrong = run.wrong();
        let found = wrong.iter().any(|text| text.starts_with("two leaders: "));
        assert_eq!(found, skipped, "{wrong:#?}");
        // the others hold without the fence too
        assert!(wrong.iter().all(|text| text.starts_with("two leaders: ")), "{wrong:#?}");
    }
}
