// grammar.js: plan lines as words that can be switched on and off; it composes canonical lines and checks nothing else (the server does).

export const TURNS = [5, 10, 15, 20, 25, 30, 45, 60];
export const LOOKS = [5, 10, 15, 20];
export const WEAPONS = ["fist", "pistol", "shotgun", "chaingun", "rocket launcher", "plasma rifle", "bfg"];
export const EXAMPLE = "run forward, turn left 15, fire";
export const MAX_LENGTH = 200;
export const INTENT = "intent: "; // begins a row of the plan that says what should happen, where a plan line could stand

/** An action with nothing held. forward, strafe, turn and look are signed: + is forward, left, left, up. */
export const standing = () => ({
  pace: "walk",
  forward: 0,
  strafe: 0,
  turn: 0,
  look: 0,
  jump: false,
  crouch: false,
  weapon: "",
  fire: false,
  use: false,
});

/** The canonical line of an action, e.g. `run forward, turn left 15, fire`. */
export function toLine(action) {
  const move = [];
  if (action.forward || action.strafe) {
    move.push(action.pace);
    if (action.forward) move.push(action.forward > 0 ? "forward" : "back");
    if (action.strafe) move.push("strafe", action.strafe > 0 ? "left" : "right");
  } else {
    move.push("stand");
  }
  const parts = [move.join(" ")];
  if (action.turn) parts.push(`turn ${action.turn > 0 ? "left" : "right"} ${Math.abs(action.turn)}`);
  if (action.look) parts.push(`look ${action.look > 0 ? "up" : "down"} ${Math.abs(action.look)}`);
  for (const word of ["jump", "crouch"]) if (action[word]) parts.push(word);
  if (action.weapon) parts.push(`switch to ${action.weapon}`);
  for (const word of ["fire", "use"]) if (action[word]) parts.push(word);
  return parts.join(", ");
}

function readMove(text, action) {
  if (text === "stand") return true;
  const found = /^(run|walk)(?: (forward|back))?(?: strafe (left|right))?$/.exec(text);
  if (!found || !(found[2] || found[3])) return false;
  action.pace = found[1];
  action.forward = found[2] ? (found[2] === "forward" ? 1 : -1) : 0;
  action.strafe = found[3] ? (found[3] === "left" ? 1 : -1) : 0;
  return true;
}

function readPart(text, action) {
  const angle = /^(turn|look) (left|right|up|down) (\d+)$/.exec(text);
  if (angle) {
    const [, kind, way, size] = angle;
    const sizes = kind === "turn" ? TURNS : LOOKS;
    const ways = kind === "turn" ? ["left", "right"] : ["up", "down"];
    if (!ways.includes(way) || !sizes.includes(Number(size))) return false;
    action[kind] = Number(size) * (way === ways[0] ? 1 : -1);
    return true;
  }
  if (["jump", "crouch", "fire", "use"].includes(text)) return (action[text] = true);
  if (text.startsWith("switch to ") && WEAPONS.includes(text.slice(10))) {
    action.weapon = text.slice(10);
    return true;
  }
  return false;
}

/** The action of a line written in canonical words (any order); null for free text, which is for the server to read. */
export function readLine(line) {
  const text = line.trim().toLowerCase();
  const action = standing();
  if (!text) return action;
  for (const part of text.split(",").map((piece) => piece.trim().replace(/\s+/g, " "))) {
    if (!readMove(part, action) && !readPart(part, action)) return null;
  }
  return action;
}

/** The line of what is held in drive mode: `held` is a set of names as drive mode sends them. */
export function heldLine(held) {
  const action = standing();
  const both = (plus, minus) => (held.has(plus) ? 1 : 0) - (held.has(minus) ? 1 : 0);
  action.forward = both("forward", "back");
  action.strafe = both("left", "right");
  action.pace = held.has("run") ? "run" : "walk";
  action.turn = both("turn_left", "turn_right") * 15;
  action.look = both("look_up", "look_down") * 10;
  for (const word of ["jump", "crouch", "fire", "use"]) action[word] = held.has(word);
  const slot = WEAPONS.findIndex((_, index) => held.has(`weapon_${index + 1}`));
  action.weapon = slot < 0 ? "" : WEAPONS[slot];
  return toLine(action);
}

/** The intent that a row of the plan holds, "" when it is a plan line or nothing. */
export function intentOf(row) {
  return row?.startsWith(INTENT) ? row.slice(INTENT.length) : "";
}

/** An intent as a row of the plan. */
export function intentRow(text) {
  return INTENT + text;
}
