//! Load balancers learn from HTTP whether to send clients to a node.

use std::process::Command;

use walship_tests::{
    Authority, Lab, Port, Role, http_exchange, http_get, output_of, try_http_get, wait_caught_up, wait_until,
};

#[test]
fn roles_and_lag_decide() {
    let lab = Lab::new();
    let (here, there) = (Port::reserve(), Port::reserve());
    let mut leader = lab.leader_with(&["--metrics-listen", &format!("127.0.0.1:{}", here.number())]);
    let listen = format!("127.0.0.1:{}", there.number());
    let follower = lab.follower_with("follower", leader.port(), &["--metrics-listen", &listen]);
    leader.sql("CREATE TABLE t(v)");
    wait_caught_up(&leader, &follower);
    let status = |port: &Port, target: &str| http_get(port.number(), target).status;
    for (target, leads, follows) in [
        ("/healthz", 200, 200),
        ("/readyz", 200, 200),
        ("/readyz/leader", 200, 503),
        ("/readyz?role=primary", 200, 503),
        ("/readyz/follower", 503, 200),
        ("/readyz?role=standby", 503, 200),
        ("/readyz/boss", 400, 400),
        ("/readyz?lag=5", 400, 400),
        ("/readyz?lag_bytes=much", 400, 400),
        ("/nothing", 404, 404),
    ] {
        assert_eq!((status(&here, target), status(&there, target)), (leads, follows), "{target}");
    }
    let told = http_get(there.number(), "/readyz/leader").json();
    assert_eq!(told["reasons"], serde_json::json!(["this node is a follower, not a leader"]));
    wait_until("the follower is level", || {
        status(&there, "/readyz/follower?lag_bytes=0&lag_seconds=0") == 200
    });

    follower.sql("SELECT pg_wal_replay_pause()");
    leader.sql("INSERT INTO t VALUES (randomblob(100000))");
    wait_until("a follower that is behind is not ready", || {
        status(&there, "/readyz/follower?lag_bytes=50kB") == 503
            && status(&there, "/readyz/follower?lag_seconds=0") == 503
    });
    assert_eq!(status(&there, "/readyz/follower?lag_bytes=1GB&lag_seconds=1h"), 200);
    assert_eq!(status(&there, "/readyz/follower"), 200);
    follower.sql("SELECT pg_wal_replay_resume()");
    wait_until("it is ready when it has caught up", || {
        status(&there, "/readyz/follower?lag_bytes=50kB") == 200
    });

    leader.kill();
    assert!(try_http_get(here.number(), "/healthz").is_none());
    wait_until("without its leader a follower knows no lag", || {
        status(&there, "/readyz?lag_bytes=1GB") == 503 && status(&there, "/readyz?lag_seconds=0") == 503
    });
    let told = http_get(there.number(), "/readyz?lag_bytes=1GB").json();
    let reason = told["reasons"][0].as_str().unwrap();
    assert!(reason.starts_with("lag_bytes is not known: there is no connection to the leader"), "{reason}");
    // it still answers reads
    assert_eq!(status(&there, "/readyz/follower"), 200);
    lab.walctl(&["promote", "-D", &follower.dir().to_string_lossy()]).success();
    wait_until("the promoted node is the leader", || status(&there, "/readyz/leader?lag_bytes=0") == 200);

    leader.start();
    let old = leader.port().to_string();
    let by = format!("127.0.0.1:{}", follower.port());
    lab.walctl(&["fence", "-h", "127.0.0.1", "-p", &old, "--by", &by]).success();
    let fenced = http_get(here.number(), "/readyz/leader");
    assert_eq!((fenced.status, status(&here, "/readyz"), status(&here, "/healthz")), (503, 503, 200));
    assert_eq!(fenced.json()["role"], "fenced");
    let reasons: Vec<String> = serde_json::from_value(fenced.json()["reasons"].clone()).unwrap();
    let [role, fence] = reasons.as_slice() else { panic!("{reasons:?}") };
    assert_eq!(role, "this node is fenced, not a leader");
    assert!(fence.starts_with(&format!("the node is fenced: \"{by}\" leads timeline 2 since 0/")), "{fence}");
}

#[test]
fn garbage_and_other_methods_disturb_nobody() {
    let lab = Lab::new();
    let port = Port::reserve();
    let leader = lab.leader_with(&["--metrics-listen", &format!("127.0.0.1:{}", port.number())]);
    let port = port.number();
    // as HAProxy asks unless told otherwise
    let options = http_exchange(port, b"OPTIONS /readyz HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!(options.status, 200, "{}", options.head);
    let head = http_exchange(port, b"HEAD /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    let posted = http_exchange(
        port,
        b"POST /readyz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    );
    let posted = posted.unwrap();
    assert!(
        posted.status == 405 && posted.head.to_lowercase().contains("allow: get, head, options"),
        "{}",
        posted.head
    );
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(100_000));
    for garbage in [&b"\0\0\0\x08\x04\xd2\x16\x2f"[..], b"GET\r\n\r\n", &[0xff; 4000], long.as_bytes()] {
        // an answer that says that it is wrong, or the end of the connection
        if let Some(answer) = http_exchange(port, garbage) {
            assert!((400..500).contains(&answer.status), "{}", answer.head);
        }
    }
    // connections that say nothing take places, and only there
    let silent: Vec<_> = (0..100).map(|_| std::net::TcpStream::connect(("127.0.0.1", port))).collect();
    assert_eq!(leader.sql("SELECT 1"), "1");
    drop(silent);
    wait_until("places are free again", || try_http_get(port, "/healthz").is_some());
}

#[test]
fn beyond_loopback_it_is_https_or_said_aloud() {
    let lab = Lab::new();
    let own = Port::reserve();
    let sql = format!("127.0.0.1:{}", own.number());
    let address = "0.0.0.0:0";
    let refused =
        lab.run("walsender", &["-D", "refused", "--init", "--listen", &sql, "--metrics-listen", address]);
    assert_eq!(refused.status, Some(1));
    assert!(refused.stderr.contains("refusing to listen on 0.0.0.0:0 without TLS"), "{}", refused.stderr);
    let wrong = lab.run("walsender", &["-D", "refused", "--listen", &sql, "--metrics-listen", "9633"]);
    assert!(wrong.stderr.contains("invalid address for metrics_listen: \"9633\""), "{}", wrong.stderr);
    let busy = Port::reserve();
    let _taken = std::net::TcpListener::bind(("127.0.0.1", busy.number())).unwrap();
    let there = format!("127.0.0.1:{}", busy.number());
    let taken = lab.run("walsender", &["-D", "refused", "--listen", &sql, "--metrics-listen", &there]);
    assert!(taken.stderr.contains(&format!("could not bind to {there}")), "{}", taken.stderr);

    let port = Port::reserve();
    let authority = Authority::new(lab.path(), "authority");
    let files = authority.server("server", &["localhost"]);
    let listen = format!("0.0.0.0:{}", port.number());
    let mut leader = lab.node(Role::Leader, "leader", &["--metrics-listen", &listen]);
    for setting in files.settings() {
        leader.add_arguments(&["-c", &setting]);
    }
    leader.start();
    // in clear there is no answer
    assert!(try_http_get(port.number(), "/healthz").is_none());
    let script = "import ssl, sys, urllib.request as u\n\
                  print(u.urlopen(sys.argv[1], context=ssl.create_default_context(cafile=sys.argv[2])).read())";
    let url = format!("https://localhost:{}/readyz/leader", port.number());
    let asked = output_of(Command::new("python3").args(["-c", script, &url]).arg(authority.certificate()));
    assert!(asked.success().contains("\"ready\":true"));
}
