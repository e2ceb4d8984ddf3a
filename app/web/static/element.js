// Elements and how a new tree replaces the one that is shown. Text from the service becomes text nodes only, so nothing
// in it can act.

const SVG = "http://www.w3.org/2000/svg";
const DRAWN = new Set(["svg", "g", "path", "line", "circle", "rect", "text"]);

/** An element; `svg:a` is the link of a drawing. Attributes that are null or false are left out; children are nodes, strings, or lists of them. */
export function make(tag, attributes = {}, ...children) {
  const drawn = tag.startsWith("svg:") ? tag.slice(4) : DRAWN.has(tag) && tag;
  const made = drawn ? document.createElementNS(SVG, drawn) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

/** Makes the children of `parent` like `fresh`, keeping every element that is there already, so that focus, selection,
 *  scroll positions and opened details stay. Children are paired by `data-key`, else by their place. */
export function sync(parent, fresh) {
  const keyed = new Map([...parent.children].filter((child) => child.dataset.key).map((child) => [child.dataset.key, child]));
  fresh.forEach((node, place) => {
    const key = node.dataset?.key;
    const there = parent.childNodes[place];
    const old = key ? keyed.get(key) : there?.dataset?.key ? undefined : there;
    if (old && old.nodeName === node.nodeName) {
      if (old !== there) parent.insertBefore(old, there ?? null);
      update(old, node);
    } else {
      parent.insertBefore(node, there ?? null);
    }
  });
  while (parent.childNodes.length > fresh.length) parent.lastChild.remove();
}

function update(old, node) {
  if (old.isEqualNode(node)) return;
  if (old.nodeType === Node.TEXT_NODE) {
    old.data = node.data;
    return;
  }
  for (const {name, value} of node.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const {name} of [...old.attributes]) {
    if (!node.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  }
  if (!node.hasAttribute("data-own")) sync(old, [...node.childNodes]); // else a library draws what is in it
}

/** A table. Columns: {title, cell(item), number, wide (left out on narrow screens)}. */
export function table(name, columns, items, key) {
  const kind = (column) => [column.number && "number", column.wide && "wide", column.fixed && "fixed"].filter(Boolean).join(" ") || null;
  const head = columns.map((column) => make("th", {scope: "col", class: kind(column)}, column.head ?? column.title));
  const rows = items.map((item) =>
    make("tr", {"data-key": key(item)}, columns.map((column) => make("td", {class: kind(column)}, column.cell(item) ?? ""))),
  );
  return make(
    "div",
    {class: "scroll", role: "region", "aria-label": name, tabindex: "0"},
    make("table", {}, make("thead", {}, make("tr", {}, head)), make("tbody", {}, rows)),
  );
}

/** A list of names and values. */
export function summary(pairs) {
  const known = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return make("dl", {class: "summary"}, known.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

/** Remarks on a job or a data set; nothing where there is nothing. */
export const warnings = (sentences) =>
  sentences?.length
    ? make("ul", {class: "box note", "aria-label": "Warnings", "data-key": "warnings"}, sentences.map((text) => make("li", {}, text)))
    : "";
export const empty = (...words) => make("p", {class: "empty"}, words);
export const link = (route, text, kind = null) => make("a", {href: `#${route}`, class: kind}, text);

/** A link to the next page of a list, where there is one. */
export const older = (route, {next_page_token: next}) =>
  make("p", {}, next ? link(`${route}?${new URLSearchParams({page_token: next})}`, "More") : "");
