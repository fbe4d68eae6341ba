// Files dropped on the studio: an image or video starts a project, a project file opens, an exported clip brings back its plan.
import { el, setText } from "./dom.js";
import { attempt, toast } from "./toast.js";

/** Accept dropped files anywhere on the page. */
export function mountDrop({ store, commands, root }) {
  const words = el("strong");
  const veil = el(
    "div",
    { class: "drop-veil", hidden: true },
    words,
    el("span", { text: "Image, video, exported clip or project file (.tv2tv)" }),
  );
  root.append(veil);
  let depth = 0;
  const has = (event) => [...(event.dataTransfer?.types || [])].includes("Files") && !document.querySelector("dialog[open]");

  window.addEventListener("dragenter", (event) => {
    if (!has(event)) return;
    depth += 1;
    setText(words, "Drop to open");
    veil.hidden = false;
  });
  window.addEventListener("dragleave", () => {
    depth = Math.max(0, depth - 1);
    if (!depth) veil.hidden = true;
  });
  window.addEventListener("dragover", (event) => has(event) && event.preventDefault());
  window.addEventListener("drop", async (event) => {
    depth = 0;
    veil.hidden = true;
    if (!has(event)) return;
    event.preventDefault();
    const files = [...event.dataTransfer.files];
    if (!files.length) return;
    if (files.length > 1) toast("Several files were dropped; the first one is opened.", "info");
    setText(words, `Reading ${files[0].name}…`);
    veil.hidden = false;
    const answer = await attempt(
      commands.upload(files[0], (share) => setText(words, `Sending ${files[0].name}: ${Math.round(share * 100)} %`)),
    );
    veil.hidden = true;
    if (!answer) return;
    if (answer.notice) toast(answer.notice, "info");
    if (answer.id && answer.id !== store.state.project?.id) commands.open(answer.id);
  });
}
