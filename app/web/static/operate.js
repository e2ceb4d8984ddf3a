// What an operator looks at: workers, tokens, the audit log.

import {empty, make, older, table} from "./element.js";
import {jobLink, state, when} from "./jobs.js";
import {json, list, send} from "./service.js";
import {exactly, number} from "./text.js";

const SCOPES = ["read", "submit", "predict", "admin"];

const WORKERS = [
  {title: "Worker", cell: (one) => one.name},
  {title: "State", cell: (one) => state(one.alive ? "ALIVE" : "LOST"), fixed: true},
  {title: "Queues", cell: (one) => one.queues.join(", ")},
  {title: "Slots", cell: (one) => number(one.slots), number: true, wide: true},
  {title: "Devices", cell: (one) => one.devices.join(", "), wide: true},
  {title: "Jobs", cell: (one) => (one.jobs.length ? one.jobs.map((job) => make("div", {}, jobLink(job))) : make("span", {class: "quiet"}, "idle"))},
  {title: "Last report", cell: (one) => when(one.seen_at), fixed: true},
  {title: "Release", cell: (one) => one.version, wide: true},
];

export const workers = {
  title: () => "Workers",
  section: "workers",
  every: 3000,
  async load(_, __, signal) {
    const {workers: found} = await json("/v1/workers", {signal});
    return [
      make("h1", {}, "Workers"),
      found.length ? table("Workers", WORKERS, found, (one) => one.name) : empty("No worker has reported. Jobs wait until one does."),
    ];
  },
};

const TOKENS = [
  {title: "Token", cell: (one) => one.name},
  {title: "Scopes", cell: (one) => one.scopes.join(", ")},
  {title: "Made", cell: (one) => when(one.created_at), fixed: true},
  {title: "Change", cell: (one) => (one.revoked_at ? make("span", {class: "quiet"}, "revoked ", when(one.revoked_at)) :
    make("button", {"data-action": "revoke", "data-token": one.id, "data-name": one.name, class: "danger", "aria-label": `Revoke ${one.name}`}, "Revoke")), fixed: true},
];
/** The secret of the token that was just made; shown until the view is left. */
let made = null;

export const tokens = {
  title: () => "Tokens",
  section: "tokens",
  every: 0,
  async load(_, query, signal) {
    const {tokens: found} = await json("/v1/tokens", {signal});
    const shown = made;
    return [
      make("h1", {}, "Tokens"),
      make("form", {"data-form": "token", class: "fields", "data-key": "new"},
        make("div", {}, make("label", {for: "name"}, "New token for"), make("input", {id: "name", name: "name", required: true, autocomplete: "off"})),
        make("fieldset", {}, make("legend", {}, "It may"), SCOPES.map((scope) =>
          make("label", {class: "check"}, make("input", {type: "checkbox", name: "scopes", value: scope, checked: scope === "read"}), ` ${scope}`))),
        make("div", {class: "row"}, make("button", {class: "primary"}, "Make token"))),
      shown ? make("p", {class: "box note", role: "status", "data-key": "secret"}, `The secret of ${shown.name}, shown this once: `, make("code", {}, shown.token)) : "",
      table("Tokens", TOKENS, found, (one) => one.id),
      make("h2", {}, "Audit"),
      ...(await audit(query, signal)),
    ];
  },
};

const AUDIT = [
  {title: "When", cell: (one) => make("time", {datetime: one.at}, exactly(one.at)), fixed: true},
  {title: "Token", cell: (one) => one.token_id ?? "", wide: true},
  {title: "Action", cell: (one) => one.action},
  {title: "Target", cell: (one) => one.target},
];

async function audit(query, signal) {
  const found = await list("/v1/audit", {page_size: 25, page_token: query.get("page_token")}, signal);
  return [
    found.entries.length ? table("Audit", AUDIT, found.entries, (one) => String(one.id)) : empty("Nothing was changed yet."),
    older("tokens", found),
  ];
}

export async function makeToken(form) {
  const given = new FormData(form);
  made = await send("POST", "/v1/tokens", {name: given.get("name"), scopes: given.getAll("scopes")});
  form.reset();
}

export const forgetSecret = () => { made = null; };

export const revoke = ({token, name}) => confirm(`Revoke the token ${name}? Its holder is refused from then on.`) && send("DELETE", `/v1/tokens/${token}`);
