// Releases of a model: a list for its page, and the page of one with its steps, counts, guards and events.

import {empty, link, make, older, summary, table} from "./element.js";
import {state, when} from "./jobs.js";
import {json, list, send} from "./service.js";
import {duration, milliseconds, number} from "./text.js";

const PAGE = 10;
const pathOf = (model, id = "") => `/v1/models/${encodeURIComponent(model)}/releases${id && `/${id}`}`;
const share = (step) => (step.shadow ? "copies only (shadow)" : `${number(step.per_mille / 10)} %`);
const percent = (value) => (typeof value === "number" ? `${number(100 * value)} %` : "");

function stepOf(release) {
  const {steps} = release.plan;
  return `${release.step + 1} of ${steps.length}: ${share(steps[release.step])}`;
}

/** The section of a model's page; nothing where there was no release. */
export async function releasesOf(model, signal) {
  const {releases} = await list(pathOf(model), {page_size: PAGE}, signal);
  if (!releases.length) return [];
  return [
    make("h2", {"data-key": "releases title"}, "Releases"),
    table("Releases", [
      {title: "Release", cell: (one) => link(pageOf(model, one.id), `version ${one.base} → ${one.version}`)},
      {title: "State", cell: (one) => state(one.state), fixed: true},
      {title: "Label", cell: (one) => one.label},
      {title: "Step", cell: stepOf},
      {title: "Started", cell: (one) => when(one.created_at), fixed: true, wide: true},
      {title: "Why it ended", cell: (one) => one.reason, wide: true},
      {title: "Change", cell: buttons, fixed: true},
    ], releases, (one) => one.id),
    releases.length === PAGE ? link(`releases/${encodeURIComponent(model)}`, "All releases") : "",
  ];
}

const pageOf = (model, id) => `release/${id}?${new URLSearchParams({model})}`;

/** What a token that may submit can do with a release in its present state. */
function buttons({id, model, version, state: now}) {
  const button = (action, text, kind) =>
    make("button", {"data-action": action, "data-model": model, "data-release": id, "data-version": version, class: kind, "aria-label": `${text} the release of version ${version}`}, text);
  if (now === "RUNNING") return [button("pauseRelease", "Pause"), " ", button("abortRelease", "Abort", "danger")];
  if (now === "PAUSED") return [button("resumeRelease", "Resume"), " ", button("abortRelease", "Abort", "danger")];
  return [];
}

export const ACTIONS = {
  pauseRelease: ({model, release}) => send("POST", `${pathOf(model, release)}/pause`),
  resumeRelease: ({model, release}) => send("POST", `${pathOf(model, release)}/resume`),
  abortRelease: ({model, release, version}) =>
    confirm(`Abort the release of version ${version}? All requests go to the version from before.`) &&
    send("POST", `${pathOf(model, release)}/abort`),
};

export const releases = {
  title: (model) => `Releases of ${model}`,
  section: "models",
  every: 5000,
  async load(model, query, signal) {
    const found = await list(pathOf(model), {page_size: 50, page_token: query.get("page_token")}, signal);
    return [
      link(`model/${encodeURIComponent(model)}`, `← ${model}`, "back"),
      make("h1", {}, `Releases of ${model}`),
      make("ul", {}, found.releases.map((one) => make("li", {"data-key": one.id}, link(pageOf(model, one.id), `version ${one.base} → ${one.version}`), " ", state(one.state), " ", when(one.created_at)))),
      older(`releases/${encodeURIComponent(model)}`, found),
    ];
  },
};

export const release = {
  title: () => "Release",
  section: "models",
  every: 2000,
  async load(id, query, signal) {
    const model = query.get("model") ?? "";
    const found = await json(pathOf(model, id), {signal});
    const nodes = [
      link(`model/${encodeURIComponent(model)}`, `← ${model}`, "back"),
      make("h1", {}, `Release of ${model} version ${found.version}`),
      make("div", {class: "row", "data-key": "state"}, state(found.state), buttons(found)),
      summary([
        ["Label", `${found.label}, version ${found.base} before`],
        ["Step", stepOf(found)],
        ["Time in this step", duration(found.ran_s)],
        ["Waits for", found.waits_for],
        ["Why it ended", found.reason],
        ["Started", when(found.created_at)],
        ["Ended", found.ended_at && when(found.ended_at)],
      ]),
      make("h2", {"data-key": "steps"}, "Steps"), table("Steps", steps(found), found.plan.steps.map((step, index) => ({...step, index})), (step) => `step ${step.index}`),
      make("h2", {"data-key": "arms"}, "Requests in this step"), arms(found),
      make("h2", {"data-key": "guards"}, "Guards"), guards(found),
      make("h2", {"data-key": "events"}, "Events"), table("Events", EVENTS, found.events, (event) => `event ${event.id}`),
    ];
    nodes.everyMs = found.ended_at ? 0 : 2000; // an ended one stays as it is
    return nodes;
  },
};

const steps = (found) => [
  {title: "Step", cell: (step) => number(step.index + 1), number: true},
  {title: "Share of the new version", cell: share},
  {title: "Lasts at least", cell: (step) => duration(step.seconds)},
  {title: "Requests at least", cell: (step) => number(step.min_requests), number: true},
  {title: "State", cell: ({index}) => (index < found.step || found.state === "DONE" ? "done" : index > found.step ? "" : found.ended_at ? "ended here" : "now")},
];

const ARMS = [
  {title: "Version", cell: (arm) => `${arm.version} (${arm.role})`},
  {title: "Requests", cell: (arm) => number(arm.requests), number: true},
  {title: "Errors", cell: (arm) => number(arm.errors), number: true},
  {title: "Median", cell: (arm) => milliseconds(arm.p50_s), number: true},
  {title: "99 %", cell: (arm) => milliseconds(arm.p99_s), number: true},
];
const COPIES = [
  {title: "Compared", cell: (arm) => number(arm.compared), number: true},
  {title: "Agreement", cell: (arm) => percent(arm.agreement), number: true},
  {title: "Largest difference", cell: (arm) => number(arm.largest_difference), number: true, wide: true},
  {title: "Skipped", cell: (arm) => number(arm.skipped), number: true, wide: true},
];

function arms({arms: found}) {
  if (!found.length) return empty("Nothing was counted.");
  const copied = found.some((arm) => "compared" in arm);
  return table("Requests in this step", copied ? [...ARMS, ...COPIES] : ARMS, found, (arm) => `arm ${arm.role}`);
}

const GUARDS = [
  {title: "Guard", cell: (one) => one.guard},
  {title: "Verdict", cell: (one) => make("span", {class: `pill ${{kept: "good", over: "wait", broken: "bad"}[one.verdict] ?? ""}`}, one.verdict), fixed: true},
  {title: "Over the last", cell: (one) => one.over},
  {title: "Live", cell: (one) => number(one.live), number: true},
  {title: "New", cell: (one) => number(one.new), number: true},
  {title: "Limit", cell: (one) => number(one.limit), number: true},
  {title: "Requests", cell: (one) => number(one.requests), number: true, wide: true},
];

const guards = ({findings}) =>
  (findings.length ? table("Guards", GUARDS, findings, (one) => `guard ${one.guard} ${one.over}`) : empty("No guard was evaluated yet."));

const EVENTS = [
  {title: "When", cell: (event) => when(event.at), fixed: true},
  {title: "Event", cell: (event) => event.kind.replace("_", " ")},
  {title: "Step", cell: (event) => number(event.step + 1), number: true},
  {title: "Evidence", cell: (event) => evidence(event.detail)},
];

/** The reason and the counts of an event; a guard that was over its limit is named. */
function evidence({reason, arms: found = [], findings = []}) {
  const counted = found.map((arm) => `version ${arm.version}: ${number(arm.requests)} requests, ${number(arm.errors)} errors`);
  const broken = findings.filter((one) => one.verdict === "broken" || one.verdict === "over")
    .map((one) => `${one.guard} ${one.verdict}: ${number(one.new)}, limit ${number(one.limit)}`);
  return [reason, ...broken, ...counted].filter(Boolean).map((text) => make("div", {}, text));
}
