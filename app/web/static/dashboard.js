// The dashboard. Text from the service goes into the page by textContent only, so nothing in it can act.
"use strict";

const byId = (id) => document.getElementById(id);
const ENDED = ["SUCCEEDED", "FAILED", "CANCELLED"];
const REFRESH_MS = 3000;
let token = sessionStorage.getItem("token") || "";
let pages = 1;
let chosen = null;
let watching = null;
let timer = null;

class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

async function call(path, options = {}) {
  const answer = await fetch(path, {...options, headers: {...options.headers, Authorization: `Bearer ${token}`}});
  if (answer.ok) return answer;
  let detail = answer.statusText;
  try {
    detail = (await answer.json()).detail;
  } catch {
    // not one of the service's own answers
  }
  throw new Refused(answer.status, detail);
}

const json = async (path, options) => (await call(path, options)).json();

function cell(row, content, className) {
  const made = row.insertCell();
  if (content instanceof Node) made.append(content);
  else made.textContent = content === null || content === undefined ? "" : String(content);
  if (className) made.className = className;
  return made;
}

function number(value) {
  return typeof value === "number" ? value.toPrecision(4).replace(/\.?0+$/, "") : "";
}

function bar(progress) {
  const made = document.createElement("span");
  if (typeof progress.step !== "number") return made;
  if (progress.max_steps) {
    const meter = document.createElement("progress");
    meter.max = progress.max_steps;
    meter.value = progress.step;
    made.append(meter, " ");
  }
  made.append(progress.max_steps ? `${progress.step} / ${progress.max_steps}` : String(progress.step));
  return made;
}

function clickable(row, act) {
  row.tabIndex = 0;
  row.addEventListener("click", act);
  row.addEventListener("keydown", (event) => {
    if (event.key === "Enter") act();
  });
}

function showJobs(jobs, more) {
  const body = document.createElement("tbody");
  body.id = "jobs";
  for (const job of jobs) {
    const row = body.insertRow();
    row.classList.toggle("chosen", job.id === chosen);
    cell(row, job.id);
    cell(row, job.type);
    cell(row, job.model);
    cell(row, job.state, job.state);
    cell(row, bar(job.progress));
    cell(row, number(job.progress.loss));
    cell(row, job.state === "RUNNING" ? number(job.progress.steps_per_s) : "");
    cell(row, new Date(job.created_at).toLocaleString());
    clickable(row, () => choose(job.id));
  }
  byId("jobs").replaceWith(body);
  byId("more").hidden = !more;
}

async function loadJobs() {
  const jobs = [];
  let after = "";
  for (let page = 0; page < pages; page += 1) {
    const found = await json(`/v1/jobs?page_size=25${after}`);
    jobs.push(...found.jobs);
    if (!found.next_page_token) return [jobs, false];
    after = `&page_token=${encodeURIComponent(found.next_page_token)}`;
  }
  return [jobs, true];
}

async function loadModels() {
  const body = document.createElement("tbody");
  body.id = "models";
  for (const model of (await json("/v1/models?page_size=50")).models) {
    const status = await json(`/v1/models/${encodeURIComponent(model.name)}?page_size=5`);
    for (const version of status.versions) {
      const row = body.insertRow();
      cell(row, model.name);
      cell(row, version.version);
      cell(row, version.state, version.state);
      cell(row, version.labels.join(", "));
      cell(row, version.reason);
    }
  }
  byId("models").replaceWith(body);
}

async function choose(id) {
  if (watching) watching.abort();
  chosen = id;
  await showDetail();
  byId("detail").scrollIntoView({behavior: "smooth", block: "nearest"});
  watching = new AbortController();
  watch(id, watching.signal).catch((error) => {
    if (error.name !== "AbortError") tell(error);
  });
}

async function showDetail() {
  const job = await json(`/v1/jobs/${chosen}`);
  const found = await json(`/v1/jobs/${chosen}/evaluations`);
  const log = await (await call(`/v1/jobs/${chosen}/logs?tail_bytes=20000`)).text();
  if (job.id !== chosen) return;
  byId("detail").hidden = false;
  byId("detail-title").textContent = `${job.id} ${job.model || ""}`;
  const error = job.error ? `${job.error.kind}: ${job.error.detail}` : "";
  byId("detail-state").textContent = `${job.state}, attempt ${job.attempt}. ${error}`;
  byId("cancel").disabled = ENDED.includes(job.state);
  byId("retry").disabled = !["FAILED", "CANCELLED"].includes(job.state);
  const body = document.createElement("tbody");
  body.id = "evaluations";
  for (const evaluation of found.evaluations) {
    const row = body.insertRow();
    cell(row, evaluation.step);
    cell(row, evaluation.name);
    cell(row, evaluation.rows);
    cell(row, Object.entries(evaluation.metrics).map(([name, value]) => `${name} ${number(value)}`).join(", "));
  }
  byId("evaluations").replaceWith(body);
  byId("log").textContent = log;
}

// EventSource cannot send the token, so the stream is read by hand.
async function watch(id, signal) {
  let last = "";
  for (;;) {
    const answer = await call(`/v1/jobs/${id}/events`, {signal, headers: last ? {"Last-Event-ID": last} : {}});
    if (answer.status === 204) return;
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const {value, done} = await reader.read();
      if (done) break;
      text += value;
      const blocks = text.split("\n\n");
      text = blocks.pop();
      for (const block of blocks) {
        const found = /^id: (\d+)$/m.exec(block);
        if (found) last = found[1];
      }
      if (chosen === id && blocks.length) await Promise.all([showDetail(), refreshJobs()]);
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

async function refreshJobs() {
  showJobs(...await loadJobs());
}

async function refresh() {
  clearTimeout(timer);
  try {
    await Promise.all([refreshJobs(), loadModels(), health()]);
    byId("error").hidden = true;
    byId("enter").hidden = true;
    byId("board").hidden = false;
    byId("leave").hidden = false;
  } catch (error) {
    tell(error);
    if (error.status === 401) return;
  }
  timer = setTimeout(refresh, REFRESH_MS);
}

async function health() {
  const answer = await fetch("/readyz");
  const status = answer.ok ? (await answer.json()).status : "not ready";
  byId("health").textContent = status === "degraded" ? "degraded: the broker is down" : status;
}

function tell(error) {
  byId("error").textContent = error.message;
  byId("error").hidden = false;
  if (error.status === 401) leave();
}

function leave() {
  clearTimeout(timer);
  if (watching) watching.abort();
  token = "";
  chosen = null;
  sessionStorage.removeItem("token");
  for (const id of ["board", "leave", "detail"]) byId(id).hidden = true;
  byId("enter").hidden = false;
  byId("token").focus();
}

async function act(verb) {
  try {
    await call(`/v1/jobs/${chosen}/${verb}`, {method: "POST"});
    await choose(chosen);
  } catch (error) {
    tell(error);
  }
}

byId("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  token = byId("token").value.trim();
  byId("token").value = "";
  sessionStorage.setItem("token", token);
  refresh();
});
byId("leave").addEventListener("click", leave);
byId("more").addEventListener("click", () => {
  pages += 1;
  refreshJobs().catch(tell);
});
byId("cancel").addEventListener("click", () => act("cancel"));
byId("retry").addEventListener("click", () => act("retry"));

if (token) refresh();
else leave();
