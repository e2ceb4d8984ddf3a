// What a version was made from, as a picture: data, job, checkpoint, version, labels.

import {make} from "./element.js";
import {number} from "./text.js";

const WIDTH = 150, HEIGHT = 44, GAP = 46, ROW = 60;

/** Boxes from left to right, those of one kind under each other, each joined to all of the next kind. */
export function lineagePicture(model, version) {
  const {job, lineage, labels} = version;
  const short = (id) => `…${id.slice(-6)}`;
  const data = (lineage?.datasets ?? []).map(({role, id}) => ({kind: `${role} data`, name: short(id), route: `dataset/${id}`}));
  const columns = [
    data,
    [{kind: "job", name: short(job), route: `job/${job}`}],
    lineage?.step === undefined ? [] : [{kind: "checkpoint", name: `step ${number(lineage.step)}`}],
    [{kind: "version", name: `${model} ${version.version}`}],
    labels.map((label) => ({kind: "label", name: label})),
  ].filter((column) => column.length);
  const rows = Math.max(...columns.map((column) => column.length));
  const place = (column, row) => [column * (WIDTH + GAP), ((rows - columns[column].length) / 2 + row) * ROW];
  const width = columns.length * (WIDTH + GAP) - GAP, height = rows * ROW - (ROW - HEIGHT);
  const told = columns.flat().map(({kind, name}) => `${kind} ${name}`).join(", ");
  return make("div", {class: "scroll", role: "region", tabindex: "0", "aria-label": "Lineage", "data-key": "lineage picture"},
    make("svg", {class: "lineage", viewBox: `-1 -1 ${width + 2} ${height + 2}`, width: width + 2, height: height + 2, "aria-label": `Made from: ${told}`, role: "group"},
      columns.slice(1).map((column, index) => columns[index].map((_, from) => column.map((__, to) => edge(place(index, from), place(index + 1, to))))),
      columns.map((column, index) => column.map((one, row) => box(one, place(index, row))))));
}

function edge([x, y], [to, down]) {
  const start = x + WIDTH, middle = (start + to) / 2, from = y + HEIGHT / 2, end = down + HEIGHT / 2;
  return make("path", {class: "edge", d: `M${start} ${from}C${middle} ${from} ${middle} ${end} ${to} ${end}`});
}

function box({kind, name, route}, [x, y]) {
  const content = [
    make("rect", {class: "box-of", x, y, width: WIDTH, height: HEIGHT, rx: 6}),
    make("text", {x: x + 10, y: y + 17}, kind),
    make("text", {class: route ? "name linked" : "name", x: x + 10, y: y + 34}, name.length > 20 ? `${name.slice(0, 19)}…` : name),
  ];
  return route ? make("svg:a", {href: `#${route}`, "aria-label": `${kind} ${name}`}, content) : make("g", {}, content);
}
