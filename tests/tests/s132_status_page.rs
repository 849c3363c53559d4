//! The page that a browser gets: whole, live, without anything from elsewhere, at any width.

use walship_tests::{Browser, Lab, Port, wait_caught_up, wait_until};

const OVERFLOW: &str = "document.documentElement.scrollWidth - document.documentElement.clientWidth";

#[test]
fn the_page_shows_a_live_cluster() {
    let lab = Lab::new();
    let (here, there) = (Port::reserve(), Port::reserve());
    let mut leader = lab.leader_with(&["--metrics-listen", &format!("127.0.0.1:{}", here.number())]);
    let listen = format!("127.0.0.1:{}", there.number());
    let mut follower = lab.follower_with("east", leader.port(), &["--metrics-listen", &listen]);
    let third = lab.follower_with("cascaded", follower.port(), &[]);
    let west = lab.follower_with("west", leader.port(), &[]);
    leader.sql("CREATE TABLE t(v); SELECT pg_create_physical_replication_slot('north', true)");
    wait_caught_up(&leader, &follower);
    wait_caught_up(&leader, &west);
    // one that is behind, and a slot that nobody uses
    west.sql("SELECT pg_wal_replay_pause()");
    leader.sql("INSERT INTO t VALUES (randomblob(17000000))");
    let url = format!("http://127.0.0.1:{}/", here.number());
    let mut browser = Browser::open(&lab, &url, 1280, 900);
    wait_until("the page has drawn plots from several samples", || {
        leader.sql("INSERT INTO t VALUES (randomblob(20000))");
        browser.evaluate("document.querySelectorAll('#log-rate path, #lag-bytes path').length") == 4
            && browser.evaluate("document.querySelectorAll('.link.slow').length") == 1
            && browser.evaluate("samples.length >= 4") == true
    });
    assert_eq!(browser.text("document.getElementById('health').textContent"), "healthy");
    assert_eq!(browser.text("document.getElementById('role').textContent"), "leader");
    let topology = browser.text("document.getElementById('topology').innerText");
    assert!(
        topology.contains("walsender") && topology.contains("east") && topology.contains("streaming"),
        "{topology}"
    );
    let slots = browser.text("document.getElementById('slots').innerText");
    assert!(slots.contains("east") && slots.contains("north") && slots.contains("reserved"), "{slots}");
    assert!(slots.contains("in use") && slots.contains("not in use"), "{slots}");
    assert!(browser.text("document.getElementById('databases').innerText").contains("postgres"));
    let events = browser.text("document.getElementById('events').innerText");
    assert!(events.contains("ready") && events.contains("follower_connected"), "{events}");
    assert_ne!(browser.text("document.querySelector('#log-rate .legend b').textContent"), "–");
    assert_eq!(browser.evaluate(OVERFLOW), 0);
    browser.screenshot("wide.png");
    browser.prefer_colors("dark");
    browser.screenshot("wide-dark.png");
    browser.prefer_colors("light");

    // nothing is cut off on a telephone
    browser.resize(390, 844);
    wait_until("the plots fit", || browser.evaluate(OVERFLOW) == 0);
    let cut = "[...document.querySelectorAll('section, td, li, .node')].filter(e => e.getBoundingClientRect().right > innerWidth + 1).length";
    assert_eq!(browser.evaluate(cut), 0);
    browser.screenshot("narrow.png");
    browser.resize(1280, 900);

    // a name is text, whatever is in it
    follower.stop();
    drop(west);
    wait_until("a follower that is gone is seen", || {
        browser.text("document.getElementById('topology').innerText").contains("no follower is connected")
            && !browser.text("document.getElementById('slots').innerText").contains("\tin use")
    });
    let _odd = lab.follower_with("<img src=x onerror=fail()>", leader.port(), &["--no-slot"]);
    wait_until("an odd name is shown as it is", || {
        browser.text("document.getElementById('topology').innerText").contains("<img src=x onerror=fail()>")
    });
    assert_eq!(browser.evaluate("document.querySelectorAll('img').length"), 0);
    let own = |request: &String| request.starts_with(&url) || request.starts_with("data:");
    assert!(browser.requests().iter().all(own), "{:?}", browser.requests());
    assert_eq!(browser.complaints(), [] as [String; 0]);

    leader.stop();
    wait_until("the page says that nobody answers", || {
        browser.text("document.getElementById('health').textContent") == "no answer"
    });
    leader.start();
    wait_until("and goes on when the node is back", || {
        browser.text("document.getElementById('health').textContent") == "healthy"
    });
    drop(browser);

    follower.start();
    let url = format!("http://127.0.0.1:{}/", there.number());
    let mut browser = Browser::open(&lab, &url, 1280, 900);
    wait_until("a follower in the middle shows both sides", || {
        let topology = browser.text("document.getElementById('topology').innerText");
        topology.contains(&format!("127.0.0.1:{}", leader.port())) && topology.contains(third.name())
    });
    browser.screenshot("follower.png");
    leader.stop();
    wait_until("the page says that the leader is silent", || {
        browser.text("document.getElementById('topology').innerText").contains("silent for")
    });
    assert_eq!(browser.complaints(), [] as [String; 0]);
}
