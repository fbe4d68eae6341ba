// A button that opens a menu below itself: arrows, Home, End and Escape work, a click elsewhere closes it.
import { button, el, setAttr } from "./dom.js";

/**
 * `label` names the button (`options` as in dom.js `button`). `items()` is asked on every opening and gives rows:
 * {label, run, key, class} or {label, href, download} or null for a line between groups. `fill(menu, close)` instead of items
 * fills the panel freely (then it is a dialog-like panel, not a menu). Returns {node, close}.
 */
export function menuButton(label, options, items, fill = null) {
  const head = button(label, () => (panel.hidden ? open() : close()), options);
  const panel = el("div", {
    class: `menu${fill ? " free" : ""}`,
    role: fill ? "group" : "menu",
    "aria-label": label,
    hidden: true,
  });
  const node = el("div", { class: "menu-place" }, head, panel);
  setAttr(head, "aria-haspopup", fill ? "true" : "menu");
  setAttr(head, "aria-expanded", "false");

  function open() {
    panel.replaceChildren();
    if (fill) fill(panel, close);
    else panel.append(...items().map((item) => (item ? row(item, close) : el("div", { class: "rule", role: "separator" }))));
    panel.hidden = false;
    panel.classList.toggle("to-left", head.getBoundingClientRect().left > innerWidth / 2);
    setAttr(head, "aria-expanded", "true");
    panel.querySelector("button, a")?.focus();
    document.addEventListener("pointerdown", outside, true);
  }

  function close(refocus = true) {
    if (panel.hidden) return;
    const inside = panel.contains(document.activeElement);
    panel.hidden = true;
    setAttr(head, "aria-expanded", "false");
    document.removeEventListener("pointerdown", outside, true);
    if (refocus && inside) head.focus();
  }

  function outside(event) {
    if (!node.contains(event.target)) close(false);
  }

  node.addEventListener("keydown", (event) => {
    if (panel.hidden) return;
    if (event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      close();
    } else if (!fill && ["ArrowDown", "ArrowUp", "Home", "End"].includes(event.key)) {
      event.preventDefault();
      event.stopPropagation();
      const rows = [...panel.querySelectorAll(".menu-item")];
      const here = rows.indexOf(document.activeElement);
      const to = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: -1 }[event.key];
      rows.at(to % rows.length)?.focus();
    }
  });
  node.addEventListener("focusout", (event) => {
    if (!panel.hidden && event.relatedTarget && !node.contains(event.relatedTarget)) close(false);
  });
  return { node, close };
}

function row(item, close) {
  const props = { class: `menu-item ${item.class || ""}`, role: "menuitem", tabindex: "-1" };
  const content = [
    el("span", { text: item.label }),
    item.key ? el("span", { class: "kbd", text: item.key, "aria-hidden": "true" }) : null,
  ];
  if (item.href)
    return el("a", { ...props, href: item.href, download: item.download || true, on: { click: () => close() } }, content);
  return el(
    "button",
    {
      ...props,
      type: "button",
      on: {
        click: () => {
          close();
          item.run();
        },
      },
    },
    content,
  );
}
