use serde_json::Value;

use super::query::text;

/// A node or a connection in the tree of who follows whom.
#[derive(Debug, PartialEq)]
pub(super) struct Branch<'a> {
    /// What is drawn in front of it.
    pub(super) rail: String,
    /// What the node says of itself, where it was asked.
    pub(super) node: Option<&'a Value>,
    /// What the node above says of it, where there is one.
    pub(super) follower: Option<&'a Value>,
}

/// The nodes as a tree: under each node those that follow it. A follower that was asked itself is found by where its
/// receiver is connected to and by its slot or name; one that was not is only what its sender says.
pub(super) fn tree(nodes: &[Value]) -> Vec<Branch<'_>> {
    let mut branches = Vec::new();
    let mut placed = vec![false; nodes.len()];
    let roots: Vec<usize> = (0..nodes.len()).filter(|&at| sender_of(nodes, at).is_none()).collect();
    for at in roots {
        add(nodes, at, None, "", "", &mut placed, &mut branches);
    }
    // a ring of followers has no root
    for at in 0..nodes.len() {
        if !placed.get(at).copied().unwrap_or(true) {
            add(nodes, at, None, "", "", &mut placed, &mut branches);
        }
    }
    branches
}

fn add<'a>(
    nodes: &'a [Value],
    at: usize,
    follower: Option<&'a Value>,
    rail: &str,
    below: &str,
    placed: &mut [bool],
    branches: &mut Vec<Branch<'a>>,
) {
    let Some((node, done)) = nodes.get(at).zip(placed.get_mut(at)) else { return };
    if std::mem::replace(done, true) {
        return;
    }
    branches.push(Branch { rail: rail.to_owned(), node: Some(node), follower });
    let followers: Vec<&Value> =
        node.get("followers").and_then(Value::as_array).into_iter().flatten().collect();
    let children: Vec<usize> =
        (0..nodes.len()).filter(|&child| sender_of(nodes, child) == Some(at)).collect();
    let lost = |child: &usize| !followers.iter().any(|follower| is_the_same(nodes.get(*child), follower));
    // a follower that its leader does not see, too
    let unseen: Vec<usize> = children.iter().copied().filter(lost).collect();
    let count = followers.len() + unseen.len();
    let rows = followers.iter().map(|follower| Some(*follower)).chain(unseen.iter().map(|_| None));
    let mut unseen = unseen.iter();
    for (place, follower) in rows.enumerate() {
        let last = place + 1 == count;
        let rail = format!("{below}{}", if last { "└─ " } else { "├─ " });
        let under = format!("{below}{}", if last { "   " } else { "│  " });
        let asked = match follower {
            Some(follower) => children.iter().copied().find(|&child| is_the_same(nodes.get(child), follower)),
            None => unseen.next().copied(),
        };
        match asked {
            Some(child) => add(nodes, child, follower, &rail, &under, placed, branches),
            None => branches.push(Branch { rail, node: None, follower }),
        }
    }
}

/// The node to which the receiver of another is connected, if that was asked as well.
fn sender_of(nodes: &[Value], at: usize) -> Option<usize> {
    let address = sender_address(nodes.get(at)?)?;
    nodes.iter().position(|node| text(node, "server") == Some(&address)).filter(|&sender| sender != at)
}

/// `host:port` of the node that a follower receives from.
pub(super) fn sender_address(node: &Value) -> Option<String> {
    let receiver = node.get("receiver")?;
    Some(format!("{}:{}", text(receiver, "sender_host")?, text(receiver, "sender_port")?))
}

/// Whether a sender's row is of that node: a follower's slot has its name.
fn is_the_same(node: Option<&Value>, follower: &Value) -> bool {
    let slot = node.and_then(|node| text(node.get("receiver")?, "slot_name"));
    slot.is_some() && slot == text(follower, "name").map(slot_name).as_deref()
}

fn slot_name(name: &str) -> String {
    walship_node::slot_name_for(name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn followers_hang_below_whom_they_follow() {
        let follows = |server: &str, port: &str, slot: &str, followers: Value| {
            json!({"server": server, "role": "follower", "followers": followers,
                "receiver": {"sender_host": "h", "sender_port": port, "slot_name": slot}})
        };
        let nodes = [
            follows("h:3", "2", "third", json!([])),
            follows("h:2", "1", "second", json!([{"name": "third"}])),
            json!({"server": "h:1", "role": "leader", "receiver": null,
                "followers": [{"name": "archive"}, {"name": "second"}]}),
            json!({"server": "h:9", "role": null, "error": "no answer"}),
        ];
        let drawn: Vec<String> = tree(&nodes)
            .iter()
            .map(|branch| {
                let name = branch.node.and_then(|node| text(node, "server"));
                let name = name.or_else(|| branch.follower.and_then(|follower| text(follower, "name")));
                format!("{}{}", branch.rail, name.unwrap())
            })
            .collect();
        assert_eq!(drawn, ["h:1", "├─ archive", "└─ h:2", "   └─ h:3", "h:9"]);
    }
}
