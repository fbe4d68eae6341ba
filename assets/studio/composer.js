// composer.js: the grammar's words as buttons that switch parts of a plan line on and off, for people who do not know the grammar yet.
import { el, setAttr } from "./dom.js";
import { LOOKS, TURNS, WEAPONS, readLine, toLine } from "./grammar.js";

const sign = (value) => (value > 0 ? 1 : value < 0 ? -1 : 0);

/** Every word: how it changes an action, and whether an action has it. `size` is the chosen number of degrees. */
const ROWS = [
  [
    "Move",
    [
      word(
        "stand",
        (a) => {
          a.forward = 0;
          a.strafe = 0;
        },
        (a) => !a.forward && !a.strafe,
      ),
      word(
        "walk",
        (a) => {
          a.pace = "walk";
          a.forward ||= a.strafe ? 0 : 1;
        },
        (a) => moves(a) && a.pace === "walk",
      ),
      word(
        "run",
        (a) => {
          a.pace = "run";
          a.forward ||= a.strafe ? 0 : 1;
        },
        (a) => moves(a) && a.pace === "run",
      ),
      toward("forward", "forward", 1),
      toward("back", "forward", -1),
      toward("strafe left", "strafe", 1),
      toward("strafe right", "strafe", -1),
    ],
  ],
  ["Turn", [angle("left", "turn", 1), angle("right", "turn", -1)], "turn", TURNS],
  ["Look", [angle("up", "look", 1), angle("down", "look", -1)], "look", LOOKS],
  ["Do", [flag("jump"), flag("crouch"), flag("fire"), flag("use")], "weapon", WEAPONS],
];

function word(text, change, has) {
  return { text, change, has };
}

function moves(action) {
  return action.forward !== 0 || action.strafe !== 0;
}

function toward(text, key, way) {
  return word(
    text,
    (a) => {
      if (!moves(a)) a.pace = "run";
      a[key] = a[key] === way ? 0 : way;
    },
    (a) => a[key] === way,
  );
}

function angle(text, key, way) {
  return word(
    text,
    (a, size) => {
      a[key] = sign(a[key]) === way ? 0 : way * size;
    },
    (a) => sign(a[key]) === way,
  );
}

function flag(text) {
  return word(
    text,
    (a) => {
      a[text] = !a[text];
    },
    (a) => a[text],
  );
}

/**
 * The rows of words. `read()` gives the line being written, `write(line)` replaces it. Returns {node, refresh}: call `refresh`
 * whenever the line changed. A line in free words is left as it is: a word is then added behind it.
 */
export function composer({ read, write }) {
  const buttons = [];
  const selects = {};
  const apply = (text, change, size) => {
    const action = readLine(read());
    if (action) {
      change(action, size);
      write(toLine(action));
    } else {
      write(`${read().trim()}, ${text}`);
    }
  };
  const rows = ROWS.map(([label, words, extra, values]) => {
    const row = el(
      "div",
      { class: "words-row", role: "group", "aria-label": label },
      el("span", { class: "label", text: label, "aria-hidden": "true" }),
    );
    const list = el("div", { class: "words" });
    const free = (each) => (extra === "turn" || extra === "look" ? `${extra} ${each.text} ${selects[extra].value}` : each.text);
    for (const each of words) {
      const name = extra === "turn" || extra === "look" ? `${extra} ${each.text}` : null;
      const node = el("button", {
        class: "word",
        type: "button",
        "aria-pressed": "false",
        "aria-label": name,
        text: each.text,
      });
      node.addEventListener("pointerdown", (event) => event.preventDefault()); // the box keeps the focus and the caret
      node.addEventListener("click", () => apply(free(each), each.change, Number(selects[extra]?.value)));
      buttons.push([node, each]);
      list.append(node);
    }
    const turned = () => Boolean(readLine(read())?.[extra]);
    if (extra) list.append(choice(extra, values, selects, apply, turned));
    row.append(list);
    return row;
  });
  const refresh = () => {
    const action = readLine(read());
    const empty = !read().trim();
    for (const [node, each] of buttons) setAttr(node, "aria-pressed", String(Boolean(action && !empty && each.has(action))));
    for (const key of ["turn", "look"]) if (action?.[key]) selects[key].value = String(Math.abs(action[key]));
    if (action) selects.weapon.value = action.weapon;
  };
  refresh();
  return { node: el("div", { class: "composer" }, rows), refresh };
}

/** The choice at the end of a row: how far to turn or look, or which weapon to take. */
function choice(key, values, selects, apply, turned) {
  const weapon = key === "weapon";
  const select = el(
    "select",
    { class: "input word-choice", "aria-label": weapon ? "Switch to weapon" : `Degrees to ${key}` },
    weapon ? el("option", { value: "", text: "switch to …" }) : null,
    values.map((value) => el("option", { value: String(value), text: weapon ? value : `${value}°` })),
  );
  select.value = weapon ? "" : String(key === "turn" ? 15 : 10);
  select.addEventListener("change", () => {
    if (weapon)
      apply(`switch to ${select.value}`, (a) => {
        a.weapon = select.value;
      });
    else if (turned())
      apply("", (a) => {
        a[key] = sign(a[key]) * Number(select.value);
      });
  });
  selects[key] = select;
  return select;
}
