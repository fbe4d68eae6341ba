// The place after the last chunk: what comes next. Idle it invites a plan line; while a chunk forms, words arrive, then steps.
import { el, setAttr, setText } from "./dom.js";
import { busy, formingHere, planSource } from "./store.js";

/** Build the slot's two parts. Gives {line, body, update(state), place(axis)}; a click on either is the caller's. */
export function makeSlot() {
  const text = el("span", { class: "slot-text" });
  const line = el("div", { class: "slot-line" }, text, el("i", { class: "caret", "aria-hidden": "true" }));
  const pictures = [0, 1, 2, 3].map(() => el("img", { alt: "", hidden: true, draggable: "false" }));
  const words = el("span", { class: "slot-words" });
  const fill = el("i");
  const meter = el("div", { class: "bar" }, fill);
  const body = el(
    "button",
    { type: "button", class: "slot-body", tabindex: "-1" },
    el("span", { class: "slot-pictures" }, pictures),
    words,
    meter,
  );

  function update(state) {
    const forming = formingHere(state);
    const made = state.path.length;
    const planned = state.planned[made];
    const writing = Boolean(forming) && !forming.begun;
    const said = forming
      ? (forming.line ?? (forming.text || (forming.begun ? forming.plan || inForce(state) : "")))
      : planned || "";
    const source = forming
      ? forming.source || (forming.line == null && forming.begun ? planSource(state, made - 1) : "model")
      : "person";
    setAttr(
      line,
      "class",
      `slot-line ${said ? source || "start" : "empty"}${forming ? " forming" : planned ? " planned" : ""}${writing ? " writing" : ""}`,
    );
    setText(text, said || (forming ? "" : busy(state) ? "…" : "Next plan line"));
    setAttr(body, "aria-label", forming ? `Next: chunk ${made + 1}, being made` : `Next: chunk ${made + 1}, not made yet`);
    setText(words, slotWords(state, forming, made));
    meter.hidden = !forming?.begun;
    fill.style.width = forming?.steps ? `${(forming.step / forming.steps) * 100}%` : "0%";
    pictures.forEach((image, k) => {
      const url = document.hidden ? null : forming?.preview?.[k];
      if (url) setAttr(image, "src", url);
      image.hidden = !url;
    });
    setAttr(body, "class", `slot-body${forming ? " forming" : ""}${state.selected === made ? " chosen" : ""}`);
    setAttr(body, "aria-current", state.selected === made ? "true" : null);
  }

  function place(axis) {
    for (const part of [line, body]) {
      part.style.left = `${axis.end}px`;
      part.style.width = `${axis.next}px`;
    }
  }
  return { line, body, update, place };
}

function inForce(state) {
  return state.path.length ? state.path[state.path.length - 1].plan : "";
}

function slotWords(state, forming, made) {
  if (forming?.preview?.length) return "";
  if (forming?.begun) return "Drawing";
  if (forming) return "Writing";
  if (busy(state)) return "";
  return made ? `Chunk ${made + 1}` : "First chunk";
}
