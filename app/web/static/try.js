// Asking a version: a form from its metadata, the answer, and what if one value were another.

import {link, make, summary} from "./element.js";
import {json, send} from "./service.js";
import {number} from "./text.js";

/** What is asked: {model, metadata, values (text by feature), answer, before, problem}. */
let asked = null;

export const ask = {
  title: (name) => `Ask ${name}`,
  section: "models",
  every: 0,
  async load(name, _, signal) {
    if (asked?.model !== name) {
      const metadata = await json(`/v1/models/${encodeURIComponent(name)}/labels/latest/metadata`, {signal});
      const example = metadata.examples[0] ?? {};
      const values = Object.fromEntries(metadata.features.map((feature) => [feature.name, written(example[feature.name])]));
      asked = {model: name, metadata, values, answer: null, before: null, problem: null};
    }
    return page(asked);
  },
};

const written = (value) => (value === null || value === undefined ? "" : typeof value === "object" ? JSON.stringify(value) : String(value));

/** A field's text as JSON: an empty one is null, that of a text feature itself. */
function read({dtype, sequence, shape}, text) {
  if (text === "") return null;
  if (sequence || shape?.length) return JSON.parse(text);
  if (dtype === "string") return text;
  if (text === "true" || text === "false") return text === "true";
  return Number(text);
}

function instance({metadata, values}) {
  const found = {};
  for (const feature of metadata.features) {
    const value = read(feature, values[feature.name]);
    if (value !== null) found[feature.name] = value;
  }
  return found;
}

function page(state) {
  const {model, metadata, values} = state;
  let example = "";
  try {
    example = JSON.stringify({instances: [instance(state)]});
  } catch {
    // told when it is asked
  }
  const url = `${location.origin}/v1/models/${encodeURIComponent(model)}:predict`;
  return [
    link(`model/${encodeURIComponent(model)}`, `← ${model}`, "back"),
    make("h1", {}, `Ask ${model}`),
    make("p", {class: "quiet"}, `Version ${metadata.model_spec.version}. Change a value and ask again: the answer shows what moved.`),
    make("form", {"data-form": "ask", class: "fields"},
      metadata.features.map((feature) => control(feature, values[feature.name])),
      make("div", {class: "row", "data-key": "buttons"}, make("button", {class: "primary"}, "Ask"))),
    state.problem ? make("p", {class: "box", role: "alert", "data-key": "problem"}, state.problem) : "",
    state.answer ? answer(state) : "",
    make("details", {"data-key": "curl"}, make("summary", {}, "curl and Python"),
      make("pre", {tabindex: "0"},
        `curl -H "Authorization: Bearer $TOKEN" ${url} \\\n  -d '${example.replaceAll("'", "'\\''")}'\n\n` +
        `from estimator_client.client import Client\n\nwith Client("${location.origin}", token) as client:\n` +
        `    client.predict("${model}", [${pythonic(example)}])`)),
  ];
}

const pythonic = (text) => {
  try {
    return JSON.stringify(JSON.parse(text).instances[0]).replaceAll(":true", ": True").replaceAll(":false", ": False");
  } catch {
    return "{}";
  }
};

function control(feature, value) {
  const {name, dtype, vocabulary, min, max} = feature;
  const id = `feature ${name}`;
  const range = typeof min === "number" && !vocabulary ? `${number(min)} to ${number(max)} in training` : "";
  const list = vocabulary?.length ? `values of ${name}` : null;
  return make("div", {"data-key": id},
    make("label", {for: id}, name),
    make("input", {id, name, value, list, inputmode: dtype === "string" ? "text" : "decimal", autocomplete: "off"}),
    list ? make("datalist", {id: list}, vocabulary.slice(0, 200).map((word) => make("option", {value: word}))) : "",
    make("small", {class: "quiet"}, range || (list ? `${number(vocabulary.length)} known values` : dtype)));
}

function answer({answer: found, before}) {
  const flat = flatten(found), old = before ? flatten(before) : {};
  return make("section", {"data-key": "answer", "aria-live": "polite", "aria-label": "Answer"}, make("h2", {}, "Answer"),
    summary(Object.entries(flat).map(([name, value]) => [name, moved(value, old[name])])),
    "probabilities" in found ? bars(found) : "");
}

function moved(value, old) {
  if (typeof value !== "number") return value !== old && old !== undefined ? `${value} (was ${old})` : String(value);
  const change = typeof old === "number" ? value - old : 0;
  return change ? `${number(value)} (${change > 0 ? "+" : "−"}${number(Math.abs(change))})` : number(value);
}

/** Scalars of an answer by name; longer lists are left to the bars. */
function flatten(found) {
  if (typeof found !== "object" || found === null) return {prediction: found};
  const flat = {};
  for (const [name, value] of Object.entries(found)) {
    const single = Array.isArray(value) && value.length === 1 ? value[0] : value;
    if (typeof single !== "object") flat[name] = single;
  }
  return flat;
}

function bars({probabilities, all_classes: classes}) {
  const places = probabilities.map((share, index) => [classes?.[index] ?? String(index), share]).sort((a, b) => b[1] - a[1]);
  return make("div", {class: "bars", "data-key": "bars"}, places.slice(0, 20).map(([name, share]) =>
    make("div", {}, make("span", {}, name), make("meter", {max: 1, value: share, "aria-label": `${name}: ${number(share)}`}), make("span", {class: "number"}, number(share)))));
}

/** Asks with what the form holds. */
export async function submitAsked(form) {
  asked.values = Object.fromEntries(new FormData(form));
  asked.problem = null;
  try {
    const body = {instances: [instance(asked)]};
    const found = await send("POST", `/v1/models/${encodeURIComponent(asked.model)}:predict`, body);
    asked.before = asked.answer;
    asked.answer = found.predictions[0];
  } catch (error) {
    asked.problem = error instanceof SyntaxError ? "A list is written as JSON, for example [1, 2]." : error.message;
  }
}
