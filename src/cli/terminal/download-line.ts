import type { DownloadProgress } from "../../checkpoints/hub-download-node.ts";
import { bytes } from "./format.ts";
import { say, withoutControls } from "./print.ts";

const BAR_SIZE = 20;

/**
 * Shows the progress of a download from the hub on stderr: a bar on a terminal, otherwise a line for each file. A bar of the library
 * would
 * keep the process alive after a failed download.
 */
export function downloadLine(): (progress: DownloadProgress) => void {
  let file = "";
  let percent = -1;
  return (progress) => {
    const { done, total, bytesPerSecond } = progress;
    const now = Math.floor((100 * done) / total);
    if (progress.file === file && (now === percent || !process.stderr.isTTY)) return;
    file = progress.file;
    percent = now;
    if (process.stderr.isTTY) {
      const filled = Math.round((BAR_SIZE * done) / total);
      const bar = "█".repeat(filled) + "░".repeat(BAR_SIZE - filled);
      process.stderr.write(
        `\r${bar} ${bytes(done)} of ${bytes(total)} | ${bytes(bytesPerSecond)}/s | ${withoutControls(file)}\x1b[K${done === total ? "\n" : ""}`,
      );
    } else {
      say(`fetching ${file}, ${bytes(total)} in all\n`);
    }
  };
}
