"use strict";
// Figures of the cost model: total time against iterations, the map of the fastest backend,
// and the number of iterations from which a GPU pays.

const MAP_DRAWS = 200; // draws per cell of the map: enough to find the ties
const MAP_ROWS = Array.from({ length: 22 }, (_, i) => 10 ** (2 + i / 3));
const MAP_ITERATIONS = Array.from({ length: 13 }, (_, i) => Math.round(10 ** (i / 2)));
const MEASURE = () => `No cost model for ${shapeName(parseShape(chosenShape()))}: it needs setup times of two backends or more. On this machine, run: descentbench run ${options(chosenShape())}`;

function modelsOf(source, wanted) {
  const found = DATA.sources[source].models.find((m) => shapeKey(m) === wanted);
  if (!found) return [];
  found.made ??= found.backends.map((data) => new CostModel(data, found, DATA.constants));
  return found.made;
}

// -- total time against iterations ---------------------------------------------------

// Return the fastest models, as [{from, model}]: a model is the fastest from `from` iterations up
// to the next entry. Totals are straight lines over the iterations.
function fastestFrom(models, rows) {
  const lines = models.map((model) => ({ model, setup: model.setup(rows), step: model.step(rows) }));
  const total = (l, k) => l.setup + k * l.step;
  let here = lines.reduce((a, b) => (total(b, 1) < total(a, 1) ? b : a));
  const found = [{ from: 1, model: here.model }];
  for (;;) {
    const cross = (l) => (l.setup - here.setup) / (here.step - l.step);
    const later = lines.filter((l) => l.step < here.step);
    if (!later.length) return found;
    here = later.reduce((a, b) => (cross(b) < cross(a) ? b : a));
    const { model } = here;
    const before = lines.find((l) => l.model === found.at(-1).model);
    found.push({ from: (here.setup - before.setup) / (before.step - here.step), model });
  }
}

function drawTotals() {
  const { found, request } = ANSWER;
  const [node, words] = [element("totals"), element("break-evens")];
  node.closest("figure").hidden = !found;
  if (!found) return;
  const models = found.lines.filter((l) => l.fits !== false && !(request.loopOnly && l.model.least_squares_only)).map((l) => l.model);
  if (!models.length) {
    node.closest("figure").hidden = true;
    return;
  }
  const { rows } = request;
  const most = Math.max(1e6, 10 * request.iterations);
  const steps = Array.from({ length: 49 }, (_, i) => most ** (i / 48));
  const changes = fastestFrom(models, rows).filter((c) => c.from <= most);
  const series = models.map((model) => ({
    backend: model.backend, marks: false,
    points: steps.map((k) => ({ x: k, y: model.total(rows, k), says: `${model.backend}: ${rough(k)} iterations in ${seconds(model.total(rows, k))}` })),
  }));
  const marked = changes.slice(1).map(({ from, model }) => ({ x: from, y: model.total(rows, from), says: `from ${rough(from)} iterations ${model.backend} has the shortest total` }));
  const title = `Total time against iterations for ${count(rows)} × ${request.features}, ${request.dtype}${lossSuffix(request, ", ")}, on ${DATA.sources[request.source].label}`;
  element("totals-title").textContent = title;
  draw(node, {
    title,
    x: { domain: [1, most], title: "iterations" },
    y: { domain: domain(series.flatMap((s) => s.points.map((p) => p.y))), title: "total time", time: true },
    series: [...series, { style: { ...INK, hollow: true }, line: false, points: marked }],
    notes: marked.map((m) => ({ ...m, text: rough(m.x), lift: -18 })),
    guides: [{ at: request.iterations, text: `${count(request.iterations)} iterations`, strong: true }],
  });
  const spans = changes.map(({ from, model }, i) => `${model.backend}${i ? ` from ${rough(from)}` : changes.length > 1 ? ` up to ${rough(changes[1].from)}` : " from the first on"}`);
  words.textContent = `Shortest total, by iterations: ${spans.join(", ")}. The rings mark where another backend becomes the fastest.`;
}

// -- the map ----------------------------------------------------------------------

const CELLS = new Map();

function cell(all, rows, iterations) {
  const models = nearby(all, rows);
  if (!models.length) return null;
  const name = [...models.map((m) => m.id), rows, iterations].join();
  if (!CELLS.has(name)) {
    const totals = models.map((m) => m.total(rows, iterations));
    const near = models.filter((_, i) => totals[i] <= 3 * Math.min(...totals)); // other models cannot tie
    const { pick, tied } = choose(near, rows, iterations, DATA.constants, MAP_DRAWS);
    CELLS.set(name, { pick, tied: tied.join(", "), total: totals[models.findIndex((m) => m.backend === pick)] });
  }
  return CELLS.get(name);
}

// Return a technique's opacity on the map: the techniques of a library have shades of one colour.
function opacity(backend, backends) {
  const kin = backends.filter((b) => look(b).colour === look(backend).colour);
  return [0.85, 0.5, 0.28, 0.65, 0.4][kin.indexOf(backend) % 5];
}

FIGURES.map = {
  of(source) {
    const over = element("map-over").value;
    const index = DATA.sources.indexOf(source);
    const usable = (m) => !(element("map-loops").checked && m.least_squares_only);
    const { dtype, loss } = parseShape(chosenShape());
    const lanes = over === "features"
      ? source.models.filter((m) => m.dtype === dtype && lossOf(m) === loss).map((m) => ({ name: count(m.features), models: modelsOf(index, shapeKey(m)).filter(usable), iterations: 1000 }))
      : MAP_ITERATIONS.map((k) => ({ name: k, models: modelsOf(index, chosenShape()).filter(usable), iterations: k }));
    if (!lanes.some((lane) => lane.models.length > 1)) return MEASURE();
    const cells = lanes.map((lane) => MAP_ROWS.map((n) => cell(lane.models, n, lane.iterations)));
    return { over, lanes, cells, backends: unique(cells.flat().filter(Boolean).map((c) => c.pick)) };
  },
  axes: () => ({ x: { domain: [10 ** 1.83, 10 ** 9.17], title: "rows" } }),
  chart({ over, lanes, cells, backends }) {
    const says = (c, i, j) => `${rough(MAP_ROWS[j])} rows, ${plural(lanes[i].iterations, "iteration")}: ${c.pick}, ${seconds(c.total)}${c.tied ? `; cannot be told apart from ${c.tied}` : ""}`;
    const at = (i, j) => {
      const c = cells[i][j];
      return c && { colour: look(c.pick).colour, opacity: opacity(c.pick, backends), tied: Boolean(c.tied), says: says(c, i, j) };
    };
    const largest = Math.max(...lanes.flatMap((lane) => lane.models.map((m) => m.largest)));
    const byFeatures = over === "features";
    const up = lanes.map((lane) => lane.name);
    const shownAt = [1e2, 1e4, 1e6, 1e8];
    const rows = lanes.filter((lane) => byFeatures || [1, 100, 1e4, 1e6].includes(lane.iterations));
    return {
      height: 380,
      y: byFeatures ? { names: up, title: "features" } : { domain: [10 ** -0.25, 10 ** 6.25], title: "iterations" },
      cells: { across: MAP_ROWS, up, hatch: "hatch-tie", at },
      notes: regions(cells, backends).map(([i, j, backend]) => ({ x: MAP_ROWS[j], y: up[i], text: backend, lift: -4 })),
      guides: [{ at: largest, text: "measured up to here", dash: "2 3", strong: true }],
      table: [[byFeatures ? "features" : "iterations", ...shownAt.map((n) => `${count(n)} rows`)], rows.map((lane) => [byFeatures ? lane.name : count(lane.iterations), ...shownAt.map((n) => cell(lane.models, n, lane.iterations)?.pick ?? "–")])],
    };
  },
};

// Return, for each backend, the cell in the middle of its region, where its name is written.
function regions(cells, backends) {
  return backends.map((backend) => {
    const mine = cells.flatMap((lane, i) => lane.flatMap((c, j) => (c?.pick === backend ? [[i, j]] : [])));
    const [mi, mj] = [0, 1].map((axis) => mine.reduce((sum, at) => sum + at[axis], 0) / mine.length);
    const away = ([i, j]) => Math.hypot(i - mi, j - mj);
    return [...mine.reduce((a, b) => (away(b) < away(a) ? b : a)), backend];
  });
}

// -- CPU against GPU -----------------------------------------------------------------

// For each machine with a GPU: compare the backends on the GPU with the backends on its CPU or, if
// the CPU was not measured, on the CPU of another machine.
FIGURES.gpu = {
  of(source) {
    const index = DATA.sources.indexOf(source);
    const loops = (at) => modelsOf(at, chosenShape()).filter((m) => !m.least_squares_only);
    if (!DATA.sources.some((s) => s.machine.gpus.length)) return "This machine has no GPU, so there is nothing to compare.";
    if (!source.machine.gpus.length) return null; // another machine of the page has a GPU
    const gpu = loops(index).filter((m) => m.device !== "cpu");
    if (!gpu.length) return `No cost model of a GPU's backend for ${shapeName(parseShape(chosenShape()))}. On this machine, run: descentbench run ${options(chosenShape())}`;
    const with_ = [index, ...DATA.sources.keys()].find((at) => loops(at).some((m) => m.device === "cpu"));
    if (with_ === undefined) return `No cost model of a CPU's backend to compare with. On this machine, run: descentbench run ${options(chosenShape())}`;
    const cpu = loops(with_).filter((m) => m.device === "cpu");
    const points = MAP_ROWS.map((n) => ({ n, k: paysFrom(gpu, cpu, n) })).filter((p) => p.k !== null);
    return { points, other: with_ === index ? null : DATA.sources[with_].label, largest: Math.min(...[...gpu, ...cpu].map((m) => m.largest)) };
  },
  axes: (parts) => ({
    x: { domain: [1e2, 1e9], title: "rows" },
    y: { domain: domain([1, 1e6, ...parts.flatMap((p) => p.points.map((q) => q.k))]), title: "iterations from which the GPU is faster" },
  }),
  chart: ({ points, other, largest }) => ({
    series: [{ style: { colour: "#0072B2", mark: "square", dash: "" }, points: points.map(({ n, k }) => ({ x: n, y: k, says: `${rough(n)} rows: the GPU pays from ${plural(Number(rough(k).replace(/,/g, "")), "iteration")} on` })) }],
    guides: [{ at: largest, text: "measured up to here", dash: "2 3", strong: true }],
    remark: `${points.length ? "Above the line, the GPU has the shorter total, including transfer and setup; below the line, the CPU has it. At sizes without a point, the CPU is always faster." : "The CPU is faster at every size and number of iterations."}${other ? ` The CPU is that of another machine: ${other}.` : ""}`,
    table: [["rows", "GPU pays from"], points.map(({ n, k }) => [rough(n), rough(k)])],
  }),
};

// Return the iterations from which the fastest GPU backend has a shorter total than the fastest CPU
// backend; null if there are none up to 1e9.
function paysFrom(gpu, cpu, rows) {
  const best = (models, k) => Math.min(...nearby(models, rows).map((m) => m.total(rows, k)));
  const wins = (k) => best(gpu, k) < best(cpu, k);
  if (!wins(1e9)) return null;
  let [low, high] = [0, 9]; // exponents of ten
  if (wins(1)) return 1;
  for (let i = 0; i < 40; i += 1) {
    const middle = (low + high) / 2;
    if (wins(10 ** middle)) high = middle;
    else low = middle;
  }
  return 10 ** high;
}
