// The playhead in time: plays at the clip's frame rate, goes along with new frames, seeks. Draws nothing.
import { nextPlace } from "./previews.js";
import { busy, frameCount } from "./store.js";

const RUSH = 80; // ms between two seeks below which a person is scrubbing
const SETTLED = 120; // ms after which the scrubbing has come to rest
const scrub = { last: -RUSH, timer: 0 };

/**
 * Move the playhead because a person asked for it: it stops going along with new frames, and its chunk becomes the chosen one;
 * while scrubbing only when it comes to rest, because everything about a chunk is shown anew then. With Smooth on, `frame` may
 * have a fraction.
 */
export function seek(store, frame) {
  const { state } = store;
  const { factor } = state.preview;
  const place = Math.min((frameCount(state) - 1) * factor, Math.round(frame * factor));
  const to = Math.max(-1, Math.floor(place / factor));
  const rushing = performance.now() - scrub.last < RUSH;
  scrub.last = performance.now();
  clearTimeout(scrub.timer);
  store.set({ frame: to, sub: to < 0 ? 0 : place - to * factor, follow: false });
  if (!rushing) return chooseHere(store);
  const project = state.project?.id;
  scrub.timer = setTimeout(() => store.state.project?.id === project && chooseHere(store), SETTLED);
  return undefined;
}

/** Stop, and go one picture on (1) or back (-1). */
export function step(store, by) {
  store.set({ playing: false });
  seek(store, nextPlace(store.state, by));
}

/** Forget the choice that a scrubbing has pending. */
export function rest() {
  clearTimeout(scrub.timer);
}

/** The chunk under the playhead becomes the chosen one. */
function chooseHere(store) {
  const { state } = store;
  const size = state.project?.chunk_frames || 4;
  if (state.frame >= 0) store.set({ selected: Math.floor(state.frame / size) });
  else if (frameCount(state)) store.set({ selected: null });
}

/** Choose a chunk (index 0 …; path.length and beyond: not made yet) and put the playhead on its first frame. */
export function choose(store, index) {
  rest();
  const { state } = store;
  const size = state.project?.chunk_frames || 4;
  const made = index < state.path.length;
  const frame = made ? index * size : frameCount(state) - 1;
  store.set({ selected: Math.max(0, index), frame: Math.max(-1, frame), follow: !made && busy(state) });
}

/** Play, or stop playing; at the end it starts anew. On stop the chunk under the playhead becomes the chosen one. */
export function togglePlay(store) {
  const { state } = store;
  const total = frameCount(state);
  if (!total) return;
  if (state.playing) {
    store.set({ playing: false });
    seek(store, exact(state));
  } else {
    const again = state.frame < 0 || state.frame >= total - 1;
    store.set({ playing: true, follow: false, frame: again ? 0 : state.frame, sub: again ? 0 : state.sub });
  }
}

/** The playhead as a frame number with a fraction. */
export function exact(state) {
  return state.frame + state.sub / state.preview.factor;
}

/** Start the clock; runs only while something moves and the page is seen. */
export function startClock(store) {
  let ticking = false;
  let shown = exact(store.state); // what this clock set last: anything else means that somebody else moved the playhead
  let from = 0;
  let since = 0;
  let made = store.state.path.length;
  let chasing = false; // playing the newest chunk once, because it has just come

  function anchor(frame, now) {
    from = frame;
    since = now;
    shown = frame;
  }

  function tick(now) {
    const { state } = store;
    const total = frameCount(state);
    chasing = chasing && !state.playing && state.follow && state.frame < total - 1;
    if (document.hidden || (!state.playing && !chasing)) {
      ticking = false;
      return;
    }
    if (exact(state) !== shown) anchor(exact(state), now);
    const rate = state.project.fps * (chasing ? 1 : state.speed);
    const { factor } = state.preview;
    let frame = Math.floor((from + ((now - since) / 1000) * rate) * factor + 1e-6) / factor;
    if (frame >= total) {
      if (state.playing && state.loop && !busy(state)) anchor((frame = 0), now);
      else if (chasing || busy(state))
        anchor((frame = total - 1), now); // wait here for the next frames
      else {
        frame = total - 1;
        store.set({ playing: false });
        const writing = document.activeElement?.matches("textarea, input[type=text]");
        if (!writing) seek(store, frame); // a line that is being written keeps its chunk
      }
    }
    frame = Math.min(frame, total - 1); // nothing lies between the last frame and the end
    if (frame !== shown) {
      const whole = Math.floor(frame);
      store.set({ frame: whole, sub: Math.round((frame - whole) * factor) });
      shown = exact(store.state);
    }
    requestAnimationFrame(tick);
  }

  function wake() {
    if (ticking || document.hidden) return;
    ticking = true;
    anchor(exact(store.state), performance.now());
    requestAnimationFrame(tick);
  }

  store.on(["path", "follow", "job", "project"], (state) => {
    const grown = state.path.length === made + 1;
    made = state.path.length;
    if (!state.follow || state.playing || !made || !(busy(state) || grown)) return;
    const size = state.project.chunk_frames;
    // a new chunk is played once, from its first frame; nothing new: rest on the last frame
    const frame = grown ? (made - 1) * size : frameCount(state) - 1;
    if (grown || state.frame < (made - 1) * size) {
      anchor(frame, performance.now());
      store.set({ frame });
    }
    chasing = chasing || grown;
    wake();
  });
  store.on(["playing", "speed"], (state) => {
    anchor(exact(state), performance.now());
    if (state.playing) wake();
  });
  document.addEventListener("visibilitychange", () => {
    anchor(exact(store.state), performance.now());
    wake();
  });
}
