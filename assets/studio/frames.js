// Decoded frames for the stage: fetched ahead, kept as far as memory allows, the most wanted first. Draws nothing.

const KEPT = 40e6; // pixels: about 160 MB once they are decoded
const EACH = 65536; // pixels that every frame counts on top of its own: its file, and what the browser keeps with it
const AT_ONCE = 4; // of the six connections a browser allows, so that commands always find a free one

export class FrameCache {
  /** `onReady(url)` is called whenever a frame has become drawable. */
  constructor(onReady) {
    this.onReady = onReady;
    this.ready = new Map(); // url → decoded image, least recently used first
    this.held = 0; // what they count together
    this.largest = EACH;
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

  /** Whether it could not be loaded just now. */
  lost(url) {
    return (this.failed.get(url) || 0) > performance.now();
  }

  /**
   * Load these, in this order; what was wanted before and has not begun is forgotten. No more than half of what is kept, so that
   * those which come do not drive out those which are shown.
   */
  want(urls) {
    const most = Math.max(1, Math.floor(KEPT / 2 / this.largest));
    this.wanted = urls.slice(0, most).filter((url) => !this.ready.has(url) && !this.loading.has(url));
    this.pump();
  }

  clear() {
    this.ready.clear();
    this.held = 0;
    this.largest = EACH;
    this.wanted = [];
    this.failed.clear();
  }

  pump() {
    while (this.loading.size < AT_ONCE && this.wanted.length) {
      const url = this.wanted.shift();
      if ((this.failed.get(url) || 0) < performance.now()) this.load(url);
    }
  }

  /** Keep an image; the least recently used ones make room. */
  keep(url, image) {
    const cost = costOf(image);
    this.largest = Math.max(this.largest, cost);
    this.ready.set(url, image);
    this.held += cost;
    for (const [oldest, old] of this.ready) {
      if (this.held <= KEPT) break;
      this.ready.delete(oldest);
      this.held -= costOf(old);
    }
  }

  async load(url) {
    this.loading.add(url);
    const image = new Image();
    image.src = url;
    try {
      await image.decode();
      this.keep(url, image);
      this.failed.delete(url);
    } catch {
      this.failed.set(url, performance.now() + 1500); // the server is away, or the project was deleted: the last frame stays
    }
    this.loading.delete(url);
    if (this.ready.has(url)) this.onReady(url);
    this.pump();
  }
}

const costOf = (image) => image.naturalWidth * image.naturalHeight + EACH;
