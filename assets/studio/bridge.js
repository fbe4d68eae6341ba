// bridge.js: the dialog "Bridge to…": a new take from a boundary towards a chosen frame, by search over the model's own futures.
import { busily, field, openDialog, segmented } from "./dialog.js";
import { button, el, setAttr } from "./dom.js";
import { duration } from "./format.js";
import { busy, frameUrl } from "./store.js";
import { fileButton } from "./upload.js";

const WHAT =
  "A search, not a blend: for every chunk the model tries a few lines of its own, and the one that ends nearest to the target is " +
  "kept. Where its futures do not lead there, it comes no nearer; at the end you are told how near. Takes a few times as long as Generate.";
const QUALITY = 0.95; // of the JPEG that a picture travels as

/** Open the dialog for the open project. */
export function openBridge({ store, commands }) {
  const { state } = store;
  const { project, takes, active, path } = state;
  if (!project) return;
  const from = state.selected == null ? path.length - 1 : Math.min(state.selected, path.length - 1);
  const chosen = takes.filter((each) => each.chunks > 0);
  const takeOf = () => takes.find((each) => each.id === take.value);
  const take = el(
    "select",
    { class: "input" },
    chosen.map((each) => el("option", { value: each.id, text: `${each.name.slice(0, 60)} · ${duration(each.seconds)}` })),
  );
  const number = el("input", { class: "input num", type: "number", inputMode: "numeric", min: "1", step: "1", value: "1" });
  const seconds = el("input", {
    class: "input num",
    type: "number",
    inputMode: "decimal",
    min: "0.25",
    max: "60",
    step: "any",
  });
  seconds.value = "3";
  const canvas = el("canvas", {
    class: "bridge-target",
    width: project.width,
    height: project.height,
    role: "img",
    "aria-label": "The target",
  });
  const paths = new Map([[active, path]]);
  let kind = chosen.length ? "chunk" : "picture";
  let target = null; // {target: chunk id} or {picture: JPEG in base64}
  let asked = 0;

  const framePlace = el("div", { class: "bridge-place" }, field("Take", take), field("Chunk", number, "Its first frame."));
  const picture = fileButton("Choose a picture", (file) => showPicture(file));
  picture.querySelector("input").accept = "image/*";
  const go = button("Bridge", () => send(), { class: "primary" });
  const begins = path.length
    ? `after chunk ${from + 1} of “${takes.find((each) => each.id === active)?.name}”`
    : "at the start frame";
  const dialog = openDialog({
    title: "Bridge to…",
    size: "medium",
    actions: [button("Cancel", () => dialog.close()), go],
    body: el(
      "div",
      { class: "stack" },
      el("p", { class: "hint", text: WHAT }),
      el("p", { text: `The new take begins ${begins}.` }),
      chosen.length
        ? segmented(
            "Target",
            [
              ["chunk", "A frame of a take"],
              ["picture", "A picture"],
            ],
            kind,
            (value) => {
              kind = value;
              show();
            },
          )
        : null,
      framePlace,
      picture,
      canvas,
      el("div", { class: "short-field" }, field("Seconds", seconds)),
    ),
  });

  function show() {
    setAttr(framePlace, "hidden", kind !== "chunk");
    setAttr(picture, "hidden", kind !== "picture");
    set(null, null);
    if (kind === "chunk") showChunk();
  }

  /** Paint an image, cut to the project's shape, and take it as the target. */
  function set(image, value) {
    const context = canvas.getContext("2d");
    context.fillRect(0, 0, canvas.width, canvas.height);
    if (image) {
      const scale = Math.max(canvas.width / image.width, canvas.height / image.height);
      const [width, height] = [image.width * scale, image.height * scale];
      context.imageSmoothingQuality = "high";
      context.drawImage(image, (canvas.width - width) / 2, (canvas.height - height) / 2, width, height);
    }
    target = value;
    check();
  }

  async function showChunk() {
    const mine = ++asked;
    const id = take.value;
    number.max = String(takeOf()?.chunks ?? 1);
    try {
      if (!paths.has(id)) paths.set(id, (await commands.takePath(id)).path);
      const chunk = paths.get(id)[Number(number.value) - 1];
      if (mine !== asked) return;
      if (!chunk) return void set(null, null);
      const image = new Image();
      image.src = frameUrl(store.state, chunk.id, 0);
      await image.decode();
      if (mine === asked) set(image, { target: chunk.id });
    } catch (error) {
      if (mine === asked) dialog.status(error.message, "error");
    }
  }

  async function showPicture(file) {
    const mine = ++asked;
    try {
      const image = await createImageBitmap(file);
      if (mine !== asked) return;
      set(image, null);
      target = { picture: canvas.toDataURL("image/jpeg", QUALITY).split(",")[1] };
      check();
    } catch {
      dialog.status("This file is no picture that the browser can read. Choose a PNG, JPEG or WebP.", "error");
    }
  }

  function check() {
    const length = Number(seconds.value);
    const right = length >= 0.25 && length <= 60;
    const running = busy(store.state);
    setAttr(go, "disabled", !target || !right || running);
    const chunks = takeOf()?.chunks ?? 0;
    const missing = kind === "chunk" ? `Chunks of this take go from 1 to ${chunks}.` : "Choose a picture.";
    const words = running
      ? "This project is being generated: pause it, or wait."
      : right
        ? target
          ? ""
          : missing
        : "Seconds go from 0.25 to 60.";
    dialog.status(words);
  }

  async function send() {
    const chunk = from < 0 ? null : path[from].id;
    const answer = await busily(go, dialog, () => commands.bridge({ chunk, seconds: Number(seconds.value), ...target }));
    if (answer) dialog.close();
  }

  take.addEventListener("change", () => {
    number.value = "1";
    showChunk();
  });
  number.addEventListener("input", showChunk);
  seconds.addEventListener("input", check);
  const off = store.on(["job"], check);
  dialog.closed.then(off);
  show();
}
