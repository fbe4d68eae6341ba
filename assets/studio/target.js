// target.js: what the inspector is about: the chosen chunk, a chosen place without a chunk yet, or simply what comes next. Pure.
import { formingHere, frameUrl } from "./store.js";
import { timecode } from "./format.js";
import { intentOf } from "./grammar.js";

const STRIP = 4; // frames that stand for a chunk

/**
 * The inspector's target: {key, index, take, chunk|null, next, base, intent, frames, place}. `key` names the draft, `next` is true when
 * nothing is chosen (the target then moves on while chunks arrive), `base` is the line without a draft, `intent` what stands above it.
 * Null without a project.
 */
export function target(state) {
  if (!state.project) return null;
  const forming = formingHere(state);
  const next = state.selected == null;
  const index = next ? state.path.length + (forming ? 1 : 0) : state.selected;
  const chunk = next ? null : state.path[index] || null;
  const { fps, chunk_frames: size } = state.project;
  const planned = state.planned[index] || "";
  const intent = intentOf(chunk ? chunk.asked : planned);
  const from = timecode(index * size, fps);
  return {
    index,
    chunk,
    next,
    take: state.active,
    key: chunk ? chunk.id : `${state.active}:${next ? "next" : index}`,
    base: chunk ? chunk.plan : intent ? "" : planned,
    intent,
    frames: frames(state, index, chunk, forming, size),
    place: chunk
      ? `${from} – ${timecode((index + 1) * size, fps)}`
      : next && !state.path.length
        ? "starts the clip"
        : `starts at ${from}`,
  };
}

function frames(state, index, chunk, forming, size) {
  if (chunk) return Array.from({ length: STRIP }, (_, i) => frameUrl(state, chunk.id, Math.floor((i * size) / STRIP)));
  return forming && forming.index === index && forming.preview ? forming.preview : [];
}

/** Who wrote the line in force at the target: {source: "model"|"person"|null, text}. */
export function planOrigin(state, now) {
  if (!now.chunk) return unmade(state, now);
  for (let i = now.index; i >= 0; i--) {
    const { line, source } = state.path[i];
    if (line == null) continue;
    const who = source === "person" ? "Written by a person" : "Written by the model";
    const own = now.intent && source === "model" ? `${who} from the intent` : `${who} for this chunk`;
    return { source, text: i === now.index ? own : `${who} since chunk ${i + 1}` };
  }
  return { source: null, text: "The plan of the start frame" };
}

function unmade(state, now) {
  const forming = formingHere(state);
  if (forming && forming.index === now.index) return { source: forming.source || "model", text: "Being made now" };
  if (now.base) return { source: "person", text: "Planned by a person" };
  if (now.intent) return { source: "person", text: "The model writes the line from the intent" };
  return { source: null, text: now.next ? "The model decides unless you write a line" : "Not made yet; the model decides" };
}
