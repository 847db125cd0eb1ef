import { metricsText } from "../../src/reports/quantities.ts";
import type { ReportedRun } from "../../src/reports/run-page.ts";
import { setUpDataStep } from "./data-step.ts";
import { sayDevice } from "./device-line.ts";
import { byId } from "./dom.ts";
import type { DrawingHandlers } from "./drawing-worker.ts";
import type { EndFacts } from "./end-facts.ts";
import { LookStep } from "./look-step.ts";
import { setUpModelStep } from "./model-step.ts";
import { startOffline } from "./offline.ts";
import type { SessionEvent } from "./page-run.ts";
import { attempt, showProblem } from "./problems.ts";
import type { RunRecords } from "./saved-run.ts";
import type { StartFacts } from "./start-facts.ts";
import { addSteps, followSteps, showSteps } from "./steps.ts";
import { setUpTakeStep } from "./take-step.ts";
import { setUpTrainForm, TrainingProgress } from "./train-step.ts";
import type { TrainingHandlers } from "./training-worker.ts";
import { setUpTryStep } from "./try-step.ts";
import { callsTo } from "./worker-calls.ts";

const home = new URL(".", document.baseURI).href;
const training = callsTo<TrainingHandlers, SessionEvent>(
  new Worker(new URL("./training-worker.ts", import.meta.url), { type: "module", name: home }),
  heard,
);
const drawing = callsTo<DrawingHandlers>(
  new Worker(new URL("./drawing-worker.ts", import.meta.url), { type: "module", name: "drawing" }),
);

const look = new LookStep(drawing);
const progress = new TrainingProgress();
const tryStep = setUpTryStep(training);
let records: RunRecords = { steps: [], evaluations: [], freezing: [] };
let about: StartFacts["run"] | undefined;
let result: EndFacts["result"];
setUpTakeStep(training, drawing, (): ReportedRun => ({ ...about!, ...records, ...(result && { result }) }));

const model = setUpModelStep(training, (facts) => {
  byId("start", HTMLButtonElement).disabled = !facts;
  if (!facts) return;
  form.suggestMethod(facts);
  addSteps("train");
});
const choices = training.choices();
// Input before the worker has started waits for it.
const data = setUpDataStep(training, choices, (task) => {
  showSteps(task ? ["data", "model"] : ["data"]);
  if (!task) return;
  form.suggest(task);
  void model.refresh(task);
});
showSteps(["data"]);
const form = setUpTrainForm((await choices).methods);
followSteps();
sayDevice();
startOffline();

const [pause, stop, start] = ["pause", "stop", "start"].map((id) => byId(id, HTMLButtonElement)) as [
  HTMLButtonElement,
  HTMLButtonElement,
  HTMLButtonElement,
];

byId("options", HTMLFormElement).addEventListener("submit", (event) => {
  event.preventDefault();
  const options = form.options();
  void run(() => training.train(options));
});
pause.addEventListener("click", () => {
  const paused = pause.textContent === "Pause";
  pause.textContent = paused ? "Continue" : "Pause";
  if (paused) progress.say("Paused after the current step");
  void (paused ? training.pause() : training.resume());
});
stop.addEventListener("click", () => {
  stop.disabled = true;
  progress.say("Stopping after the current computation…");
  void training.stop();
});

const left = await attempt("data-problem", () => training.leftRun());
if (left) {
  const { model: name, epoch, step, rows, task, settings } = left;
  const { epochs, maxSteps } = settings.options;
  byId("left", HTMLElement).hidden = false;
  // A run that only fits a head has no epochs.
  const ended = maxSteps === undefined ? epoch === (epochs ?? 0) : step === maxSteps;
  const done =
    maxSteps === undefined
      ? `after epoch ${epoch}${epochs ? ` of ${epochs}` : ""}`
      : `after step ${step} of ${maxSteps}`;
  byId("left-title", HTMLElement).textContent = ended ? "You have a finished run" : "You have an unfinished run";
  byId("left-go-on", HTMLElement).textContent = ended ? "Open it again" : "Continue it";
  byId("left-text", HTMLElement).textContent =
    `${name} on ${settings.data}, ${epoch === 0 ? "before its first epoch had ended" : done}. This browser keeps its progress.`;
  byId("left-go-on", HTMLButtonElement).addEventListener("click", () => {
    byId("left", HTMLElement).hidden = true;
    void data.show(rows, settings.columns, settings.kind);
    form.suggest(task);
    form.put(settings.options);
    addSteps("train");
    // The next run trains the model that the page shows, which may be another.
    void run(() => training.resumeRun().finally(() => model.refresh(task)));
  });
  byId("left-forget", HTMLButtonElement).addEventListener("click", async () => {
    byId("left", HTMLElement).hidden = true;
    await attempt("data-problem", () => training.forgetRun());
  });
}

async function run(train: () => Promise<EndFacts>): Promise<void> {
  byId("left", HTMLElement).hidden = true;
  lock(true);
  progress.begin();
  const end = await attempt("train-problem", train);
  lock(false);
  if (!end) return progress.say("");
  result = end.result;
  if (!end.finished) return progress.end("Stopped before the first epoch had ended: there is nothing to download.", []);
  const how = end.stopped ? "Stopped." : "Done.";
  progress.end(`${how} Best epoch ${result!.bestEpoch}: ${metricsText(result!.metrics)}.`, end.notes);
  tryStep.begin(end);
  byId("take-example", HTMLElement).textContent = end.asks === "picture" ? "photo.jpg" : '"a text"';
  addSteps("look", "try", "take");
  await look.draw(records);
}

function heard(event: SessionEvent): void {
  progress.take(event);
  if (event.kind === "download") model.follow(event.progress);
  else if (event.kind === "start") {
    records = event.records;
    about = event.run;
    result = undefined;
    showSteps(["data", "model", "train", "look"]);
  } else if (event.kind === "step") records.steps.push(event);
  else if (event.kind === "freezing") records.freezing.push(event);
  else if (event.kind === "evaluation") records.evaluations.push(event);
  if (event.kind !== "download" && event.kind !== "progress") look.follow(records);
}

function lock(running: boolean): void {
  data.lock(running);
  model.lock(running);
  form.lock(running);
  tryStep.lock(running);
  start.hidden = running;
  pause.hidden = stop.hidden = !running;
  stop.disabled = false;
  pause.textContent = "Pause";
  if (running) showProblem("train-problem");
}
