/**
 * A page that fine-tunes a model on the visitor's own tickets, with Vite: `npm install aflora onnxruntime-web vite`, put a copy of
 * node_modules/aflora/assets/all-MiniLM-L6-v2 into public/models, then `npx vite`.
 * Training keeps the thread that it runs on, so it runs in worker.ts.
 */
import type { Told } from "./worker.ts";

const file = document.querySelector<HTMLInputElement>("#file")!;
const stop = document.querySelector<HTMLButtonElement>("#stop")!;
const progress = document.querySelector<HTMLElement>("#progress")!;

const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
worker.onmessage = ({ data }: MessageEvent<Told>) => {
  progress.append(`${data.line}\n`);
  stop.disabled = data.ended;
};
worker.onerror = ({ message }) => progress.append(`${message}\n`);

file.onchange = async () => {
  const [chosen] = file.files!;
  if (!chosen) return;
  stop.disabled = false;
  const model = new URL("models/all-MiniLM-L6-v2/", document.baseURI).href;
  worker.postMessage({ model, name: chosen.name, text: await chosen.text() });
};
stop.onclick = () => worker.postMessage("stop");
