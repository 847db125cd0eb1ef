import { byId } from "./dom.ts";

export function startOffline(): void {
  const worker = navigator.serviceWorker as ServiceWorkerContainer | undefined;
  if (!worker) return;
  void worker
    .register("service-worker.js")
    .then(() => worker.ready)
    .then(() => {
      byId("offline", HTMLElement).textContent = "It is kept now.";
    })
    // A browser may forbid it, as some do in private windows. The page still works.
    .catch(() => undefined);
}
