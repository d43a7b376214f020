"use strict";
// The calculator: it recommends a backend for a machine, rows, features and iterations.

let ANSWER = { found: null, request: null }; // the answer that the form shows, and its request

// Answer a request. Tests and other scripts may call this function, too.
function answer({ source = 0, features, dtype, loss, rows, iterations, memory, loopOnly = false }) {
  const models = modelsOf(source, shapeKey({ features, dtype, loss }));
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

function readRequest(form) {
  const [rows, iterations, memory] = [whole(form.rows, 1), whole(form.iterations, 1), whole(form.memory, 0.001)];
  if (rows === null || iterations === null || memory === null) return null;
  return {
    source: Number(form.source.value), ...parseShape(form.shape.value), rows: Math.round(rows),
    iterations: Math.round(iterations), memory: memory * 1e9, loopOnly: form.loop_only.checked,
  };
}

function say(sentence, remarks = []) {
  element("answer").textContent = sentence;
  element("remarks").textContent = remarks.join(" ");
}

// Show the box that leaves out techniques for squared error only, if the loss is squared error.
function showLoops(form) {
  form.loop_only.closest("label").hidden = !form.shape.value || parseShape(form.shape.value).loss !== SQUARED;
}

function calculate() {
  const form = element("calculator").elements;
  showLoops(form);
  ANSWER = { found: null, request: null };
  element("candidates").closest(".scroll").hidden = true;
  if (!form.shape.value) {
    say("No total can be predicted: there are no setup times of this machine.", ["On this machine, run: descentbench run"]);
    return drawTotals();
  }
  const request = readRequest(form);
  if (!request) {
    say("Rows, iterations and memory must be numbers above 0, such as 1e7.");
    return drawTotals();
  }
  const found = answer(request);
  ANSWER = { found, request };
  sayAnswer(found, request);
  candidates(found, request);
  return drawTotals();
}

function sayAnswer(found, { rows, iterations }) {
  const line = found.lines.find((l) => l.backend === found.pick);
  const takes = `${plural(iterations, "iteration")} in ${spread(line.total)}`;
  const device = line.model.device === "cpu" ? "the CPU" : line.model.device;
  const remarks = [];
  if (found.tied.length) remarks.push(`${line.backend} cannot be told apart from ${found.tied.join(", ")}. Of backends that tie, the page names the plainest whose expected total is at most 5 % above the lowest.`);
  const named = [line];
  if (line.model.least_squares_only && found.loopPick) {
    const loop = found.lines.find((l) => l.backend === found.loopPick);
    remarks.push(`${line.backend} works only for squared error. For any other loss, use ${loop.backend}: ${spread(loop.total)}.`);
    named.push(loop);
  }
  for (const l of named) {
    if (l.model.largest < rows) remarks.push(`${l.backend} was measured up to ${plural(l.model.largest, "row")}; larger sizes are extrapolated.`);
  }
  if (found.far.length) remarks.push(`Not measured near ${plural(rows, "row")}, and therefore left out: ${found.far.join(", ")}.`);
  const sentence = found.fits
    ? `Use ${line.backend} on ${device}: ${takes}.`
    : `No backend fits into this memory (${byteCount(line.needs)} needed). With enough memory, use ${line.backend}: ${takes}.`;
  say(sentence, remarks);
}

function candidates(found, { loopOnly }) {
  const lines = found.lines.filter((l) => !(loopOnly && l.model.least_squares_only));
  const rows = lines.map((l) => ({
    class: l.backend === found.pick ? "pick" : null,
    cells: [
      l.backend === found.pick ? `${l.backend} ◂` : l.backend,
      byteCount(l.needs) + (l.fits === false ? " ✗" : ""), seconds(l.setup), seconds(l.step), spread(l.total),
      l.breakEven === null ? "never" : rough(l.breakEven),
    ],
  }));
  element("candidates").caption.textContent = `All backends for this request. “Pays from” is the number of iterations from which a backend has a shorter total than ${found.plainest}.`;
  fillTable(element("candidates"), ["backend", "memory", "setup", "a step", "total (90 %)", "pays from"], rows);
  lines.forEach((l, i) => element("candidates").tBodies[0].rows[i].cells[0].prepend(swatch(look(l.backend))));
  element("candidates").closest(".scroll").hidden = false;
}

// Show the shapes and the memory of the chosen machine, and the parts of the page about it.
function chooseMachine() {
  const form = element("calculator").elements;
  const source = DATA.sources[Number(form.source.value)];
  fill(form.shape, source.models.map((m) => [shapeKey(m), shapeName(m)]));
  form.memory.value = figures(source.memory_bytes.cpu / 1e9);
  for (const field of document.querySelectorAll("#calculator .needs-models")) field.hidden = !source.models.length;
  for (const part of document.querySelectorAll("[data-machine]")) part.hidden = part.dataset.machine !== form.source.value;
}

function startCalculator() {
  const form = element("calculator");
  const { elements } = form;
  fill(elements.source, DATA.sources.map((s, i) => [i, s.label]));
  elements.source.value = DATA.first; // the newest machine with a predicted total
  elements.source.closest("label").hidden = DATA.sources.length < 2;
  CHOICE.bind(elements.source, "machine", () => {
    chooseMachine();
    CHOICE.set("memory", elements.memory.value);
    calculate();
  });
  chooseMachine();
  for (const [name, key] of [["shape", "features"], ["rows", "rows"], ["iterations", "iterations"], ["memory", "memory"], ["loop_only", "loops"]]) {
    CHOICE.bind(elements[name], key, calculate);
  }
  form.addEventListener("submit", (event) => event.preventDefault());
  calculate();
}
