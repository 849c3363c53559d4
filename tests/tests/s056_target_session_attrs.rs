//! Stock libpq finds the right node, with each of its six modes, through every change of roles.

use tokio::runtime::{Builder, Runtime};
use walship_client::{Connection, Purpose};
use walship_protocol::Conninfo;
use walship_tests::{Lab, Node, wait_caught_up};

/// A session, and what the server has reported to it.
struct Told {
    runtime: Runtime,
    connection: Connection,
}

impl Told {
    fn connect(node: &Node) -> Told {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let text = format!("host=127.0.0.1 port={} user=postgres dbname=postgres", node.port());
        let target = text.parse::<Conninfo>().unwrap().target(|_| None).unwrap();
        let connection = runtime.block_on(Connection::connect(&target, Purpose::Sql, "told")).unwrap();
        Told { runtime, connection }
    }

    /// `in_hot_standby` as last reported, after a statement.
    fn in_hot_standby(&mut self) -> Option<&str> {
        self.runtime.block_on(self.connection.query("SELECT 1")).unwrap();
        self.connection.parameter("in_hot_standby")
    }
}

/// Which of the nodes a stock psql ends up on, by its port; `None` if on none.
fn found(node: &Node, ports: [u16; 2], mode: &str) -> Option<u16> {
    let [a, b] = ports;
    let conninfo = format!(
        "host=127.0.0.1,127.0.0.1 port={a},{b} user=postgres dbname=postgres target_session_attrs={mode}"
    );
    let answer = node.psql(&conninfo, &["-c", "SHOW port"]);
    answer.stdout.trim().parse().ok()
}

#[test]
fn each_mode_finds_its_node() {
    let lab = Lab::new();
    let mut one = lab.leader_with(&["-c", "cluster_name=one"]);
    let two = lab.follower_with("two", one.port(), &[]);
    one.sql("CREATE TABLE t(v)");
    wait_caught_up(&one, &two);
    let check = |leader: &Node, follower: &Node| {
        let (leads, follows) = (leader.port(), follower.port());
        for ports in [[leads, follows], [follows, leads]] {
            for mode in ["read-write", "primary"] {
                assert_eq!(found(leader, ports, mode), Some(leads), "{mode} {ports:?}");
            }
            for mode in ["read-only", "standby", "prefer-standby"] {
                assert_eq!(found(leader, ports, mode), Some(follows), "{mode} {ports:?}");
            }
            assert_eq!(found(leader, ports, "any"), Some(ports[0]));
        }
    };
    check(&one, &two);
    // after a planned change
    let (from, to) = (format!("127.0.0.1:{}", one.port()), format!("127.0.0.1:{}", two.port()));
    lab.walctl(&["switchover", "--from", &from, "--to", &to]).success();
    check(&two, &one);
    // after an unplanned one: the fenced leader is nobody's to write to
    lab.walctl(&["promote", "-D", one.dir().to_str().unwrap()]).success();
    let ports = [two.port(), one.port()];
    assert_eq!(found(&one, ports, "read-write"), Some(one.port()));
    assert_eq!(found(&one, ports, "primary"), Some(one.port()));
    // and with nobody that leads
    one.kill();
    assert_eq!(found(&two, ports, "read-write"), None);
    assert_eq!(found(&two, ports, "prefer-standby"), Some(two.port()));
}

#[test]
fn sessions_are_told_whenever_the_role_changes() {
    let lab = Lab::new();
    let one = lab.leader_with(&["-c", "cluster_name=one"]);
    let two = lab.follower_with("two", one.port(), &[]);
    wait_caught_up(&one, &two);
    let (mut on_one, mut on_two) = (Told::connect(&one), Told::connect(&two));
    let mut both = || (on_one.in_hot_standby() == Some("on"), on_two.in_hot_standby() == Some("on"));
    assert_eq!(both(), (false, true));
    let (from, to) = (format!("127.0.0.1:{}", one.port()), format!("127.0.0.1:{}", two.port()));
    lab.walctl(&["switchover", "--from", &from, "--to", &to]).success();
    assert_eq!(both(), (true, false), "after the switchover");
    wait_caught_up(&two, &one);
    lab.walctl(&["promote", "-D", one.dir().to_str().unwrap()]).success();
    assert_eq!(both(), (false, true), "after the promotion, which fences the other one");
    let port = two.port().to_string();
    lab.walctl(&["unfence", "-h", "127.0.0.1", "-p", &port]).success();
    assert_eq!(both(), (false, false), "after it was taken back");
}
