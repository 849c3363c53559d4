"use strict";

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 190, LEFT = 62, RIGHT = 10, TOP = 8, BOTTOM = 22;

/** An element with attributes and content: text, elements, or lists of them. Content is never HTML. */
function make(name, attributes = {}, ...content) {
  const svg = ["svg", "path", "line", "text", "g"].includes(name);
  const element = svg ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...content.flat().filter(part => part !== null && part !== undefined));
  return element;
}

const bytes = value => scaled(value, 1024, ["B", "kB", "MB", "GB", "TB"]);
const seconds = value => {
  if (value === 0) return "0 s";
  if (value < 0.001) return `${digits(value * 1e6)} µs`;
  if (value < 1) return `${digits(value * 1e3)} ms`;
  if (value < 120) return `${digits(value)} s`;
  if (value < 7200) return `${digits(value / 60)} min`;
  return value < 172800 ? `${digits(value / 3600)} h` : `${digits(value / 86400)} d`;
};
const perSecond = value => `${scaled(value, 1000, ["", "k", "M"]).trim()}/s`;

function scaled(value, base, units) {
  let at = 0;
  while (Math.abs(value) >= base && at < units.length - 1) {
    value /= base;
    at += 1;
  }
  return `${digits(value)} ${units[at]}`;
}

function digits(value) {
  const rounded = value.toFixed(Math.abs(value) < 10 ? 2 : Math.abs(value) < 100 ? 1 : 0);
  return rounded.includes(".") ? rounded.replace(/\.?0+$/, "") : rounded;
}

/** About three steps of a round size, from 0 to above `max`. */
function ticks(max, base) {
  const raw = max / 3 || 1;
  let scale = base ** Math.floor(Math.log(raw) / Math.log(base));
  const steps = base === 1024 ? [1, 2, 4, 8, 16, 32, 64, 128, 256, 512] : [1, 2, 5, 10];
  const step = scale * (steps.find(step => step * scale >= raw) ?? base);
  return Array.from({ length: Math.floor(max / step) + 2 }, (_, at) => at * step);
}

/** A plot over time in a section, redrawn with each `draw`. */
class Plot {
  constructor(id, title, about, show, base = 10) {
    this.section = document.getElementById(id);
    this.show = show;
    this.base = base;
    this.box = make("div", { class: "plot" });
    this.legend = make("div", { class: "legend" });
    this.section.append(make("h2", {}, title, make("small", {}, about)), this.box, this.legend);
    this.box.addEventListener("pointermove", event => this.point(event.clientX - this.box.getBoundingClientRect().left));
    this.box.addEventListener("pointerleave", () => this.point(null));
  }

  /** `series`: names with points [ms, value or null]; `from` and `to` in ms. */
  draw(series, from, to) {
    Object.assign(this, { series, from, to });
    const width = this.width = Math.max(240, this.box.clientWidth);
    const x = this.x = t => LEFT + (t - from) / (to - from) * (width - LEFT - RIGHT);
    const inside = series.map(({ points }) => points.filter(([t]) => t >= from));
    const max = Math.max(0, ...inside.flat().map(([, value]) => value ?? 0));
    const marks = ticks(max, this.base);
    const top = marks[marks.length - 1];
    const y = value => HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM);
    const svg = make("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": this.section.querySelector("h2").textContent });
    for (const mark of marks) {
      svg.append(make("line", { class: mark ? "grid" : "axis", x1: LEFT, x2: width - RIGHT, y1: y(mark), y2: y(mark) }));
      svg.append(make("text", { x: LEFT - 8, y: y(mark) + 4, "text-anchor": "end" }, this.show(mark)));
    }
    const times = width < 420 ? 2 : 4;
    for (let at = 0; at <= times; at += 1) {
      const t = from + (to - from) * at / times;
      const anchor = at === 0 ? "start" : at === times ? "end" : "middle";
      svg.append(make("text", { x: x(t), y: HEIGHT - 4, "text-anchor": anchor }, clock(t, to - from)));
    }
    inside.forEach((points, place) => {
      for (const run of runs(points)) {
        const line = run.map(([t, value], at) => `${at ? "L" : "M"}${x(t).toFixed(1)} ${y(value).toFixed(1)}`).join("");
        const color = colorOf(series[place].name);
        if (series.length === 1) {
          const area = `${line}L${x(run[run.length - 1][0]).toFixed(1)} ${y(0)}L${x(run[0][0]).toFixed(1)} ${y(0)}Z`;
          svg.append(make("path", { class: "area", d: area, style: `fill:${color}` }));
        }
        svg.append(make("path", { d: line, style: `stroke:${color}` }));
      }
    });
    if (!inside.some(points => points.length)) {
      svg.append(make("text", { class: "empty", x: (LEFT + width) / 2, y: HEIGHT / 2 - 8, "text-anchor": "middle" }, "nothing to show"));
    }
    this.cursor = make("line", { class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
    svg.append(this.cursor);
    this.box.replaceChildren(svg);
    this.point(this.pointed ?? null);
  }

  /** Shows the values below the pointer, or the last ones. */
  point(at) {
    this.pointed = at;
    if (!this.series) return;
    const t = at === null ? null : this.from + (at - LEFT) / (this.width - LEFT - RIGHT) * (this.to - this.from);
    if (t === null || t < this.from || t > this.to) {
      this.cursor.setAttribute("visibility", "hidden");
    } else {
      this.cursor.setAttribute("visibility", "visible");
      this.cursor.setAttribute("x1", at);
      this.cursor.setAttribute("x2", at);
    }
    this.legend.replaceChildren(...this.series.map(({ name, points }) => {
      const near = t === null || t > this.to ? points[points.length - 1] : points.findLast(([time]) => time <= t);
      const value = near && near[1] !== null ? this.show(near[1]) : "–";
      return make("span", { style: `--color:${colorOf(name)}` }, name, make("b", {}, value));
    }));
  }
}

const colored = new Map();

/** A follower has the same color in each plot, and keeps it. */
function colorOf(name) {
  if (!colored.has(name)) colored.set(name, 1 + Math.max(0, ...colored.values()));
  return `var(--s${colored.get(name) % 8})`;
}

/** Stretches without a gap: a line never goes where nothing was measured. */
function runs(points) {
  const all = [];
  let run = [];
  for (const point of points) {
    const last = run[run.length - 1];
    if (point[1] === null || (last && point[0] - last[0] > 10000)) {
      if (run.length) all.push(run);
      run = [];
    }
    if (point[1] !== null) run.push(point);
  }
  if (run.length) all.push(run);
  return all;
}

function clock(ms, span) {
  const parts = { hour: "2-digit", minute: "2-digit", hour12: false };
  if (span === null || span <= 300000) parts.second = "2-digit";
  return new Date(ms).toLocaleTimeString([], parts);
}
