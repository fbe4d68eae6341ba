// takes.js: the region "Takes": every future as a tree, to switch, rename, compare and delete; the tree itself is tree.js.
import { openBridge } from "./bridge.js";
import { button, el, keyedList, setAttr, setText } from "./dom.js";
import { count, duration } from "./format.js";
import { busy } from "./store.js";
import { attempt, toast } from "./toast.js";
import { treeOf } from "./tree.js";

const MOST_NAME = 60;

/** Build the list of takes inside `root`. */
export function mountTakes(root, { store, commands }) {
  const list = el("ul", { class: "takes-list" });
  const hint = el("p", {
    class: "hint takes-hint",
    text: "Rewrite a chunk or ask for another try: the new future appears here as a take, the old one stays.",
  });
  const bridge = button("Bridge to…", () => openBridge({ store, commands }), { icon: "branch" });
  bridge.title = "A new take that leads towards a frame of your choice";
  root.append(el("section", { class: "takes", "aria-label": "Takes" }, list, hint, bridge));
  const rows = new Map(); // take id → its parts

  const actions = {
    switchTo: (id) => id !== store.state.active && attempt(commands.switch({ take: id })),
    rename: (id, name) => attempt(commands.rename_take({ take: id, name })),
    compare: (id) => store.set({ compare: store.state.compare === id ? null : id }),
    async remove(id) {
      const name = nameOf(id);
      if (await attempt(commands.delete_take({ take: id }))) {
        toast(`“${short(name)}” was deleted.`, "info", { label: "Undo", run: () => attempt(commands.undo()) });
      }
    },
  };
  const nameOf = (id) => store.state.takes.find((take) => take.id === id)?.name ?? "Take";

  const render = keyedList(
    list,
    ({ take }) => take.id,
    ({ take }) => {
      const parts = makeRow(take.id, actions, nameOf);
      rows.set(take.id, parts);
      return parts.node;
    },
    (node, { take, depth }) => update(rows.get(take.id), take, depth, store.state),
  );

  store.on(["project", "job"], (state) => setAttr(bridge, "disabled", !state.project || busy(state)));
  store.on(["takes", "active", "compare", "project"], (state) => {
    render(treeOf(state.takes));
    for (const id of rows.keys()) if (!state.takes.some((take) => take.id === id)) rows.delete(id);
    setAttr(hint, "hidden", state.takes.length > 1);
  });
}

const short = (name) => (name.length > 40 ? `${name.slice(0, 39)}…` : name);

function makeRow(id, actions, nameOf) {
  const parts = {
    thumb: el("img", { class: "take-thumb", alt: "", loading: "lazy", draggable: false }),
    name: el("span", { class: "take-name ellipsis", dir: "auto" }),
    meta: el("span", { class: "hint num ellipsis" }),
    own: el("i", {}),
    shared: el("b", {}),
  };
  parts.pick = el(
    "button",
    { class: "take-pick", type: "button", on: { click: () => actions.switchTo(id) } },
    parts.thumb,
    el(
      "span",
      { class: "take-words" },
      parts.name,
      parts.meta,
      el("span", { class: "take-length", "aria-hidden": "true" }, parts.shared, parts.own),
    ),
  );
  parts.rename = button("Rename", () => beginRename(parts, id, actions, nameOf), {
    icon: "pencil",
    iconOnly: true,
    class: "quiet small",
  });
  parts.compare = button("Compare", () => actions.compare(id), { icon: "compare", iconOnly: true, class: "quiet small" });
  parts.remove = button("Delete", () => actions.remove(id), { icon: "trash", iconOnly: true, class: "quiet small" });
  parts.pick.addEventListener("keydown", (event) => {
    if (event.key === "F2") {
      event.preventDefault();
      beginRename(parts, id, actions, nameOf);
    }
    if (event.key === "Delete") {
      event.preventDefault();
      actions.remove(id);
    }
  });
  parts.name.addEventListener("dblclick", () => beginRename(parts, id, actions, nameOf));
  parts.tools = el("div", { class: "take-tools" }, parts.rename, parts.compare, parts.remove);
  parts.node = el("li", { class: "take" }, parts.pick, parts.tools);
  return parts;
}

function update(parts, take, depth, state) {
  const active = take.id === state.active;
  const longest = Math.max(1, ...state.takes.map((each) => each.chunks));
  const fork = take.parent == null ? 0 : Math.min(take.at, take.chunks);
  setText(parts.name, take.name);
  setText(
    parts.meta,
    `${count(take.chunks, "chunk")} · ${duration(take.seconds)}${take.parent == null ? "" : ` · from chunk ${take.at + 1}`}`,
  );
  if (parts.thumb.getAttribute("src") !== take.thumb) setAttr(parts.thumb, "src", take.thumb);
  parts.shared.style.width = `${(fork / longest) * 100}%`;
  parts.own.style.width = `${((take.chunks - fork) / longest) * 100}%`;
  parts.node.style.setProperty("--depth", String(Math.min(depth, 6)));
  setAttr(parts.node, "data-fork", depth > 0 ? "" : null);
  setAttr(parts.node, "data-active", active ? "" : null);
  setAttr(parts.pick, "aria-current", active ? "true" : null);
  setAttr(parts.pick, "aria-label", `${take.name}, ${parts.meta.textContent}${active ? ", shown now" : ""}`);
  setAttr(parts.pick, "title", active ? "This take is shown" : "Show this take (F2 renames)");
  for (const [part, verb] of [
    ["rename", "Rename"],
    ["compare", "Compare"],
    ["remove", "Delete"],
  ])
    setAttr(parts[part], "aria-label", `${verb} ${take.name}`);
  setAttr(parts.compare, "disabled", active || null);
  setAttr(parts.compare, "aria-pressed", String(state.compare === take.id));
  setAttr(parts.remove, "disabled", state.takes.length < 2 || null);
}

/** Turns the name into a box: Enter or leaving it renames, Esc does not. */
function beginRename(parts, id, actions, nameOf) {
  if (parts.node.querySelector(".take-rename")) return;
  const box = el("input", {
    class: "input take-rename",
    "aria-label": "Name of the take",
    maxLength: MOST_NAME,
    autocomplete: "off",
    spellcheck: "false",
  });
  box.value = nameOf(id);
  let over = false;
  const finish = (keep, refocus) => {
    if (over) return;
    over = true;
    const name = box.value.trim();
    box.remove();
    setAttr(parts.node, "data-renaming", null);
    if (refocus) parts.pick.focus();
    if (keep && name && name !== nameOf(id)) actions.rename(id, name);
  };
  box.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    event.stopPropagation();
    if (event.key !== "Enter" && event.key !== "Escape") return;
    event.preventDefault(); // the key must not press the button that gets the focus
    finish(event.key === "Enter", true);
  });
  box.addEventListener("blur", () => finish(true, false));
  setAttr(parts.node, "data-renaming", true);
  parts.node.append(box);
  box.focus();
  box.select();
}
