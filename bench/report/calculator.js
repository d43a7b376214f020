"use strict";
// The cost model and the recommendation, as in bench/pick/model.py and bench/pick/recommend.py.
// Equal measurements and equal draws give equal answers here and in Python, which
// tests/bench/report/test_calculator.py checks.

class CostModel {
  static made = 0;

  static drifted = null;

  constructor(data, shape, constants) {
    Object.assign(this, data);
    this.rowBytes = shape.row_bytes;
    this.constants = constants;
    this.cached = null;
    this.id = CostModel.made;
    CostModel.made += 1;
  }

  get draws() {
    if (!this.cached) {
      const { draws } = this.constants;
      const all = studentT4(uniforms(this.seed, 4 * draws));
      this.cached = [0, 1, 2, 3].map((i) => all.subarray(i * draws, (i + 1) * draws));
    }
    return this.cached;
  }

  get slowness() {
    const { memory_seed: seed, draws } = this.constants;
    this.drawn ??= uniforms(seed, draws).map((u) => this.states[Math.floor(u * this.states.length)]);
    return this.drawn;
  }

  // Draws of the drift between two moments, the same for all backends.
  get drifting() {
    const { drift_seed: seed, draws } = this.constants;
    if (!CostModel.drifted) {
      const uniform = uniforms(seed, 2 * draws); // Box and Muller's transform
      CostModel.drifted = uniform.subarray(0, draws).map((u, i) => Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * uniform[draws + i]));
    }
    return CostModel.drifted;
  }

  // Return draws of a step's time, relative to its time at the usual memory throughput.
  slowed(rows, count) {
    const found = new Float64Array(count).fill(1);
    if (!this.states.length) return found;
    const beyond = Math.log(Math.max(1, (rows * this.rowBytes) / this.cache_bytes));
    const waiting = this.waiting * Math.min(1, beyond / Math.log(this.constants.in_memory));
    return found.map((_, i) => 1 + waiting * (this.slowness[i] - 1));
  }

  get largest() {
    return this.steps.rows.at(-1);
  }

  // Whether steps and a setup were measured near so many rows: see bench/pick/near.py.
  near(rows) {
    const { near, scout_bytes: scout } = this.constants;
    const least = Math.min(rows, Math.floor(scout / this.rowBytes)) / near;
    const steps = this.steps.rows.some((n) => least <= n && n <= near * rows);
    return steps && this.compiling.rows.some((n) => n <= near * rows);
  }

  step(rows) {
    const { bend, more } = this.uncached ?? { bend: 0, more: 0 };
    return onCurve(this.steps, rows) + more * Math.max(0, rows - bend);
  }

  place(rows) {
    const copying = onCurve(this.placing, rows);
    return overhead(this.opening, rows, copying) + copying;
  }

  firstCall(rows) {
    const step = this.step(rows);
    return overhead(this.compiling, rows, step) + step;
  }

  setup(rows) {
    return this.import_s + this.place(rows) + this.firstCall(rows);
  }

  total(rows, iterations) {
    return this.setup(rows) + iterations * this.step(rows);
  }

  stepSigma(rows) {
    const { rows: sizes, counts } = this.steps;
    const away = sizes.map((n) => Math.abs(Math.log10(rows / n)));
    const least = Math.min(...away);
    const spread = this.spreads[0] * Math.sqrt(1 + 1 / counts[away.indexOf(least)]);
    if (rows <= sizes.at(-1)) return Math.hypot(spread, this.constants.between * least);
    const { bend, error } = this.uncached ?? { bend: 0, error: 0 };
    return Math.hypot(spread, this.beyond * least, error * Math.max(0, 1 - bend / rows));
  }

  setupSigma(rows) {
    const away = Math.min(...this.compiling.rows.map((n) => Math.abs(Math.log10(rows / n))));
    return Math.hypot(this.spreads[1], this.constants.between * Math.min(away, this.constants.farthest));
  }

  totals(rows, iterations, count = this.constants.draws) {
    const [ofImport, ofPlace, ofFirst, ofStep] = this.draws;
    const setup = this.setupSigma(rows);
    const stepping = this.stepSigma(rows);
    const [place, first, steps] = [this.place(rows), this.firstCall(rows), iterations * this.step(rows)];
    const slowed = this.slowed(rows, count);
    const found = new Float64Array(count);
    for (let i = 0; i < count; i += 1) {
      found[i] =
        this.import_s * Math.exp(setup * ofImport[i]) +
        place * Math.exp(setup * ofPlace[i]) +
        first * Math.exp(setup * ofFirst[i]) +
        steps * slowed[i] * Math.exp(stepping * ofStep[i]);
      found[i] *= Math.exp(this.drift * this.drifting[i]);
    }
    return found;
  }

  interval(rows, iterations) {
    const centre = this.total(rows, iterations);
    const draws = this.totals(rows, iterations).sort();
    const tail = (1 - this.constants.coverage) / 2;
    return {
      median: centre,
      low: Math.min(centre, quantile(draws, tail)),
      high: Math.max(centre, quantile(draws, 1 - tail)),
    };
  }

  peakBytes(rows) {
    if (!this.peaks) return null;
    const { rows: sizes, bytes } = this.peaks;
    if (sizes[0] < rows && rows < sizes.at(-1)) return interpolate(rows, sizes, bytes);
    const end = rows <= sizes[0] ? 0 : sizes.length - 1;
    return Math.max(0, bytes[end] + (rows - sizes[end]) * this.bytes_a_row);
  }
}

function onCurve({ rows: sizes, seconds, a_row: aRow }, rows) {
  const last = sizes.length - 1;
  if (rows <= sizes[last]) {
    return Math.exp(interpolate(Math.log(rows), sizes.map(Math.log), seconds.map(Math.log)));
  }
  return seconds[last] + aRow * (rows - sizes[last]);
}

// The one-time cost on top of a curve, whose value at the rows is `here`: see bench/pick/curves.py.
function overhead({ rows: sizes, base, seconds }, rows, here) {
  const i = sizes.findIndex((n) => rows <= n);
  if (i <= 0) {
    const cost = seconds.at(i); // of the first size, or of the last
    return cost >= 0 ? cost : (cost * here) / base.at(i);
  }
  const [low, high] = [base[i - 1], base[i]];
  const share = high > low ? (here - low) / (high - low) : Math.log(rows / sizes[i - 1]) / Math.log(sizes[i] / sizes[i - 1]);
  return seconds[i - 1] + share * (seconds[i] - seconds[i - 1]);
}

function uniforms(seed, count) {
  const found = new Float64Array(count);
  for (let i = 1; i <= count; i += 1) {
    const a = (seed + Math.imul(i, 0x6d2b79f5)) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    found[i - 1] = (((t ^ (t >>> 14)) >>> 0) + 0.5) / 2 ** 32;
  }
  return found;
}

function studentT4(uniform) {
  return uniform.map((u) => {
    const alpha = Math.sqrt(4 * u * (1 - u));
    const q = Math.cos(Math.acos(alpha) / 3) / alpha;
    return Math.sign(u - 0.5) * 2 * Math.sqrt(q - 1);
  });
}

function interpolate(x, xs, ys) {
  if (x <= xs[0]) return ys[0];
  for (let i = 1; i < xs.length; i += 1) {
    if (x <= xs[i]) return ys[i - 1] + ((ys[i] - ys[i - 1]) * (x - xs[i - 1])) / (xs[i] - xs[i - 1]);
  }
  return ys.at(-1);
}

function quantile(sorted, share) {
  const at = share * (sorted.length - 1);
  const below = Math.floor(at);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
}

// Return the mean of draws whose ends are clipped, so that extreme draws do not dominate it.
function clippedMean(draws, tail) {
  const sorted = draws.slice().sort();
  const [low, high] = [quantile(sorted, tail), quantile(sorted, 1 - tail)];
  return draws.reduce((sum, x) => sum + Math.min(high, Math.max(low, x)), 0) / draws.length;
}

// Return the pick, and the backends that cannot be told apart from it. `models` has the plainest first.
function choose(models, rows, iterations, constants, count = constants.draws) {
  if (!models.length) return { pick: null, tied: [] };
  const draws = models.map((m) => m.totals(rows, iterations, count));
  const means = draws.map((of) => clippedMean(of, constants.tail));
  const least = Math.min(...means);
  const best = means.indexOf(least);
  const ties = [...models.keys()].filter((i) => {
    if (i === best) return true;
    let wins = 0;
    for (let k = 0; k < count; k += 1) wins += draws[best][k] < draws[i][k];
    return wins / count < constants.coverage;
  });
  const picked = ties.find((i) => means[i] <= constants.tie * least);
  return { pick: models[picked].backend, tied: ties.filter((i) => i !== picked).map((i) => models[i].backend) };
}

// The models that were measured near so many rows; all models if none was.
function nearby(models, rows) {
  const found = models.filter((model) => model.near(rows));
  return found.length ? found : models;
}

function breakEven(model, simplest, rows) {
  const more = model.setup(rows) - simplest.setup(rows);
  const gain = simplest.step(rows) - model.step(rows);
  if (more <= 0) return gain >= 0 ? 0 : null;
  return gain > 0 ? more / gain : null;
}

// Answer a request: {rows, iterations, memory: {device: bytes}, loopOnly}.
function recommend(models, request, constants) {
  const { rows, iterations } = request;
  const usable = nearby(models, rows);
  const lines = usable.map((model) => {
    const needs = model.peakBytes(rows);
    const most = request.memory[model.device] ?? request.memory.cpu;
    return {
      backend: model.backend,
      model,
      fits: needs === null ? null : needs <= most,
      needs,
      setup: model.setup(rows),
      step: model.step(rows),
      total: model.interval(rows, iterations),
      breakEven: breakEven(model, usable[0], rows),
    };
  });
  const eligible = lines.filter((line) => !(request.loopOnly && line.model.least_squares_only));
  const scarce = eligible.some((line) => line.fits === false);
  const fitting = eligible.filter((line) => line.fits || (line.fits === null && !scarce));
  const among = (fitting.length ? fitting : eligible).map((line) => line.model);
  const { pick, tied } = choose(among, rows, iterations, constants);
  const loops = among.filter((model) => !model.least_squares_only);
  const loopPick = choose(loops, rows, iterations, constants).pick;
  lines.sort((a, b) => a.total.median - b.total.median);
  const far = models.filter((model) => !usable.includes(model)).map((model) => model.backend);
  return { pick, tied, loopPick, fits: fitting.length > 0, lines, far, plainest: usable[0].backend };
}
