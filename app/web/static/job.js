// One job, as it happens: progress, curves, evaluations, attempts, log.

import {chart} from "./chart.js";
import {empty, link, make, summary, table, warnings} from "./element.js";
import {modelLink, progress, state, when} from "./jobs.js";
import {call, json, patient, watch} from "./service.js";
import {ENDED, between, bytes, duration, number} from "./text.js";

const LOG_BYTES = 20000;
const POINTS = 100000;
const LEGEND = {steps_per_s: "steps per second"};
const TITLES = {train: "Training", evaluate: "Evaluation", export: "Export", predict: "Batch prediction"};
/** The curves of the job that is shown; only what is new is asked for. */
let curves = {job: null, attempt: 0, series: {}};
let logarithmic = false;
/** Weight of the moving average, in per cent. */
let smoothing = 0;
/** What the log shows: its lines with a text, of a level and above. */
const wanted = {text: "", level: ""};
const LEVELS = {warning: /\b(WARN(ING)?|ERROR|CRITICAL|FATAL|Traceback)\b|^[WEF]\d{4} /, error: /\b(ERROR|CRITICAL|FATAL|Traceback)\b|^[EF]\d{4} /};

export function toggleLogarithmic() {
  logarithmic = !logarithmic;
}

export const setSmoothing = (value) => { smoothing = Number(value); };
export const filterLog = (name, value) => { wanted[name] = value; };
export const curveOptions = () => ({logarithmic, smoothing: smoothing / 100});

export const curveControls = () => make("p", {class: "row", "data-key": "curves scale"},
  make("button", {"data-action": "logarithmic", "aria-pressed": String(logarithmic)}, "Logarithmic"),
  make("label", {}, `Smoothing ${smoothing ? `${smoothing} % ` : "off "}`,
    make("input", {type: "range", min: 0, max: 99, value: smoothing, "data-slide": "smoothing"})),
  make("small", {class: "quiet wide"}, "Drag over a stretch to see it larger, with Shift to move; double click for all."));

export const job = {
  title: (id) => id,
  section: "jobs",
  every: 5000,
  async load(id, _, signal) {
    const [found, {evaluations}, answer] = await Promise.all([
      json(`/v1/jobs/${id}`, {signal}),
      json(`/v1/jobs/${id}/evaluations`, {signal}),
      call(`/v1/jobs/${id}/logs?tail_bytes=${LOG_BYTES}`, {signal: patient(signal)}),
    ]);
    const series = await curvesOf(found, signal);
    const log = await answer.text();
    const nodes = [
      link("jobs", "← Jobs", "back"),
      make("h1", {}, `${found.display_name || TITLES[found.type]} `, make("span", {class: "id quiet"}, found.id)),
      make("div", {class: "row"}, state(found.state), steps(found), buttons(found)),
      found.tags.length ? make("p", {class: "row", "data-key": "tags"}, found.tags.map((tag) => link(`jobs?tag=${encodeURIComponent(tag)}`, tag, "pill"))) : "",
      trouble(found),
      warnings(found.warnings),
      facts(found),
      ...charts(series, found.attempts.map((one) => one.resumed_from_step).filter((step) => step)),
      ...section("Evaluations", evaluationTable(evaluations), evaluations.length),
      ...section("Attempts", attemptTable(found.attempts), found.attempts.length),
      make("h2", {"data-key": "log title"}, "Log"),
      ...(log ? logPart(log) : [empty("Nothing was logged yet.")]),
      make("details", {"data-key": "spec"}, make("summary", {}, "Specification"), make("pre", {tabindex: "0"}, JSON.stringify(found.spec, null, 2))),
    ];
    nodes.everyMs = ENDED.includes(found.state) ? 0 : undefined;
    return nodes;
  },
  follow: (id, signal, changed) => watch(id, signal, changed),
};

const section = (title, content, there) => (there ? [make("h2", {"data-key": `${title} title`}, title), content] : []);

function steps(found) {
  const content = progress(found);
  return content && make("span", {}, content, " steps");
}

function buttons({id, state: now}) {
  if (!ENDED.includes(now)) {
    return make("button", {"data-key": "act", "data-action": "cancel", "data-job": id, class: "danger", "aria-disabled": now === "CANCELLING" ? "true" : null}, "Cancel");
  }
  return now === "SUCCEEDED" ? "" : make("button", {"data-key": "act", "data-action": "retry", "data-job": id}, "Retry");
}

function trouble({state: now, error}) {
  if (!error || now === "SUCCEEDED") return "";
  const text = [make("strong", {}, error.kind), `: ${error.detail}`];
  if (now === "FAILED") return make("p", {class: "box", "data-key": "trouble"}, text);
  return make("p", {class: "box note", "data-key": "trouble"}, "The last attempt failed. ", text);
}

function facts(found) {
  const {loss, steps_per_s: speed, eta_s: eta} = found.progress;
  const running = found.state === "RUNNING";
  const version = found.result.version;
  return summary([
    ["Model", modelLink(found.model)],
    ["Loss", number(loss)],
    ["Steps per second", running ? number(speed) : ""],
    ["Still to go", running && eta ? duration(eta) : ""],
    ["Submitted", when(found.created_at)],
    ["Memory", found.progress.memory_bytes ? bytes(found.progress.memory_bytes) : ""],
    ["Processors", running ? number(found.progress.cpu_cores) : ""],
    ["Took", between(found.started_at, found.finished_at)],
    ["First step after", duration(found.timings.first_step)],
    ["Attempt", attempt(found)],
    ["Again", found.type === "train" ? link(`train/${found.spec.data.train.dataset}?from=${found.id}`, "with changes") : ""],
    ["Made", version ? link(`model/${encodeURIComponent(found.model)}`, `version ${version}`) : ""],
    ["Stopped early", found.result.stopped_early ? "yes" : ""],
  ]);
}

/** Attempts that went back to the queue by themselves do not count against the most. */
function attempt({attempt: number_, counted_attempts: counted, max_attempts: most}) {
  if (!number_) return "waits for a worker";
  return number_ <= most ? `${number_} of ${most}` : `${number_}; ${counted} of ${most} failed`;
}

function logPart(log) {
  const {text, level} = wanted;
  const lines = log.split("\n");
  const kept = text || level
    ? lines.filter((line) => line.toLowerCase().includes(text.toLowerCase()) && (!level || LEVELS[level].test(line)))
    : lines;
  const option = (value, title) => make("option", {value, selected: value === level}, title);
  return [
    make("p", {class: "row", "data-key": "log filter"},
      make("label", {}, "Find ", make("input", {type: "search", "data-log": "text", value: text, autocomplete: "off"})),
      make("label", {}, "Level ", make("select", {"data-log": "level"}, option("", "all"), option("warning", "warnings and errors"), option("error", "errors"))),
      kept.length < lines.length ? make("span", {class: "quiet", role: "status"}, `${number(kept.length)} of ${number(lines.length)} lines`) : ""),
    make("pre", {"data-key": "log", tabindex: "0", "aria-label": "Log"}, kept.join("\n")),
  ];
}

async function curvesOf({id, attempt}, signal) {
  if (curves.job !== id || curves.attempt !== attempt) curves = {job: id, attempt, series: {}};
  const mine = curves.series;
  const lasts = Object.values(mine).map((points) => points.at(-1).step);
  // Series end at different steps: from the lowest end on, some points come a second time.
  const after = lasts.length ? Math.min(...lasts) : -1;
  const found = await json(`/v1/jobs/${id}/metrics?limit=${POINTS}&after_step=${after}`, {signal});
  if (lasts.length && found.names.some((name) => !(name in mine))) {
    curves.job = null; // a new series may begin before the last step of the others
    return curvesOf({id, attempt}, signal);
  }
  for (const [name, points] of Object.entries(found.series)) {
    const known = mine[name] || [];
    const last = known.length ? known.at(-1).step : -1;
    const fresh = points.filter((point) => point.step > last);
    if (fresh.length) mine[name] = [...known, ...fresh];
  }
  return mine;
}

/** The same metric of training and of evaluations is one chart. */
function charts(series, marks) {
  const groups = new Map();
  for (const [name, points] of Object.entries(series)) {
    const title = name.slice(name.lastIndexOf("/") + 1);
    const line = {name: name.includes("/") ? name.slice(0, name.lastIndexOf("/")) : "training", points};
    groups.set(title, [...(groups.get(title) || []), line]);
  }
  if (!groups.size) return [];
  const order = (title) => (title === "loss" ? 0 : title === "steps_per_s" ? 2 : 1);
  const titles = [...groups.keys()].sort((a, b) => order(a) - order(b) || a.localeCompare(b));
  const named = (lines) => lines.sort((a, b) => (b.name === "training") - (a.name === "training") || a.name.localeCompare(b.name));
  return [
    make("h2", {"data-key": "curves title"}, "Curves"),
    curveControls(),
    make("div", {class: "charts", "data-key": "curves"}, titles.map((title) => chart(LEGEND[title] || title, named(groups.get(title)), {...curveOptions(), marks}))),
  ];
}

function evaluationTable(evaluations) {
  const names = [...new Set(evaluations.flatMap((evaluation) => Object.keys(evaluation.metrics)))].sort();
  const columns = [
    {title: "Step", cell: (one) => number(one.step)},
    {title: "Name", cell: (one) => one.name},
    {title: "Rows", cell: (one) => number(one.rows), number: true, wide: true},
    {title: "Report", cell: (one) => (one.has_report ? link(`report/${one.id}`, "Report") : ""), fixed: true},
    ...names.map((name) => ({title: name, cell: (one) => measured(one.metrics[name]), number: true})),
  ];
  return table("Evaluations", columns, evaluations, (one) => one.id);
}

const measured = (value) => (typeof value === "number" ? number(value) : value === undefined ? "" : JSON.stringify(value));

const ATTEMPTS = [
  {title: "Attempt", cell: (one) => String(one.number)},
  {title: "State", cell: (one) => state(one.state), fixed: true},
  {title: "Steps", cell: (one) => (one.last_step === null ? "" : `${number(one.resumed_from_step ?? 0)} to ${number(one.last_step)}`), fixed: true},
  {title: "Took", cell: (one) => between(one.started_at, one.ended_at), fixed: true},
  {title: "Memory", cell: (one) => bytes(one.peak_memory_bytes), number: true, wide: true},
  {title: "Worker", cell: (one) => one.worker, wide: true},
  {title: "Why it ended", cell: (one) => one.reason},
];

const attemptTable = (attempts) => table("Attempts", ATTEMPTS, attempts, (one) => String(one.number));

