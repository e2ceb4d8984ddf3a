// The service's API, as the dashboard calls it. The token stays in this tab's session storage.

const PATIENCE_MS = 10000;

export class Refused extends Error {
  constructor(status, detail, problem = null) {
    super(detail);
    this.status = status;
    this.problem = problem;
  }
}

export class Unreachable extends Error {
  constructor() {
    super("The service does not answer. Trying again …");
  }
}

export const token = {
  get: () => sessionStorage.getItem("token") || "",
  set: (value) => sessionStorage.setItem("token", value),
  forget: () => sessionStorage.removeItem("token"),
};

export async function call(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, {...options, headers: {...options.headers, Authorization: `Bearer ${token.get()}`}});
  } catch (error) {
    if (options.signal?.aborted && options.signal.reason?.name !== "TimeoutError") throw error;
    throw new Unreachable();
  }
  if (answer.ok) return answer;
  let problem = null;
  try {
    problem = await answer.json();
  } catch {
    // not one of the service's own answers
  }
  throw new Refused(answer.status, problem?.detail || answer.statusText || `The service answered ${answer.status}.`, problem);
}

/** The signal of one request: a service that hangs is one that does not answer. */
export function patient(signal) {
  const late = AbortSignal.timeout(PATIENCE_MS);
  return signal ? AbortSignal.any([signal, late]) : late;
}

export async function json(path, {signal, ...options} = {}) {
  const answer = await call(path, {...options, signal: patient(signal)});
  return answer.status === 204 ? null : answer.json();
}

/** One page of a list: the query holds what is not empty. */
export function list(path, query, signal) {
  const wanted = Object.entries(query).filter(([, value]) => value);
  return json(`${path}?${new URLSearchParams(wanted)}`, {signal});
}

export function send(method, path, body) {
  const headers = body === undefined ? {} : {"Content-Type": "application/json"};
  return json(path, {method, headers, body: body === undefined ? undefined : JSON.stringify(body)});
}

/** Calls `tell` for each batch of events of a job, until the job has ended or the signal says so.
 *  EventSource cannot send the token, so the stream is read by hand. */
export async function watch(id, signal, tell) {
  let last = "";
  for (;;) {
    const headers = last ? {"Last-Event-ID": last} : {};
    const answer = await call(`/v1/jobs/${id}/events`, {signal, headers});
    if (answer.status === 204) return;
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const {value, done} = await reader.read();
      if (done) break;
      text += value;
      const blocks = text.split("\n\n");
      text = blocks.pop();
      const ids = blocks.map((block) => /^id: (\d+)$/m.exec(block)).filter(Boolean);
      if (ids.length) {
        last = ids.at(-1)[1];
        tell();
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

/** What the token may do: its scopes, asked for once. */
let scopes = null;
export async function learnScopes(signal) {
  scopes ??= (await json("/v1/whoami", {signal})).scopes;
}
export const forgetScopes = () => { scopes = null; };
export const may = (scope) => scopes === null || scopes.includes(scope) || scopes.includes("admin");
