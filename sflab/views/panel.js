// The first part of the live graph's script: how elements are made, and the panel that shows what is known of the chosen
// state, or of the execution.
//
// No text of a definition or a history is ever parsed as markup: the drawing arrives as data and is built node by node,
// everything else is set as text.

const SVG = "http://www.w3.org/2000/svg";
const TAGS = new Set(["svg", "g", "path", "rect", "circle", "text", "title"]);

/** An HTML element: h("button", {class: "x", onclick: f}, "text", child, …). Texts become text nodes. */
function h(tag, attributes = {}, ...children) {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(attributes)) {
    if (v === null || v === undefined || v === false) continue;
    if (k.startsWith("on")) e.addEventListener(k.slice(2), v);
    else e.setAttribute(k, v === true ? "" : v);
  }
  e.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));
  return e;
}

/** An SVG element from [tag, attributes, children]. */
function build([tag, attributes, children]) {
  if (!TAGS.has(tag)) return document.createTextNode("");
  const e = document.createElementNS(SVG, tag);
  for (const [k, v] of Object.entries(attributes)) if (!k.startsWith("on") && k !== "href") e.setAttribute(k, v);
  for (const c of children) e.append(typeof c === "string" ? c : build(c));
  return e;
}

const s = (tag, attributes) => build([tag, attributes, []]);

function icon(d, size = 16, weight = 2.2) {
  const path = s("path", {
    d, fill: "none", stroke: "currentColor", "stroke-width": weight, "stroke-linecap": "round", "stroke-linejoin": "round",
  });
  const svg = s("svg", { viewBox: "0 0 24 24", width: size, height: size, "aria-hidden": "true" });
  svg.append(path);
  return svg;
}

const ICONS = {
  first: "M6 5v14M19 5l-9 7 9 7z", back: "M15 5l-8 7 8 7", play: "M7 4.5l12 7.5-12 7.5z", pause: "M8 5v14M16 5v14",
  step: "M9 5l8 7-8 7", last: "M18 5v14M5 5l9 7-9 7z", plus: "M12 5v14M5 12h14", minus: "M5 12h14",
  fit: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5", close: "M6 6l12 12M18 6L6 18",
  fold: "M7 3l5 5 5-5M7 21l5-5 5 5M4 12h16", help: "M8.4 9a3.6 3.6 0 116 2.7c-1.5 1.1-2.4 1.7-2.4 3.5M12 19.3v.2",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1", left: "M14 6l-6 6 6 6", right: "M10 6l6 6-6 6",
};

function duration(x) {
  if (x === null || x === undefined) return "";
  if (x < 1) return x > 0 && x < 0.001 ? `${(x * 1000).toPrecision(2)} ms` : `${Math.round(x * 1000)} ms`;
  if (x < 60) return `${Number(x.toPrecision(3))} s`;
  let left = Math.round(x);
  const parts = [];
  for (const [unit, size] of [["day", 86400], ["h", 3600], ["min", 60], ["s", 1]]) {
    const n = Math.floor(left / size);
    left -= n * size;
    if (n) parts.push(`${n} ${unit}${unit === "day" && n > 1 ? "s" : ""}`);
  }
  return parts.slice(0, 2).join(" ");
}

const count = (n, noun) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;

/** How many of the rows (sorted by their first member, an event id) are at or before the event. */
function upTo(rows, id) {
  let low = 0, high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle][0] <= id) low = middle + 1;
    else high = middle;
  }
  return low;
}

// ── the panel ──────────────────────────────────────────────────────────────────────────────────────────────────────

// What DescribeMapRun counts → how such a child execution looks.
const COUNTED = [["succeeded", "SUCCEEDED"], ["failed", "FAILED"], ["timedOut", "TIMED_OUT"], ["aborted", "ABORTED"], ["running", "RUNNING"], ["pending", "IDLE"]];
const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|true|false|null|[{}[\],:]/g;

/** JSON text, set out and coloured without changing a number; null if it is not JSON. With *unfold*, JSON and lines inside strings too. */
function pretty(text, unfold = false, depth = 0) {
  try {
    JSON.parse(text);
  } catch {
    return null;
  }
  const out = [];
  const line = (n) => `\n${"  ".repeat(n)}`;
  const tokens = text.match(TOKEN) ?? [];
  let level = depth;
  tokens.forEach((t, i) => {
    const next = tokens[i + 1], before = tokens[i - 1];
    if (t === "{" || t === "[") {
      level += 1;
      out.push(t, next === "}" || next === "]" ? "" : line(level));
    } else if (t === "}" || t === "]") {
      level -= 1;
      out.push(before === "{" || before === "[" ? t : line(level) + t);
    } else if (t === ",") out.push(`,${line(level)}`);
    else if (t === ":") out.push(": ");
    else if (t[0] === '"') {
      const inner = unfold && next !== ":" && depth < 12 ? inside(t, level) : null;
      out.push(inner ?? h("span", { class: next === ":" ? "key" : "str" }, t));
    } else out.push(h("span", { class: /[\d-]/.test(t[0]) ? "num" : "lit" }, t));
  });
  return out.flat();
}

/** What is inside a string: more JSON, or several lines; null for a plain one. */
function inside(token, level) {
  const text = JSON.parse(token);
  if (/^\s*[{[]/.test(text)) {
    const nested = pretty(text, true, level);
    if (nested) return [h("span", { class: "unfolded", title: "this was JSON inside a string" }, ...nested)];
  }
  if (!text.includes("\n")) return null;
  return [h("span", { class: "str lines" }, text.split("\n").map((l) => `\n${"  ".repeat(level + 1)}${l}`).join(""))];
}

class Panel {
  constructor(store, { statuses, states, differs }) {
    Object.assign(this, { store, statuses, states, differs, pointer: null, position: 0, chosen: null, closed: new Set(["Definition"]) });
    this.element = h("aside", { class: "panel", "aria-label": "Details", tabindex: "-1" });
  }

  choose(pointer) {
    this.pointer = pointer;
    this.chosen = null;
  }

  draw(position) {
    this.position = position;
    const content = this.pointer ? this.state(position) : this.execution(position);
    const key = JSON.stringify([this.pointer, content.key, this.store.texts.size]);
    if (key === this.key) return;
    this.key = key;
    this.element.replaceChildren(...content.make());
  }

  pill(status) {
    const known = this.statuses[status] ?? { word: status, symbol: "" };
    return h("span", { class: `pill p-${status.toLowerCase()}` }, known.symbol ? icon(known.symbol, 11, 3.2) : null, known.word);
  }

  facts(rows) {
    return h("dl", {}, rows.filter(([, v]) => v !== null && v !== undefined && v !== "").flatMap(([k, v]) => [h("dt", {}, k), h("dd", {}, v)]));
  }

  section(name, value, { visit = null, field = name.toLowerCase(), unfold = false, run = null, notes = [] } = {}) {
    const found = this.store.text(run, visit, field, value);
    if (!found) return null;
    const shown = this.json(found, unfold);
    const copy = h("button", {
      type: "button", class: "copy", title: `Copy the ${name.toLowerCase()}`, "aria-label": `Copy the ${name.toLowerCase()}`,
      onclick: (e) => { e.preventDefault(); this.copy(copy, found.text); },
    }, icon(ICONS.copy, 14));
    const details = h("details", {
      open: !this.closed.has(name),
      ontoggle: () => this.closed[details.open ? "delete" : "add"](name),
    }, h("summary", {}, name, ...notes, h("span", { class: "size" }, found.length > 1000 ? `${(found.length / 1000).toFixed(1)} kB` : ""), copy),
      h("pre", { tabindex: "0" }, ...shown, found.whole ? "" : "…"),
      found.whole ? null : h("button", {
        type: "button", class: "more",
        onclick: (e) => { e.target.textContent = "asking the kernel …"; this.store.model.send({ type: "text", visit, field, ...(run?.child ? { child: run.child } : {}) }); },
      }, `Load all ${(found.length / 1000).toFixed(0)} kB`));
    return details;
  }

  /** JSON set out and coloured; a text that is very long is shown as it is, and what no screen shows is left out. */
  json({ text, whole }, unfold) {
    if (text.length > 200_000) return [`${text.slice(0, 200_000)}… (${(text.length / 1000).toFixed(0)} kB; copy for all of it)`];
    return (whole && pretty(text, unfold)) || [text];
  }

  async copy(button, text) {
    let indented = text;
    const set = pretty(text);
    if (set) indented = set.map((t) => (typeof t === "string" ? t : t.textContent)).join("");
    try {
      await navigator.clipboard.writeText(indented);
    } catch { // no permission, or a page that is not served over HTTPS
      const area = h("textarea", { style: "position:fixed;opacity:0" });
      area.value = indented;
      this.element.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    button.classList.add("done");
    setTimeout(() => button.classList.remove("done"), 900);
  }

  error(error, cause, visit, run = null) {
    if (!error && !cause) return null;
    return h("section", { class: "error" }, h("h4", {}, error ?? "error"), this.section("Cause", cause, { visit, run, unfold: true }));
  }

  // -- the execution

  execution(position) {
    const { run, length } = this.store;
    const over = position >= length && !run.running;
    const status = position ? (over ? run.status : "RUNNING") : "IDLE";
    const { input, output, error, cause } = run.execution;
    return {
      key: [status, over, length && run.running ? length : 0],
      make: () => [
        h("header", {}, h("h3", {}, "Execution"), this.pill(status)),
        over ? this.error(typeof error === "string" ? error : null, cause, null) : null,
        this.facts([
          ["Differs", Object.keys(this.differs).length ? `in ${count(Object.keys(this.differs).length, "state")} (≠)` : ""],
          ["Events", length.toLocaleString("en")], ["Visits", run.visits.length.toLocaleString("en")],
          ["Took", length ? duration(run.steps[length - 1][1]) : ""],
          ["Began", length ? new Date(run.begun * 1000).toISOString().replace("T", " ").replace(/\.\d+Z$/, " UTC") : ""],
        ]),
        this.section("Input", input),
        over ? this.section("Output", output) : null,
        h("p", { class: "tip" }, "Click a state to see its input, output and error; drag the slider or press Play to see how the run got here."),
      ].filter(Boolean),
    };
  }

  // -- a state

  state(position) {
    const { pointer, store } = this;
    const { run, id, list: visits } = store.seen(pointer, position);
    const mark = store.look(pointer, position);
    let at = visits.indexOf(this.chosen);
    // Of several visits, show at first the last one that is as the state is coloured: the one that failed, say.
    if (at < 0) at = visits.findLastIndex((i) => run.status(i, id) === mark?.[1]);
    if (at < 0) at = visits.length - 1;
    const visit = visits[at];
    const v = visit === undefined ? null : run.run.visits[visit];
    const over = position >= store.length && !store.run.running;
    const status = v ? run.status(visit, id) : over ? "SKIPPED" : "IDLE";
    const tries = v ? v.tries.filter((t) => t.id <= id) : [];
    const rounds = v?.rounds ? run.rounds(visit, id) : null;
    const chosen = [...store.chosen].map(([p, c]) => [p, c.visit, c.index]);
    this.visitShown = v ? { run, entry: v.entry } : null;
    return {
      key: [visits.length, visit, status, tries.map((t) => t.end !== null && t.end <= id), v?.exit !== null && v?.exit <= id,
        v && store.run.running ? [v.next, v.exited] : 0, rounds?.counts, chosen, run.run.waiting, store.flows.size, store.children.size, store.run.children?.[visit]?.statuses],
      make: () => [this.heading(status), this.difference(), ...this.inside(pointer), v ? this.counts(visit, rounds, position) : null, this.child(pointer),
        ...(v ? this.visit(run, visits, at, status, tries, id) : [h("p", { class: "tip" }, this.absent(run, over))]),
        this.section("Definition", JSON.stringify(store.definition(pointer) ?? null), { visit: pointer })].filter(Boolean),
    };
  }

  absent(run, over) {
    if (run.run.lost) return run.run.lost;
    if (run.run.waiting) return "Asking the kernel for this child execution …";
    if (run !== this.store || this.store.chosen.size) return "Not reached in what is chosen above.";
    if (this.store.run.marks[this.pointer]) return "Not reached yet at this point of the history.";
    return over ? "This run did not reach this state: it was skipped." : "This run has not reached this state.";
  }

  heading(status) {
    const known = this.states[this.pointer];
    return h("header", {}, h("h3", {}, known.name), h("span", { class: "kind" }, known.type), this.pill(status),
      h("button", { type: "button", class: "close", title: "Back to the execution (Esc)", "aria-label": "Back to the execution", onclick: () => this.onclose() }, icon(ICONS.close, 14)));
  }

  difference() {
    const words = this.differs[this.pointer];
    return words && h("section", { class: "differing" }, h("h4", {}, "≠ The other execution"), h("ul", {}, words.map((w) => h("li", {}, w))));
  }

  visit(run, visits, at, status, tries, id) {
    const visit = visits[at], v = run.run.visits[visit];
    const gone = v.exit !== null && v.exit <= id;
    const settled = gone || ["FAILED", "ABORTED", "CANCELLED", "CAUGHT", "TIMED_OUT"].includes(status);
    const last = tries.length ? tries[tries.length - 1] : null;
    const failing = status === "RETRYING" ? last?.error : settled ? v.error : null;
    const path = v.path.map(([name, i]) => `${name}[${i}]`).join(" › ");
    return [
      visits.length > 1 ? this.chooser(run, visits, at, id) : null,
      failing ? this.error(failing, settled ? v.cause : null, visit, run) : null,
      this.facts([
        ["In", path], ["Entered", `+${duration(v.entered) || "0 ms"}`], ["Left", gone ? `+${duration(v.exited) || "0 ms"}` : ""],
        ["Took", settled && v.seconds !== null ? duration(v.seconds) : "still running"],
        ["Waited", settled && v.seconds !== null && tries.length > 1 ? duration(Math.max(0, v.seconds - tries.reduce((sum, t) => sum + ((t.to ?? t.from) - t.from), 0))) : ""],
        ["Attempts", tries.length > 1 ? `${tries.length}` : ""], ["Next", gone ? v.next : ""],
      ]),
      tries.length > 1 ? this.attempts(tries, id) : null,
      this.section("Input", v.input, { visit, run }),
      ...(settled ? this.flow(run, visit) : []),
      gone ? this.section("Output", v.output, { visit, run }) : null,
      v.variables ? this.section("Variables", v.variables, { visit, run, notes: [h("span", { class: "size" }, "as it could read them")] }) : null,
    ];
  }

  /** What each field made of the data, between the input and the output. */
  flow(run, visit) {
    const rows = this.store.flow(run, visit);
    if (rows === null) return [h("p", { class: "tip" }, "Asking the kernel what each field did …")];
    const same = rows.filter(([, , value]) => value === null).map(([name, given]) => (given ? `${name} ${given}` : "")).filter(Boolean);
    return [
      ...rows.filter(([, , value]) => value !== null).map(([name, given, value, fresh, words]) => {
        const shown = this.json({ text: value, whole: true }, false);
        const keys = new Set(fresh.map((k) => JSON.stringify(k)));
        let depth = 0;
        for (const part of shown) {
          if (typeof part === "string") depth += (part.match(/[{[]/g) ?? []).length - (part.match(/[}\]]/g) ?? []).length;
          else if (depth === 1 && part.classList.contains("key") && keys.has(part.textContent)) part.classList.add("fresh");
        }
        const name_ = `Flow ${name}`;
        const details = h("details", { class: "flow", open: this.closed.has(name_), ontoggle: () => this.closed[details.open ? "add" : "delete"](name_) },
          h("summary", {}, h("b", {}, name), h("code", {}, given), h("span", { class: "size" }, words)), h("pre", { tabindex: "0" }, ...shown));
        return details;
      }),
      same.length ? h("p", { class: "tip same" }, `${same.join(", ")}: nothing changed`) : null,
    ].filter(Boolean);
  }

  // -- Maps

  /** For what is inside Maps: which iteration or child execution of each is looked at. */
  inside(pointer) {
    const { store } = this;
    return [...store.around(pointer), ...(this.states[pointer].type === "Map" ? [pointer] : [])].map((p) => this.rounds(p)).filter(Boolean);
  }

  rounds(pointer) {
    const { store } = this;
    const { run, id, list } = store.seen(pointer, this.position);
    const chosen = store.chosen.get(pointer);
    const visit = chosen?.visit ?? (pointer === this.pointer && list.includes(this.chosen) ? this.chosen : list.at(-1));
    if (visit === undefined || !list.includes(visit)) return null;
    const children = run === store ? store.run.children?.[visit] : null;
    const rounds = children ? [...children.statuses].map((c, n) => [n, LETTERS[c]]) : run.rounds(visit, id).list;
    if (!rounds.length) return null;
    const what = children ? "child execution" : "iteration", name = this.states[pointer].name;
    const pick = (n) => { store.choose(pointer, visit, n); this.onpick(); };
    // Of very many, those that did not succeed and the first ones; the others by their number.
    const listed = rounds.length > 1000 ? rounds.filter(([n, s]) => n < 500 || (s !== "SUCCEEDED" && s !== "IDLE") || n === chosen?.index).slice(0, 2000) : rounds;
    const at = chosen ? chosen.index : -1;
    const label = `Which ${what} of ${name}`;
    const select = h("select", { "aria-label": label, onchange: (e) => pick(e.target.value === "" ? null : Number(e.target.value)) },
      h("option", { value: "", selected: at < 0 }, `all ${(children?.counts.total ?? rounds.length).toLocaleString("en")} ${what}s of ${name}`),
      listed.map(([n, status]) => h("option", { value: n, selected: n === at }, `${what} ${n} of ${name} · ${this.statuses[status]?.word ?? status}`)));
    const step = (name_, label_, to, d) => h("button", { type: "button", disabled: to < -1 || to >= rounds.length, title: label_, "aria-label": label_, onclick: () => pick(to < 0 ? null : to) }, icon(d, 14));
    return h("div", { class: "chooser rounds" }, step("left", `Previous ${what} of ${name} ([)`, at - 1, ICONS.left), select,
      step("right", `Next ${what} of ${name} (])`, at + 1, ICONS.right));
  }

  /** What is known of the child execution that is looked at as a whole. */
  child(pointer) {
    const chosen = this.store.chosen.get(pointer);
    if (!chosen?.child) return null;
    const run = this.store.inside(chosen.visit, chosen.index), { input, output, error, cause } = run.run.execution;
    if (run.run.waiting) return h("p", { class: "tip" }, this.absent(run, true));
    return h("section", { class: "child" }, h("h4", {}, `Child execution ${chosen.index} `, this.pill(run.run.status || "IDLE")),
      this.error(typeof error === "string" ? error : null, cause, null, run), this.section("Child's input", input, { run, field: "input" }),
      this.section("Child's output", output, { run, field: "output" }), run.run.lost ? h("p", { class: "tip" }, run.run.lost) : null);
  }

  /** How the iterations or children of a Map stand, as a bar and in words. */
  counts(visit, rounds, position) {
    const { store } = this;
    const children = position >= store.length && this.states[this.pointer].type === "Map" && store.of(this.pointer).run === store ? store.run.children?.[visit] : null;
    const counts = children ? {} : rounds?.counts;
    for (const [name, status] of children ? COUNTED : []) counts[status] = children.counts[name];
    const all = Object.values(counts ?? {}).reduce((a, b) => a + b, 0);
    if (!all) return null;
    const over = position >= store.length && !store.run.running;
    const some = Object.entries(counts).filter(([, n]) => n);
    const words = some.map(([status, n]) => `${n.toLocaleString("en")} ${status === "IDLE" ? (over ? "not started" : "pending") : this.statuses[status].word}`).join(", ");
    return h("div", { class: "counts", role: "img", "aria-label": `Progress: ${words}` },
      h("div", { class: "bars" }, some.map(([status, n]) => h("i", { class: `p-${status.toLowerCase()}`, style: `flex-grow:${n}` }))), words);
  }

  chooser(run, visits, at, id) {
    const go = (i) => { this.chosen = visits[i]; this.onchange(); };
    const near = visits.length > 1000 ? Math.max(0, Math.min(visits.length - 1000, at - 500)) : 0; // a list of 1,000 at most
    const options = visits.slice(near, near + 1000).map((index, k) => {
      const i = near + k, v = run.run.visits[index];
      const path = v.path.map(([name, n]) => `${name}[${n}]`).join(" › ");
      const word = this.statuses[run.status(index, id)]?.word ?? "";
      return h("option", { value: i, selected: i === at }, `${i + 1} of ${visits.length}${path ? ` · ${path}` : ""} · ${word}`);
    });
    return h("div", { class: "chooser visits" },
      h("button", { type: "button", disabled: at === 0, title: "Previous visit", "aria-label": "Previous visit", onclick: () => go(at - 1) }, icon(ICONS.left, 14)),
      h("select", { "aria-label": "Visit", onchange: (e) => go(Number(e.target.value)) }, options),
      h("button", { type: "button", disabled: at === visits.length - 1, title: "Next visit", "aria-label": "Next visit", onclick: () => go(at + 1) }, icon(ICONS.right, 14)));
  }

  attempts(tries, id) {
    return h("table", {}, h("thead", {}, h("tr", {}, ["Attempt", "At", "Took", "Ended with"].map((t) => h("th", { scope: "col" }, t)))),
      h("tbody", {}, tries.map((t, i) => {
        const over = t.end !== null && t.end <= id;
        return h("tr", {}, h("td", {}, `${i + 1}`), h("td", {}, `+${duration(t.from)}`), h("td", {}, over ? duration(t.to - t.from) : "…"),
          h("td", { class: t.error ? "bad" : "" }, over ? t.error ?? "success" : "…"));
      })));
  }
}
