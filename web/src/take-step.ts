import type { ReportedRun } from "../../src/reports/run-page.ts";
import { download } from "./dom.ts";
import type { DrawingHandlers } from "./drawing-worker.ts";
import { attempt } from "./problems.ts";
import type { TrainingHandlers } from "./training-worker.ts";
import type { TakeFormat } from "./tuned-model.ts";
import type { Called } from "./worker-calls.ts";

const FILES: Record<TakeFormat, string> = {
  adapter: "adapter.zip",
  peft: "peft-adapter.zip",
  onnx: "onnx-model.zip",
};

export function setUpTakeStep(
  training: Called<TrainingHandlers>,
  drawing: Called<DrawingHandlers>,
  run: () => ReportedRun,
): void {
  for (const button of document.querySelectorAll<HTMLButtonElement>("#downloads button")) {
    const format = button.dataset.format as TakeFormat | "report";
    button.addEventListener("click", async () => {
      button.disabled = true;
      await attempt("take-problem", async () => {
        if (format === "report")
          download("report.html", new Blob([await drawing.report(run())], { type: "text/html" }));
        else download(FILES[format], await training.take(format));
      });
      button.disabled = false;
    });
  }
}
