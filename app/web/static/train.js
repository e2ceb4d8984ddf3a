// A new training from a data set: what to learn, with which estimator, from which columns; what it would cost; its JSON.

import {argumentFields, beyond, givenArguments} from "./arguments.js";
import {make, link, summary, table} from "./element.js";
import {argumentName, earlier, proposed, rateOf, requested, stepsFor} from "./optimizer.js";
import {json, send} from "./service.js";
import {bytes, number} from "./text.js";

const ESTIMATORS = {
  DNN: "Neural network",
  Linear: "Linear model",
  DNNLinearCombined: "Wide and deep: both together",
  Baseline: "Baseline: the mean or most frequent class, to compare with",
};
const BATCH = 64, MOST_CLASSES = 20;
/** The form that is filled in, by data set: {dataset, known (estimators and optimizers), values, checked, problem}. */
let draft = null;

export const train = {
  title: () => "New training",
  section: "datasets",
  every: 0,
  async load(id, query, signal) {
    const from = query.get("from");
    if (draft?.id !== id || draft.from !== from) {
      const [dataset, known, before] = await Promise.all([
        json(`/v1/datasets/${id}`, {signal}), json("/v1/estimators", {signal}), from ? json(`/v1/jobs/${from}`, {signal}) : null,
      ]);
      draft = {id, from, dataset, known, values: proposal(dataset, before?.spec, known), checked: null, problem: null};
    }
    return page(draft);
  },
  now: () => draft && page(draft),
};

/** Whether a column looks like classes: text, or few different whole numbers that are close together. */
export const isClass = ({dtype, distinct, min, max}) =>
  dtype === "string" || (dtype === "int64" && distinct !== null && distinct <= MOST_CLASSES && max - min < MOST_CLASSES);

/** Sensible values to begin with: those of an earlier job, else from the data set's types. */
function proposal({name, rows, columns}, spec, known) {
  const label = likelyLabel(columns), likely = isClass(label) ? "Classifier" : "Regressor", steps = stepsFor(rows, BATCH);
  const first = {
    model: modelName(name), label: label.name, kind: likely, estimator: "DNN", hidden_units: "64, 32",
    ...proposed({estimator: "DNN", kind: likely}, label), more: {},
    max_steps: steps, batch_size: BATCH, holdout: 0.2, evaluate_every_steps: Math.round(steps / 4), ignore: [],
    serve: "at once",
  };
  if (!spec?.estimator) return first;
  // another estimator than those of the form goes under its whole name
  const [, estimator, kind] = /^(DNNLinearCombined|DNN|Linear|Baseline)(Classifier|Regressor)$/.exec(spec.estimator.type) ?? [null, spec.estimator.type, first.kind];
  const hidden = spec.estimator.args.hidden_units ?? spec.estimator.args.dnn_hidden_units;
  const {label: learned, batch_size: batch, ignore} = spec.data.train;
  const own = [argumentName(known.$defs, spec.estimator.type), "hidden_units", "dnn_hidden_units"];
  const more = beyond(known.$defs, spec, own);
  return {
    ...first, ...more.values, kept: more.kept, estimator, kind, ...earlier(spec.estimator.args[argumentName(known.$defs, spec.estimator.type)]), model: spec.model ?? first.model,
    label: typeof learned === "string" ? learned : first.label,
    hidden_units: hidden?.join(", ") ?? first.hidden_units, max_steps: spec.train.max_steps ?? first.max_steps,
    batch_size: batch, holdout: spec.data.holdout ?? 0, evaluate_every_steps: spec.train.evaluate_every_steps ?? 0, ignore,
    serve: spec.promote?.when ? "gate" : spec.promote ? "at once" : "later", promote: spec.promote,
  };
}

/** The label is named so, or stands last or first, most of the time. */
export function likelyLabel(columns) {
  const single = columns.filter((column) => !column.sequence);
  const first = single.at(0), last = single.at(-1) ?? columns[0];
  const named = single.find(({name}) => /^(label|labels|target|class|outcome|y)$/i.test(name));
  const words = (column) => column?.dtype === "string" && isClass(column);
  return named ?? (words(last) || !words(first) ? last : first);
}

const modelName = (name) => name.toLowerCase().replace(/[^a-z0-9_-]+/g, "-").replace(/^[^a-z0-9]+|-+$/g, "").slice(0, 60) || "model";

/** The body of `POST /v1/jobs`. */
function body({id, known, values}) {
  const optimizer = requested(values), type = typeOf(values);
  const kept = values.kept?.type === type ? values.kept : null;
  const args = {...kept?.args, ...givenArguments(known.$defs, type, values)};
  if (optimizer) args[argumentName(known.$defs, type)] = optimizer;
  if (values.estimator === "DNN") args.hidden_units = units(values.hidden_units);
  if (values.estimator === "DNNLinearCombined") args.dnn_hidden_units = units(values.hidden_units);
  const data = {...(Number(values.holdout) ? {} : values.kept?.parts), train: {...values.kept?.data, dataset: id, label: values.label, batch_size: Number(values.batch_size)}};
  if (values.ignore.length) data.train.ignore = values.ignore;
  if (Number(values.holdout)) data.holdout = Number(values.holdout);
  const made = {
    type: "train", model: values.model, estimator: {type, args}, columns: kept ? kept.columns : "auto",
    data, train: {...values.kept?.train, max_steps: Number(values.max_steps)}, ...values.kept?.top,
  };
  if ((Number(values.holdout) || data.eval) && Number(values.evaluate_every_steps)) made.train.evaluate_every_steps = Number(values.evaluate_every_steps);
  if (values.serve === "later") made.promote = null;
  else if (values.promote) made.promote = values.serve === "gate" ? values.promote : {label: values.promote.label};
  return made;
}

const typeOf = ({estimator, kind}) => (estimator in ESTIMATORS ? `${estimator}${kind}` : estimator);
const units = (text) => String(text).split(/[\s,]+/).filter(Boolean).map(Number);

function page(state) {
  const {dataset, values} = state;
  const request = JSON.stringify(body(state), null, 2);
  return [
    link(`dataset/${state.id}`, `← ${dataset.name}`, "back"),
    make("h1", {}, "New training"),
    values.kept ? make("p", {class: "quiet", "data-key": "kept"}, "What the form has no field for stays as in the earlier job; the request below has all of it.") : "",
    make("form", {"data-form": "train", "data-draft": "train", class: "fields"},
      field("model", "Model", make("input", {id: "model", name: "model", value: values.model, required: true}), "Each training makes its next version."),
      field("label", "Learn", select("label", dataset.columns.map(({name}) => [name, name]), values.label), "The column that is predicted from the others."),
      field("kind", "As", select("kind", [["Classifier", "a class"], ["Regressor", "a number"]], values.kind), advice(state)),
      field("estimator", "Estimator", select("estimator", [...Object.entries(ESTIMATORS), ...(values.estimator in ESTIMATORS ? [] : [[values.estimator, values.estimator]])], values.estimator)),
      values.estimator.startsWith("DNN") ? field("hidden_units", "Hidden units", input("hidden_units", values, {inputmode: "text"}), "Neurons per layer, separated by commas.") : "",
      field("optimizer", "Optimizer", select("optimizer", [["", "the estimator's own"], ...state.known.optimizers.map((name) => [name, name])], values.optimizer),
        values.estimator === "DNNLinearCombined" ? "Of the network; the linear part keeps its own." : ""),
      values.optimizer ? field("learning_rate", "Learning rate", input("learning_rate", values, {type: "number", min: 0, step: "any", required: false}),
        values.more.learning_rate && values.more.type === values.optimizer ? "Empty: the earlier job's schedule." : "Empty: the optimizer's own.") : "",
      field("max_steps", "Steps", input("max_steps", values, {type: "number", min: 1}), passes(state)),
      field("batch_size", "Rows per step", input("batch_size", values, {type: "number", min: 1})),
      field("holdout", "Rows held out for evaluation", input("holdout", values, {type: "number", min: 0, max: 0.9, step: "any"}), "A share; 0 for none."),
      field("evaluate_every_steps", "Steps between evaluations", input("evaluate_every_steps", values, {type: "number", min: 0})),
      field("serve", "Serve the version", select("serve", serving(values), values.serve)),
      argumentFields(state.known.$defs, typeOf(values), values),
      columns(state),
      make("div", {class: "row", "data-key": "buttons"},
        make("button", {name: "do", value: "check"}, "Check"), make("button", {name: "do", value: "train", class: "primary"}, "Train"))),
    problem(state.problem),
    checked(state.checked),
    make("details", {"data-key": "request"}, make("summary", {}, "The same with curl"), make("pre", {tabindex: "0"},
      `curl -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \\\n  ${location.origin}/v1/jobs -d '${request.replaceAll("'", "'\\''")}'`)),
  ];
}

/** When the new version answers: at once, later by hand, or as the earlier job's gate says. */
function serving({promote}) {
  const {metric, at_least: least, at_most: most} = promote?.when ?? {};
  const gate = metric ? [["gate", `if ${metric} is at ${least === null ? `most ${number(most)}` : `least ${number(least)}`}`]] : [];
  return [["at once", "as soon as it is trained"], ...gate, ["later", "when I make it the latest"]];
}

/** How often the training sees each row. */
function passes({dataset: {rows}, values}) {
  const epochs = (values.max_steps * values.batch_size) / (rows * (1 - values.holdout));
  return Number.isFinite(epochs) ? `About ${number(Number(epochs.toPrecision(2)))} passes over the rows.` : "";
}

const field = (id, title, control, hint = "") =>
  make("div", {"data-key": `field ${id}`}, make("label", {for: id}, title), control, hint && make("small", {class: "quiet"}, hint));

const input = (name, values, attributes) => make("input", {id: name, name, value: values[name], required: true, ...attributes});

const select = (name, options, chosen) =>
  make("select", {id: name, name}, options.map(([value, text]) => make("option", {value, selected: value === chosen}, text)));

/** Says when the label looks like the other kind. */
function advice({dataset, values}) {
  const label = dataset.columns.find(({name}) => name === values.label);
  if (!label) return "";
  if (values.kind === "Classifier" && !isClass(label)) return `${label.name} looks like a number: choose “a number”.`;
  if (values.kind === "Regressor" && label.dtype === "string") return `${label.name} is text: choose “a class”.`;
  return "";
}

function columns({dataset, values}) {
  const others = dataset.columns.filter(({name}) => name !== values.label);
  const remark = (column) => (column.distinct === dataset.rows && column.dtype !== "float32" ? "each row differs: an id?" : "");
  return make("fieldset", {"data-key": "columns"}, make("legend", {}, "Learn from"),
    others.map((column) => make("label", {class: "check", "data-key": column.name},
      make("input", {type: "checkbox", name: "use", value: column.name, checked: !values.ignore.includes(column.name)}),
      ` ${column.name} `, make("small", {class: "quiet"}, `${column.dtype} ${remark(column)}`))));
}

function problem(found) {
  if (!found) return "";
  return make("div", {class: "box", role: "alert", "data-key": "problem"}, found.detail,
    found.errors?.length ? make("ul", {}, found.errors.map((place) => make("li", {}, `${place.pointer}: ${place.detail}`))) : "");
}

function checked(found) {
  if (!found) return "";
  return make("section", {"data-key": "checked", "aria-label": "What it would train"},
    make("h2", {}, "What it would train"),
    summary([["Parameters", number(found.parameters)], ["Memory", bytes(found.memory_bytes)], ["Features", number(found.features.length)]]),
    found.warnings.length ? make("ul", {class: "box note"}, found.warnings.map((warning) => make("li", {}, warning))) : make("p", {class: "quiet"}, "No warnings."),
    table("Features", [
      {title: "Feature", cell: (one) => one.name}, {title: "Type", cell: (one) => one.dtype},
      {title: "Missing values", cell: (one) => one.missing?.policy ?? ""},
    ], found.features, (one) => one.name));
}

/** Takes what was changed in the form. */
export function takeDraft(form) {
  const given = new FormData(form);
  const used = given.getAll("use");
  const before = draft.values;
  draft.values = {...before, ...Object.fromEntries([...given].filter(([name]) => !["use", "do"].includes(name)))};
  draft.values.ignore = draft.dataset.columns.map(({name}) => name).filter((name) => name !== before.label && name !== draft.values.label && !used.includes(name));
  if (draft.values.label !== before.label) draft.values.kind = isClass(column(draft.values.label)) ? "Classifier" : "Regressor";
  takeOptimizer(before);
}

const column = (name) => draft.dataset.columns.find((one) => one.name === name);

/** Another optimizer gets its own rate; another estimator its own optimizer, unless one was chosen. */
function takeOptimizer(before) {
  const now = draft.values;
  if (now.optimizer !== before.optimizer) {
    now.learning_rate = rateOf(now.optimizer);
    return;
  }
  const old = proposed(before, column(before.label));
  const untouched = old.optimizer === now.optimizer && old.learning_rate === now.learning_rate;
  if (untouched) Object.assign(now, proposed(now, column(now.label)));
}

/** Checks or submits; the new job's id, or null. */
export async function submitDraft(form, submitter) {
  takeDraft(form);
  Object.assign(draft, {problem: null, checked: null});
  try {
    if (submitter?.value === "check") {
      draft.checked = await send("POST", "/v1/jobs?dry_run=true", body(draft));
      return null;
    }
    const {id} = await send("POST", "/v1/jobs", body(draft));
    draft = null;
    return id;
  } catch (error) {
    if (!error.status) throw error;
    draft.problem = error.problem ?? {detail: error.message};
    return null;
  }
}
