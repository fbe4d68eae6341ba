// storyboard.js: the dialog that adds several beats behind the end of the shown take, with a preview of where each one lands.
import { button, el, setAttr, setText } from "./dom.js";
import { beatsOf, chunksPerBeat } from "./beats.js";
import { busily, field, openDialog } from "./dialog.js";
import { count, timecode } from "./format.js";
import { busy } from "./store.js";

const KEY = "tv2tv.storyboard"; // what was typed and not added yet, per project

/** Open the dialog for the open project. */
export function openStoryboard({ store, commands }) {
  const project = store.state.project;
  if (!project) return;
  const box = el("textarea", {
    class: "input storyboard-box",
    rows: 9,
    spellcheck: "false",
    data: { first: "" },
    placeholder: "run forward\nrun forward, turn left 15\nstand, fire\nwalk back, look up 10",
  });
  const seconds = el("input", {
    class: "input num",
    type: "number",
    min: "0.25",
    max: "30",
    step: "0.25",
    inputMode: "decimal",
  });
  const preview = el("ol", { class: "beats", "aria-label": "Where the beats land" });
  const summary = el("p", { class: "muted num", role: "status" });
  box.value = stored(project.id);
  seconds.value = "1";

  const add = button("Add", () => send(false));
  const go = button("Add and generate", () => send(true), { class: "primary" });
  const dialog = openDialog({
    title: "Storyboard",
    size: "medium",
    actions: [button("Cancel", () => dialog.close()), add, go],
    body: el(
      "div",
      { class: "storyboard" },
      el(
        "div",
        { class: "stack" },
        field(
          "Beats, one per line",
          box,
          "Each line is what happens for one beat; an empty line between two leaves a beat to the model.",
        ),
        el("div", { class: "short-field" }, field("Seconds per beat", seconds)),
      ),
      el("div", { class: "stack" }, el("p", { class: "label", text: "On the timeline" }), preview, summary),
    ),
  });

  const render = () => {
    const state = store.state;
    const { beats, problem } = beatsOf(box.value);
    const each = Number(seconds.value);
    const valid = each >= 0.25 && each <= 30;
    const per = chunksPerBeat(project, valid ? each : 1);
    const first = state.path.length;
    preview.replaceChildren(
      ...beats
        .slice(0, 60)
        .map((beat, i) =>
          el(
            "li",
            { class: "beat" },
            el("time", { class: "hint num", text: timecode((first + i * per) * project.chunk_frames, project.fps) }),
            el("span", { class: beat ? "beat-bar" : "beat-bar open", dir: "auto", text: beat || "the model decides" }),
          ),
        ),
      ...(beats.length > 60 ? [el("li", { class: "hint", text: `and ${beats.length - 60} more` })] : []),
    );
    const chunks = beats.length * per;
    const end = timecode((first + chunks) * project.chunk_frames, project.fps);
    setText(
      summary,
      beats.length
        ? `${count(beats.length, "beat")} of ${count(per, "chunk")}: ${count(chunks, "chunk")}, up to ${end}`
        : "Nothing to add yet.",
    );
    dialog.status(problem || (valid ? "" : "Seconds per beat go from 0.25 to 30."), "error");
    const off = !beats.length || problem !== "" || !valid;
    setAttr(add, "disabled", off);
    setAttr(go, "disabled", off || busy(state));
    setAttr(go, "title", busy(state) ? "This project is being generated: add the beats, or wait" : null);
    keep(project.id, box.value);
  };

  async function send(generate) {
    const answer = await busily(generate ? go : add, dialog, () =>
      commands.storyboard({ beats: beatsOf(box.value).beats, seconds_per_beat: Number(seconds.value), generate }),
    );
    if (!answer) return;
    keep(project.id, "");
    dialog.close();
  }

  box.addEventListener("input", render);
  seconds.addEventListener("input", render);
  box.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      if (!go.disabled) send(true);
    }
  });
  const off = store.on(["path", "job"], render);
  dialog.closed.then(off);
}

function stored(project) {
  try {
    return sessionStorage.getItem(`${KEY}.${project}`) || "";
  } catch {
    return ""; // storage is off: the dialog starts empty
  }
}

function keep(project, text) {
  try {
    if (text) sessionStorage.setItem(`${KEY}.${project}`, text);
    else sessionStorage.removeItem(`${KEY}.${project}`);
  } catch {
    return; // full or off: only a closed dialog forgets what was typed
  }
}
