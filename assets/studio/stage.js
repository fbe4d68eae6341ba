// The stage: the frame under the playhead on a canvas, the picture that is forming, and what the studio is doing.
import { button, el, setAttr, setText } from "./dom.js";
import { FrameCache } from "./frames.js";
import { pictureAt, previewHint } from "./previews.js";
import { busy, chunkOfFrame, formingHere, frameCount } from "./store.js";

const AHEAD = 1.6; // s fetched ahead while playing
const SHARPEST = 2; // device pixels per CSS pixel that are worth drawing

/** Build the stage into `root`. Gives the two places that other parts fill: {compare, drive}. */
export function mountStage(root, { store }) {
  const canvas = el("canvas", { class: "screen", role: "img", "aria-label": "Stage" });
  const badge = el("div", { class: "badge", hidden: true }, el("i", { class: "pulse" }), el("span"));
  const places = { compare: el("div", { class: "compare-place", hidden: true }), drive: el("div", { class: "drive-place" }) };
  root.append(
    el("div", { class: "screen-box" }, canvas, badge, previewHint(store), places.drive),
    places.compare,
    hint(store),
    failure(store),
    veil(store),
  );
  drawing(store, canvas);
  status(store, badge);
  store.on(["compare"], (state) => {
    places.compare.hidden = !state.compare;
    canvas.hidden = Boolean(state.compare);
  });
  return places;
}

/** Keep the canvas showing the frame under the playhead, or the forming picture while the playhead rests at the end. */
function drawing(store, canvas) {
  const context = canvas.getContext("2d", { alpha: false });
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const cache = new FrameCache(() => draw());
  const preview = { url: null, image: null };
  let drawn = null;
  let project = null;

  function paint(image, key) {
    if (drawn === key) return;
    context.imageSmoothingEnabled = true;
    context.imageSmoothingQuality = "high";
    context.drawImage(image, 0, 0, canvas.width, canvas.height);
    drawn = key;
  }

  function draw() {
    const { state } = store;
    if (!state.project || document.hidden) return;
    const forming = previewUrl(state, calm.matches);
    if (forming) {
      showPreview(forming);
      if (preview.image && drawn) return void paint(preview.image, preview.url);
    }
    const { url, plain } = pictureAt(state, state.frame, state.sub);
    const key = cache.lost(url) ? plain : url; // a preview that is not there after all
    const image = cache.get(key);
    if (image) paint(image, key); // a missing frame holds the last one: the clock never waits
    cache.want([key, ...soon(state)]);
  }

  async function showPreview(url) {
    if (preview.url === url) return;
    preview.url = url;
    const image = new Image();
    image.src = url;
    try {
      await image.decode();
    } catch {
      return; // a broken preview is left out; the next step brings another
    }
    if (preview.url === url) {
      preview.image = image;
      draw();
    }
  }

  const size = () => {
    const ratio = Math.min(SHARPEST, devicePixelRatio || 1);
    const width = Math.max(1, Math.round(canvas.clientWidth * ratio));
    const height = Math.max(1, Math.round(canvas.clientHeight * ratio));
    if (canvas.width === width && canvas.height === height) return;
    canvas.width = width;
    canvas.height = height;
    drawn = null;
    draw();
  };
  new ResizeObserver(size).observe(canvas);
  store.on(["project"], (state) => {
    if (!state.project || state.project.id === project) return;
    project = state.project.id;
    cache.clear();
    context.clearRect(0, 0, canvas.width, canvas.height);
    drawn = null;
    canvas.parentElement.style.setProperty("--aspect", state.project.width / state.project.height);
  });
  store.on(["project", "path", "frame", "sub", "preview", "forming", "playing", "connected"], draw);
  store.on(["frame", "path", "project"], (state) => {
    const at = chunkOfFrame(state, state.frame);
    if (!at || state.playing) return;
    const name = at.index < 0 ? "Start frame" : `Chunk ${at.index + 1}, frame ${at.k + 1}: ${at.chunk.plan}`;
    setAttr(canvas, "aria-label", name);
  });
  document.addEventListener("visibilitychange", draw);
}

/** The forming picture to show, one of its four frames the further the steps are; null unless the playhead waits for it. */
function previewUrl(state, calm) {
  const forming = formingHere(state);
  if (calm || !forming?.preview?.length || !state.follow || state.playing || state.frame < frameCount(state) - 1) return null;
  const share = forming.steps ? (forming.step - 1) / forming.steps : 0;
  return forming.preview[Math.min(forming.preview.length - 1, Math.floor(share * forming.preview.length))];
}

/** The pictures that will be needed next, the current one first. */
function soon(state) {
  const total = frameCount(state);
  const { factor } = state.preview;
  const urls = new Set();
  const add = (place) => {
    const frame = Math.floor(place / factor);
    if (frame >= -1 && frame < total) urls.add(pictureAt(state, frame, place - frame * factor).url);
  };
  const here = state.frame * factor + state.sub;
  const ahead = state.playing ? Math.ceil(AHEAD * state.project.fps * factor * Math.max(1, state.speed)) : 4;
  for (let step = 0; step <= ahead; step++) add(here + step);
  if (state.playing && state.loop) for (let place = 0; place < 6 * factor; place++) add(place);
  if (!state.playing) add(here - 1);
  return [...urls];
}

/** The line in the corner that says what is being made right now. */
function status(store, badge) {
  const words = badge.lastElementChild;
  store.on(["job", "forming", "active", "connected"], (state) => {
    const text = state.connected === "lost" ? "" : doing(state); // nobody knows what goes on there now
    badge.hidden = !text;
    setText(words, text);
  });
}

function doing(state) {
  const forming = formingHere(state);
  if (state.job.state === "queued") return "Waiting for the device";
  if (!busy(state) || state.job.state === "loading") return "";
  if (!forming) return state.job.state === "pausing" ? "Pausing at the next boundary" : "";
  const chunk = `Chunk ${forming.index + 1}`;
  if (!forming.begun) return `${chunk} · writing the plan`;
  return forming.step ? `${chunk} · step ${forming.step} of ${forming.steps}` : `${chunk} · drawing`;
}

/** Two lines for a clip that has no chunk yet: where to start. */
function hint(store) {
  const node = el(
    "div",
    { class: "stage-hint", hidden: true },
    el("p", {}, el("strong", { text: "Press Generate:" }), " the model writes what happens next, then draws it."),
    el("p", { text: "Pause at any chunk, rewrite its line, and the clip goes on from exactly there." }),
  );
  store.on(["path", "job", "project", "forming"], (state) => {
    node.hidden = !state.project || state.path.length > 0 || state.job.state !== "idle" || Boolean(state.forming);
  });
  return node;
}

/** What went wrong with the last job, and the way on. */
function failure(store) {
  const text = el("p");
  const node = el(
    "div",
    { class: "stage-failure", role: "alert", hidden: true },
    el("strong", { text: "Generation stopped" }),
    text,
  );
  store.on(["job"], (state) => {
    const failed = state.job.state === "failed";
    setText(
      text,
      failed ? state.job.message || "The model failed. Everything made so far is saved; press Continue to go on." : "",
    );
    node.hidden = !failed;
  });
  node.append(
    button(
      "Dismiss",
      () => {
        node.hidden = true;
      },
      { icon: "close", iconOnly: true, class: "quiet" },
    ),
  );
  return node;
}

/** What lies over the stage before there is anything to see, and while the model loads. */
function veil(store) {
  const words = el("span");
  const node = el("div", { class: "veil", hidden: true }, el("div", { class: "bar busy" }, el("i")), words);
  store.on(["project", "job", "connected"], (state) => {
    const text = !state.project
      ? "Opening the project…"
      : state.job.state === "loading"
        ? state.job.message || "Loading the model…"
        : "";
    node.hidden = !text || (!state.project && state.connected === "lost");
    setText(words, text);
  });
  return node;
}
