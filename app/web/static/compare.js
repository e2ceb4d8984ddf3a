// Jobs side by side: where they differ, what was measured, their curves over each other.

import {chart} from "./chart.js";
import {empty, link, make, table} from "./element.js";
import {curveControls, curveOptions} from "./job.js";
import {jobName, state} from "./jobs.js";
import {json} from "./service.js";
import {ENDED, number} from "./text.js";

const MOST_JOBS = 10;

export const compare = {
  title: () => "Compare jobs",
  section: "jobs",
  every: 5000,
  async load(_, query, signal) {
    const ids = query.getAll("ids").slice(0, MOST_JOBS);
    const back = link("jobs", "← Jobs", "back");
    if (ids.length < 2) return [back, make("h1", {}, "Compare jobs"), empty("Choose two to ten jobs in the list, then compare them.")];
    const found = await json(`/v1/jobs/compare?${new URLSearchParams(ids.map((id) => ["ids", id]))}`, {signal});
    const names = distinct(found.jobs);
    const columns = (title) => [
      {title, cell: (row) => row.name},
      ...found.jobs.map((job, place) => ({title: names[place], cell: (row) => told(row.values[place])})),
    ];
    const nodes = [
      back,
      make("h1", {}, "Compare jobs"),
      table("Jobs", [
        {title: "Job", cell: (job) => link(`job/${job.id}`, names[found.jobs.indexOf(job)])},
        {title: "State", cell: (job) => state(job.state), fixed: true},
        {title: "Model", cell: (job) => job.model},
        {title: "Estimator", cell: (job) => job.estimator},
      ], found.jobs, (job) => job.id),
      ...curves(found.series, names),
      make("h2", {"data-key": "measured"}, "Metrics"),
      found.metrics.length ? table("Metrics", columns("Metric"), found.metrics, (row) => row.name) : empty("Nothing was evaluated yet."),
      make("h2", {"data-key": "differ"}, "Differences"),
      found.differences.length ? table("Differences", columns("Field"), found.differences, (row) => row.name) : empty("The specifications are the same."),
    ];
    nodes.everyMs = found.jobs.every((job) => ENDED.includes(job.state)) ? 0 : undefined;
    return nodes;
  },
};

function curves(series, names) {
  const shown = Object.entries(series).map(([name, lines]) =>
    chart(name, lines.map((points, place) => ({name: names[place], points})).filter((line) => line.points.length), curveOptions()));
  return shown.length
    ? [make("h2", {"data-key": "curves title"}, "Curves"), curveControls(), make("div", {class: "charts", "data-key": "curves"}, shown)]
    : [];
}

/** Names that tell the jobs apart. */
function distinct(jobs) {
  const names = jobs.map(jobName);
  return names.map((name, place) => (names.indexOf(name) === names.lastIndexOf(name) ? name : `${name} ${jobs[place].id.slice(-6)}`));
}

function told(value) {
  if (value === null || value === undefined) return "–";
  return typeof value === "number" ? number(value) : typeof value === "object" ? JSON.stringify(value) : String(value);
}
