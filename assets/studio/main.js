// Builds the studio into the page's one element and starts it: shell, parts, clock, live line, which project is open.
import { mountDrop } from "./drop.js";
import { startClock } from "./clock.js";
import { makeCommands } from "./commands.js";
import { mountCompare } from "./compare.js";
import { el, setAttr, setText } from "./dom.js";
import { mountDrive } from "./drive.js";
import { mountHeader } from "./header.js";
import { openHelp } from "./help.js";
import { mountInspector } from "./inspector.js";
import { mountKeys } from "./keys.js";
import { makeSocket } from "./socket.js";
import { mountStage } from "./stage.js";
import { Store, busy, frameUrl } from "./store.js";
import { mountTakes } from "./takes.js";
import { mountTimeline } from "./timeline.js";
import { mountToasts, toast } from "./toast.js";
import { mountControls, mountTransport } from "./transport.js";

const SHEETS = ["tokens", "layout", "stage", "timeline", "panels", "dialogs"];
const PROJECT = /^[0-9a-f]{16}$/;
const LAST = "tv2tv.project"; // the project this browser had open
const HASTENED = 4; // frames: all of a short chunk
const RETRY = 2000; // ms between attempts to reach a server that is away while the page opens

/** Build the studio inside `host` (the page's static element). Calling it again for the same element does nothing. */
export async function start(host) {
  if (!host || host.__tv2tv) return;
  const store = new Store();
  const commands = makeCommands(store);
  const perf = { chunkShown: [], fromServer: [], pending: new Map() };
  host.__tv2tv = { store, perf, commands };
  await Promise.all(SHEETS.map(sheet));
  const root = el("div", { class: "tv", data: { testid: "studio", job: "idle", theme: "dark" } });
  watchTheme(store, root);
  host.replaceChildren(root);
  build(root, store, commands, perf);
  startClock(store);
  openProjects(root, store, commands, perf);
}

/** Load one style sheet; the studio shows itself when all are there. */
function sheet(name) {
  const { href } = new URL(`${name}.css`, import.meta.url);
  const there = [...document.querySelectorAll("link[rel=stylesheet]")].find((link) => link.href === href); // the page may bring it
  if (there?.sheet) return Promise.resolve();
  return new Promise((resolve) => {
    const link = there || el("link", { rel: "stylesheet", href });
    for (const type of ["load", "error"]) link.addEventListener(type, resolve);
    if (!there) document.head.append(link);
  });
}

/** The shell and every part in it. */
function build(root, store, commands, perf) {
  const area = (name, tag = "div", props = {}) => el(tag, { class: name, ...props });
  const header = area("top", "header");
  const stage = area("stage", "section", { "aria-label": "Stage" });
  const transport = area("transport", "div", { role: "group", "aria-label": "Playing" });
  const controls = area("controls", "div", { role: "group", "aria-label": "Making" });
  const side = area("side", "aside", { "aria-label": "Details" });
  const timeline = area("timeline", "section", { "aria-label": "Timeline" });
  root.append(
    header,
    banner(store),
    el("div", { class: "middle" }, stage, transport, controls),
    timeline,
    side,
    announcer(store),
  );
  mountToasts(root);

  const context = { store, commands, root, perf, slots: {} };
  const places = mountStage(stage, context);
  mountTransport(transport, context);
  context.slots.drive = places.drive;
  context.slots.controls = mountControls(controls, context);
  const zoom = mountTimeline(timeline, context);
  mountHeader(header, context);
  const panels = tabs(side, store);
  mountInspector(panels.inspector, context);
  mountTakes(panels.takes, context);
  mountCompare(places.compare, context);
  mountDrive(context);
  mountDrop(context);
  mountKeys({ ...context, zoom, help: () => openHelp(context) });
  store.on(["job"], (state) => {
    root.dataset.job = state.job.state === "queued" ? "loading" : state.job.state;
  });
}

/** The two tabs of the right panel; state.panel says which one is shown. */
function tabs(side, store) {
  const names = { inspector: "Inspector", takes: "Takes" };
  const list = el("div", { class: "tabs", role: "tablist", "aria-label": "Details" });
  const panels = {};
  const heads = {};
  for (const [key, label] of Object.entries(names)) {
    heads[key] = el("button", {
      type: "button",
      role: "tab",
      id: `tv-tab-${key}`,
      "aria-controls": `tv-panel-${key}`,
      text: label,
      on: { click: () => store.set({ panel: key }) },
    });
    panels[key] = el("div", { class: "panel", role: "tabpanel", id: `tv-panel-${key}`, "aria-labelledby": `tv-tab-${key}` });
    list.append(heads[key]);
  }
  const count = el("span", { class: "tab-count num", "aria-hidden": "true" });
  heads.takes.append(count);
  list.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    event.preventDefault();
    const other = store.state.panel === "inspector" ? "takes" : "inspector";
    store.set({ panel: other });
    heads[other].focus();
  });
  side.append(list, panels.inspector, panels.takes);
  store.on(["panel"], (state) => {
    for (const key of Object.keys(names)) {
      const here = state.panel === key;
      setAttr(heads[key], "aria-selected", String(here));
      heads[key].tabIndex = here ? 0 : -1;
      panels[key].hidden = !here;
    }
  });
  store.on(["takes"], (state) => setText(count, state.takes.length > 1 ? state.takes.length : ""));
  return panels;
}

/** The strip that says that the server is away. It lies over the page's edge, so nothing moves when it comes. */
function banner(store) {
  const node = el(
    "div",
    { class: "banner", role: "status", hidden: true },
    el("i", { class: "pulse" }),
    el("span", { text: "Connection lost; trying again…" }),
    el("span", { class: "banner-more", text: "Everything made so far is saved." }),
  );
  store.on(["connected"], (state) => {
    node.hidden = state.connected !== "lost";
  });
  return node;
}

/** What a screen reader is told: changes of state, and every fifth chunk. */
function announcer(store) {
  const node = el("div", { class: "sr", role: "status", "aria-live": "polite" });
  let job = null;
  let told = 0;
  let project = null;
  store.on(["job", "path", "project"], (state) => {
    const made = state.path.length;
    if (state.project?.id !== project) {
      project = state.project?.id; // what was said was about another project
      job = state.job.state;
      told = made;
      setText(node, "");
    }
    if (state.job.state !== job) {
      if (job !== null || state.job.state !== "idle") setText(node, spoken(state, job));
      job = state.job.state;
      told = made;
    } else if (busy(state) && made >= told + 5) {
      told = made;
      setText(node, `Chunk ${made} made${state.job.total ? `, ${state.job.done} of ${state.job.total}` : ""}`);
    }
  });
  return node;
}

function spoken(state, before) {
  const made = `${state.path.length} chunks`;
  switch (state.job.state) {
    case "queued":
      return "Waiting for the device";
    case "loading":
      return "Loading the model";
    case "running":
      return "Generating";
    case "pausing":
      return "Pausing at the next boundary";
    case "paused":
      return `Paused. ${made}.`;
    case "failed":
      return ""; // the stage raises this one as an alert
    default:
      return before ? `Finished. ${made}.` : "";
  }
}

/** data-theme: the chosen one, or what the system prefers. */
function watchTheme(store, root) {
  const light = matchMedia("(prefers-color-scheme: light)");
  const apply = () => {
    const { theme } = store.state;
    root.dataset.theme = theme === "light" || theme === "dark" ? theme : light.matches ? "light" : "dark";
  };
  store.on(["theme"], apply);
  light.addEventListener("change", apply);
}

/** Which project is open: the address says it, then this browser's memory; otherwise a new one from the example start. */
function openProjects(root, store, commands, perf) {
  const socket = makeSocket(store, {
    message: (message, at) => receive(store, perf, message, at, openNew),
    missing: () => openNew("That project is not here any more; this is a new one."),
    refused: () =>
      toast("The server refused this page. Open the studio from the address that it printed when it started.", "error"),
  });
  commands.send = socket.send;
  let current = null;

  function open(id) {
    if (!id || id === current) return;
    current = id;
    store.reset();
    remember(id);
    socket.open(id);
  }
  async function openNew(notice) {
    current = null;
    socket.close();
    try {
      const { id } = await commands.createProject({});
      if (notice) toast(notice, "warning");
      history.replaceState(null, "", `#p=${encodeURIComponent(id)}`);
      open(id);
    } catch (error) {
      store.set({ connected: "lost" });
      toast(error.message, "error");
      setTimeout(() => openNew(notice), RETRY);
    }
  }
  const loadHome = () =>
    commands.home().then(
      (home) => store.set({ home }),
      () => setTimeout(loadHome, RETRY),
    );

  window.addEventListener("hashchange", () => open(fromAddress()));
  const id = fromAddress() || remembered();
  if (id) {
    history.replaceState(null, "", `#p=${encodeURIComponent(id)}`);
    open(id);
  } else {
    openNew(null);
  }
  loadHome();
}

/** One message of the server: times of chunks are kept for measuring, notices are shown, all else is the store's. */
function receive(store, perf, message, at, openNew) {
  if (message.type === "chunk") {
    perf.pending.set(message.chunk.id, { at, t: message.t ?? null });
    if (message.take === store.state.active && !document.hidden) hasten(store.state, message.chunk.id);
  } else if (message.type === "notice") {
    toast(message.text, message.level);
  } else if (message.type === "gone") {
    openNew("That project was deleted; this is a new one. Projects has the others.");
  }
  store.apply(message);
}

/** Ask for a chunk's first frames at once, not only when the next paint puts them into the page. */
function hasten(state, id) {
  for (let k = 0; k < Math.min(HASTENED, state.project.chunk_frames); k++) new Image().src = frameUrl(state, id, k);
}

function fromAddress() {
  const id = new URLSearchParams(location.hash.slice(1)).get("p");
  return id && (PROJECT.test(id) ? id : "0".repeat(16)); // what cannot be an id is a project that is not there
}

function remembered() {
  try {
    return localStorage.getItem(LAST);
  } catch {
    return null; // storage is off: every visit starts anew
  }
}

function remember(id) {
  try {
    localStorage.setItem(LAST, id);
  } catch {
    return; // storage is off
  }
}
