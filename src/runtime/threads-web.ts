/** Threads beyond which small products gain nothing. */
const MOST_THREADS = 8;

/** Threads that Wasm may have here: one for each core where the page is isolated from other origins, else a single one. */
export const webThreads = (): number =>
  globalThis.crossOriginIsolated ? Math.min(MOST_THREADS, navigator.hardwareConcurrency) : 1;
