// The live graph, in the browser. Five files, joined in this order; no dependency, no request.
//
//   panel.js     Panel: what is known of the chosen state, or of the execution, at a position
//   store.js     Store: the run, as the kernel sends it: whole once, then in patches; what of it is looked at
//   drawing.js   Drawing: the graph: colours at a position, collapsing, pan and zoom, focus
//   timeline.js  Timeline: a bar for each state visit, and what is done where it is
//   widget.js    Player: the position in the history: slider, steps, play; and all together
//
// A position is a number of events that have happened: 0 … n.
//
// Whatever else shows the same run in the same widget (a timeline in `.sflab-timeline`, the other of two executions)
// is linked by CustomEvents on the widget's root element, `.sflab-run`. Everybody dispatches what a person did, and
// listens for what somebody else's `detail.source` did; the graph's own source is "graph".
//
//   sflab:select   {state: JSON pointer | null, visit: id of the StateEntered event | null, source}   a state was chosen
//   sflab:hover    {state: JSON pointer | null, visit: … | null, source}                              is pointed at
//   sflab:seek     {event: id of the last event that has happened (0: none), time: seconds since the first, source}
//                  the position changed; a listener is content with either of `event` and `time`

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

const SIGNS = ["RUNNING", "RETRYING", "SUCCEEDED", "FAILED", "CAUGHT", "ABORTED", "CANCELLED"];
const KEYS = [
  ["space", "play or pause"], [", .", "an event back, on"], ["Home End", "to the start, to the end"], ["↑ ↓ ← →", "from state to state"],
  ["Enter", "show a state's data"], ["Esc", "back to the execution"], ["/", "find a state"], ["c", "collapse or expand"], ["C", "all of them"],
  ["[ ]", "iteration before, after"], ["d", "next difference"], ["+ - 0", "zoom, show all"], ["?", "this list"],
];

/** What the signs and the lines mean, and the keys. */
function legend(statuses) {
  const line = (name, kind) => h("li", {}, h("i", { class: `line ${kind}` }), name);
  return h("div", { class: "legend", role: "dialog", "aria-label": "Signs and keys", tabindex: "-1", hidden: true },
    h("ul", {}, SIGNS.map((status) => h("li", {}, h("span", { class: `sign p-${status.toLowerCase()}` }, icon(statuses[status].symbol, 11, 3.4)), statuses[status].word)),
      h("li", {}, h("span", { class: "sign none" }), "not reached, skipped")),
    h("ul", {}, line("path taken", "taken"), line("not taken", "faint"), line("error caught", "catch"),
      h("li", {}, h("span", { class: "chip" }, "↻ 1/3"), "tried again once of three times"), h("li", {}, h("span", { class: "chip" }, "×3"), "entered three times")),
    h("dl", {}, KEYS.flatMap(([k, v]) => [h("dt", {}, k), h("dd", {}, v)])));
}

function mount({ model, el }, store) {
  const announce = h("div", { class: "unseen", role: "status", "aria-live": "polite" });
  const drawing = new Drawing(model, store, choose);
  const panel = new Panel(store, drawing.data);
  const player = new Player(store, show);
  const pill = h("span", {});
  const button = (name, label, f) => h("button", { type: "button", title: label, "aria-label": label, onclick: f }, icon(ICONS[name], 14));
  const title = h("h2", {}, store.run.title);
  const differing = Object.keys(drawing.data.differs);
  const signs = legend(drawing.data.statuses);
  const finder = h("input", { type: "search", placeholder: "Find a state", "aria-label": "Find a state (/)", title: "Find a state (/)", oninput: () => look(0), onkeydown: findKey,
    onblur: () => drawing.svg.classList.remove("searched") });
  const hits = h("span", { class: "hits" });
  const foldable = Object.values(drawing.data.states).some((t) => t.inside);
  const tools = h("div", { class: "tools" },
    differing.length ? h("button", { type: "button", class: "next-difference", title: "Next difference (d)", onclick: nextDifference }, `≠ ${count(differing.length, "state")}`) : null,
    h("span", { class: "finder" }, finder, hits),
    foldable ? button("fold", "Collapse or expand all (C)", () => drawing.toggleAll()) : null,
    button("minus", "Zoom out (-)", () => drawing.zoom(1 / 1.25)),
    button("plus", "Zoom in (+)", () => drawing.zoom(1.25)),
    button("fit", "Show all (0)", () => drawing.fit()),
    button("help", "Signs and keys (?)", help));
  const root = h("div", { class: "sflab-run", "data-lm-suppress-shortcuts": "true", "data-theme": "light", role: "group", "aria-label": `Run of ${store.run.title}` },
    h("div", { class: "top" }, title, pill, tools),
    h("div", { class: "middle" }, drawing.stage, panel.element),
    player.element, h("div", { class: "sflab-timeline" }), announce);
  drawing.stage.append(signs);
  drawing.stage.style.height = `${Math.min(drawing.data.stage, Math.max(240, drawing.data.height + 40))}px`;

  function tell(name, detail) { root.dispatchEvent(new CustomEvent(`sflab:${name}`, { detail: { ...detail, source: "graph" } })); }

  function choose(pointer, deliberate, quiet = false) {
    if (!deliberate && panel.pointer === null) return;
    panel.choose(pointer);
    drawing.mark(pointer);
    root.classList.toggle("chosen", pointer !== null);
    panel.draw(player.position);
    panel.element.scrollTop = 0;
    if (pointer) announce.textContent = `${drawing.groups.get(pointer).getAttribute("aria-label")}. Details are shown beside the graph.`;
    if (!quiet) tell("select", { state: pointer, visit: (pointer && panel.visitShown?.run === store && panel.visitShown.entry) || null });
  }

  function show(position, quiet = false) {
    drawing.paint(position);
    player.draw();
    panel.draw(position);
    const over = position >= store.length && !store.run.running;
    pill.replaceChildren(panel.pill(position ? (over ? store.run.status || "IDLE" : "RUNNING") : "IDLE"));
    if (player.playing && drawing.current) drawing.reveal(drawing.current);
    if (!player.playing && !over) announce.textContent = player.slider.getAttribute("aria-valuetext");
    if (quiet !== true) tell("seek", { event: store.event(position), time: position ? store.run.steps[position - 1][1] : 0 });
  }

  function changed() {
    const following = !player.playing && player.position >= player.seen;
    player.seen = store.length;
    drawing.forget();
    if (following) player.position = store.length;
    player.ticked = null;
    show(player.position);
  }

  // -- finding states

  let found = [], at = 0;
  function look(to) {
    found = drawing.find(finder.value);
    at = found.length ? (to + found.length) % found.length : 0;
    hits.textContent = finder.value.trim() ? (found.length ? `${at + 1} of ${found.length}` : "none") : "";
    for (const g of drawing.groups.values()) g.classList.toggle("found-now", g.sflabPointer === found[at]);
    if (found.length) {
      drawing.jump(found[at]);
      drawing.paint(player.position);
      announce.textContent = `${at + 1} of ${found.length}: ${drawing.groups.get(found[at]).getAttribute("aria-label")}`;
    }
  }

  function findKey(e) {
    if (e.key === "Enter" && found.length) {
      if (panel.pointer === found[at]) look(at + (e.shiftKey ? -1 : 1)); // once more: the next one
      choose(found[at], true);
    } else if (e.key === "ArrowDown" || e.key === "ArrowUp") look(at + (e.key === "ArrowUp" ? -1 : 1));
    else if (e.key === "Escape") {
      finder.value = "";
      look(0);
      drawing.groups.get(panel.pointer)?.focus({ preventScroll: true });
    } else return;
    e.preventDefault();
    e.stopPropagation();
  }

  function nextDifference() {
    const next = differing[(differing.indexOf(panel.pointer) + 1) % differing.length];
    if (!next) return;
    drawing.jump(next);
    drawing.paint(player.position);
    choose(next, true);
  }

  function help() {
    signs.hidden = !signs.hidden;
    if (!signs.hidden) signs.focus();
  }

  panel.onclose = () => {
    const g = drawing.groups.get(panel.pointer);
    choose(null, true);
    g?.focus({ preventScroll: true });
  };
  panel.onchange = () => {
    panel.draw(player.position);
    tell("select", { state: panel.pointer, visit: panel.visitShown?.run === store ? panel.visitShown.entry : null });
  };
  panel.onpick = () => {
    panel.chosen = null;
    const label = document.activeElement?.getAttribute("aria-label");
    show(player.position);
    if (label) panel.element.querySelector(`[aria-label="${CSS.escape(label)}"]:not(:disabled)`)?.focus();
  };
  drawing.onarrange = () => { drawing.paint(player.position); drawing.view(); };
  player.seen = store.length;

  /** Another iteration of the chosen Map, or of the nearest one around the chosen state. */
  function nextRound(by) {
    const label = by < 0 ? "Previous" : "Next";
    [...panel.element.querySelectorAll(".rounds")].at(-1)?.querySelector(`button[aria-label^="${label}"]`)?.click();
  }

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
      "/": () => finder.focus(), "?": help, "[": () => nextRound(-1), "]": () => nextRound(1), d: nextDifference,
      C: () => drawing.toggleAll(), c: () => { if (panel.pointer) drawing.toggle(panel.pointer); },
      Escape: () => { if (!signs.hidden) signs.hidden = true; else if (panel.pointer) panel.onclose(); },
    };
    const pressed = e.target.closest?.("button, summary, pre");
    const f = e.ctrlKey || e.metaKey || e.altKey ? null : keys[e.key];
    if (f && !(e.key === " " && pressed) && !(field && e.key !== " ") && !(e.target.tagName === "SELECT") && e.target !== finder) {
      e.preventDefault();
      f();
    }
    e.stopPropagation();
  });

  // -- what others show of the same run

  const of = (detail) => (detail?.state && drawing.groups.has(detail.state) ? detail.state : null);
  root.addEventListener("sflab:select", ({ detail }) => {
    if (!detail || detail.source === "graph") return;
    const pointer = of(detail);
    choose(pointer, true, true);
    if (!pointer) return;
    const visit = store.run.visits.findIndex((v) => v.entry === detail.visit);
    if (visit >= 0) {
      panel.chosen = visit;
      panel.draw(player.position);
    }
    drawing.reveal(pointer);
  });
  root.addEventListener("sflab:hover", ({ detail }) => {
    if (!detail || detail.source === "graph") return;
    for (const [p, g] of drawing.groups) g.classList.toggle("hovered", p === of(detail));
  });
  root.addEventListener("sflab:seek", ({ detail }) => {
    if (!detail || detail.source === "graph") return;
    const { steps } = store.run;
    if (typeof detail.event !== "number" && typeof detail.time !== "number") return;
    const to = typeof detail.event === "number" ? upTo(steps, detail.event) : steps.filter(([, t]) => t <= detail.time + 1e-6).length;
    player.pause();
    player.position = to;
    show(to, true);
  });
  for (const [pointer, g] of drawing.groups) {
    g.addEventListener("pointerenter", () => tell("hover", { state: pointer, visit: null }));
    g.addEventListener("pointerleave", () => tell("hover", { state: null, visit: null }));
  }

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
  const untime = timeline(root, store, drawing.data.statuses);
  show(player.position);
  const dispose = () => {
    player.pause();
    untime();
    store.listeners.delete(changed);
    observer.disconnect();
    size.disconnect();
    preference.removeEventListener("change", theme);
  };
  return { root, store, dispose };
}

/** Two executions beside each other: what is chosen in one is chosen in the other, and both are shown at the same time. */
function pair(model, el, stores) {
  const both = h("div", { class: "sflab-pair" });
  el.append(both);
  const sides = stores.map((store, n) => mount({ model: side(model, n), el: both }, store));
  sides.forEach(({ root }, n) => {
    const other = sides[1 - n];
    const pass = (name, f) => root.addEventListener(`sflab:${name}`, ({ detail }) => {
      if (detail.source === "other") return;
      other.root.dispatchEvent(new CustomEvent(`sflab:${name}`, { detail: { ...f(detail), source: "other" } }));
    });
    pass("select", ({ state }) => ({ state, visit: null }));
    pass("hover", ({ state }) => ({ state, visit: null }));
    // The same time in both; the end of one is the end of both.
    pass("seek", ({ event, time }) => ({ time: event && event === sides[n].store.run.steps.at(-1)?.[0] ? Infinity : event ? time : -1 }));
  });
  return () => sides.forEach(({ dispose }) => dispose());
}

/** One of the two executions of a model, as a model of its own. */
function side(model, n) {
  return {
    get: (name) => model.get("sides")[n][name],
    on: (event, f) => model.on(event, (m) => { if (m.side === n) f(m); }),
    send: (message) => model.send({ ...message, side: n }),
  };
}

export default () => {
  let stores = null;
  const of = (model) => (stores ??= model.get("sides") ? [0, 1].map((n) => new Store(side(model, n))) : [new Store(model)]);
  return {
    initialize({ model }) { of(model); },
    render({ model, el }) {
      const [first, second] = of(model);
      return second ? pair(model, el, [first, second]) : mount({ model, el }, first).dispose;
    },
  };
};
