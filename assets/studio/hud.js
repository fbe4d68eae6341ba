// hud.js: what lies over the stage in drive mode: keys and what is held, the line as it will be written, pads for fingers. Sends nothing.
import { button, el, setAttr, setText } from "./dom.js";
import { WEAPONS } from "./grammar.js";

/** [control, key cap, word] by block; the same blocks are pads for fingers. */
const MOVE = [
  ["forward", "W", "Forward"],
  ["left", "A", "Strafe left"],
  ["back", "S", "Back"],
  ["right", "D", "Strafe right"],
];
const AIM = [
  ["look_up", "↑", "Look up"],
  ["turn_left", "←", "Turn left"],
  ["look_down", "↓", "Look down"],
  ["turn_right", "→", "Turn right"],
];
const ACT = [
  ["jump", "Space", "Jump"],
  ["crouch", "C", "Crouch"],
  ["use", "E", "Use"],
  ["fire", "F", "Fire"],
];

/**
 * Build it. `hold(source, control)` and `release(source)` are called for mouse and fingers, `run(on)` for the switch,
 * `leave()` for the way out.
 * Returns {node, show(held, line, running)}.
 */
export function makeHud({ hold, release, run, leave }) {
  const caps = new Map();
  const cap = ([control, key, word]) => {
    const node = el(
      "button",
      { class: "cap", type: "button", tabIndex: -1, "aria-label": word, title: word, data: { control } },
      el("span", { class: "cap-key", text: key }),
      el("span", { class: "cap-word", text: word.replace("Strafe ", "").replace(/^(Turn|Look) /, "") }),
    );
    holdable(node, control, hold, release);
    caps.set(control, node);
    return node;
  };
  const line = el("p", { class: "hud-line", "aria-live": "off" });
  const pace = el(
    "button",
    { class: "cap cap-pace", type: "button", tabIndex: -1, "aria-pressed": "true", title: "Run; hold Shift to walk" },
    el("span", { class: "cap-key", text: "Shift" }),
    el("span", { class: "cap-word", text: "Run" }),
  );
  pace.addEventListener("click", () => run(pace.getAttribute("aria-pressed") !== "true"));
  const weapons = el(
    "div",
    { class: "caps-weapons", role: "group", "aria-label": "Weapons" },
    WEAPONS.map((name, i) => cap([`weapon_${i + 1}`, String(i + 1), name])),
  );
  const node = el(
    "div",
    {
      class: "hud",
      tabIndex: -1,
      role: "group",
      "aria-label": "Drive controls: W A S D to move, arrows to turn and look, Escape to leave",
      hidden: true,
    },
    el("div", { class: "hud-top" }, button("Leave drive mode", leave, { class: "hud-leave", title: "Esc" })),
    el(
      "div",
      { class: "hud-bottom" },
      el(
        "div",
        { class: "caps-cross", role: "group", "aria-label": "Move" },
        MOVE.map(cap),
        el("span", { class: "caps-name", "aria-hidden": "true", text: "Move" }),
      ),
      el("div", { class: "hud-middle" }, line, el("div", { class: "caps-row" }, pace, ACT.map(cap)), weapons),
      el(
        "div",
        { class: "caps-cross", role: "group", "aria-label": "Turn and look" },
        AIM.map(cap),
        el("span", { class: "caps-name", "aria-hidden": "true", text: "Look" }),
      ),
    ),
  );
  holdable(
    node,
    "fire",
    hold,
    release,
    (event) => event.target === node || event.target.matches(".hud-top, .hud-bottom, .hud-middle"),
  );
  node.addEventListener("contextmenu", (event) => event.preventDefault());
  return {
    node,
    show(held, text, running) {
      for (const [control, each] of caps) setAttr(each, "data-held", held.has(control) ? "" : null);
      setAttr(pace, "aria-pressed", String(running));
      setText(line, text);
    },
  };
}

/** Holds `control` for as long as a pointer is down on `node`; every finger counts for itself. */
function holdable(node, control, hold, release, applies = () => true) {
  node.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !applies(event)) return;
    event.preventDefault();
    node.setPointerCapture?.(event.pointerId);
    hold(`pointer-${event.pointerId}`, control);
  });
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
    node.addEventListener(end, (event) => release(`pointer-${event.pointerId}`));
  }
}
