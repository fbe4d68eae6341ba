// settings.js: the dialog of generation settings (rows of the server's one table), the theme, and the queue for the device.
import { button, el, setAttr, setText } from "./dom.js";
import { busily, openDialog, segmented } from "./dialog.js";
import { mountQueue } from "./queue.js";

/** Open the dialog for the open project. */
export function openSettings({ store, commands }) {
  const table = el("div", { class: "settings", role: "group", "aria-label": "Generation settings" });
  const save = button("Save", () => send(), { class: "primary", disabled: true });
  const reset = button("Reset to preset", () => rows.forEach((row) => row.set(row.preset)), { class: "quiet" });
  const queue = el("div", {});
  const note = el("p", { class: "hint" });
  const dialog = openDialog({
    title: "Settings",
    size: "medium",
    actions: [reset, button("Cancel", () => dialog.close()), save],
    body: el(
      "div",
      { class: "stack settings-body" },
      el("section", { class: "stack" }, el("h3", { class: "label", text: "Generation, from the next chunk on" }), table),
      el(
        "section",
        { class: "stack" },
        segmented(
          "Theme",
          [
            ["auto", "System"],
            ["dark", "Dark"],
            ["light", "Light"],
          ],
          store.state.theme,
          (theme) => store.set({ theme }),
        ),
      ),
      el("section", { class: "stack" }, el("h3", { class: "label", text: "Queue for the device" }), queue, note),
    ),
  });
  let rows = [];

  const check = () => {
    const wrong = rows.map((row) => row.problem()).find(Boolean);
    dialog.status(wrong || "", "error");
    setAttr(save, "disabled", Boolean(wrong) || !rows.some((row) => row.changed()));
  };

  async function send() {
    const body = Object.fromEntries(rows.filter((row) => row.changed()).map((row) => [row.name, row.value()]));
    if (await busily(save, dialog, () => commands.settings(body))) dialog.close();
  }

  function fill(home) {
    const project = store.state.project;
    if (!home || rows.length) return;
    const preset = home.presets.find((each) => each.name === project?.preset)?.settings || {};
    rows = project
      ? home.settings.map((row) => makeRow(row, project.settings[row.name], preset[row.name] ?? row.default, check))
      : [];
    table.replaceChildren(...rows.map((row) => row.node));
    if (!project) table.append(el("p", { class: "muted", text: "Open a project to change how it is generated." }));
    const minutes = Math.round(home.idle_unload_s / 60);
    setText(
      note,
      "One project at a time uses the device. An idle model leaves memory after " +
        `${minutes === 1 ? "a minute" : `${minutes} minutes`} and comes back when it is needed.`,
    );
    table.querySelector("input")?.focus({ preventScroll: true });
  }

  table.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !save.disabled) send();
  });
  fill(store.state.home);
  if (!rows.length)
    commands
      .home()
      .then((home) => {
        store.set({ home });
        fill(home);
      })
      .catch((error) => dialog.status(error.message, "error"));
  dialog.closed.then(mountQueue(queue, { store, commands }));
}

let serial = 0;

/** One row of the table: label, slider (not for the seed), number, allowed range, back to the preset. */
function makeRow(row, current, preset, onChange) {
  const id = `tv2tv-setting-${++serial}`;
  const seed = row.name === "seed";
  const whole = row.type === "int";
  const step = whole ? 1 : row.maximum > 20 ? 0.25 : row.maximum > 2 ? 0.1 : 0.01;
  const start = String(current ?? preset);
  const box = el("input", {
    class: "input num",
    id,
    inputMode: whole ? "numeric" : "decimal",
    autocomplete: "off",
    "aria-describedby": `${id}-help`,
  });
  const slider = seed
    ? null
    : el("input", {
        type: "range",
        min: String(row.minimum),
        max: String(row.maximum),
        step: String(step),
        "aria-label": row.label,
        tabIndex: 0,
      });
  const allowed = seed ? "a whole number from 0" : `${row.minimum} to ${row.maximum}`;
  const set = (value) => {
    box.value = String(value);
    if (slider) slider.value = String(value);
    tell();
  };
  const back = seed
    ? button("Another seed", () => set(String(crypto.getRandomValues(new Uint32Array(1))[0])), {
        icon: "retry",
        iconOnly: true,
        class: "quiet",
      })
    : button(`Reset ${row.label} to ${preset}`, () => set(preset), { icon: "undo", iconOnly: true, class: "quiet" });
  const problem = () =>
    valid(box.value.trim().replace(",", "."), row, seed)
      ? ""
      : `${row.label} is “${box.value.slice(0, 20)}”; allowed is ${allowed}.`;
  const tell = () => {
    setAttr(box, "aria-invalid", problem() ? "true" : null);
    if (!seed) setAttr(back, "disabled", Number(box.value) === Number(preset));
    onChange();
  };
  box.addEventListener("input", () => {
    if (slider && box.value) slider.value = box.value;
    tell();
  });
  slider?.addEventListener("input", () => {
    box.value = slider.value;
    tell();
  });
  const node = el(
    "div",
    { class: "setting" },
    el(
      "div",
      { class: "setting-words" },
      el("label", { for: id, text: row.label }),
      el("p", { class: "hint", id: `${id}-help`, text: `${sentence(row.help)} Allowed: ${allowed}.` }),
    ),
    el("div", { class: "setting-control" }, slider || el("span", {}), box, back),
  );
  box.value = start;
  if (slider) slider.value = start;
  if (!seed) setAttr(back, "disabled", Number(start) === Number(preset));
  return {
    node,
    set,
    preset: seed ? start : preset,
    name: row.name,
    problem,
    changed: () => box.value.trim() !== start,
    value: () => (seed ? box.value.trim() : Number(box.value.trim().replace(",", "."))),
  };
}

/** Seeds have 63 bits, more than numbers here can hold: they stay text. */
function valid(text, row, seed) {
  if (seed) return /^\d{1,19}$/.test(text) && BigInt(text) < 2n ** 63n;
  const value = Number(text);
  return (
    text !== "" &&
    Number.isFinite(value) &&
    value >= row.minimum &&
    value <= row.maximum &&
    (row.type !== "int" || Number.isInteger(value))
  );
}

const sentence = (text) => `${text.replace(/^./, (first) => first.toUpperCase()).replace(/[.]$/, "")}.`;
