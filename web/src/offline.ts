import { webThreads } from "../../src/runtime/threads-web.ts";
import { byId } from "./dom.ts";

/** Keeps the page for visits without a network, and says how many threads it may compute with. */
export function startOffline(): void {
  const worker = navigator.serviceWorker as ServiceWorkerContainer | undefined;
  sayThreads(worker !== undefined);
  if (!worker) return;
  void worker
    .register("service-worker.js")
    .then(() => worker.ready)
    .then(() => {
      byId("offline", HTMLElement).textContent = "It is kept now.";
    })
    // A browser may forbid it, as some do in private windows; the page works all the same.
    .catch(() => undefined);
}

function sayThreads(mayReload: boolean): void {
  const threads = webThreads();
  byId("device", HTMLElement).textContent = crossOriginIsolated
    ? `Computes with ${threads === 1 ? "one thread" : `${threads} threads`} in WebAssembly.`
    : `Computes with one thread in WebAssembly: threads need a page that is isolated from others, by the headers Cross-Origin-Opener-Policy and Cross-Origin-Embedder-Policy, which this host does not send.${mayReload ? " Load the page once more: from its second visit on it adds them itself." : ""}`;
}
