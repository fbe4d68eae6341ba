// Keyboard shortcuts of the whole page. They press the buttons that are on the page, so that both always do the same.
import { choose, seek, step, togglePlay } from "./clock.js";
import { frameCount } from "./store.js";
import { attempt } from "./toast.js";
import { changeSpeed, toEnd } from "./transport.js";

/** Listen for shortcuts; `zoom(factor)` scales the timeline, `help()` opens the cheat sheet. */
export function mountKeys({ store, commands, root, zoom, help }) {
  const chunkBy = (step) => {
    const { state } = store;
    const size = state.project?.chunk_frames || 4;
    const here = state.selected ?? (state.frame < 0 ? -1 : Math.floor(state.frame / size));
    const to = here + step;
    if (to < 0) seek(store, -1);
    else choose(store, Math.min(to, state.path.length));
  };
  const press = (name) => find(root, "button", name)?.click();
  const pressInInspector = (name) => {
    store.set({ panel: "inspector" }); // its buttons are there only while it is shown
    store.flush();
    press(name);
  };
  const plain = {
    " ": () => togglePlay(store),
    k: () => togglePlay(store),
    ArrowLeft: () => chunkBy(-1),
    ArrowRight: () => chunkBy(1),
    ",": () => step(store, -1),
    ".": () => step(store, 1),
    Home: () => seek(store, -1),
    End: () => toEnd(store),
    g: () => press("Generate"),
    p: () => press("Pause"),
    c: () => press("Continue"),
    e: () => editLine(store, root),
    Enter: () => editLine(store, root),
    t: () => pressInInspector("Another try"),
    d: () => press("Drive"),
    l: () => press("Loop"),
    "<": () => changeSpeed(store, -1),
    ">": () => changeSpeed(store, 1),
    s: () => press("Smooth"),
    h: () => press("Sharpen"),
    Escape: () => store.set({ compare: null }),
    "?": help,
    "+": () => zoom(1.25),
    "=": () => zoom(1.25),
    "-": () => zoom(0.8),
    0: () => store.set({ zoom: 0 }),
  };

  window.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || document.querySelector("dialog[open]")) return;
    const chord = event.ctrlKey || event.metaKey;
    const typing = isTyping(event.target);
    if (chord && event.key === "Enter" && !event.altKey) {
      event.preventDefault();
      pressInInspector("Regenerate from here");
    } else if (chord && !event.altKey && event.key.toLowerCase() === "z" && !typing) {
      event.preventDefault();
      attempt(event.shiftKey ? commands.redo() : commands.undo());
    } else if (chord && !event.altKey && event.key.toLowerCase() === "y" && !typing) {
      event.preventDefault();
      attempt(commands.redo());
    } else if (!chord && !event.altKey && !typing && root.dataset.drive !== "on") {
      const run = plain[event.key.length === 1 ? event.key.toLowerCase() : event.key];
      if (!run || belongsToControl(event)) return;
      event.preventDefault();
      run();
    }
  });
}

function isTyping(node) {
  if (!(node instanceof HTMLElement)) return false;
  if (node.isContentEditable || node.matches("textarea, select")) return true;
  return node.matches("input") && !["range", "checkbox", "radio", "button"].includes(node.type);
}

/**
 * A control that was reached by keyboard keeps the keys it understands; one that was clicked does not, so that the space bar
 * plays the clip after a click on Generate instead of pressing Generate again.
 */
function belongsToControl(event) {
  const node = event.target instanceof HTMLElement ? event.target : null;
  if (!node) return false;
  if (node.matches("input[type=range]")) return /^(Arrow|Home|End|Page)/.test(event.key);
  const composite = node.closest("[role=tablist], [role=menu], [role=tree], [role=listbox], [role=radiogroup]");
  if (composite) return /^(Arrow|Home|End|Enter| )/.test(event.key);
  const pressed = event.key === " " || event.key === "Enter";
  return pressed && node.matches("button, a, summary, input, [role=button]") && node.matches(":focus-visible");
}

function editLine(store, root) {
  const { state } = store;
  const size = state.project?.chunk_frames || 4;
  if (state.selected == null) {
    const here = frameCount(state) && state.frame >= 0 ? Math.floor(state.frame / size) : 0;
    store.set({ selected: here });
  }
  store.set({ panel: "inspector" });
  store.flush();
  const box = root.querySelector("[data-key='plan-line'], textarea[aria-label='Plan line'], input[aria-label='Plan line']");
  box?.focus();
  box?.select?.();
}

/** The visible, usable control of that accessible name. */
function find(root, tag, name) {
  return [...root.querySelectorAll(tag)].find((node) => {
    const label = node.getAttribute("aria-label") || node.textContent;
    return label.trim() === name && !node.disabled && node.offsetParent !== null;
  });
}
