// Models, their versions and labels.

import {empty, link, make, older, summary, table} from "./element.js";
import {jobLink, modelLink, state, when} from "./jobs.js";
import {lineagePicture} from "./lineage.js";
import {releasesOf} from "./releases.js";
import {json, list} from "./service.js";
import {milliseconds, number} from "./text.js";

const PAGE = 50;
const LATEST = "latest";

const MODELS = [
  {title: "Model", cell: (model) => modelLink(model.name)},
  {title: "Serves", cell: (model) => Object.entries(model.labels).map(([label, version]) => `${label} → ${version}`).join(", ") || make("span", {class: "quiet"}, "nothing yet")},
  {title: "Made", cell: (model) => when(model.created_at), fixed: true},
];

const HEALTH = [
  {title: "Version", cell: (one) => String(one.version)},
  {title: "Requests", cell: (one) => number(one.requests), number: true},
  {title: "Errors", cell: (one) => Object.entries(one.errors).map(([status, count]) => `${status}: ${number(count)}`).join(", ") || "none"},
  {title: "Median", cell: (one) => milliseconds(one.p50_s), number: true},
  {title: "99 %", cell: (one) => milliseconds(one.p99_s), number: true},
  {title: "Rows per call", cell: (one) => number(one.mean_batch_rows), number: true, wide: true},
];

/** Of a model, where they differ from the service's. */
const SETTINGS = ["batch_rows", "queue_rows", "timeout_s", "memory_bytes", "priority", "lanes", "engine"];

export const models = {
  title: () => "Models",
  section: "models",
  every: 5000,
  async load(_, query, signal) {
    const found = await list("/v1/models", {page_size: PAGE, page_token: query.get("page_token")}, signal);
    return [
      make("h1", {}, "Models"),
      found.models.length
        ? table("Models", MODELS, found.models, (model) => model.name)
        : empty("No models yet. A training job makes one when it names it."),
      older("models", found),
    ];
  },
};

export const model = {
  title: (name) => name,
  section: "models",
  every: 3000,
  async load(name, query, signal) {
    const path = `/v1/models/${encodeURIComponent(name)}`;
    const status = await versionsOf(path, query, signal);
    const serving = status.versions.find((version) => version.labels.includes(LATEST));
    const {versions: health} = await json("/v1/serving", {signal});
    const asked = health.filter((one) => one.model === name);
    const settings = status.versions.length ? await json(`${path}/serving`, {signal}) : {};
    const released = status.versions.length ? await releasesOf(name, signal) : [];
    const measured = serving ? await json(`${path}/versions/${serving.version}`, {signal}) : null;
    return [
      link("models", "← Models", "back"),
      make("h1", {}, name),
      summary([
        ["Labels", Object.entries(status.labels).map(([label, version]) => `${label} → ${version}`).join(", ") || "none"],
        ["Serving settings", SETTINGS.filter((one) => settings[one] != null).map((one) => `${one} ${settings[one]}`).join(", ")],
        ["Jobs", link(`jobs?model=${encodeURIComponent(name)}`, "of this model")],
        ["Ask it", serving ? link(`ask/${encodeURIComponent(name)}`, "with a form, curl or Python") : make("code", {}, `POST ${path}:predict`)],
      ]),
      make("h2", {}, "Versions"),
      status.versions.length ? table("Versions", versions(name, status.labels[LATEST]), status.versions, (version) => String(version.version)) : empty("No version was exported yet."),
      older(`model/${encodeURIComponent(name)}`, status),
      ...released,
      ...(asked.length ? [make("h2", {"data-key": "health title"}, "Serving"),
        make("p", {class: "quiet", "data-key": "health since"}, "Since the service was started."), table("Serving", HEALTH, asked, (one) => `health ${one.version}`)] : []),
      ...(measured ? lineage(name, measured.versions[0]) : []),
    ];
  },
};

/** A job may name a model that has nothing exported yet, which the service does not know. */
async function versionsOf(path, query, signal) {
  try {
    return await list(path, {page_size: PAGE, page_token: query.get("page_token")}, signal);
  } catch (error) {
    if (error.status === 404) return {labels: {}, versions: []};
    throw error;
  }
}

const versions = (name, serving) => [
  {title: "Version", cell: (one) => String(one.version)},
  {title: "State", cell: (one) => state(one.state), fixed: true},
  {title: "Labels", cell: (one) => one.labels.join(", ")},
  {title: "Job", cell: (one) => jobLink(one.job), wide: true},
  {title: "Made", cell: (one) => when(one.created_at), fixed: true, wide: true},
  {title: "Why", cell: (one) => one.reason, wide: true},
  {title: "Change", cell: (one) => [button(name, one, serving), remove(name, one)], fixed: true},
];

/** A version that no label points to can go. */
function remove(name, {version, labels}) {
  if (labels.length) return "";
  return [" ", make("button", {"data-action": "deleteVersion", "data-model": name, "data-version": version, class: "danger", "aria-label": `Delete version ${version}`}, "Delete")];
}

/** A version that was loaded and warmed up can be served at once; one that is only stored must be loaded first. */
function button(name, {version, state: now, labels}, serving) {
  const attributes = {"data-model": name, "data-version": version};
  if (now === "AVAILABLE" && !labels.includes(LATEST)) {
    const text = version < serving ? "Roll back" : "Make latest";
    return make("button", {...attributes, "data-action": "promote", "aria-label": `${text}: version ${version}`}, text);
  }
  if (now === "STORED" || now === "FAILED") {
    return make("button", {...attributes, "data-action": "load", "aria-label": `Load version ${version}`}, "Load");
  }
  return "";
}

function lineage(name, version) {
  const {estimator, step, datasets = [], engine, tensorflow} = version.lineage || {};
  const evaluations = version.evaluations || [];
  return [
    make("h2", {"data-key": "lineage title"}, `What serves: version ${version.version}`),
    lineagePicture(name, version),
    summary([
      ["Estimator", estimator],
      ["Step", number(step)],
      ["Trained by", jobLink(version.job)],
      ["Data", datasets.map(({role, id}) => make("div", {}, `${role}: `, link(`dataset/${id}`, id, "id")))],
      ["Engine", engine && `${engine}, TensorFlow ${tensorflow}`],
      ...evaluations.flatMap(({name, rows, metrics}) =>
        Object.entries(metrics).map(([metric, value]) => [`${metric} (${name}${rows ? `, ${number(rows)} rows` : ""})`, number(value)])),
    ]),
  ];
}
