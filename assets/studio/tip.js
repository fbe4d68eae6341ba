// tip.js: the two lines that tell a newcomer how to change a moment; shown until they are dismissed or were followed once.
import { button, el, setAttr } from "./dom.js";

const KEY = "tv2tv.tip.rewrite";

/** {node, done}: the tip, and what to call when its reader has done what it says. */
export function makeTip() {
  const node = el(
    "div",
    { class: "tip", role: "note", hidden: seen() },
    el("p", { class: "grow" }, "To change a moment, choose its chunk and rewrite its line. The old future stays under Takes."),
    button("Dismiss this tip", () => done(), { icon: "close", iconOnly: true, class: "quiet small" }),
  );
  const done = () => {
    setAttr(node, "hidden", true);
    try {
      localStorage.setItem(KEY, "seen");
    } catch {
      return; // storage is off: the tip comes back with the next visit
    }
  };
  return { node, done };
}

function seen() {
  try {
    return localStorage.getItem(KEY) === "seen";
  } catch {
    return false;
  }
}
