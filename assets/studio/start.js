// start.js: the dialog for a new project: an example frame, an own picture or video, a prompt, a name, and beats to begin with.
import { button, el, setAttr, setText } from "./dom.js";
import { busily, field, openDialog } from "./dialog.js";
import { beatsOf } from "./beats.js";
import { fileButton, objection, uploadFile } from "./upload.js";

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
    setText(form.ownName, own ? own.name : "Choose or drop a picture, or a video to continue");
    if (!promptTouched && start) form.prompt.value = start.prompt || "";
    setAttr(form.prompt, "disabled", own ? "" : null);
    setText(
      form.promptHelp,
      own ? "An own file starts with a plain prompt." : "What kind of clip this is. The example's own words work best.",
    );
    dialog.status("");
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
      let id;
      if (file) {
        ({ id } = await uploadFile(ctx, file, (part) =>
          dialog.status(part < 1 ? `Uploading… ${Math.round(part * 100)} %` : "Checking the file…"),
        ));
        if (name) await commands.rename({ name }, id);
      } else {
        ({ id } = await commands.createProject({
          start: chosen?.name,
          prompt: form.prompt.value.trim() || undefined,
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
      placeholder: "run forward\nturn left 30\nstand, fire",
    }),
    beatsCount: el("p", { class: "hint num" }),
  };
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
  form.node = el(
    "form",
    { class: "start-form" },
    el("div", { class: "stack" }, el("p", { class: "label", text: "Start from an example frame" }), form.grid, form.own),
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
        field("Beats, one per line", form.beats, "One second each; change them later on the timeline."),
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
  );
  const preset = (name) => home.presets.find((each) => each.name === name);
  const tell = () => {
    const now = preset(form.preset.value);
    setText(
      form.presetHelp,
      now ? [now.why, needs(now.needs), now.licence && `Licence: ${now.licence}`].filter(Boolean).join(" · ") : "",
    );
  };
  form.preset.replaceChildren(
    ...home.presets.map((each) =>
      el("option", {
        value: each.name,
        text: `${each.title || each.name}${each.fits === false ? " (not on this machine)" : ""}`,
      }),
    ),
  );
  form.preset.value = home.default_preset;
  form.preset.addEventListener("change", tell);
  setAttr(form.presetField, "hidden", home.presets.length < 2);
  tell();
  const example = home.starts.find((each) => each.name === home.example) || home.starts[0];
  if (example) choose(example);
}

const titled = (name) => name.replace(/[-_]+/g, " ").replace(/^./, (first) => first.toUpperCase());

/** What a model needs, as one line, whatever the preset says about it. */
function needs(given) {
  if (!given) return "";
  if (typeof given === "string") return `Needs ${given}`;
  const parts = Object.entries(given)
    .filter(([, value]) => value)
    .map(([name, value]) => {
      const [, what, unit] = /^(.*?)(?:_(gb|mb))?$/.exec(name);
      return value === true ? what : unit ? `${value} ${unit.toUpperCase()} ${what}` : `${what} ${value}`;
    });
  return parts.length ? `Needs ${parts.join(" and ").replace(/_/g, " ")}` : "";
}
