// beats.js: a storyboard's text as beats, and where they land in time. Pure.
import { count } from "./format.js";
import { MAX_LENGTH } from "./grammar.js";

export const MOST_BEATS = 200;

/** {beats, words, problem} of a text with one beat per line; an empty line between beats is a beat that the model decides. */
export function beatsOf(text) {
  const beats = text.trim()
    ? text
        .trim()
        .split(/\r?\n/)
        .map((line) => line.trim())
    : [];
  const long = beats.findIndex((line) => line.length > MAX_LENGTH);
  const problem =
    long >= 0
      ? `Beat ${long + 1} has ${beats[long].length.toLocaleString("en-US")} characters; at most ${MAX_LENGTH} are allowed. Shorten it.`
      : beats.length > MOST_BEATS
        ? `That is ${count(beats.length, "beat")}; at most ${MOST_BEATS} are added at once. Add the rest afterwards.`
        : "";
  return { beats, problem, words: beats.length ? count(beats.length, "beat") : "" };
}

/** How many chunks one beat of `seconds` takes: at least one. */
export const chunksPerBeat = (project, seconds) => Math.max(1, Math.round((seconds * project.fps) / project.chunk_frames));
