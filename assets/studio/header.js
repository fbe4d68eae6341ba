// The top bar: which project this is, what can be done with it as a whole, undo and redo, the queue, theme, help, export.
import { button, el, setAttr, setIcon, setText } from "./dom.js";
import { openExport } from "./export.js";
import { count } from "./format.js";
import { openHelp } from "./help.js";
import { menuButton } from "./menu.js";
import { openProjects } from "./projects.js";
import { mountQueue } from "./queue.js";
import { openSettings } from "./settings.js";
import { openStart } from "./start.js";
import { openStoryboard } from "./storyboard.js";
import { logOut } from "./commands.js";
import { attempt, toast } from "./toast.js";

const LONGEST = 120; // characters of a project's name

export function mountHeader(root, context) {
  const { store, commands } = context;
  const undo = button("Undo", () => attempt(commands.undo()), { icon: "undo", iconOnly: true, class: "quiet" });
  const redo = button("Redo", () => attempt(commands.redo()), { icon: "redo", iconOnly: true, class: "quiet" });
  const theme = button("Light theme", () => switchTheme(store), { icon: "sun", iconOnly: true, class: "quiet wide-only" });
  const help = button("Keyboard shortcuts", () => openHelp(context), {
    icon: "help",
    iconOnly: true,
    class: "quiet wide-only",
  });
  const exporting = button("Export", () => openExport(context), { class: "outline", icon: "download" });
  root.append(
    el("span", { class: "brand wide-only", "aria-hidden": "true" }, "TV", el("b", { text: "2" }), "TV"),
    projectMenu(context).node,
    nameField(store, commands),
    el("div", { class: "cluster" }, undo, redo),
    el("span", { class: "saved hint wide-only", text: "Autosaved" }),
    el("span", { class: "grow" }),
    queueChip(context),
    theme,
    help,
    exporting,
  );
  store.on(["undo", "redo"], (state) => {
    undo.disabled = !state.undo;
    redo.disabled = !state.redo;
    undo.title = state.undo ? `Undo: ${state.undo} (Ctrl+Z)` : "Nothing to undo";
    redo.title = state.redo ? `Redo: ${state.redo} (Ctrl+Shift+Z)` : "Nothing to redo";
  });
  store.on(["theme", "project"], () => {
    const dark = root.closest(".tv")?.dataset.theme !== "light";
    setIcon(theme, dark ? "sun" : "moon");
    setAttr(theme, "aria-label", dark ? "Light theme" : "Dark theme");
    theme.title = dark ? "Light theme" : "Dark theme";
  });
}

function switchTheme(store) {
  const dark = document.querySelector(".tv")?.dataset.theme !== "light";
  store.set({ theme: dark ? "light" : "dark" });
}

function projectMenu(context) {
  const { store, commands, root } = context;
  const narrow = () => matchMedia("(max-width: 640px)").matches;
  return menuButton("Project", { icon: "menu", class: "quiet project-menu" }, () => [
    { label: "New…", run: () => openStart(context) },
    { label: "Open…", run: () => openProjects(context) },
    { label: "Storyboard…", run: () => openStoryboard(context) },
    null,
    { label: "Settings…", run: () => openSettings(context) },
    { label: "Duplicate", run: () => duplicate(commands) },
    { label: "Download project", href: store.state.project ? commands.downloadUrl() : "#" },
    ...(root.closest("[data-login]") ? [null, { label: "Log out", run: () => attempt(logOut()) }] : []),
    ...(narrow() ? [null, { label: "Change theme", run: () => switchTheme(store) }] : []),
    ...(narrow() ? [{ label: "Keyboard shortcuts", run: () => openHelp(context) }] : []),
  ]);
}

async function duplicate(commands) {
  const answer = await attempt(commands.duplicate());
  if (!answer) return;
  toast("This is the copy; the first project stays as it was.", "info");
  commands.open(answer.id);
}

/** The project's name, edited in place: Enter or leaving saves, Escape takes back. What is being typed is never overwritten. */
function nameField(store, commands) {
  const input = el("input", {
    class: "input plain name",
    "aria-label": "Project name",
    maxlength: LONGEST,
    size: 1,
    spellcheck: "false",
    autocomplete: "off",
  });
  const ghost = el("span", { class: "name-ghost", "aria-hidden": "true" }); // gives the field the width of its text
  const fit = () => setText(ghost, input.value || " ");
  const show = () => {
    input.value = store.state.project?.name || "";
    fit();
  };
  input.addEventListener("input", fit);
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter") input.blur();
    else if (event.key === "Escape") {
      show();
      input.blur();
    }
  });
  input.addEventListener("blur", async () => {
    const name = input.value.trim();
    if (!store.state.project || name === store.state.project.name) return show();
    if (!name) {
      toast("A project needs a name; the old one was kept.", "warning");
      return show();
    }
    const answer = await attempt(commands.rename({ name }));
    if (answer) store.set({ project: { ...store.state.project, name } });
    else show();
    return undefined;
  });
  store.on(["project"], () => {
    if (document.activeElement !== input) show();
  });
  return el("div", { class: "name-place" }, ghost, input);
}

/** Which projects wait for the device, in order; each can be moved up or taken out. Shown when another project is in it. */
function queueChip(context) {
  const { store } = context;
  const { node } = menuButton("Queue", { class: "quiet queue-head" }, null, (panel) => fillQueue(panel, context));
  const head = node.querySelector("button");
  const number = el("span", { class: "num" });
  head.replaceChildren(el("span", { class: "queue-word", text: "Queue" }), number);
  const own = (state) => state.queue.length && (state.queue.length > 1 || state.queue[0].project !== state.project?.id);
  store.on(["queue", "project"], (state) => {
    node.hidden = !own(state);
    setText(number, state.queue.length);
    setAttr(head, "aria-label", `Queue, ${count(state.queue.length, "project")}`);
  });
  return node;
}

function fillQueue(panel, context) {
  panel.append(el("p", { class: "label queue-title", text: "One device, one project at a time" }));
  const end = mountQueue(panel, context);
  const watch = new MutationObserver(() => {
    if (!panel.hidden) return;
    end();
    watch.disconnect();
  });
  watch.observe(panel, { attributes: true, attributeFilter: ["hidden"] });
}
