// intent.js: the optional field for what should happen over the next seconds; the model writes the plan lines from it.
import { el, setAttr } from "./dom.js";
import { INTENT, MAX_LENGTH, intentRow } from "./grammar.js";

const EXAMPLE = "turn right, then shoot";
const BOTH = "There is a new plan line and a new intent here. Leave one of them out: with an intent the model writes the line.";

/**
 * The field. `drafts` keeps what is typed, `target()` gives the place it is about (its `intent` is what stands there already),
 * `edited` is called whenever it changes. Gives {node, box, show(), row(line), objection(line), typed(), unsent(), settle(key)}.
 */
export function mountIntent({ drafts, target, edited }) {
  const box = el("input", {
    class: "input",
    id: "tv2tv-intent",
    type: "text",
    placeholder: `e.g. ${EXAMPLE}`,
    "aria-describedby": "tv2tv-intent-help",
    maxlength: String(MAX_LENGTH - INTENT.length),
    spellcheck: "false",
    autocomplete: "off",
  });
  const help = "What should happen over the next seconds, in your words. The model writes the plan lines from it.";
  const node = el(
    "div",
    { class: "intent-field" },
    el("label", { class: "label", for: "tv2tv-intent", text: "Intent (optional)" }),
    box,
    el("p", { class: "hint", id: "tv2tv-intent-help", text: help }),
  );
  const key = () => `${target().key}:intent`;
  const text = () => box.value.replace(/\s+/g, " ").trim();
  const isNew = () => text() !== target().intent;
  box.addEventListener("input", () => {
    drafts.set(key(), isNew() ? box.value : undefined);
    edited();
  });

  return {
    node,
    box,
    /** Show what stands at the target, or what was typed for it. */
    show() {
      const value = drafts.get(key()) ?? target().intent;
      if (box.value !== value) box.value = value;
      setAttr(box, "aria-invalid", null);
    },
    /** The row to send when `line` is in the other field: the intent, unless a plan line was written in its stead. */
    row: (line) => (text() && (isNew() || line === target().base) ? intentRow(text()) : line),
    /** Why the two fields cannot be sent together, or "". */
    objection: (line) => (text() && isNew() && line.trim() && line !== target().base ? BOTH : ""),
    /** Whether something is typed here that was not sent yet. */
    typed: () => drafts.has(key()),
    /** What is typed here and not sent yet, as a suggestion takes it; it replaces what stands there. */
    unsent: () => (drafts.has(key()) ? { intent: text() } : {}),
    /** What was typed has been sent from the place called `sent`. */
    settle: (sent) => drafts.set(`${sent}:intent`, undefined),
  };
}
