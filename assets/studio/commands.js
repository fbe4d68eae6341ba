// Everything a person can ask of the server, one function per command; failures come as Error with a line for people.

export const BASE = new URL("..", import.meta.url).pathname.replace(/\/$/, ""); // "/studio", below whatever path a proxy adds
const API = `${BASE}/api`;
const PATIENCE = 60_000; // ms for an answer; uploads have no limit

const AWAY =
  "The studio's server does not answer. Everything made so far is saved; start it again or wait a moment, then try again.";
const PROJECT_COMMANDS = [
  "generate",
  "pause",
  "continue",
  "stop",
  "regenerate",
  "retry",
  "bridge",
  "suggest",
  "plan",
  "storyboard",
  "switch",
  "rename_take",
  "delete_take",
  "undo",
  "redo",
  "rename",
  "settings",
  "duplicate",
  "drive",
  "export",
  "cancel_export",
  "preview",
  "queue",
  "unqueue",
  "delete",
];

const AT_ONCE = new Set(["suggest", "export", "cancel_export"]); // change nothing that others could meet
const FOLLOWED = new Set(["generate", "continue", "regenerate", "retry", "bridge"]);

/**
 * Commands on the open project take their body as one object and give the parsed answer:
 * generate({seconds}), pause(), continue(), stop(), regenerate({chunk, line, hold}), retry({chunk}),
 * suggest({chunk, intent}|{index, intent}),
 * bridge({chunk, seconds, target}|{chunk, seconds, picture}),
 * plan({lines}), storyboard({beats, seconds_per_beat, generate}), switch({take}), rename_take({take, name}), delete_take({take}),
 * undo(), redo(), rename({name}), settings({…}), duplicate(), drive({on}), export({kind, captions, scale, take, other}),
 * cancel_export({export}), preview({smooth, sharpen, at}), queue({order}), unqueue(), delete() → {undo}.
 * A second argument names another project: rename({name}, id), unqueue({}, id).
 * Without a project: home(), createProject({start, prompt, name, preset}) → {id}, upload(file, onProgress) → {kind, id, notice},
 * restore(token), takePath(take) → {path}.  In the page: open(id), send(message over the WebSocket), downloadUrl().
 */
export function makeCommands(store) {
  let last = Promise.resolve();
  /** One after the other, as they were asked for: two keys pressed at once must not overtake each other on the way. */
  const inOrder = (send) => {
    const next = last.then(send);
    last = next.catch(() => {});
    return next;
  };
  const pid = (id) => {
    const project = id || store.state.project?.id;
    if (!project) throw new Error("No project is open. Choose one under Projects, or start a new one.");
    return encodeURIComponent(project);
  };
  const commands = {
    home: () => request(`${API}/home`),
    createProject: (body = {}) => post(`${API}/projects`, body),
    restore: (token) => post(`${API}/restore`, { token }),
    upload: (file, onProgress, wanted = {}) => upload(file, { project: store.state.project?.id, ...wanted }, onProgress),
    takePath: async (take) => request(`${API}/p/${pid()}/takes/${encodeURIComponent(take)}`),
    downloadUrl: () => `${BASE}/p/${pid()}/project.tv2tv`,
    open: (id) => {
      location.hash = `p=${encodeURIComponent(id)}`;
    },
    send: () => false, // socket.js puts the real one here
    settle: async () => {}, // inspector.js puts the real one here: a line that is typed for what comes next is on its way first
  };
  for (const name of PROJECT_COMMANDS) {
    commands[name] = async (body = {}, project = null) => {
      // who asks for frames wants to see them come: the playhead goes along
      if (FOLLOWED.has(name)) store.set({ follow: true, playing: false });
      const send = () => post(`${API}/p/${pid(project)}/${name}`, body);
      return AT_ONCE.has(name) ? send() : inOrder(send);
    };
  }
  return commands;
}

function post(url, body) {
  return request(url, {
    method: "POST",
    headers: { "content-type": "application/json", "x-tv2tv": "1" },
    body: JSON.stringify(body),
  });
}

async function request(url, options = {}) {
  let response;
  try {
    response = await fetch(url, { credentials: "same-origin", signal: AbortSignal.timeout(PATIENCE), ...options });
  } catch (error) {
    throw new Error(error.name === "TimeoutError" ? "The server took too long to answer. Try again in a moment." : AWAY);
  }
  return answer(response.status, await response.text().catch(() => ""));
}

/** The parsed answer, or the Error that its status and text mean. */
function answer(status, text) {
  let body = null;
  try {
    body = JSON.parse(text);
  } catch {
    body = null; // a proxy's page or an empty answer: the status speaks
  }
  if (status >= 200 && status < 300 && body) return body;
  if (status === 401) {
    toLogin();
    throw new Error("Please log in again.");
  }
  if (status === 413) throw new Error("That file is too large for the studio. Choose a smaller one.");
  const words = typeof body?.error === "string" ? body.error : typeof body?.detail === "string" ? body.detail : null;
  if (words) throw new Error(words);
  throw new Error(
    status === 0 || status >= 502 ? AWAY : `The server refused (status ${status}). Reload the page and try again.`,
  );
}

/** Leave for the login page; the address keeps the project so that it opens again afterwards. */
export function toLogin() {
  location.assign(BASE.replace(/\/studio$/, "") + "/login");
}

/** End this browser's session on a server with a password. */
export async function logOut() {
  const home = BASE.replace(/\/studio$/, "");
  try {
    await fetch(`${home}/logout`, { method: "POST", headers: { "x-tv2tv": "1" }, redirect: "manual" });
  } catch {
    throw new Error(AWAY);
  }
  toLogin();
}

/** Upload one file with some words beside it. XMLHttpRequest, because fetch tells no progress. */
function upload(file, fields, onProgress = () => {}) {
  return new Promise((resolve, reject) => {
    const form = new FormData();
    form.append("file", file);
    for (const [key, value] of Object.entries(fields)) if (value) form.append(key, value);
    const http = new XMLHttpRequest();
    http.open("POST", `${API}/upload`);
    http.setRequestHeader("x-tv2tv", "1");
    http.upload.addEventListener("progress", (event) => event.lengthComputable && onProgress(event.loaded / event.total));
    http.addEventListener("error", () => reject(new Error(AWAY)));
    http.addEventListener("load", () => {
      try {
        resolve(answer(http.status, http.responseText));
      } catch (error) {
        reject(error);
      }
    });
    http.send(form);
  });
}
