"use strict";
// The figures of the results. Each figure has one frame per machine; all frames have the same axes.
// A figure is an object with these functions:
// - of(machine): its data; or a sentence that says what to run on this machine; or null (no frame).
// - axes(data of all machines): the fields x and y for `draw`.
// - chart(data of a machine): the other fields for `draw`; `table`, the heading and rows of a table;
//   and optionally `remark`, a sentence below the chart.
// - backends(data of a machine), or key(data of all machines): the items of the legend.

const chosenShape = () => element("shape").value;
const INK = { colour: "var(--ink)", mark: "circle", dash: "", hollow: false };

function shown(source) {
  const key = chosenShape();
  return source.results.filter((r) => r.verified && shapeKey(r) === key);
}

const asked = (source) => `No results for ${shapeName(parseShape(chosenShape()))}. On this machine, run: descentbench run ${options(chosenShape())}`;

function parseShape(key) {
  const [features, dtype, loss = SQUARED] = key.split(" ");
  return { features: Number(features), dtype, loss };
}

function options(key) {
  const { features, dtype, loss } = parseShape(key);
  const own = /-[0-9a-f]{8}$/.test(loss) ? `FILE.py:${loss.slice(0, -9)}` : loss;
  const more = `${dtype === "float32" ? "" : ` --dtype ${dtype}`}${loss === SQUARED ? "" : ` --loss ${own}`}`;
  return `--rows 1e4 --rows 1e6 --features ${features}${more}`;
}

// Mark the sizes at which the data of a step fill a cache.
function cacheGuides(source, perUnit) {
  return Object.entries(source.machine.caches).map(([level, size]) => ({ at: size / perUnit, text: level }));
}

const bySize = (results) => [...results].sort((a, b) => a.rows - b.rows);

function stepWords(r) {
  const shaky = r.unstable ? ", unstable" : "";
  const interval = r.step_s.low === null ? "no interval" : `${seconds(r.step_s.low)}–${seconds(r.step_s.high)}`;
  return `${r.backend}, ${count(r.rows)} rows: ${seconds(r.step_s.median)} a step (${interval}${shaky})`;
}

const FIGURES = {
  roofline: {
    of(source) {
      const results = shown(source).filter((r) => r.gb_per_s !== null);
      if (!results.length) return asked(source);
      const { dtype } = parseShape(chosenShape());
      const devices = unique(results.map((r) => deviceOf(r.backend)));
      const reads = source.limits.filter((l) => l.dtype === dtype && devices.includes(l.device));
      return { results, roofs: [...groups(reads, (l) => l.device)].map(([device, mine]) => [device, roof(mine)]) };
    },
    backends: ({ results }) => results.map((r) => r.backend),
    axes: (parts) => ({
      x: { domain: domain(parts.flatMap((p) => p.results.map((r) => r.bytes_per_step))), title: "bytes that a step must read", write: byteCount, apart: 54 },
      y: { domain: domain(parts.flatMap((p) => [...p.results.map((r) => r.gb_per_s), ...p.roofs.flatMap(([, points]) => points.map((q) => q.y))])), title: "GB/s", write: (v) => figures(v) },
    }),
    chart: ({ results, roofs }, source) => ({
      series: [
        ...roofs.map(([device, points]) => ({ style: INK, width: 3, marks: false, points: points.map((p) => ({ ...p, says: `reading ${byteCount(p.x)} once${device === "cpu" ? "" : ` on ${device}`}: ${figures(p.y)} GB/s, the limit` })) })),
        ...[...groups(results, (r) => r.backend)].map(([backend, mine]) => ({
          backend,
          points: bySize(mine).map((r) => ({ x: r.bytes_per_step, y: r.gb_per_s, says: `${backend}, ${count(r.rows)} rows: ${figures(r.gb_per_s)} GB/s${r.bandwidth_fraction === null ? "" : `, ${percent(r.bandwidth_fraction)} of the limit`}` })),
        })),
      ],
      notes: roofs.map(([device, points]) => ({ ...points.at(-1), text: device === "cpu" ? "limit: reading once" : `limit: ${device}`, lift: 10 })),
      guides: cacheGuides(source, 1),
      table: [["backend", "rows", "bytes a step", "GB/s", "of the limit"], results.map((r) => [r.backend, count(r.rows), byteCount(r.bytes_per_step), figures(r.gb_per_s), percent(r.bandwidth_fraction)])],
    }),
  },

  scaling: {
    of(source) {
      const results = shown(source).filter((r) => !r.least_squares_only);
      return results.length ? { results } : asked(source);
    },
    backends: ({ results }) => results.map((r) => r.backend),
    axes: (parts) => ({
      x: { domain: domain(parts.flatMap((p) => p.results.map((r) => r.rows))), title: "rows" },
      y: { domain: domain(parts.flatMap((p) => p.results.flatMap((r) => [r.step_s.median, r.step_s.low, r.step_s.high]))), title: "time a step", time: true },
    }),
    chart: ({ results }, source) => ({
      series: [...groups(results, (r) => r.backend)].map(([backend, mine]) => ({
        backend, points: bySize(mine).map((r) => ({ x: r.rows, y: r.step_s.median, low: r.step_s.low, high: r.step_s.high, says: stepWords(r) })),
      })),
      guides: cacheGuides(source, results[0].bytes_per_step / results[0].rows),
      table: [["backend", "rows", "a step", "from", "to"], results.map((r) => [r.backend, count(r.rows), seconds(r.step_s.median), seconds(r.step_s.low), seconds(r.step_s.high)])],
    }),
  },

  cost: {
    of(source) {
      const rows = Number(element("cost-rows").value);
      const results = shown(source).filter((r) => r.rows === rows && r.first_call_s !== null);
      if (!results.length) return `No setup times at ${count(rows)} rows. On this machine, run: descentbench run ${rows ? `--rows ${rows} ${options(chosenShape()).replace(/--rows \S+ /g, "")}` : options(chosenShape())}`;
      const steps = Number(element("cost-iterations").value);
      const parts = [
        ["import", (r) => r.import_s ?? 0, "#3F97CF", "hatch-dots"],
        ["place", (r) => r.place_s ?? 0, "#B97F00", "hatch-lines"],
        ["first call", (r) => r.first_call_s ?? 0, "#D55E00", "hatch-cross"],
        [plural(steps, "step"), (r) => steps * r.step_s.median, "#0072B2", null],
      ].map(([name, of, colour, hatch]) => ({ name, of, colour, hatch }));
      const total = (r) => parts.reduce((sum, { of }) => sum + of(r), 0);
      return { parts, total, results: results.sort((a, b) => total(a) - total(b)) };
    },
    key: ([{ parts }]) => parts,
    axes: (all) => ({ x: { log: false, domain: domain(all.flatMap((p) => p.results.map((r) => 1.15 * p.total(r))), { log: false, zero: true }), title: "seconds" } }),
    chart: ({ parts, total, results }) => ({
      y: { names: results.map((r) => r.backend) },
      bars: results.map((r) => ({ name: r.backend, says: seconds(total(r)), parts: parts.map((part) => ({ part, value: part.of(r) })) })),
      table: [["backend", ...parts.map((p) => p.name), "total"], results.map((r) => [r.backend, ...parts.map((p) => seconds(p.of(r))), seconds(total(r))])],
    }),
  },

  convergence: {
    of(source) {
      if (parseShape(chosenShape()).loss !== SQUARED) return "Convergence is drawn for squared error only: its loss after any number of steps has a closed form.";
      const rows = Number(element("convergence-rows").value);
      const whole = element("convergence-setup").checked;
      const curve = DATA.curves.find((c) => c.rows === rows && shapeKey(c) === chosenShape());
      const results = curve ? shown(source).filter((r) => r.rows === rows && (!whole || r.first_call_s !== null)) : [];
      if (!results.length) return `No ${whole ? "setup times" : "results"} at ${count(rows)} rows. On this machine, run: descentbench run ${options(chosenShape())}`;
      const offset = (r) => (whole ? (r.import_s ?? 0) + r.place_s + r.first_call_s - r.step_s.median : 0);
      const last = curve.steps.at(-1);
      // If the setup takes nearly all of the time, the curve would be a vertical line.
      const flat = results.filter((r) => last * r.step_s.median < 0.2 * offset(r));
      const first = curve.steps.findIndex((k) => k > 0);
      return { flat, lines: results.filter((r) => !flat.includes(r)).map((r) => ({ r, points: curve.steps.slice(first).map((k, i) => ({ x: offset(r) + k * r.step_s.median, y: curve.gap[i + first], k })) })), last };
    },
    backends: ({ lines }) => lines.map(({ r }) => r.backend),
    axes: (parts) => ({
      x: { domain: domain(parts.flatMap((p) => p.lines.flatMap((l) => l.points.map((q) => q.x)))), title: element("convergence-setup").checked ? "time since the program began" : "time since the first step", time: true },
      y: { domain: domain(parts.flatMap((p) => p.lines.flatMap((l) => l.points.map((q) => q.y)))), title: "loss above its minimum" },
    }),
    chart: ({ lines, last, flat }) => ({
      series: lines.map(({ r, points }) => ({ backend: r.backend, marks: false, points: points.map((p) => ({ ...p, says: `${r.backend}, step ${count(p.k)}: ${p.y.toExponential(1)} above the minimum after ${seconds(p.x)}` })) })),
      table: [["backend", `time for ${plural(last, "step")}`], lines.map(({ r, points }) => [r.backend, seconds(points.at(-1).x)])],
      remark: flat.length ? `Not drawn, because the setup takes nearly all of the time: ${flat.map((r) => r.backend).join(", ")}.` : "",
    }),
  },

  correctness: {
    of(source) {
      const results = source.results.filter((r) => r.relative_error !== null);
      if (!results.length) return "No errors were recorded. On this machine, run: descentbench run";
      return { worst: [...groups(results, (r) => `${r.backend} ${r.dtype}`).values()].map((mine) => mine.reduce((a, b) => (b.relative_error > a.relative_error ? b : a))) };
    },
    key: (parts) => unique(parts.flatMap((p) => p.worst.map((r) => r.dtype))).map((dtype) => ({ name: dtype, ...DTYPES[dtype], dash: undefined })),
    axes: (parts) => ({ x: { domain: domain(parts.flatMap((p) => p.worst.flatMap((r) => [Math.max(FLOOR, r.relative_error), DATA.tolerance[r.dtype]]))), title: "largest relative error of w" } }),
    chart: ({ worst }) => ({
      y: { names: unique(worst.map((r) => r.backend)) },
      series: unique(worst.map((r) => r.dtype)).map((dtype) => ({
        line: false, style: DTYPES[dtype],
        points: worst.filter((r) => r.dtype === dtype).map((r) => ({ x: Math.max(FLOOR, r.relative_error), y: r.backend, says: `${r.backend}, ${dtype}: ${r.relative_error.toExponential(1)} at ${count(r.rows)} × ${r.features}` })),
      })),
      guides: unique(worst.map((r) => r.dtype)).map((dtype) => ({ at: DATA.tolerance[dtype], text: `${dtype}: wrong beyond`, dash: "7 4", strong: true })),
      table: [["backend", "dtype", "largest error"], worst.map((r) => [r.backend, r.dtype, r.relative_error.toExponential(1)])],
    }),
  },
};

const FLOOR = 1e-17; // an error of 0 has no place on a logarithmic axis
const DTYPES = { float32: { colour: "#0072B2", mark: "circle" }, float64: { colour: "#D55E00", mark: "diamond" } };
const deviceOf = (backend) => backend.split("@")[1] ?? "cpu";

// Return the read curve: for each number of bytes, the median over all sizes with this number.
function roof(limits) {
  const middle = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
  const found = [...groups(limits, (l) => l.bytes)].map(([bytes, mine]) => ({ x: bytes, y: bytes / middle(mine.map((l) => l.read_s)) / 1e9 }));
  return found.sort((a, b) => a.x - b.x);
}

// -- one frame a machine -----------------------------------------------------------

function drawFigure(name) {
  const figure = FIGURES[name];
  const grid = document.querySelector(`[data-figure="${name}"]`);
  const all = DATA.sources.map((source) => [source, figure.of(source)]).filter(([, part]) => part !== null);
  const there = all.filter(([, part]) => typeof part !== "string");
  const parts = there.map(([, part]) => part);
  const axes = parts.length ? figure.axes(parts) : {};
  const title = grid.closest("section").querySelector("h2").textContent;
  const frames = there.map(([source]) => frame(source, there.length > 1));
  const missing = all.filter(([, part]) => typeof part === "string");
  grid.classList.toggle("single", frames.length === 1);
  grid.replaceChildren(...frames.map((f) => f.figure), ...missing.map(([source, says]) => lacks(source, says)));
  there.forEach(([source, part], i) => {
    const chart = { title: `${title}, ${source.label}`, ...axes, ...figure.chart(part, source, parts) };
    if (chart.remark) frames[i].figure.append(make("p", chart.remark, { class: "note" }));
    frames[i].figure.append(asTable(chart.table, chart.title));
    draw(frames[i].plot, chart);
  });
  const list = grid.parentNode.querySelector(".legend");
  if (figure.key && parts.length) list.replaceChildren(...figure.key(parts).map((k) => key(k)));
  else if (figure.backends) legend(list, unique(parts.flatMap(figure.backends)), redrawLines);
}

// Return the line that replaces a frame: "MACHINE: what is missing. On this machine, run: COMMAND".
function lacks(source, says) {
  const [text, command] = says.split(/(?<=run: )/);
  const node = make("p", `${source.label}: ${text}`, { class: "missing" });
  if (command) node.append(make("code", command));
  return node;
}

function frame(source, several) {
  const figure = make("figure", undefined, { "data-source": DATA.sources.indexOf(source) });
  if (several) figure.append(make("figcaption", source.label));
  const plot = make("div", undefined, { class: "plot" });
  figure.append(plot);
  return { figure, plot };
}

function key({ name, colour, mark: kind = "square", hatch }) {
  const item = make("span", undefined, { class: "key" });
  const sign = swatch({ colour, mark: kind, dash: undefined });
  if (hatch) sign.append(shape("rect", { x: 10, y: 1, width: 10, height: 10, fill: `url(#${hatch})` }));
  item.append(sign, make("span", name));
  return item;
}

// Return the figure's numbers as a table, for readers who cannot see the figure. The table is filled
// when it is opened.
function asTable([head, rows], title) {
  const details = make("details", undefined, { class: "numbers" });
  details.append(make("summary", "The numbers of this figure as a table"));
  details.addEventListener("toggle", () => {
    if (!details.open || details.querySelector("table")) return;
    const scroll = make("div", undefined, { class: "scroll", tabindex: "0", role: "region", "aria-label": `${title}, as a table` });
    const table = make("table");
    fillTable(table, head, rows.map((cells) => ({ cells })));
    scroll.append(table);
    details.append(scroll);
  });
  return details;
}

function redrawLines() {
  for (const [name, { backends }] of Object.entries(FIGURES)) if (backends) drawFigure(name);
  drawTotals();
}

function drawTutorial() {
  const { x, y, w, loss, steps } = DATA.tutorial;
  const ends = [0, Math.max(...x)];
  const blue = { colour: "#0072B2", mark: "circle", dash: undefined };
  const red = { colour: "#D55E00", mark: "square", dash: "" };
  draw(element("tutorial"), {
    title: `The tutorial's hundred points, and the line ŷ = ${w.toFixed(3)}·x after ${steps} steps`,
    x: { log: false, domain: domain(x, { log: false, zero: true }), title: "x" },
    y: { log: false, domain: domain(y, { log: false }), title: "y" },
    series: [
      { style: blue, line: false, points: x.map((v, i) => ({ x: v, y: y[i] })) },
      { style: red, marks: false, width: 3, points: ends.map((v) => ({ x: v, y: v * w })) },
    ],
  });
  element("tutorial-key").replaceChildren(key({ name: "data", ...blue }), key({ name: `ŷ = ${w.toFixed(3)}·x after ${steps} steps, loss ${loss.toFixed(3)}`, ...red }));
}
