// The first half of the live graph's script (widget.js is the other; they are joined before they are sent): how elements
// are made, and the panel that shows what is known of the chosen state, or of the execution.
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
  constructor(store, statuses, states) {
    Object.assign(this, { store, statuses, states, pointer: null, chosen: null, closed: new Set(["Definition"]) });
    this.element = h("aside", { class: "panel", "aria-label": "Details", tabindex: "-1" });
  }

  choose(pointer) {
    this.pointer = pointer;
    this.chosen = null;
  }

  draw(position) {
    const id = this.store.event(position);
    const content = this.pointer ? this.state(id) : this.execution(id, position);
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

  section(name, value, { visit = null, field = name.toLowerCase(), unfold = false } = {}) {
    const found = this.store.text(visit, field, value);
    if (!found) return null;
    const shown = (found.whole && pretty(found.text, unfold)) || [found.text];
    const copy = h("button", {
      type: "button", class: "copy", title: `Copy the ${name.toLowerCase()}`, "aria-label": `Copy the ${name.toLowerCase()}`,
      onclick: (e) => { e.preventDefault(); this.copy(copy, found.text); },
    }, icon(ICONS.copy, 14));
    const details = h("details", {
      open: !this.closed.has(name),
      ontoggle: () => this.closed[details.open ? "delete" : "add"](name),
    }, h("summary", {}, name, h("span", { class: "size" }, found.length > 1000 ? `${(found.length / 1000).toFixed(1)} kB` : ""), copy),
      h("pre", { tabindex: "0" }, ...shown, found.whole ? "" : "…"),
      found.whole ? null : h("button", {
        type: "button", class: "more",
        onclick: (e) => { e.target.textContent = "asking the kernel …"; this.store.model.send({ type: "text", visit, field }); },
      }, `Load all ${(found.length / 1000).toFixed(0)} kB`));
    return details;
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

  error(error, cause, visit) {
    if (!error && !cause) return null;
    return h("section", { class: "error" }, h("h4", {}, error ?? "error"), this.section("Cause", cause, { visit, unfold: true }));
  }

  // -- the execution

  execution(id, position) {
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

  state(id) {
    const { pointer, store } = this;
    const visits = store.visits(pointer, id);
    let at = visits.indexOf(this.chosen);
    // Of several visits, show at first the last one that is as the state is coloured: the one that failed, say.
    if (at < 0) at = visits.findLastIndex((i) => store.status(i, id) === store.mark(pointer, id)?.[1]);
    if (at < 0) at = visits.length - 1;
    const visit = visits[at];
    const v = visit === undefined ? null : store.run.visits[visit];
    const status = v ? store.status(visit, id) : "IDLE";
    const tries = v ? v.tries.filter((t) => t.id <= id) : [];
    return {
      key: [visits.length, visit, status, tries.map((t) => t.end !== null && t.end <= id), v?.exit !== null && v?.exit <= id, v && store.run.running ? [v.next, v.exited] : 0],
      make: () => [this.heading(status), ...(v ? this.visit(visits, at, status, tries, id) : [
        h("p", { class: "tip" }, store.run.marks[pointer] ? "Not reached yet at this point of the history." : "This run did not reach this state."),
      ]), this.section("Definition", JSON.stringify(store.definition(pointer) ?? null), { visit: pointer })].filter(Boolean),
    };
  }

  heading(status) {
    const known = this.states[this.pointer];
    return h("header", {}, h("h3", {}, known.name), h("span", { class: "kind" }, known.type), this.pill(status),
      h("button", { type: "button", class: "close", title: "Back to the execution (Esc)", "aria-label": "Back to the execution", onclick: () => this.onclose() }, icon(ICONS.close, 14)));
  }

  visit(visits, at, status, tries, id) {
    const { store } = this;
    const visit = visits[at], v = store.run.visits[visit];
    const gone = v.exit !== null && v.exit <= id;
    const settled = gone || ["FAILED", "ABORTED", "CAUGHT", "TIMED_OUT"].includes(status);
    const last = tries.length ? tries[tries.length - 1] : null;
    const failing = status === "RETRYING" ? last?.error : settled ? v.error : null;
    const path = v.path.map(([name, i]) => `${name}[${i}]`).join(" › ");
    return [
      visits.length > 1 ? this.chooser(visits, at, id) : null,
      failing ? this.error(failing, settled ? v.cause : null, visit) : null,
      this.facts([
        ["In", path], ["Entered", `+${duration(v.entered) || "0 ms"}`],
        ["Took", settled && v.seconds !== null ? duration(v.seconds) : "still running"],
        ["Attempts", tries.length > 1 ? `${tries.length}` : ""], ["Next", gone ? v.next : ""],
      ]),
      tries.length > 1 ? this.attempts(tries, id) : null,
      this.section("Input", v.input, { visit }),
      gone ? this.section("Output", v.output, { visit }) : null,
    ];
  }

  chooser(visits, at, id) {
    const go = (i) => { this.chosen = visits[i]; this.onchange(); };
    const options = visits.map((index, i) => {
      const v = this.store.run.visits[index];
      const path = v.path.map(([name, n]) => `${name}[${n}]`).join(" › ");
      const word = this.statuses[this.store.status(index, id)]?.word ?? "";
      return h("option", { value: i, selected: i === at }, `${i + 1} of ${visits.length}${path ? ` · ${path}` : ""} · ${word}`);
    });
    return h("div", { class: "chooser" },
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
