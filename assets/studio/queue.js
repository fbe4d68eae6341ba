// queue.js: who waits for the one device, in order; up, down, and out of the queue.
import { button, el, keyedList, setAttr, setText } from "./dom.js";
import { attempt } from "./toast.js";

const STATES = {
  running: "on the device",
  loading: "loading the model",
  pausing: "pausing",
  queued: "waiting",
  paused: "paused",
};

/** Build the list inside `root`; returns a function that ends it. */
export function mountQueue(root, { store, commands }) {
  const list = el("ol", { class: "queue-list", "aria-label": "Queue" });
  const empty = el("p", { class: "muted", text: "Nothing waits." });
  root.append(list, empty);

  const move = (project, step, from) => {
    const order = store.state.queue.map((item) => item.project);
    const at = order.indexOf(project);
    if (at < 0 || at + step < 0 || at + step >= order.length) return;
    [order[at], order[at + step]] = [order[at + step], order[at]];
    attempt(commands.queue({ order })).then(() => from.isConnected && from.focus());
  };
  const render = keyedList(
    list,
    (item) => item.project,
    (item) => {
      const name = el("span", { class: "ellipsis grow", dir: "auto" });
      const state = el("span", { class: "hint num" });
      const up = button("Move up", () => move(item.project, -1, up), {
        icon: "down",
        iconOnly: true,
        class: "quiet small turned",
      });
      const down = button("Move down", () => move(item.project, 1, down), {
        icon: "down",
        iconOnly: true,
        class: "quiet small",
      });
      const out = button("Cancel", () => attempt(commands.unqueue({}, item.project)), {
        icon: "close",
        iconOnly: true,
        class: "quiet small",
      });
      const node = el("li", { class: "row queue-item" }, name, state, up, down, out);
      node.update = (now, index, count) => {
        setText(name, now.name);
        setAttr(node, "aria-current", now.project === store.state.project?.id ? "true" : null);
        setText(state, `${STATES[now.state] || now.state}${now.total ? `, ${now.done} of ${now.total}` : ""}`);
        const busy = now.state !== "queued"; // what is on the device stays first
        setAttr(up, "disabled", busy || index < 2);
        setAttr(down, "disabled", busy || index === 0 || index === count - 1);
        for (const [control, words] of [
          [up, "Move up"],
          [down, "Move down"],
          [out, "Cancel"],
        ])
          setAttr(control, "aria-label", `${words}: ${now.name}`);
      };
      return node;
    },
    (node, item, index) => node.update(item, index, store.state.queue.length),
  );
  return store.on(["queue"], (state) => {
    render(state.queue);
    setAttr(empty, "hidden", state.queue.length > 0);
  });
}
