//! Stock libpq finds the right node, with each of its six modes, through every change of roles.

use walship_tests::{Lab, Node, wait_caught_up};

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
