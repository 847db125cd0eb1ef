import { existsSync } from "node:fs";
import { type Browser, chromium } from "playwright-core";

/** A Chromium that is installed on this machine. */
export const installedChromium = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
].find(existsSync);

/** What a group of tests that need a browser is called. */
export const inChromium = installedChromium ? "in headless Chromium" : "skipped: no Chromium is installed here";

/**
 * Starts it headless, with an empty profile of its own.
 * @param webGpu whether with WebGPU, over software that imitates a graphics card
 * @param wasmMegabytes memory that WebAssembly may have
 * @param camera whether pages may use a camera, which shows a drawn picture that moves
 */
export function launchChromium({
  webGpu = false,
  wasmMegabytes,
  camera = false,
}: {
  webGpu?: boolean;
  wasmMegabytes?: number;
  camera?: boolean;
} = {}): Promise<Browser> {
  const gpu = webGpu ? ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"] : ["--disable-gpu"];
  // Chromium's sandbox does not work for root and in many containers.
  const args = ["--no-sandbox", "--disable-quic", ...gpu];
  if (wasmMegabytes !== undefined) args.push(`--js-flags=--wasm-max-mem-pages=${wasmMegabytes * 16}`);
  if (camera) args.push("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream");
  return chromium.launch({ executablePath: installedChromium!, args });
}
