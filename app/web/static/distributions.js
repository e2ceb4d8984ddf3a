// How a data set's columns are distributed, and how strongly each goes with a chosen label.

import {empty, make} from "./element.js";
import {number} from "./text.js";

const WIDTH = 300, HEIGHT = 70;
const SHOWN = 8;
const KINDS = {pearson: "correlation", correlation_ratio: "correlation ratio", cramers_v: "Cramér's V"};

/** The part of the page; `columns` are the data set's, `label` is the chosen one or null. */
export function distributionPart(found, columns, label) {
  const option = (value, text) => make("option", {value, selected: value === (label ?? "")}, text);
  const rows = found.sampled_rows < found.rows ? `Of ${number(found.sampled_rows)} evenly spread rows. ` : "";
  return make("section", {"data-key": "distributions"},
    make("h2", {}, "Distributions"),
    make("p", {class: "row"}, make("label", {}, "Label ",
      make("select", {"data-query": "label"}, option("", "none"), columns.map(({name}) => option(name, name)))),
      make("span", {class: "quiet"}, `${rows}Choose a label to see how strongly each column goes with it.`)),
    make("div", {class: "charts"}, ordered(found.columns).map((one) => card(one, found))));
}

/** The columns that go with the label most strongly come first. */
function ordered(columns) {
  const strength = (one) => (one.strength ? Math.abs(one.strength.value) : -1);
  return [...columns].sort((a, b) => strength(b) - strength(a));
}

function card(one, {rows, label}) {
  const {name, dtype, nulls, strength} = one;
  const told = [dtype, nulls ? `${number((100 * nulls) / rows)} % missing` : "none missing"];
  if (name === label) told.push("the label");
  else if (strength) told.push(`${KINDS[strength.kind]} ${number(strength.value)}`);
  const picture = one.top ? bars(one) : one.histogram ? histogram(name, one.histogram) : empty("No values.");
  return make("figure", {"data-key": `column ${name}`},
    make("figcaption", {}, make("strong", {}, name), make("span", {class: "quiet"}, told.join(" · "))),
    picture, one.lengths ? [make("p", {class: "quiet"}, "Elements per row"), histogram(`${name}, elements per row`, one.lengths)] : "");
}

function histogram(name, {edges, counts}) {
  const most = Math.max(...counts, 1), width = WIDTH / counts.length;
  const path = counts.map((count, place) => {
    const high = (HEIGHT * count) / most;
    return `M${(place * width).toFixed(1)} ${HEIGHT}v${(-high).toFixed(1)}h${Math.max(width - 1, 0.5).toFixed(1)}v${high.toFixed(1)}z`;
  }).join("");
  return make("svg", {viewBox: `0 0 ${WIDTH} ${HEIGHT + 16}`, role: "img", "aria-label": `Histogram of ${name}, ${number(edges[0])} to ${number(edges.at(-1))}`},
    make("path", {class: "bar", d: path}),
    make("text", {x: 0, y: HEIGHT + 13}, number(edges[0])),
    make("text", {x: WIDTH, y: HEIGHT + 13, "text-anchor": "end"}, number(edges.at(-1))));
}

function bars({name, top, others}) {
  const most = Math.max(...top.map((one) => one.count), 1);
  const left = top.slice(SHOWN).reduce((sum, one) => sum + one.count, others);
  const bar = (text, count) => make("div", {}, make("span", {title: text}, text.length > 24 ? `${text.slice(0, 24)}…` : text),
    make("meter", {max: most, value: Math.min(count, most), "aria-label": `${name} ${text}: ${number(count)}`}), make("span", {class: "number"}, number(count)));
  return make("div", {class: "bars"}, top.slice(0, SHOWN).map((one) => bar(String(one.value), one.count)), left ? bar("all others", left) : "");
}
