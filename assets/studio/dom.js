// Small helpers that make and update elements; text always goes in as text, never as markup.

/**
 * Make an element. Props: `class`, `text`, `on: {event: fn}`, `style: {name: value}` (custom properties too), `data: {key: value}`;
 * names with "-" and anything the element has no property for become attributes; null, undefined and false are left out.
 * Children: nodes, strings, numbers, nested arrays; null and false are left out.
 */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  setProps(node, props || {});
  append(node, children);
  return node;
}

/** Apply props (see `el`) to an element that is there already. */
export function setProps(node, props) {
  for (const [name, value] of Object.entries(props)) {
    if (name === "class") node.className = value || "";
    else if (name === "text") setText(node, value);
    else if (name === "on") for (const [type, fn] of Object.entries(value)) node.addEventListener(type, fn);
    else if (name === "style") for (const [key, v] of Object.entries(value)) node.style.setProperty(key, v);
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name in node && !name.includes("-") && typeof value !== "string" && value != null) node[name] = value;
    else setAttr(node, name, value);
  }
}

/** Set or remove one attribute, touching the document only when it changes. `true` gives an empty attribute. */
export function setAttr(node, name, value) {
  if (value == null || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
  } else {
    const text = value === true && !name.startsWith("aria-") ? "" : String(value);
    if (node.getAttribute(name) !== text) node.setAttribute(name, text);
  }
}

/** Set the text of an element, touching the document only when it changes. */
export function setText(node, text) {
  const wanted = text == null ? "" : String(text);
  if (node.textContent !== wanted) node.textContent = wanted;
}

function append(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child != null && child !== false) node.append(child);
  }
}

/**
 * Keep the children of `parent` equal to `items`, reusing one element per key, so that focus, typing and images survive.
 * keyOf(item, i) → string; create(item) → element; update(element, item, i) is called for new and kept ones alike.
 */
export function keyedList(parent, keyOf, create, update) {
  const nodes = new Map();
  return function render(items) {
    const seen = new Set();
    let place = parent.firstElementChild;
    items.forEach((item, i) => {
      const key = keyOf(item, i);
      seen.add(key);
      let node = nodes.get(key);
      if (!node) nodes.set(key, (node = create(item)));
      if (update) update(node, item, i);
      if (node === place) place = place.nextElementSibling;
      else parent.insertBefore(node, place);
    });
    for (const [key, node] of nodes) {
      if (!seen.has(key)) {
        node.remove();
        nodes.delete(key);
      }
    }
    return nodes;
  };
}

/** A button. `label` is its text, or with `iconOnly` its accessible name and tooltip. Further options are props of `el`. */
export function button(label, onClick, { icon: name = null, iconOnly = false, class: cls = "", ...props } = {}) {
  return el(
    "button",
    {
      type: "button",
      class: `btn ${iconOnly ? "icon " : ""}${cls}`.trim(),
      "aria-label": iconOnly ? label : null,
      title: iconOnly ? label : null,
      on: { click: onClick },
      ...props,
    },
    name ? icon(name) : null,
    iconOnly ? null : label,
  );
}

const SVG = "http://www.w3.org/2000/svg";
// 16 x 16 outlines; names that start with "=" are filled
const SHAPES = {
  play: "=M4.5 2.8v10.4a.6.6 0 0 0 .9.5l8.2-5.2a.6.6 0 0 0 0-1L5.4 2.3a.6.6 0 0 0-.9.5z",
  pause: "=M4 2.5h3v11H4zM9 2.5h3v11H9z",
  stop: "=M3.5 3.5h9v9h-9z",
  prev: "M10.5 3.5 6 8l4.5 4.5",
  next: "M5.5 3.5 10 8l-4.5 4.5",
  first: "M12 3.5 7.5 8l4.5 4.5M4.5 3.5v9",
  last: "M4 3.5 8.5 8 4 12.5M11.5 3.5v9",
  loop: "M11 2.5 13.5 5 11 7.5M13.5 5H5a2.5 2.5 0 0 0-2.5 2.5v.5M5 13.5 2.5 11 5 8.5M2.5 11H11a2.5 2.5 0 0 0 2.5-2.5V8",
  undo: "M6 3 2.5 6.5 6 10M2.5 6.5h7a4 4 0 0 1 0 8H7",
  redo: "M10 3l3.5 3.5L10 10M13.5 6.5h-7a4 4 0 0 0 0 8H9",
  help: "M8 14.2A6.2 6.2 0 1 0 8 1.8a6.2 6.2 0 0 0 0 12.4zM6.2 6.2A1.9 1.9 0 1 1 8.4 8c-.3.1-.4.3-.4.6v.6M8 11.4v.1",
  sun: "M8 10.8a2.8 2.8 0 1 0 0-5.6 2.8 2.8 0 0 0 0 5.6zM8 1.2v1.4M8 13.4v1.4M1.2 8h1.4M13.4 8h1.4M3.2 3.2l1 1M11.8 11.8l1 1M3.2 12.8l1-1M11.8 4.2l1-1",
  moon: "M13.3 9.6A5.8 5.8 0 0 1 6.4 2.7a5.8 5.8 0 1 0 6.9 6.9z",
  menu: "M2.5 4.5h11M2.5 8h11M2.5 11.5h11",
  more: "=M3.5 6.7a1.3 1.3 0 1 0 0 2.6 1.3 1.3 0 0 0 0-2.6zM8 6.7a1.3 1.3 0 1 0 0 2.6 1.3 1.3 0 0 0 0-2.6zM12.5 6.7a1.3 1.3 0 1 0 0 2.6 1.3 1.3 0 0 0 0-2.6z",
  down: "M4 6.2 8 10l4-3.8",
  close: "M4 4l8 8M12 4l-8 8",
  smooth: "M1.5 9.5c1.8-5 3.8-5 6.5-1.5s4.7 3.5 6.5-1.5",
  sharpen: "M8 2 9.7 6.3 14 8 9.7 9.7 8 14 6.3 9.7 2 8 6.3 6.3z",
  plus: "M8 3v10M3 8h10",
  minus: "M3 8h10",
  fit: "M2 5V2.5h3M14 5V2.5h-3M2 11v2.5h3M14 11v2.5h-3M4.5 8h7",
  follow: "M2.5 8h8M7.5 5l3 3-3 3M13.5 3v10",
  download: "M8 2.5v8M4.8 7.5 8 10.7l3.2-3.2M2.5 13.5h11",
  trash: "M2.5 4.2h11M6 4V2.5h4V4M4 4.5l.6 9h6.8l.6-9M6.8 7v4M9.2 7v4",
  pencil: "M10.8 2.8l2.4 2.4-7.6 7.6-3 .6.6-3z",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  branch:
    "M4.5 5v6M4.5 5a1.6 1.6 0 1 0 0-3.2 1.6 1.6 0 0 0 0 3.2zM4.5 14.2a1.6 1.6 0 1 0 0-3.2 1.6 1.6 0 0 0 0 3.2zM11.5 6.6a1.6 1.6 0 1 0 0-3.2 1.6 1.6 0 0 0 0 3.2zM11.5 6.6c0 2.4-2 3-4 3.4-1.7.3-3 .6-3 1",
  compare: "M2.5 3h11v10h-11zM8 3v10",
  gear: "M8 10.2a2.2 2.2 0 1 0 0-4.4 2.2 2.2 0 0 0 0 4.4zM8 1.8v1.7M8 12.5v1.7M1.8 8h1.7M12.5 8h1.7M3.6 3.6l1.2 1.2M11.2 11.2l1.2 1.2M3.6 12.4l1.2-1.2M11.2 4.8l1.2-1.2",
  wand: "M3 13l7-7M9 3.5V2M9 10V8.5M12.5 6H14M4.5 6H6M11.5 3.5l1-1M11.5 8.5l1 1",
  retry: "M13 8a5 5 0 1 1-1.6-3.7L13 5.8M13 2.5v3.3H9.7",
  game: "M4.5 5h7a3 3 0 0 1 3 3v1.5a2 2 0 0 1-3.7 1L10 9.5H6l-.8 1a2 2 0 0 1-3.7-1V8a3 3 0 0 1 3-3zM4.8 6.7v1.6M4 7.5h1.6M11 7.5h.1",
};

/** One of the studio's icons as an SVG element, hidden from screen readers (name the control instead). */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  const shape = SHAPES[name] || SHAPES.more;
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", shape.startsWith("=") ? "svg solid" : "svg");
  path.setAttribute("d", shape.replace(/^=/, ""));
  svg.append(path);
  return svg;
}

/** Swap the icon inside a button made with `button(…, {icon})`. */
export function setIcon(node, name) {
  if (node.dataset.icon === name) return;
  node.dataset.icon = name;
  node.querySelector("svg")?.replaceWith(icon(name));
}
