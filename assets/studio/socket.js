// The live line to the server: one WebSocket for the open project, tried again with growing pauses when it breaks.
import { BASE, toLogin } from "./commands.js";

const PAUSES = [300, 600, 1200, 2500, 5000]; // ms between attempts
const PING = 25_000; // ms; keeps proxies from closing a quiet line
const GONE = 4404,
  LOG_IN = 4401,
  REFUSED = 4403;

/**
 * Make the line. `events`: message(parsed message, ms of receipt), missing() when the project is unknown, refused() when the
 * server will not talk to this page. Returns {open(projectId), close(), send(object) → false when not connected}.
 */
export function makeSocket(store, events) {
  let socket = null;
  let project = null;
  let attempts = 0;
  let timer = null;

  function open(id) {
    close();
    project = id;
    attempts = 0;
    connect();
  }

  function close() {
    clearTimeout(timer);
    const old = socket;
    socket = null;
    project = null;
    old?.close();
  }

  function connect() {
    clearTimeout(timer);
    if (!project) return;
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const mine = new WebSocket(`${scheme}://${location.host}${BASE}/ws/${encodeURIComponent(project)}`);
    socket = mine;
    mine.addEventListener("message", (event) => {
      if (socket !== mine) return;
      attempts = 0;
      events.message(JSON.parse(event.data), performance.now());
    });
    mine.addEventListener("close", (event) => {
      if (socket === mine) lost(event.code);
    });
  }

  function lost(code) {
    socket = null;
    if (code === LOG_IN) return toLogin();
    if (code === GONE) return events.missing();
    store.set({ connected: "lost" });
    if (code === REFUSED) return events.refused();
    const pause = PAUSES[Math.min(attempts, PAUSES.length - 1)];
    attempts += 1;
    timer = setTimeout(connect, pause);
    return undefined;
  }

  function send(message) {
    if (socket?.readyState !== WebSocket.OPEN) return false;
    socket.send(JSON.stringify(message));
    return true;
  }

  // back from sleep, from another tab, from a dead network: do not sit out the pause
  const hurry = () => {
    if (project && !socket && !document.hidden) {
      attempts = 0;
      connect();
    }
  };
  window.addEventListener("online", hurry);
  document.addEventListener("visibilitychange", hurry);
  setInterval(() => send({ type: "ping" }), PING);

  return { open, close, send };
}
