// Line charts of series over steps, drawn by uPlot: zoom with the wheel or by dragging, pan with Shift, double click for
// all; with the keyboard +, -, the arrows and 0. uPlot is read when the first chart is shown.

import {make} from "./element.js";
import {number} from "./text.js";

const HEIGHT = 190;
const COLOURS = 6;
const SMOOTHED_FROM = 20;
/** What is drawn, by title: {lines, logarithmic, smoothing, plot, key, zoomed}. */
const charts = new Map();
const listening = new WeakSet();
let library = null;

/** A chart. Lines: [{name, points: [{step, value}]}] in the order of steps, values null where they were not finite.
 *  Options: logarithmic (where all values are positive), smoothing (0 to 0.99), marks (steps with a dashed line). */
export function chart(title, lines, {logarithmic = false, smoothing = 0, marks = []} = {}) {
  const shown = charts.get(title) ?? {};
  if (!sameLines(shown.lines, lines)) shown.positive = lines.every(({points}) => points.every(({value}) => value === null || value > 0));
  charts.set(title, Object.assign(shown, {lines, smoothing, marks, logarithmic: logarithmic && shown.positive}));
  const spoken = lines.filter((line) => line.points.length).map(describe).join("; ");
  return make(
    "figure",
    {"data-key": `chart ${title}`},
    make("figcaption", {}, make("strong", {}, title), make("span", {"data-readout": title, "data-own": true})),
    make("div", {class: "plot", "data-plot": title, "data-own": true, tabindex: "0", role: "img",
      "aria-label": `${title}: ${spoken}. Plus and minus zoom, arrows pan, 0 shows all.`}),
  );
}

/** Whether nothing came since: points that came make another list. */
const sameLines = (some, others) =>
  some?.length === others.length && some.every(({name, points}, place) => name === others[place].name && points === others[place].points);

/** Draws the charts whose places are on the page, and forgets the others. */
export async function drawCharts(root) {
  const places = [...root.querySelectorAll("[data-plot]")];
  for (const [title, shown] of charts) {
    if (places.some((place) => place.dataset.plot === title)) continue;
    shown.plot?.destroy();
    charts.delete(title);
  }
  if (!places.length) return;
  library ??= import("./uplot.js");
  const {default: UPlot} = await library;
  for (const place of places) {
    if (place.isConnected && charts.has(place.dataset.plot)) draw(UPlot, place, charts.get(place.dataset.plot));
  }
}

function draw(UPlot, place, shown) {
  const key = JSON.stringify([shown.lines.map((line) => line.name), shown.logarithmic, shown.smoothing > 0, dark()]);
  const there = shown.plot && shown.key === key && shown.plot.root.parentNode === place;
  const {lines, smoothing, marks} = shown.drawn ?? {};
  if (there && sameLines(lines, shown.lines) && smoothing === shown.smoothing && marks === String(shown.marks)) return;
  shown.drawn = {lines: shown.lines, smoothing: shown.smoothing, marks: String(shown.marks)};
  const data = table(shown);
  if (there) {
    const {min, max} = shown.plot.scales.x;
    shown.plot.setData(data, !shown.zoomed);
    if (shown.zoomed) shown.plot.setScale("x", {min, max});
  } else {
    shown.plot?.destroy();
    shown.zoomed = false;
    shown.key = key;
    shown.plot = new UPlot(options(place, shown), data, place);
    listen(place, shown);
  }
  readout(place, shown, null);
}

/** Steps, and for each line its values; with smoothing the measured ones too, which are drawn faintly. */
function table({lines, smoothing}) {
  const own = lines.map(({points}) => points.map((point) => point.step));
  const steps = own.reduce(merged);
  return [steps, ...lines.flatMap(({points}, place) => {
    const values = points.map((point) => point.value);
    return (smoothing ? [values, smooth(values, smoothing)] : [values]).map((column) => spread(column, own[place], steps));
  })];
}

/** The steps of both, each once; both are in order. */
function merged(some, others) {
  const all = [];
  for (let i = 0, j = 0; i < some.length || j < others.length;) {
    const step = Math.min(some[i] ?? Infinity, others[j] ?? Infinity);
    if (some[i] === step) i += 1;
    if (others[j] === step) j += 1;
    all.push(step);
  }
  return all;
}

/** Values at all steps: undefined, over which a line goes on, where the line has none. */
function spread(values, own, steps) {
  if (own.length === steps.length) return values;
  let next = 0;
  return steps.map((step) => (own[next] === step ? values[next++] : undefined));
}

/** The exponential moving average, without the pull of its beginning. */
function smooth(values, weight) {
  if (values.length < SMOOTHED_FROM) return values;
  let sum = 0, share = 0;
  return values.map((value) => {
    if (value === null) return null;
    sum = weight * sum + (1 - weight) * value;
    share = weight * share + (1 - weight);
    return sum / share;
  });
}

const dark = () => matchMedia("(prefers-color-scheme: dark)").matches;
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function options(place, shown) {
  const grid = {stroke: style("--line"), width: 1};
  const axis = {stroke: style("--quiet"), grid, ticks: grid, font: "11px system-ui, sans-serif"};
  const line = (index, faint) => ({
    stroke: style(`--series-${index % COLOURS}`), width: faint ? 1 : 1.6, alpha: faint ? 0.25 : 1,
    points: shown.lines[index].points.length <= 30 ? {show: true, size: 5} : {size: 5},
  });
  const series = shown.lines.flatMap((_, index) => (shown.smoothing ? [line(index, true), line(index, false)] : [line(index, false)]));
  return {
    width: Math.max(place.clientWidth, 120), height: HEIGHT,
    legend: {show: false}, cursor: {y: false, drag: {x: true, y: false, setScale: true}},
    scales: {x: {time: false}, y: {distr: shown.logarithmic ? 3 : 1}},
    axes: [{...axis, space: 70, values: (_, steps) => steps.map(number)},
      {...axis, size: 58, space: 28, values: (_, ticks) => ticks.map((tick, at) => told(tick, ticks, at))}],
    series: [{}, ...series],
    hooks: {
      setCursor: [(plot) => readout(place, shown, plot.cursor.idx)],
      draw: [(plot) => dash(plot, shown)],
      setScale: [(plot, name) => { if (name === "x") place.shownSteps = [plot.scales.x.min, plot.scales.x.max]; }],
      setSelect: [() => { shown.zoomed = true; }],
    },
  };
}

/** A dashed line at each mark. */
function dash({ctx, bbox, valToPos}, {marks}) {
  ctx.save();
  ctx.strokeStyle = style("--wait");
  ctx.setLineDash([4, 4]);
  for (const step of marks) {
    const x = valToPos(step, "x", true);
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
  }
  ctx.restore();
}

/** A tick with as many digits as tell it from its neighbour. */
function told(tick, ticks, at) {
  if (tick === null) return "";
  const gap = Math.abs((ticks[at + 1] ?? ticks[at - 1] ?? 0) - tick);
  const size = Math.abs(tick);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return tick.toExponential(1);
  const digits = gap ? Math.max(0, Math.min(6, Math.ceil(-Math.log10(gap)))) : 2;
  return tick.toLocaleString("en", {maximumFractionDigits: digits});
}

function listen(place, shown) {
  if (listening.has(place)) return;
  listening.add(place);
  const title = place.dataset.plot;
  const move = (factor, shift, centre = 0.5) => zoom(charts.get(title), factor, shift, centre);
  place.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.altKey && document.activeElement !== place) return; // the page scrolls
    event.preventDefault();
    const box = place.querySelector(".u-over").getBoundingClientRect();
    move(event.deltaY > 0 ? 1.25 : 0.8, 0, (event.clientX - box.left) / box.width);
  }, {passive: false});
  place.addEventListener("keydown", (event) => {
    const act = {"+": [0.7, 0], "=": [0.7, 0], "-": [1.4, 0], ArrowLeft: [1, -0.2], ArrowRight: [1, 0.2]}[event.key];
    if (event.key === "0") all(charts.get(title));
    else if (act) move(...act);
    else return;
    event.preventDefault();
  });
  place.addEventListener("dblclick", () => { charts.get(title).zoomed = false; });
  let dragged = null;
  place.addEventListener("mousedown", (event) => {
    if (!event.shiftKey) return;
    dragged = event.clientX;
    event.stopPropagation();
    event.preventDefault();
  }, {capture: true});
  addEventListener("mousemove", (event) => {
    if (dragged === null) return;
    const width = place.querySelector(".u-over")?.clientWidth || 1;
    move(1, (dragged - event.clientX) / width);
    dragged = event.clientX;
  });
  addEventListener("mouseup", () => { dragged = null; });
  new ResizeObserver(() => charts.get(title)?.plot?.setSize({width: Math.max(place.clientWidth, 120), height: HEIGHT})).observe(place);
}

function zoom(shown, factor, shift, centre) {
  const {plot} = shown;
  const {min, max} = plot.scales.x;
  const steps = plot.data[0], first = steps[0], last = steps.at(-1);
  const width = Math.min((max - min) * factor, last - first);
  if (!(width > 0)) return;
  const start = min + (max - min) * centre - width * centre + width * shift;
  const low = Math.max(first, Math.min(start, last - width));
  shown.zoomed = width < last - first;
  plot.setScale("x", {min: low, max: low + width});
}

function all(shown) {
  shown.zoomed = false;
  const steps = shown.plot.data[0];
  shown.plot.setScale("x", {min: steps[0], max: steps.at(-1)});
}

function describe({name, points}) {
  const first = points[0], last = points.at(-1);
  const told = ({value}) => (value === null ? "not a number" : number(value));
  return `${name} from ${told(first)} at step ${number(first.step)} to ${told(last)} at step ${number(last.step)}`;
}

/** The caption shows the values under the pointer, and without one the last ones. */
function readout(place, shown, index) {
  const caption = place.parentNode?.querySelector("[data-readout]");
  if (!caption) return;
  const step = index === null || index === undefined ? Infinity : shown.plot.data[0][index];
  const at = shown.lines.map(({name, points}) => [name, points[before(points, step)]]).filter(([, point]) => point);
  if (!at.length) return;
  const many = shown.lines.length > 1;
  caption.replaceChildren(
    ...at.map(([name, {value}], place_) =>
      make("span", {class: `series-${place_ % COLOURS}`}, `${many ? `${name} ` : ""}${value === null ? "NaN" : number(value)} `)),
    make("span", {class: "quiet"}, `at step ${number(Math.max(...at.map(([, point]) => point.step)))}`),
  );
}

/** The place of the last point that is not behind a step. */
function before(points, step) {
  let low = 0, high = points.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (points[middle].step <= step) low = middle;
    else high = middle - 1;
  }
  return low;
}
