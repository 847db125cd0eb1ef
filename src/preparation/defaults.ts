import type { MethodDefinition } from "../methods/method.ts";
import type { PublishedSetting } from "../methods/published.ts";
import type { TaskKind } from "../tasks/task-kind.ts";
import { TASK_KINDS } from "../tasks/task-kinds.ts";
import { ratesOf } from "./recipe-rates.ts";
import { type DataSize, suitedSettings } from "./suited-settings.ts";
import type { HeadChoice } from "./trained-head.ts";

/** Properties of the examples and the model that settings depend on. */
export interface SuitedTo {
  kind: Pick<TaskKind, "recipe" | "objective" | "reads" | "refines"> | undefined;
  size: DataSize;
  /** Whether the run starts without an adapter. */
  isNew: boolean;
  /** Number of the model's blocks. */
  layers: number;
  /** Whether their classes are best learned by contrast. */
  suitsContrast: boolean;
  /** Number of tokens of the longest sound; undefined for other examples. */
  longest?: number | undefined;
}

/** Options whose defaults depend on the run. */
interface Open {
  headStart: "fitted" | "new";
  contrastive: boolean;
  epochs: number;
  batchSize: number;
  maxLength: number;
  warmupRatio: number;
  evaluateEvery: number | undefined;
  learningRate: number;
  headLearningRate: number;
}

/** Known facts of a run: its published task, and its examples and model once they are read. */
export interface KnownRun extends Partial<SuitedTo> {
  headStart?: "fitted" | "new" | undefined;
  epochs?: number | undefined;
  rates?: PublishedSetting | undefined;
}

type Given = { [Name in keyof Open]?: Open[Name] | undefined } & { head: HeadChoice };

/** A run whose open options get their values. */
class OpenRun {
  constructor(
    readonly given: Given,
    readonly from: KnownRun,
    readonly method?: MethodDefinition,
  ) {}

  get isFitted(): boolean {
    return defaulted("headStart", this) === "fitted";
  }

  /** Whether the run ends with the fitted head. A head that comes from an adapter is trained further. */
  get fitsOnly(): boolean {
    const { kind, isNew } = this.from;
    const canFit = kind === undefined || kind.objective.linearLoss !== undefined;
    return this.method?.headOnly === true && this.isFitted && canFit && isNew !== false;
  }

  get suitsContrast(): boolean {
    const { batchSize, learningRate } = this.given;
    // A given batch size or learning rate is meant for cross-entropy.
    const isOpen = batchSize === undefined && learningRate === undefined;
    return this.from.suitsContrast === true && this.isFitted && !this.fitsOnly && isOpen;
  }

  /** The number of examples counts only for kinds whose head can be fitted; the others have recipes. */
  get startsFitted(): boolean {
    return this.isFitted && this.from.kind?.objective.linearLoss !== undefined;
  }

  get bySize(): ReturnType<typeof suitedSettings> | undefined {
    const { size } = this.from;
    return this.startsFitted && size ? suitedSettings(size, defaulted("contrastive", this)) : undefined;
  }

  get rates(): ReturnType<typeof ratesOf> {
    const { kind, layers, size } = this.from;
    const run = { contrastive: defaulted("contrastive", this), startsFitted: this.startsFitted, kind, layers };
    return ratesOf(this.method!.recipe, { ...run, examples: size?.examples });
  }
}

/** A source of a default: in words for the help, if a reader needs it, and its value for a run. */
type Source<Value> = [words: string, value: (run: OpenRun) => Value | undefined];

type Recipe = NonNullable<SuitedTo["kind"]>["recipe"] & object;

/** Recipes of kinds of task. */
function ofKind<Name extends keyof Recipe>(name: Name): Source<Recipe[Name]> {
  const kinds = TASK_KINDS.all.filter(({ recipe }) => recipe?.[name] !== undefined);
  const values = [...new Set(kinds.map(({ recipe }) => recipe![name]))].map((value) => {
    const names = kinds.filter(({ recipe }) => recipe![name] === value).map((kind) => kind.name);
    return `${names.join(", ")}: ${value}`;
  });
  return [values.join("; "), ({ from }) => from.kind?.recipe?.[name]];
}

const always = <Value extends number | string>(value: Value): Source<Value> => [String(value), () => value];

const BY_SIZE = "by the number of examples with a fitted head";

/** The sources of each default. The first that has a value wins. */
const DEFAULTS: { readonly [Name in keyof Open]: readonly Source<Open[Name]>[] } = {
  headStart: [
    ["new for published tasks", ({ from }) => from.headStart],
    ["", ({ given }) => (given.head === "classifier" ? "new" : undefined)],
    always("fitted"),
  ],
  contrastive: [["on if examples and classes are few and the model embeds sentences", (run) => run.suitsContrast]],
  epochs: [
    ["the paper's for GLUE", ({ from }) => from.epochs],
    ["", ({ fitsOnly }) => (fitsOnly ? 0 : undefined)],
    [BY_SIZE, ({ bySize }) => bySize?.epochs],
    ofKind("epochs"),
    always(10),
  ],
  batchSize: [[BY_SIZE, ({ bySize }) => bySize?.batchSize], ofKind("batchSize"), always(64)],
  maxLength: [ofKind("maxLength"), always(256)],
  warmupRatio: [["", ({ bySize }) => bySize?.warmupRatio], always(0.06)],
  evaluateEvery: [["", ({ bySize }) => bySize?.evaluateEvery]],
  learningRate: [
    ["the paper's for GLUE", ({ from }) => from.rates?.learningRate],
    ["the method's", ({ rates }) => rates.learningRate],
  ],
  headLearningRate: [
    ["", ({ from }) => from.rates?.headLearningRate],
    ["", ({ rates }) => rates.headLearningRate],
  ],
};

/** The default of an option in words, for its description. */
export function defaultOf(name: keyof Open): string {
  const words = DEFAULTS[name].flatMap(([each]) => each || []);
  return `(default: ${words.map((each, i) => (i > 0 && i === words.length - 1 ? `otherwise ${each}` : each)).join("; ")})`;
}

function defaulted<Name extends keyof Open>(name: Name, run: OpenRun): Open[Name] {
  const given = run.given[name] as Open[Name] | undefined;
  if (given !== undefined) return given;
  for (const [, value] of DEFAULTS[name]) {
    const found = value(run);
    if (found !== undefined) return found;
  }
  return undefined as Open[Name];
}

/** Start of the head, as far as it is known before the method is chosen. */
export const headStartOf = (given: Given, from: KnownRun): "fitted" | "new" =>
  defaulted("headStart", new OpenRun(given, from));

/** Fills in the settings that are not given. */
export function withDefaults<Options extends Given>(
  given: Options,
  method: MethodDefinition,
  from: KnownRun = {},
): Options & Open {
  const run = new OpenRun(given, from, method);
  const all = Object.keys(DEFAULTS).map((name) => [name, defaulted(name as keyof Open, run)]);
  const found = { ...given, ...(Object.fromEntries(all) as Open) };
  return { ...found, maxLength: Math.min(found.maxLength, from.longest ?? Number.POSITIVE_INFINITY) };
}
