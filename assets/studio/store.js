// The one state of the page: applies what the server says, tells the parts what changed. Knows no element of the page.
import { BASE } from "./commands.js";
export { timecode } from "./format.js";

const REMEMBERED = ["theme", "zoom", "loop", "speed"]; // kept in this browser between visits
const MEMORY = "tv2tv.view";
const PLAIN = { smooth: false, sharpen: false, factor: 1, variant: "", ready: new Set(), stopped: null };
export const IDLE = { state: "idle", reason: null, done: 0, total: 0, left_s: null, message: null, take: null };

function initial() {
  return {
    home: null, // what GET /home gave
    project: null,
    path: [],
    takes: [],
    active: null,
    planned: {},
    undo: null,
    redo: null,
    job: IDLE,
    queue: [],
    forming: null,
    exports: [],
    connected: "connecting", // "connecting" | "live" | "lost"
    selected: null, // chunk index; path.length (or more: a planned line further on) is a chunk not made yet; null = nothing chosen
    frame: -1, // playhead: frame number over all generated chunks; -1 = the start frame
    sub: 0, // so many of the preview.factor steps to the next frame further on; a frame set without it is met exactly
    preview: PLAIN, // Smooth and Sharpen on the stage: what is wanted, and the chunks that are ready
    playing: false,
    speed: 1,
    loop: false,
    follow: true, // the playhead goes with new frames
    compare: null, // take id shown beside the active one
    zoom: 176, // timeline: pixels for one chunk; 0 = fit the whole clip
    theme: "auto",
    panel: "inspector",
    ...remembered(),
  };
}

export class Store {
  constructor() {
    this.state = initial();
    this.watchers = [];
    this.changed = new Set();
    this.scheduled = false;
  }

  /** Change some keys; watchers of those that really changed run once, before the next paint. */
  set(change) {
    const patch = "frame" in change && !("sub" in change) ? { ...change, sub: 0 } : change;
    const next = { ...this.state };
    let any = false;
    for (const [key, value] of Object.entries(patch)) {
      if (Object.is(this.state[key], value)) continue;
      next[key] = value;
      this.changed.add(key);
      any = true;
    }
    if (!any) return;
    this.state = next;
    if (REMEMBERED.some((key) => key in patch)) remember(this.state);
    this.schedule();
  }

  /** Watch some keys: fn(state) runs now, and again (batched) whenever one of them changed. Returns a function that ends it. */
  on(keys, fn) {
    const watcher = { keys, fn };
    this.watchers.push(watcher);
    fn(this.state);
    return () => {
      this.watchers = this.watchers.filter((one) => one !== watcher);
    };
  }

  schedule() {
    if (this.scheduled) return;
    this.scheduled = true;
    const run = () => {
      this.scheduled = false;
      this.flush();
    };
    if (document.hidden)
      setTimeout(run, 250); // no frames are drawn behind another tab
    else requestAnimationFrame(run);
  }

  /** Tell the watchers now. One that throws must not keep the news from the others. */
  flush() {
    const changed = this.changed;
    this.changed = new Set();
    for (const { keys, fn } of [...this.watchers]) {
      if (!keys.some((key) => changed.has(key))) continue;
      try {
        fn(this.state);
      } catch (error) {
        reportError(error);
      }
    }
  }

  /** Apply one message of the server. */
  apply(message) {
    const change = CHANGES[message.type];
    if (change) this.set(change(this.state, message));
  }

  /** Forget the open project (before another one opens). */
  reset() {
    const { home, theme, zoom, loop, speed, panel } = this.state;
    this.set({ ...initial(), home, theme, zoom, loop, speed, panel });
  }
}

/** type of message → (state, message) → the keys that change. */
const CHANGES = {
  snapshot(state, m) {
    const fresh = state.project?.id !== m.project.id;
    const next = {
      project: m.project,
      path: m.path,
      takes: m.takes,
      active: m.active,
      planned: m.planned || {},
      undo: m.undo,
      redo: m.redo,
      job: m.job || IDLE,
      queue: m.queue || [],
      forming: m.forming || null,
      exports: m.exports || [],
      connected: "live",
    };
    if (fresh) return { ...next, selected: null, frame: m.path.length ? 0 : -1, playing: false, follow: true, compare: null };
    return { ...next, ...inRange(state, m, m.path, m.project) };
  },
  token(state, m) {
    const old = formingAt(state, m);
    return { forming: { ...old, text: old.text + m.text } };
  },
  line: (state, m) => ({ forming: { ...formingAt(state, m), line: m.line, text: m.line ?? "", source: m.source } }),
  started(state, m) {
    const old = formingAt(state, m);
    return { forming: { ...old, text: old.line == null ? "" : old.text, plan: m.plan, begun: true } };
  },
  step(state, m) {
    return { forming: { ...formingAt(state, m), begun: true, step: m.step, steps: m.steps, preview: m.preview || null } };
  },
  chunk(state, m) {
    const takes = state.takes.map((take) => (take.id === m.take ? grown(state, take, m.chunk) : take));
    if (m.take !== state.active || m.chunk.index !== state.path.length) return { takes, forming: null };
    const planned = Object.fromEntries(Object.entries(state.planned).filter(([index]) => Number(index) > m.chunk.index));
    return { takes, planned, forming: null, path: [...state.path, m.chunk] };
  },
  dropped: () => ({ forming: null }),
  story(state, m) {
    const path = [...state.path.slice(0, m.keep), ...m.rest];
    return {
      path,
      takes: m.takes,
      active: m.active,
      planned: m.planned || {},
      undo: m.undo,
      redo: m.redo,
      compare: m.takes.some((take) => take.id === state.compare) ? state.compare : null,
      ...inRange(state, m, path, state.project),
    };
  },
  job: (state, m) => ({ job: m.job }),
  queue: (state, m) => ({ queue: m.queue }),
  project: (state, m) => ({ project: { ...state.project, ...m.project } }),
  preview: (state, m) => ({
    preview: { ...m.preview, ready: new Set(m.preview.ready) },
    sub: m.preview.factor === state.preview.factor ? state.sub : 0,
  }),
  previewed(state, m) {
    if (m.variant !== state.preview.variant) return {};
    return { preview: { ...state.preview, ready: new Set(state.preview.ready).add(m.chunk) } };
  },
  export(state, m) {
    const others = state.exports.filter((one) => one.id !== m.export.id);
    return { exports: [...others, m.export] };
  },
};

/**
 * Playhead and choice where they were, as far as the clip still goes. A place with a planned line can stay chosen, and so can any
 * other when a take begins that was not there before: it grows as long as the one that it leaves.
 */
function inRange(state, m, path, project) {
  const frames = path.length * (project?.chunk_frames || 4);
  const begins = !state.takes.some((take) => take.id === m.active);
  const last = Math.max(path.length, begins ? state.path.length : 0, ...Object.keys(m.planned || {}).map(Number));
  return {
    frame: Math.min(state.frame, frames - 1),
    sub: state.frame < frames - 1 ? state.sub : 0,
    selected: state.selected == null ? null : Math.min(state.selected, last),
  };
}

function formingAt(state, m) {
  const old = state.forming;
  if (old && old.index === m.index && old.take === m.take) return old;
  return {
    index: m.index,
    take: m.take,
    text: "",
    line: null,
    source: null,
    plan: null,
    begun: false,
    step: 0,
    steps: 0,
    preview: null,
  };
}

function grown(state, take, chunk) {
  const chunks = Math.max(take.chunks, chunk.index + 1);
  const { fps, chunk_frames: size } = state.project;
  return { ...take, chunks, tip: chunk.id, seconds: (chunks * size) / fps };
}

/** Number of frames made so far. */
export function frameCount(state) {
  return state.path.length * (state.project?.chunk_frames || 4);
}

/** {chunk, index, k} that frame number f belongs to; for the start frame index is -1 and chunk the root; null without a project. */
export function chunkOfFrame(state, f) {
  if (!state.project) return null;
  const size = state.project.chunk_frames;
  if (f < 0 || !state.path.length) return { chunk: state.project.root, index: -1, k: size - 1 };
  const frame = Math.min(f, frameCount(state) - 1);
  const index = Math.floor(frame / size);
  return { chunk: state.path[index], index, k: frame % size };
}

/** The address of frame k of a chunk; it never changes its bytes. */
export function frameUrl(state, chunkId, k) {
  return `${BASE}/p/${encodeURIComponent(state.project.id)}/c/${encodeURIComponent(chunkId)}/${k}.png`;
}

/** The chosen chunk, or null when nothing is chosen or the chosen one is not made yet. */
export function selectedChunk(state) {
  return state.selected == null ? null : state.path[state.selected] || null;
}

/** Who wrote the plan in force at a chunk: "model", "person" or null (the plan of the start). */
export function planSource(state, index) {
  for (let i = Math.min(index, state.path.length - 1); i >= 0; i--) {
    if (state.path[i].line != null) return state.path[i].source;
  }
  return null;
}

/** The chunk being made, when it belongs to the take that is shown; otherwise null. */
export function formingHere(state) {
  const forming = state.forming;
  return forming && forming.index === state.path.length && (!forming.take || forming.take === state.active) ? forming : null;
}

/** True when the open project's model is a pretrained one: it takes plain words, and no controls of a game. */
export function plainWords(state) {
  return Boolean(state.home?.presets.find((each) => each.name === state.project?.preset)?.draws);
}

/** True while the device works, or is about to work, for this project. */
export function busy(state) {
  return ["queued", "loading", "running", "pausing"].includes(state.job.state);
}

function remembered() {
  try {
    const saved = JSON.parse(localStorage.getItem(MEMORY) || "{}");
    return Object.fromEntries(REMEMBERED.filter((key) => key in saved).map((key) => [key, saved[key]]));
  } catch {
    return {}; // storage is off or was edited: the defaults serve
  }
}

function remember(state) {
  try {
    localStorage.setItem(MEMORY, JSON.stringify(Object.fromEntries(REMEMBERED.map((key) => [key, state[key]]))));
  } catch {
    return; // private window with storage off: the view is simply not remembered
  }
}
