// export.js: the dialog that makes files of a take: kinds and their options, progress with time left, finished files as links.
import { button, el, icon, keyedList, setAttr, setText } from "./dom.js";
import { busily, field, openDialog, segmented } from "./dialog.js";
import { bytes, count, duration, left, times } from "./format.js";

const MOVING = ["mp4", "webm", "side-by-side"];
const DELIVERED = ["mp4", "webm", "gif", "png"]; // kinds whose frames can be smoothed, sharpened, slowed down and sped up
const FACTORS = ["1", "2", "4"];
const SPEEDS = ["0.25", "0.5", "1", "2", "4"];
const USUAL = 1280; // px of width that are large enough
const KINDS = [
  {
    id: "mp4",
    name: "MP4 video",
    help: "H.264, plays anywhere; carries the plan and the seed",
    captions: ["none", "burned", "soft"],
    scale: true,
  },
  { id: "gif", name: "GIF", help: "Loops by itself in chats and pages", captions: ["none", "burned"], scale: true },
  { id: "webm", name: "WebM video", help: "Small, for web pages", captions: ["none", "burned", "soft"], scale: true },
  { id: "png", name: "PNG frames", help: "Every frame as a still, in one zip", captions: ["none", "burned"], scale: true },
  { id: "sheet", name: "Storyboard sheet", help: "One picture per plan line, to print or to send" },
  { id: "srt", name: "Captions, SRT", help: "The plan lines with their times" },
  { id: "vtt", name: "Captions, VTT", help: "The same, for web players" },
  {
    id: "side-by-side",
    name: "Side by side",
    help: "Two takes in one MP4",
    captions: ["none", "burned"],
    scale: true,
    other: true,
  },
  { id: "project", name: "Project file", help: "Everything, to open here or elsewhere again" },
];
const CAPTIONS = { none: "None", burned: "Burned in", soft: "Soft track" };
const nameOf = (kind) => KINDS.find((each) => each.id === kind)?.name ?? kind;

const remembered = { kind: "mp4", captions: "none", scale: null, speed: "1", smooth: "1", sharpen: "1" }; // for as long as the page is open

/** Open the dialog for the open project. */
export function openExport({ store, commands }) {
  const { state } = store;
  if (!state.project) return;
  let kind = KINDS.find((each) => each.id === remembered.kind);
  let started = null; // the export that was asked for here last
  const options = makeOptions(store);
  const files = el("ul", { class: "exports", "aria-label": "Exported files" });
  const none = el("p", { class: "muted", text: "Nothing exported yet." });
  const make = button("Export", () => send(), { class: "primary", icon: "download" });
  const save = el("a", { class: "btn primary", href: commands.downloadUrl(), download: "" }, icon("download"), "Download");
  const kinds = el(
    "div",
    { class: "kinds", role: "radiogroup", "aria-label": "Kind of file" },
    KINDS.map((each) =>
      el(
        "label",
        { class: "kind" },
        el("input", {
          type: "radio",
          name: "tv2tv-kind",
          value: each.id,
          checked: each === kind,
          disabled: Boolean(each.other && state.takes.length < 2),
          on: { change: () => choose(each) },
        }),
        el(
          "span",
          { class: "kind-words" },
          el("span", { text: each.name }),
          el("span", { class: "hint", text: each.other && state.takes.length < 2 ? "Needs a second take" : each.help }),
        ),
      ),
    ),
  );
  const dialog = openDialog({
    title: "Export",
    size: "large",
    actions: [button("Close", () => dialog.close()), make, save],
    body: el(
      "div",
      { class: "export" },
      kinds,
      el(
        "div",
        { class: "stack" },
        options.node,
        el("section", { class: "stack export-files" }, el("h3", { class: "label", text: "Files" }), files, none),
      ),
    ),
  });

  function choose(each) {
    kind = each;
    remembered.kind = each.id;
    options.show(each);
    const project = each.id === "project";
    setAttr(make, "hidden", project);
    setAttr(save, "hidden", !project);
    check();
  }

  function check() {
    const chunks = store.state.takes.find((take) => take.id === options.take())?.chunks ?? 0;
    const nothing = kind.id !== "project" && chunks === 0;
    setAttr(make, "disabled", nothing);
    dialog.status(nothing ? "This take has no chunks yet. Generate some, then export." : "");
  }

  async function send() {
    const body = {
      kind: kind.id,
      captions: kind.captions ? options.captions() : "none",
      scale: options.scale(),
      take: options.take(),
      ...(DELIVERED.includes(kind.id) ? options.delivery() : {}),
    };
    if (kind.other) body.other = options.other();
    const answer = await busily(make, dialog, () => commands.export(body));
    if (!answer) return;
    started = answer.export;
    files.parentElement.scrollIntoView({ block: "nearest" });
    dialog.status("Started. You may close this and go on; the file will be listed here.");
  }

  async function cancel(node, id) {
    await busily(node, dialog, () => commands.cancel_export({ export: id }));
    make.focus(); // the button goes with the export
  }

  const rows = keyedList(
    files,
    (each) => each.id,
    (each) => makeFile((node) => cancel(node, each.id)),
    (node, each) => node.update(each),
  );
  const off = store.on(["exports"], ({ exports }) => {
    rows([...exports].reverse());
    setAttr(none, "hidden", exports.length > 0);
    if (started && exports.some((each) => each.id === started && each.state !== "running")) {
      started = null;
      dialog.status("");
    }
  });
  const rest = store.on(["takes"], () => options.tell()); // a take may be growing
  dialog.closed.then(off).then(rest);
  options.onTake(check);
  choose(kind.other && state.takes.length < 2 ? KINDS[0] : kind);
}

/** The choices that go with a kind. */
function makeOptions(store) {
  const { project, takes, active } = store.state;
  const choice = (among, value) => {
    const select = el(
      "select",
      { class: "input" },
      among.map((take) => el("option", { value: take.id, text: `${take.name.slice(0, 60)} · ${duration(take.seconds)}` })),
    );
    if (value) select.value = value;
    return select;
  };
  const take = choice(takes, active);
  const other = choice(takes, takes.find((each) => each.id !== active)?.id);
  const size = el("output", { class: "hint num" });
  const scale = el("input", {
    type: "range",
    min: "1",
    max: "8",
    step: "1",
    value: String(remembered.scale ?? usual(project)),
  });
  const captions = el("div", {});
  const delivery = el("div", { class: "stack" });
  const result = el("output", { class: "export-result num" });
  const takeField = field("Take", take);
  const otherField = field("Beside it", other);
  const scaleField = field("Size", scale);
  scaleField.append(size);
  let wanted = remembered.captions;
  let kind = null;

  const resize = () => {
    const wide = kind?.id === "side-by-side" ? 2 : 1;
    setText(size, `${scale.value}× · ${project.width * scale.value * wide} × ${project.height * scale.value} pixels`);
    setAttr(scale, "aria-valuetext", size.textContent);
  };
  const fit = () => {
    // so much of the size is drawn by the network, so the size is a multiple of it
    const drawn = DELIVERED.includes(kind?.id) ? Number(remembered.sharpen) : 1;
    scale.value = String(Math.max(drawn, Math.round(Number(scale.value) / drawn) * drawn));
    resize();
  };
  const tell = () => {
    setAttr(result, "hidden", !DELIVERED.includes(kind?.id));
    const chunks = store.state.takes.find((each) => each.id === take.value)?.chunks ?? 0;
    setText(result, outcome(chunks * project.chunk_frames, project.fps, Number(remembered.smooth), Number(remembered.speed)));
  };
  const stages = () => [
    segmented(
      "Speed",
      SPEEDS.map((one) => [one, times(one)]),
      remembered.speed,
      (one) => {
        remembered.speed = one;
        tell();
      },
    ),
    segmented(
      "Smooth: frames a second",
      FACTORS.map((one) => [one, String(project.fps * Number(one))]),
      remembered.smooth,
      (one) => {
        remembered.smooth = one;
        tell();
      },
    ),
    segmented(
      "Sharpen: drawn by a network",
      FACTORS.map((one) => [one, one === "1" ? "Off" : `${one}×`]),
      remembered.sharpen,
      (one) => {
        remembered.sharpen = one;
        fit();
      },
    ),
  ];
  const different = () => {
    if (other.value === take.value) other.value = takes.find((each) => each.id !== take.value)?.id ?? "";
  };
  scale.addEventListener("input", () => {
    remembered.scale = Number(scale.value);
    resize();
  });
  scale.addEventListener("change", fit);
  take.addEventListener("change", different);
  take.addEventListener("change", tell);
  other.addEventListener("change", () => {
    if (other.value === take.value) take.value = takes.find((each) => each.id !== other.value)?.id ?? "";
  });
  const current = () => (kind.captions.includes(wanted) ? wanted : "none");
  return {
    node: el("div", { class: "stack export-options" }, takeField, otherField, captions, delivery, scaleField, result),
    tell,
    take: () => take.value,
    other: () => other.value,
    scale: () => Number(scale.value),
    captions: current,
    delivery: () => ({
      fps_factor: Number(remembered.smooth),
      sharpen: Number(remembered.sharpen),
      speed: Number(remembered.speed),
    }),
    onTake: (fn) => take.addEventListener("change", fn),
    show(each) {
      kind = each;
      setAttr(takeField, "hidden", each.id === "project");
      setAttr(otherField, "hidden", !each.other);
      setAttr(scaleField, "hidden", !each.scale);
      captions.replaceChildren(
        ...(each.captions
          ? [
              segmented(
                MOVING.includes(each.id) ? "Captions of the plan" : "Plan line in the picture",
                each.captions.map((one) => [one, CAPTIONS[one]]),
                current(),
                (one) => {
                  wanted = one;
                  remembered.captions = one;
                },
              ),
            ]
          : []),
      );
      delivery.replaceChildren(...(DELIVERED.includes(each.id) ? stages() : []));
      if (each.other) different();
      fit();
      tell();
    },
  };
}

/** What becomes of `frames` at `fps`: length, frame rate and number of pictures, as docs/delivery.md has the formula. */
function outcome(frames, fps, factor, speed) {
  const step = speed / factor; // frames from one picture to the next
  const made = frames ? Math.floor((frames - 1) / step) + 1 : 0;
  const rate = fps * factor;
  const how = { 2: ", every 2nd of the clip", 4: ", every 4th of the clip" }[step] ?? "";
  const drawn = step < 1 ? `, ${(made - frames).toLocaleString("en-US")} drawn between` : how;
  return frames ? `${duration(made / rate)} · ${rate} frames a second · ${count(made, "frame")}${drawn}` : "";
}

/** How much larger a clip is made unless a person says so: small frames four times, those that fill a page not at all. */
const usual = (project) => Math.max(1, Math.min(4, Math.floor(USUAL / project.width)));

/** One export: what it is, how far, and its files once they are there. */
function makeFile(stop) {
  const name = el("span", { class: "grow ellipsis" });
  const state = el("span", { class: "hint num" });
  const fill = el("i", {});
  const bar = el(
    "div",
    { class: "bar", role: "progressbar", "aria-label": "Export", "aria-valuemin": "0", "aria-valuemax": "100" },
    fill,
  );
  const cancel = button("Cancel", () => stop(cancel), { icon: "close", iconOnly: true, class: "quiet small" });
  const links = el("div", { class: "export-links" });
  const message = el("p", { class: "problem" });
  const node = el("li", { class: "export-file" }, el("div", { class: "row" }, name, state, cancel), bar, links, message);
  node.update = (each) => {
    const running = each.state === "running";
    const percent = Math.round((each.progress || 0) * 100);
    setText(name, nameOf(each.kind));
    setAttr(cancel, "hidden", !running);
    setAttr(cancel, "aria-label", `Cancel the export: ${nameOf(each.kind)}`);
    setText(
      state,
      running ? [`${percent} %`, left(each.left_s)].filter(Boolean).join(" · ") : each.state === "done" ? "" : each.state,
    );
    setAttr(bar, "hidden", !running);
    setAttr(bar, "class", percent ? "bar" : "bar busy");
    setAttr(bar, "aria-valuenow", String(percent));
    fill.style.width = percent ? `${percent}%` : "";
    setText(message, each.state === "failed" ? each.message || "The export failed. Try again." : "");
    setAttr(message, "hidden", each.state !== "failed");
    const key = JSON.stringify(each.files);
    if (links.dataset.key === key) return;
    links.dataset.key = key;
    links.replaceChildren(
      ...(each.files || []).map((file) =>
        el(
          "a",
          {
            class: "btn file-link",
            href: file.url,
            download: file.name,
            "aria-label": `Download ${file.name}, ${bytes(file.bytes)}`,
          },
          icon("download"),
          el("span", { class: "ellipsis", text: file.name }),
          el("span", { class: "hint num", text: bytes(file.bytes) }),
        ),
      ),
    );
  };
  return node;
}
