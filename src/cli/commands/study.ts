import { basename, dirname, extname, join } from "node:path";
import { Command } from "commander";
import { parse } from "yaml";
import { UserError } from "../../errors.ts";
import { SEARCH_ALGORITHMS } from "../../studies/search/algorithms.ts";
import type { Study } from "../../studies/study.ts";
import { parseStudy, searchKeys } from "../../studies/study-file.ts";
import { camelCase, camelKeys, readConfigFile } from "../config-file.ts";
import { addExamples, everydayHelp, kebabCase } from "../help.ts";
import { addRunOptions, addSchemaOptions, givenOptions } from "../schema-options.ts";
import { addStudyFlags, STUDY_FLAGS, type StudyFlags } from "../study-flags.ts";

const EXAMPLES = [
  "aflora study ranks.yaml --dry-run",
  "aflora study ranks.yaml",
  "aflora study --vary beta1=0.5,0.85,0.95 --vary beta2=0.9,0.95 --task rte --data glue --epochs 3 --seeds 1,2,3",
  "aflora study --vary learningRate=0.001,0.004,0.016 --vary rank=4,8 --search halving --train tickets.csv --text message --label team",
];

const NOTE = `Run the same command again to continue an interrupted study. After a change, it keeps the trials
that still fit.`;

const EVERYDAY = [
  ...["vary", "search", "trials", "model", "method", "task", "data", "train", "validation"],
  ...["text", "label", "epochs", "batchSize", "maxTrainSamples"],
];

/** Options of a run that a study sets itself. */
const OWN = ["seed", "output", "validationSplit"];

/** `aflora study` */
export function studyCommand(): Command {
  const ways = SEARCH_ALGORITHMS.all.map(({ name, summary }) => `${name} (${summary})`).join(", ");
  const command = new Command("study")
    .argument("[file]", "YAML or JSON file that describes the study (docs/studies.md)")
    .option("--vary <key=values>", "an option and its values, separated by commas; may be repeated", collect)
    .option("--search <how>", ways)
    .option("--estimate", "compute time and memory from the study's sizes alone: needs neither data nor weights");
  for (const { name, options } of SEARCH_ALGORITHMS.all) addSchemaOptions(command, options, `Search ${name}`);
  addStudyFlags(command, {
    output: "runs/<name of the file>",
    holdOut: "0.2; with 0, choose on the validation examples",
  });
  addRunOptions(command, OWN);
  everydayHelp(command, [...EVERYDAY, "estimate", ...STUDY_FLAGS]);
  return addExamples(command, EXAMPLES, NOTE).action(async (file: string | undefined) => {
    const { estimate, dryRun, queue, status, markdown, json, output: given, ...flags } = givenOptions<Flags>(command);
    const output = given ?? join("runs", file === undefined ? "study" : basename(file, extname(file)));
    const study = await studyOf(file, flags);
    if (estimate) {
      const { printCosts } = await import("../study-costs.ts");
      return printCosts(study, dirname(file ?? ""), json === true);
    }
    const { doStudy } = await import("../study-command.ts");
    await doStudy(study, output, { dryRun, queue, status, markdown, json });
  });
}

interface Flags extends StudyFlags {
  vary?: [string, unknown[]][];
  estimate?: boolean;
  [option: string]: unknown;
}

/** Makes a study from a file and flags. Flags override the file. */
export async function studyOf(file: string | undefined, flags: Flags): Promise<Study> {
  const { vary = [], ...others } = flags;
  const keys = ["search", "seeds", "metric", "holdOut", "generate", ...searchKeys()];
  const [own, options] = [true, false].map((isKey) =>
    Object.fromEntries(Object.entries(others).filter(([name]) => keys.includes(name) === isKey)),
  );
  const stored = file === undefined ? {} : await readConfigFile(file);
  const study = parseStudy(
    {
      ...stored,
      ...own,
      vary: { ...camelKeys(stored.vary), ...Object.fromEntries(vary) },
      options: { ...camelKeys(stored.options), ...options },
    },
    file === undefined ? "Study" : basename(file, extname(file)),
  );
  for (const name of Object.keys(options!)) checkNotVaried(name, study);
  return study;
}

/** @throws UserError if a flag sets an option that a factor varies, which would override it silently */
function checkNotVaried(name: string, { factors }: Study): void {
  const factor = factors.find(
    ({ name: own, levels }) => own === name || levels?.some(({ options }) => name in options),
  );
  if (factor === undefined) return;
  throw new UserError(
    factor.name === name
      ? `the study varies ${name}: give its values with --vary ${name}=…, or leave --${kebabCase(name)} out`
      : `the study's factor "${factor.name}" sets ${name}: change it there, or leave --${kebabCase(name)} out`,
  );
}

/** Parses text such as `beta1=0.5,0.85`. */
function collect(text: string, before: [string, unknown[]][] = []): [string, unknown[]][] {
  const [, name, values] = /^([\w-]+)=(.*)$/s.exec(text) ?? [];
  if (name === undefined || values === undefined) {
    throw new UserError(`--vary takes an option and its values, such as beta1=0.5,0.85; not "${text}"`);
  }
  const items = values.split(",").map((item) => item.trim());
  return [...before, [camelCase(name), items.filter((item) => item !== "").map((item): unknown => parse(item))]];
}
