// The dashboard: which view is shown, when it is read again, what its buttons do.

import {drawCharts} from "./chart.js";
import {compare} from "./compare.js";
import {dataset, datasets} from "./datasets.js";
import {empty, link, make, sync} from "./element.js";
import {filterLog, job, setSmoothing, toggleLogarithmic} from "./job.js";
import {isPicked, jobs, pick, pickedJobs, unpick} from "./jobs.js";
import {model, models} from "./models.js";
import {forgetSecret, makeToken, revoke, tokens, workers} from "./operate.js";
import {ACTIONS as RELEASE_ACTIONS, release, releases} from "./releases.js";
import {report, setThreshold} from "./report.js";
import {forgetScopes, learnScopes, may, patient, send, token} from "./service.js";
import {bytes, number} from "./text.js";
import {submitDraft, takeDraft, train} from "./train.js";
import {ask, submitAsked} from "./try.js";
import {send as upload} from "./upload.js";

const VIEWS = {jobs, job, compare, models, model, release, releases, datasets, dataset, train, report, ask, workers, tokens};
const AT_MOST_EVERY_MS = 700;
const byId = (id) => document.getElementById(id);
/** The view that is shown: {view, subject, query, abort, timer, busy (it is being read), again (it is to be
 *  read once more), soon (that is timed already), fresh (nothing of it is shown yet),
 *  moved (it was reached from another one)}. */
let current = null;
let sticky = false;

function route() {
  const [path, query = ""] = location.hash.slice(1).split("?");
  const [name, subject = ""] = path.split("/");
  return {view: VIEWS[name] || jobs, subject: decodeURIComponent(subject), query: new URLSearchParams(query)};
}

function open() {
  close();
  if (!token.get()) {
    byId("enter").hidden = false;
    byId("view").hidden = true;
    byId("leave").hidden = true;
    byId("token").focus();
    return;
  }
  const found = route();
  const same = current?.view.title === found.view.title && current.subject === found.subject;
  const moved = current !== null && !same;
  current = {...found, abort: new AbortController(), timer: null, busy: false, again: false, soon: false, fresh: !same, moved};
  document.title = `${current.view.title(current.subject)} · Estimator Service`;
  for (const link of document.querySelectorAll("nav a")) {
    const here = link.getAttribute("href") === `#${current.view.section}`;
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (!same) loading(current);
  refresh(current);
}

/** Says that the view is read, where that takes longer than one notices. */
function loading(shown) {
  setTimeout(() => {
    if (!shown.fresh || shown.abort.signal.aborted || !byId("trouble").hidden) return;
    byId("view").replaceChildren(empty("Loading …"));
    byId("view").hidden = false;
  }, 300);
}

function close() {
  if (!current) return;
  clearTimeout(current.timer);
  current.abort.abort();
  clear();
}

/** Reads the view anew. Calls that come while it reads lead to one more reading after it. */
async function refresh(shown) {
  clearTimeout(shown.timer);
  if (shown.busy) {
    shown.again = true;
    return;
  }
  shown.busy = true;
  shown.soon = false;
  try {
    const signal = shown.abort.signal;
    const [read] = await Promise.all([shown.view.load(shown.subject, shown.query, signal), health(), learnScopes(signal)]);
    if (signal.aborted) return;
    const nodes = shown.view.now?.() ?? read; // with what was filled in while it was read
    shown.every = nodes.everyMs ?? shown.view.every;
    show(shown, nodes);
    if (shown.every && !shown.followed) follow(shown);
  } catch (error) {
    if (shown.abort.signal.aborted) return;
    await failed(shown, error);
  } finally {
    shown.busy = false;
  }
  if (shown.abort.signal.aborted) return;
  const pause = shown.again ? AT_MOST_EVERY_MS : shown.every ?? shown.view.every;
  shown.soon = shown.again;
  shown.again = false;
  if (pause) shown.timer = setTimeout(() => (document.hidden ? (shown.again = true) : refresh(shown)), pause);
}

function show(shown, nodes) {
  if (!sticky) clear();
  const focused = byId("view").contains(document.activeElement) ? document.activeElement : null;
  const log = document.querySelector('[data-key="log"]');
  const atEnd = !log || log.scrollTop + log.clientHeight >= log.scrollHeight - 5;
  const filled = nodes.filter((node) => node !== "").map(permitted);
  if (shown.fresh) byId("view").replaceChildren(...filled);
  else sync(byId("view"), filled);
  for (const select of byId("view").querySelectorAll("select")) select.value = select.querySelector("[selected]")?.value ?? select.value;
  for (const box of byId("view").querySelectorAll("[data-pick]")) box.checked = isPicked(box.dataset.pick);
  drawCharts(byId("view")).catch((error) => tell(`The charts cannot be drawn: ${error.message}`));
  for (const link of document.querySelectorAll("nav [data-needs]")) link.hidden = !may(link.dataset.needs);
  for (const id of ["view", "leave"]) byId(id).hidden = false;
  byId("enter").hidden = true;
  const now = document.querySelector('[data-key="log"]');
  if (now && atEnd) now.scrollTop = now.scrollHeight;
  if (shown.fresh) byId("view").focus({preventScroll: true});
  else if (focused && !focused.isConnected) keepFocus(focused);
  if (shown.fresh && shown.moved) scrollTo(0, 0);
  shown.fresh = false;
}

/** What had the focus is gone: what stands in its place has it then, so that nobody begins at the top again. */
function keepFocus({dataset: {key}}) {
  const instead = key && byId("view").querySelector(`[data-key="${CSS.escape(key)}"]`);
  (instead || byId("view")).focus({preventScroll: true});
}

/** What the token may not do is not offered. */
const NEEDS = {revoke: "admin", token: "admin", ask: "predict", logarithmic: "read", unpick: "read"};

function permitted(node) {
  if (!(node instanceof Element)) return node;
  const acts = (one) => one.dataset.action ?? one.dataset.form;
  for (const one of [node, ...node.querySelectorAll("[data-action], [data-form], [data-needs]")]) {
    const needed = one.dataset.needs ?? (acts(one) ? NEEDS[acts(one)] ?? "submit" : "read");
    if (may(needed)) continue;
    const instead = one.dataset.form ? empty(`This token may only look: that needs one with the scope ${needed}.`) : "";
    if (one === node) return instead || document.createComment("not permitted");
    one.replaceWith(instead);
  }
  return node;
}

async function failed(shown, error) {
  if (error.status === 401) {
    leave("This token is not known, or was revoked.");
    return;
  }
  await health();
  if ([403, 404, 422].includes(error.status)) { // 422: the address holds what cannot be an id
    const {section} = shown.view;
    const list = document.querySelector(`nav a[href="#${section}"]`)?.textContent ?? "Jobs";
    shown.every = 0;
    clear();
    byId("view").replaceChildren(
      link(section, `← ${list}`, "back"), make("h1", {}, error.status === 403 ? "Not permitted" : "Not found"), empty(error.status === 403 ? `This token may not see this. ${error.message}` : error.message));
    for (const id of ["view", "leave"]) byId(id).hidden = false;
    byId("enter").hidden = true;
    return;
  }
  tell(error.message);
  if (shown.fresh) byId("view").replaceChildren(empty("Nothing can be shown now."));
}

/** A running job is read again when something happened to it. */
function follow(shown) {
  shown.followed = true;
  if (!shown.view.follow) return;
  const changed = () => {
    if (shown.busy) shown.again = true;
    if (shown.busy || shown.soon) return; // events that come one after the other must not put it off for ever
    shown.soon = true;
    clearTimeout(shown.timer);
    shown.timer = setTimeout(() => refresh(shown), AT_MOST_EVERY_MS);
  };
  shown.view.follow(shown.subject, shown.abort.signal, changed).then(changed, () => {
    // Reading every few seconds goes on without the events, and reports what is wrong.
  });
}

async function health() {
  let text = "not reachable", kind = "bad", title = "";
  try {
    const answer = await fetch("/readyz", {signal: patient()});
    const {status, broker, queues_without_worker: unserved = [], problems = []} = answer.ok
      ? await answer.json() : {status: "not ready"};
    const causes = broker === "down" ? ["the broker is down"] : [];
    if (unserved.length) causes.push(`no worker for ${unserved.join(", ")}`);
    text = status === "degraded" ? `degraded: ${causes.join("; ")}` : status === "ok" ? "ready" : status;
    kind = status === "ok" ? "good" : status === "degraded" ? "wait" : "bad";
    title = problems.join("\n");
  } catch {
    // the text says so
  }
  const pill = byId("health");
  if (pill.textContent !== text) pill.textContent = text;
  pill.className = `pill ${kind}`;
  pill.title = title;
}

function tell(text, stays = false) {
  sticky = stays;
  if (byId("trouble").textContent !== text) byId("trouble").textContent = text;
  byId("trouble").hidden = false;
}

function clear() {
  sticky = false;
  byId("trouble").hidden = true;
  byId("trouble").textContent = "";
}

function leave(why) {
  token.forget();
  forgetScopes();
  unpick();
  byId("view").replaceChildren();
  open();
  current = null;
  if (why) tell(why, true);
}

const ACTIONS = {
  cancel: ({job: id}) => send("POST", `/v1/jobs/${id}/cancel`),
  retry: ({job: id}) => send("POST", `/v1/jobs/${id}/retry`),
  load: ({model: name, version}) => send("POST", `/v1/models/${encodeURIComponent(name)}/versions/${version}/load`),
  promote: ({model: name, version}) =>
    confirm(`Serve version ${version} of ${name} to all who ask for its latest?`) &&
    send("PUT", `/v1/models/${encodeURIComponent(name)}/labels/latest`, {version: Number(version)}),
  logarithmic: toggleLogarithmic,
  cancelPicked: () => ofPicked(["QUEUED", "RUNNING"], "Cancel", (id) => send("POST", `/v1/jobs/${id}/cancel`)),
  retryPicked: () => ofPicked(["FAILED", "CANCELLED"], "Retry", (id) => send("POST", `/v1/jobs/${id}/retry`)),
  deletePicked: () => ofPicked(null, "Delete", (id) => send("DELETE", `/v1/jobs/${id}`)),
  unpick,
  deleteDataset: async ({dataset: id, name}) => {
    if (!(await agreed(`/v1/datasets/${id}`, `the data set ${name}`))) return;
    location.hash = "datasets";
  },
  deleteVersion: ({model: name, version}) => agreed(`/v1/models/${encodeURIComponent(name)}/versions/${version}`, `version ${version} of ${name}`),
  revoke,
  ...RELEASE_ACTIONS,
};

/** Deletes after a question that lists what is removed; whether it was deleted. */
async function agreed(path, what) {
  const {removes, bytes: size, needed_by: needs} = await send("DELETE", `${path}?dry_run=true`);
  if (needs.length) throw new Error(needs.slice(0, 3).map((need) => need.why).join(" "));
  const parts = Object.entries(removes).map(([name, count]) => `${number(count)} ${name}`).join(", ");
  if (!confirm(`Delete ${what}? This removes ${parts} (${bytes(size)}) and cannot be undone.`)) return false;
  await send("DELETE", path);
  return true;
}

/** Does something to the chosen jobs that are in one of the states; those that it was done to are no longer chosen. */
async function ofPicked(states, verb, work) {
  const chosen = pickedJobs().filter((one) => !states || states.includes(one.state));
  if (!confirm(`${verb} ${number(chosen.length)} ${chosen.length === 1 ? "job" : "jobs"}?`)) return;
  for (const one of chosen) {
    await work(one.id);
    pick(one.id, false);
  }
}

/** What a form does when it is sent; where to go afterwards, or null to stay. */
const FORMS = {
  async upload(form) {
    const id = await upload(form.elements.file.files[0], again);
    return id && `dataset/${id}`;
  },
  async train(form, submitter) {
    const id = await submitDraft(form, submitter);
    return id && `job/${id}`;
  },
  ask: submitAsked,
  token: makeToken,
};

/** Shows what a filter leaves: its value stands in the address. */
let typing = null;
function narrow(field) {
  clearTimeout(typing);
  const [path, before = ""] = location.hash.slice(1).split("?");
  const query = new URLSearchParams(before);
  query.delete("page_token");
  if (field.value) query.set(field.dataset.query, field.value);
  else query.delete(field.dataset.query);
  const target = `#${path || "jobs"}?${query}`;
  if (location.hash !== target) location.replace(target);
}

/** Shows the view anew from what is known, soon: an upload's progress comes often. */
function again() {
  if (current && !current.abort.signal.aborted) refresh(current);
}

async function submit(form, submitter) {
  clear();
  try {
    const next = await FORMS[form.dataset.form](form, submitter);
    if (next) location.hash = next;
    else again();
  } catch (error) {
    tell(error.message, true);
  }
}

async function act(button) {
  if (button.ariaDisabled === "true") return;
  clear();
  button.ariaDisabled = "true"; // one that is disabled outright would lose the focus
  try {
    await ACTIONS[button.dataset.action](button.dataset);
  } catch (error) {
    tell(error.message, true);
  }
  button.ariaDisabled = null;
  if (!current) return;
  if (button.dataset.action === "retry" && !sticky) open(); // its events begin anew
  else refresh(current);
}

byId("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  token.set(byId("token").value.trim());
  byId("token").value = "";
  clear();
  open();
});
byId("leave").addEventListener("click", () => leave());
document.querySelector("[data-skip]").addEventListener("click", (event) => {
  event.preventDefault(); // the address names the view
  (token.get() ? byId("view") : byId("token")).focus();
});
byId("view").addEventListener("click", (event) => {
  const button = event.target.closest("[data-action]");
  if (button) act(button);
});
byId("view").addEventListener("submit", (event) => {
  event.preventDefault();
  submit(event.target, event.submitter);
});
byId("view").addEventListener("dragover", (event) => {
  if (event.target.closest("[data-drop]")) event.preventDefault();
});
byId("view").addEventListener("drop", (event) => {
  const form = event.target.closest("[data-drop]");
  if (!form) return;
  event.preventDefault();
  form.elements.file.files = event.dataTransfer.files;
  if (form.elements.file.files.length) submit(form);
});
byId("view").addEventListener("input", (event) => {
  const {slide, log, query} = event.target.dataset;
  if (slide) ({threshold: setThreshold, smoothing: setSmoothing})[slide](event.target.value);
  if (log) filterLog(log, event.target.value);
  if (slide || log) again();
  if (query && event.target.type === "search") {
    clearTimeout(typing);
    typing = setTimeout(() => narrow(event.target), 300);
  }
});
byId("view").addEventListener("change", (event) => {
  const form = event.target.closest("form[data-draft]");
  if (form) {
    takeDraft(form);
    again();
    return;
  }
  const {pick: id, query} = event.target.dataset;
  if (id) {
    pick(id, event.target.checked);
    again();
  } else if (query) {
    narrow(event.target);
  }
});
addEventListener("hashchange", () => {
  forgetSecret();
  open();
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && current && !current.abort.signal.aborted) refresh(current);
});

health();
open();
