"use strict";
// Start the page: fill in the numbers, draw the figures, and record when the page is ready.

function drawAll() {
  for (const name of Object.keys(FIGURES)) drawFigure(name);
  drawTutorial();
}

function chooseSizes() {
  const results = DATA.sources.flatMap(shown);
  const rowsOf = (usable) => unique(results.filter(usable).map((r) => r.rows)).sort((a, b) => a - b);
  const select = (id, rows, wanted) => {
    fill(element(id), rows.map((n) => [n, count(n)]));
    if (rows.length) element(id).value = rows.reduce((a, n) => (Math.abs(Math.log(n / wanted)) < Math.abs(Math.log(a / wanted)) ? n : a));
    element(id).closest("label").hidden = !rows.length;
  };
  select("cost-rows", rowsOf((r) => r.first_call_s !== null), 1e7);
  const curved = new Set(DATA.curves.filter((c) => shapeKey(c) === chosenShape()).map((c) => c.rows));
  select("convergence-rows", rowsOf((r) => curved.has(r.rows)), 1e6);
}

function showMapLoops() {
  element("map-loops").closest("label").hidden = parseShape(chosenShape()).loss !== SQUARED;
}

function startFigures() {
  hatches();
  const shapes = new Map(DATA.sources.flatMap((s) => s.results.filter((r) => r.verified).map((r) => [shapeKey(r), shapeName(r)])));
  fill(element("shape"), [...shapes]);
  CHOICE.bind(element("shape"), "shape", () => {
    chooseSizes();
    showMapLoops();
    drawAll();
  });
  chooseSizes();
  showMapLoops();
  for (const [name, ids] of Object.entries({
    map: ["map-over", "map-loops"], cost: ["cost-rows", "cost-iterations"], convergence: ["convergence-rows", "convergence-setup"],
  })) {
    for (const id of ids) CHOICE.bind(element(id), id, () => drawFigure(name));
  }
  drawAll();
}

function writeNumbers() {
  const write = { seconds: (v) => seconds(v === "" ? null : Number(v)), bytes: (v) => byteCount(Number(v)), cache: (v) => kibibytes(Number(v)), count: (v) => count(Number(v)) };
  for (const [name, words] of Object.entries(write)) {
    for (const node of document.querySelectorAll(`[data-${name}]`)) node.textContent = words(node.dataset[name]);
  }
}

function start() {
  writeNumbers();
  startCalculator();
  startTable();
  startFigures();
  let width = document.body.clientWidth;
  addEventListener("resize", () => {
    if (document.body.clientWidth === width) return; // only a phone's address bar came or went
    width = document.body.clientWidth;
    drawAll();
    drawTotals();
  });
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
}

try {
  start();
} catch (error) {
  element("error").textContent = `The figures could not be drawn: ${error.message}. They need a browser of 2023 or later.`;
  element("error").hidden = false;
  throw error;
}
