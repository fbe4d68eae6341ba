// Short messages at the bottom of the page, and `attempt`, which shows a failed command as one.
import { button, el } from "./dom.js";

const SECONDS = { info: 5, warning: 8, error: 12 };
const MOST = 4;
let place = null;

/** Make the place for toasts inside the studio's root element; called once by main.js. */
export function mountToasts(root) {
  place = el("div", { class: "toasts", role: "status", "aria-live": "polite", "aria-label": "Messages" });
  root.append(place);
  return place;
}

/**
 * Show a message. level: "info" | "warning" | "error". `action`: {label, run} adds a button (such as Undo).
 * The same text is not stacked: it starts its time anew. Returns a function that takes the toast away.
 */
export function toast(text, level = "info", action = null) {
  if (!place) return () => {};
  for (const old of place.children) if (old.dataset.text === text) old.remove();
  while (place.children.length >= MOST) place.firstElementChild.remove();
  const node = el("div", { class: `toast ${level}`, data: { text } }, el("span", { class: "grow", text }));
  const close = () => node.remove();
  if (action) {
    node.append(
      button(
        action.label,
        () => {
          close();
          action.run();
        },
        { class: "quiet" },
      ),
    );
  }
  node.append(button("Dismiss", close, { icon: "close", iconOnly: true, class: "quiet" }));
  let timer = setTimeout(close, SECONDS[level] * 1000);
  node.addEventListener("pointerenter", () => clearTimeout(timer));
  node.addEventListener("pointerleave", () => {
    timer = setTimeout(close, 3000);
  });
  topmost().append(node);
  return close;
}

/** Await a command; when it fails show its message and give undefined, so that a caller can go on quietly. */
export async function attempt(promise) {
  try {
    return await promise;
  } catch (error) {
    toast(error.message || "That did not work. Try again.", "error");
    return undefined;
  }
}

/** A modal dialog covers everything outside it, so toasts move into the open one. */
function topmost() {
  const open = [...document.querySelectorAll("dialog[open]")].pop();
  const home = open || place.closest(".tv") || document.body;
  if (place.parentElement !== home) {
    home.append(place);
    open?.addEventListener("close", () => document.querySelector(".tv")?.append(place), { once: true });
  }
  return place;
}
