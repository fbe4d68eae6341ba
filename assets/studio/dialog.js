// dialog.js: modal dialogs over <dialog>: title, body, actions, focus kept inside and given back; it knows nothing of what it shows.
import { button, el, setText } from "./dom.js";

let serial = 0;
const open = [];

const FOCUSABLE =
  "a[href],button:not(:disabled),input:not(:disabled),select:not(:disabled),textarea:not(:disabled),summary,[tabindex]";

/** Whether a dialog is open now (page-wide shortcuts are off meanwhile). */
export const dialogOpen = () => open.length > 0;

function focusables(node) {
  return [...node.querySelectorAll(FOCUSABLE)].filter((item) => item.tabIndex >= 0 && item.getClientRects().length > 0);
}

/** Tab goes round inside the dialog: the browser's own bars are not part of it. */
function keepFocus(event, node) {
  if (event.key !== "Tab") return;
  const items = focusables(node);
  if (!items.length) return;
  const last = items[items.length - 1];
  const leaving = event.shiftKey ? document.activeElement === items[0] : document.activeElement === last;
  if (!leaving && node.contains(document.activeElement)) return;
  event.preventDefault();
  (event.shiftKey ? last : items[0]).focus();
}

/** A press that both begins and ends outside closes the dialog; a drag out of a field does not. */
function closeOnBackdrop(node, close) {
  let began = false;
  node.addEventListener("pointerdown", (event) => {
    began = event.target === node;
  });
  node.addEventListener("click", (event) => {
    if (began && event.target === node) close();
  });
}

/**
 * Opens a modal dialog and returns {node, status, close, closed}: `status(text, kind)` shows one line in its footer
 * (kind "error" or "info"), `close(value)` closes it, `closed` resolves with that value (undefined for Esc and the cross).
 * `body` is a node or a list of nodes; `actions` a list of buttons for the footer; `size` one of "small", "medium", "large", "wide".
 */
export function openDialog({ title, body, actions = [], size = "medium" }) {
  const id = `tv2tv-dialog-${++serial}`;
  const before = document.activeElement;
  const line = el("p", { class: "dialog-status", role: "status" });
  const cross = button("Close", () => close(), { icon: "close", iconOnly: true, class: "quiet dialog-close" });
  const inside = el("div", { class: "dialog-body" }, body);
  const foot = el("div", { class: "dialog-foot" }, line, el("div", { class: "dialog-actions" }, actions));
  const node = el(
    "dialog",
    { class: `dialog dialog-${size}`, "aria-labelledby": id },
    el(
      "div",
      { class: "dialog-box" },
      el("header", { class: "dialog-head" }, el("h2", { id, class: "title grow", text: title }), cross),
      inside,
      foot,
    ),
  );
  let value;
  let settle;
  const closed = new Promise((resolve) => {
    settle = resolve;
  });
  const close = (result) => {
    value = result;
    if (node.open) node.close();
  };
  closeOnBackdrop(node, close);
  node.addEventListener("keydown", (event) => {
    keepFocus(event, node);
    event.stopPropagation(); // shortcuts of the page rest while a dialog is open
  });
  // a file that misses its place must not replace the page
  for (const type of ["dragover", "drop"]) node.addEventListener(type, (event) => event.preventDefault());
  node.addEventListener("close", () => {
    open.splice(open.indexOf(node), 1);
    queueMicrotask(() => node.remove()); // after other listeners took what is theirs (toasts) out of it
    if (before instanceof HTMLElement && before.isConnected) before.focus({ preventScroll: true });
    settle(value);
  });
  (document.querySelector("[data-testid=studio]") || document.body).append(node);
  open.push(node);
  node.showModal();
  if (!focusables(inside).length) inside.tabIndex = 0; // so that the keyboard can scroll it
  (node.querySelector("[data-first]") || focusables(inside)[0] || cross).focus({ preventScroll: true });
  return { node, close, closed, status: (text, kind = "info") => say(line, text, kind) };
}

/** Shows one line in a status node; kind "error" marks it. */
export function say(node, text, kind = "info") {
  setText(node, text);
  node.dataset.kind = kind;
}

/** Runs `work` with `control` busy; a failure becomes the dialog's error line. Gives the answer, or undefined when it failed. */
export async function busily(control, dialog, work) {
  if (control.getAttribute("aria-busy") === "true") return undefined;
  control.setAttribute("aria-busy", "true");
  dialog.status("");
  try {
    return await work();
  } catch (error) {
    dialog.status(error.message, "error");
    return undefined;
  } finally {
    control.removeAttribute("aria-busy");
  }
}

/** A labelled control: label above, help below. `control` must not have an id yet. */
export function field(label, control, help = null) {
  control.id = `tv2tv-field-${++serial}`;
  const note = help && el("p", { class: "hint", id: `${control.id}-help`, text: help });
  if (note) control.setAttribute("aria-describedby", note.id);
  return el("div", { class: "field" }, el("label", { class: "label", for: control.id, text: label }), control, note);
}

/** A row of choices of which one holds: radio buttons that look like one segmented control. `options`: [[value, label], …]. */
export function segmented(label, options, value, onChange) {
  const name = `tv2tv-choice-${++serial}`;
  return el(
    "fieldset",
    { class: "segmented" },
    el("legend", { class: "label", text: label }),
    el(
      "div",
      { class: "segments" },
      options.map(([each, words]) =>
        el(
          "label",
          {},
          el("input", { type: "radio", name, value: each, checked: each === value, on: { change: () => onChange(each) } }),
          el("span", { text: words }),
        ),
      ),
    ),
  );
}
