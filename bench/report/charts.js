"use strict";

const DATA = JSON.parse(document.getElementById("data").textContent);
const MAP_DRAWS = 400; // of the model's; enough to see where two tie
const element = (id) => document.getElementById(id);

// -- words ------------------------------------------------------------------

const SECONDS = [[86400, "days", 172800], [3600, "h", 7200], [60, "min", 120], [1, "s"], [1e-3, "ms"], [1e-6, "µs"], [1e-9, "ns"]];
const BYTES = [[1e12, "TB"], [1e9, "GB"], [1e6, "MB"], [1e3, "kB"], [1, "B"]];

function figures(value, digits = 3) {
  const text = Number(value).toPrecision(digits);
  return text.includes("e") ? Number(value).toFixed(0) : text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

function scaled(value, units) {
  if (value === null || value === undefined) return "–";
  const unit = units.find(([scale, , from]) => value >= 0.9995 * (from ?? scale)) ?? units.at(-1);
  return `${figures(value / unit[0])} ${unit[1]}`;
}

const seconds = (value) => scaled(value, SECONDS);
const byteCount = (value) => scaled(value, BYTES);
const kibibytes = (value) => (value < 2 ** 20 ? `${figures(value / 1024)} KiB` : `${figures(value / 2 ** 20)} MiB`);

function count(value) {
  const short = Number(value).toExponential(0).replace("e+", "e");
  return value >= 10000 && Number(short) === value ? short : Math.round(value).toLocaleString("en");
}

const percent = (value) => (value === null || value === undefined ? "–" : `${Math.round(100 * value)}%`);
const plural = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;

function spread({ median, low, high }) {
  const [from, to] = [seconds(low), seconds(high)];
  const short = from.split(" ")[1] === to.split(" ")[1] ? from.split(" ")[0] : from;
  return `${seconds(median)} (${short}–${to})`;
}

// Labels may come from a result file; plotly would read tags in them.
const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

function make(tag, text, attributes = {}) {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

function fill(select, entries) {
  select.replaceChildren(...entries.map(([value, text]) => make("option", text, { value })));
}

const shapeKey = ({ features, dtype }) => `${features} ${dtype}`;
const shapeName = ({ features, dtype }) => `${plural(features, "feature")}, ${dtype}`;

function unique(values) {
  return [...new Set(values)];
}

// -- the calculator -----------------------------------------------------------

function modelsOf(source, key) {
  const found = DATA.sources[source].models.find((m) => shapeKey(m) === key);
  if (!found) return [];
  found.made ??= found.backends.map((data) => new CostModel(data, found, DATA.constants));
  return found.made;
}

// What the page answers; tests and scripts may call it, too.
function answer({ source = 0, features, dtype, rows, iterations, memory, loopOnly = false }) {
  const models = modelsOf(source, shapeKey({ features, dtype }));
  const all = { ...DATA.sources[source].memory_bytes, ...(memory ? { cpu: memory } : {}) };
  return recommend(models, { rows, iterations, memory: all, loopOnly }, DATA.constants);
}
window.descentbench = { answer, data: DATA };

function whole(input, least) {
  const value = Number(input.value.replace(/[\s,_]/g, ""));
  const good = input.value.trim() !== "" && Number.isFinite(value) && value >= least;
  input.setAttribute("aria-invalid", String(!good));
  return good ? value : null;
}

function calculate() {
  const form = element("calculator").elements;
  const source = Number(form.source.value);
  const rows = whole(form.rows, 1);
  const iterations = whole(form.iterations, 1);
  const memory = whole(form.memory, 0.001);
  const [features, dtype] = form.shape.value.split(" ");
  const say = (sentence, remarks = "") => {
    element("answer").textContent = sentence;
    element("remarks").textContent = remarks;
  };
  element("candidates").replaceChildren();
  if (!form.shape.value) return say("These results hold no set-up times, so no total can be predicted.");
  if (rows === null || iterations === null || memory === null) {
    return say("Rows, iterations and memory must be numbers above 0, such as 1e7.");
  }
  const request = { source, features: Number(features), dtype, rows: Math.round(rows), iterations: Math.round(iterations), memory: memory * 1e9 };
  const found = answer({ ...request, loopOnly: form.loop_only.checked });
  const line = found.lines.find((l) => l.backend === found.pick);
  const takes = `${plural(request.iterations, "iteration")} in ${spread(line.total)}`;
  const device = line.model.device === "cpu" ? "the CPU" : line.model.device;
  const remarks = [];
  if (found.tied.length) remarks.push(`${line.backend} can't be told apart from ${found.tied.join(", ")}; of such, the plainest is taken that costs less than 5 % more.`);
  const named = [line];
  if (line.model.least_squares_only && found.loopPick) {
    const loop = found.lines.find((l) => l.backend === found.loopPick);
    remarks.push(`${line.backend} works since the loss is a sum of squares. For another loss use ${loop.backend}: ${spread(loop.total)}.`);
    named.push(loop);
  }
  for (const l of named) {
    if (l.model.largest < rows) remarks.push(`${l.backend} was measured up to ${plural(l.model.largest, "row")}; what lies beyond is extrapolated.`);
  }
  say(
    found.fits
      ? `Use ${line.backend} on ${device}: ${takes}.`
      : `No backend fits into this memory (${byteCount(line.needs)} needed). With enough of it use ${line.backend}: ${takes}.`,
    remarks.join(" "),
  );
  const head = ["backend", "memory", "set-up", "a step", "total (90 %)", "pays from"];
  const heading = make("tr");
  head.forEach((text, i) => heading.append(make("th", text, { class: i ? "number" : "" })));
  const table = make("tbody");
  for (const l of found.lines) {
    if (form.loop_only.checked && l.model.least_squares_only) continue;
    const row = make("tr", undefined, { class: l.backend === found.pick ? "pick" : "" });
    const even = l.breakEven === null ? "never" : l.breakEven <= 1 ? "1" : count(Number(l.breakEven.toPrecision(2)));
    const mark = l.backend === found.pick ? `${l.backend} ◂` : l.backend;
    const memoryText = byteCount(l.needs) + (l.fits === false ? " ✗" : "");
    [mark, memoryText, seconds(l.setup), seconds(l.step), spread(l.total), even].forEach((text, i) =>
      row.append(make("td", text, { class: i ? "number" : "" })));
    table.append(row);
  }
  const thead = make("thead");
  thead.append(heading);
  element("candidates").replaceChildren(thead, table);
  return undefined;
}

function startCalculator() {
  const form = element("calculator");
  const { elements } = form;
  fill(elements.source, DATA.sources.map((s, i) => [i, s.label]));
  const chosen = () => {
    const source = DATA.sources[Number(elements.source.value)];
    fill(elements.shape, source.models.map((m) => [shapeKey(m), shapeName(m)]));
    elements.memory.value = figures(source.memory_bytes.cpu / 1e9);
    calculate();
  };
  elements.source.addEventListener("change", chosen);
  form.addEventListener("input", calculate);
  form.addEventListener("submit", (event) => event.preventDefault());
  chosen();
}

// -- figures --------------------------------------------------------------------

function theme() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(`--${name}`).trim();
  return { paper: of("paper"), ink: of("ink"), soft: of("soft"), line: of("line") };
}

function layout(more, narrow) {
  const { paper, ink, soft, line } = theme();
  const axis = { gridcolor: line, zerolinecolor: line, linecolor: soft, tickcolor: soft, automargin: true, exponentformat: "power" };
  const { xaxis = {}, yaxis = {}, ...rest } = more;
  // The longest name of an axis must fit into a phone's figure.
  const named = (given) => ({ ...axis, ...given, title: { ...given.title, font: { size: narrow ? 12 : 15 } } });
  return {
    paper_bgcolor: paper,
    plot_bgcolor: paper,
    font: { color: ink, size: 13, family: "system-ui, DejaVu Sans, sans-serif" },
    margin: { l: 60, r: 16, t: 16, b: 50 },
    legend: { orientation: "h", y: narrow ? -0.36 : -0.22, yanchor: "top", x: 0, traceorder: "normal" },
    hoverlabel: { namelength: -1 },
    ...rest,
    xaxis: named(xaxis),
    yaxis: named(yaxis),
  };
}

const CONFIG = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["lasso2d", "select2d"] };
const drawn = new Map();

function draw(node, traces, more) {
  const job = Plotly.react(node, traces, layout(more, node.clientWidth < 420), CONFIG);
  drawn.set(node, job);
  return job;
}

function look(backend) {
  const { colour, mark, dash } = DATA.styles[backend];
  return { color: colour, mark, dash };
}

function line(backend, x, y, more = {}) {
  const { color, mark, dash } = look(backend);
  return {
    x, y, name: plain(backend), legendgroup: backend, mode: "lines+markers", type: "scatter",
    line: { color, dash, width: 2 }, marker: { color, symbol: mark, size: 8 }, ...more,
  };
}

function translucent(colour, alpha) {
  const [r, g, b] = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
  return `rgba(${r},${g},${b},${alpha})`;
}

// Where the data of a step fill a cache, as lines over rows (or bytes).
function caches(source, perUnit, x = (n) => n) {
  const { soft } = theme();
  const found = Object.entries(source.machine.caches).map(([level, size]) => [level, x(size / perUnit)]);
  return {
    shapes: found.map(([, at]) => ({ type: "line", x0: at, x1: at, yref: "paper", y0: 0, y1: 1, line: { color: soft, width: 1, dash: "dot" } })),
    annotations: found.map(([level, at]) => ({
      x: Math.log10(at), y: 1, yref: "paper", yanchor: "bottom", text: level, showarrow: false, font: { size: 11, color: soft },
    })),
  };
}

const groups = (results, of) => results.reduce((map, r) => map.set(of(r), [...(map.get(of(r)) ?? []), r]), new Map());

function shown(source) {
  const key = element("shape").value;
  return source.results.filter((r) => r.verified && shapeKey(r) === key);
}

const FIGURES = {
  scaling(node, source) {
    const results = shown(source).filter((r) => !r.least_squares_only);
    const traces = [];
    for (const [backend, mine] of groups(results, (r) => r.backend)) {
      const { color } = look(backend);
      const sized = [...mine].sort((a, b) => a.rows - b.rows);
      const banded = sized.filter((r) => r.step_s.low !== null);
      traces.push({
        x: [...banded.map((r) => r.rows), ...banded.map((r) => r.rows).reverse()],
        y: [...banded.map((r) => r.step_s.low), ...banded.map((r) => r.step_s.high).reverse()],
        fill: "toself", fillcolor: translucent(color, 0.2), line: { width: 0 }, mode: "lines", type: "scatter",
        legendgroup: backend, showlegend: false, hoverinfo: "skip",
      });
      traces.push(line(backend, sized.map((r) => r.rows), sized.map((r) => r.step_s.median), {
        customdata: sized.map((r) => [
          count(r.rows) + (r.unstable ? " rows, unstable" : " rows"), seconds(r.step_s.median),
          r.step_s.low === null ? "no interval" : `${seconds(r.step_s.low)}–${seconds(r.step_s.high)}`,
          r.gb_per_s === null ? "–" : figures(r.gb_per_s), percent(r.bandwidth_fraction),
        ]),
        hovertemplate: "%{customdata[0]}: %{customdata[1]} (%{customdata[2]})<br>%{customdata[3]} GB/s, %{customdata[4]} of the bandwidth",
      }));
    }
    const rowBytes = results.length ? results[0].bytes_per_step / results[0].rows : 1;
    return draw(node, traces, {
      xaxis: { type: "log", title: { text: "rows" }, dtick: 1 },
      yaxis: { type: "log", title: { text: "seconds a step" }, dtick: 1 },
      ...caches(source, rowBytes),
    });
  },

  roofline(node, source) {
    const results = shown(source).filter((r) => r.bandwidth_fraction !== null);
    const traces = [...groups(results, (r) => r.backend)].map(([backend, mine]) => {
      const sized = [...mine].sort((a, b) => a.rows - b.rows);
      return line(backend, sized.map((r) => r.bytes_per_step), sized.map((r) => r.bandwidth_fraction), {
        customdata: sized.map((r) => [count(r.rows), percent(r.bandwidth_fraction), figures(r.gb_per_s)]),
        hovertemplate: "%{customdata[0]} rows: %{customdata[1]}, %{customdata[2]} GB/s",
      });
    });
    const marks = caches(source, 1);
    marks.shapes.push({ type: "line", xref: "paper", x0: 0, x1: 1, y0: 1, y1: 1, line: { color: theme().ink, width: 1.5, dash: "dash" } });
    return draw(node, traces, {
      xaxis: { type: "log", title: { text: "bytes that a step must read" }, dtick: 1 },
      yaxis: { title: { text: "share of the bandwidth" }, tickformat: ".0%", rangemode: "tozero" },
      ...marks,
    });
  },

  cost(node, source) {
    const rows = Number(element("cost-rows").value);
    const iterations = Number(element("cost-iterations").value);
    const parts = [
      ["import", (r) => r.import_s ?? 0, "#56B4E9", "."],
      ["place", (r) => r.place_s ?? 0, "#E69F00", "/"],
      ["first call", (r) => r.first_call_s ?? 0, "#D55E00", "x"],
      [`${count(iterations)} steps`, (r) => iterations * r.step_s.median, "#0072B2", ""],
    ];
    const total = (r) => parts.reduce((sum, [, of]) => sum + of(r), 0);
    const results = shown(source).filter((r) => r.rows === rows && r.first_call_s !== null);
    results.sort((a, b) => total(b) - total(a));
    const traces = parts.map(([name, of, color, shape]) => ({
      type: "bar", orientation: "h", name, y: results.map((r) => plain(r.backend)), x: results.map(of),
      marker: { color, pattern: { shape, fillmode: "overlay", fgcolor: "#ffffff", fgopacity: 0.9, size: 7, solidity: 0.2 }, line: { width: 0 } },
      customdata: results.map((r) => seconds(of(r))), hovertemplate: "%{customdata}",
    }));
    return draw(node, traces, {
      barmode: "stack",
      xaxis: { title: { text: "seconds" }, rangemode: "tozero" },
      yaxis: { type: "category" },
      annotations: results.map((r) => ({ x: total(r), y: plain(r.backend), text: seconds(total(r)), showarrow: false, xanchor: "left", font: { size: 11 } })),
      margin: { l: 60, r: 60, t: 16, b: 50 },
    });
  },

  convergence(node, source) {
    const rows = Number(element("convergence-rows").value);
    const key = element("shape").value;
    const curve = DATA.curves.find((c) => c.rows === rows && shapeKey(c) === key);
    const results = shown(source).filter((r) => curve && r.rows === rows && r.first_call_s !== null);
    const traces = results.map((r) => {
      const setup = (r.import_s ?? 0) + r.place_s + r.first_call_s;
      // The first call is a step, too.
      return line(r.backend, curve.steps.map((k) => setup + Math.max(0, k - 1) * r.step_s.median), curve.gap, {
        mode: "lines", customdata: curve.steps.map((k) => count(k)),
        hovertemplate: "step %{customdata}: %{y:.2e} after %{x:.3~s}s",
      });
    });
    return draw(node, traces, {
      xaxis: { type: "log", title: { text: "seconds since the program began" }, dtick: 1 },
      yaxis: { type: "log", title: { text: "loss above its minimum" }, dtick: 2 },
    });
  },

  correctness(node, source) {
    const results = source.results.filter((r) => r.relative_error !== null);
    const worst = [...groups(results, (r) => `${r.backend} ${r.dtype}`).values()].map((mine) =>
      mine.reduce((a, b) => (b.relative_error > a.relative_error ? b : a)));
    const floor = 1e-17; // an error of 0 has no place on this axis
    const traces = unique(worst.map((r) => r.dtype)).map((dtype, i) => {
      const mine = worst.filter((r) => r.dtype === dtype);
      return {
        type: "scatter", mode: "markers", name: dtype, x: mine.map((r) => Math.max(floor, r.relative_error)), y: mine.map((r) => plain(r.backend)),
        marker: { size: 11, symbol: ["circle", "diamond"][i % 2], color: ["#0072B2", "#D55E00"][i % 2] },
        customdata: mine.map((r) => [r.relative_error.toExponential(1), count(r.rows), r.features]),
        hovertemplate: "%{customdata[0]} at %{customdata[1]} × %{customdata[2]}",
      };
    });
    const limits = unique(worst.map((r) => r.dtype)).map((dtype) => [dtype, DATA.tolerance[dtype]]);
    const { ink } = theme();
    return draw(node, traces, {
      xaxis: { type: "log", title: { text: "relative error" }, dtick: limits.length > 1 ? 4 : 1 },
      yaxis: { type: "category" },
      shapes: limits.map(([, at]) => ({ type: "line", x0: at, x1: at, yref: "paper", y0: 0, y1: 1, line: { color: ink, dash: "dash", width: 1.5 } })),
      annotations: limits.map(([dtype, at]) => ({ x: Math.log10(at), y: 1, yref: "paper", yanchor: "bottom", xanchor: "right", text: `${dtype}: limit`, showarrow: false, font: { size: 11 } })),
    });
  },

  map(node, source) {
    const over = element("map-over").value;
    const loops = element("map-loops").checked;
    const usable = (m) => !(loops && m.least_squares_only);
    const rows = Array.from({ length: 29 }, (_, i) => 10 ** (2 + i / 4));
    const index = DATA.sources.indexOf(source);
    const key = element("shape").value;
    const { dtype } = source.models.find((m) => shapeKey(m) === key) ?? { dtype: "float32" };
    const lanes = over === "features"
      ? source.models.filter((m) => m.dtype === dtype).map((m) => ({ name: String(m.features), models: modelsOf(index, shapeKey(m)).filter(usable), iterations: 1000 }))
      : Array.from({ length: 19 }, (_, i) => ({ name: 10 ** (i / 3), models: modelsOf(index, key).filter(usable), iterations: Math.round(10 ** (i / 3)) }));
    const backends = unique(lanes.flatMap((lane) => lane.models.map((m) => m.backend)));
    const cells = lanes.map((lane) => rows.map((n) => cell(lane.models, n, lane.iterations)));
    const z = cells.map((lane) => lane.map((c) => (c ? backends.indexOf(c.pick) : null)));
    const x = rows.map(Math.log10);
    const y = over === "features" ? lanes.map((lane) => lane.name) : lanes.map((lane) => Math.log10(lane.name));
    const of = Math.max(1, backends.length);
    const colours = backends.flatMap((b, i) => [[i / of, shade(b, backends)], [(i + 1) / of, shade(b, backends)]]);
    const { ink, paper } = theme();
    const ties = { x: [], y: [] };
    cells.forEach((lane, i) => lane.forEach((c, j) => {
      if (c && c.tied) {
        ties.x.push(x[j]);
        ties.y.push(y[i]);
      }
    }));
    const traces = [
      {
        type: "heatmap", x, y, z, zmin: -0.5, zmax: of - 0.5, showscale: false, colorscale: colours, xgap: 0.5, ygap: 0.5,
        customdata: cells.map((lane, i) => lane.map((c, j) => (c ? `${count(Number(rows[j].toPrecision(2)))} rows, ${plural(lanes[i].iterations, "iteration")}: ${plain(c.pick)}, ${seconds(c.total)}${c.tied ? `<br>about like ${plain(c.tied)}` : ""}` : ""))),
        hovertemplate: "%{customdata}<extra></extra>",
      },
      { type: "scatter", mode: "markers", x: ties.x, y: ties.y, marker: { symbol: "line-ne-open", size: 11, color: ink, line: { width: 1 } }, hoverinfo: "skip", showlegend: false },
    ];
    const measured = Math.max(0, ...lanes.flatMap((lane) => lane.models.map((m) => m.largest)));
    return draw(node, traces, {
      xaxis: { title: { text: "rows" }, tickvals: [2, 3, 4, 5, 6, 7, 8, 9], ticktext: [2, 3, 4, 5, 6, 7, 8, 9].map((p) => `10<sup>${p}</sup>`), showgrid: false },
      yaxis: over === "features"
        ? { title: { text: "features" }, type: "category", showgrid: false }
        : { title: { text: "iterations" }, tickvals: [0, 1, 2, 3, 4, 5, 6], ticktext: [0, 1, 2, 3, 4, 5, 6].map((p) => `10<sup>${p}</sup>`), showgrid: false },
      shapes: measured ? [{ type: "line", x0: Math.log10(measured), x1: Math.log10(measured), yref: "paper", y0: 0, y1: 1, line: { color: ink, dash: "dot", width: 1.5 } }] : [],
      annotations: labels(z, x, y, backends, ink, paper),
    });
  },
};

const CELLS = new Map();

function cell(models, rows, iterations) {
  if (!models.length) return null;
  const key = [...models.map((m) => m.id), rows, iterations].join();
  if (!CELLS.has(key)) {
    const totals = models.map((m) => m.total(rows, iterations));
    const near = models.filter((_, i) => totals[i] <= 4 * Math.min(...totals)); // the others cannot tie
    const { pick, tied } = choose(near, rows, iterations, DATA.constants, MAP_DRAWS);
    CELLS.set(key, { pick, tied: tied.join(", "), total: totals[models.findIndex((m) => m.backend === pick)] });
  }
  return CELLS.get(key);
}

// A library's techniques share its colour; on the map they need shades of it.
function shade(backend, backends) {
  const { color } = look(backend);
  const kin = backends.filter((b) => look(b).color === color);
  return translucent(color, [1, 0.55, 0.3, 0.75, 0.45][kin.indexOf(backend) % 5]);
}

// Write each region's name into its middle cell: a map must not need its colours.
function labels(z, x, y, backends, ink, paper) {
  return backends.flatMap((backend, b) => {
    const mine = [];
    z.forEach((lane, i) => lane.forEach((value, j) => value === b && mine.push([i, j])));
    if (!mine.length) return [];
    const middle = [0, 1].map((axis) => mine.reduce((sum, at) => sum + at[axis], 0) / mine.length);
    const [i, j] = mine.reduce((a, c) => (Math.hypot(c[0] - middle[0], c[1] - middle[1]) < Math.hypot(a[0] - middle[0], a[1] - middle[1]) ? c : a));
    return [{ x: x[j], y: y[i], text: plain(backend), showarrow: false, font: { size: 12, color: ink }, bgcolor: paper, borderpad: 2, opacity: 0.9 }];
  });
}

function drawTutorial() {
  const { x, y, w, loss, steps } = DATA.tutorial;
  const ends = [0, Math.max(...x)];
  return draw(element("tutorial"), [
    { type: "scatter", mode: "markers", name: "data", x, y, marker: { color: "#0072B2", size: 6, opacity: 0.7 } },
    { type: "scatter", mode: "lines", name: `ŷ = ${w.toFixed(3)}·x after ${steps} steps, loss ${loss.toFixed(3)}`, x: ends, y: ends.map((v) => v * w), line: { color: "#D55E00", width: 3 } },
  ], { xaxis: { title: { text: "x" } }, yaxis: { title: { text: "y" } } });
}

function drawAll(names = Object.keys(FIGURES)) {
  for (const name of names) {
    document.querySelectorAll(`[data-figure="${name}"] .plot`).forEach((node, i) => FIGURES[name](node, DATA.sources[i]));
  }
}

function chooseSizes() {
  const results = DATA.sources.flatMap(shown);
  const rowsOf = (usable) => unique(results.filter(usable).map((r) => r.rows)).sort((a, b) => a - b);
  const key = element("shape").value;
  const select = (id, rows, wanted) => {
    fill(element(id), rows.map((n) => [n, count(n)]));
    if (rows.length) element(id).value = rows.reduce((a, n) => (Math.abs(Math.log(n / wanted)) < Math.abs(Math.log(a / wanted)) ? n : a));
  };
  select("cost-rows", rowsOf((r) => r.first_call_s !== null), 1e7);
  const curved = new Set(DATA.curves.filter((c) => shapeKey(c) === key).map((c) => c.rows));
  select("convergence-rows", rowsOf((r) => r.first_call_s !== null && curved.has(r.rows)), 1e6);
}

function startFigures() {
  for (const grid of document.querySelectorAll("[data-figure]")) {
    for (const source of DATA.sources) {
      const figure = make("figure");
      if (DATA.sources.length > 1) figure.append(make("figcaption", source.label));
      const title = grid.closest("section").querySelector("h2").textContent;
      figure.append(make("div", undefined, { class: "plot", role: "img", "aria-label": `${title}, ${source.label}` }));
      grid.append(figure);
    }
  }
  const shapes = new Map(DATA.sources.flatMap((s) => s.results.filter((r) => r.verified).map((r) => [shapeKey(r), shapeName(r)])));
  fill(element("shape"), [...shapes]);
  chooseSizes();
  element("shape").addEventListener("change", () => {
    chooseSizes();
    drawAll();
  });
  for (const id of ["map-over", "map-loops"]) element(id).addEventListener("change", () => drawAll(["map"]));
  for (const id of ["cost-rows", "cost-iterations"]) element(id).addEventListener("change", () => drawAll(["cost"]));
  element("convergence-rows").addEventListener("change", () => drawAll(["convergence"]));
  drawAll();
  drawTutorial();
  const again = () => {
    drawAll();
    drawTutorial();
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  addEventListener("beforeprint", again); // on paper's colours
  addEventListener("afterprint", again);
}

// -- the table --------------------------------------------------------------------

const COLUMNS = [
  ["backend", (r) => r.backend, String],
  ["rows", (r) => r.rows, count],
  ["features", (r) => r.features, count],
  ["dtype", (r) => r.dtype, String],
  ["step_s", (r) => r.step_s?.median ?? null, seconds],
  ["step_s_low", (r) => r.step_s?.low ?? null, seconds],
  ["step_s_high", (r) => r.step_s?.high ?? null, seconds],
  ["unstable", (r) => r.unstable, (v) => (v ? "unstable" : "")],
  ["gb_per_s", (r) => r.gb_per_s, (v) => (v === null ? "–" : figures(v))],
  ["bandwidth_fraction", (r) => r.bandwidth_fraction, percent],
  ["import_s", (r) => r.import_s, seconds],
  ["place_s", (r) => r.place_s, seconds],
  ["first_call_s", (r) => r.first_call_s, seconds],
  ["new_shape_s", (r) => r.new_shape_s, seconds],
  ["peak_bytes", (r) => r.peak_device_bytes ?? r.peak_bytes, byteCount],
  ["relative_error", (r) => r.relative_error, (v) => (v === null ? "–" : v.toExponential(0))],
  ["threads", (r) => r.threads, String],
  ["verified", (r) => r.verified, (v) => (v ? "yes" : "no")],
  ["reason", (r) => r.reason, (v) => v ?? ""],
  ["machine", (r, s) => s.label, String],
];

const [VERIFIED, UNSTABLE] = ["verified", "unstable"].map((wanted) => COLUMNS.findIndex(([name]) => name === wanted));

function records() {
  return DATA.sources.flatMap((s) => s.results.map((r) => COLUMNS.map(([, of]) => of(r, s))));
}

function startTable() {
  const rows = records();
  const body = make("tbody");
  const show = () => body.replaceChildren(...rows.map((cells) => {
    const row = make("tr", undefined, { class: !cells[VERIFIED] ? "failed" : cells[UNSTABLE] ? "unstable" : "" });
    cells.forEach((value, i) => row.append(make("td", COLUMNS[i][2](value), { class: typeof value === "number" ? "number" : "" })));
    return row;
  }));
  const heading = make("tr");
  COLUMNS.forEach(([name], i) => {
    const th = make("th");
    const button = make("button", name.replaceAll("_", " "), { type: "button" });
    button.addEventListener("click", () => {
      const down = th.getAttribute("aria-sort") === "ascending";
      heading.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
      th.setAttribute("aria-sort", down ? "descending" : "ascending");
      const order = (a, b) => (a === null) - (b === null) || (a === null ? 0 : (a > b ? 1 : a < b ? -1 : 0) * (down ? -1 : 1));
      rows.sort((a, b) => order(a[i], b[i]));
      show();
    });
    th.append(button);
    heading.append(th);
  });
  show();
  const head = make("thead");
  head.append(heading);
  element("results").replaceChildren(head, body);
  element("csv").addEventListener("click", download);
}

function download() {
  const quoted = (value) => {
    const formula = typeof value === "string" && /^[=+\-@\t\r]/.test(value); // to a spreadsheet
    const text = value === null || value === undefined ? "" : `${formula ? "'" : ""}${value}`;
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const lines = [COLUMNS.map(([name]) => name), ...records()].map((cells) => cells.map(quoted).join(","));
  const link = make("a", undefined, { download: "descentbench.csv" });
  link.href = URL.createObjectURL(new Blob([`${lines.join("\r\n")}\r\n`], { type: "text/csv" }));
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// -- start ------------------------------------------------------------------------

async function loadPlotly() {
  const text = atob(element("plotly").textContent);
  const packed = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i += 1) packed[i] = text.charCodeAt(i);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = make("script", await new Response(stream).text());
  document.head.append(script);
}

async function start() {
  for (const node of document.querySelectorAll("[data-seconds]")) node.textContent = seconds(node.dataset.seconds === "" ? null : Number(node.dataset.seconds));
  for (const node of document.querySelectorAll("[data-bytes]")) node.textContent = byteCount(Number(node.dataset.bytes));
  for (const node of document.querySelectorAll("[data-cache]")) node.textContent = kibibytes(Number(node.dataset.cache));
  for (const node of document.querySelectorAll("[data-count]")) node.textContent = count(Number(node.dataset.count));
  startCalculator();
  startTable();
  await loadPlotly();
  startFigures();
  await Promise.all(drawn.values());
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
}

start().catch((error) => {
  element("error").textContent = `The figures could not be drawn: ${error.message}. They need a browser of 2023 or later.`;
  element("error").hidden = false;
  throw error;
});
