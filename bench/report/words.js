"use strict";
// Numbers as text, small helpers for the document, and the reader's choices in the address.

const DATA = JSON.parse(document.getElementById("data").textContent);
const element = (id) => document.getElementById(id);

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
  for (const [digits, least] of [[0, 1e4], [1, 1e6]]) {
    const short = Number(value).toExponential(digits).replace("e+", "e");
    if (value >= least && Number(short) === value) return short;
  }
  return Math.round(value).toLocaleString("en");
}

const rough = (value) => (value <= 1 ? "1" : count(Number(Number(value).toPrecision(2))));
const percent = (value) => (value === null || value === undefined ? "–" : `${Math.round(100 * value)}%`);
const plural = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;

function spread({ median, low, high }) {
  const [from, to] = [seconds(low), seconds(high)];
  const short = from.split(" ")[1] === to.split(" ")[1] ? from.split(" ")[0] : from;
  return `${seconds(median)} (${short}–${to})`;
}

function make(tag, text, attributes = {}) {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  for (const [name, value] of Object.entries(attributes)) if (value !== null) node.setAttribute(name, value);
  return node;
}

function fill(select, entries) {
  const before = select.value;
  select.replaceChildren(...entries.map(([value, text]) => make("option", text, { value })));
  if (entries.some(([value]) => String(value) === before)) select.value = before;
}

// Fill a table with a heading and rows; each cell is text, or [text, attributes].
function fillTable(table, head, rows, numeric = (i) => i > 0) {
  const cell = (tag, value, i, more) => {
    const [text, attributes] = Array.isArray(value) ? value : [value, {}];
    return make(tag, text, { class: numeric(i) ? "number" : null, ...more, ...attributes });
  };
  const heading = make("tr");
  head.forEach((text, i) => heading.append(cell("th", text, i, { scope: "col" })));
  const body = make("tbody");
  for (const { cells, ...attributes } of rows) {
    const line = make("tr", undefined, attributes);
    cells.forEach((value, i) => line.append(i ? cell("td", value, i) : cell("th", value, i, { scope: "row" })));
    body.append(line);
  }
  const thead = make("thead");
  thead.append(heading);
  table.replaceChildren(...[table.querySelector("caption"), thead, body].filter(Boolean));
}

const unique = (values) => [...new Set(values)];
const groups = (items, of) => items.reduce((map, item) => map.set(of(item), [...(map.get(of(item)) ?? []), item]), new Map());

// Text for features, dtype and loss. Squared error, the loss of older results, is left out.
const SQUARED = "squared_error";
const lossOf = (of) => of.loss ?? SQUARED;
const lossSuffix = (of, before) => (lossOf(of) === SQUARED ? "" : `${before}${of.loss}`);
const shapeKey = (of) => `${of.features} ${of.dtype}${lossSuffix(of, " ")}`;
const shapeName = (of) => `${plural(of.features, "feature")}, ${of.dtype}${lossSuffix(of, ", ")}`;

// The reader's choices. They are kept in the page's address, so that the address can be shared; the
// address leaves out choices that are the default.
const CHOICE = {
  given: new URLSearchParams(location.search),
  defaults: new Map(),

  get(name) {
    return this.given.get(name) ?? this.defaults.get(name) ?? "";
  },

  set(name, value) {
    if (String(value) === (this.defaults.get(name) ?? "")) this.given.delete(name);
    else this.given.set(name, value);
    const query = this.given.toString();
    try {
      history.replaceState(null, "", `${location.pathname}${query && `?${query}`}${location.hash}`);
    } catch {
      // Some viewers show the page in a frame whose address cannot change; the choice still works.
    }
  },

  // Set a control to the choice in the address, and keep later choices in the address.
  bind(control, name, changed) {
    const check = control.type === "checkbox";
    const read = () => (check ? String(control.checked) : control.value);
    this.defaults.set(name, read());
    if (this.given.has(name)) {
      const wanted = this.given.get(name);
      if (check) control.checked = wanted === "true";
      else if (!control.options || [...control.options].some((o) => o.value === wanted)) control.value = wanted;
    }
    control.addEventListener("input", () => {
      this.set(name, read());
      changed();
    });
  },
};
