// drive.js: drive mode: what is held on keyboard, mouse or touch is told to the server, which makes each chunk's plan line of it.
import { button, setAttr } from "./dom.js";
import { dialogOpen } from "./dialog.js";
import { heldLine } from "./grammar.js";
import { makeHud } from "./hud.js";
import { busy, plainWords } from "./store.js";
import { attempt } from "./toast.js";

const HEARTBEAT = 500; // ms; the server lets go of everything after 1.5 s of silence

// by physical key, so that the hand finds them on every keyboard layout
const KEYS = {
  KeyW: "forward",
  KeyS: "back",
  KeyA: "left",
  KeyD: "right",
  ArrowLeft: "turn_left",
  ArrowRight: "turn_right",
  ArrowUp: "look_up",
  ArrowDown: "look_down",
  Space: "jump",
  KeyC: "crouch",
  KeyF: "fire",
  KeyE: "use",
  Digit1: "weapon_1",
  Digit2: "weapon_2",
  Digit3: "weapon_3",
  Digit4: "weapon_4",
  Digit5: "weapon_5",
  Digit6: "weapon_6",
  Digit7: "weapon_7",
};
const WALK = ["ShiftLeft", "ShiftRight"];
const MOVES = ["forward", "back", "left", "right"];

/** Add the Drive button to the control row and the controls over the stage. `slots` are the places C's parts left for them. */
export function mountDrive({ store, commands, root, slots }) {
  const pressed = new Map(); // where it comes from ("KeyW", "touch-3", "mouse") → control
  let running = true; // Shift, or the Run switch, turns it into walking
  let on = false;
  let begun = false; // the server's job has become a drive
  let timer = 0;

  const toggle = button("Drive", () => (on ? leave() : enter()), {
    icon: "game",
    class: "drive-button",
    "aria-pressed": "false",
  });
  slots.controls.append(toggle);
  const hud = makeHud({
    hold: (source, control) => {
      pressed.set(source, control);
      changed();
    },
    release: (source) => {
      if (pressed.delete(source)) changed();
    },
    run: (now) => {
      running = now;
      changed();
    },
    leave: () => leave(),
  });
  const phone = matchMedia("(max-width: 760px)"); // there the pads lie under the thumbs, not over the picture

  function held() {
    const controls = new Set(pressed.values());
    const walking = WALK.some((key) => pressed.has(key));
    controls.delete("walk");
    if (running && !walking && MOVES.some((move) => controls.has(move))) controls.add("run");
    return controls;
  }

  function tell() {
    commands.send({ type: "drive", held: [...held()] });
  }

  function changed() {
    if (!on) return;
    const now = held();
    tell();
    hud.show(now, heldLine(now), running && !WALK.some((key) => pressed.has(key)));
    clearInterval(timer);
    timer = now.size ? setInterval(tell, HEARTBEAT) : 0;
  }

  function releaseAll() {
    if (!pressed.size) return;
    pressed.clear();
    changed();
  }

  async function enter() {
    toggle.setAttribute("aria-busy", "true");
    const answer = await attempt(commands.drive({ on: true }));
    toggle.removeAttribute("aria-busy");
    if (!answer) return;
    on = true;
    begun = store.state.job.reason === "drive";
    store.set({ playing: false, follow: true, compare: null, selected: null });
    (phone.matches ? root : slots.drive).append(hud.node);
    if (phone.matches) root.scrollTo(0, 0);
    show();
    hud.node.focus({ preventScroll: true });
    changed();
  }

  function leave(tellServer = true) {
    if (!on) return;
    releaseAll();
    tell();
    clearInterval(timer);
    on = false;
    show();
    toggle.focus({ preventScroll: true });
    if (tellServer) attempt(commands.drive({ on: false }));
  }

  function show() {
    root.dataset.drive = on ? "on" : "off";
    setAttr(toggle, "aria-pressed", String(on));
    hud.node.hidden = !on;
  }

  window.addEventListener(
    "keydown",
    (event) => {
      if (!on || dialogOpen() || event.ctrlKey || event.metaKey || event.altKey) return;
      if (
        event.target instanceof Element &&
        event.target.closest("textarea, select, input:not([type=range]):not([type=checkbox])")
      )
        return;
      if (event.code === "Escape") {
        event.preventDefault();
        event.stopPropagation();
        leave();
        return;
      }
      const control = WALK.includes(event.code) ? "walk" : KEYS[event.code];
      if (!control) return;
      if (
        event.code === "Space" &&
        event.target instanceof Element &&
        event.target.closest("button") &&
        !hud.node.contains(event.target)
      )
        return;
      event.preventDefault();
      event.stopPropagation();
      if (event.repeat) return;
      pressed.set(event.code, control);
      changed();
    },
    true,
  );
  window.addEventListener(
    "keyup",
    (event) => {
      if (pressed.delete(event.code)) changed();
    },
    true,
  );
  window.addEventListener("blur", releaseAll);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) releaseAll();
  });
  window.addEventListener("pagehide", () => leave(false));

  store.on(["job", "project", "connected", "home"], (state) => {
    const { job } = state;
    if (on && job.reason === "drive" && busy(state)) begun = true;
    const over = begun && !busy(state);
    const elsewhere = state.connected === "live" && begun && job.reason !== "drive";
    if (on && (over || elsewhere || !state.project)) leave(false);
    const plain = plainWords(state);
    const blocked = !on && (busy(state) || !state.project || plain);
    setAttr(toggle, "disabled", blocked);
    setAttr(toggle, "title", plain ? "This model takes plain words, no keys" : "Steer the clip live with the keyboard (D)");
  });
  show();
}
