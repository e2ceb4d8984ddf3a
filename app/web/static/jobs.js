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

const COLUMNS = [
  {title: "State", cell: (job) => state(job.state), fixed: true},
  {title: "Job", cell: (job) => link(`job/${job.id}`, `${job.type} ${job.id.slice(-6)}`, "fixed"), fixed: true},
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
    const wanted = {state: query.get("state"), type: query.get("type"), model: query.get("model")};
    const token = query.get("page_token");
    const found = await list("/v1/jobs", {...wanted, page_size: PAGE, page_token: token}, signal);
    const route = (changes) => `jobs?${new URLSearchParams(Object.entries({...wanted, ...changes}).filter(([, value]) => value))}`;
    const filtered = Object.values(wanted).some(Boolean);
    return [
      make("h1", {}, "Jobs"),
      make("div", {class: "row"}, choice("state", "State", STATES, wanted.state), choice("type", "Type", TYPES, wanted.type),
        wanted.model ? make("span", {}, `of the model ${wanted.model}`) : "", filtered ? link("jobs", "Show all") : ""),
      found.jobs.length ? table("Jobs", COLUMNS, found.jobs, (job) => job.id) : none(filtered || token),
      make("p", {class: "row"}, token ? link(route({}), "Newest") : "", found.next_page_token ? link(route({page_token: found.next_page_token}), "Older") : ""),
    ];
  },
};

function choice(name, title, values, chosen) {
  const option = (value, text) => make("option", {value, selected: value === (chosen || "")}, text);
  return make("label", {}, `${title} `, make("select", {"data-filter": name}, option("", "all"), values.map((value) => option(value, value))));
}

function none(filtered) {
  if (filtered) return empty("No job is like that.");
  return empty("No jobs yet. Upload a data set, then send a job with ", make("code", {}, "POST /v1/jobs"), ": the ",
    make("a", {href: "/docs"}, "API's documentation"), " has examples to try.");
}
