// The run, as the kernel sends it, and what of it is looked at: everything, one iteration, or a child execution.

/** One history: the execution's, or a child's. Times are seconds since its first event. */
class Run {
  constructor(run, child = null) {
    this.child = child; // [Map visit, index] of a child execution
    this.take(run);
  }

  take(run) {
    this.run = run;
    this.forget();
  }

  forget() {
    this.byPointer = this.byEdge = null;
  }

  get length() { return this.run.steps.length; }

  /** The id of the last event that has happened at a position. */
  event(position) { return position > 0 && this.length ? this.run.steps[Math.min(position, this.length) - 1][0] : 0; }

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
    return (this.byPointer.get(pointer) ?? []).filter((i) => this.run.visits[i].entry <= id);
  }

  /** The moves along an edge: [event id, edge, visit] in order. */
  moves(edge) {
    if (!this.byEdge) {
      this.byEdge = new Map();
      for (const m of this.run.moves) {
        if (!this.byEdge.has(m[1])) this.byEdge.set(m[1], []);
        this.byEdge.get(m[1]).push(m);
      }
    }
    return this.byEdge.get(edge) ?? [];
  }

  status(visit, id) {
    const changes = this.run.visits[visit].changes;
    const n = upTo(changes, id);
    return n ? changes[n - 1][1] : "IDLE";
  }

  /** The iterations of a Map's visit at an event: [index, status], and how many are in each status. */
  rounds(visit, id) {
    const counts = { SUCCEEDED: 0, FAILED: 0, CANCELLED: 0, RUNNING: 0, IDLE: 0 };
    const list = (this.run.visits[visit].rounds ?? []).map(([n, begun, ended, status]) => {
      const now = ended !== null && ended <= id ? status : begun !== null && begun <= id ? "RUNNING" : "IDLE";
      counts[now] += 1;
      return [n, now];
    });
    return { list, counts };
  }
}

// What a state that stands for several visits shows: the first of these that any of them is in.
const PRECEDENCE = ["RUNNING", "RETRYING", "FAILED", "CAUGHT", "ABORTED", "CANCELLED", "SUCCEEDED"];
const LETTERS = { P: "IDLE", R: "RUNNING", S: "SUCCEEDED", F: "FAILED", T: "TIMED_OUT", A: "ABORTED" };

class Store extends Run {
  constructor(model) {
    super(model.get("run"));
    this.model = model;
    this.definitions = model.get("drawing").definition;
    this.maps = Object.entries(model.get("drawing").states).filter(([, s]) => s.type === "Map").map(([p]) => p);
    this.listeners = new Set();
    this.texts = new Map(); // "child/visit/field" → a whole text that was asked for
    this.flows = new Map(); // "child/visit" → a data flow that was asked for
    this.chosen = new Map(); // pointer of a Map → {visit, index, child}: what is looked at inside it
    this.children = new Map(); // "visit/index" → Run
    this.asked = new Set();
    model.on("msg:custom", (m) => this.receive(m));
    if (this.run.running) model.send({ type: "resync" }); // messages may have come before anybody listened
  }

  receive(m) {
    if (m.type === "all") {
      this.take(m.run);
      this.children.clear();
    }
    else if (m.type === "text") this.texts.set(`${m.child ?? ""}/${m.visit}/${m.field}`, m.text);
    else if (m.type === "flow") this.flows.set(`${m.child ?? ""}/${m.visit}`, m.flow);
    else if (m.type === "child") this.children.set(m.child.join("/"), new Run(m.run, m.child));
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
    const [n, rest] = m.timeline.visits;
    run.timeline = { ...m.timeline, visits: [...run.timeline.visits.slice(0, n), ...rest] };
    if (m.children) {
      run.children = m.children;
      for (const [key, child] of this.children ?? []) if (child.run.running) this.children.delete(key);
    }
    this.forget();
  }

  // -- what is looked at inside a Map

  /** Look at one iteration or child execution of a Map's visit; *index* null: at all of them. */
  choose(pointer, visit, index) {
    for (const p of this.chosen.keys()) if (p.startsWith(`${pointer}/`)) this.chosen.delete(p);
    if (index === null) this.chosen.delete(pointer);
    else this.chosen.set(pointer, { visit, index, child: Boolean(this.of(pointer).run.run.children?.[visit]) });
  }

  /** The Maps around a state, outermost first. */
  around(pointer) { return this.maps.filter((p) => pointer.startsWith(`${p}/`)).sort((a, b) => a.length - b.length); }

  /** The history that a state's visits are in, and which of them are looked at (null: all). */
  of(pointer) {
    let run = this, keep = null;
    if (this.chosen.size) {
      for (const p of this.around(pointer)) {
        const c = this.chosen.get(p);
        if (c?.child) [run, keep] = [this.inside(c.visit, c.index), null];
        else if (c) {
          const of = run;
          keep = (i) => of.run.visits[i]?.outer.some(([v, n]) => v === c.visit && n === c.index);
        }
      }
    }
    return { run, keep };
  }

  /** A child execution; until its history has come, an empty one. */
  inside(visit, index) {
    const key = `${visit}/${index}`;
    const sent = this.run.children?.[visit]?.sent[index];
    if (!this.children.has(key) && sent) this.children.set(key, new Run(sent, [visit, index]));
    if (!this.children.has(key)) {
      if (!this.asked.has(key)) this.model.send({ type: "child", child: [visit, index] });
      this.asked.add(key);
      return new Run({ ...NONE, title: `child ${index}`, begun: this.run.begun, waiting: true }, [visit, index]);
    }
    return this.children.get(key);
  }

  /** The event of a child's history that has happened when this one's has; its last, at the end of this one. */
  moment(run, id, position) {
    if (run === this) return id;
    if (position >= this.length && !this.run.running) return Infinity;
    const now = this.run.begun + (position ? this.run.steps[position - 1][1] : 0) - run.run.begun;
    let n = 0;
    while (n < run.length && run.run.steps[n][1] <= now + 1e-6) n += 1;
    return run.event(n);
  }

  /** How a state looks at a position: [event id, status, visits, retries, done], or null. */
  look(pointer, position) {
    const { run, keep } = this.of(pointer);
    const id = this.moment(run, this.event(position), position);
    if (!keep) return run.mark(pointer, id);
    const slots = new Map();
    let visits = 0, retries = 0, last = null;
    for (const i of run.visits(pointer, id)) {
      if (!keep(i)) continue;
      const v = run.run.visits[i];
      visits += 1;
      retries += Math.max(0, v.tries.filter((t) => t.id <= id).length - 1);
      slots.set(v.outer.map(([o, n]) => `${run.run.visits[o].pointer} ${n}`).join(), run.status(i, id));
      last = i;
    }
    if (!visits) return null;
    const statuses = new Set(slots.values());
    const { list, counts } = run.rounds(last, id);
    return [id, PRECEDENCE.find((s) => statuses.has(s)) ?? "RUNNING", visits, retries, list.length ? `${counts.SUCCEEDED}/${list.length}` : ""];
  }

  /** How far a Map is: "7/10" items. Of a Distributed Map's children only the counts as they stand now are known. */
  done(pointer, position, mark) {
    if (!mark || mark[4]) return mark?.[4] ?? "";
    const visit = this.visits(pointer, Infinity).at(-1);
    const children = this.run.children?.[visit];
    if (!children || position < this.length) return "";
    return `${children.counts.succeeded}/${children.counts.total}`;
  }

  /** Whether an edge was taken, inside what is looked at; undefined where that is everything. */
  taken(edge, { source, target, kind }, position) {
    const { run, keep } = this.of(kind === "start" ? target : source);
    if (run === this && !keep) return undefined;
    if (kind === "start") return this.look(target, position) !== null;
    const id = this.moment(run, this.event(position), position);
    return run.moves(edge).some(([at, , visit]) => at <= id && (!keep || keep(visit)));
  }

  /** The visits to a state that are looked at and have begun: {run, id, list}. */
  seen(pointer, position) {
    const { run, keep } = this.of(pointer);
    const id = this.moment(run, this.event(position), position);
    const list = run.visits(pointer, id);
    return { run, id, list: keep ? list.filter(keep) : list };
  }

  // -- texts

  /** A text as {text, length, whole}: the one asked for, if it has come. */
  text(run, visit, field, value) {
    const asked = this.texts.get(`${run?.child ?? ""}/${visit}/${field}`);
    if (typeof asked === "string") return { text: asked, length: asked.length, whole: true };
    if (typeof value === "string") return { text: value, length: value.length, whole: true };
    return value ? { ...value, whole: false } : null;
  }

  /** A visit's data flow; null until it has come. */
  flow(run, visit) {
    const sent = run.run.visits[visit].flow;
    if (sent === undefined) return [];
    const key = `${run.child ?? ""}/${visit}`;
    const found = sent ?? this.flows.get(key);
    if (!found && !this.asked.has(`flow ${key}`)) {
      this.asked.add(`flow ${key}`);
      this.model.send({ type: "flow", visit, child: run.child });
    }
    return found ?? null;
  }

  /** What the state at a JSON pointer is defined as, without what is inside it. */
  definition(pointer) {
    let at = this.definitions;
    for (const part of pointer.split("/").slice(1)) at = at?.[part.replaceAll("~1", "/").replaceAll("~0", "~")];
    if (!at || typeof at !== "object") return at;
    const brief = { ...at };
    if (Array.isArray(brief.Branches)) brief.Branches = brief.Branches.map((b) => ({ StartAt: b?.StartAt, States: "…" }));
    for (const k of ["ItemProcessor", "Iterator"]) if (brief[k]?.States) brief[k] = { ...brief[k], States: "…" };
    return brief;
  }
}

const NONE = { steps: [], visits: [], marks: {}, moves: [], status: "", running: false, execution: {} };
