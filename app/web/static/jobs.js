// The list of jobs.

import {empty, link, make, table} from "./element.js";
import {list} from "./service.js";
import {ENDED, ago, exactly, kind, number} from "./text.js";

const PAGE = 25;
const STATES = ["QUEUED", "RUNNING", "CANCELLING", "SUCCEEDED", "FAILED", "CANCELLED"];
const TYPES = ["train", "evaluate", "export", "predict"];

export const state = (value) => make("span", {class: `pill ${kind(value)}`}, value);
export const when = (time) => (time ? make("time", {datetime: time, title: exactly(time)}, ago(time)) : "");
export const modelLink = (name) => (name ? link(`model/${encodeURIComponent(name)}`, name) : "");
export const jobLink = (id) => link(`job/${id}`, id, "id");

/** How far a job is: a bar while it runs, for a training that has ended its steps. */
export function progress({type, state, progress: {step, max_steps: most}}) {
  const ended = ENDED.includes(state);
  if (typeof step !== "number" || (ended && type !== "train")) return "";
  const text = most && (!ended || step < most) ? `${number(step)} / ${number(most)}` : number(step);
  if (ended || !most) return text;
  return make("span", {}, make("progress", {max: most, value: step, "aria-label": "Progress"}), text);
}

/** What people call a job. */
export const jobName = (job) => job.display_name || `${job.type} ${job.id.slice(-6)}`;

/** The jobs that are chosen, by id. */
const picked = new Map();
export const pickedJobs = () => [...picked.values()];
export const isPicked = (id) => picked.has(id);
export function pick(id, chosen) {
  if (chosen) picked.set(id, known.get(id));
  else picked.delete(id);
}
export const unpick = () => picked.clear();
/** The jobs that are shown, by id. */
let known = new Map();

const COLUMNS = [
  {title: "Choose", head: make("span", {class: "unseen"}, "Choose"), cell: (job) =>
    make("input", {type: "checkbox", "data-pick": job.id, checked: picked.has(job.id), "aria-label": `Choose ${jobName(job)}`}), fixed: true},
  {title: "State", cell: (job) => state(job.state), fixed: true},
  {title: "Job", cell: (job) => [link(`job/${job.id}`, jobName(job)), job.tags.map((tag) => [" ", make("span", {class: "pill quiet"}, tag)])]},
  {title: "Model", cell: (job) => modelLink(job.model)},
  {title: "Steps", cell: progress, fixed: true},
  {title: "Loss", cell: (job) => number(job.progress.loss), number: true, wide: true},
  {title: "Steps/s", cell: (job) => (job.state === "RUNNING" ? number(job.progress.steps_per_s) : ""), number: true, wide: true},
  {title: "Why", cell: (job) => (job.state === "FAILED" && job.error ? job.error.kind : ""), wide: true},
  {title: "Submitted", cell: (job) => when(job.created_at), fixed: true},
];

export const jobs = {
  title: () => "Jobs",
  section: "jobs",
  every: 2000,
  async load(_, query, signal) {
    const wanted = Object.fromEntries(["state", "type", "model", "estimator", "dataset", "tag", "text"].map((name) => [name, query.get(name)]));
    const token = query.get("page_token");
    const found = await list("/v1/jobs", {...wanted, page_size: PAGE, page_token: token}, signal);
    const route = (changes) => `jobs?${new URLSearchParams(Object.entries({...wanted, ...changes}).filter(([, value]) => value))}`;
    const filtered = Object.values(wanted).some(Boolean);
    known = new Map(found.jobs.map((job) => [job.id, job]));
    for (const id of picked.keys()) if (known.has(id)) picked.set(id, known.get(id));
    const others = ["model", "estimator", "dataset", "tag"].filter((name) => wanted[name]);
    return [
      make("h1", {}, "Jobs"),
      make("div", {class: "row", "data-key": "filters"},
        make("label", {}, "Search ", make("input", {id: "search", type: "search", "data-query": "text", value: wanted.text ?? "", placeholder: "name, model, estimator, id", autocomplete: "off"})),
        choice("state", "State", STATES, wanted.state), choice("type", "Type", TYPES, wanted.type),
        others.map((name) => make("span", {class: "pill"}, `${name.replace("dataset", "data set")}: ${wanted[name]}`)), filtered ? link("jobs", "Show all") : "",
        typeof found.total === "number" ? make("span", {class: "quiet", role: "status"}, `${number(found.total)} ${found.total === 1 ? "job" : "jobs"}`) : ""),
      picked.size ? chosen() : "",
      found.jobs.length ? table("Jobs", COLUMNS, found.jobs, (job) => job.id) : none(filtered || token),
      make("p", {class: "row"}, token ? link(route({}), "Newest") : "", found.next_page_token ? link(route({page_token: found.next_page_token}), "Older") : ""),
    ];
  },
};

function choice(name, title, values, chosen) {
  const option = (value, text) => make("option", {value, selected: value === (chosen || "")}, text);
  return make("label", {}, `${title} `, make("select", {"data-query": name}, option("", "all"), values.map((value) => option(value, value))));
}

/** What can be done with the chosen jobs. */
function chosen() {
  const ids = [...picked.keys()], states = pickedJobs().map((job) => job.state);
  const some = (wanted) => states.some((state) => wanted.includes(state));
  const button = (action, text, kind) => make("button", {"data-action": action, class: kind}, text);
  return make("div", {class: "row box note", "data-key": "chosen"}, `${number(ids.length)} chosen`,
    ids.length >= 2 && ids.length <= 10 ? link(`compare?${new URLSearchParams(ids.map((id) => ["ids", id]))}`, "Compare", "button") : "",
    some(["QUEUED", "RUNNING"]) ? button("cancelPicked", "Cancel", "danger") : "",
    some(["FAILED", "CANCELLED"]) ? button("retryPicked", "Retry") : "",
    states.every((state) => ENDED.includes(state)) ? button("deletePicked", "Delete", "danger") : "",
    button("unpick", "Choose none"));
}

function none(filtered) {
  if (filtered) return empty("No job is like that. ", link("jobs", "Show all jobs"));
  return empty("No jobs yet. Begin with ", link("datasets", "a data set"), ": upload a file, then choose ", make("strong", {}, "New training"), ".");
}
