// Data sets: their columns, first rows, and what was made from them.

import {distributionPart} from "./distributions.js";
import {empty, link, make, older, summary, table, warnings} from "./element.js";
import {jobLink, modelLink, when} from "./jobs.js";
import {json, list} from "./service.js";
import {bytes, number} from "./text.js";
import {uploadForm} from "./upload.js";

const PAGE = 25;
const PREVIEW_ROWS = 10;
const MOST_COLUMNS = 100;
const WORDS_SHOWN = 8;

const DATASETS = [
  {title: "Data set", cell: (one) => link(`dataset/${one.id}`, one.name)},
  {title: "Rows", cell: (one) => number(one.rows), number: true},
  {title: "Columns", cell: (one) => number(one.columns.length), number: true},
  {title: "Size", cell: (one) => bytes(one.bytes), number: true, wide: true},
  {title: "Format", cell: (one) => one.format, wide: true},
  {title: "Uploaded", cell: (one) => when(one.created_at), fixed: true},
];

export const datasets = {
  title: () => "Data sets",
  section: "datasets",
  every: 10000,
  async load(_, query, signal) {
    const found = await list("/v1/datasets", {page_size: PAGE, page_token: query.get("page_token")}, signal);
    return [
      make("h1", {}, "Data sets"),
      uploadForm(),
      found.datasets.length
        ? table("Data sets", DATASETS, found.datasets, (one) => one.id)
        : empty("No data sets yet."),
      older("datasets", found),
    ];
  },
};

const COLUMNS = [
  {title: "Column", cell: (column) => column.name},
  {title: "Type", cell: (column) => `${column.dtype}${column.sequence ? " sequence" : ""}${column.shape?.length ? ` [${column.shape.join(", ")}]` : ""}`},
  {title: "Missing", cell: (column) => number(column.nulls), number: true},
  {title: "Lowest", cell: (column) => shown(column.min), number: true},
  {title: "Highest", cell: (column) => shown(column.max), number: true},
  {title: "Mean", cell: (column) => number(column.mean), number: true},
  {title: "Spread", cell: (column) => number(column.stddev), number: true, wide: true},
  {title: "Different", cell: (column) => number(column.distinct), number: true, wide: true},
  {title: "Values", cell: (column) => words(column.vocabulary), wide: true},
];

function words(vocabulary) {
  if (!vocabulary) return "";
  const more = vocabulary.length - WORDS_SHOWN;
  return vocabulary.slice(0, WORDS_SHOWN).map((word) => clip(shown(word), 40)).join(", ") + (more > 0 ? ` … and ${number(more)} more` : "");
}

/** A cell's value; seven digits are what a float32 holds. */
function shown(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number" && !Number.isInteger(value)) return String(Number(value.toPrecision(7)));
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}


const clip = (text, most) => (text.length > most ? `${text.slice(0, most)}…` : text);

export const dataset = {
  title: (id) => id,
  section: "datasets",
  every: 0,
  async load(id, query, signal) {
    const path = `/v1/datasets/${id}`;
    const label = query.get("label");
    const [found, usage, preview, spread] = await Promise.all([
      json(path, {signal}), json(`${path}/usage`, {signal}), json(`${path}/preview?rows=${PREVIEW_ROWS}`, {signal}),
      list(`${path}/distributions`, {label}, signal),
    ]);
    const columns = found.columns.slice(0, MOST_COLUMNS);
    return [
      link("datasets", "← Data sets", "back"),
      make("h1", {}, found.name, " ", make("span", {class: "id quiet"}, found.id)),
      make("p", {class: "row"}, link(`train/${id}`, "New training", "button"),
        link(`jobs?dataset=${id}`, "Its jobs"),
        make("button", {"data-action": "deleteDataset", "data-dataset": id, "data-name": found.name, class: "danger"}, "Delete")),
      summary([
        ["Rows", number(found.rows)], ["Columns", number(found.columns.length)], ["Size", bytes(found.bytes)],
        ["Format", found.format], ["Uploaded", when(found.created_at)],
      ]),
      warnings(found.warnings),
      make("h2", {}, "Columns"),
      table("Columns", COLUMNS, columns, (column) => column.name),
      found.columns.length > columns.length ? make("p", {class: "quiet"}, `The first ${columns.length} of ${number(found.columns.length)} columns.`) : "",
      distributionPart(spread, columns, label),
      make("h2", {}, "First rows"),
      table("First rows", columns.map(({name}) => ({title: name, cell: (row) => clip(shown(row[name]), 80)})), preview.rows, () => ""),
      make("h2", {}, "Used by"),
      summary([
        ["Jobs", usage.jobs.map((job) => make("div", {}, jobLink(job)))],
        ["Versions", usage.versions.map(({model, version}) => make("div", {}, modelLink(model), ` version ${version}`))],
      ].filter(([, found]) => found.length)),
      usage.jobs.length ? "" : empty("Nothing yet."),
    ];
  },
};
