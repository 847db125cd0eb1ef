import type { ModelFiles } from "../../src/checkpoints/model-files.ts";
import { UserError } from "../../src/errors.ts";
import type { Columns } from "../../src/tasks/rows.ts";
import { type EndFacts, endFacts, unfinishedFacts } from "./end-facts.ts";
import { type FileFacts, factsOf, readExamples, type TaskFacts, taskFactsOf } from "./examples-file.ts";
import type { GivenExamples } from "./given-examples.ts";
import { type ModelFacts, modelFacts } from "./model-facts.ts";
import { filesOf, keep, type ModelChoice, nameOf, weightBytes } from "./model-store.ts";
import { type Examples, type PageRun, type SessionEvent, trainInPage } from "./page-run.ts";
import { type RowProblems, rowProblems } from "./row-problems.ts";
import { canSave, findRun, forgetRun, type RunRecords, type RunSettings, whileAlone } from "./saved-run.ts";
import { TrainingSwitch } from "./training-switch.ts";
import { type Asked, type Said, type TakeFormat, TunedModel } from "./tuned-model.ts";
import type { WrongExample } from "./wrong-examples.ts";

export interface LeftRun {
  model: string;
  epoch: number;
  step: number;
  rows: FileFacts;
  task: TaskFacts;
  settings: RunSettings;
}

/** State of the page's worker: the examples, the model, the run, and the tuned model. */
export class TrainingSession {
  readonly #switch = new TrainingSwitch();
  #examples: Examples | undefined;
  #task: { columns: Partial<Columns>; kind: string | undefined; facts: TaskFacts } | undefined;
  #choice: ModelChoice = { from: "page" };
  #files: ModelFiles | undefined;
  #tuned: TunedModel | undefined;
  readonly #asked = new Map<string, Blob>();

  /** @param home address of the page's own files */
  constructor(
    private readonly home: string,
    private readonly tell: (event: SessionEvent) => void,
  ) {}

  async read(given: GivenExamples): Promise<FileFacts> {
    this.#examples = undefined;
    this.#examples = { ...given, table: await readExamples(given) };
    return factsOf(given, this.#examples.table);
  }

  chooseColumns(columns: Partial<Columns>, kind: string | undefined): TaskFacts {
    this.#task = undefined;
    if (!this.#examples) throw new UserError("give examples first");
    const facts = taskFactsOf(this.#examples.table, columns, kind);
    this.#task = { columns, kind, facts };
    return facts;
  }

  /** Problems of the examples' rows; undefined if the rows do not have one class each. */
  rowProblems(): RowProblems | undefined {
    return this.#examples && this.#task && rowProblems(this.#examples.table, this.#task.columns, this.#task.facts);
  }

  /** Describes a model without reading its weights. */
  async chooseModel(choice: ModelChoice): Promise<ModelFacts> {
    this.#files = undefined;
    if (!this.#task) throw new UserError("choose the examples first");
    const files = await this.#open(choice);
    const { kind, labels } = this.#task.facts;
    const names = labels.map(({ name }) => name);
    const facts = await modelFacts(nameOf(choice), files, kind, names);
    this.#choice = choice;
    this.#files = files;
    const download = await weightBytes(choice, this.home);
    return { ...facts, ...(download !== undefined && { download }) };
  }

  #open(choice: ModelChoice): Promise<ModelFiles> {
    return filesOf(choice, this.home, (progress) => this.tell({ kind: "download", progress }));
  }

  async train(options: Record<string, unknown>): Promise<EndFacts> {
    this.#switch.reset();
    const { columns, kind } = this.#task!;
    const examples = this.#examples!;
    return whileAlone(async () => {
      const model = this.#choice.from === "disk" ? await kept(this.#choice) : this.#choice;
      const settings: RunSettings = { data: examples.name, model, columns, ...(kind && { kind }), options };
      const records = { steps: [], evaluations: [], freezing: [] };
      return this.#run({ settings, examples, files: this.#files!, records });
    });
  }

  async leftRun(): Promise<LeftRun | undefined> {
    const found = await findRun();
    if (!found) return undefined;
    const { settings, given, state } = found;
    const table = await readExamples(given);
    return {
      model: nameOf(settings.model),
      epoch: state.evaluations.at(-1)?.epoch ?? 0,
      step: state.step,
      rows: factsOf(given, table),
      task: taskFactsOf(table, settings.columns, settings.kind),
      settings,
    };
  }

  async resumeRun(): Promise<EndFacts> {
    this.#switch.reset();
    const found = await findRun();
    if (!found) throw new UserError("the saved run can no longer be read; train again");
    const { settings, given, state, records } = found;
    const examples = { ...given, table: await readExamples(given) };
    this.#examples = examples;
    this.chooseColumns(settings.columns, settings.kind);
    this.#choice = settings.model;
    const files = await this.#open(settings.model);
    this.#files = files;
    return whileAlone(() =>
      this.#run({ settings, examples, files, records: upTo(records, state.step), resume: state }),
    );
  }

  async forgetRun(): Promise<void> {
    if (canSave()) await forgetRun();
  }

  pause(): void {
    this.#switch.pause();
  }

  resume(): void {
    this.#switch.resume();
  }

  stop(): void {
    this.#switch.stop();
  }

  async ask(asked: Asked): Promise<Said> {
    return this.#tuned!.ask(asked);
  }

  async wrong(): Promise<{ of: number; examples: WrongExample[] }> {
    return this.#tuned!.wrong();
  }

  async take(format: TakeFormat): Promise<Blob> {
    return this.#tuned!.take(format);
  }

  async #run(run: PageRun): Promise<EndFacts> {
    const { settings, examples } = run;
    const { pictures } = examples;
    const { start, outcome } = await trainInPage(run, {
      tell: this.tell,
      openPicture: (path) => this.#asked.get(path) ?? pictures?.[path],
      onStart: async () => {
        await this.#tuned?.release();
        this.#tuned = undefined;
      },
      turn: () => this.#switch.turn(),
      signal: this.#switch.signal,
    });
    if (!start || !outcome.finished) return unfinishedFacts(outcome);
    this.#tuned = await TunedModel.of(outcome.finished, { task: start.task, pictures, asked: this.#asked });
    return endFacts(this.#tuned.model, start, outcome, settings);
  }
}

async function kept(choice: Extract<ModelChoice, { from: "disk" }>): Promise<RunSettings["model"]> {
  const { name, files } = choice;
  // Without it, the run trains, but cannot be resumed after a reload.
  if ("caches" in self) await keep(name, files).catch(() => undefined);
  return { from: "kept", name, files: Object.keys(files) };
}

function upTo({ steps, evaluations, freezing }: RunRecords, step: number): RunRecords {
  return {
    steps: steps.filter((record) => record.step < step),
    evaluations: evaluations.filter((record) => record.step <= step),
    freezing: freezing.filter((record) => record.step < step),
  };
}
