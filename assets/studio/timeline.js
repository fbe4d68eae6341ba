// The timeline along the bottom: ruler, plan lane and frame lane on one axis, playhead, zoom, scrolling, choosing, scrubbing.
import { fromSlider, makeAxis, plannedRuns, planRuns, toSlider } from "./axis.js";
import { choose, seek } from "./clock.js";
import { button, el, setAttr, setText } from "./dom.js";
import { count, duration } from "./format.js";
import { makeFrameLane, makePlanLane, makeRuler } from "./lanes.js";
import { makeSlot } from "./slot.js";
import { busy, frameCount, frameUrl } from "./store.js";

const RUSH = 90; // ms
const HANDS_OFF = 2500; // ms after a person scrolled in which the timeline does not scroll by itself

/** Build the timeline; gives zoom(factor) for the keyboard. */
export function mountTimeline(root, { store, perf }) {
  const parts = skeleton(root, store);
  const view = {
    store,
    parts,
    axis: makeAxis({ made: 0, planned: -1, view: 1000, zoom: 0 }),
    width: 1000,
    full: 1000,
    left: 0, // px: of the window onto the lanes, of the lanes, and how far they are scrolled
    path: null,
    runs: [],
    ghosts: [],
    hands: 0, // when a person last scrolled
    queued: false,
    calm: 0,
    drawn: { left: 0, at: -1e9 },
    plan: makePlanLane(parts.plans),
    ruler: makeRuler(parts.ruler),
    frames: makeFrameLane(parts.list, { perf }),
  };
  const { scroll } = parts;

  scroll.addEventListener("scroll", () => later(view), { passive: true });
  for (const type of ["wheel", "pointerdown"])
    scroll.addEventListener(
      type,
      () => {
        view.hands = performance.now();
      },
      { passive: true },
    );
  new ResizeObserver(() => {
    view.width = scroll.clientWidth;
    layout(view);
  }).observe(scroll);
  pointing(view);
  roving(view);
  watch(view);
  return (factor) => zoomTo(view, view.axis.width * factor);
}

/** What redraws what. Text that streams touches the slot alone; the playhead moves by itself. */
function watch(view) {
  const { store, parts } = view;
  store.on(["project", "path", "planned", "zoom"], () => layout(view));
  store.on(["takes", "active"], () => render(view));
  store.on(["selected"], (state) => (state.selected != null && reveal(view, state.selected)) || render(view));
  store.on(["forming", "job", "path", "planned", "selected", "active"], (state) => parts.slot.update(state));
  store.on(["frame", "path", "project"], (state) => playhead(view, state));
  store.on(["job"], (state) => {
    // the next place is in sight when it pauses
    if (state.follow && performance.now() - view.hands > HANDS_OFF) keepEnd(view);
  });
  store.on(["connected"], (state) => state.connected === "live" && view.frames.retry());
  store.on(["project", "path"], (state) => {
    const made = state.path.length;
    const size = state.project?.chunk_frames || 4;
    setText(parts.counts, `${count(made, "chunk")} · ${duration((made * size) / (state.project?.fps || 17.5))}`);
  });
  store.on(["project"], (state) => {
    if (!state.project) return;
    const url = frameUrl(state, state.project.root.id, state.project.chunk_frames - 1);
    if (parts.start.dataset.url === url) return;
    parts.start.dataset.url = url;
    parts.start.querySelector("img").src = url;
    parts.scroll.scrollLeft = view.left = 0;
  });
}

/** Elements that stay. */
function skeleton(root, store) {
  const counts = el("span", { class: "counts num" });
  const slider = el("input", {
    type: "range",
    class: "zoom",
    min: "0",
    max: "100",
    step: "1",
    "aria-label": "Zoom",
    title: "Zoom (+ and −)",
  });
  const whole = () => {
    store.set({ zoom: 0 });
    scroll.scrollLeft = 0;
  };
  const fit = button("Fit the whole clip", whole, { icon: "fit", iconOnly: true, class: "quiet" });
  const slot = makeSlot();
  const start = el(
    "button",
    { type: "button", class: "start-tile", "aria-label": "Start frame", title: "Start frame", tabindex: "-1" },
    el("img", { alt: "", draggable: "false" }),
    el("span", { text: "Start" }),
  );
  const ruler = el("div", { class: "ruler", "aria-hidden": "true" });
  const plans = el("div", { class: "plans" }, slot.line);
  const list = el("ol", { class: "frames", "aria-label": "Chunks" });
  const head = el("div", { class: "playhead", "aria-hidden": "true" }, el("i"));
  const canvas = el("div", { class: "tl-canvas" }, ruler, plans, start, list, slot.body, head);
  const scroll = el("div", { class: "tl-scroll" }, canvas);
  const legend = el(
    "span",
    { class: "legend hint" },
    el("i", { class: "dot model" }),
    "model wrote",
    el("i", { class: "dot person" }),
    "you wrote",
  );
  root.append(
    el("div", { class: "tl-head" }, el("h2", { text: "Timeline" }), counts, legend, el("span", { class: "grow" }), fit, slider),
    scroll,
  );
  return { counts, slider, fit, slot, start, ruler, plans, list, head, canvas, scroll };
}

/** The axis anew (a chunk more, another zoom, another width), then everything on it. */
function layout(view) {
  const { store, parts } = view;
  const { state } = store;
  if (state.path !== view.path) {
    view.path = state.path;
    view.runs = planRuns(state.path);
  }
  view.ghosts = plannedRuns(state.planned, state.path.length);
  const planned = view.ghosts.length ? view.ghosts[view.ghosts.length - 1].last : -1;
  const size = state.project?.chunk_frames;
  view.axis = makeAxis({ made: state.path.length, planned, view: view.width, zoom: state.zoom, size });
  view.full = Math.max(view.width, Math.ceil(view.axis.total));
  parts.canvas.style.width = `${view.full}px`;
  parts.slot.place(view.axis);
  parts.slider.value = String(toSlider(view.axis));
  setAttr(parts.slider, "aria-valuetext", `${Math.round(view.axis.width)} pixels for a chunk`);
  setAttr(parts.fit, "aria-pressed", String(state.zoom === 0));
  render(view);
  view.frames.forget();
  playhead(view, state);
}

function later(view) {
  if (view.queued) return;
  view.queued = true;
  requestAnimationFrame(() => {
    view.queued = false;
    const left = view.parts.scroll.scrollLeft;
    if (Math.abs(left - view.left) < 1) return; // this place was drawn when it was chosen
    view.left = left;
    render(view);
  });
}

/** Draw what is in view; cheap enough for every scroll event. */
function render(view) {
  const { state } = view.store;
  const { axis, left, width } = view;
  if (!state.project) {
    view.plan(axis, [], [], 0, 0, -1);
    view.frames.render(makeAxis({ made: 0, planned: -1, view: width, zoom: 0 }), state, 0);
    return;
  }
  const from = left - width;
  const to = left + 2 * width;
  view.plan(axis, view.runs, view.ghosts, from, to, state.selected ?? -1);
  view.ruler(axis, state.project.chunk_frames / state.project.fps, forks(state), from, to);
  view.frames.render(axis, state, left, rushing(view));
  const at = tabStop(state);
  for (const cell of view.parts.list.children) {
    const index = Number(cell.dataset.index);
    const here = covers(axis, index, state.selected);
    setAttr(cell, "aria-current", here ? "true" : null);
    cell.tabIndex = covers(axis, index, at) ? 0 : -1;
  }
  view.parts.slot.body.tabIndex = at >= state.path.length ? 0 : -1;
}

/** True while the view jumps by more than half its width again and again (scrubbing, dragging the scroll bar). */
function rushing(view) {
  const now = performance.now();
  const rush = Math.abs(view.left - view.drawn.left) > view.width / 2 && now - view.drawn.at < RUSH;
  if (Math.abs(view.left - view.drawn.left) > 1) view.drawn = { left: view.left, at: now };
  if (rush) {
    clearTimeout(view.calm);
    view.calm = setTimeout(() => render(view), RUSH + 10);
  }
  return rush;
}

/** At low zoom one item stands for several chunks. */
function covers(axis, index, wanted) {
  return wanted != null && wanted >= index && wanted < index + axis.stride;
}

/** The one chunk that the Tab key reaches; arrows go on from there. */
function tabStop(state) {
  if (state.selected != null) return state.selected;
  const size = state.project.chunk_frames;
  return state.frame < 0 ? 0 : Math.floor(state.frame / size);
}

/** boundary → the takes that leave this one there. */
function forks(state) {
  const marks = new Map();
  const active = state.takes.find((take) => take.id === state.active);
  for (const take of state.takes) {
    if (take.parent === state.active) marks.set(take.at, `${marks.has(take.at) ? `${marks.get(take.at)}, ` : ""}${take.name}`);
  }
  if (active?.parent) marks.set(active.at, `${active.name} begins here`);
  return marks;
}

function playhead(view, state) {
  const { axis, parts } = view;
  if (!state.project) return;
  const x = axis.ofFrame(state.frame);
  parts.head.style.transform = `translateX(${x}px)`;
  parts.start.classList.toggle("chosen", state.frame < 0);
  if (performance.now() - view.hands < HANDS_OFF) return;
  if (state.follow && busy(state)) keepEnd(view);
  else if (state.playing) keepPlayhead(view, x);
}

/** While frames come in, the end stays in view, with room for the next few chunks, so that it moves seldom. */
function keepEnd(view) {
  const { axis, width, left } = view;
  const right = axis.end + axis.next;
  if (!axis.made || (right <= left + width && axis.end >= left)) return;
  glide(view, right - width + Math.min(width * 0.4, axis.width * 3));
}

function keepPlayhead(view, x) {
  if (x >= view.left && x <= view.left + view.width - 12) return;
  glide(view, x - view.width * 0.12, true);
}

/** Bring a chunk into view; true when that has drawn everything anew. */
function reveal(view, index) {
  const { axis, left, width } = view;
  const from = axis.x(index);
  const to = index < axis.made ? axis.x(index + 1) : from + axis.next;
  if (from >= left && to <= left + width) return false;
  return glide(view, from < left ? from - 24 : to - width + 24, true);
}

function glide(view, to, at_once = false) {
  const calm = at_once || matchMedia("(prefers-reduced-motion: reduce)").matches;
  const most = view.full - view.width;
  const target = Math.max(0, Math.min(most, Math.round(to)));
  view.parts.scroll.scrollTo({ left: target, behavior: calm ? "instant" : "smooth" });
  if (!calm) return false;
  view.left = target;
  render(view);
  return true;
}

/** Another width of a chunk, with the playhead (or else the middle) staying where it is on the screen. */
function zoomTo(view, width) {
  const { store, axis } = view;
  const { state } = store;
  const seen = (px) => px >= view.left && px <= view.left + view.width;
  const head = axis.ofFrame(state.frame);
  const anchor = seen(head) ? head : view.left + view.width / 2;
  const chunk = (anchor - axis.x(0)) / axis.width;
  const offset = anchor - view.left;
  const wanted = Math.max(axis.low, Math.min(axis.widest, width));
  store.set({ zoom: wanted <= axis.low * 1.001 && axis.low < 48 ? 0 : wanted });
  layout(view);
  glide(view, view.axis.x(0) + chunk * view.axis.width - offset, true);
}

/** Pointer: the ruler scrubs; a click on a chunk, a bar or the next place chooses it; the slider zooms; Ctrl+wheel too. */
function pointing(view) {
  const { store, parts } = view;
  const at = (event) => event.clientX - parts.canvas.getBoundingClientRect().left;
  const scrub = (event) => {
    store.set({ playing: false });
    seek(store, view.axis.toFrame(at(event)));
  };
  parts.ruler.addEventListener("pointerdown", (event) => {
    if (event.button || !frameCount(store.state)) return;
    parts.ruler.setPointerCapture(event.pointerId);
    scrub(event);
  });
  parts.ruler.addEventListener("pointermove", (event) => parts.ruler.hasPointerCapture(event.pointerId) && scrub(event));
  parts.list.addEventListener("click", (event) => {
    if (event.target.closest(".cell")) seek(store, view.axis.toFrame(at(event)));
  });
  parts.plans.addEventListener("click", (event) => {
    const bar = event.target.closest(".plan");
    if (bar?.classList.contains("ghost")) choose(store, Number(bar.dataset.first));
    else if (bar) seek(store, view.axis.toFrame(at(event)));
  });
  const next = () => choose(store, store.state.path.length);
  parts.slot.body.addEventListener("click", next);
  parts.slot.line.addEventListener("click", next);
  parts.start.addEventListener("click", () => seek(store, -1));
  parts.slider.addEventListener("input", () => zoomTo(view, fromSlider(view.axis, Number(parts.slider.value))));
  parts.scroll.addEventListener(
    "wheel",
    (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      zoomTo(view, view.axis.width * Math.exp(-event.deltaY / 300));
    },
    { passive: false },
  );
}

/** When the choice moves by keyboard inside the timeline, the focus goes along. */
function roving(view) {
  const { store, parts } = view;
  store.on(["selected", "path"], (state) => {
    const inside = document.activeElement;
    if (!parts.canvas.contains(inside) || state.selected == null) return;
    const chunk = state.path[state.selected - (state.selected % view.axis.stride)];
    const target = state.selected >= state.path.length ? parts.slot.body : chunk && view.frames.cellOf(chunk.id);
    if (target && target !== inside) target.focus({ preventScroll: true });
  });
}
