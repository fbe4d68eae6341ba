// The timeline's lanes: plan bars, boundary ticks and chunk cells, only those in view ± one screen. Handles no input.
import { el, setAttr, setText } from "./dom.js";
import { withinChunk } from "./axis.js";
import { clock } from "./format.js";
import { intentRow } from "./grammar.js";
import { frameUrl } from "./store.js";

const THINNEST_BAR = 4; // px
const BESIDE = 60; // px: a time code inside a chunk keeps so far from those at its ends

/** The lane of plan lines: one bar for every run of chunks under one line, coloured by who wrote it; ghosts for planned ones. */
export function makePlanLane(lane) {
  const bars = new Map();
  return function render(axis, runs, ghosts, left, right, selected) {
    const keep = new Set();
    const place = (key, kind, from, to, run) => {
      if (to < left || from > right) return;
      keep.add(key);
      let bar = bars.get(key);
      if (!bar) {
        bar = el("div", { class: "plan" }, el("span"));
        bars.set(key, bar);
        lane.append(bar);
      }
      box(bar, from, to - from);
      setAttr(
        bar,
        "class",
        `plan ${kind}${selected >= run.first && selected <= run.last ? " chosen" : ""}${to - from < 30 ? " thin" : ""}`,
      );
      bar.dataset.first = run.first;
      const words = run.intent ? `${intentRow(run.intent)} → ${run.plan}` : run.plan;
      setText(bar.firstElementChild, words);
      setAttr(bar, "title", words);
    };
    let edge = -Infinity; // bars too thin to tell apart: one stands for its neighbours
    for (const run of runs) {
      const end = axis.x(run.last + 1);
      if (end < left || end - edge < THINNEST_BAR) continue;
      if (axis.x(run.first) > right) break;
      place(`r${run.first}`, run.source || "start", edge > -Infinity ? edge : axis.x(run.first), end, run);
      edge = end;
    }
    for (const run of ghosts) {
      if (run.first > axis.made) place(`g${run.first}`, "ghost", axis.x(run.first), axis.x(run.last + 1), run);
    }
    sweep(bars, keep);
  };
}

/**
 * The ruler: a tick at every boundary that can be told apart, a time code at round ones and inside wide chunks, a mark where another
 * take leaves.
 */
export function makeRuler(lane) {
  const ticks = new Map();
  function tickAt(key) {
    let tick = ticks.get(key);
    if (!tick) {
      tick = el("i", { class: "tick" }, el("b"));
      ticks.set(key, tick);
      lane.append(tick);
    }
    return tick;
  }
  function inner(axis, seconds, first, last, keep) {
    const step = withinChunk(axis.width, seconds);
    if (!step) return;
    for (let n = Math.ceil((first * seconds) / step); n * step < last * seconds; n++) {
      const at = (n * step) / seconds; // in chunks
      const beside = Math.abs(at - Math.round(at)) * axis.width;
      const text = clock(n * step, true);
      if (beside < BESIDE || text === clock(Math.ceil(at) * seconds, true)) continue; // a boundary has its own
      const key = `+${n}`;
      keep.add(key);
      const tick = tickAt(key);
      box(tick, axis.x(0) + at * axis.width);
      setAttr(tick, "class", "tick named inner");
      setText(tick.firstElementChild, text);
    }
  }
  return function render(axis, seconds, forks, left, right) {
    const keep = new Set();
    const every = axis.width >= 7 ? 1 : axis.labels;
    const first = Math.max(0, Math.floor((left - axis.x(0)) / axis.width));
    const last = Math.min(axis.made, Math.ceil((right - axis.x(0)) / axis.width));
    const tenths = axis.labels * seconds < 10;
    for (let i = first - (first % every); i <= last; i += every) {
      const key = String(i);
      keep.add(key);
      const tick = tickAt(key);
      box(tick, axis.x(i));
      const named = i % axis.labels === 0;
      setAttr(tick, "class", `tick${named ? " named" : ""}${forks.has(i) ? " fork" : ""}`);
      setText(tick.firstElementChild, named ? clock(i * seconds, tenths) : "");
      setAttr(tick, "title", forks.get(i) || null);
    }
    inner(axis, seconds, first, last, keep);
    sweep(ticks, keep);
  };
}

/** The lane of frames: one list item for each chunk, keyed by its id; the address of an image never changes. */
export function makeFrameLane(list, { perf }) {
  const cells = new Map();
  /** `hasty`: the view is rushing by, so new cells come without their images, as those far off do; a later call brings them. */
  function render(axis, state, left, hasty) {
    const keep = new Set();
    const [from, to] = axis.inView(left);
    for (let i = from - (from % axis.stride); i <= to; i += axis.stride) {
      const chunk = state.path[i];
      if (!chunk) continue;
      keep.add(chunk.id);
      let cell = cells.get(chunk.id);
      if (!cell) {
        cell = el("li", { class: "cell", tabindex: "-1", data: { id: chunk.id } });
        cell.images = new Map();
        cells.set(chunk.id, cell);
        place(list, cell, i);
      }
      update(cell, chunk, i, axis, state, hasty || !axis.near(i, left));
    }
    sweep(cells, keep, abandon);
  }

  function update(cell, chunk, i, axis, state, bare) {
    const n = i + 1;
    const span = Math.min(axis.stride, axis.made - i);
    cell.dataset.index = i;
    setAttr(cell, "aria-label", `Chunk ${n}`);
    setAttr(cell, "aria-posinset", n);
    setAttr(cell, "aria-setsize", axis.made);
    setAttr(cell, "title", chunk.plan);
    box(cell, axis.x(i), axis.width * span);
    if (!bare) picture(cell, chunk, n, axis, state);
    if (!bare && perf.pending.has(chunk.id)) measure(cell, chunk.id, perf);
  }

  function picture(cell, chunk, n, axis, state) {
    for (const k of axis.shown) {
      if (cell.images.has(k)) continue;
      const image = el("img", {
        alt: `Chunk ${n}, frame ${k + 1}`,
        src: frameUrl(state, chunk.id, k),
        draggable: "false",
        decoding: "async",
      });
      image.addEventListener("error", () => {
        image.dataset.failed = "1";
      });
      const later = Math.min(...[...cell.images.keys()].filter((other) => other > k));
      cell.insertBefore(image, cell.images.get(later) ?? null);
      cell.images.set(k, image);
    }
    for (const [k, image] of cell.images) image.hidden = !axis.shown.includes(k);
  }

  /** Images that failed while the server was away are asked for again; their address stays the same. */
  function retry() {
    for (const image of list.querySelectorAll("img[data-failed]")) {
      delete image.dataset.failed;
      image.src = image.getAttribute("src");
    }
  }
  /** Chunks that came while they are out of view are not measured. */
  function forget() {
    for (const id of perf.pending.keys()) if (!cells.has(id)) perf.pending.delete(id);
  }
  return { render, retry, forget, cellOf: (id) => cells.get(id) };
}

/** Note how long it took from the message to the chunk's frames being decoded in the page. */
async function measure(cell, id, perf) {
  const { at, t } = perf.pending.get(id);
  perf.pending.delete(id);
  try {
    await Promise.all([...cell.images.values()].map((image) => image.decode()));
  } catch {
    return; // an image that did not come has no time
  }
  perf.chunkShown.push(performance.now() - at);
  if (t) perf.fromServer.push(Date.now() - t * 1000);
}

/** Images still on their way for a cell that leaves would hold up those in view. */
function abandon(cell) {
  for (const image of cell.images.values()) if (!image.complete) image.removeAttribute("src");
}

/** Keep the list in the order of time, so that reading it aloud follows the clip. */
function place(list, cell, index) {
  let after = list.lastElementChild;
  while (after && Number(after.dataset.index) > index) after = after.previousElementSibling;
  if (after) after.after(cell);
  else list.prepend(cell);
}

function box(node, x, width = null) {
  const left = `${Math.round(x * 100) / 100}px`;
  if (node.style.left !== left) node.style.left = left;
  if (width == null) return;
  const wide = `${Math.round(width * 100) / 100}px`;
  if (node.style.width !== wide) node.style.width = wide;
}

function sweep(nodes, keep, before = null) {
  for (const [key, node] of nodes) {
    if (keep.has(key)) continue;
    before?.(node);
    node.remove();
    nodes.delete(key);
  }
}
