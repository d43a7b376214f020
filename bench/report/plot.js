"use strict";
// Charts as SVG: axes, lines, bars and points. Colours come from the style sheet, so the same
// drawing suits a light screen, a dark screen and paper.

const SVG = "http://www.w3.org/2000/svg";
const HIDDEN = new Set(CHOICE.get("hide").split(",").filter(Boolean)); // backends that are not drawn
let serial = 0;

function shape(tag, attributes = {}, text) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined && value !== null) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";
const power = (exponent) => `10${exponent < 0 ? "⁻" : ""}${[...String(Math.abs(exponent))].map((d) => SUPERSCRIPTS[d]).join("")}`;

// -- scales -------------------------------------------------------------------

// Return the smallest and the largest value over all machines, so that their figures have common axes.
function domain(values, { log = true, zero = false } = {}) {
  const found = values.filter((v) => Number.isFinite(v) && (!log || v > 0));
  if (!found.length) return null;
  const low = zero ? 0 : found.reduce((a, b) => Math.min(a, b));
  const high = found.reduce((a, b) => Math.max(a, b));
  if (!log) return [low, low === high ? high + 1 : high + 0.04 * (high - low)];
  const pad = 0.06 * Math.max(1, Math.log10(high / low));
  return [low / 10 ** pad, high * 10 ** pad];
}

function scale({ domain: [low, high] = [], log = true, time = false, names, apart = 34 }, from, to) {
  if (names) {
    const step = (to - from) / names.length;
    const at = (name) => from + (names.indexOf(name) + 0.5) * step;
    return { at, step, ticks: names.map((name) => [at(name), name]) };
  }
  const of = log ? Math.log10 : Number;
  const at = (value) => from + ((of(value) - of(low)) / (of(high) - of(low))) * (to - from);
  const room = Math.abs(to - from);
  const values = time ? times(low, high, at) : log ? decades(low, high, room, apart) : evenly(low, high, room);
  return { at, ticks: values.map((v) => [at(v), v]) };
}

const LONG = { 60: "1 min", 600: "10 min", 3600: "1 h", 36000: "10 h", 864000: "10 days", 8640000: "100 days" };

// Return ticks of a logarithmic axis of time: powers of ten up to 10 s, then minutes, hours, days.
function times(low, high, at) {
  const short = Array.from({ length: 13 }, (_, i) => Number(`1e${i - 11}`));
  const room = (a, b) => Math.abs(at(a) - at(b));
  const least = room(1, 10) < 34 ? 3 : 1; // decades between two ticks
  const all = [...short.filter((_, i) => least === 1 || (i - 11) % 3 === 0), ...(least === 1 ? Object.keys(LONG).map(Number) : [3600, 8640000])];
  return all.filter((v) => v >= low && v <= high);
}

function decades(low, high, room, apart) {
  const [first, last] = [Math.ceil(Math.log10(low) - 1e-9), Math.floor(Math.log10(high) + 1e-9)];
  const step = Math.max(1, Math.ceil(((last - first) * apart) / room));
  const found = [];
  for (let k = first; k <= last; k += 1) if (k % step === 0) found.push(10 ** k);
  if (found.length > 1 || high / low > 100) return found;
  return [1, 2, 5].flatMap((m) => [first - 1, first, last].map((k) => m * 10 ** k)).filter((v, i, all) => v >= low && v <= high && all.indexOf(v) === i);
}

function evenly(low, high, room) {
  const raw = (high - low) / Math.max(2, room / 70);
  const unit = 10 ** Math.floor(Math.log10(raw));
  const step = unit * [1, 2, 5, 10].find((m) => m * unit >= raw);
  const found = [];
  for (let v = Math.ceil(low / step) * step; v <= high; v += step) found.push(Number(v.toPrecision(6)));
  return found;
}

// -- looks --------------------------------------------------------------------

function look(backend) {
  return DATA.styles[backend] ?? { colour: "var(--ink)", mark: "circle", dash: "", hollow: false };
}

const MARKS = {
  circle: "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0z",
  square: "M-3.6,-3.6h7.2v7.2h-7.2z",
  diamond: "M0,-5L5,0L0,5L-5,0z",
  triangle: "M0,-4.8L4.6,3.6L-4.6,3.6z",
  cross: "M-4,-4L4,4M-4,4L4,-4",
};

function mark({ colour, mark: kind, hollow }, x, y) {
  const open = hollow || kind === "cross";
  return shape("path", {
    d: MARKS[kind] ?? MARKS.circle, transform: `translate(${x.toFixed(1)},${y.toFixed(1)})`, class: "mark",
    fill: open ? "var(--paper)" : colour, stroke: colour, "stroke-width": open ? 2 : 1,
  });
}

function swatch(style) {
  const svg = shape("svg", { viewBox: "0 0 30 12", width: 30, height: 12, "aria-hidden": "true" });
  if (style.dash !== undefined) svg.append(shape("path", { d: "M0,6H30", stroke: style.colour, "stroke-width": 2, "stroke-dasharray": style.dash || null, fill: "none" }));
  svg.append(mark(style, 15, 6));
  return svg;
}

// -- the frame ------------------------------------------------------------------

// Draw a chart into a node. `chart` holds: x, y (domain, log, names, title, write), series, bars,
// cells, guides, notes (texts at points), height, title (what the figure is, in words).
function draw(node, chart) {
  const width = Math.max(260, node.clientWidth || 600);
  const names = chart.y.names;
  const height = chart.height ?? (names ? 60 + 26 * names.length : Math.min(380, Math.max(280, width * 0.62)));
  const left = names ? Math.min(150, 14 + 7.4 * Math.max(...names.map((n) => n.length))) : 52;
  const box = { left, right: width - 14, top: 20, bottom: height - 44 };
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": chart.title });
  const x = scale(chart.x, box.left, box.right);
  const y = names ? scale(chart.y, box.top, box.bottom) : scale(chart.y, box.bottom, box.top);
  drawAxes(svg, chart, x, y, box);
  serial += 1;
  const clip = `clip-${serial}`;
  const inner = shape("g", { "clip-path": `url(#${clip})` });
  const frame = shape("clipPath", { id: clip });
  frame.append(shape("rect", { x: box.left - 6, y: box.top - 6, width: box.right - box.left + 12, height: box.bottom - box.top + 12 }));
  svg.append(frame, inner);
  const spots = [
    ...(chart.cells ? drawCells(inner, chart.cells, x, y) : []),
    ...(chart.bars ? drawBars(inner, chart.bars, x, y) : []),
    ...(chart.series ?? []).filter((s) => !HIDDEN.has(s.backend)).flatMap((s) => drawSeries(inner, s, x, y)),
  ];
  for (const guide of chart.guides ?? []) drawGuide(svg, guide, x, y, box);
  for (const note of chart.notes ?? []) drawNote(inner, note, x, y, box);
  node.replaceChildren(svg);
  hover(node, svg, spots, width);
}

function drawAxes(svg, { x: ofX, y: ofY }, x, y, box) {
  const write = (axis) => axis.write ?? (axis.time ? (v) => LONG[v] ?? seconds(v) : null) ?? ((v) => (axis.log === false ? figures(v) : power(Math.round(Math.log10(v)))));
  const short = (axis, v) => (axis.names ? v : Number.isInteger(Math.round(Math.log10(v) * 1e6) / 1e6) || axis.log === false || axis.write || axis.time ? write(axis)(v) : figures(v));
  const axes = shape("g", { class: "axes" });
  for (const [at, value] of x.ticks) {
    axes.append(shape("path", { d: `M${at},${box.top}V${box.bottom}`, class: "grid" }));
    axes.append(shape("text", { x: at, y: box.bottom + 16, "text-anchor": "middle" }, short(ofX, value)));
  }
  for (const [at, value] of y.ticks) {
    if (!ofY.names) axes.append(shape("path", { d: `M${box.left},${at}H${box.right}`, class: "grid" }));
    axes.append(shape("text", { x: box.left - 6, y: at + 4, "text-anchor": "end" }, short(ofY, value)));
  }
  axes.append(shape("path", { d: `M${box.left},${box.top}V${box.bottom}H${box.right}`, class: "axis" }));
  axes.append(shape("text", { x: (box.left + box.right) / 2, y: box.bottom + 36, "text-anchor": "middle", class: "name" }, ofX.title));
  if (ofY.title) axes.append(shape("text", { x: 2, y: 11, class: "name" }, ofY.title));
  svg.append(axes);
}

// -- the contents -----------------------------------------------------------------

function drawSeries(svg, series, x, y) {
  const style = series.style ?? look(series.backend);
  const points = series.points.map((p) => ({ ...p, px: x.at(p.x), py: y.at(p.y) }));
  const path = (list, of) => list.map((p, i) => `${i ? "L" : "M"}${p.px.toFixed(1)},${of(p).toFixed(1)}`).join("");
  const group = shape("g", { "data-backend": series.backend });
  const banded = points.filter((p) => p.low > 0);
  if (banded.length > 1) {
    const back = [...banded].reverse();
    const d = `${path(banded, (p) => y.at(p.high))}${path(back, (p) => y.at(p.low)).replace("M", "L")}z`;
    group.append(shape("path", { d, fill: style.colour, "fill-opacity": 0.2, class: "band" }));
  }
  if (series.line !== false && points.length > 1) {
    group.append(shape("path", { d: path(points, (p) => p.py), stroke: style.colour, "stroke-width": series.width ?? 2, "stroke-dasharray": style.dash || null, fill: "none", class: "line" }));
  }
  if (series.marks !== false) group.append(...points.map((p) => mark(style, p.px, p.py)));
  svg.append(group);
  return points.filter((p) => p.says).map((p) => ({ x: p.px, y: p.py, says: p.says }));
}

function drawBars(svg, bars, x, y) {
  const spots = [];
  for (const { name, parts, says } of bars) {
    let from = 0;
    for (const { value, part } of parts) {
      const [a, b] = [x.at(from), x.at(from + value)];
      const rect = { x: a, y: y.at(name) - 0.36 * y.step, width: Math.max(0, b - a), height: 0.72 * y.step };
      svg.append(shape("rect", { ...rect, fill: part.colour, class: "bar" }));
      if (part.hatch) svg.append(shape("rect", { ...rect, fill: `url(#${part.hatch})` }));
      if (value) spots.push({ x: (a + b) / 2, y: y.at(name), says: `${name}: ${part.name} ${seconds(value)}` });
      from += value;
    }
    svg.append(shape("text", { x: x.at(from) + 4, y: y.at(name) + 4 }, says));
  }
  return spots;
}

function drawCells(svg, { across, up, at, hatch }, x, y) {
  const edges = (values, axis) => values.map((v, i) => {
    const here = axis.at(v);
    const [before, after] = [values[i - 1], values[i + 1]].map((o) => (o === undefined ? null : axis.at(o)));
    const half = (axis.step ?? Math.abs((after ?? before) - here)) / 2;
    return [here - half, here + half];
  });
  const [columns, rows] = [edges(across, x), edges(up, y)];
  const spots = [];
  up.forEach((_, i) => across.forEach((_, j) => {
    const cell = at(i, j);
    if (!cell) return;
    const rect = { x: columns[j][0], y: rows[i][0], width: columns[j][1] - columns[j][0], height: rows[i][1] - rows[i][0] };
    svg.append(shape("rect", { ...rect, fill: cell.colour, "fill-opacity": cell.opacity, class: "cell" }));
    if (cell.tied) svg.append(shape("rect", { ...rect, fill: `url(#${hatch})` }));
    spots.push({ x: (columns[j][0] + columns[j][1]) / 2, y: (rows[i][0] + rows[i][1]) / 2, says: cell.says });
  }));
  return spots;
}

// Draw a line across the figure at one value, with its name above.
function drawGuide(svg, { at, text, dash = "3 4", strong = false }, x, _y, box) {
  const px = x.at(at);
  if (!(px >= box.left - 1 && px <= box.right + 1)) return;
  svg.append(shape("path", { d: `M${px},${box.top}V${box.bottom}`, class: strong ? "guide strong" : "guide", "stroke-dasharray": dash }));
  if (text) svg.append(shape("text", { x: Math.min(px, box.right - 3.2 * text.length), y: box.top - 4, "text-anchor": "middle", class: "note" }, text));
}

function drawNote(svg, { x: atX, y: atY, text, lift = 12 }, x, y, box) {
  const half = 3.4 * text.length;
  const px = Math.max(box.left + half, Math.min(box.right - half, x.at(atX)));
  const py = Math.max(box.top + 10, y.at(atY) - lift);
  svg.append(shape("text", { x: px, y: py, "text-anchor": "middle", class: "note halo" }, text));
}

function hatches() {
  const svg = shape("svg", { width: 0, height: 0, class: "defs", "aria-hidden": "true" });
  const defs = shape("defs");
  const lines = { "hatch-tie": ["M0,6L6,0", "var(--ink)"], "hatch-dots": ["M2,2h2v2h-2z", "#fff"], "hatch-lines": ["M0,6L6,0", "#fff"], "hatch-cross": ["M0,6L6,0M0,0L6,6", "#fff"] };
  for (const [id, [d, stroke]] of Object.entries(lines)) {
    const pattern = shape("pattern", { id, width: 6, height: 6, patternUnits: "userSpaceOnUse" });
    pattern.append(shape("path", { d, style: `stroke:${stroke}`, "stroke-width": 1, fill: "none" }));
    defs.append(pattern);
  }
  svg.append(defs);
  document.body.append(svg);
}

// -- pointing ---------------------------------------------------------------------

function hover(node, svg, spots, width) {
  const tip = element("tip");
  svg.addEventListener("pointermove", (event) => {
    const frame = svg.getBoundingClientRect();
    const ratio = width / frame.width;
    const [px, py] = [(event.clientX - frame.left) * ratio, (event.clientY - frame.top) * ratio];
    const away = (s) => Math.hypot(s.x - px, s.y - py);
    const near = spots.reduce((a, s) => (a === null || away(s) < away(a) ? s : a), null);
    tip.hidden = near === null || away(near) > 40;
    if (tip.hidden) return;
    tip.textContent = near.says;
    const [right, below] = [frame.left + near.x / ratio + 12, frame.top + near.y / ratio + 12];
    tip.style.left = `${Math.max(4, Math.min(right, document.documentElement.clientWidth - tip.offsetWidth - 4))}px`;
    tip.style.top = `${below}px`;
  });
  svg.addEventListener("pointerleave", () => {
    tip.hidden = true;
  });
}

// Make the buttons that hide and show a backend in all figures.
function legend(node, backends, redraw, style = look) {
  const toggle = (backend) => {
    if (!HIDDEN.delete(backend)) HIDDEN.add(backend);
    CHOICE.set("hide", [...HIDDEN].join(","));
    redraw();
  };
  node.replaceChildren(...backends.map((backend) => {
    const button = make("button", undefined, { type: "button", "aria-pressed": String(!HIDDEN.has(backend)), "data-backend": backend });
    button.append(swatch(style(backend)), make("span", backend));
    button.addEventListener("click", () => {
      toggle(backend);
      node.querySelector(`[data-backend="${CSS.escape(backend)}"]`)?.focus();
    });
    return button;
  }));
}
