// Line charts of series over steps, drawn as SVG.

import {make} from "./element.js";
import {number} from "./text.js";

const WIDTH = 340, HEIGHT = 170, LEFT = 52, RIGHT = 8, TOP = 10, BOTTOM = 22;
const MOST_POINTS = 300;
const shown = new Map();

/** A chart. Lines: [{name, points: [{step, value}]}], values null where they were not finite.
 *  `logarithmic` holds where all values are positive. */
export function chart(title, lines, logarithmic) {
  const finite = lines.flatMap((line) => line.points).filter((point) => point.value !== null);
  const scale = finite.length ? scales(finite, logarithmic && finite.every((point) => point.value > 0)) : null;
  shown.set(title, {lines, scale});
  const spoken = lines.map((line) => describe(line)).join("; ");
  return make(
    "figure",
    {"data-key": `chart ${title}`},
    make("figcaption", {}, make("strong", {}, title), make("span", {"data-readout": title}, latest(lines))),
    make("svg", {viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${title}: ${spoken}`, "data-chart": title},
      scale ? [axes(scale), lines.map((line, index) => curve(line, index, scale))] : []),
  );
}

function scales(points, logarithmic) {
  const y = logarithmic ? Math.log10 : (value) => value;
  const steps = points.map((point) => point.step), values = points.map((point) => y(point.value));
  const bound = (list, choose) => list.reduce((a, b) => choose(a, b));
  const [x0, x1] = [bound(steps, Math.min), bound(steps, Math.max)];
  let [y0, y1] = [bound(values, Math.min), bound(values, Math.max)];
  if (y0 === y1) [y0, y1] = [y0 - (Math.abs(y0) || 1) / 10, y1 + (Math.abs(y1) || 1) / 10];
  const back = (value) => (logarithmic ? 10 ** value : value);
  return {
    x0, x1,
    x: (step) => LEFT + (x1 === x0 ? 0.5 : (step - x0) / (x1 - x0)) * (WIDTH - LEFT - RIGHT),
    y: (value) => TOP + (1 - (y(value) - y0) / (y1 - y0)) * (HEIGHT - TOP - BOTTOM),
    step: (x) => x0 + ((x - LEFT) / (WIDTH - LEFT - RIGHT)) * (x1 - x0),
    ticks: [0, 0.5, 1].map((share) => back(y0 + share * (y1 - y0))),
  };
}

function axes(scale) {
  const lines = scale.ticks.map((tick) => [
    make("line", {class: "axis", x1: LEFT, x2: WIDTH - RIGHT, y1: scale.y(tick), y2: scale.y(tick)}),
    make("text", {x: LEFT - 5, y: scale.y(tick) + 4, "text-anchor": "end"}, short(tick)),
  ]);
  return make("g", {}, lines,
    make("text", {x: LEFT, y: HEIGHT - 6}, `step ${number(scale.x0)}`),
    make("text", {x: WIDTH - RIGHT, y: HEIGHT - 6, "text-anchor": "end"}, number(scale.x1)));
}

function short(value) {
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-3 || size >= 1e5) ? value.toExponential(1) : String(Number(value.toPrecision(3)));
}

function curve(line, index, scale) {
  const points = thin(line.points);
  const kind = `series-${index % 4}`;
  let path = "", pen = false;
  for (const {step, value} of points) {
    if (value !== null) path += `${pen ? "L" : "M"}${scale.x(step).toFixed(1)} ${scale.y(value).toFixed(1)}`;
    pen = value !== null;
  }
  const few = points.length <= 30 ? points.filter((point) => point.value !== null) : [];
  return make("g", {}, make("path", {class: `line ${kind}`, d: path}),
    few.map(({step, value}) => make("circle", {class: `dot ${kind}`, cx: scale.x(step), cy: scale.y(value), r: 2.4})));
}

/** Of each stretch of a long series only the lowest and the highest point, so that spikes stay to be seen. */
function thin(points) {
  if (points.length <= 2 * MOST_POINTS) return points;
  const kept = [], stretch = points.length / MOST_POINTS;
  for (let start = 0; start < points.length; start += stretch) {
    const part = points.slice(Math.floor(start), Math.floor(start + stretch));
    const ordered = part.filter((point) => point.value !== null).sort((a, b) => a.value - b.value);
    const ends = ordered.length > 1 ? [ordered[0], ordered.at(-1)] : part.slice(0, 1);
    kept.push(...ends.sort((a, b) => a.step - b.step));
  }
  return kept;
}

function describe({name, points}) {
  const first = points[0], last = points.at(-1);
  const told = ({value}) => (value === null ? "not a number" : number(value));
  return `${name} from ${told(first)} at step ${first.step} to ${told(last)} at step ${last.step}`;
}

const latest = (lines) => readout(lines.map(({name, points}) => [name, points.at(-1)]));

function readout(found) {
  const step = Math.max(...found.map(([, point]) => point.step));
  const values = found.map(([name, {value}], index) =>
    make("span", {class: `series-${index % 4}`}, `${found.length > 1 ? `${name} ` : ""}${value === null ? "NaN" : number(value)} `));
  return [...values, make("span", {class: "quiet"}, `at ${number(step)}`)];
}

/** While the pointer is over a chart its caption tells the values at that step, and after it the last ones again. */
export function readUnderPointer(event) {
  const drawing = event.target.closest?.("svg[data-chart]");
  for (const [title, {lines, scale}] of shown) {
    const caption = document.querySelector(`[data-readout="${CSS.escape(title)}"]`);
    if (!caption || !scale) continue;
    if (drawing?.dataset.chart !== title) {
      caption.replaceChildren(...latest(lines));
      continue;
    }
    const box = drawing.getBoundingClientRect();
    const step = scale.step(((event.clientX - box.left) / box.width) * WIDTH);
    const nearest = (points) => points.reduce((a, b) => (Math.abs(b.step - step) < Math.abs(a.step - step) ? b : a));
    caption.replaceChildren(...readout(lines.map(({name, points}) => [name, nearest(points)])));
  }
}
