// The optimizer of a new training: which the service knows, and with which rate and for how many steps one begins.

const RATES = {Adagrad: 0.05, Ftrl: 0.2, SGD: 0.01, GradientDescent: 0.01, Adadelta: 1, Adafactor: 0.01, Adam: 0.003, Lion: 0.0003};
const OTHER_RATE = 0.001;
const EPOCHS = 20, FEWEST_STEPS = 1000, MOST_STEPS = 20000;

export const rateOf = (optimizer) => (optimizer ? String(RATES[optimizer] ?? OTHER_RATE) : "");

/** The optimizer and rate that an estimator begins with. The weights of a linear regressor are as large as its label, so
 *  its rate is too: one step of Adam changes a weight by about the rate. */
export function proposed({estimator, kind}, label) {
  if (estimator === "Baseline") return {optimizer: "", learning_rate: ""};
  if (estimator === "Linear" && kind === "Regressor") {
    const size = Math.max(Math.abs(label?.min ?? 1), Math.abs(label?.max ?? 1));
    return {optimizer: "Adam", learning_rate: String(Number(Math.max(0.01, size / 500).toPrecision(1)))};
  }
  const optimizer = estimator === "Linear" ? "Ftrl" : "Adam";
  return {optimizer, learning_rate: rateOf(optimizer)};
}

/** Steps for some passes over the rows: enough for few rows, an affordable number for many. */
export function stepsFor(rows, batch) {
  const wanted = Math.min(MOST_STEPS, Math.max(FEWEST_STEPS, (EPOCHS * rows) / batch));
  return Number(wanted.toPrecision(2));
}

/** What the schema of an estimator calls its optimizer; of a combined one, that of its network. */
export function argumentName(definitions, estimator) {
  const known = definitions[estimator]?.properties ?? {};
  return ["optimizer", "dnn_optimizer"].find((name) => name in known);
}

/** The fields of an earlier job's optimizer; a rate that is a schedule stays among its other arguments. */
export function earlier(given) {
  if (!given) return {optimizer: "", learning_rate: "", more: {}};
  if (typeof given === "string") return {optimizer: given, learning_rate: "", more: {}};
  const {type, learning_rate: rate, ...others} = given;
  const plain = typeof rate === "number";
  return {optimizer: type, learning_rate: plain ? String(rate) : "", more: {type, ...others, ...(plain || rate === undefined ? {} : {learning_rate: rate})}};
}

/** The optimizer as the request has it; null: the estimator's own. */
export function requested({optimizer, learning_rate: rate, more}) {
  if (!optimizer) return null;
  return {...(more.type === optimizer ? more : {}), type: optimizer, ...(rate === "" ? {} : {learning_rate: Number(rate)})};
}
