import { stringify } from "yaml";
import type { AdapterDescription } from "../base-models/adapter.ts";
import { BUNDLED_MODEL, BUNDLED_ON_HUB } from "../base-models/bundled-model.ts";
import { labelNames, readmeOnHub } from "../export/hugging-face.ts";
import { findTaskKind } from "../tasks/task-kinds.ts";
import type { FinishedRun } from "./read-run.ts";

export interface PushedFormat {
  library: string;
  merges: boolean;
  readme: string;
}

export interface CardFacts {
  repository: string;
  isPublic: boolean;
  license: string | undefined;
  formats: readonly PushedFormat[];
}

/** Name of the base model on the hub; undefined if it is a folder or file of this machine. */
export function baseOnHub({ model, revision }: AdapterDescription): string | undefined {
  if (model === BUNDLED_MODEL) return BUNDLED_ON_HUB;
  return revision === undefined ? undefined : model;
}

/**
 * Writes the model card of a run, as the hub shows it. It has counts, names of labels and settings, and no text, file name or path of
 * the data.
 */
export function modelCard(run: FinishedRun, description: AdapterDescription, facts: CardFacts): string {
  const { method, task } = description;
  const { huggingFace } = findTaskKind(task.kind);
  const base = baseOnHub(description);
  const { library, merges } = facts.formats[0]!;
  const metadata = {
    ...(base && { base_model: base, base_model_relation: merges ? "finetune" : "adapter" }),
    library_name: library,
    ...(facts.license && { license: facts.license }),
    pipeline_tag: huggingFace.pipeline,
    tags: ["aflora", method],
  };
  const whole = base ? `[${base}](https://huggingface.co/${base})` : `A ${description.modelType} model`;
  const sections = [
    `---\n${stringify(metadata)}---`,
    `# ${facts.repository.split("/")[1]}`,
    `${whole}, fine-tuned for ${huggingFace.pipeline} with aflora (method ${method}). ${huggingFace.readme.outputs(labelNames(task), task.options)}`,
    `## Scores\n\n${scores(run)}`,
    `## Data\n\n${data(run, description)}`,
    `## Training\n\n${training(run)}`,
    `## Licence\n\n${licence(facts.license, base)}`,
    `## Use in aflora\n\n${inAflora(description, facts)}`,
    ...facts.formats.map((format) => `## Use in ${format.library}\n\n${readmeOnHub(format.readme, facts.repository)}`),
  ];
  return `${sections.join("\n\n")}\n`;
}

const integer = (count: number): string => count.toLocaleString("en-US");
const examples = (count: number): string => `${integer(count)} ${count === 1 ? "example" : "examples"}`;

function scores({ result }: FinishedRun): string {
  const { errors = {} } = result;
  const rows = Object.entries(result.float32Metrics ?? result.metrics).map(
    ([name, value]) => `| ${name} | ${value.toFixed(4)}${name in errors ? ` ± ${errors[name]!.toFixed(4)}` : ""} |`,
  );
  const note = Object.keys(errors).length > 0 ? "\n\n± is the standard error, over the validation examples." : "";
  return `| metric | validation |\n|---|---|\n${rows.join("\n")}${note}`;
}

function data({ config, dataFingerprint }: FinishedRun, { refit, task }: AdapterDescription): string {
  const { train, validation, heldOut } = dataFingerprint.examples;
  const { source } = config;
  const from = "dataset" in source ? ` of the data set ${source.dataset}` : "task" in source ? ` of ${task.name}` : "";
  const counts = Object.entries(validation).map(([name, count]) => `${examples(count)} (${name})`);
  const held = heldOut
    ? `, a share of ${heldOut.fraction} that was held out at random (seed ${heldOut.seed})`
    : ", which the data have for it";
  const again = refit ? " Then it was trained once more on all of them, so that they no longer measure it." : "";
  return `Trained on ${examples(train)}${from}; measured on ${counts.join(" and ")}${held}.${again}`;
}

function training({ config, result }: FinishedRun): string {
  const { batchSize, learningRate, maxLength, seed } = config.run;
  const options = Object.entries(config.method.options).filter(([, value]) => value !== undefined);
  const rows = {
    method: config.method.name,
    ...Object.fromEntries(options.map(([name, value]) => [name, JSON.stringify(value)])),
    "trainable parameters": `${integer(Math.round(result.trainable.start))}, and ${integer(result.trainable.head)} of the head`,
    epochs: `${result.epochs}, of which ${result.bestEpoch} was the best`,
    steps: `${integer(result.steps)} of ${batchSize ?? "?"} examples`,
    "peak learning rate": learningRate,
    "longest text": `${maxLength} tokens`,
    seed,
  };
  const lines = Object.entries(rows).map(([name, value]) => `| ${name} | ${value} |`);
  return `| | |\n|---|---|\n${lines.join("\n")}`;
}

function licence(license: string | undefined, base: string | undefined): string {
  if (license !== undefined) return `${license}.${base ? ` The terms of the base model, ${base}, apply, too.` : ""}`;
  return `Not stated here${base ? `; the terms of the base model, ${base}, apply` : ""}.`;
}

function inAflora({ task }: AdapterDescription, { repository, isPublic }: CardFacts): string {
  const { retrieval, reads } = findTaskKind(task.kind);
  const input = reads === undefined ? "a text" : reads === "pictures" ? "picture.jpg" : "sound.wav";
  const command = retrieval?.by === "vectors" ? "embed" : "predict";
  const token = isPublic ? "" : "The repository is private: set `HF_TOKEN` to a token that may read it.\n\n";
  return `${token}\`\`\`sh
npx aflora ${command} --run ${repository} "${input}"
\`\`\`

\`\`\`ts
import { loadFineTunedModel } from "aflora/predict";

const model = await loadFineTunedModel("${repository}");
\`\`\``;
}
