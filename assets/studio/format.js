// Numbers into words: time codes, durations, sizes. Pure functions.

/** "00:03.2" for a frame number (below 0, the start frame, counts as 0). */
export function timecode(frame, fps = 17.5) {
  const tenths = Math.floor((Math.max(0, frame) / fps) * 10 + 1e-6);
  return `${two(Math.floor(tenths / 600))}:${two(Math.floor(tenths / 10) % 60)}.${tenths % 10}`;
}

/** "00:03" or, with tenths asked for, "00:03.2", for seconds on the ruler. */
export function clock(seconds, tenths = false) {
  const whole = Math.floor(seconds + 1e-6);
  const base = `${two(Math.floor(whole / 60))}:${two(whole % 60)}`;
  return tenths ? `${base}.${Math.floor((seconds - whole) * 10 + 1e-6)}` : base;
}

/** "8.0 s", "2 min 05 s", "1 h 20 min" for a duration in seconds. */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "";
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
}

/** "about 12 s left" for an estimate; "" when there is none. */
export function left(seconds) {
  if (seconds == null || !Number.isFinite(seconds)) return "";
  if (seconds < 1.5) return "almost done";
  if (seconds < 90) return `about ${Math.round(seconds)} s left`;
  return `about ${Math.round(seconds / 60)} min left`;
}

/** "3.4 MB". */
export function bytes(count) {
  if (count < 1000) return `${count} B`;
  const units = ["kB", "MB", "GB", "TB"];
  let value = count / 1000;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) [value, unit] = [value / 1000, unit + 1];
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** "1 chunk", "35 chunks". */
export function count(n, word) {
  return `${n.toLocaleString("en-US")} ${word}${n === 1 ? "" : "s"}`;
}

/** "¼×", "1.5×" for a factor. */
export function times(factor) {
  return `${{ 0.25: "¼", 0.5: "½" }[factor] ?? factor}×`;
}

function two(n) {
  return String(n).padStart(2, "0");
}
