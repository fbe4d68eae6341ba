// help.js: what TV2TV is in four lines, and the cheat sheet of shortcuts.
import { button, el } from "./dom.js";
import { openDialog } from "./dialog.js";

const WHAT = [
  "TV2TV thinks in words, then acts in pixels: it writes a plan line, draws a chunk of four frames, writes the next line …",
  "Pause at any chunk, rewrite what happens next and regenerate from there: the frames before stay as they are, byte for byte.",
  "The old future is kept as a take. Switch between takes, compare two side by side, delete those you do not want.",
  "Everything is saved while it is made, on this computer. Close the page whenever you like: generation goes on.",
];

const MAC = /Mac|iPhone|iPad/.test(navigator.platform);
const CTRL = MAC ? "⌘" : "Ctrl";

const GROUPS = [
  [
    "Play",
    [
      [["Space"], "Play or pause"],
      [["←", "→"], "Chunk before, chunk after"],
      [[",", "."], "Frame back, frame forward"],
      [["Home", "End"], "Start frame, last frame"],
      [["L"], "Loop"],
      [["<", ">"], "Play slower, faster"],
      [["S"], "Smooth the stage"],
      [["H"], "Sharpen the stage"],
    ],
  ],
  [
    "Make",
    [
      [["G"], "Generate"],
      [["P"], "Pause at the next boundary"],
      [["C"], "Continue"],
      [["D"], "Drive mode"],
    ],
  ],
  [
    "Rewrite",
    [
      [["E"], "Edit the plan line"],
      [[CTRL, "Enter"], "Regenerate from here"],
      [["T"], "Another try"],
      [[CTRL, "Z"], "Undo"],
      [[CTRL, "Shift", "Z"], "Redo"],
    ],
  ],
  [
    "Drive",
    [
      [["W", "A", "S", "D"], "Move; Shift walks"],
      [["←", "→", "↑", "↓"], "Turn and look"],
      [["Space", "C"], "Jump, crouch"],
      [["F"], "Fire, or click"],
      [["E"], "Use"],
      [["1", "–", "7"], "Weapon"],
    ],
  ],
  [
    "View",
    [
      [["+", "−"], "Zoom the timeline"],
      [["0"], "The whole clip"],
      [["F2"], "Rename the take"],
      [["?"], "This sheet"],
      [["Esc"], "Close, leave"],
    ],
  ],
];

/** Open the dialog. */
export function openHelp() {
  const keys = (caps) =>
    caps.map((cap) => (cap === "–" ? el("span", { class: "hint", text: "–" }) : el("kbd", { class: "kbd", text: cap })));
  const dialog = openDialog({
    title: "How it works",
    size: "wide",
    actions: [button("Got it", () => dialog.close(), { class: "primary", data: { first: "" } })],
    body: el(
      "div",
      { class: "help" },
      el(
        "ol",
        { class: "help-what" },
        WHAT.map((line) => el("li", { text: line })),
      ),
      el(
        "div",
        { class: "help-keys" },
        GROUPS.map(([name, rows]) =>
          el(
            "section",
            {},
            el("h3", { class: "label", text: name }),
            el(
              "dl",
              {},
              rows.map(([caps, words]) =>
                el("div", { class: "help-row" }, el("dt", {}, keys(caps)), el("dd", { text: words })),
              ),
            ),
          ),
        ),
      ),
    ),
  });
}
