"use strict";
// The table of all cases, which can be searched, filtered and sorted; and downloads of all cases.

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
  ["loss", (r) => r.loss ?? "squared_error", String],
  ["machine", (r, s) => s.label, String],
];

const CASES = DATA.sources.flatMap((source) => source.results.map((result) => ({
  result, source, size: `${result.rows} ${result.features}`,
  cells: COLUMNS.map(([, of]) => of(result, source)),
  words: `${result.backend} ${count(result.rows)} ${result.rows} × ${result.features} ${result.dtype} ${result.loss ?? ""} ${result.unstable ? "unstable" : ""} ${result.verified ? "" : "failed"} ${result.reason ?? ""} ${source.label}`.toLowerCase(),
})));

// Each filter: its name, a function that returns a case's value, and one that writes a value as text.
// A filter with a single value is hidden.
const FILTERS = [
  ["backend", (c) => c.result.backend, String],
  ["size", (c) => c.size, (v) => v.split(" ").map((n) => count(Number(n))).join(" × ")],
  ["dtype", (c) => c.result.dtype, String],
  ["loss", (c) => c.result.loss ?? "squared_error", String],
  ["machine", (c) => c.source.label, String],
];

function startTable() {
  const form = element("filters");
  for (const [name, of, write] of FILTERS) {
    const values = unique(CASES.map(of));
    if (name === "size") values.sort((a, b) => a.split(" ")[1] - b.split(" ")[1] || a.split(" ")[0] - b.split(" ")[0]);
    const label = form.elements[`f-${name}`].closest("label");
    label.hidden = values.length < 2;
    fill(form.elements[`f-${name}`], [["", "all"], ...values.map((v) => [v, write(v)])]);
  }
  for (const control of form.elements) if (control.name) CHOICE.bind(control, control.name, showCases);
  form.addEventListener("submit", (event) => event.preventDefault());
  const details = element("all");
  details.open = CHOICE.get("all") === "open";
  details.addEventListener("toggle", () => {
    CHOICE.set("all", details.open ? "open" : "");
    if (details.open) showCases();
  });
  if (details.open) showCases();
  element("csv").addEventListener("click", () => download("descentbench.csv", "text/csv", csvText()));
  element("json").addEventListener("click", () => download("descentbench.json", "application/json", jsonText()));
}

function filtered() {
  const { elements } = element("filters");
  const words = elements.find.value.toLowerCase().split(/\s+/).filter(Boolean);
  return CASES.filter((c) =>
    words.every((word) => c.words.includes(word))
    && FILTERS.every(([name, of]) => !elements[`f-${name}`].value || elements[`f-${name}`].value === of(c))
    && (!elements.doubtful.checked || c.result.unstable || !c.result.verified));
}

function sorted(cases) {
  const [name, direction] = CHOICE.get("sort").split(" ");
  const at = COLUMNS.findIndex(([column]) => column === name);
  if (at < 0) return cases;
  const sign = direction === "down" ? -1 : 1;
  const order = (a, b) => (a === null) - (b === null) || (a === null ? 0 : (a > b ? 1 : a < b ? -1 : 0) * sign);
  return [...cases].sort((a, b) => order(a.cells[at], b.cells[at]));
}

function showCases() {
  if (!element("all").open) return;
  const found = sorted(filtered());
  element("found").textContent = `${found.length} of ${CASES.length} cases`;
  const rows = found.map(({ cells, result }) => ({
    class: !result.verified ? "failed" : result.unstable ? "unstable" : null,
    cells: cells.map((value, i) => [COLUMNS[i][2](value), { class: typeof value === "number" || value === null ? "number" : null }]),
  }));
  const table = element("results");
  fillTable(table, COLUMNS.map(() => ""), rows, () => false);
  const [sortedBy, direction] = CHOICE.get("sort").split(" ");
  COLUMNS.forEach(([name], i) => {
    const th = table.tHead.rows[0].cells[i];
    const button = make("button", name.replaceAll("_", " "), { type: "button" });
    if (name === sortedBy) th.setAttribute("aria-sort", direction === "down" ? "descending" : "ascending");
    button.addEventListener("click", () => {
      CHOICE.set("sort", `${name} ${name === sortedBy && direction !== "down" ? "down" : "up"}`);
      showCases();
      table.tHead.rows[0].cells[i].firstChild.focus();
    });
    th.append(button);
  });
}

function csvText() {
  const quoted = (value) => {
    const formula = typeof value === "string" && /^[=+\-@\t\r]/.test(value); // a spreadsheet would run it
    const text = value === null || value === undefined ? "" : `${formula ? "'" : ""}${value}`;
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const lines = [COLUMNS.map(([name]) => name), ...CASES.map((c) => c.cells)].map((cells) => cells.map(quoted).join(","));
  return `${lines.join("\r\n")}\r\n`;
}

function jsonText() {
  return JSON.stringify(CASES.map(({ result, source }) => ({ ...result, machine: source.label })), null, 1);
}

function download(name, type, text) {
  const link = make("a", undefined, { download: name });
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
