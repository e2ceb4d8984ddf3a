// Uploading a file: dropped on the page or chosen, with its progress, and the file's faults where they are.

import {make} from "./element.js";
import {token} from "./service.js";
import {bytes, number} from "./text.js";

/** What is known of the upload that goes on, or of the last one that failed. */
let upload = null;

/** The part of the page that takes a file. */
export function uploadForm() {
  return make(
    "form",
    {class: "drop", "data-key": "upload", "data-form": "upload", "data-drop": "upload"},
    make("label", {for: "file"}, "Upload a data file"),
    make("p", {class: "quiet"}, "CSV, JSON lines, Parquet or TFRecord, plain, .gz or .zst. Drop it here, or choose it:"),
    make("div", {class: "row"},
      make("input", {id: "file", name: "file", type: "file", required: true}),
      make("button", {"aria-disabled": upload?.going ? "true" : null}, "Upload")),
    progress(),
    faults(),
  );
}

function progress() {
  if (!upload?.going) return "";
  const done = upload.sent >= upload.size;
  return make("p", {"data-key": "progress"},
    make("progress", {max: upload.size, value: upload.sent, "aria-label": "Uploaded"}),
    done ? "Reading the file …" : `${bytes(upload.sent)} of ${bytes(upload.size)}`);
}

function faults() {
  if (!upload?.problem) return "";
  const {detail, errors = []} = upload.problem;
  const places = errors.filter((place) => place.detail !== detail);
  return make("div", {class: "box", role: "alert", "data-key": "faults"},
    make("strong", {}, upload.name), ": ", detail,
    places.length ? make("ul", {}, places.map((place) => make("li", {}, place.pointer ? `${place.pointer}: ` : "", place.detail))) : "");
}

/** Sends the chosen file. `changed` is called as it goes on; the data set's id when it is stored, null when not. */
export function send(file, changed) {
  if (upload?.going) return null;
  upload = {name: file.name, size: file.size, sent: 0, going: true, problem: null};
  changed();
  const body = new FormData();
  body.append("file", file);
  return new Promise((resolve) => {
    const request = new XMLHttpRequest(); // fetch does not report the progress of an upload
    request.open("POST", "/v1/datasets");
    request.setRequestHeader("Authorization", `Bearer ${token.get()}`);
    request.upload.addEventListener("progress", (event) => {
      upload.sent = event.loaded;
      changed();
    });
    request.addEventListener("loadend", () => {
      const answer = read(request);
      upload = request.status === 201 ? null : {...upload, going: false, problem: answer};
      changed();
      resolve(request.status === 201 ? answer.id : null);
    });
    request.send(body);
  });
}

function read(request) {
  try {
    return JSON.parse(request.responseText);
  } catch {
    return {detail: request.status ? `The service answered ${number(request.status)}.` : "The service does not answer."};
  }
}
