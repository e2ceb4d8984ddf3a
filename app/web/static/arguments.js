// Arguments of an estimator that the form of a new training has no field of its own for: plain ones get a field from
// their schema, others go on as the earlier job had them.

import {make} from "./element.js";

/** They follow from the label, or have a field of their own. */
const ELSEWHERE = /^(n_classes|label_dimension|label_vocabulary|loss_reduction)$|feature_columns$|hidden_units$|optimizer$|^weight_column$/;
const COLUMNS = /feature_columns$/;
export const PREFIX = "arg ";

/** How an argument is filled in: its default and {options} or {minimum, maximum}; null for one that is not plain. */
function control({enum: options, anyOf, default: normal, ...schema}) {
  if (options) return {options: options.filter((one) => one !== null).map(String), normal};
  const plain = anyOf?.find((one) => one.type !== "null") ?? schema;
  if (plain.type === "boolean") return {options: ["true", "false"], normal};
  if (plain.type === "number" || plain.type === "integer") return {minimum: plain.minimum, maximum: plain.maximum, normal, number: true};
  return null;
}

function plainArguments(definitions, type) {
  const properties = Object.entries(definitions[type]?.properties ?? {}).filter(([name]) => !ELSEWHERE.test(name));
  return properties.map(([name, schema]) => [name, control(schema)]).filter(([, found]) => found);
}

/** The fields, by the estimator's schema; empty ones leave its default. */
export function argumentFields(definitions, type, values) {
  const plain = plainArguments(definitions, type);
  if (!plain.length) return "";
  return make("details", {"data-key": "arguments"}, make("summary", {}, "More arguments"), make("div", {class: "fields"}, plain.map(([name, found]) => {
    const id = PREFIX + name, value = values[id] ?? "";
    const normal = found.normal === null || found.normal === undefined ? "default" : `default: ${found.normal}`;
    const option = (one, text) => make("option", {value: one, selected: one === value}, text);
    return make("div", {"data-key": id}, make("label", {for: id}, name.replaceAll("_", " ")), found.options
      ? make("select", {id, name: id}, option("", normal), found.options.map((one) => option(one, one)))
      : make("input", {id, name: id, value, type: "number", step: "any", min: found.minimum, max: found.maximum, placeholder: normal}));
  })));
}

/** What the fields say, as the request has it. */
export function givenArguments(definitions, type, values) {
  const given = plainArguments(definitions, type).filter(([name]) => values[PREFIX + name]);
  return Object.fromEntries(given.map(([name, found]) => {
    const text = values[PREFIX + name];
    return [name, found.number ? Number(text) : {true: true, false: false}[text] ?? text];
  }));
}

/** What an earlier job says beyond the form: values for the fields, and {type, args, columns, data, parts, train} to send again. */
export function beyond(definitions, {estimator: {type, args}, columns, data, train, export: exported, best_metric: best, resources}, own) {
  const plain = plainArguments(definitions, type), values = {}, kept = {};
  for (const [name, value] of Object.entries(args)) {
    const found = plain.find(([one]) => one === name)?.[1];
    const told = COLUMNS.test(name) ? columns !== "auto" : !own.includes(name) && !/^(n_classes|label_vocabulary)$/.test(name);
    if (value === null || value === found?.normal) continue;
    if (found) values[PREFIX + name] = String(value);
    else if (told) kept[name] = value;
  }
  const {shuffle, epochs, weight, missing} = data.train;
  const {max_steps: _, evaluate_every_steps: __, ...others} = train;
  const evaluated = !data.holdout && data.eval ? {eval: {dataset: data.eval.dataset, batch_size: data.eval.batch_size}} : {};
  return {values, kept: {type, args: kept, columns, data: {shuffle, epochs, weight, missing}, parts: evaluated, train: others,
    top: {export: exported, best_metric: best, ...(resources ? {resources} : {})}}};
}
