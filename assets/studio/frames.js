// Decoded frames for the stage: fetched ahead, at most 400 kept, the most wanted first. Draws nothing.

const KEPT = 400;
const AT_ONCE = 4; // of the six connections a browser allows, so that commands always find a free one

export class FrameCache {
  /** `onReady(url)` is called whenever a frame has become drawable. */
  constructor(onReady) {
    this.onReady = onReady;
    this.ready = new Map(); // url → decoded image, least recently used first
    this.loading = new Set();
    this.wanted = [];
    this.failed = new Map(); // url → time after which it may be tried again
  }

  /** The decoded image, or null when it is not there yet. */
  get(url) {
    const image = this.ready.get(url);
    if (!image) return null;
    this.ready.delete(url);
    this.ready.set(url, image);
    return image;
  }

  /** Load these, in this order; what was wanted before and has not begun is forgotten. */
  want(urls) {
    this.wanted = urls.filter((url) => !this.ready.has(url) && !this.loading.has(url));
    this.pump();
  }

  clear() {
    this.ready.clear();
    this.wanted = [];
    this.failed.clear();
  }

  pump() {
    while (this.loading.size < AT_ONCE && this.wanted.length) {
      const url = this.wanted.shift();
      if ((this.failed.get(url) || 0) < performance.now()) this.load(url);
    }
  }

  async load(url) {
    this.loading.add(url);
    const image = new Image();
    image.src = url;
    try {
      await image.decode();
      this.ready.set(url, image);
      this.failed.delete(url);
      while (this.ready.size > KEPT) this.ready.delete(this.ready.keys().next().value);
    } catch {
      this.failed.set(url, performance.now() + 1500); // the server is away, or the project was deleted: the last frame stays
    }
    this.loading.delete(url);
    if (this.ready.has(url)) this.onReady(url);
    this.pump();
  }
}
