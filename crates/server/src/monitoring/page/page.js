
const INTERVAL_MS = 2000, KEPT_MS = 3600000, EVENTS_SHOWN = 100;
const SLOW_BYTES = 16 << 20, SLOW_SECONDS = 5, SPAN_MIN_MS = 60000;
const byId = id => document.getElementById(id);

// what each node has takes the first color, followers and slots the next ones
["written", "received", "commits", "sync", "this node"].forEach(name => colored.set(name, 0));

const plots = {
  lagBytes: new Plot("lag-bytes", "Lag", "log not replayed", bytes, 1024),
  lagSeconds: new Plot("lag-seconds", "Lag in time", "from flush here to replay there", seconds),
  logRate: new Plot("log-rate", "Log rate", "bytes per second", value => `${bytes(value)}/s`, 1024),
  commitRate: new Plot("commit-rate", "Commits", "logged per second", perSecond),
  flushTime: new Plot("flush-time", "Log flush", "mean time of a sync", seconds),
  slotBytes: new Plot("slot-bytes", "Slots hold back", "log kept for each", bytes, 1024),
};
let samples = [], events = [], started = null, status = null;

async function ask() {
  const sample = samples.length ? samples[samples.length - 1].number : 0;
  const event = events.length ? events[events.length - 1].number : 0;
  const response = await fetch(`status.json?sample=${sample}&event=${event}`, { cache: "no-store" });
  if (!response.ok) throw new Error((await response.text()).trim());
  const answer = await response.json();
  if (started !== answer.started_unix_ms) {
    // another process: its numbers begin anew
    const first = started === null;
    started = answer.started_unix_ms;
    samples = [];
    events = [];
    if (!first) return ask();
  }
  samples = samples.concat(answer.samples).filter(({ unix_ms }) => unix_ms > answer.unix_ms - KEPT_MS);
  events = events.concat(answer.events).slice(-EVENTS_SHOWN);
  status = answer;
  return null;
}

async function tick() {
  let failure = null;
  try {
    await ask();
  } catch (error) {
    failure = `no answer from the node: ${error.message}`;
  }
  show(failure);
  setTimeout(tick, INTERVAL_MS);
}

function show(failure) {
  const problems = failure ? [failure] : status.problems;
  byId("problems").hidden = problems.length === 0;
  byId("problems").replaceChildren(...problems.map(problem => make("li", {}, problem)));
  const health = byId("health");
  health.textContent = failure ? "no answer" : problems.length ? "trouble" : "healthy";
  health.className = `badge ${problems.length ? "bad" : "good"}`;
  if (!status) return;
  document.title = `${problems.length ? "⚠ " : ""}${status.name} · ${status.role} · walship`;
  byId("name").textContent = status.name;
  byId("role").textContent = status.role;
  byId("role").className = `badge ${status.role}`;
  const up = (status.unix_ms - status.started_unix_ms) / 1000;
  byId("facts").textContent = [
    `walship ${status.version}`, `port ${status.port}`, `timeline ${status.timeline}`,
    `at ${status.replay ?? status.flush}`, `up ${seconds(up)}`,
    `${status.connections} of ${status.connections_max} connections`,
    status.free_bytes === null ? null : `${bytes(status.free_bytes)} of ${bytes(status.size_bytes)} disk free`,
    status.wal_directory_bytes === null ? null : `${bytes(status.wal_directory_bytes)} of log kept`,
  ].filter(Boolean).join(" · ");
  drawTopology();
  drawPlots();
  drawSlots();
  drawDatabases();
  drawEvents();
}

function node(name, lines, self = false) {
  return make("div", { class: self ? "node self" : "node" }, make("b", {}, name),
    lines.filter(Boolean).map(line => make("span", {}, line)));
}

/** `state` is good, slow or bad. */
function link(above, below, state) {
  return make("div", { class: `link ${state}` }, make("span", {}, above), make("i"), make("span", {}, below));
}

/** Whether a follower keeps up. */
function pace(lagBytes, lagSeconds) {
  return lagBytes > SLOW_BYTES || lagSeconds > SLOW_SECONDS ? "slow" : "good";
}

function drawTopology() {
  const parts = [];
  const { leader, followers } = status;
  if (leader) {
    const where = leader.host ? `${leader.host}:${leader.port}` : "not connected";
    const good = leader.status === "streaming";
    const state = good ? pace(status.lag_bytes, status.lag_seconds) : "bad";
    const below = good ? `${bytes(status.lag_bytes)} behind`
      : leader.silent_seconds === null ? "never heard" : `silent for ${seconds(leader.silent_seconds)}`;
    parts.push(node("sender", [where, leader.slot ? `slot ${leader.slot}` : null]), link(leader.status, below, state));
  }
  const paused = status.replay_paused ? "replay is paused" : null;
  parts.push(node(status.name, [`${status.role}, port ${status.port}`, status.replay ?? status.flush, paused], true));
  const branches = followers.map(follower => {
    const good = ["streaming", "catchup", "backup"].includes(follower.state);
    const text = follower.sync_state === "async" ? follower.state : `${follower.state}, ${follower.sync_state}`;
    const below = follower.lag_bytes === null ? "" : `${bytes(follower.lag_bytes)} behind`;
    return make("div", { class: "branch" }, link(text, below, good ? pace(follower.lag_bytes, follower.lag_seconds) : "bad"), node(follower.name, [follower.address, follower.replay]));
  });
  parts.push(branches.length ? make("div", { class: "branches" }, branches) : make("div", { class: "none" }, "no follower is connected"));
  byId("topology").replaceChildren(...parts);
}

/** The change of a counter per second of another one, or of time; nothing across gaps and restarts. */
function rates(value, over = sample => sample.unix_ms / 1000, idle = null) {
  return samples.slice(1).map((sample, at) => {
    const before = samples[at];
    const [change, base] = [value(sample) - value(before), over(sample) - over(before)];
    const gap = sample.unix_ms - before.unix_ms > 10000;
    return [sample.unix_ms, gap || change < 0 || base < 0 ? null : base === 0 ? idle : change / base];
  });
}

function byName(of, pick) {
  const names = [...new Set(samples.flatMap(sample => Object.keys(of(sample))))].sort();
  return names.map(name => ({
    name,
    points: samples.map(sample => [sample.unix_ms, name in of(sample) ? pick(of(sample)[name]) : null]),
  }));
}

function drawPlots() {
  const span = 1000 * Number(document.querySelector("#ranges :checked").value);
  const to = status.unix_ms, first = samples.length ? samples[0].unix_ms : to;
  // a node that has just started has little to show, and shows it over the whole width
  const from = Math.max(to - span, Math.min(first, to - SPAN_MIN_MS));
  const draw = (plot, series) => plot.draw(series, from, to);
  const followers = sample => sample.followers;
  // these are a leader's
  for (const plot of [plots.commitRate, plots.flushTime]) plot.section.hidden = status.role === "follower";
  const own = pick => status.role === "follower"
    ? [{ name: "this node", points: samples.map(sample => [sample.unix_ms, pick(sample)]) }] : [];
  draw(plots.lagBytes, [...own(sample => sample.lag_bytes), ...byName(followers, ([size]) => size)]);
  draw(plots.lagSeconds, [...own(sample => sample.lag_seconds), ...byName(followers, ([, time]) => time)]);
  draw(plots.logRate, [{ name: status.role === "follower" ? "received" : "written", points: rates(sample => sample.end) }]);
  draw(plots.commitRate, [{ name: "commits", points: rates(sample => sample.commits) }]);
  draw(plots.flushTime, [{ name: "sync", points: rates(sample => sample.flush_seconds, sample => sample.flushes) }]);
  draw(plots.slotBytes, byName(sample => sample.slots, size => size));
}

/** Rows of cells; a cell is its text or elements, and its class. */
function drawTable(id, heads, rows, none) {
  const cell = ([content, kind], at) => make("td", { class: kind, "data-label": heads[at] }, make("span", {}, content));
  byId(id).replaceChildren(rows.length
    ? make("table", {}, make("thead", {}, make("tr", {}, heads.map(head => make("th", {}, head)))),
      make("tbody", {}, rows.map(row => make("tr", {}, row.map(cell)))))
    : make("p", { class: "none" }, none));
}

function drawSlots() {
  const rows = status.slots.map(slot => {
    const room = slot.safe_bytes === null ? null : slot.retained_bytes + Math.max(0, slot.safe_bytes);
    const share = room ? Math.min(1, slot.retained_bytes / room) : null;
    const bar = share === null ? null : make("span", { class: share > 0.8 ? "bar full" : "bar" }, make("i", { style: `width:${(share * 100).toFixed(1)}%` }));
    const held = slot.retained_bytes === null ? "nothing" : bytes(slot.retained_bytes);
    const bad = slot.wal_status === "lost" || slot.wal_status === "unreserved";
    return [[slot.name, null], [slot.active ? "in use" : "not in use", slot.active ? null : "bad"],
      [slot.wal_status ?? "–", bad ? "bad" : null], [[bar, held], null],
      [slot.safe_bytes === null ? "no limit" : bytes(Math.max(0, slot.safe_bytes)), null]];
  });
  drawTable("slots", ["slot", "state", "wal_status", "holds back", "until it may be lost"], rows, "there are no slots");
}

function drawDatabases() {
  const rows = status.databases.map(database => [
    [database.name, null], [bytes(database.bytes), null], [String(database.connections), null],
    [String(database.waiting_writers), null],
    [database.verified_seconds === null ? "not yet" : `${seconds(Math.round(database.verified_seconds))} ago`, null],
    [database.stopped_because ?? (database.checksum_failures ? `${database.checksum_failures} checksum failures` : "good"),
      database.stopped_because || database.checksum_failures ? "bad" : null],
  ]);
  drawTable("databases", ["database", "size", "connections", "waiting writers", "verified", "state"], rows, "there are no databases");
}

function drawEvents() {
  byId("events").replaceChildren(...[...events].reverse().map(event => make("li", { class: event.severity },
    make("time", { title: new Date(event.unix_ms).toISOString() }, clock(event.unix_ms, null)),
    make("b", {}, event.event), make("span", {}, event.text))));
}

byId("ranges").addEventListener("change", () => status && drawPlots());
addEventListener("resize", () => status && drawPlots());
tick();
