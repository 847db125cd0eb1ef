import "./strict-policy.ts";
import { figure, page } from "../../src/reports/page.ts";
import { type ReportedRun, runContent, runPictures, runTitle } from "../../src/reports/run-page.ts";
import type { RunRecords } from "./saved-run.ts";
import { answerCalls } from "./worker-calls.ts";

const handlers = {
  /** The pictures of a run so far, as markup in which all texts are escaped. */
  draw: (records: RunRecords): string[] =>
    runPictures(records).map((picture, i) => figure(picture, `picture-${i + 1}`).text),
  report: (run: ReportedRun): string => page(runTitle(run), runContent(run)),
};

export type DrawingHandlers = typeof handlers;

answerCalls(handlers);
