// facts.js: the numbers behind a finished chunk, with the seed to copy; and the project's own when there is no chunk yet.
import { button, el, setAttr, setText } from "./dom.js";
import { attempt, toast } from "./toast.js";

const number = (value) => (value == null ? "–" : String(value));

const ROWS = [
  ["Seed", (c) => number(c.seed)],
  ["Guidance", (c) => (c.guidance === 1 ? "1 (off)" : number(c.guidance))],
  ["Steps", (c) => number(c.steps)],
  ["Temperature", (c) => number(c.temperature)],
  ["Top p", (c) => number(c.top_p)],
  ["Time taken", (c) => (c.seconds == null ? "–" : `${c.seconds.toFixed(2)} s`)],
];

/** Build the list inside `root`; `show(target)` fills it. */
export function mountFacts(root, store) {
  const values = ROWS.map(() => el("span", { class: "num" }));
  const copy = button("Copy seed", () => attempt(copyText(values[0].textContent)), {
    icon: "copy",
    iconOnly: true,
    class: "quiet small",
  });
  root.append(
    el(
      "details",
      { class: "fold", open: true },
      el("summary", { class: "label", text: "Details" }),
      el(
        "dl",
        { class: "facts" },
        ROWS.map(([label], i) =>
          el("div", { class: "fact" }, el("dt", { text: label }), el("dd", {}, values[i], i ? null : copy)),
        ),
      ),
    ),
  );
  return {
    show({ chunk }) {
      const source = chunk || { ...store.state.project.settings, seconds: null };
      ROWS.forEach(([, value], i) => setText(values[i], value(source)));
      setAttr(copy, "disabled", values[0].textContent === "–");
    },
  };
}

async function copyText(text) {
  if (navigator.clipboard && window.isSecureContext) {
    await navigator.clipboard.writeText(text);
  } else {
    // over plain HTTP from another device the clipboard is closed to scripts; a selection still works
    const area = el("textarea", { class: "sr", readOnly: true });
    area.value = text;
    document.querySelector("[data-testid=studio]").append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    if (!done) throw new Error("The browser did not allow copying. Select the seed and copy it by hand.");
  }
  toast("Seed copied.");
}
