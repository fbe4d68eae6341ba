// suggestions.js: three other next actions from the text tower as buttons; a click hands the line on, nothing is sent by itself.
import { el, setAttr } from "./dom.js";

/** Fill `root` on demand. `ask()` → promise of {lines}, `use(line)` takes one, `trigger` is the button that is busy meanwhile. */
export function mountSuggestions(root, { ask, use, trigger }) {
  let asked = 0; // only the newest question may answer
  setAttr(root, "aria-live", "polite");

  const clear = () => {
    asked += 1;
    root.replaceChildren();
    setAttr(trigger, "aria-busy", null);
  };

  const load = async () => {
    const mine = ++asked;
    setAttr(trigger, "aria-busy", "true");
    root.replaceChildren(
      el("span", { class: "sr", text: "The model is thinking of other lines." }),
      ...[74, 58, 66].map((width) =>
        el("span", { class: "suggestion waiting", "aria-hidden": "true", style: { "--w": `${width}%` } }),
      ),
    );
    try {
      const { lines } = await ask();
      if (mine === asked) offer([...new Set(lines || [])]);
    } catch (error) {
      if (mine === asked) root.replaceChildren(el("p", { class: "problem", text: error.message }));
    } finally {
      if (mine === asked) setAttr(trigger, "aria-busy", null);
    }
  };

  const offer = (lines) => {
    if (!lines.length) {
      root.replaceChildren(
        el("p", { class: "hint", text: "Nothing else came to the model's mind here. Ask again, or write a line." }),
      );
      return;
    }
    root.replaceChildren(
      ...lines.map((line) =>
        el(
          "button",
          { class: "suggestion", type: "button", title: "Use this line", on: { click: () => use(line) } },
          el("span", { class: "dot model" }),
          el("span", { class: "grow", text: line, dir: "auto" }),
        ),
      ),
    );
  };

  return { load, clear };
}
