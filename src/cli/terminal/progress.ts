import { basename, isAbsolute } from "node:path";
import type { RunEvent, RunStart } from "../../runs/fine-tune-events.ts";
import type { EvaluationRecord, FreezingRecord, StepRecord } from "../../training/training-records.ts";
import { inFlags } from "../help.ts";
import { bytes, counted, duration, epochs, integer, metrics } from "./format.ts";
import { FreezingMap } from "./freezing-map.ts";
import { say } from "./print.ts";
import { StageLines } from "./stage-lines.ts";
import { StatusLines } from "./status-lines.ts";

/** Rows of a terminal that the map of frozen matrices leaves to the bar and to lines above. */
const OTHER_ROWS = 8;
/** Minimum seconds between two plain lines. */
const LINE_INTERVAL = 10;
const BAR_SIZE = 16;

/** Shows a run's progress on stderr: a bar on a terminal, otherwise plain lines. */
export class TrainingProgress {
  readonly #status = process.stderr.isTTY ? new StatusLines(process.stderr) : undefined;
  readonly isTerminal = this.#status !== undefined;
  #start: RunStart | undefined;
  #latest: StepRecord | undefined;
  #tokens = 0;
  #seconds = 0;
  #stepsHere = 0;
  #peakMemory = 0;
  #metric = "";
  #lastLine = 0;
  readonly #stages = new StageLines(this);
  readonly #said = new Set<string>();
  readonly #brief: boolean;
  readonly #map = new FreezingMap();

  /** @param options.brief whether to show the bar alone: no notes, no lines above it */
  constructor({ brief = false }: { brief?: boolean } = {}) {
    this.#brief = brief;
  }

  /** Shows an event of a run. */
  take(event: RunEvent): void {
    if (event.kind !== "progress" && event.kind !== "note") this.#stages.end();
    if (event.kind === "start") this.#begin(event);
    else if (event.kind === "step") this.#step(event);
    else if (event.kind === "freezing") this.#freeze(event);
    else if (event.kind === "evaluation") this.#evaluation(event);
    else if (event.kind === "note") this.note(event.text);
    else if (event.kind === "progress" && (this.#status || !this.#brief)) this.#stages.take(event);
  }

  /** Prints a note from before training, once. */
  note(text: string): void {
    if (!this.#brief && !this.#said.has(text)) this.log(inFlags(text));
    this.#said.add(text);
  }

  /** Leaves the bar as it was after the last step, or removes it if there are no other lines. */
  stop(): void {
    this.#stages.end();
    if (this.#brief || !this.#start) this.#status?.clear();
    else this.#show();
    this.#status?.end();
  }

  /** Shows a line of a stage: on a terminal, instead of the bar. */
  show(line: string): void {
    if (this.#status) this.#status.set([line]);
    else this.log(line);
  }

  /** Prints a line above the bar. */
  log(line: string): void {
    if (this.#status) this.#status.log(line);
    else say(`${line}\n`);
  }

  #begin(start: RunStart): void {
    this.#start = start;
    if (!this.#brief) this.#introduce(start);
    this.#show();
  }

  /** Prints lines about the run that begins. */
  #introduce(start: RunStart): void {
    const { base, task, config, totalSteps, stepsDone } = start;
    const examples = task.validation.reduce((sum, split) => sum + split.examples.length, 0);
    this.log(
      `${config.method.name} on ${isAbsolute(base.name) ? basename(base.name) : base.name}, task ${task.name}: ${integer(task.train.length)} training and ${counted(examples, "validation example")}, ${counted(totalSteps, "step")}`,
    );
    if (base.newWeights.length > 0) this.log(`new weights: ${base.newWeights.map(({ name }) => name).join(", ")}`);
    if (base.unused.length > 0) {
      const shown = base.unused.slice(0, 3).join(", ");
      const others = base.unused.length - 3;
      this.log(`unused weights: ${shown}${others > 0 ? ` and ${counted(others, "more tensor")}` : ""}`);
    }
    for (const line of sampleLines(start.sample ?? [])) this.log(line);
    const { total, weights, optimizer, activations, hiddenStates } = start.memory;
    const kept = hiddenStates === undefined ? "" : `, hidden states of frozen blocks up to ${bytes(hiddenStates)}`;
    this.log(
      `memory: about ${bytes(total)} expected: weights ${bytes(weights)}, optimizer ${bytes(optimizer)}, activations ${bytes(activations)}${kept}`,
    );
    for (const note of start.notes) this.note(note);
    if (stepsDone > 0) this.log(`resuming after step ${stepsDone}`);
  }

  #step(record: StepRecord): void {
    this.#latest = record;
    this.#tokens += record.tokens;
    this.#seconds += record.seconds;
    this.#stepsHere++;
    this.#peakMemory = Math.max(this.#peakMemory, record.memory ?? 0);
    if (record.rollout?.failure !== undefined) this.note(record.rollout.failure);
    const done = record.step + 1;
    const { totalSteps } = this.#start!;
    if (this.#status) this.#show();
    else if (this.#seconds - this.#lastLine >= LINE_INTERVAL || done === totalSteps) {
      this.#lastLine = this.#seconds;
      const rate = `lr ${record.learningRate.toPrecision(3)}`;
      this.log(joined([`step ${done}/${totalSteps}`, rate, this.#speed(record), this.#facts(record), workers(record)]));
    }
  }

  #freeze(record: FreezingRecord): void {
    const { step, fraction, frozen, blocks, compileSeconds } = record;
    this.#map.take(record);
    this.#show();
    const names = frozen.length > 1 ? `${frozen[0]} and ${frozen.length - 1} more` : frozen[0];
    const changes = [
      ...(frozen.length > 0 && this.#mapLines().length === 0 ? [`froze ${names} (r = ${fraction.toFixed(2)})`] : []),
      ...(blocks?.frozenBlocks ? [`frozen ${blocks.boundary} of ${counted(blocks.scores.length, "block")}`] : []),
    ];
    if (this.#brief || changes.length === 0) return;
    this.log(`step ${step}: ${changes.join("; ")}; compiled again in ${duration(compileSeconds)}`);
  }

  #evaluation(record: EvaluationRecord): void {
    const [name, value] = Object.entries(record.metrics)[0]!;
    this.#metric = `${name} ${value.toFixed(4)}`;
    this.#show();
    if (this.#brief) return;
    this.log(
      `epoch ${epochs(record.epoch)}: ${metrics(record.metrics, record.errors)}, loss ${record.loss.toFixed(4)}`,
    );
  }

  /** Draws the bar, with numbers on a second line: one line would be too long for most terminals. */
  #show(): void {
    const { totalSteps, stepsDone } = this.#start!;
    const done = this.#latest ? this.#latest.step + 1 : stepsDone;
    const filled = Math.round((BAR_SIZE * done) / totalSteps);
    const bar = `${"█".repeat(filled)}${"░".repeat(BAR_SIZE - filled)} ${done}/${totalSteps}`;
    this.#status?.set(
      this.#latest
        ? [
            ...this.#mapLines(),
            joined([bar, this.#speed(this.#latest)]),
            this.#facts(this.#latest),
            workers(this.#latest),
          ].filter(Boolean)
        : [`${bar} | starting`],
    );
  }

  /** The matrices that froze, if the terminal has room for them. */
  #mapLines(): readonly string[] {
    if (!this.#status || this.#brief) return [];
    const { columns = 80, rows = 24 } = process.stderr;
    return this.#map.lines(columns, rows - OTHER_ROWS);
  }

  #speed({ step, loss, rollout }: StepRecord): string {
    const left = (this.#start!.totalSteps - step - 1) * (this.#seconds / this.#stepsHere);
    const speed = `${integer(this.#tokens / this.#seconds)} tokens/s`;
    return joined([rollout ? rewarded(rollout) : `loss ${loss.toFixed(3)}`, speed, `${duration(left)} left`]);
  }

  #facts({ trainable, frozen, frozenBlocks, rollout }: StepRecord): string {
    const { freezable } = this.#start!;
    return joined([
      rollout?.failed ? `${counted(rollout.failed, "failed reward")}` : "",
      this.#metric,
      `peak ${bytes(this.#peakMemory)}`,
      `${integer(trainable)} trainable`,
      freezable > 0 ? `${frozen}/${freezable} frozen` : "",
      frozenBlocks ? `${counted(frozenBlocks, "block")} frozen` : "",
    ]);
  }
}

/** Maximum number of workers to show. */
const MOST_WORKERS = 4;

/** Describes the workers' parts of a step. */
function workers({ workers = [], seconds }: StepRecord): string {
  if (workers.length === 0) return "";
  const waits = (computing: number): string => `${Math.round(100 * Math.max(0, 1 - computing / seconds))} %`;
  const shown = workers
    .slice(0, MOST_WORKERS)
    .map(({ name, shards, computing }) => `${name} ${shards} (waits ${waits(computing)})`);
  const others = workers.length - shown.length;
  const sum = workers.reduce((total, each) => total + each.bytes, 0);
  return `shards: ${shown.join(", ")}${others > 0 ? ` and ${counted(others, "more worker")}` : ""}, ${bytes(sum)} sent`;
}

/** Describes the answers of a step. */
const rewarded = ({ reward, spread, answerTokens }: NonNullable<StepRecord["rollout"]>): string =>
  `reward ${reward === null ? "none" : `${reward.toFixed(3)}${spread === null ? "" : ` ± ${spread.toFixed(3)}`}`}, ${answerTokens.toFixed(0)} tokens per answer`;

/** Maximum number of characters of an example to show. */
const SHOWN = 1500;

/** An example as the model reads it, with the parts that count for the loss in brackets. */
function sampleLines(parts: NonNullable<RunStart["sample"]>): string[] {
  if (parts.length === 0) return [];
  const marked = parts.map(({ text, counts }) => (counts ? `⟦${text}⟧` : text)).join("");
  const shown = marked.length > SHOWN ? `${marked.slice(0, SHOWN)}…` : marked;
  return [
    "the first example; text between ⟦ and ⟧ counts for the loss:",
    ...shown.split("\n").map((line) => `  ${line}`),
  ];
}

const joined = (parts: readonly string[]): string => parts.filter(Boolean).join(" | ");
