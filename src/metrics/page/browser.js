/**
 * The script of the monitoring page (page.ts puts it into the page). It asks /facts.json at an interval, computes what happened
 * between two answers, and draws it. It makes all elements itself and sets text only as text, so no name of a command or a
 * key can be markup. `window` is the only outside that it knows, which lets a test hand it another one.
 */
const { document } = window;
const SVG = "http://www.w3.org/2000/svg";
/** Points of the charts: ten minutes at two seconds. */
const POINTS_MAX = 300;
const MISSED = "–";

// ---- text ----

const UNITS = ["", " k", " M", " G", " T"];
const BYTE_UNITS = [" B", " KiB", " MiB", " GiB", " TiB"];

function scaled(value, base, units) {
  if (!Number.isFinite(value)) return MISSED;
  let unit = 0;
  let left = value;
  while (Math.abs(left) >= base && unit < units.length - 1) {
    left /= base;
    unit++;
  }
  const digits = unit === 0 ? (left < 10 && !Number.isInteger(left) ? 1 : 0) : left >= 100 ? 0 : left >= 10 ? 1 : 2;
  return left.toFixed(digits) + units[unit];
}
const countText = (value) => scaled(value, 1000, UNITS);
const bytesText = (value) => scaled(value, 1024, BYTE_UNITS);
const byteRateText = (value) => (Number.isFinite(value) ? `${bytesText(value)}/s` : MISSED);
const percentText = (share) => (Number.isFinite(share) ? `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %` : MISSED);

function secondsText(seconds) {
  if (!Number.isFinite(seconds)) return MISSED;
  if (seconds === 0) return "0";
  if (seconds < 1e-3) return `${(seconds * 1e6).toFixed(seconds < 1e-5 ? 1 : 0)} µs`;
  if (seconds < 1) return `${(seconds * 1e3).toFixed(seconds < 0.01 ? 2 : seconds < 0.1 ? 1 : 0)} ms`;
  return `${seconds.toFixed(seconds < 10 ? 2 : 0)} s`;
}

function durationText(seconds) {
  const parts = [
    [Math.floor(seconds / 86400), "d"],
    [Math.floor(seconds / 3600) % 24, "h"],
    [Math.floor(seconds / 60) % 60, "min"],
    [Math.floor(seconds) % 60, "s"],
  ];
  const first = Math.max(
    0,
    parts.findIndex(([value]) => value > 0),
  );
  const shown = first < 0 ? parts.slice(-1) : parts.slice(first, first + 2);
  return shown.map(([value, unit]) => `${value} ${unit}`).join(" ");
}
const clockText = (seconds) => new Date(seconds * 1000).toTimeString().slice(0, 8);

// ---- what happened between two answers ----

/** Percentile of the calls in buckets that are bounded by `bounds`, s, interpolated; NaN = there were none. */
function percentile(bounds, counts, share) {
  let total = 0;
  for (const count of counts) total += count;
  if (total === 0) return Number.NaN;
  let left = share * total;
  for (let i = 0; i < counts.length; i++) {
    if (counts[i] >= left && counts[i] > 0) {
      const upper = bounds[Math.min(i, bounds.length - 1)];
      const lower = i === 0 ? 0 : bounds[i - 1];
      return lower + (upper - lower) * (left / counts[i]);
    }
    left -= counts[i];
  }
  return bounds.at(-1);
}

const byName = (list, name) => new Map(list.map((each) => [each[name], each]));

function callsBetween(before, now) {
  const old = byName(before.classes, "name");
  const all = now.bounds.map(() => 0).concat(0);
  for (const { name, counts } of now.classes) {
    const earlier = old.get(name)?.counts ?? [];
    for (let i = 0; i < counts.length; i++) all[i] += Math.max(0, counts[i] - (earlier[i] ?? 0));
  }
  return all;
}

/** Figures of the time between two answers of the same run of the server. */
function between(before, now) {
  const seconds = Math.max(1e-3, now.now_seconds - before.now_seconds);
  const rate = (name) => Math.max(0, now.count[name] - before.count[name]) / seconds;
  const hits = rate("hits");
  const calls = callsBetween(before, now);
  const oldWorkers = byName(before.workers, "worker");
  return {
    at: now.now_seconds,
    ops: rate("commands"),
    hits: hits / (hits + rate("misses")),
    input: rate("input_bytes"),
    output: rate("output_bytes"),
    connections: rate("connections"),
    rejected: rate("rejected"),
    evicted: rate("evicted"),
    expired: rate("expired"),
    errors: rate("errors"),
    p50: percentile(now.bounds, calls, 0.5),
    p99: percentile(now.bounds, calls, 0.99),
    p999: percentile(now.bounds, calls, 0.999),
    cpu: Math.max(0, now.cpu_seconds - before.cpu_seconds) / seconds,
    busiest: Math.max(
      ...now.workers.map((each) => (each.cpu_seconds - (oldWorkers.get(each.worker)?.cpu_seconds ?? 0)) / seconds),
    ),
    used: now.memory.used,
    resident: now.memory.resident,
    data: now.memory.data,
    clients: now.clients.connected,
    blocked: now.clients.blocked,
    delay: Math.max(...now.workers.map((each) => each.loop_delay_seconds)),
    behind: Math.max(...now.workers.map((each) => each.loop_behind_seconds)),
  };
}

// ---- elements ----

function make(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}
function draw(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}
function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}
const part = (id) => document.getElementById(id);

/** Sets text only where it has changed, so that a selection of the user stays. */
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// ---- tiles ----

const TILES = [
  ["Operations", (_facts, f) => `${countText(f.ops)}/s`],
  ["Latency p50", (_facts, f) => secondsText(f.p50)],
  ["Latency p99", (_facts, f) => secondsText(f.p99)],
  ["Hit rate", (_facts, f) => percentText(f.hits)],
  ["Clients", (facts) => `${countText(facts.clients.connected)} of ${countText(facts.clients.most)}`],
  ["Keys", (facts) => countText(facts.databases.reduce((sum, { keys }) => sum + keys, 0))],
  ["Memory", (facts) => `${bytesText(facts.memory.used)} of ${bytesText(facts.memory.limit)}`],
  ["CPU", (_facts, f) => `${percentText(f.cpu)} of a core`],
  ["Evicted", (_facts, f) => `${countText(f.evicted)}/s`],
  ["Expired", (_facts, f) => `${countText(f.expired)}/s`],
  ["Errors", (_facts, f) => `${countText(f.errors)}/s`],
  ["Slow log", (facts) => `${countText(facts.slow_entries)} entries`],
];

function makeTiles() {
  return TILES.map(([title, read]) => {
    const value = make("dd", {}, MISSED);
    part("tiles").append(make("div", { class: "tile" }, make("dt", {}, title), value));
    return { value, read };
  });
}

// ---- charts ----

/** Title, text of a value, base of its units (0: the scale is logarithmic), and the lines. */
const CHARTS = [
  ["Operations per second", countText, 1000, [["operations", (f) => f.ops]]],
  [
    "Latency",
    secondsText,
    0,
    [
      ["p50", (f) => f.p50],
      ["p99", (f) => f.p99],
      ["p99.9", (f) => f.p999],
    ],
  ],
  [
    "Memory",
    bytesText,
    1024,
    [
      ["used", (f) => f.used],
      ["resident", (f) => f.resident],
    ],
  ],
  [
    "Network",
    byteRateText,
    1024,
    [
      ["received", (f) => f.input],
      ["sent", (f) => f.output],
    ],
  ],
  [
    "CPU, cores",
    (value) => (Number.isFinite(value) ? value.toFixed(2) : MISSED),
    1000,
    [
      ["process", (f) => f.cpu],
      ["busiest worker", (f) => f.busiest],
    ],
  ],
  [
    "Clients",
    countText,
    1000,
    [
      ["connected", (f) => f.clients],
      ["blocked", (f) => f.blocked],
    ],
  ],
  [
    "Event loop delay, worst worker",
    secondsText,
    1000,
    [
      ["delay", (f) => f.delay],
      ["behind", (f) => f.behind],
    ],
  ],
  [
    "Evicted, expired, refused per second",
    countText,
    1000,
    [
      ["evicted keys", (f) => f.evicted],
      ["expired keys", (f) => f.expired],
      ["refused connections", (f) => f.rejected],
    ],
  ],
];

const HEIGHT = 150;
const TOP = 8;
const BOTTOM = 20;
const LEFT = 64;
const RIGHT = 8;
const WIDTH_UNKNOWN = 340;
/** Width of two times beside each other. */
const LABELS = 120;

/** The least round number of a unit that is not below `value`. Units are powers of `base`. */
function roundUp(value, base) {
  if (!(value > 0)) return 1;
  const unit = base ** Math.floor(Math.log(value) / Math.log(base));
  const steps = value < 1 ? [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5] : [];
  return [...steps, 1, 2, 5, 10, 20, 50, 100, 200, 500, base]
    .map((step) => step * unit)
    .find((round) => round >= value * 0.9999);
}

/** How high a value is, 0 to 1, and the values that have a line across. */
function linear(most) {
  return { share: (value) => value / most, marks: [0, most / 2, most] };
}
/** From one microsecond on, a line for each power of ten. */
function logarithmic(most) {
  const decades = Math.max(2, Math.ceil(Math.log10(Math.max(most, 1e-5)) + 6));
  const marks = Array.from({ length: decades + 1 }, (_, i) => 10 ** (i - 6));
  return { share: (value) => Math.max(0, Math.log10(Math.max(value, 1e-6)) + 6) / decades, marks };
}

class Chart {
  constructor([title, text, base, series]) {
    this.title = title;
    this.text = text;
    this.base = base;
    this.series = series;
    /** Index of the point that is looked at, -1 = the newest. */
    this.at = -1;
    this.points = [];
    this.svg = draw("svg", { role: "img", tabindex: 0, height: HEIGHT });
    this.when = make("span", { class: "when" });
    this.values = series.map(() => make("b"));
    const legend = make(
      "p",
      { class: "legend" },
      ...series.map(([name], i) =>
        make("span", { class: "entry" }, make("i", { class: `swatch s${i}` }), `${name} `, this.values[i]),
      ),
      this.when,
    );
    this.figure = make("figure", { class: "card" }, make("figcaption", {}, title), legend, this.svg);
    this.svg.addEventListener("pointermove", (event) => this.point(event.offsetX));
    this.svg.addEventListener("pointerleave", () => this.look(-1));
    this.svg.addEventListener("keydown", (event) => this.key(event));
    this.svg.addEventListener("blur", () => this.look(-1));
  }

  get width() {
    return this.svg.clientWidth || WIDTH_UNKNOWN;
  }

  point(x) {
    const { length } = this.points;
    const share = (x - LEFT) / (this.width - LEFT - RIGHT);
    this.look(Math.max(0, Math.min(length - 1, length - 1 - Math.round((1 - share) * (this.across - 1)))));
  }

  /** Arrows look at the points one by one, Home and End at the first and the last. */
  key(event) {
    const last = this.points.length - 1;
    const now = this.at < 0 ? last : this.at;
    const to = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: last, Escape: -1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.look(to < 0 && event.key !== "Escape" ? 0 : to >= last ? -1 : to);
  }

  look(at) {
    this.at = at;
    this.draw(this.points);
  }

  /** Points that fill the width. */
  get across() {
    return Math.max(30, this.points.length);
  }

  draw(points) {
    this.points = points;
    const { width, series, text } = this;
    const values = series.map(([, read]) => points.map(read));
    const highest = Math.max(0, ...values.flat().filter(Number.isFinite));
    const scale = this.base === 0 ? logarithmic(highest) : linear(roundUp(highest, this.base));
    const x = (i) => width - RIGHT - ((points.length - 1 - i) / (this.across - 1)) * (width - LEFT - RIGHT);
    const y = (value) => HEIGHT - BOTTOM - scale.share(value) * (HEIGHT - TOP - BOTTOM);
    this.svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    const parts = scale.marks.flatMap((mark) => [
      draw("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(mark), y2: y(mark) }),
      draw("text", { class: "axis", x: LEFT - 6, y: y(mark) + 4, "text-anchor": "end" }, text(mark)),
    ]);
    values.forEach((line, i) => {
      parts.push(draw("path", { class: `line s${i}`, d: pathOf(line, x, y) }));
    });
    const at = this.at < 0 ? points.length - 1 : Math.min(this.at, points.length - 1);
    if (points.length > 0) {
      if (width - RIGHT - x(0) > LABELS)
        parts.push(draw("text", { class: "axis", x: x(0), y: HEIGHT - 5 }, clockText(points[0].at)));
      parts.push(
        draw(
          "text",
          { class: "axis", x: width - RIGHT, y: HEIGHT - 5, "text-anchor": "end" },
          clockText(points.at(-1).at),
        ),
      );
      if (this.at >= 0)
        parts.push(draw("line", { class: "cross", x1: x(at), x2: x(at), y1: TOP, y2: HEIGHT - BOTTOM }));
      values.forEach((line, i) => {
        if (Number.isFinite(line[at]))
          parts.push(draw("circle", { class: `dot s${i}`, cx: x(at), cy: y(line[at]), r: 4 }));
      });
    }
    this.svg.replaceChildren(...parts);
    this.say(points[at], values, at);
  }

  say(point, values, at) {
    const said = this.series.map(([name], i) => `${name} ${this.text(values[i][at])}`);
    this.values.forEach((element, i) => {
      write(element, this.text(values[i][at]));
    });
    const when = this.at < 0 || point === undefined ? "" : `at ${clockText(point.at)}`;
    write(this.when, when);
    this.svg.setAttribute("aria-label", `${this.title}: ${said.join(", ")} ${when}`.trim());
  }
}

/** A line through the values; it is interrupted where there is none. */
function pathOf(values, x, y) {
  let path = "";
  let isDrawing = false;
  values.forEach((value, i) => {
    if (Number.isFinite(value)) path += `${isDrawing ? "L" : "M"}${x(i).toFixed(1)} ${y(value).toFixed(1)}`;
    isDrawing = Number.isFinite(value);
  });
  return path;
}

// ---- what memory is used for ----

const LEVELS = [
  ["Used, of the limit", (m) => [m.used, m.limit]],
  ["Resident, of the machine", (m) => [m.resident, m.machine]],
  ["Data, of used", (m) => [m.data, m.used]],
  ["Clients, of used", (m) => [m.clients, m.used]],
  ["JavaScript, of used", (m) => [m.heap, m.used]],
  ["Dead records, of frames", (m) => [m.dead, m.frames]],
  ["On disk, of all data", (m) => m.tier && [m.tier.live, m.tier.live + m.data]],
  ["Data, of the files on disk", (m) => m.tier && [m.tier.live, m.tier.files]],
];

function makeLevels() {
  return LEVELS.map(([title, read]) => {
    const meter = make("meter", { min: 0, max: 1, "aria-label": title });
    const value = make("span", { class: "value" });
    const level = make("div", { class: "level" }, make("span", {}, title), meter, value);
    part("levels").append(level);
    return { level, meter, value, read };
  });
}

// ---- tables ----

/** Each column: title, what orders it, and its text. The first one is the name of the row. */
const TABLES = {
  commands: {
    empty: "No command has run yet.",
    order: 2,
    columns: [
      ["Command", (row) => row.command, String],
      ["Calls/s", (row) => row.rate, countText],
      ["Time", (row) => row.share, percentText],
      ["Mean", (row) => row.mean, secondsText],
      ["Calls", (row) => row.calls, countText],
      ["Failed", (row) => row.failed, countText],
    ],
  },
  workers: {
    empty: "",
    order: 0,
    columns: [
      ["Worker", (row) => row.worker, String],
      ["Ops/s", (row) => row.ops_per_second, countText],
      ["CPU", (row) => row.cpu, percentText],
      ["Clients", (row) => row.clients, countText],
      ["Heap", (row) => row.heap_bytes, bytesText],
      ["Delay, most", (row) => row.loop_delay_max_seconds, secondsText],
    ],
  },
  databases: {
    empty: "No keys.",
    order: 1,
    columns: [
      ["Database", (row) => row.db, String],
      ["Keys", (row) => row.keys, countText],
      ["With a deadline", (row) => row.expiring, countText],
      ["Mean time left", (row) => row.ttl_seconds, (value) => (value === 0 ? MISSED : durationText(value))],
    ],
  },
  errors: {
    empty: "No error was replied.",
    order: 1,
    columns: [
      ["Error", (row) => row.error, String],
      ["Replies", (row) => row.count, countText],
    ],
  },
};

class Table {
  constructor(id, { empty, order, columns }) {
    this.columns = columns;
    this.order = order;
    this.isReversed = false;
    this.rows = [];
    this.heads = columns.map(([title], i) => {
      const button = make("button", { type: "button" }, title);
      button.addEventListener("click", () => this.orderBy(i));
      return make("th", { scope: "col" }, button);
    });
    this.body = make("tbody");
    this.empty = make("p", { class: "empty" }, empty);
    const table = make("table", {}, make("thead", {}, make("tr", {}, ...this.heads)), this.body);
    part(id).append(make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": id }, table), this.empty);
  }

  orderBy(column) {
    this.isReversed = column === this.order && !this.isReversed;
    this.order = column;
    this.draw(this.rows);
  }

  draw(rows) {
    this.rows = rows;
    this.empty.hidden = rows.length > 0;
    const { columns, order, heads } = this;
    const read = columns[order][1];
    const isText = rows.length > 0 && typeof read(rows[0]) === "string";
    const way = (isText || order === 0 ? 1 : -1) * (this.isReversed ? -1 : 1);
    heads.forEach((head, i) => {
      if (i === order) head.setAttribute("aria-sort", way === 1 ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
    const number = (row) => (Number.isFinite(read(row)) ? read(row) : -1);
    const sorted = rows.toSorted((a, b) =>
      isText ? way * (read(a) < read(b) ? -1 : 1) : way * (number(a) - number(b)),
    );
    this.body.replaceChildren(
      ...sorted.map((row) =>
        make(
          "tr",
          {},
          ...columns.map(([, get, text], i) =>
            make(i === 0 ? "th" : "td", i === 0 ? { scope: "row" } : {}, text(get(row))),
          ),
        ),
      ),
    );
  }
}

function commandRows(before, now) {
  const seconds = now.now_seconds - before.now_seconds;
  const old = byName(before.commands, "command");
  let time = 0;
  const rows = now.commands.map((each) => {
    const earlier = old.get(each.command);
    const calls = each.calls - (earlier?.calls ?? 0);
    const spent = each.seconds - (earlier?.seconds ?? 0);
    time += spent;
    return { ...each, rate: calls / seconds, spent, mean: calls > 0 ? spent / calls : Number.NaN };
  });
  return rows.map((row) => ({ ...row, share: time > 0 ? row.spent / time : 0, failed: row.failed + row.rejected }));
}

function workerRows(before, now) {
  const seconds = now.now_seconds - before.now_seconds;
  const old = byName(before.workers, "worker");
  return now.workers.map((each) => ({
    ...each,
    cpu: (each.cpu_seconds - (old.get(each.worker)?.cpu_seconds ?? 0)) / seconds,
  }));
}

// ---- the page ----

class Page {
  constructor() {
    this.before = null;
    this.points = [];
    this.isPaused = false;
    this.timer = 0;
    this.tiles = makeTiles();
    this.charts = CHARTS.map((each) => new Chart(each));
    part("charts").append(...this.charts.map(({ figure }) => figure));
    this.levels = makeLevels();
    this.tables = Object.fromEntries(Object.entries(TABLES).map(([id, table]) => [id, new Table(id, table)]));
    part("pause").addEventListener("click", () => this.pause(!this.isPaused));
    part("every").addEventListener("change", () => this.again(0));
    part("theme").addEventListener("change", () => this.choose(part("theme").value));
    this.choose(remembered());
    document.addEventListener("visibilitychange", () => document.hidden || this.again(0));
    window.addEventListener("resize", () => {
      for (const chart of this.charts) chart.draw(this.points);
    });
  }

  get everyMs() {
    return Number(part("every").value) * 1000;
  }

  pause(isPaused) {
    this.isPaused = isPaused;
    part("pause").setAttribute("aria-pressed", String(isPaused));
    this.again(0);
  }

  choose(theme) {
    part("theme").value = theme;
    document.documentElement.setAttribute("data-theme", theme);
    remember(theme);
  }

  again(afterMs) {
    window.clearTimeout(this.timer);
    if (!this.isPaused) this.timer = window.setTimeout(() => this.ask(), afterMs);
  }

  /** Asks, unless nobody looks. */
  async ask() {
    if (document.hidden) return;
    try {
      const response = await window.fetch("facts.json", { cache: "no-store" });
      if (!response.ok) throw new Error(`the server answers ${response.status}`);
      this.show(await response.json());
      this.tell([]);
    } catch (thrown) {
      this.tell([`No answer: ${thrown.message}. Trying again.`]);
    }
    this.again(this.everyMs);
  }

  tell(problems) {
    const banner = part("banner");
    banner.hidden = problems.length === 0;
    write(banner, problems.join(" "));
  }

  show(now) {
    const { before } = this;
    write(part("version"), now.version);
    write(part("about"), `up ${durationText(now.uptime_seconds)}, ${now.workers.length} workers, process ${now.pid}`);
    const isReady = now.not_ready.length === 0;
    part("state").className = isReady ? "good" : "bad";
    write(part("state"), isReady ? "ready" : `not ready: ${now.not_ready.join("; ")}`);
    this.before = now;
    if (before === null || before.run_id !== now.run_id) {
      this.points = [];
      return;
    }
    const figures = between(before, now);
    this.points = [...this.points, figures].slice(-POINTS_MAX);
    for (const { value, read } of this.tiles) write(value, read(now, figures));
    for (const chart of this.charts) chart.draw(this.points);
    this.showMemory({ ...now.memory, clients: now.clients.bytes, tier: now.tier });
    const { commands, workers, databases, errors } = this.tables;
    commands.draw(commandRows(before, now));
    workers.draw(workerRows(before, now));
    databases.draw(now.databases.filter(({ keys }) => keys > 0));
    errors.draw(now.errors.map(([error, count]) => ({ error, count })));
  }

  showMemory(memory) {
    for (const { level, meter, value, read } of this.levels) {
      const found = read(memory);
      // There are no levels of a disk tier without one.
      level.hidden = found === null;
      if (found === null) continue;
      const [used, of] = found;
      const share = of > 0 ? Math.min(1, used / of) : 0;
      meter.value = share;
      write(value, `${bytesText(used)} of ${bytesText(of)}, ${percentText(share)}`);
    }
  }
}

/** The theme that was chosen in this browser. Storage may be forbidden. */
function remembered() {
  try {
    const theme = window.localStorage.getItem("ferrite-theme");
    return ["light", "dark"].includes(theme) ? theme : "auto";
  } catch {
    return "auto";
  }
}
function remember(theme) {
  try {
    window.localStorage.setItem("ferrite-theme", theme);
  } catch {
    // The choice lasts as long as the page.
  }
}

new Page().again(0);
