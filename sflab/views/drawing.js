// The graph: colours at a position, what is collapsed, pan and zoom, the keyboard.

const HEAD = 34; // the height of the title strip of a Map or Parallel state
const NOTE = 18; // what stays below it when it is collapsed: how many states are hidden
const AIR = 20; // what stays free around states, whatever is collapsed beside them

class Drawing {
  constructor(model, store, choose) {
    this.data = model.get("drawing");
    this.store = store;
    this.choose = choose;
    this.painted = new Map();
    this.counts = new Map();
    this.moved = 0;
    this.current = null;
    this.collapsed = new Set(); // pointers of Map and Parallel states
    this.place = this.data.states; // pointer → where a state is now: {x, y, w, h}
    this.height = this.data.height;
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
      if (state.inside) this.addToggle(g, pointer, state);
      if (this.data.differs[pointer]) this.addDiffers(g, state);
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
      if (g && e.target.closest(".toggle")) return this.toggle(g.sflabPointer);
      this.choose(g ? g.sflabPointer : null, Boolean(g));
    });
    this.svg.addEventListener("keydown", (e) => this.key(e));
    this.watchPointer();
  }

  // -- colours

  paint(position) {
    const { store } = this;
    const id = store.event(position);
    const over = position >= store.length && !store.run.running && store.length > 0;
    for (const [pointer, g] of this.groups) {
      const mark = store.look(pointer, position);
      const state = this.data.states[pointer];
      const done = state.type === "Map" ? store.done(pointer, position, mark) : "";
      const key = mark ? `${mark.slice(1, 4).join("|")}|${done}|${store.chosen.get(pointer)?.index ?? ""}` : `${over}`;
      if (this.painted.get(pointer) === key) continue;
      this.painted.set(pointer, key);
      this.paintState(state, g, mark, done, over);
    }
    this.paintEdges(upTo(store.run.moves, id), id, position);
    this.end?.classList.toggle("reached", position === store.length && store.run.status === "SUCCEEDED");
    const step = position ? store.run.steps[position - 1] : null;
    const at = step && step[3] >= 0 ? store.run.visits[step[3]].pointer : null;
    if (at !== this.current) {
      this.groups.get(this.current)?.classList.remove("current");
      this.groups.get(at)?.classList.add("current");
      this.current = at;
    }
  }

  paintState(state, g, mark, done, over) {
    const status = mark ? mark[1] : "IDLE";
    const known = this.data.statuses[mark || !over ? status : "SKIPPED"];
    g.setAttribute("class", g.getAttribute("class").replace(/\bs-\w+/, `s-${status.toLowerCase()}`));
    const words = [state.name, state.type || "unknown type", known.word];
    if (mark?.[2] > 1) words.push(count(mark[2], "visit"));
    if (mark?.[3]) words.push(`retried ${count(mark[3], "time")}`);
    if (done) words.push(`${done} items`);
    const differs = this.data.differs[g.sflabPointer];
    if (differs) words.push(`differs: ${differs.join("; ")}`);
    g.setAttribute("aria-label", words.join(", "));
    this.paintBadge(state, g, mark, known, done);
    if (done || g.sflabBar) this.paintBar(state, g, done);
    if (state.inside) this.paintChosen(state, g);
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
      retries.sflabShift = x - Number(rect.getAttribute("x"));
      retries.setAttribute("transform", `translate(${retries.sflabShift} ${retries.sflabDrop ?? 0})`);
    }
  }

  /** A Map's progress: how much of its title strip is underlined. */
  paintBar(state, g, done) {
    const [some, all] = done ? done.split("/").map(Number) : [0, 1];
    if (!g.sflabBar) g.append(g.sflabBar = s("rect", { class: "bar mark", x: state.x, y: state.y + HEAD - 4, height: 4 }));
    g.sflabBar.setAttribute("width", state.w * Math.min(1, some / (all || 1)));
  }

  /** Which iteration is looked at, on the second card of a Map. */
  paintChosen(state, g) {
    const chosen = this.store.chosen.get(g.sflabPointer);
    if (!chosen && !g.sflabChosen) return;
    if (!g.sflabChosen) {
      g.sflabChosen = s("g", { class: "only" });
      g.sflabChosen.append(
        s("rect", { class: "f-ink", x: state.x + 8, y: state.y + HEAD + 3, height: 16, rx: 8 }),
        s("text", { class: "f-paper", x: state.x + 16, y: state.y + HEAD + 14.5, "font-size": 10.5, "font-weight": 600 }));
      g.append(g.sflabChosen);
    }
    const [rect, text] = g.sflabChosen.children;
    const said = chosen ? `only ${chosen.child ? "child" : "iteration"} ${chosen.index}` : "";
    text.textContent = said;
    rect.setAttribute("width", said.length * 6.4 + 18);
    g.sflabChosen.style.display = chosen ? "" : "none";
  }

  /** A state that another execution did something else in. */
  addDiffers(g, state) {
    const mark = s("g", { class: "differs" });
    const sign = s("text", { x: state.x + 3, y: state.y + 7, "font-size": 14, "font-weight": 700, "text-anchor": "middle", class: "f-paper" });
    sign.textContent = "≠";
    mark.append(s("circle", { cx: state.x + 3, cy: state.y + 2, r: 9.5, class: "f-catch" }), sign);
    g.append(mark);
  }

  paintBadge(state, g, mark, known, done) {
    const said = mark ? done || (mark[2] > 1 ? `×${mark[2]}` : "") : "";
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

  /** Mark the first *n* moves as taken, starting from those that are marked already; inside a Map, those looked at. */
  paintEdges(n, id, position) {
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
    if (!this.store.chosen.size && !this.picked) return;
    this.picked = this.store.chosen.size > 0;
    for (const [edge, pair] of this.edges) {
      const taken = this.store.taken(edge, this.data.edges[edge], position) ?? (this.counts.get(edge) ?? 0) > 0;
      for (const g of pair) g?.classList.toggle("taken", taken);
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
    const all = Math.min(across, (hgt - 2 * margin) / this.height, 1.15);
    this.scale = whole ? all : Math.max(all, Math.min(across, 0.55), 0.4);
    this.x = this.data.width / 2 - w / this.scale / 2;
    if (across < this.scale) {
      const start = this.svg.querySelector(".start").getBBox();
      this.x = start.x + start.width / 2 - w / this.scale / 2;
    }
    this.y = this.scale > all ? -margin / this.scale : this.height / 2 - hgt / this.scale / 2;
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
    const state = this.place[pointer];
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

  /** Go to a state, wherever it is: expand what hides it, and show it in the middle, large enough to be read. */
  jump(pointer) {
    for (const p of [...this.collapsed]) if (pointer.startsWith(`${p}/`)) this.collapsed.delete(p);
    this.arrange();
    const state = this.place[pointer];
    if (!this.scale) return;
    this.scale = Math.max(this.scale, 0.75);
    this.x = state.x + state.w / 2 - this.stage.clientWidth / this.scale / 2;
    this.y = state.y + Math.min(state.h, 60) / 2 - this.stage.clientHeight / this.scale / 2;
    this.fitted = null;
    this.view();
  }

  /** Mark the states whose name holds a text; return them in reading order. */
  find(text) {
    const wanted = text.trim().toLowerCase();
    const found = Object.entries(this.data.states).filter(([, t]) => wanted && t.name.toLowerCase().includes(wanted));
    this.svg.classList.toggle("searched", found.length > 0);
    for (const g of this.groups.values()) g.classList.remove("found");
    for (const [p] of found) this.groups.get(p).classList.add("found");
    const exact = (t) => Number(t.name.toLowerCase() !== wanted);
    return found.sort(([, a], [, b]) => exact(a) - exact(b) || a.y - b.y || a.x - b.x).map(([p]) => p);
  }

  // -- collapse and expand

  addToggle(g, pointer, state) {
    const x = state.x + state.w - 22, y = state.y + 20;
    const toggle = s("g", { class: "toggle" });
    const note = s("text", { class: "f-sub", x: state.x + state.w / 2, y: state.y + HEAD + 12.5, "font-size": 10.5, "text-anchor": "middle" });
    note.textContent = count(state.inside, "state");
    const title = s("title", {});
    title.textContent = "Collapse or expand (c)";
    toggle.append(title, s("rect", { x: x - 12, y: y - 10, width: 24, height: 20, rx: 5 }),
      s("path", { fill: "none", "stroke-width": 2.2, "stroke-linecap": "round", "stroke-linejoin": "round" }), note);
    g.append(toggle);
    g.setAttribute("aria-expanded", "true");
    g.sflabToggle = (closed) => {
      toggle.children[2].setAttribute("d", closed ? `M${x - 3} ${y - 5}l5 5-5 5` : `M${x - 5} ${y - 3}l5 5 5-5`);
      note.style.display = closed ? "" : "none";
      g.setAttribute("aria-expanded", String(!closed));
    };
    g.sflabToggle(false);
  }

  toggle(pointer) {
    if (!this.data.states[pointer]?.inside) return;
    if (!this.collapsed.delete(pointer)) this.collapsed.add(pointer);
    this.arrange();
    this.reveal(pointer);
  }

  /** Collapse everything, or expand it if something is collapsed. */
  toggleAll() {
    if (this.collapsed.size) this.collapsed.clear();
    else for (const [p, t] of Object.entries(this.data.states)) if (t.inside) this.collapsed.add(p);
    this.arrange();
    this.fit(this.fitted !== "start");
  }

  hidden(pointer) {
    for (const p of this.collapsed) if (pointer.startsWith(`${p}/`)) return true;
    return false;
  }

  /**
   * Hide what is inside collapsed states, and take out the room it took: of the height of each, whatever nothing else
   * stands beside. So everything keeps its order and its column, and no layout is asked for.
   */
  arrange() {
    const { states, edges } = this.data;
    this.parts ??= this.measure();
    const bands = [], solid = [];
    for (const [p, t] of Object.entries(states)) {
      if (this.hidden(p)) continue;
      const closed = this.collapsed.has(p);
      if (closed) bands.push([t.y + HEAD + NOTE, t.y + t.h]);
      if (closed || t.inside) solid.push([t.y - AIR, t.y + HEAD + NOTE]);
      if (t.inside && !closed) solid.push([t.y + t.h - 8, t.y + t.h + AIR]);
      if (!t.inside) solid.push([t.y - AIR, t.y + t.h + AIR]);
    }
    for (const { y, h, edge } of this.parts.tags) if (!this.hidden(edges[edge].source)) solid.push([y - 3, y + h + 3]);
    const cuts = without(joined(bands), joined(solid));
    const at = (y) => y - cuts.reduce((sum, [a, b]) => sum + Math.max(0, Math.min(y, b) - a), 0);
    const move = (e, y, rest = "") => e.setAttribute("transform", `translate(0 ${at(y) - y})${rest}`);
    const show = (e, yes) => { e.style.display = yes ? "" : "none"; };
    this.place = {};
    for (const [p, t] of Object.entries(states)) {
      const g = this.groups.get(p), h_ = at(t.y + t.h) - at(t.y);
      this.place[p] = { ...t, y: at(t.y), h: h_, hidden: this.hidden(p) };
      show(g, !this.place[p].hidden);
      move(g, t.y);
      if (!t.inside) continue;
      g.sflabToggle(this.collapsed.has(p));
      for (const { e, y, h: tall, lane } of this.parts.frames.get(p)) {
        show(e, !lane || !this.collapsed.has(p));
        e.setAttribute("y", at(y) - at(t.y) + t.y);
        e.setAttribute("height", Math.max(0, at(y + tall) - at(y)));
      }
      const retries = [...g.children].find((c) => c.classList.contains("retries"));
      if (retries) {
        retries.sflabDrop = h_ - t.h;
        retries.setAttribute("transform", `translate(${retries.sflabShift ?? 0} ${retries.sflabDrop})`);
      }
    }
    for (const { e, y, scope } of this.parts.markers) {
      show(e, !this.hidden(`${scope}/`));
      move(e, y);
    }
    for (const { edge, line, tip, d, tipD, tipY } of this.parts.lines) {
      show(line.parentNode, !this.hidden(edges[edge].source));
      line.setAttribute("d", d.replace(/(-?[\d.]+) (-?[\d.]+)/g, (_, x, y) => `${x} ${Math.round(at(Number(y)) * 10) / 10}`));
      if (tip) tip.setAttribute("d", tipD.replace(/(-?[\d.]+) (-?[\d.]+)/g, (_, x, y) => `${x} ${Math.round((Number(y) + at(tipY) - tipY) * 10) / 10}`));
    }
    for (const { e, y, h: tall, edge } of this.parts.tags) {
      show(e, !this.hidden(edges[edge].source));
      move(e, y + tall / 2);
    }
    this.height = at(this.data.height);
    this.painted.clear();
    this.onarrange?.();
  }

  /** Where everything was drawn. */
  measure() {
    const number_ = (e, k) => Number(e.getAttribute(k));
    const second = (d) => Number(d.match(/-?[\d.]+ (-?[\d.]+)/)?.[1] ?? 0);
    const parts = { frames: new Map(), markers: [], lines: [], tags: [] };
    for (const [p, t] of Object.entries(this.data.states)) {
      if (!t.inside) continue;
      const rects = [...this.groups.get(p).children].filter((c) => c.tagName === "rect");
      const frames = rects.filter((e) => e.classList.contains("f-lane") || Math.abs(number_(e, "height") - t.h) < 0.2 && number_(e, "height") > HEAD);
      parts.frames.set(p, frames.map((e) => ({ e, y: number_(e, "y"), h: number_(e, "height"), lane: e.classList.contains("f-lane") })));
    }
    for (const [scope, ids] of Object.entries(this.data.markers)) {
      for (const id of ids) {
        const e = this.svg.querySelector(`#${CSS.escape(id)}`);
        if (!e) continue;
        const y = e.tagName === "circle" ? number_(e, "cy") : second(e.querySelector("path").getAttribute("d"));
        parts.markers.push({ e, y, scope });
      }
    }
    for (const [edge, [group, tag]] of this.edges) {
      const line = group.querySelector(".wire"), tip = group.querySelector(".tip");
      const tipD = tip?.getAttribute("d") ?? "";
      parts.lines.push({ edge, line, tip, d: line.getAttribute("d"), tipD, tipY: second(tipD) });
      const rect = tag?.querySelector("rect");
      if (rect) parts.tags.push({ edge, e: tag, y: number_(rect, "y"), h: number_(rect, "height") });
    }
    return parts;
  }

  // -- the pointer

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
    else if (e.key === "c") this.toggle(g.sflabPointer);
    else if (e.key.startsWith("Arrow")) this.neighbour(g.sflabPointer, e.key.slice(5))?.focus();
    else return;
    e.preventDefault();
    e.stopPropagation();
  }

  /** The nearest state in a direction: straight on counts more than aside. */
  neighbour(pointer, direction) {
    const here = this.place[pointer];
    const [dx, dy] = { Left: [-1, 0], Right: [1, 0], Up: [0, -1], Down: [0, 1] }[direction];
    // What holds others is where its title is.
    const centre = (t) => [t.x + t.w / 2, t.y + Math.min(t.h, 40) / 2];
    const [x, y] = centre(here);
    let best = null, least = Infinity;
    for (const [p, t] of Object.entries(this.place)) {
      if (p === pointer || t.hidden) continue;
      const [tx, ty] = centre(t);
      const along = (tx - x) * dx + (ty - y) * dy, aside = Math.abs((tx - x) * dy) + Math.abs((ty - y) * dx);
      if (along > 4 && along + 2.2 * aside < least) [best, least] = [p, along + 2.2 * aside];
    }
    return best && this.groups.get(best);
  }
}

/** Intervals, sorted and joined where they touch. */
function joined(intervals) {
  const out = [];
  for (const [a, b] of intervals.sort((x, y) => x[0] - y[0])) {
    if (out.length && a <= out.at(-1)[1]) out.at(-1)[1] = Math.max(out.at(-1)[1], b);
    else out.push([a, b]);
  }
  return out;
}

/** What is left of some intervals without the others; both sorted and joined. */
function without(intervals, others) {
  const out = [];
  for (let [a, b] of intervals) {
    for (const [c, d] of others) {
      if (d <= a || c >= b) continue;
      if (c > a) out.push([a, c]);
      a = Math.max(a, d);
    }
    if (a < b) out.push([a, b]);
  }
  return out;
}
