// previews.js: Smooth and Sharpen on the stage: which picture stands at a place of the clip, the two buttons, how far they are.
import { BASE } from "./commands.js";
import { button, el, setAttr, setText } from "./dom.js";
import { busy, chunkOfFrame, frameCount, frameUrl } from "./store.js";
import { attempt } from "./toast.js";

const STAGES = { smooth: "Smooth", sharpen: "Sharpen" };

/**
 * What to show at `frame` and `sub` steps after it (0 … factor - 1): {url, plain}. Where no preview is ready, url is the plain
 * frame. The pictures between two frames belong to the chunk of the later one; a frame that is only smoothed stays itself.
 */
export function pictureAt(state, frame, sub = 0) {
  const { preview } = state;
  const at = chunkOfFrame(state, frame);
  const plain = frameUrl(state, at.chunk.id, at.k);
  const later = sub ? frame + 1 : frame;
  if (frame < 0 || later >= frameCount(state) || !(sub || preview.sharpen)) return { url: plain, plain };
  const { chunk, k } = chunkOfFrame(state, later);
  if (!preview.ready.has(chunk.id)) return { url: plain, plain };
  const place = k * preview.factor + (sub || preview.factor) - 1;
  const here = `${BASE}/p/${encodeURIComponent(state.project.id)}/preview/${preview.variant}/${encodeURIComponent(chunk.id)}`;
  return { url: `${here}/${place}.jpg`, plain };
}

/** The place `by` pictures (1 or -1) from the playhead, as a frame number with a fraction: places without a picture are left out. */
export function nextPlace(state, by) {
  const { factor } = state.preview;
  let place = state.frame * factor + state.sub + by;
  const between = () => {
    const frame = Math.floor(place / factor);
    const sub = place - frame * factor;
    return sub && pictureAt(state, frame, sub).url === pictureAt(state, frame).plain;
  };
  while (between()) place += by;
  return place / factor;
}

/** The two buttons. */
export function previewButtons(store, commands) {
  const toggle = (which, icon, key) => {
    const press = () => {
      const { preview, project, frame } = store.state;
      const at = Math.floor(Math.max(0, frame) / (project?.chunk_frames || 4));
      const wanted = { smooth: preview.smooth, sharpen: preview.sharpen, at };
      return attempt(commands.preview({ ...wanted, [which]: !preview[which] }));
    };
    const node = button(STAGES[which], press, { icon, class: "quiet look", "aria-label": STAGES[which] });
    const words = {
      smooth: "Smooth: twice the frames, drawn between",
      sharpen: "Sharpen: more pixels, drawn by a network",
    }[which];
    store.on(["preview", "project"], (state) => {
      const on = state.preview[which];
      setAttr(node, "aria-pressed", String(on));
      setAttr(node, "title", on && state.preview.stopped ? state.preview.stopped : `${words} (${key})`);
      if (node.disabled !== !state.project) node.disabled = !state.project;
    });
    return node;
  };
  const nodes = [toggle("smooth", "smooth", "S"), toggle("sharpen", "sharpen", "H")];
  return el("div", { class: "cluster looks", role: "group", "aria-label": "Previews" }, nodes);
}

/** The line in the corner of the stage that says how far the previews of the shown take are; hidden when all are there. */
export function previewHint(store) {
  const words = el("span");
  const fill = el("i");
  const node = el(
    "div",
    { class: "badge preview-hint", hidden: true },
    words,
    el("div", { class: "bar", "aria-hidden": "true" }, fill),
  );
  store.on(["preview", "path", "job", "queue", "connected"], (state) => {
    const { preview, path } = state;
    const on = Object.keys(STAGES).filter((which) => preview[which]);
    const done = path.reduce((sum, chunk) => sum + preview.ready.has(chunk.id), 0);
    node.hidden = !on.length || done === path.length || state.connected === "lost";
    if (node.hidden) return;
    const name = on.map((which) => STAGES[which]).join(" + ");
    const waits = busy(state) || state.queue.length > 0;
    setText(
      words,
      preview.stopped ? `${name} stopped` : waits ? `${name} waits its turn` : `${name} · ${done} of ${path.length}`,
    );
    fill.style.width = `${(done / path.length) * 100}%`;
  });
  return node;
}
