// upload.js: a file chosen in a dialog becomes a project: what may be chosen, and the way to the server. Drops on the page: drop.js.
import { button, el } from "./dom.js";
import { toast } from "./toast.js";

/** What a file input may offer. */
export const ACCEPT = "image/png,image/jpeg,image/webp,image/bmp,video/*,.mp4,.webm,.mkv,.mov,.avi,.tv2tv";
const NAMES = /\.(png|jpe?g|webp|bmp|gif|mp4|m4v|webm|mkv|mov|avi|tv2tv)$/i;
const TYPES = /^(image|video)\//;
const SHORTEST_NAME = 48;

const shorten = (name) => (name.length > SHORTEST_NAME ? `${name.slice(0, 30)}…${name.slice(-14)}` : name);

/** Why a file cannot be used, or "" when the server may look at it. */
export function objection(file) {
  if (!NAMES.test(file.name) && !TYPES.test(file.type)) {
    return `“${shorten(file.name)}” is no picture, video or project. Choose a PNG, JPEG, WebP, MP4, WebM or .tv2tv file.`;
  }
  return file.size === 0 ? `“${shorten(file.name)}” is empty. Choose another file.` : "";
}

/**
 * Upload `file`, open what came of it and give {id, notice}. `onProgress(share)`; `wanted` may hold the name, prompt and preset of
 * a project that starts from a picture or a video. Throws Error for people.
 */
export async function uploadFile({ commands }, file, onProgress = () => {}, wanted = {}) {
  const wrong = objection(file);
  if (wrong) throw new Error(wrong);
  const answer = await commands.upload(file, onProgress, wanted);
  commands.open(answer.id);
  if (answer.notice) toast(answer.notice);
  return answer;
}

/** A button that opens the browser's file chooser; `onFile(file)`. */
export function fileButton(label, onFile, props = {}) {
  const input = el("input", { type: "file", accept: ACCEPT, hidden: true, tabIndex: -1, "aria-hidden": "true" });
  input.addEventListener("change", () => {
    if (input.files[0]) onFile(input.files[0]);
    input.value = ""; // the same file may be chosen again
  });
  return el(
    "span",
    { class: "file-button" },
    button(label, () => input.click(), props),
    input,
  );
}
