// inspector.js: the chosen chunk (or the next one): its plan line to rewrite, who wrote it, other tries, suggestions, facts.
import { button, el, icon, setAttr, setText } from "./dom.js";
import { composer } from "./composer.js";
import { Drafts } from "./drafts.js";
import { mountFacts } from "./facts.js";
import { EXAMPLE, MAX_LENGTH, intentOf } from "./grammar.js";
import { mountIntent } from "./intent.js";
import { mountSuggestions } from "./suggestions.js";
import { plainWords } from "./store.js";
import { planOrigin, target } from "./target.js";
import { makeTip } from "./tip.js";

const HOLDS = [0.5, 1, 2]; // s
const LONG_HOLDS = [2, 4, 8]; // chunks, where a chunk is longer than the shortest of these
const PLAIN_EXAMPLE = "it stops and looks around";

/** Build the inspector inside `root`. */
export function mountInspector(root, { store, commands }) {
  const drafts = new Drafts();
  const view = build();
  let shown = null; // the target (see target.js) that the box shows
  let composing = false; // an input method is in the middle of a character
  let sending = null;

  const state = () => store.state;
  const text = () => view.box.value.replace(/[\r\n]+/g, " ");
  const tip = makeTip();
  view.node.prepend(tip.node);
  const words = composer({
    read: text,
    write: (line) => {
      view.box.value = line;
      typed();
    },
  });
  view.words.append(words.node);
  const intent = mountIntent({ drafts, target: () => shown, edited: () => problem("") });
  const boxes = [view.box, intent.box];
  view.field.append(intent.node);
  const facts = mountFacts(view.facts, store);
  const suggestions = mountSuggestions(view.suggestions, {
    ask: () => commands.suggest({ ...(shown.chunk ? { chunk: shown.chunk.id } : { index: shown.index }), ...intent.unsent() }),
    use: (line) => {
      view.box.value = line;
      typed();
      view.box.focus();
    },
    trigger: view.suggest,
  });

  function typed() {
    const line = text();
    drafts.set(shown.key, line === shown.base ? undefined : line);
    problem("");
    refresh();
  }

  function refresh() {
    const line = text();
    const over = line.length - MAX_LENGTH;
    setText(view.counter, `${line.length.toLocaleString("en-US")} / ${MAX_LENGTH}`);
    setAttr(view.counter, "data-over", over > 0 ? "" : null);
    setAttr(view.dirty, "hidden", !drafts.has(shown.key));
    setAttr(view.revert, "hidden", !drafts.has(shown.key));
    words.refresh();
  }

  function problem(message) {
    setText(view.problem, message);
    setAttr(view.box, "aria-invalid", message ? "true" : null);
  }

  /** Why the line cannot be sent, or "" when it can; what it means is for the server to judge. */
  function objection(line) {
    if (line.length > MAX_LENGTH)
      return `The line has ${line.length.toLocaleString("en-US")} characters; at most ${MAX_LENGTH} are allowed. Shorten it.`;
    if (intent.objection(line)) return intent.objection(line);
    return intent.row(line).trim() || !shown.chunk
      ? ""
      : `The line is empty. Write what happens next, like "${EXAMPLE}", or "stand".`;
  }

  /** Send once: a second click while the answer is on its way is the same wish. */
  function send(work) {
    sending ??= sendNow(work).finally(() => {
      sending = null;
    });
    return sending;
  }

  async function sendNow(work) {
    const { key } = shown;
    const line = text();
    const message = objection(line);
    problem(message);
    if (message) return;
    view.primary.setAttribute("aria-busy", "true");
    try {
      await work(intent.row(line.trim()));
      if (drafts.get(key) === line) drafts.set(key, undefined);
      intent.settle(key);
      show(true);
    } catch (error) {
      if (shown.key === key) problem(error.message);
    } finally {
      view.primary.removeAttribute("aria-busy");
    }
  }

  const heldChunks = () => {
    const { fps, chunk_frames: frames } = state().project;
    return Math.max(1, Math.round((Number(view.hold.value) * fps) / frames));
  };

  function apply() {
    const now = shown;
    if (!now) return null;
    if (now.chunk) {
      return send((line) => commands.regenerate({ chunk: now.chunk.id, line, hold: heldChunks() }).then(tip.done));
    } else {
      return send((line) =>
        commands.plan({
          lines: Object.fromEntries(
            Array.from({ length: heldChunks() }, (_, i) => [now.index + i, (!(i && intentOf(line)) && line) || null]),
          ),
        }),
      );
    }
  }

  function retry() {
    const now = shown;
    if (!now) return;
    if (now.chunk) send(() => commands.retry({ chunk: now.chunk.id }));
    else
      send(async () => {
        await commands.plan({ lines: { [now.index]: null } });
        drafts.set(now.key, undefined);
        intent.settle(now.key);
      });
  }

  /** What is typed moves along when its place becomes a chunk, or when another take begins under the typing. */
  function carry(next) {
    if (!shown || shown.key === next.key) return;
    const here = shown.index === next.index;
    const made = here && !shown.chunk && next.chunk && !shown.next && shown.take === next.take;
    const replaced = (here || (shown.next && next.next)) && boxes.includes(document.activeElement);
    if (!made && !replaced) return;
    for (const field of ["", ":intent"]) {
      const [from, to] = [shown.key + field, next.key + field];
      if (!drafts.has(from) || drafts.has(to)) continue;
      drafts.set(to, drafts.get(from));
      if (!shown.chunk) drafts.set(from, undefined);
    }
  }

  function show(force = false) {
    if (composing) return;
    const next = target(state());
    setAttr(view.node, "data-empty", next ? null : "");
    if (!next) {
      shown = null;
      return;
    }
    carry(next);
    const moved = !shown || shown.key !== next.key;
    const rebased = moved || force || shown.base !== next.base || shown.intent !== next.intent;
    shown = next;
    if (rebased) {
      const line = drafts.get(next.key) ?? next.base;
      if (view.box.value !== line) view.box.value = line;
      intent.show();
      if (moved) {
        problem("");
        suggestions.clear();
      }
      refresh();
    }
    describe(view, next, state());
    facts.show(next);
  }

  view.box.addEventListener("input", typed);
  view.box.addEventListener("compositionstart", () => {
    composing = true;
  });
  view.box.addEventListener("compositionend", () => {
    composing = false;
    typed();
  });
  view.box.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing) return;
    event.preventDefault();
    if (event.ctrlKey || event.metaKey) {
      event.stopPropagation();
      apply();
    }
  });
  intent.box.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing) return;
    event.preventDefault();
    event.stopPropagation();
    apply();
  });
  view.node.addEventListener("focusout", (event) => {
    // a line for the next chunk counts once its writer turns to something else, such as Generate; another window is nothing else
    const leaves = boxes.includes(event.target) && !view.node.contains(event.relatedTarget);
    const { key } = shown || {};
    if (leaves) setTimeout(() => !boxes.includes(document.activeElement) && shown?.key === key && commands.settle());
  });
  commands.settle = async () => {
    if (shown && !shown.chunk && (drafts.has(shown.key) || intent.typed()) && !objection(text())) await apply();
  };
  view.primary.addEventListener("click", apply);
  view.retry.addEventListener("click", retry);
  view.suggest.addEventListener("click", () => shown && suggestions.load());
  view.revert.addEventListener("click", () => {
    drafts.set(shown.key, undefined);
    show(true);
    problem("");
    view.box.focus();
  });
  for (const [node, step] of [
    [view.prev, -1],
    [view.next, 1],
  ]) {
    node.addEventListener("click", () =>
      store.set({ selected: Math.min(Math.max(0, (shown?.index ?? 0) + step), state().path.length) }),
    );
  }
  window.addEventListener("pagehide", () => drafts.save());
  root.append(view.node);
  store.on(["home", "project"], (now) => suit(view, now));
  store.on(["project", "path", "active", "planned", "selected", "forming", "connected"], () => show());
}

function build() {
  const box = el("textarea", {
    class: "input plan-box",
    rows: 3,
    "aria-label": "Plan line",
    "aria-describedby": "tv2tv-plan-count tv2tv-plan-problem",
    spellcheck: "false",
    autocomplete: "off",
  });
  const view = {
    box,
    title: el("h2", { class: "title" }),
    place: el("p", { class: "hint num" }),
    prev: button("Chunk before", null, { icon: "prev", iconOnly: true, class: "quiet" }),
    next: button("Chunk after", null, { icon: "next", iconOnly: true, class: "quiet" }),
    dot: el("span", { class: "dot" }),
    who: el("span", {}),
    counter: el("span", { class: "hint num counter", id: "tv2tv-plan-count" }),
    dirty: el("span", { class: "hint dirty", text: "edited" }),
    revert: el("button", { class: "link", type: "button", text: "revert" }),
    problem: el("p", { class: "problem", id: "tv2tv-plan-problem", role: "alert" }),
    hold: el("select", { class: "input", title: "How long the line holds; then the model decides" }),
    primary: el("button", { class: "btn primary", type: "button" }),
    retry: button("Another try", null, { icon: "retry" }),
    suggest: button("Suggest", null, { icon: "wand" }),
    suggestions: el("div", { class: "suggestions" }),
    words: el("details", { class: "fold", open: true }, el("summary", { class: "label", text: "Words the model knows" })),
    facts: el("div", {}),
  };
  view.hold.id = "tv2tv-plan-hold";
  view.node = el(
    "section",
    { class: "inspector", "aria-label": "Inspector" },
    el("header", { class: "row inspector-head" }, el("div", { class: "grow" }, view.title, view.place), view.prev, view.next),
    (view.strip = el(
      "div",
      { class: "strip", "aria-hidden": "true" },
      Array.from({ length: 4 }, () => el("span", { class: "strip-frame" }, el("img", { alt: "", draggable: false }))),
    )),
    el(
      "div",
      { class: "stack plan-edit" },
      el("p", { class: "row who" }, view.dot, view.who),
      (view.field = el(
        "div",
        { class: "plan-field" },
        el(
          "div",
          { class: "row plan-label" },
          el("span", { class: "label grow", text: "Plan line", "aria-hidden": "true" }),
          view.dirty,
          view.revert,
          view.counter,
        ),
        box,
        view.problem,
      )),
      el("div", { class: "row hold" }, el("label", { class: "label", for: "tv2tv-plan-hold", text: "Hold" }), view.hold),
      el("div", { class: "plan-actions" }, view.primary, view.retry, view.suggest),
      view.suggestions,
    ),
    view.words,
    view.facts,
  );
  return view;
}

/** What depends on the project's model: the words it knows, and for how long a line can hold. */
function suit(view, state) {
  if (!state.project) return;
  const plain = plainWords(state);
  view.words.hidden = plain;
  view.box.placeholder = `e.g. ${plain ? PLAIN_EXAMPLE : EXAMPLE}`;
  const chunk = state.project.chunk_frames / state.project.fps;
  const lengths = chunk > HOLDS[0] ? LONG_HOLDS.map((chunks) => chunks * chunk) : HOLDS;
  if (view.hold.dataset.lengths === String(lengths)) return;
  view.hold.dataset.lengths = String(lengths);
  view.hold.replaceChildren(
    el("option", { value: "0", text: "only this chunk" }),
    ...lengths.map((seconds) => el("option", { value: String(seconds), text: `${Number(seconds.toFixed(1))} s` })),
  );
}

/** Everything about the target that is not the line itself. */
function describe(view, now, state) {
  const origin = planOrigin(state, now);
  setText(view.title, now.next ? `Next chunk (${now.index + 1})` : `Chunk ${now.index + 1}`);
  setText(view.place, now.place);
  setAttr(view.dot, "class", `dot ${origin.source || ""}`);
  setText(view.who, origin.text);
  setText(view.primary, now.chunk ? "Regenerate from here" : "Set this line");
  setAttr(
    view.primary,
    "title",
    now.chunk
      ? "A new take from this chunk on; the old future stays (Ctrl+Enter)"
      : "The next chunks follow this line (Ctrl+Enter)",
  );
  if (view.retry.dataset.made !== String(Boolean(now.chunk))) {
    view.retry.dataset.made = String(Boolean(now.chunk));
    view.retry.replaceChildren(icon(now.chunk ? "retry" : "close"), now.chunk ? "Another try" : "Clear line");
    setAttr(
      view.retry,
      "title",
      now.chunk ? "The same line with other random numbers, as a new take (T)" : "Let the model decide what happens next",
    );
  }
  setAttr(view.retry, "disabled", !now.chunk && !now.base && !now.intent);
  setAttr(view.prev, "disabled", now.index <= 0);
  setAttr(view.next, "disabled", now.index >= state.path.length);
  setAttr(view.node, "data-made", now.chunk ? "" : null);
  view.strip.childNodes.forEach((frame, k) => {
    const url = now.frames[k] || null;
    if (frame.firstChild.getAttribute("src") !== url) setAttr(frame.firstChild, "src", url);
    setAttr(frame, "data-empty", url ? null : "");
  });
}
