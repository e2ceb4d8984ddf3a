// A model report: what an evaluation says beyond its metrics.

import {link, make, summary, table} from "./element.js";
import {jobLink} from "./jobs.js";
import {json} from "./service.js";
import {number} from "./text.js";

const SIZE = 220;
/** The threshold that the slider chose, 0 to 100. */
let threshold = 50;

export const setThreshold = (value) => { threshold = Number(value); };

export const report = {
  title: () => "Report",
  section: "jobs",
  every: 0,
  async load(id, _, signal) {
    const [evaluation, found] = await Promise.all([
      json(`/v1/evaluations/${id}`, {signal}), json(`/v1/evaluations/${id}/report`, {signal}),
    ]);
    return [
      link(`job/${evaluation.job}`, "← Job", "back"),
      make("h1", {}, "Model report"),
      summary([
        ["Checkpoint", make("span", {}, jobLink(evaluation.train_job ?? evaluation.job), ` step ${number(evaluation.step)}`)],
        ["Data set", evaluation.dataset ? link(`dataset/${evaluation.dataset}`, evaluation.dataset, "id") : ""],
        ["Rows", evaluation.split], ["Compared with", found.live ? `version ${found.live.version}, which serves` : ""],
      ]),
      ...Object.entries(found.heads).flatMap(([name, head]) => headPart(name, head, found.live)),
      importance(found.importance),
      ...(found.notes ?? []).map((note) => make("p", {class: "quiet"}, note)),
    ];
  },
};

function headPart(name, head, live) {
  const other = live?.heads[name];
  const names = Object.keys(head.metrics);
  const columns = [
    {title: "Metric", cell: (metric) => metric.replaceAll("_", " ")},
    {title: "This checkpoint", cell: (metric) => number(head.metrics[metric]), number: true},
  ];
  if (other) columns.push({title: `Version ${live.version}`, cell: (metric) => number(other.metrics[metric]), number: true});
  return [
    name ? make("h2", {"data-key": `head ${name}`}, `Head ${name}`) : "",
    make("p", {class: "quiet"}, `${number(head.rows)} of ${number(head.total_rows)} rows.`),
    table("Metrics", columns, names, (metric) => metric),
    head.confusion ? confusion(head.confusion) : "",
    ...(head.curves ?? []).map(curves),
    head.residuals ? residuals(head.residuals) : "",
    ...(head.slices?.columns ?? []).map((sliced) => slices(head.slices.metric, sliced)),
    head.worst_rows?.length ? worst(head.worst_rows) : "",
  ];
}

function confusion({labels, matrix}) {
  if (labels.length > 30) return "";
  const row = (label, place) => {
    const total = matrix[place].reduce((a, b) => a + b, 0) || 1;
    return make("tr", {}, make("th", {scope: "row"}, label), matrix[place].map((cell) =>
      make("td", {class: `number heat-${Math.round((5 * cell) / total)}`}, number(cell))));
  };
  return make("section", {"data-key": "confusion"}, make("h2", {}, "Confusion matrix"),
    make("div", {class: "scroll", role: "region", tabindex: "0", "aria-label": "Confusion matrix"},
      make("table", {class: "matrix"}, make("caption", {}, "True class per row, predicted class per column."),
        make("thead", {}, make("tr", {}, make("th", {scope: "col"}, "true \\ predicted"), labels.map((label) => make("th", {scope: "col"}, label)))),
        make("tbody", {}, labels.map(row)))));
}

function curves({class: name, roc, precision_recall: pr, calibration, thresholds}) {
  const pairs = (xs, ys) => xs.map((x, place) => [x, ys[place]]);
  return make("section", {"data-key": `curves ${name}`}, make("h2", {}, `Class ${name}`),
    make("div", {class: "charts"},
      roc ? plot(`ROC of ${name}`, pairs(roc.false_positive_rate, roc.true_positive_rate), `area ${number(roc.auc)}`, "false positive rate", true) : "",
      pr ? plot(`Precision per recall of ${name}`, pairs(pr.recall, pr.precision), `average ${number(pr.average_precision)}`, "recall", false) : "",
      plot(`Calibration of ${name}`, pairs(calibration.mean_score, calibration.share_positive), `expected error ${number(calibration.expected_calibration_error)}`, "score", true)),
    slider(name, thresholds));
}

function plot(title, points, told, xAxis, diagonal) {
  const path = points.map(([x, y], place) => `${place ? "L" : "M"}${(x * SIZE).toFixed(1)} ${((1 - y) * SIZE).toFixed(1)}`).join("");
  return make("figure", {"data-key": title}, make("figcaption", {}, make("strong", {}, title), make("span", {}, told)),
    make("svg", {viewBox: `-4 -4 ${SIZE + 8} ${SIZE + 22}`, role: "img", "aria-label": `${title}, ${told}`},
      make("path", {class: "axis frame", d: `M0 0V${SIZE}H${SIZE}${diagonal ? "L" + SIZE + " 0M0 " + SIZE + "L" + SIZE + " 0" : ""}`}),
      make("path", {class: "line series-0", d: path}),
      make("text", {x: SIZE, y: SIZE + 14, "text-anchor": "end"}, xAxis)));
}

/** What another threshold would do. */
function slider(name, table_) {
  const place = threshold;
  const [hits, alarms, misses, rest] = ["true_positives", "false_positives", "false_negatives", "true_negatives"].map((key) => table_[key][place]);
  const id = `threshold ${name}`;
  const share = (part, whole) => (whole ? number(part / whole) : "–");
  return make("div", {class: "box note", "data-key": id},
    make("label", {for: id}, `Threshold ${number(table_.threshold[place])}`),
    make("input", {id, type: "range", min: 0, max: 100, value: place, "data-slide": "threshold"}),
    summary([["Precision", share(hits, hits + alarms)], ["Recall", share(hits, hits + misses)], ["True positives", number(hits)],
      ["False positives", number(alarms)], ["False negatives", number(misses)], ["True negatives", number(rest)]]));
}

function residuals({quantiles, histogram: {edges, rows}}) {
  const most = Math.max(...rows, 1), width = (2 * SIZE) / rows.length;
  const bars = rows.map((count, place) => make("path", {class: "bar", d:
    `M${(place * width).toFixed(1)} ${SIZE}v${(-SIZE * count / most).toFixed(1)}h${(width - 1).toFixed(1)}v${(SIZE * count / most).toFixed(1)}z`}));
  return make("section", {"data-key": "residuals"}, make("h2", {}, "Residuals: prediction minus label"),
    make("figure", {}, make("svg", {viewBox: `0 0 ${2 * SIZE} ${SIZE + 16}`, role: "img", "aria-label": "Histogram of residuals"}, bars,
      make("text", {x: 0, y: SIZE + 13}, number(edges[0])), make("text", {x: 2 * SIZE, y: SIZE + 13, "text-anchor": "end"}, number(edges.at(-1))))),
    summary(quantiles.map(({quantile, value}) => [`${number(100 * quantile)} %`, number(value)])));
}

const slices = (metric, {column, slices: found}) => make("section", {"data-key": `slices ${column}`}, make("h2", {}, `By ${column}`),
  table(`By ${column}`, [
    {title: column, cell: (one) => one.slice},
    {title: "Rows", cell: (one) => number(one.rows), number: true},
    {title: metric.replaceAll("_", " "), cell: (one) => number(one.value), number: true},
    {title: "95 % interval", cell: (one) => (one.low === null ? "" : `${number(one.low)} to ${number(one.high)}`), fixed: true},
  ], found, (one) => one.slice));

function worst(rows) {
  const columns = Object.keys(rows[0].values).slice(0, 6);
  const cell = (value) => (typeof value === "number" ? number(value) : value);
  return make("section", {"data-key": "worst"}, make("h2", {}, "Worst rows"), table("Worst rows", [
    {title: "Row", cell: (one) => number(one.row), number: true},
    {title: "Loss", cell: (one) => number(one.loss), number: true},
    {title: "Label", cell: (one) => cell(one.label)}, {title: "Predicted", cell: (one) => cell(one.predicted)},
    ...columns.map((name) => ({title: name, cell: (one) => cell(one.values[name]), wide: true})),
  ], rows, (one) => String(one.row)));
}

function importance(found) {
  if (!found?.length) return "";
  return make("section", {"data-key": "importance"}, make("h2", {}, "Importance of columns"),
    make("p", {class: "quiet"}, "How much the loss grows when a column's values are shuffled."),
    table("Importance", [
      {title: "Column", cell: (one) => one.column}, {title: "Loss increase", cell: (one) => number(one.loss_increase), number: true},
    ], found, (one) => one.column));
}
