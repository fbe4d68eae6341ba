// The timeline's arithmetic: where chunks, boundaries and frames lie in pixels, which are in view. Pure; knows no element.
import { intentOf } from "./grammar.js";

const NEAR = 24; // chunks beside the view that are kept ready: a phone shows two, and a click on the tenth must find it
const START = 84; // px: the start frame's tile, left of second 0
const NEXT = 190; // px at least: the place of the chunk that comes next
const NEXT_SMALL = 112; // the same on a phone
const WIDEST = 520; // px per chunk: four whole frames
const WIDEST_FRAME = 16; // px per frame that longer chunks can be widened to, so that each frame can be pointed at
const PICTURE = 120; // px: a chunk that is wider than four of these shows more of its frames
const NARROW = 48; // px per chunk at the slider's low end, for clips that need not go lower
const THINNEST = 26; // px per list item: below it one item stands for several chunks
const LABEL = 74; // px between two time codes at least
const TAIL = 20; // px of room after the end

/**
 * Everything that places things, for `made` chunks of `size` frames, `planned` as the highest planned index (-1: none), `view` px
 * of width.
 */
export function makeAxis({ made, planned, view, zoom, size = 4 }) {
  const room = view < 640 ? NEXT_SMALL : NEXT;
  const widest = Math.max(WIDEST, size * WIDEST_FRAME);
  const fit = Math.max(0.2, Math.min(WIDEST, (view - START - room - TAIL - 4) / Math.max(1, made, planned)));
  const low = Math.min(fit, NARROW);
  const width = zoom ? Math.max(low, Math.min(widest, zoom)) : Math.min(fit, 240);
  const end = START + made * width;
  const next = Math.max(width, room);
  const x = (index) => (index <= made ? START + index * width : end + next + (index - made - 1) * width);
  return {
    made,
    width,
    low,
    widest,
    end,
    next,
    x,
    zoom,
    stride: Math.max(1, Math.ceil(THINNEST / width)),
    shown: shownFrames(width, size),
    total: Math.max(end + next, planned >= made ? x(planned + 1) : 0) + TAIL,
    labels: labelEvery(width),
    /** px of a frame number (−1 = the start frame). */
    ofFrame: (frame) => (frame < 0 ? START : START + (frame / size) * width),
    /** Frame number under a px position. */
    toFrame: (px) => (px < START - 1 ? -1 : Math.max(0, Math.min(made * size - 1, Math.floor(((px - START) / width) * size)))),
    /** [first, last] chunk index within a screen of the view, and never fewer than NEAR to each side of it. */
    inView: (left) => [
      Math.max(0, Math.floor((left - Math.max(view, NEAR * width) - START) / width)),
      Math.min(made - 1, Math.ceil((left + view + Math.max(view, NEAR * width) - START) / width)),
    ],
    /** Whether a chunk lies within a screen of the view, where its pictures are wanted. */
    near: (index, left) => START + (index + 1) * width > left - view && START + index * width < left + 2 * view,
  };
}

/**
 * Which of a chunk's frames it shows at a width: evenly spaced ones, each at its own moment. Twice as many contain the fewer ones,
 * so that zooming asks for no picture twice.
 */
function shownFrames(width, size) {
  let many = width >= 112 ? 4 : width >= 56 ? 2 : 1;
  while (many * 2 * PICTURE <= width) many *= 2;
  many = Math.min(many, size);
  return Array.from({ length: many }, (_, i) => Math.floor((i * size) / many));
}

/** Seconds between the time codes inside a chunk of `seconds` that is `width` px wide; 0 when there is no room for any. */
export function withinChunk(width, seconds) {
  return [0.1, 0.2, 0.5, 1, 2, 5].find((step) => step < seconds && (step / seconds) * width >= LABEL) || 0;
}

/** A time code at every how-many-th boundary: 1, 2, 5, 10, … */
function labelEvery(width) {
  for (let ten = 1; ; ten *= 10) {
    for (const step of [ten, 2 * ten, 5 * ten]) if (step * width >= LABEL) return step;
  }
}

/** Slider position 0…100 for a width, and back: equal steps feel equal. */
export function toSlider(axis) {
  return Math.round((100 * Math.log(axis.width / axis.low)) / Math.log(axis.widest / axis.low));
}

export function fromSlider(axis, value) {
  return axis.low * (axis.widest / axis.low) ** (value / 100);
}

/** Runs of chunks under one plan line: [{first, last, plan, source, intent}], in order; an intent begins a new one. */
export function planRuns(path) {
  const runs = [];
  let source = null;
  path.forEach((chunk, index) => {
    if (chunk.line != null) source = chunk.source;
    const run = runs[runs.length - 1];
    const intent = intentOf(chunk.asked);
    if (run && run.plan === chunk.plan && run.source === source && !intent) run.last = index;
    else runs.push({ first: index, last: index, plan: chunk.plan, source, intent });
  });
  return runs;
}

/** Runs of planned lines for chunks not made yet, from `made` on: neighbours with the same line are one. */
export function plannedRuns(planned, made) {
  const runs = [];
  for (const index of Object.keys(planned)
    .map(Number)
    .sort((a, b) => a - b)) {
    if (index < made || !planned[index]) continue;
    const run = runs[runs.length - 1];
    if (run && run.last === index - 1 && run.plan === planned[index] && run.first > made) run.last = index;
    else runs.push({ first: index, last: index, plan: planned[index] });
  }
  return runs;
}
