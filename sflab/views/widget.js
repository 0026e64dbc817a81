// The live graph, in the browser; panel.js goes before. No dependency, no request.
//
//   Store     the run, as the kernel sends it: whole once, then in patches
//   Drawing   the graph: colours at a position, pan and zoom, focus
//   Player    the position in the history: slider, steps, play
//   Panel     (panel.js) what is known of the chosen state, or of the execution, at that position
//
// A position is a number of events that have happened: 0 … n.

// ── the run ────────────────────────────────────────────────────────────────────────────────────────────────────────

class Store {
  constructor(model) {
    this.model = model;
    this.listeners = new Set();
    this.texts = new Map(); // `${visit}/${field}` → a whole text that was asked for
    this.take(model.get("run"));
    model.on("msg:custom", (m) => this.receive(m));
    if (this.run.running) model.send({ type: "resync" }); // messages may have come before anybody listened
  }

  take(run) {
    this.run = run;
    this.byPointer = null;
  }

  receive(m) {
    if (m.type === "all") this.take(m.run);
    else if (m.type === "text") this.texts.set(`${m.visit}/${m.field}`, m.text);
    else if (m.type === "patch") {
      if (m.from !== this.run.steps.length) {
        if (m.from > this.run.steps.length) this.model.send({ type: "resync" });
        return;
      }
      this.patch(m);
    } else return;
    for (const f of this.listeners) f();
  }

  patch(m) {
    const run = this.run;
    run.steps.push(...m.steps);
    for (const [i, v] of Object.entries(m.visits)) run.visits[i] = v;
    for (const [p, [n, rest]] of Object.entries(m.marks)) {
      (run.marks[p] ??= []).splice(n, Infinity, ...rest);
    }
    run.moves.splice(m.moves[0], Infinity, ...m.moves[1]);
    Object.assign(run, { status: m.status, running: m.running, execution: m.execution, begun: m.begun });
    this.byPointer = null;
  }

  get length() { return this.run.steps.length; }

  /** The id of the last event that has happened at a position. */
  event(position) { return position > 0 ? this.run.steps[position - 1][0] : 0; }

  mark(pointer, id) {
    const marks = this.run.marks[pointer];
    const n = marks ? upTo(marks, id) : 0;
    return n ? marks[n - 1] : null;
  }

  /** The indexes of the visits to a state that have begun. */
  visits(pointer, id) {
    if (!this.byPointer) {
      this.byPointer = new Map();
      this.run.visits.forEach((v, i) => {
        if (!this.byPointer.has(v.pointer)) this.byPointer.set(v.pointer, []);
        this.byPointer.get(v.pointer).push(i);
      });
    }
    return (this.byPointer.get(pointer) ?? []).filter((i) => this.run.visits[i].changes[0][0] <= id);
  }

  status(visit, id) {
    const changes = this.run.visits[visit].changes;
    const n = upTo(changes, id);
    return n ? changes[n - 1][1] : "IDLE";
  }

  /** A text as {text, length, whole}: the one asked for, if it has come. */
  text(visit, field, value) {
    const asked = this.texts.get(`${visit}/${field}`);
    if (typeof asked === "string") return { text: asked, length: asked.length, whole: true };
    if (typeof value === "string") return { text: value, length: value.length, whole: true };
    return value ? { ...value, whole: false } : null;
  }

  /** What the state at a JSON pointer is defined as, without what is inside it. */
  definition(pointer) {
    let at = this.run.definition;
    for (const part of pointer.split("/").slice(1)) at = at?.[part.replaceAll("~1", "/").replaceAll("~0", "~")];
    if (!at || typeof at !== "object") return at;
    const brief = { ...at };
    if (Array.isArray(brief.Branches)) brief.Branches = brief.Branches.map((b) => ({ StartAt: b?.StartAt, States: "…" }));
    for (const k of ["ItemProcessor", "Iterator"]) if (brief[k]?.States) brief[k] = { ...brief[k], States: "…" };
    return brief;
  }
}

// ── the graph ──────────────────────────────────────────────────────────────────────────────────────────────────────

class Drawing {
  constructor(model, store, choose) {
    this.data = model.get("drawing");
    this.store = store;
    this.choose = choose;
    this.painted = new Map();
    this.counts = new Map();
    this.moved = 0;
    this.current = null;
    this.fitted = "start"; // how the graph was last fitted; null once somebody has moved it
    this.scale = 0; // not known before the stage has a size
    this.svg = s("svg", { class: "sflab-graph ran", role: "group", "aria-label": "Workflow graph" });
    this.svg.append(build(this.data.tree));
    this.stage = h("div", { class: "stage", style: "" }, this.svg);
    this.groups = new Map();
    for (const [pointer, state] of Object.entries(this.data.states)) {
      const g = this.svg.querySelector(`#${CSS.escape(state.id)}`);
      g.removeAttribute("id"); // the same drawing may be in a page twice
      g.setAttribute("tabindex", this.groups.size ? "-1" : "0");
      g.setAttribute("role", "button");
      g.addEventListener("focus", () => this.rove(g));
      this.groups.set(pointer, g);
      g.sflabPointer = pointer;
    }
    this.end = this.svg.querySelector(".end");
    this.edges = new Map();
    for (const id of Object.keys(this.data.edges)) {
      const line = this.svg.querySelector(`#${CSS.escape(id)}`);
      const tag = this.svg.querySelector(`#t${CSS.escape(id)}`);
      for (const g of [line, tag]) g?.removeAttribute("id");
      if (line) this.edges.set(id, [line, tag]);
    }
    this.svg.addEventListener("click", (e) => {
      if (this.dragged) return;
      const g = e.target.closest?.(".state");
      this.choose(g ? g.sflabPointer : null, Boolean(g));
    });
    this.svg.addEventListener("keydown", (e) => this.key(e));
    this.watchPointer();
  }

  // -- colours

  paint(position) {
    const { store } = this;
    const id = store.event(position);
    for (const [pointer, g] of this.groups) {
      const mark = store.mark(pointer, id);
      const key = mark ? mark.slice(1).join("|") : "";
      if (this.painted.get(pointer) === key) continue;
      this.painted.set(pointer, key);
      this.paintState(this.data.states[pointer], g, mark);
    }
    this.paintEdges(upTo(store.run.moves, id), id);
    this.end?.classList.toggle("reached", position === store.length && store.run.status === "SUCCEEDED");
    const step = position ? store.run.steps[position - 1] : null;
    const at = step && step[3] >= 0 ? store.run.visits[step[3]].pointer : null;
    if (at !== this.current) {
      this.groups.get(this.current)?.classList.remove("current");
      this.groups.get(at)?.classList.add("current");
      this.current = at;
    }
  }

  paintState(state, g, mark) {
    const status = mark ? mark[1] : "IDLE";
    const known = this.data.statuses[status];
    g.setAttribute("class", g.getAttribute("class").replace(/\bs-\w+/, `s-${status.toLowerCase()}`));
    const words = [state.name, state.type || "unknown type", known.word];
    if (mark?.[2] > 1) words.push(count(mark[2], "visit"));
    if (mark?.[3]) words.push(`retried ${count(mark[3], "time")}`);
    if (mark?.[4]) words.push(`${mark[4]} items`);
    g.setAttribute("aria-label", words.join(", "));
    this.paintBadge(state, g, mark, known);
    const retries = [...g.children].find((c) => c.classList.contains("retries"));
    if (retries) {
      const used = mark?.[3] ?? 0;
      const text = used ? (mark[2] === 1 && state.tries ? `${used}/${state.tries}` : `${used}`) : `${state.tries}`;
      retries.classList.toggle("used", used > 0);
      retries.querySelector("text").textContent = text;
      const w = text.length * 6.3 + 23;
      const x = state.x + state.w - w - 10;
      const rect = retries.querySelector("rect");
      rect.setAttribute("width", w);
      retries.setAttribute("transform", `translate(${x - Number(rect.getAttribute("x"))} 0)`);
    }
  }

  paintBadge(state, g, mark, known) {
    const said = mark ? mark[4] || (mark[2] > 1 ? `×${mark[2]}` : "") : "";
    const w = 18 + (said ? said.length * 7 + 5 : 0);
    const left = state.x + state.w + 5 - w;
    const y = state.y + 2;
    if (!g.sflabBadge) {
      const badge = s("g", { class: "badge" });
      badge.append(
        s("rect", { class: "mark l-canvas", height: 18, rx: 9, "stroke-width": 1.5, y: y - 9 }),
        s("path", { class: "sign", fill: "none", "stroke-width": 3.4, "stroke-linecap": "round", "stroke-linejoin": "round" }),
        s("text", { class: "count", "font-size": 9.5, "font-weight": 600, y: y + 3.4 }),
      );
      g.append(badge);
      g.sflabBadge = badge;
    }
    const [rect, path, text] = g.sflabBadge.children;
    g.sflabBadge.style.display = mark ? "" : "none";
    rect.setAttribute("x", left);
    rect.setAttribute("width", w);
    path.setAttribute("d", known.symbol);
    path.setAttribute("transform", `translate(${left + 4} ${y - 5.5}) scale(${11 / 24})`);
    text.setAttribute("x", left + 18.5);
    text.textContent = said;
  }

  /** Mark the first *n* moves as taken, starting from those that are marked already. */
  paintEdges(n, id) {
    const { moves } = this.store.run;
    const change = (edge, by) => {
      const total = (this.counts.get(edge) ?? 0) + by;
      this.counts.set(edge, total);
      for (const g of this.edges.get(edge) ?? []) g?.classList.toggle("taken", total > 0);
    };
    while (this.moved < n) change(moves[this.moved++][1], 1);
    while (this.moved > n) change(moves[--this.moved]?.[1], -1);
    const now = n && moves[n - 1][0] >= id - 1 ? moves[n - 1][1] : null;
    if (now !== this.now) {
      this.edges.get(this.now)?.[0].classList.remove("now");
      this.edges.get(now)?.[0].classList.add("now");
      this.now = now;
    }
  }

  /** The moves of a running execution may be rewritten: count them anew. */
  forget() {
    for (const pair of this.edges.values()) for (const g of pair) g?.classList.remove("taken");
    this.counts.clear();
    this.moved = 0;
  }

  mark(pointer) {
    for (const [p, g] of this.groups) g.setAttribute("aria-pressed", String(p === pointer));
  }

  // -- pan and zoom

  /** Show the whole graph; at first, of one too large to be read like that, the beginning. */
  fit(whole = true) {
    const { clientWidth: w, clientHeight: hgt } = this.stage;
    if (!w || !hgt) return;
    const margin = 14;
    const across = (w - 2 * margin) / this.data.width;
    const all = Math.min(across, (hgt - 2 * margin) / this.data.height, 1.15);
    this.scale = whole ? all : Math.max(all, Math.min(across, 0.55), 0.4);
    this.x = this.data.width / 2 - w / this.scale / 2;
    if (across < this.scale) {
      const start = this.svg.querySelector(".start").getBBox();
      this.x = start.x + start.width / 2 - w / this.scale / 2;
    }
    this.y = this.scale > all ? -margin / this.scale : this.data.height / 2 - hgt / this.scale / 2;
    this.fitted = whole ? "whole" : "start";
    this.view();
  }

  view() {
    const { clientWidth: w, clientHeight: hgt } = this.stage;
    if (!this.scale || !w || !hgt) return; // not laid out yet: it is fitted when it is
    this.svg.setAttribute("viewBox", `${this.x} ${this.y} ${w / this.scale} ${hgt / this.scale}`);
  }

  zoom(factor, cx = this.stage.clientWidth / 2, cy = this.stage.clientHeight / 2) {
    const scale = Math.min(3, Math.max(0.08, this.scale * factor));
    this.x += cx / this.scale - cx / scale;
    this.y += cy / this.scale - cy / scale;
    this.scale = scale;
    this.fitted = null;
    this.view();
  }

  /** Bring a state into view if it is not; what holds others need only show its top. */
  reveal(pointer) {
    const state = this.data.states[pointer];
    if (!state || !this.scale) return;
    const w = this.stage.clientWidth / this.scale, hgt = this.stage.clientHeight / this.scale, air = 24 / this.scale;
    const tall = Math.min(state.h, 60);
    if (state.x < this.x) this.x = state.x - air;
    else if (state.x + Math.min(state.w, w - 2 * air) > this.x + w) this.x = state.x + Math.min(state.w, w - 2 * air) - w + air;
    if (state.y < this.y) this.y = state.y - air;
    else if (state.y + tall > this.y + hgt) this.y = state.y + tall - hgt * 0.6;
    else return this.view();
    this.fitted = null;
    this.view();
  }

  watchPointer() {
    const { stage } = this;
    let from = null;
    stage.addEventListener("pointerdown", (e) => {
      if (e.button) return;
      from = { x: e.clientX, y: e.clientY, at: [this.x, this.y] };
      this.dragged = false;
    });
    stage.addEventListener("pointermove", (e) => {
      if (!from) return;
      const dx = e.clientX - from.x, dy = e.clientY - from.y;
      if (!this.dragged && Math.hypot(dx, dy) < 4) return;
      if (!this.dragged) stage.setPointerCapture(e.pointerId);
      this.dragged = true;
      stage.classList.add("dragging");
      this.x = from.at[0] - dx / this.scale;
      this.y = from.at[1] - dy / this.scale;
      this.fitted = null;
      this.view();
    });
    const end = () => {
      from = null;
      stage.classList.remove("dragging");
    };
    stage.addEventListener("pointerup", end);
    stage.addEventListener("pointercancel", end);
    // The wheel alone scrolls the notebook, as everywhere; with Ctrl or ⌘ (a pinch on a touchpad, too) it zooms.
    stage.addEventListener("wheel", (e) => {
      if (!e.ctrlKey && !e.metaKey) return this.hint();
      e.preventDefault();
      const box = stage.getBoundingClientRect();
      this.zoom(Math.exp(-e.deltaY * (e.deltaMode ? 0.05 : 0.0022)), e.clientX - box.left, e.clientY - box.top);
    }, { passive: false });
  }

  hint() {
    if (this.hinted || this.fitted === "whole") return;
    this.hinted = true;
    const note = h("div", { class: "hint" }, "Ctrl + wheel zooms, dragging moves");
    this.stage.append(note);
    setTimeout(() => note.remove(), 2200);
  }

  // -- keyboard: one state is in the tab order, the arrow keys go from state to state

  rove(g) {
    for (const other of this.groups.values()) other.setAttribute("tabindex", other === g ? "0" : "-1");
    this.reveal(g.sflabPointer);
  }

  key(e) {
    const g = e.target.closest?.(".state");
    if (!g) return;
    if (e.key === "Enter") this.choose(g.sflabPointer, true);
    else if (e.key.startsWith("Arrow")) this.neighbour(g.sflabPointer, e.key.slice(5))?.focus();
    else return;
    e.preventDefault();
    e.stopPropagation();
  }

  /** The nearest state in a direction: straight on counts more than aside. */
  neighbour(pointer, direction) {
    const here = this.data.states[pointer];
    const [dx, dy] = { Left: [-1, 0], Right: [1, 0], Up: [0, -1], Down: [0, 1] }[direction];
    // What holds others is where its title is.
    const centre = (t) => [t.x + t.w / 2, t.y + Math.min(t.h, 40) / 2];
    const [x, y] = centre(here);
    let best = null, least = Infinity;
    for (const [p, t] of Object.entries(this.data.states)) {
      if (p === pointer) continue;
      const [tx, ty] = centre(t);
      const along = (tx - x) * dx + (ty - y) * dy, aside = Math.abs((tx - x) * dy) + Math.abs((ty - y) * dx);
      if (along > 4 && along + 2.2 * aside < least) [best, least] = [p, along + 2.2 * aside];
    }
    return best && this.groups.get(best);
  }
}

// ── the position ───────────────────────────────────────────────────────────────────────────────────────────────────

class Player {
  constructor(store, show) {
    this.store = store;
    this.show = show;
    this.position = store.length;
    this.speed = 1;
    const button = (name, label, f) => h("button", { type: "button", class: name, title: label, "aria-label": label, onclick: f }, icon(ICONS[name]));
    this.toggle = button("play", "Play (space)", () => this.playing ? this.pause() : this.play());
    this.slider = h("input", {
      type: "range", min: 0, step: 1, "aria-label": "Position in the history",
      oninput: () => { this.pause(); this.go(Number(this.slider.value)); },
    });
    this.ticks = h("div", { class: "ticks", "aria-hidden": "true" });
    this.label = h("div", { class: "now" });
    this.followButton = h("button", { type: "button", class: "follow", title: "Follow the execution", onclick: () => { this.pause(); this.go(this.store.length); } }, "live");
    const speeds = [0.25, 0.5, 1, 2, 4, 8].map((x) => h("option", { value: x, selected: x === 1 }, `${x}×`));
    this.element = h("div", { class: "player" },
      h("div", { class: "buttons" },
        button("first", "To the start (Home)", () => { this.pause(); this.go(0); }),
        button("back", "One event back (,)", () => { this.pause(); this.go(this.position - 1); }),
        this.toggle,
        button("step", "One event on (.)", () => { this.pause(); this.go(this.position + 1); }),
        button("last", "To the end (End)", () => { this.pause(); this.go(this.store.length); })),
      h("div", { class: "track" }, this.ticks, this.slider),
      h("select", { title: "Speed", "aria-label": "Speed", onchange: (e) => { this.speed = Number(e.target.value); } }, speeds),
      this.followButton, this.label);
  }

  go(position) {
    this.position = Math.max(0, Math.min(this.store.length, position));
    this.show(this.position);
  }

  play() {
    if (this.position >= this.store.length) this.go(0);
    this.playing = true;
    const waits = this.waits();
    let last = performance.now(), spent = 0;
    const frame = (now) => {
      if (!this.playing) return;
      if (!this.element.isConnected) return this.pause();
      spent += ((now - last) / 1000) * this.speed;
      last = now;
      let to = this.position;
      while (to < this.store.length && spent >= (waits[to] ?? 0.15)) spent -= waits[to++] ?? 0.15;
      if (to !== this.position) this.go(to);
      if (to >= this.store.length && !this.store.run.running) return this.pause();
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
    this.dress();
  }

  pause() {
    this.playing = false;
    this.dress();
  }

  dress() {
    this.toggle.replaceChildren(icon(ICONS[this.playing ? "pause" : "play"]));
    this.toggle.setAttribute("aria-label", this.playing ? "Pause (space)" : "Play (space)");
    this.toggle.title = this.toggle.getAttribute("aria-label");
  }

  /** Seconds to wait before each event: a feeling of the gap, never the gap itself, and the whole in half a minute. */
  waits() {
    const { steps } = this.store.run;
    const waits = steps.map(([, at, type], i) => {
      const gap = i ? at - steps[i - 1][1] : 0;
      if (gap > 0) return Math.min(0.6, 0.2 + 0.1 * Math.log10(1 + 10 * gap));
      return /Started$|Submitted$|Scheduled$/.test(type) ? 0.07 : 0.16;
    });
    const total = waits.reduce((a, b) => a + b, 0);
    return total > 30 ? waits.map((w) => (w * 30) / total) : waits;
  }

  draw() {
    const { store, position } = this;
    const n = store.length;
    this.slider.max = n;
    this.slider.value = position;
    this.slider.style.setProperty("--done", n ? `${(100 * position) / n}%` : "0%");
    const step = position ? store.run.steps[position - 1] : null;
    const where = step && step[3] >= 0 ? store.run.visits[step[3]].state : "";
    const text = step ? `${position} of ${n}: ${step[2]}${where ? `, ${where}` : ""}, after ${duration(step[1])}` : `before the first of ${count(n, "event")}`;
    this.slider.setAttribute("aria-valuetext", text);
    this.label.replaceChildren(
      h("b", {}, `${position}`), ` / ${n}`,
      step ? h("span", { class: "type" }, step[2]) : h("span", { class: "type" }, "before the start"),
      where && h("span", { class: "where" }, where),
      step && h("span", { class: "time" }, `+${duration(step[1]) || "0 ms"}`));
    this.followButton.hidden = !store.run.running;
    this.followButton.classList.toggle("on", position === n && !this.playing);
    if (this.ticked !== n) this.tick(n);
  }

  /** Where something went wrong. */
  tick(n) {
    this.ticked = n;
    const bad = [];
    this.store.run.steps.forEach(([, , type], i) => { if (/(Failed|TimedOut|Aborted)$/.test(type) && !/^(MapIteration|Execution)/.test(type)) bad.push(i + 1); });
    const every = Math.ceil(bad.length / 200) || 1;
    this.ticks.replaceChildren(...bad.filter((_, i) => i % every === 0).map((i) => h("i", { style: `left:${(100 * i) / n}%` })));
  }
}

// ── all together ───────────────────────────────────────────────────────────────────────────────────────────────────

/** Tell whether a page is dark by looking at what is behind the element, whatever the host is called. */
function isDark(element) {
  for (let e = element.parentElement; e; e = e.parentElement) {
    const [r, g, b, a = 1] = (getComputedStyle(e).backgroundColor.match(/[\d.]+/g) ?? [0, 0, 0, 0]).map(Number);
    if (a > 0.5) return 0.3 * r + 0.6 * g + 0.1 * b < 128;
  }
  return false;
}

function render({ model, el }, store) {
  const announce = h("div", { class: "unseen", role: "status", "aria-live": "polite" });
  const drawing = new Drawing(model, store, choose);
  const panel = new Panel(store, drawing.data.statuses, drawing.data.states);
  const player = new Player(store, show);
  const pill = h("span", {});
  const button = (name, label, f) => h("button", { type: "button", title: label, "aria-label": label, onclick: f }, icon(ICONS[name], 14));
  const title = h("h2", {}, store.run.title);
  const tools = h("div", { class: "tools" },
    button("minus", "Zoom out (-)", () => drawing.zoom(1 / 1.25)),
    button("plus", "Zoom in (+)", () => drawing.zoom(1.25)),
    button("fit", "Show all (0)", () => drawing.fit()));
  const root = h("div", { class: "sflab-run", "data-lm-suppress-shortcuts": "true", "data-theme": "light", role: "group", "aria-label": `Run of ${store.run.title}` },
    h("div", { class: "top" }, title, pill, tools),
    h("div", { class: "middle" }, drawing.stage, panel.element),
    player.element, announce);
  drawing.stage.style.height = `${Math.min(drawing.data.stage, Math.max(240, drawing.data.height + 40))}px`;

  function choose(pointer, deliberate) {
    if (!deliberate && panel.pointer === null) return;
    panel.choose(pointer);
    drawing.mark(pointer);
    root.classList.toggle("chosen", pointer !== null);
    panel.draw(player.position);
    panel.element.scrollTop = 0;
    if (pointer) announce.textContent = `${drawing.groups.get(pointer).getAttribute("aria-label")}. Details are shown beside the graph.`;
  }

  function show(position) {
    drawing.paint(position);
    player.draw();
    panel.draw(position);
    const over = position >= store.length && !store.run.running;
    pill.replaceChildren(panel.pill(position ? (over ? store.run.status || "IDLE" : "RUNNING") : "IDLE"));
    if (player.playing && drawing.current) drawing.reveal(drawing.current);
    if (!player.playing && !over) announce.textContent = player.slider.getAttribute("aria-valuetext");
  }

  function changed() {
    const following = !player.playing && player.position >= player.seen;
    player.seen = store.length;
    drawing.forget();
    if (following) player.position = store.length;
    player.ticked = null;
    show(player.position);
  }

  panel.onclose = () => {
    const g = drawing.groups.get(panel.pointer);
    choose(null, true);
    g?.focus({ preventScroll: true });
  };
  panel.onchange = () => panel.draw(player.position);
  player.seen = store.length;

  // Lab's own shortcuts (j, dd, Enter …) must not see what is typed here.
  root.addEventListener("keydown", (e) => {
    const field = /^(INPUT|SELECT|TEXTAREA)$/.test(e.target.tagName);
    const keys = {
      " ": () => (player.playing ? player.pause() : player.play()),
      ".": () => { player.pause(); player.go(player.position + 1); },
      ",": () => { player.pause(); player.go(player.position - 1); },
      Home: () => { player.pause(); player.go(0); },
      End: () => { player.pause(); player.go(store.length); },
      "+": () => drawing.zoom(1.25), "=": () => drawing.zoom(1.25), "-": () => drawing.zoom(1 / 1.25), 0: () => drawing.fit(),
      Escape: () => { if (panel.pointer) panel.onclose(); },
    };
    const pressed = e.target.closest?.("button, summary, pre");
    const f = e.ctrlKey || e.metaKey || e.altKey ? null : keys[e.key];
    if (f && !(e.key === " " && pressed) && !(field && e.key !== " ") && !(e.target.tagName === "SELECT")) {
      e.preventDefault();
      f();
    }
    e.stopPropagation();
  });

  const theme = () => root.setAttribute("data-theme", isDark(root) ? "dark" : "light");
  const observer = new MutationObserver(() => { theme(); setTimeout(theme, 120); setTimeout(theme, 600); });
  observer.observe(document.body, { attributes: true });
  observer.observe(document.documentElement, { attributes: true });
  const preference = matchMedia("(prefers-color-scheme: dark)");
  preference.addEventListener("change", theme);
  const size = new ResizeObserver(() => { if (drawing.fitted) drawing.fit(drawing.fitted === "whole"); else drawing.view(); });
  size.observe(drawing.stage);

  store.listeners.add(changed);
  el.append(root);
  requestAnimationFrame(theme);
  theme();
  drawing.fit(false);
  show(player.position);
  return () => {
    player.pause();
    store.listeners.delete(changed);
    observer.disconnect();
    size.disconnect();
    preference.removeEventListener("change", theme);
  };
}

export default () => {
  let store = null;
  const of = (model) => (store ??= new Store(model));
  return {
    initialize({ model }) { of(model); },
    render(view) { return render(view, of(view.model)); },
  };
};
