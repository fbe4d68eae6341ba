// The two rows under the stage: playing (transport) and making (controls). Buttons keep their places; they are disabled, not hidden.
import { button, el, setAttr, setIcon, setText } from "./dom.js";
import { exact, rest, seek, step, togglePlay } from "./clock.js";
import { count, left, timecode, times } from "./format.js";
import { previewButtons } from "./previews.js";
import { busy, frameCount } from "./store.js";
import { attempt } from "./toast.js";

const SPEEDS = [0.25, 0.5, 1, 1.5, 2, 4];

/** Play, step, loop, speed, position, time. */
export function mountTransport(root, { store, commands }) {
  const act = (label, icon, run, key) => {
    const node = button(label, run, { icon, iconOnly: true, class: "quiet" });
    node.title = key ? `${label} (${key})` : label;
    return node;
  };
  const first = act(
    "To the start",
    "first",
    () => {
      store.set({ playing: false });
      seek(store, -1);
    },
    "Home",
  );
  const back = act("Frame back", "prev", () => step(store, -1), ",");
  const play = act("Play", "play", () => togglePlay(store), "space");
  const on = act("Frame forward", "next", () => step(store, 1), ".");
  const last = act("To the end", "last", () => toEnd(store), "End");
  const loop = act("Loop", "loop", () => store.set({ loop: !store.state.loop }));
  const follow = act("Follow new frames", "follow", () => toEnd(store));
  const speed = el(
    "select",
    { class: "input plain speed", "aria-label": "Speed", title: "Speed (< and >)" },
    SPEEDS.map((value) => el("option", { value: String(value), text: times(value) })),
  );
  speed.addEventListener("change", () => store.set({ speed: Number(speed.value) }));
  const position = el("input", {
    type: "range",
    class: "position",
    "aria-label": "Position",
    min: "-1",
    max: "0",
    step: "1",
    value: "-1",
  });
  position.addEventListener("input", () => seek(store, Number(position.value)));
  const now = el("span", { class: "now" });
  const total = el("span", { class: "total" });
  const place = el("span", { class: "place" });
  play.classList.add("play");
  for (const node of [first, last]) node.classList.add("far"); // a phone has the slider for these
  root.append(
    el("div", { class: "cluster" }, first, back, play, on, last),
    el("div", { class: "cluster loop-speed" }, loop, speed),
    previewButtons(store, commands),
    position,
    el("div", { class: "time" }, el("span", { class: "codes" }, now, " / ", total), place),
    follow,
  );

  store.on(["frame", "sub", "preview", "path", "project", "playing"], (state) => {
    const frames = frameCount(state);
    const size = state.project?.chunk_frames || 4;
    const fps = state.project?.fps || 17.5;
    const here = exact(state);
    setText(now, timecode(here, fps));
    setText(total, timecode(frames, fps));
    const at = `chunk ${Math.floor(state.frame / size) + 1} of ${state.path.length}`;
    const where = !frames ? "no chunks yet" : state.frame < 0 ? "start frame" : at;
    setText(place, where);
    setAttr(position, "max", Math.max(0, frames - 1));
    position.disabled = !frames;
    setAttr(position, "step", 1 / state.preview.factor);
    if (Number(position.value) !== here) position.value = String(here);
    if (!state.playing) setAttr(position, "aria-valuetext", `${timecode(here, fps)}, ${where}`);
    position.style.setProperty("--done", frames > 1 ? `${((here + 1) / frames) * 100}%` : "0%");
    setAttr(play, "aria-pressed", String(state.playing));
    setIcon(play, state.playing ? "pause" : "play");
    disable(play, !frames);
    disable(first, !frames || state.frame < 0);
    disable(back, !frames || state.frame < 0);
    disable(on, state.frame >= frames - 1);
    disable(last, state.frame >= frames - 1);
  });
  store.on(["loop"], (state) => setAttr(loop, "aria-pressed", String(state.loop)));
  store.on(["speed"], (state) => {
    speed.value = String(SPEEDS.includes(state.speed) ? state.speed : 1);
  });
  store.on(["follow", "job"], (state) => {
    setAttr(follow, "aria-pressed", String(state.follow && busy(state)));
    disable(follow, !busy(state));
  });
}

/** Play at the next speed: faster (1) or slower (-1). */
export function changeSpeed(store, by) {
  const at = Math.max(0, SPEEDS.indexOf(store.state.speed)) + by;
  store.set({ speed: SPEEDS[Math.max(0, Math.min(SPEEDS.length - 1, at))] });
}

/** Put the playhead on the newest frame and let it go along with what comes. */
export function toEnd(store) {
  const frames = frameCount(store.state);
  rest();
  const last = busy(store.state) || !frames ? null : store.state.path.length - 1; // while frames come, what comes next is the subject
  store.set({ playing: false, frame: frames - 1, follow: true, selected: last });
}

/** Generate, Pause, Continue, Stop, and how far it is. Gives the place at the end of the row for other parts' buttons. */
export function mountControls(root, { store, commands }) {
  const amount = el("input", {
    class: "input seconds",
    type: "number",
    inputmode: "decimal",
    min: "0.25",
    max: "600",
    step: "any",
    value: "8",
    "aria-label": "Seconds to generate",
  });
  let touched = false; // a person's number is theirs; until then it shows the project's
  amount.addEventListener("input", () => {
    touched = true;
  });
  amount.addEventListener("keydown", (event) => {
    if (event.key === "Enter") generate.click();
  });
  let asking = false; // a double click is one wish
  const generate = button(
    "Generate",
    async () => {
      if (asking) return;
      asking = true;
      await startGenerate(commands, amount);
      asking = false;
    },
    { class: "primary" },
  );
  const pause = button("Pause", () => attempt(commands.pause()), {});
  const go = button("Continue", () => attempt(commands.continue()), {});
  const stop = button("Stop", () => attempt(commands.stop()), {});
  generate.title = "Add this many seconds at the end (G)";
  pause.title = "Stop at the next chunk boundary (P)";
  go.title = "Go on with the chunks that are left";
  stop.title = "Stop now; finished chunks stay";
  const fill = el("i");
  const words = el("span", { class: "ellipsis" });
  const progress = el("div", { class: "progress" }, el("div", { class: "bar" }, fill), words);
  const more = el("div", { class: "row more" });
  root.append(
    el(
      "div",
      { class: "make" },
      generate,
      el("label", { class: "amount" }, amount, el("span", { text: "s", "aria-hidden": "true" })),
    ),
    el("div", { class: "cluster jobs" }, pause, go, stop),
    progress,
    more,
  );

  store.on(["project", "home"], (state) => {
    const limits = state.home?.settings?.find((one) => one.name === "seconds");
    if (limits) {
      setAttr(amount, "min", limits.minimum);
      setAttr(amount, "max", limits.maximum);
    }
    const own = state.project?.settings?.seconds;
    if (own && !touched && document.activeElement !== amount) amount.value = String(own);
  });
  store.on(["job", "project", "connected"], (state) => {
    const job = state.job.state;
    const goesOn = resumable(state.job);
    usable([
      [pause, ["queued", "loading", "running"].includes(job)],
      [go, goesOn],
      [generate, Boolean(state.project) && !busy(state)],
      [stop, busy(state) || job === "paused" || job === "failed"],
    ]);
    generate.classList.toggle("primary", !goesOn); // what is the next thing to do stands out
    go.classList.toggle("primary", goesOn);
    setText(pause, job === "pausing" ? "Pausing…" : "Pause");
    setAttr(pause, "aria-label", job === "pausing" ? "Pause" : null);
    progress.classList.toggle("off", job === "idle");
    const waiting = job === "loading" || job === "queued";
    progress.firstElementChild.classList.toggle("busy", waiting);
    fill.style.width = state.job.total && !waiting ? `${Math.min(100, (state.job.done / state.job.total) * 100)}%` : "";
    setText(words, state.connected === "lost" && busy(state) ? "No news until the connection is back" : jobWords(state.job));
    setAttr(words, "title", words.textContent || null);
  });
  return more;
}

function startGenerate(commands, amount) {
  const seconds = Number(amount.value.replace(",", "."));
  const { min, max } = amount;
  if (!Number.isFinite(seconds) || seconds < Number(min) || seconds > Number(max)) {
    amount.focus();
    const given = amount.value ? `"${amount.value}"` : "nothing";
    return attempt(Promise.reject(new Error(`Seconds to generate: ${given} was given; ${min} to ${max} are possible.`)));
  }
  return attempt(commands.settle().then(() => commands.generate({ seconds })));
}

/** Whether Continue goes on with a job; of a drive nothing is left. */
function resumable(job) {
  return ["paused", "failed"].includes(job.state) && job.reason !== "drive" && job.done < job.total;
}

/** One line on how the job stands. */
export function jobWords(job) {
  const work = { drive: "Driving", bridge: "Bridging" }[job.reason];
  const driven = job.reason === "drive"; // how long is for the driver to say
  const of = driven ? count(job.done, "chunk") : job.total ? `${job.done} of ${job.total} chunks` : "";
  const tail = driven ? "" : left(job.left_s);
  switch (job.state) {
    case "queued":
      return "In the queue: another project is on the device";
    case "loading":
      return job.message || "Loading the model…";
    case "running":
      return [work ?? "Generating", of, tail].filter(Boolean).join(" · ");
    case "pausing":
      return "Pausing at the next boundary…";
    case "paused":
      return [work ? `${work} paused` : "Paused", of, "Continue goes on"].filter(Boolean).join(" · ");
    case "failed":
      return [work ? `${work} failed` : "Failed", of, resumable(job) && "Continue tries again"].filter(Boolean).join(" · ");
    default:
      return "";
  }
}

function disable(node, off) {
  if (node.disabled !== off) node.disabled = off;
}

/** Enable and disable a group; when the focused one goes off, the first usable one gets the focus, so that it never leaves the page. */
function usable(group) {
  const lost = group.some(([node, on]) => !on && node === document.activeElement);
  for (const [node, on] of group) if (on) disable(node, false);
  if (lost) group.find(([, on]) => on)?.[0].focus();
  for (const [node, on] of group) if (!on) disable(node, true);
}
