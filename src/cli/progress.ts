import { MultiBar, type SingleBar } from "cli-progress";
import type { FineTuneOptions, RunStart } from "../runs/fine-tune.ts";
import type { EvaluationRecord, FreezingRecord, StepRecord } from "../runs/records.ts";
import { bytes, duration, integer, metrics } from "./format.ts";

/** Plain lines come at most this often, seconds. */
const LINE_INTERVAL = 10;

/** Shows a run's progress: a bar on a terminal, plain lines elsewhere. Everything goes to stderr. */
export class TrainingProgress {
  readonly #bars: MultiBar | undefined;
  #bar: SingleBar | undefined;
  /** A second line under the bar: one would be too long for most terminals. */
  #facts: SingleBar | undefined;
  #start: RunStart | undefined;
  #tokens = 0;
  #seconds = 0;
  #stepsHere = 0;
  #peakMemory = 0;
  #metric = "";
  #lastLine = 0;
  #freezable = "";

  constructor() {
    if (process.stderr.isTTY) {
      this.#bars = new MultiBar({
        format: "{bar} {value}/{total} | {details}",
        barsize: 16,
        barCompleteChar: "█",
        barIncompleteChar: "░",
        hideCursor: true,
        linewrap: false,
        forceRedraw: true,
        stream: process.stderr,
      });
    }
  }

  /** The callbacks to give to a run. */
  get callbacks(): Pick<FineTuneOptions, "onStart" | "onStep" | "onFreezingCheck" | "onEvaluation"> {
    return {
      onStart: (start) => this.#begin(start),
      onStep: (record) => this.#step(record),
      onFreezingCheck: (record) => this.#freeze(record),
      onEvaluation: (record) => this.#evaluation(record),
    };
  }

  /** Removes the bar. */
  stop(): void {
    this.#bars?.stop();
  }

  /** Writes a line above the bar. */
  log(line: string): void {
    if (this.#bars && this.#bar) this.#bars.log(`${line}\n`);
    else process.stderr.write(`${line}\n`);
  }

  #begin(start: RunStart): void {
    this.#start = start;
    const { base, task, config, totalSteps, stepsDone } = start;
    const examples = task.validation.reduce((sum, split) => sum + split.examples.length, 0);
    this.log(
      `${config.method.name} on ${base.name}, task ${task.name}: ${integer(task.train.length)} training and ${integer(examples)} validation examples, ${integer(totalSteps)} steps`,
    );
    if (base.newWeights.length > 0) this.log(`made new: ${base.newWeights.map(({ name }) => name).join(", ")}`);
    if (base.unused.length > 0) {
      const shown = base.unused.slice(0, 3).join(", ");
      this.log(`not used: ${shown}${base.unused.length > 3 ? ` and ${base.unused.length - 3} more tensors` : ""}`);
    }
    if (stepsDone > 0) this.log(`going on after step ${stepsDone}`);
    this.#freezable = start.freezable > 0 ? `/${start.freezable}` : "";
    this.#bar = this.#bars?.create(totalSteps, stepsDone, { details: "starting" });
    this.#facts = this.#bars?.create(totalSteps, stepsDone, { details: "" }, { format: "{details}" });
  }

  #step(record: StepRecord): void {
    this.#tokens += record.tokens;
    this.#seconds += record.seconds;
    this.#stepsHere++;
    this.#peakMemory = Math.max(this.#peakMemory, record.memory ?? 0);
    const left = (this.#start!.totalSteps - record.step - 1) * (this.#seconds / this.#stepsHere);
    const details = joined([
      `loss ${record.loss.toFixed(3)}`,
      `${integer(this.#tokens / this.#seconds)} tokens/s`,
      `${duration(left)} left`,
    ]);
    const facts = joined([
      this.#metric,
      `peak ${bytes(this.#peakMemory)}`,
      `${integer(record.trainable)} trainable`,
      this.#freezable && `${record.frozen}${this.#freezable} frozen`,
    ]);
    const done = record.step + 1;
    const { totalSteps } = this.#start!;
    if (this.#bar) {
      this.#bar.update(done, { details });
      this.#facts?.update(done, { details: facts });
    } else if (this.#seconds - this.#lastLine >= LINE_INTERVAL || done === totalSteps) {
      this.#lastLine = this.#seconds;
      this.log(joined([`step ${done}/${totalSteps}`, `lr ${record.learningRate.toPrecision(3)}`, details, facts]));
    }
  }

  #freeze({ step, fraction, frozen, compileSeconds }: FreezingRecord): void {
    if (frozen.length === 0) return;
    const names =
      frozen.length <= 4 ? frozen.join(", ") : `${frozen.slice(0, 3).join(", ")} and ${frozen.length - 3} more`;
    this.log(
      `step ${step}: froze ${names} (r = ${fraction.toFixed(2)}); compiled again in ${duration(compileSeconds)}`,
    );
  }

  #evaluation(record: EvaluationRecord): void {
    const [name, value] = Object.entries(record.metrics)[0]!;
    this.#metric = `${name} ${value.toFixed(4)}`;
    this.log(`epoch ${record.epoch}: ${metrics(record.metrics)}, loss ${record.loss.toFixed(4)}`);
  }
}

const joined = (parts: readonly string[]): string => parts.filter(Boolean).join(" | ");
