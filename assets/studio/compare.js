// compare.js: two takes side by side over the stage, in step on the one playhead, with their plan lines and where they part.
import { button, el, setAttr, setText } from "./dom.js";
import { dialogOpen } from "./dialog.js";
import { FrameCache } from "./frames.js";
import { firstDifference } from "./tree.js";
import { chunkOfFrame, frameCount, frameUrl } from "./store.js";
import { timecode } from "./format.js";

const AHEAD = 12; // frames fetched ahead on each side
const SHARPEST = 1664; // px: canvases are at most so wide, and at most four times the clip

/** Build the comparison inside `root` (the stage area); it is hidden while state.compare is null. */
export function mountCompare(root, { store, commands }) {
  const sides = [makeSide("Shown take"), makeSide("Compared take")];
  const which = el("select", { class: "input compare-which", "aria-label": "Compare with" });
  const words = el("p", { class: "muted grow compare-words num", role: "status" });
  const jump = button(
    "Go to the difference",
    () => store.set({ frame: Math.max(0, fork * size()), playing: false, follow: false }),
    { class: "quiet" },
  );
  const close = button("Close comparison", () => store.set({ compare: null }), {
    icon: "close",
    iconOnly: true,
    class: "quiet",
  });
  const node = el(
    "section",
    { class: "compare", "aria-label": "Compare takes", hidden: true },
    el(
      "header",
      { class: "row compare-head" },
      el("span", { class: "label", text: "Compare with" }),
      which,
      words,
      jump,
      close,
    ),
    el(
      "div",
      { class: "compare-sides" },
      sides.map((side) => side.node),
    ),
  );
  root.append(node);

  let other = { id: null, tip: null, path: [] };
  let fork = 0;
  const cache = new FrameCache(() => {
    for (const side of sides) paint(side, cache);
  });
  const size = () => store.state.project.chunk_frames;

  async function fetchOther(state, take) {
    const wanted = { id: take.id, tip: take.tip, path: other.id === take.id ? other.path : [] };
    other = wanted;
    try {
      const { path } = await commands.takePath(take.id);
      if (other === wanted) {
        other.path = path;
        render(store.state);
      }
    } catch (error) {
      if (other === wanted) setText(words, error.message);
    }
  }

  function render(state) {
    const take = state.compare && state.takes.find((each) => each.id === state.compare);
    const on = Boolean(take && state.compare !== state.active);
    if (node.hidden !== !on) node.hidden = !on;
    if (!on) {
      if (state.compare) queueMicrotask(() => store.set({ compare: null })); // the compared take became the shown one, or went
      other = { id: null, tip: null, path: [] };
      return;
    }
    if (other.id !== take.id || other.tip !== take.tip) fetchOther(state, take);
    fork = firstDifference(state.path, other.path);
    const active = state.takes.find((each) => each.id === state.active);
    offer(which, state);
    const left = draw(sides[0], state, state.path, active?.name ?? "", fork);
    const right = draw(sides[1], state, other.path, take.name, fork);
    cache.want(left.flatMap((url, i) => [url, right[i] ?? url]));
    for (const side of sides) paint(side, cache);
    tell(state);
  }

  function tell(state) {
    const at = chunkOfFrame(state, state.frame)?.index ?? -1;
    const shorter = Math.min(state.path.length, other.path.length);
    const fps = state.project.fps;
    const same = !other.path.length
      ? "Loading the other take…"
      : fork >= Math.max(state.path.length, other.path.length)
        ? "The takes are the same."
        : at < fork
          ? `The same until chunk ${fork + 1} (${timecode(fork * size(), fps)})`
          : `They part at chunk ${fork + 1} (${timecode(fork * size(), fps)})${at >= shorter ? " · one has ended" : ""}`;
    setText(words, same);
    setAttr(jump, "disabled", fork * size() >= frameCount(state) || null);
    setAttr(node, "data-parted", at >= fork ? "" : null);
  }

  which.addEventListener("change", () => store.set({ compare: which.value }));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.defaultPrevented || node.hidden || dialogOpen()) return;
    event.preventDefault();
    store.set({ compare: null });
  });
  store.on(["compare", "takes", "active", "path", "frame", "project"], render);
}

function offer(select, state) {
  const takes = state.takes.filter((take) => take.id !== state.active);
  const key = JSON.stringify(takes.map((take) => [take.id, take.name]));
  if (select.dataset.key !== key) {
    select.dataset.key = key;
    select.replaceChildren(...takes.map((take) => el("option", { value: take.id, text: take.name })));
  }
  if (select.value !== state.compare) select.value = state.compare;
}

function makeSide(label) {
  const side = {
    canvas: el("canvas", { role: "img" }),
    name: el("span", { class: "ellipsis", dir: "auto" }),
    end: el("span", { class: "chip", text: "ended here", hidden: true }),
    dot: el("span", { class: "dot" }),
    line: el("span", { class: "compare-line", dir: "auto" }),
    shared: el("b", {}),
    own: el("i", {}),
    head: el("u", {}),
    wanted: "",
    drawn: "",
  };
  side.node = el(
    "figure",
    { class: "compare-side", "aria-label": label },
    el("div", { class: "row compare-name" }, side.name, side.end),
    el("div", { class: "compare-frame" }, side.canvas),
    el("span", { class: "compare-ruler", "aria-hidden": "true" }, side.shared, side.own, side.head),
    el("figcaption", { class: "row compare-caption" }, side.dot, side.line),
  );
  return side;
}

function draw(side, state, path, name, fork) {
  const { chunk_frames: size, width, height, root } = state.project;
  const frame = Math.max(-1, state.frame);
  const at = Math.min(frame, path.length * size - 1);
  const index = at < 0 ? -1 : Math.floor(at / size);
  const chunk = index < 0 ? root : path[index];
  const frames = Math.max(1, state.path.length, path.length) * size;
  setText(side.name, name);
  setAttr(side.end, "hidden", path.length === 0 || at === frame);
  setText(side.line, index < 0 ? state.project.prompt || "Start frame" : chunk.plan);
  setAttr(side.dot, "class", `dot ${index < 0 ? "" : source(path, index)}`);
  setAttr(side.canvas, "aria-label", `${name}, ${index < 0 ? "start frame" : `chunk ${index + 1}`}`);
  setAttr(side.node, "data-parted", index >= fork ? "" : null);
  side.shared.style.width = `${(Math.min(fork, path.length) * size * 100) / frames}%`;
  side.own.style.width = `${(Math.max(0, path.length - fork) * size * 100) / frames}%`;
  side.head.style.insetInlineStart = `${(Math.max(0, at) * 100) / frames}%`;
  const scale = Math.max(1, Math.min(4, Math.floor(SHARPEST / width)));
  if (side.canvas.width !== width * scale) Object.assign(side.canvas, { width: width * scale, height: height * scale });
  side.canvas.style.aspectRatio = `${width} / ${height}`;
  side.wanted = frameUrl(state, chunk.id, index < 0 ? size - 1 : at % size);
  const last = Math.min(path.length * size, at + 1 + AHEAD);
  const soon = Array.from({ length: Math.max(0, last - at - 1) }, (_, i) => at + 1 + i);
  return [side.wanted, ...soon.map((next) => frameUrl(state, path[Math.floor(next / size)].id, next % size))];
}

/** Draws the wanted frame when it is there; until then the last one stays. */
function paint(side, cache) {
  if (side.drawn === side.wanted) return;
  const image = cache.get(side.wanted);
  if (!image) return;
  const context = side.canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, side.canvas.width, side.canvas.height);
  side.drawn = side.wanted;
}

function source(path, index) {
  for (let i = index; i >= 0; i--) if (path[i].line != null) return path[i].source || "";
  return "";
}
