// The timeline in the live graph: a row for each state visit, in `.sflab-timeline`, linked with the graph by the events
// that widget.js lists. The kernel sends the phases of each visit, the critical path and what is drawn short
// (lanes.sent); only the rows in view are in the page, so 25,000 events scroll like ten.

const LINE = 20, THICK = 11, CUT = 44, ASIDE = 82; // px: a row, a bar, a stretch drawn short, the column of durations
const FOLDED = 300; // visits right inside a Map or Parallel state from which on it is closed at first
const SLOTS = [
  ...[-6, -5, -4, -3, -2, -1].flatMap((e) => [1, 2, 5].map((m) => m * 10 ** e)), 1, 2, 5, 10, 15, 30, 60, 120, 300, 600,
  900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 432000, 864000, 2592000, 8640000, 31536000,
]; // seconds between ticks
let timelines = 0;

/** Draw the timeline of a store into the `.sflab-timeline` of a widget's root; returns what takes it away. */
function timeline(root, store, statuses) {
  const view = new Timeline(root, store, statuses);
  return () => view.dispose();
}

class Timeline {
  constructor(root, store, statuses) {
    Object.assign(this, { root, store, statuses, closed: new Set(), known: 0, event: Infinity, chosen: null, hovered: null, active: 0, drawn: [0, 0] });
    this.id = `sflab-timeline-${++timelines}`;
    this.place = root.querySelector(".sflab-timeline");
    this.toggle = h("button", { type: "button", class: "unfold", "aria-expanded": "true", onclick: () => this.open(this.body.hidden) }, icon(ICONS.right, 14), "Timeline");
    this.said = h("span", { class: "said" });
    this.axis = s("svg", { class: "axis", height: 30, "aria-hidden": "true" });
    this.svg = s("svg", { class: "lanes" });
    this.space = h("div", { class: "space" }, this.svg);
    this.scroll = h("div", { class: "rows", tabindex: "0", role: "tree", "aria-label": "Timeline: arrow keys go from visit to visit, Enter shows one" }, this.space);
    this.body = h("div", { class: "chart" }, this.axis, this.scroll);
    this.place.replaceChildren(h("div", { class: "head" }, this.toggle, this.said), this.body);
    this.listen();
    this.read();
  }

  /** Open or close the whole timeline. */
  open(shown) {
    this.body.hidden = !shown;
    this.toggle.setAttribute("aria-expanded", String(shown));
    if (shown) this.draw();
  }

  dispose() {
    this.store.listeners.delete(this.changed);
    for (const [name, f] of this.links) this.root.removeEventListener(name, f);
    this.size.disconnect();
  }

  listen() {
    this.changed = () => this.read();
    this.store.listeners.add(this.changed);
    const others = (f) => ({ detail }) => { if (detail && detail.source !== "timeline") f(detail); };
    this.links = [
      ["sflab:seek", others((d) => this.go(d))],
      ["sflab:select", others((d) => this.choose(d))],
      ["sflab:hover", others((d) => this.light(d.state ?? null))],
    ];
    for (const [name, f] of this.links) this.root.addEventListener(name, f);
    this.scroll.addEventListener("scroll", () => this.paint());
    this.scroll.addEventListener("keydown", (e) => this.key(e));
    this.svg.addEventListener("click", (e) => this.click(e));
    this.svg.addEventListener("pointermove", (e) => this.point(e.target.closest?.(".visit")?.sflabVisit ?? null));
    this.svg.addEventListener("pointerleave", () => this.point(null));
    this.axis.addEventListener("pointerdown", (e) => {
      this.axis.setPointerCapture(e.pointerId);
      this.scrub(e);
    });
    this.axis.addEventListener("pointermove", (e) => { if (e.buttons) this.scrub(e); });
    this.size = new ResizeObserver(() => this.draw());
    this.size.observe(this.place);
  }

  tell(name, detail) {
    this.root.dispatchEvent(new CustomEvent(`sflab:${name}`, { detail: { ...detail, source: "timeline" } }));
  }

  // -- what there is

  /** Take what the store has by now. */
  read() {
    const run = this.run = this.store.run;
    this.data = run.timeline ?? { visits: [], critical: [], idle: [], kinds: {} };
    this.visits = run.visits;
    this.critical = new Set(this.data.critical);
    this.end = run.steps.length ? run.steps.at(-1)[1] : 0;
    this.inside = new Map(); // visit → index → visits
    this.counts = new Map(); // visit → how many are inside, at any depth
    this.visits.forEach((v, i) => {
      const [outer, nth] = v.outer.at(-1) ?? [-1, 0];
      if (!this.inside.has(outer)) this.inside.set(outer, new Map());
      const threads = this.inside.get(outer);
      if (!threads.has(nth)) threads.set(nth, []);
      threads.get(nth).push(i);
      for (const [o] of v.outer) this.counts.set(o, (this.counts.get(o) ?? 0) + 1);
    });
    for (const [i, threads] of this.inside) {
      const n = [...threads.values()].reduce((a, visits) => a + visits.length, 0);
      if (i >= this.known && i >= 0 && n > FOLDED) this.closed.add(i);
    }
    this.known = this.visits.length;
    this.order();
    this.draw();
  }

  /** The rows that are open, in order. */
  order() {
    this.rows = [];
    const todo = [[-1, 0]];
    while (todo.length) {
      const [at, depth] = todo.pop();
      if (at >= 0) this.rows.push([at, depth]);
      if (this.closed.has(at) || !this.inside.has(at)) continue;
      const threads = [...this.inside.get(at)].sort((a, b) => a[0] - b[0]).flatMap(([, visits]) => visits);
      for (const i of threads.reverse()) todo.push([i, depth + (at >= 0)]);
    }
    this.active = Math.min(this.active, Math.max(0, this.rows.length - 1));
    const path = count(this.critical.size, "visit");
    this.said.textContent = this.visits.length ? `${count(this.visits.length, "visit")}, ${path} on the critical path (●)` : "nothing has been entered";
  }

  fold(visit) {
    if (!this.counts.has(visit)) return;
    if (!this.closed.delete(visit)) this.closed.add(visit);
    this.order();
    this.draw();
  }

  // -- places

  measure() {
    this.wide = this.place.clientWidth;
    this.left = Math.min(230, Math.max(110, this.wide * 0.26));
    this.right = this.wide - ASIDE;
    const { idle } = this.data;
    const cut = Math.min(CUT, (this.right - this.left) / (2 * idle.length + 1));
    const rest = this.end - idle.reduce((a, [from, to]) => a + to - from, 0);
    this.scale = rest > 0 ? (this.right - this.left - cut * idle.length) / rest : 0;
    this.points = [[0, this.left]];
    for (const [from, to] of idle) {
      const [t, x] = this.points.at(-1);
      const at = x + (from - t) * this.scale;
      this.points.push([from, at], [to, at + cut]);
    }
    this.points.push([this.end, rest > 0 ? this.right : this.left]);
  }

  /** The place of a moment, or (with *back*) the moment at a place. */
  x(value, back = 0) {
    const n = this.points.findIndex((p, i) => i && value <= p[back]);
    if (n < 0) return value < this.points[0][back] ? this.points[0][1 - back] : this.points.at(-1)[1 - back];
    const a = this.points[n - 1], b = this.points[n];
    const share = b[back] > a[back] ? Math.max(0, value - a[back]) / (b[back] - a[back]) : 0;
    return a[1 - back] + share * (b[1 - back] - a[1 - back]);
  }

  /** As much of a text as there is room for. */
  fit(text, room, weight = 400) {
    this.ruler ??= document.createElement("canvas").getContext("2d");
    this.ruler.font = `${weight} 12px ${getComputedStyle(this.place).fontFamily}`;
    const fits = (n) => this.ruler.measureText(text.slice(0, n)).width <= room - (n < text.length ? 10 : 0);
    if (fits(text.length)) return text;
    let low = 0, high = Math.min(text.length, 200);
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (fits(middle)) low = middle;
      else high = middle - 1;
    }
    return `${text.slice(0, low).trimEnd()}…`;
  }

  // -- drawing

  draw() {
    if (this.body.hidden || !this.place.clientWidth) return;
    this.measure();
    this.space.style.height = `${this.rows.length * LINE}px`;
    for (const svg of [this.axis, this.svg]) svg.setAttribute("width", this.wide);
    this.ticks();
    this.paint();
  }

  ticks() {
    const out = [];
    let free = -Infinity;
    const slot = SLOTS.find((x) => x * this.scale >= 78) ?? SLOTS.at(-1);
    const starts = [0, ...this.data.idle.map(([, to]) => to)], ends = [...this.data.idle.map(([from]) => from), this.end];
    this.lines = [];
    for (const [from, to] of this.data.idle) {
      const a = this.x(from), b = this.x(to), label = caption(duration(to - from), (a + b) / 2, 9, "middle");
      out.push(s("rect", { x: a, y: 0, width: b - a, height: 30, class: "cut" }), label);
    }
    starts.forEach((start, k) => {
      for (let n = 0; n * slot <= ends[k] - start + slot * 1e-9 && n < 400; n += 1) {
        const x = this.x(start + n * slot);
        this.lines.push(x);
        const text = k && n ? `+${duration(n * slot)}` : duration(start + n * slot);
        const half = text.length * 3.2 + 4;
        if (x - half > free && x + half < this.wide) {
          out.push(caption(text, x, 21, "middle"));
          free = x + half;
        }
        if (!this.scale) break;
      }
    });
    this.hand = s("path", { class: "hand", d: "" });
    this.axis.replaceChildren(...out, this.hand);
  }

  /** The rows in view, as things stand at the position. */
  paint() {
    if (this.run !== this.store.run) return this.read(); // the kernel has sent all anew, and others heard of it first
    if (this.body.hidden || !this.points) return;
    const { scrollTop, clientHeight } = this.scroll;
    const from = Math.max(0, Math.floor(scrollTop / LINE) - 2), to = Math.min(this.rows.length, Math.ceil((scrollTop + clientHeight) / LINE) + 2);
    const top = from * LINE, high = Math.max(0, (to - from) * LINE);
    this.svg.style.top = `${top}px`;
    this.svg.setAttribute("height", high);
    const back = this.data.idle.map(([a, b]) => s("rect", { x: this.x(a), y: 0, width: this.x(b) - this.x(a), height: high, class: "cut" }));
    back.push(...this.lines.map((x) => s("path", { d: `M${x} 0V${high}`, class: "tick" })));
    const rows = this.rows.slice(from, to).map(([visit, depth], n) => this.row(visit, depth, n * LINE, from + n));
    const now = this.x(this.time());
    const later = s("rect", { x: now, y: 0, width: Math.max(0, this.right - now + 1), height: high, class: "later" });
    this.svg.replaceChildren(...back, s("path", { d: `M${now} 0V${high}`, class: "hand" }), ...rows, later);
    this.hand?.setAttribute("d", `M${now} 30l-4 -6h8z`);
    if (this.rows.length) this.scroll.setAttribute("aria-activedescendant", `${this.id}-${this.active}`);
  }

  time() {
    const n = upTo(this.store.run.steps, this.event);
    return n ? this.store.run.steps[n - 1][1] : 0;
  }

  row(visit, depth, y, place) {
    const v = this.visits[visit], holds = this.counts.has(visit), on = this.critical.has(visit);
    const id = Math.min(this.event, Number.MAX_SAFE_INTEGER);
    const status = this.store.status(visit, id);
    const nth = v.outer.length ? `[${v.outer.at(-1)[1]}] ` : "";
    const x = 29 + 12 * Math.min(depth, 6);
    const phases = this.data.visits[visit] ?? [];
    const took = (v.exited ?? this.end) - v.entered;
    const tries = Math.max(0, ...phases.map((p) => p[3]));
    const words = [nth + v.state, this.statuses[status]?.word ?? status, `from ${duration(v.entered) || "0 ms"}`, `took ${duration(took) || "0 ms"}`,
      tries > 1 ? `${tries} attempts` : "", v.error ?? "", on ? "on the critical path" : "", holds ? `${this.counts.get(visit)} visits inside` : ""].filter(Boolean);
    const chosen = this.chosen === v.entry, active = place === this.active;
    const g = s("g", {
      class: `visit s-${status.toLowerCase()}${chosen ? " chosen" : ""}${active ? " active" : ""}${this.hovered && this.hovered === v.pointer ? " hovered" : ""}`,
      id: `${this.id}-${place}`, role: "treeitem", "aria-label": words.join(", "), "aria-selected": String(chosen), "aria-level": depth + 1,
    });
    if (holds) g.setAttribute("aria-expanded", String(!this.closed.has(visit)));
    g.sflabVisit = visit;
    const tip = s("title", {});
    const did = phases.slice(0, 12).map(([kind, from, to, , , error]) => `${this.data.kinds[kind] ?? kind} ${duration(to - from) || "0 ms"}${error ? `, ${error}` : ""}`);
    tip.textContent = [...words, ...did].join("\n");
    g.append(tip, s("rect", { class: "under", x: 1, y: y + 0.5, width: this.wide - 2, height: LINE - 1, rx: 4 }));
    if (on) g.append(caption("●", 5, y + 14, "start", "dot"));
    if (holds) g.append(s("path", { class: "fold", d: this.closed.has(visit) ? `M${x - 9} ${y + 6}l5 4l-5 4z` : `M${x - 11} ${y + 7}h8l-4 5z` }));
    g.append(caption(this.fit(nth + v.state, this.left - x - 8, on ? 600 : 400), x, y + 14, "start", on ? "name strong" : "name"));
    for (const p of phases) g.append(...this.phase(p, y, holds));
    const a = this.x(v.entered), b = this.x(v.exited ?? this.end);
    if (on && b - a > 1.5) g.append(s("path", { class: "path", d: `M${a} ${y + LINE - 1.5}H${b}` }));
    g.append(caption(duration(took) || "0 ms", this.wide - 8, y + 14, "end", "took"));
    return g;
  }

  /** One phase: its shape tells the kind, its colour the status of the visit. */
  phase([kind, from, to, , , error], y, holds) {
    const a = this.x(from), w = this.x(to) - a, middle = y + LINE / 2, out = [];
    if (to === from) out.push(s("path", { class: "mark", d: `M${a} ${middle - 5}l5 5l-5 5l-5 -5z` }));
    else if (kind === "backoff" || kind === "stopped") out.push(s("path", { class: "gap", d: `M${a} ${middle}h${w}`, "stroke-dasharray": kind === "backoff" ? "1.5 3" : "1 7" }));
    else if (holds) out.push(s("path", { class: "line", fill: "none", "stroke-width": 2, d: `M${a} ${middle + 4}v-7h${Math.max(w, 1)}v7` }));
    else if (kind === "work") out.push(s("rect", { class: "mark", x: a, y: middle - THICK / 2, width: Math.max(w, 1), height: THICK, rx: Math.min(2, w / 2) }));
    else {
      const high = kind === "job" ? THICK : THICK - 5;
      out.push(s("rect", {
        class: "body", x: a + 0.6, y: middle - high / 2, width: Math.max(w - 1.2, 0.4), height: high, rx: 1.5, "stroke-width": 1.2,
        "stroke-dasharray": { queued: "1.5 2", callback: "5 2.5" }[kind] ?? "none",
      }));
    }
    if (error) {
      const g = s("g", { class: "s-failed" });
      g.append(s("circle", { class: "mark", cx: a + w, cy: middle, r: 5 }), s("path", { class: "sign", "stroke-width": 1.6, d: `M${a + w - 2} ${middle - 2}l4 4m0 -4l-4 4` }));
      out.push(g);
    }
    return out;
  }

  // -- what others and people do

  go({ event, time }) {
    if (typeof event === "number") this.event = event;
    else if (typeof time === "number") this.event = this.at(time);
    else return;
    this.paint();
  }

  /** The id of the last event at a moment. */
  at(time) {
    let id = 0;
    for (const [i, t] of this.store.run.steps) {
      if (t > time + 1e-6) break;
      id = i;
    }
    return id;
  }

  choose({ state, visit }) {
    const i = visit ? this.visits.findIndex((v) => v.entry === visit) : state ? this.visits.findIndex((v) => v.pointer === state) : -1;
    this.chosen = i < 0 ? null : this.visits[i].entry;
    if (i >= 0) this.reveal(i);
    this.paint();
  }

  /** Open what encloses a visit and scroll to it, within the timeline only. */
  reveal(visit) {
    const shut = this.visits[visit].outer.map(([o]) => o).filter((o) => this.closed.delete(o));
    if (shut.length) {
      this.order();
      this.draw();
    }
    const place = this.rows.findIndex(([i]) => i === visit);
    if (place >= 0) this.bring(place);
  }

  bring(place) {
    this.active = place;
    const { scrollTop, clientHeight } = this.scroll, y = place * LINE;
    if (y < scrollTop) this.scroll.scrollTop = y;
    else if (y + LINE > scrollTop + clientHeight) this.scroll.scrollTop = y + LINE - clientHeight;
  }

  pick(place) {
    const [visit] = this.rows[place];
    const v = this.visits[visit];
    this.active = place;
    this.chosen = v.entry;
    if (v.entry > this.event) {
      this.event = v.entry;
      this.tell("seek", { event: v.entry });
    }
    this.tell("select", { state: v.pointer, visit: v.entry });
    this.paint();
  }

  click(e) {
    const g = e.target.closest?.(".visit");
    if (!g) return;
    const place = this.rows.findIndex(([i]) => i === g.sflabVisit);
    if (e.target.classList.contains("fold") || e.detail > 1) this.fold(g.sflabVisit);
    else this.pick(place);
  }

  point(visit) {
    const pointer = visit === null ? null : this.visits[visit].pointer;
    if (pointer === this.hovered) return;
    this.light(pointer);
    this.tell("hover", { state: pointer, visit: visit === null ? null : this.visits[visit].entry });
  }

  /** Mark the visits to a state, without drawing anew: the pointer may be on its way over what is there. */
  light(pointer) {
    this.hovered = pointer;
    for (const g of this.svg.querySelectorAll(".visit")) g.classList.toggle("hovered", pointer !== null && this.visits[g.sflabVisit].pointer === pointer);
  }

  scrub(e) {
    this.event = this.at(this.x(e.clientX - this.axis.getBoundingClientRect().left, 1));
    this.tell("seek", { event: this.event });
    this.paint();
  }

  key(e) {
    const row = this.rows[this.active];
    if (!row || e.ctrlKey || e.metaKey || e.altKey) return;
    const [visit] = row, holds = this.counts.has(visit), shut = this.closed.has(visit);
    if (e.key === "ArrowDown") this.bring(Math.min(this.rows.length - 1, this.active + 1));
    else if (e.key === "ArrowUp") this.bring(Math.max(0, this.active - 1));
    else if (e.key === "Enter") this.pick(this.active);
    else if (e.key === "ArrowRight" && holds && shut) this.fold(visit);
    else if (e.key === "ArrowLeft" && holds && !shut) this.fold(visit);
    else if (e.key === "ArrowLeft" && this.visits[visit].outer.length) this.bring(this.rows.findIndex(([i]) => i === this.visits[visit].outer.at(-1)[0]));
    else return;
    e.preventDefault();
    e.stopPropagation();
    this.paint();
  }
}

function caption(text, x, y, anchor, kind = "") {
  const e = s("text", { x, y, "text-anchor": anchor, class: kind });
  e.textContent = text;
  return e;
}

