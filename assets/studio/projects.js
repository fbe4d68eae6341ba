// projects.js: the dialog of recent projects: open, duplicate, download, delete (with undo), and files to open.
import { button, el, icon, keyedList, setAttr, setText } from "./dom.js";
import { BASE } from "./commands.js";
import { busily, openDialog } from "./dialog.js";
import { count, duration } from "./format.js";
import { openStart } from "./start.js";
import { toast, attempt } from "./toast.js";
import { fileButton, uploadFile } from "./upload.js";

const SEARCH_FROM = 7; // with so many projects a search box helps
const AGO = [
  [60, "second"],
  [60, "minute"],
  [24, "hour"],
  [7, "day"],
  [4.35, "week"],
  [12, "month"],
  [Infinity, "year"],
];

/** Open the dialog. */
export function openProjects(ctx) {
  const { store, commands } = ctx;
  const list = el("ul", { class: "projects" });
  const empty = el("p", { class: "muted projects-empty", text: "Loading…" });
  const search = el("input", {
    class: "input",
    type: "search",
    placeholder: "Search",
    "aria-label": "Search projects",
    hidden: true,
  });
  const open = fileButton("Open a file", (file) =>
    busily(list, dialog, async () => {
      await uploadFile(ctx, file, (part) =>
        dialog.status(part < 1 ? `Uploading… ${Math.round(part * 100)} %` : "Checking the file…"),
      );
      dialog.close();
    }),
  );
  const dialog = openDialog({
    title: "Projects",
    size: "medium",
    body: el("div", { class: "stack" }, search, list, empty),
    actions: [
      open,
      button(
        "New project",
        () => {
          dialog.close();
          openStart(ctx);
        },
        { icon: "plus", class: "primary" },
      ),
    ],
  });
  let projects = [];

  const act = {
    open(id) {
      dialog.close();
      if (id !== store.state.project?.id) commands.open(id);
    },
    async duplicate(id, from) {
      const answer = await busily(from, dialog, () => commands.duplicate({}, id));
      if (answer) {
        await refresh();
        dialog.status("Duplicated.");
      }
    },
    async remove(id, from) {
      const { name } = projects.find((each) => each.id === id);
      const answer = await busily(from, dialog, () => commands.delete({}, id));
      if (!answer) return;
      const back = async () => {
        if (!(await attempt(commands.restore(answer.undo)))) return;
        if (list.isConnected) refresh();
        else if (!store.state.project) commands.open(id);
      };
      toast(`“${name.length > 40 ? `${name.slice(0, 39)}…` : name}” was deleted.`, "info", { label: "Undo", run: back });
      await refresh();
      (list.querySelector("button") || dialog.node.querySelector(".dialog-close")).focus();
    },
  };

  const rows = keyedList(
    list,
    (each) => each.id,
    (each) => makeRow(each, act),
    (node, each) => node.update(each, each.id === store.state.project?.id),
  );
  const render = () => {
    const wanted = search.value.trim().toLowerCase();
    const found = projects.filter((each) => each.name.toLowerCase().includes(wanted));
    rows(found);
    setAttr(search, "hidden", projects.length < SEARCH_FROM);
    setAttr(empty, "hidden", found.length > 0);
    setText(
      empty,
      wanted ? "No project has that in its name." : "No projects yet. Start a new one: an example frame is enough.",
    );
  };

  async function refresh() {
    try {
      const home = await commands.home();
      store.set({ home });
      projects = home.projects;
      render();
    } catch (error) {
      setText(empty, "");
      dialog.status(error.message, "error");
    }
  }

  search.addEventListener("input", render);
  if (store.state.home) {
    projects = store.state.home.projects;
    render();
  }
  refresh();
}

function makeRow({ id }, act) {
  const thumb = el("img", { class: "project-thumb", alt: "", loading: "lazy", draggable: false });
  const name = el("span", { class: "project-name ellipsis", dir: "auto" });
  const meta = el("span", { class: "hint num ellipsis" });
  const badge = el("span", { class: "chip", hidden: true });
  const pick = el(
    "button",
    { class: "project-pick", type: "button", on: { click: () => act.open(id) } },
    thumb,
    el("span", { class: "project-words" }, el("span", { class: "row" }, name, badge), meta),
  );
  const copy = button("Duplicate", () => act.duplicate(id, copy), { icon: "copy", iconOnly: true, class: "quiet" });
  const save = el(
    "a",
    {
      class: "btn quiet icon",
      href: `${BASE}/p/${encodeURIComponent(id)}/project.tv2tv`,
      download: "",
      title: "Download project file",
    },
    icon("download"),
  );
  const remove = button("Delete", () => act.remove(id, remove), { icon: "trash", iconOnly: true, class: "quiet" });
  const node = el("li", { class: "project" }, pick, el("div", { class: "row project-tools" }, copy, save, remove));
  node.update = (each, current) => {
    setText(name, each.name);
    setText(meta, [count(each.chunks, "chunk"), duration(each.seconds), ago(each.updated)].filter(Boolean).join(" · "));
    setAttr(thumb, "src", each.thumb);
    setAttr(thumb, "hidden", !each.thumb);
    const working = ["queued", "loading", "running", "pausing", "paused", "failed"].includes(each.job);
    setAttr(badge, "hidden", !current && !working);
    setText(badge, current ? "open now" : each.job);
    setAttr(node, "data-current", current ? "" : null);
    setAttr(pick, "aria-label", `Open ${each.name}, ${meta.textContent}`);
    for (const [control, verb] of [
      [copy, "Duplicate"],
      [save, "Download project file of"],
      [remove, "Delete"],
    ])
      setAttr(control, "aria-label", `${verb} ${each.name}`);
  };
  return node;
}

/** "5 minutes ago" for an ISO time; "" when it is none. */
function ago(iso) {
  let span = (Date.now() - Date.parse(iso)) / 1000;
  if (!Number.isFinite(span)) return "";
  if (span < 45) return "just now";
  for (const [size, unit] of AGO) {
    if (span < size) return new Intl.RelativeTimeFormat("en", { numeric: "auto" }).format(-Math.round(span), unit);
    span /= size;
  }
  return "";
}
