/** Number of threads beyond which small products gain nothing. */
const MAX_THREADS = 8;

/** Threads that Wasm may use: one per core if the page is cross-origin isolated, otherwise one. */
export const webThreads = (): number =>
  globalThis.crossOriginIsolated ? Math.min(MAX_THREADS, navigator.hardwareConcurrency) : 1;
