import { ratesOf } from "../../src/preparation/recipe-rates.ts";
import { suitedSettings } from "../../src/preparation/suited-settings.ts";
import { duration, number, prefixed } from "../../src/reports/quantities.ts";
import { StageText } from "../../src/reports/stage-text.ts";
import type { TaskKind } from "../../src/tasks/task-kind.ts";
import type { EvaluationRecord, StepRecord } from "../../src/training/training-records.ts";
import type { MethodChoice } from "./choices.ts";
import { sayDevice } from "./device-line.ts";
import { byId, element, fillSelect } from "./dom.ts";
import type { TaskFacts } from "./examples-file.ts";
import type { ModelFacts } from "./model-facts.ts";
import type { DownloadProgress } from "./model-store.ts";
import type { SessionEvent } from "./page-run.ts";
import { capital } from "./problems.ts";
import type { StartFacts } from "./start-facts.ts";

export interface TrainForm {
  options(): Record<string, unknown>;
  /** Fills in the method, unless the user chose one, and settings that suit the number of texts or pictures. */
  suggest(task: Pick<TaskFacts, "examples" | "reads" | "refines" | "fitsHead">): void;
  /** Selects the default method of the examples and the model, with its learning rate, unless the user chose a method. */
  suggestMethod(suited: Pick<ModelFacts, "method" | "layers">): void;
  /** Fills in the options of an unfinished run. */
  put(options: Readonly<Record<string, unknown>>): void;
  lock(locked: boolean): void;
}

const NUMBERS = {
  rank: "rank",
  epochs: "epochs",
  maxSteps: "max-steps",
  batchSize: "batch-size",
  learningRate: "learning-rate",
  maxLength: "max-length",
  validationSplit: "validation-split",
  seed: "seed",
} as const;

const DEFAULTS = { maxLength: 256, validationSplit: 0.1, seed: 42 };

export function setUpTrainForm(methods: readonly MethodChoice[]): TrainForm {
  const method = byId("method", HTMLSelectElement);
  const selects = { classWeights: "class-weights", augmentation: "augmentation" } as const;
  const base = byId("base", HTMLSelectElement);
  const choices = Object.entries(selects).map(([option, id]) => [option, byId(id, HTMLSelectElement)] as const);
  const fields = Object.entries(NUMBERS).map(([option, id]) => [option, byId(id, HTMLInputElement)] as const);
  const field = (option: keyof typeof NUMBERS): HTMLInputElement => byId(NUMBERS[option], HTMLInputElement);
  let examples = 0;
  let isChosen = false;
  let ofKind: Pick<TaskKind, "reads" | "refines"> = {};
  let startsFitted = false;
  let layers: number | undefined;
  const chosen = (): MethodChoice => methods.find(({ name }) => name === method.value)!;
  const rates = () => ratesOf(chosen().recipe, { contrastive: false, startsFitted, kind: ofKind, layers, examples });
  const showMethod = (): void => {
    const { summary, rank, headOnly } = chosen();
    byId("method-facts", HTMLElement).textContent = `${method.value}: ${summary}.`;
    byId("rank-field", HTMLElement).hidden = rank === undefined;
    for (const option of ["epochs", "maxSteps", "batchSize", "learningRate"] as const)
      field(option).parentElement!.hidden = ofKind.reads === "pictures" && headOnly === true;
    field("rank").value = rank === undefined ? "" : String(rank);
    field("learningRate").value = String(rates().learningRate);
  };
  fillSelect(method, Object.fromEntries(methods.map(({ name }) => [name, name])), methods[0]!.name);
  method.addEventListener("change", () => {
    isChosen = true;
    showMethod();
  });
  showMethod();
  for (const [option, value] of Object.entries(DEFAULTS)) field(option as keyof typeof NUMBERS).value = String(value);
  const put = (options: Readonly<Record<string, unknown>>): void => {
    for (const [option, input] of fields) if (options[option] !== undefined) input.value = String(options[option]);
  };
  return {
    options() {
      const { learningRate, headLearningRate } = rates();
      const given = fields
        .filter(([, input]) => input.value !== "" && !input.parentElement!.hidden)
        .map(([option, input]) => [option, input.valueAsNumber]);
      const rate = field("learningRate").valueAsNumber;
      return {
        method: method.value,
        ...Object.fromEntries(given),
        // The head's rate keeps its ratio to the method's.
        headLearningRate: (headLearningRate * rate) / learningRate,
        ...Object.fromEntries(
          choices.filter(([, { value }]) => value !== "").map(([option, { value }]) => [option, value]),
        ),
        base: base.value,
      };
    },
    suggestMethod(suited) {
      if (isChosen || (method.value === suited.method && layers === suited.layers)) return;
      method.value = suited.method;
      layers = suited.layers;
      showMethod();
    },
    suggest({ examples: count, reads, refines, fitsHead }) {
      if (ofKind.reads !== reads) {
        byId("augmentation", HTMLSelectElement).value = "";
        byId("augmentation", HTMLSelectElement).parentElement!.hidden = reads !== "pictures";
        field("maxLength").parentElement!.hidden = reads === "pictures";
      }
      if (ofKind.reads !== reads || ofKind.refines !== refines || startsFitted !== fitsHead) {
        startsFitted = fitsHead;
        ofKind = { ...(reads && { reads }), ...(refines && { refines }) };
        showMethod();
      }
      if (count === examples) return;
      examples = count;
      const { batchSize, epochs } = suitedSettings({ examples: count, classes: 0 }, false);
      put({ batchSize, epochs, learningRate: rates().learningRate });
    },
    put(options) {
      if (typeof options.method === "string") {
        method.value = options.method;
        isChosen = true;
      }
      showMethod();
      put(options);
      for (const [option, select] of choices) select.value = String(options[option] ?? "");
      base.value = String(options.base ?? "float32");
    },
    lock(locked) {
      for (const control of [method, base, ...[...choices, ...fields].map(([, input]) => input)])
        control.disabled = locked;
    },
  };
}

export const downloadText = ({ file, received, size }: DownloadProgress): string =>
  `Reading ${file}: ${prefixed(received, "B")}${size ? ` of ${prefixed(size, "B")}` : ""}`;

export class TrainingProgress {
  #stage = new StageText(duration);
  #start: StartFacts | undefined;
  #metric: { name: string; value: string; when: string } | undefined;
  #latest: StepRecord | undefined;
  #seconds = 0;
  #tokens = 0;
  #steps = 0;

  begin(): void {
    this.#stage = new StageText(duration);
    this.#start = undefined;
    this.#latest = undefined;
    this.#metric = undefined;
    this.#seconds = this.#tokens = this.#steps = 0;
    byId("progress", HTMLElement).hidden = false;
    byId("bar", HTMLProgressElement).removeAttribute("value");
    byId("numbers", HTMLElement).replaceChildren();
    byId("notes", HTMLElement).replaceChildren();
    this.say("Reading the model…");
  }

  take(event: SessionEvent): void {
    if (event.kind === "download") {
      const { received, size } = event.progress;
      this.say(downloadText(event.progress));
      if (size) byId("bar", HTMLProgressElement).value = received / size;
    } else if (event.kind === "progress") {
      this.say(capital(this.#stage.of(event)));
      if (event.total) byId("bar", HTMLProgressElement).value = event.done / event.total;
    } else if (event.kind === "start") this.#begun(event);
    else if (event.kind === "note") byId("notes", HTMLElement).append(element("li", event.text));
    else if (event.kind === "step") this.#step(event);
    else if (event.kind === "evaluation") this.#evaluated(event);
  }

  say(text: string): void {
    byId("progress-text", HTMLElement).textContent = text;
  }

  end(text: string, notes: readonly string[]): void {
    this.say(text);
    announce(text);
    byId("bar", HTMLProgressElement).value = 1;
    byId("notes", HTMLElement).append(...notes.map((note) => element("li", note)));
  }

  #begun(start: StartFacts): void {
    this.#start = start;
    sayDevice(start.card);
    byId("notes", HTMLElement).replaceChildren(...start.notes.map((note) => element("li", note)));
    byId("bar", HTMLProgressElement).value = start.totalSteps && start.stepsDone / start.totalSteps;
    const evaluation = start.records.evaluations.at(-1);
    if (evaluation) this.#evaluated(evaluation);
    this.say(
      start.stepsDone > 0 ? `Continuing after step ${number(start.stepsDone)}` : "Measuring the model before training…",
    );
    this.#show();
  }

  #step(record: StepRecord): void {
    this.#latest = record;
    this.#seconds += record.seconds;
    this.#tokens += record.tokens;
    this.#steps++;
    const { totalSteps } = this.#start!;
    const done = record.step + 1;
    byId("bar", HTMLProgressElement).value = done / totalSteps;
    const left = (totalSteps - done) * (this.#seconds / this.#steps);
    this.say(`Step ${number(done)} of ${number(totalSteps)}, about ${duration(left)} left`);
    this.#show();
  }

  #evaluated({ epoch, metrics }: EvaluationRecord): void {
    const [name, value] = Object.entries(metrics)[0]!;
    const when = epoch === 0 ? "before training" : `after epoch ${epoch}`;
    this.#metric = { name: name.replaceAll("_", " "), value: number(value), when };
    announce(`${this.#metric.name} ${this.#metric.value} ${when}`);
    this.#show();
  }

  #show(): void {
    const metric = this.#metric;
    const latest = this.#latest;
    const facts: [string, string][] = [
      ...(latest ? ([["loss", latest.loss.toFixed(3)]] as [string, string][]) : []),
      ...(metric ? ([[`${metric.name}, ${metric.when}`, metric.value]] as [string, string][]) : []),
      ...(latest
        ? ([
            ["tokens a second", number(Math.round(this.#tokens / this.#seconds))],
            ["trainable parameters", number(latest.trainable)],
            ["matrices frozen", number(latest.frozen)],
          ] as [string, string][])
        : []),
      ...(this.#start?.memory === undefined
        ? []
        : ([["memory, about", prefixed(this.#start.memory, "B")]] as [string, string][])),
    ];
    byId("numbers", HTMLElement).replaceChildren(
      ...facts.map(([name, shown]) => element("div", [element("dt", name), element("dd", shown)])),
    );
  }
}

/** Announces text to screen readers: not each step, but each epoch. */
function announce(text: string): void {
  byId("said", HTMLElement).textContent = text;
}
