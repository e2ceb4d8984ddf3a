// Asking a version: a form from its metadata, the answer, and what if one value were another.

import {link, make, summary} from "./element.js";
import {json, send} from "./service.js";
import {number, shortest} from "./text.js";

/** What is asked: {model, metadata, values (text by feature), answer, before, problem}. */
let asked = null;

export const ask = {
  title: (name) => `Ask ${name}`,
  section: "models",
  every: 0,
  async load(name, _, signal) {
    const metadata = await json(`/v1/models/${encodeURIComponent(name)}/labels/latest/metadata`, {signal});
    if (asked?.model !== name || asked.metadata.model_spec.version !== metadata.model_spec.version) {
      const example = metadata.examples[0] ?? {};
      const values = Object.fromEntries(metadata.features.map((feature) => [feature.name, written(example[feature.name], feature.dtype)]));
      asked = {model: name, metadata, values, answer: null, before: null, problem: null};
    }
    return page(asked);
  },
  now: () => page(asked),
};

/** A feature's value as text. The example rows have passed through float32, whose digits beyond the seventh are noise. */
function written(value, dtype) {
  if (value === null || value === undefined) return "";
  const short = dtype === "float32" ? (_, one) => (typeof one === "number" ? shortest(one) : one) : undefined;
  return typeof value === "string" ? value : JSON.stringify(value, short);
}

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
    // reported when it is asked
  }
  const url = `${location.origin}/v1/models/${encodeURIComponent(model)}:predict`;
  return [
    link(`model/${encodeURIComponent(model)}`, `← ${model}`, "back"),
    make("h1", {}, `Ask ${model}`),
    make("p", {class: "quiet"}, `Version ${metadata.model_spec.version}. Change a value and ask again: the answer shows what changed.`),
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
    summary(Object.entries(flat).map(([name, value]) => [name, moved(value, old[name], name)])),
    "probabilities" in found ? bars(found, before) : "");
}

/** A value beside the one before: by how much a number changed; what a text, or a class's number, was. */
function moved(value, old, name) {
  if (typeof value !== "number" || name === "class_ids") return value !== old && old !== undefined ? `${value} (was ${old})` : String(value);
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

/** The probability of each class, and by how much it changed. */
function bars({probabilities, all_classes: classes}, before) {
  const places = probabilities.map((share, index) => [classes?.[index] ?? String(index), share, moved(share, before?.probabilities?.[index])])
    .sort((a, b) => b[1] - a[1]);
  return make("div", {class: "bars", "data-key": "bars"}, places.slice(0, 20).map(([name, share, text]) =>
    make("div", {}, make("span", {}, name), make("meter", {max: 1, value: share, "aria-label": `${name}: ${text}`}), make("span", {class: "number"}, text))));
}

/** Asks with what the form holds. */
export async function submitAsked(form) {
  asked.values = Object.fromEntries(new FormData(form));
  asked.problem = null;
  try {
    const body = {instances: [instance(asked)]};
    // of the version that the page names, also while the label moves
    const found = await send("POST", `/v1/models/${encodeURIComponent(asked.model)}/versions/${asked.metadata.model_spec.version}:predict`, body);
    asked.before = asked.answer;
    asked.answer = found.predictions[0];
  } catch (error) {
    asked.problem = error instanceof SyntaxError ? "A list is written as JSON, for example [1, 2]." : error.message;
  }
}
