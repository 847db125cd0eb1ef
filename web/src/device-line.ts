import { webThreads } from "../../src/runtime/threads-web.ts";
import { byId } from "./dom.ts";

/** Shows where the page computes. @param card API of the graphics card; undefined if there is none */
export function sayDevice(card?: string): void {
  byId("device", HTMLElement).textContent = card ? `Computes on the graphics card, by ${card}.` : inWasm();
}

function inWasm(): string {
  const threads = webThreads();
  const mayReload = "serviceWorker" in navigator;
  return crossOriginIsolated
    ? `Computes with ${threads === 1 ? "one thread" : `${threads} threads`} in WebAssembly.`
    : `Computes with one thread in WebAssembly: threads need a page that is isolated from others, by the headers Cross-Origin-Opener-Policy and Cross-Origin-Embedder-Policy, which this host does not send.${mayReload ? " Load the page once more: from its second visit on it adds them itself." : ""}`;
}
