// start.js: the dialog for a new project: a model, an example frame, an own picture or video or the prompt alone, beats to begin with.
import { button, el, setAttr, setText } from "./dom.js";
import { busily, field, openDialog } from "./dialog.js";
import { beatsOf, chunksPerBeat } from "./beats.js";
import { duration } from "./format.js";
import { fileButton, objection, uploadFile } from "./upload.js";

const TEXT_ALONE = { name: "text alone", prompt: "" }; // the server knows it by this name
const BEATS = {
  native: "run forward\nturn left 30\nstand, fire",
  pretrained: "a fox walks through snow\nit sits down\nit looks up",
};

/** Open the dialog. The new project opens when it is made. */
export function openStart(ctx) {
  const { store, commands } = ctx;
  const form = build();
  let file = null;
  let chosen = null; // an example's row of home.starts
  let promptTouched = false;

  const create = button("Create project", () => make(), { class: "primary" });
  const dialog = openDialog({
    title: "New project",
    size: "large",
    body: form.node,
    actions: [button("Cancel", () => dialog.close()), create],
  });

  const choose = (start, own = null) => {
    chosen = start;
    file = own;
    for (const tile of form.grid.querySelectorAll("input")) tile.checked = start != null && tile.value === start.name;
    setAttr(form.own, "data-chosen", own ? "" : null);
    setText(form.ownName, own ? own.name : "Choose or drop a picture to animate, or a video to continue");
    if (!promptTouched) form.prompt.value = start?.prompt || "";
    explain();
    dialog.status("");
  };

  /** What follows from the chosen model: how it starts, what the prompt is for, how long a beat is, whether it runs here. */
  const explain = () => {
    const preset = presetOf(store.state.home, form.preset.value);
    const draws = preset?.draws;
    if (chosen === TEXT_ALONE && preset && !preset.from_text) return choose(exampleOf(store.state.home));
    setAttr(form.text, "hidden", !store.state.home?.presets.some((each) => each.from_text));
    form.text.querySelector("input").disabled = !preset?.from_text;
    setText(
      form.textWords,
      preset?.from_text ? "The prompt, and no picture" : "Not with this model: it goes on from a picture",
    );
    setText(form.promptHelp, promptHelp(draws, chosen, file));
    setAttr(form.prompt, "placeholder", file && !draws ? "A plain prompt, unless you write one" : null);
    const chunk = draws && draws.chunk_frames / draws.fps;
    const beat = draws ? chunksPerBeat(draws, 1) * chunk : 1;
    setText(form.beatsHelp, `${beat === 1 ? "One second" : duration(beat)} each; change them later on the timeline.`);
    setAttr(form.beats, "placeholder", draws ? BEATS.pretrained : BEATS.native);
    describeModel(form, preset);
    setText(create, preset?.fits === false ? "Create anyway" : "Create project");
    return undefined;
  };

  const takeFile = (picked) => {
    const wrong = objection(picked);
    if (wrong) dialog.status(wrong, "error");
    else choose(null, picked);
  };
  form.ownTools.append(fileButton("Choose file", takeFile));
  dialog.node.addEventListener("dragover", () => setAttr(form.own, "data-over", true));
  dialog.node.addEventListener("dragleave", () => setAttr(form.own, "data-over", null));
  dialog.node.addEventListener("drop", (event) => {
    setAttr(form.own, "data-over", null);
    if (event.dataTransfer.files[0]) takeFile(event.dataTransfer.files[0]);
  });

  const make = async () => {
    const made = await busily(create, dialog, async () => {
      const { beats, problem } = beatsOf(form.beats.value);
      if (problem) throw new Error(problem);
      const name = form.name.value.trim();
      const prompt = form.prompt.value.trim();
      if (chosen === TEXT_ALONE && !prompt) {
        form.prompt.focus();
        throw new Error("The prompt is empty. Without a picture it is all there is: write what is to be seen.");
      }
      let id;
      if (file) {
        const told = (part) => dialog.status(part < 1 ? `Uploading… ${Math.round(part * 100)} %` : "Checking the file…");
        ({ id } = await uploadFile(ctx, file, told, { name, prompt, preset: form.preset.value }));
        if (name) await commands.rename({ name }, id);
      } else {
        ({ id } = await commands.createProject({
          start: chosen?.name,
          prompt: prompt || undefined,
          name: name || undefined,
          preset: form.preset.value || undefined,
        }));
      }
      if (beats.length) await commands.storyboard({ beats, seconds_per_beat: 1, generate: false }, id);
      return id;
    });
    if (!made) return;
    dialog.close();
    commands.open(made);
  };

  form.prompt.addEventListener("input", () => {
    promptTouched = true;
  });
  form.preset.addEventListener("change", explain);
  form.text.addEventListener("change", () => choose(TEXT_ALONE));
  form.beats.addEventListener("input", () => setText(form.beatsCount, beatsOf(form.beats.value).words));
  form.node.addEventListener("submit", (event) => {
    event.preventDefault();
    make();
  });
  fill(form, store.state.home, choose);
  form.grid.querySelector(":checked")?.focus({ preventScroll: true });
  commands
    .home()
    .then((home) => {
      store.set({ home });
      if (!form.grid.childElementCount) fill(form, home, choose);
    })
    .catch((error) => {
      if (!form.grid.childElementCount) dialog.status(error.message, "error");
    });
}

function build() {
  const form = {
    grid: el("div", { class: "starts", role: "radiogroup", "aria-label": "Start frame" }),
    ownName: el("span", { class: "hint ellipsis", dir: "auto" }),
    ownTools: el("span", {}),
    name: el("input", { class: "input", maxLength: 80, autocomplete: "off", placeholder: "Named after its start" }),
    prompt: el("textarea", { class: "input", rows: 3 }),
    preset: el("select", { class: "input" }),
    beats: el("textarea", {
      class: "input",
      rows: 3,
      spellcheck: "false",
    }),
    beatsCount: el("p", { class: "hint num" }),
    textWords: el("span", { class: "start-blank" }),
    modelNote: el("p", { class: "model-note" }),
  };
  form.text = el(
    "label",
    { class: "start start-text" },
    el("input", { class: "sr", type: "radio", name: "tv2tv-start", value: TEXT_ALONE.name }),
    form.textWords,
    el("span", { class: "start-name ellipsis", text: "Text alone" }),
  );
  form.own = el(
    "div",
    { class: "own-file" },
    el("div", { class: "grow" }, el("p", { text: "Or from an own picture or video" }), form.ownName),
    form.ownTools,
  );
  const prompt = field("Prompt", form.prompt, " ");
  form.promptHelp = prompt.querySelector(".hint");
  form.presetField = field("Model", form.preset, " ");
  form.presetHelp = form.presetField.querySelector(".hint");
  form.presetHelp.before(form.modelNote);
  form.modelNote.id = `${form.preset.id}-note`;
  form.preset.setAttribute("aria-describedby", `${form.modelNote.id} ${form.presetHelp.id}`);
  const beats = field("Beats, one per line", form.beats, " ");
  form.beatsHelp = beats.querySelector(".hint");
  form.node = el(
    "form",
    { class: "start-form" },
    el(
      "div",
      { class: "stack" },
      el("p", { class: "label", text: "Start from an example frame or from text alone" }),
      form.grid,
      form.own,
    ),
    el(
      "div",
      { class: "stack start-words" },
      field("Name", form.name),
      prompt,
      form.presetField,
      el(
        "details",
        { class: "fold" },
        el("summary", { class: "label", text: "Begin with a storyboard" }),
        beats,
        form.beatsCount,
      ),
    ),
  );
  return form;
}

function fill(form, home, choose) {
  if (!home) {
    form.grid.replaceChildren();
    return;
  }
  form.grid.replaceChildren(
    ...home.starts.map((start) =>
      el(
        "label",
        { class: "start" },
        el("input", {
          class: "sr",
          type: "radio",
          name: "tv2tv-start",
          value: start.name,
          on: { change: () => choose(start) },
        }),
        start.image ? el("img", { src: start.image, alt: "", loading: "lazy", draggable: false }) : null,
        el("span", { class: "start-name ellipsis", text: titled(start.name) }),
      ),
    ),
    form.text,
  );
  form.preset.replaceChildren(
    ...home.presets.map((each) =>
      el("option", {
        value: each.name,
        text: `${each.title || each.name}${each.fits === false ? " (not on this machine)" : ""}`,
      }),
    ),
  );
  form.preset.value = home.default_preset;
  setAttr(form.presetField, "hidden", home.presets.length < 2);
  choose(exampleOf(home));
}

const presetOf = (home, name) => home?.presets.find((each) => each.name === name);
const exampleOf = (home) => home.starts.find((each) => each.name === home.example) || home.starts[0] || null;

/** Whether the chosen model runs here, and what it draws and needs. */
function describeModel(form, preset) {
  const why = (preset?.why || "").replaceAll("`", "");
  setText(form.modelNote, preset?.fits === false ? `This machine cannot run it. ${why}` : why);
  setAttr(form.modelNote, "data-kind", preset?.fits === false ? "error" : null);
  setAttr(form.modelNote, "hidden", !why);
  const { draws, licence } = preset || {};
  setText(
    form.presetHelp,
    [draws && shapeOf(draws), needs(preset?.needs), licence && `Licence: ${licence}`].filter(Boolean).join(" · "),
  );
}

function shapeOf({ width, height, fps, chunk_frames: frames }) {
  return `${width} × ${height}, ${fps} fps, ${frames} frames (${duration(frames / fps)}) a chunk`;
}

function promptHelp(draws, chosen, file) {
  if (chosen === TEXT_ALONE) return "What is to be seen: it is all that the model starts from.";
  if (draws) return "What is to be seen; every chunk is drawn with it and with its plan line.";
  return file
    ? "What kind of clip this is; an exported clip brings its own."
    : "What kind of clip this is. The example's own words work best.";
}

const titled = (name) => name.replace(/[-_]+/g, " ").replace(/^./, (first) => first.toUpperCase());

const NEEDS = { vram_gb: "GPU memory", ram_gb: "main memory", memory_gb: "memory", disk_gb: "disk" };

/** What a model needs, as one line, whatever the preset says about it. */
function needs(given) {
  const parts = Object.entries(given || {})
    .filter(([, value]) => value)
    .map(([name, value]) => (NEEDS[name] ? `${value} GB ${NEEDS[name]}` : `${name.replaceAll("_", " ")} ${value}`));
  return parts.length ? `Needs ${parts.join(", ")}` : "";
}
