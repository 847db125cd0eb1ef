import type { ModelConfig } from "../../architectures/architecture.ts";
import { poolingOfFeatures } from "../../architectures/heads.ts";
import type { LinearModule } from "../../architectures/model-parts.ts";
import { samplesOf } from "../../architectures/streams/token-stream.ts";
import type { AdapterDescription } from "../../base-models/adapter.ts";
import type { BaseModel } from "../../base-models/base-model.ts";
import type { FittedAdapter } from "../../base-models/fitted-adapter.ts";
import { PEFT_CONFIG, PEFT_WEIGHTS } from "../../base-models/peft/peft-files.ts";
import { safetensorsBytes } from "../../checkpoints/safetensors.ts";
import { opt, UserError } from "../../errors.ts";
import type { Tensor, Tensors } from "../../graph/tensor.ts";
import type { Adaptation } from "../../methods/method.ts";
import { findMethod, parseMethodOptions } from "../../methods/methods.ts";
import type { NamedLayer, PeftForm } from "../../methods/peft.ts";
import { findTaskKind } from "../../tasks/task-kinds.ts";
import { fullModuleName, fullName, isSentenceModel, labelNames, publicName } from "../hugging-face.ts";
import { copyFile, copyTokenizer } from "../hugging-face-files.ts";
import { type OutputFolder, writeJson } from "../output-folder.ts";
import { sentenceReadme, writeSentenceFiles } from "../sentence-transformers.ts";

export const PEFT_FORMS = ["lora"] as const;
export type PeftFormName = (typeof PEFT_FORMS)[number];

/**
 * Writes an adapter folder for Hugging Face PEFT: in its method's own form, or as LoRA if there is none or if
 * requested.
 */
export async function writePeftFolder(
  folder: OutputFolder,
  base: BaseModel,
  { description, adaptation }: FittedAdapter,
  parameters: Tensors<"float32">,
  as?: PeftFormName,
): Promise<void> {
  const { config, layers, shared = new Map() } = formOf(base, { description, adaptation, parameters }, as);
  const ofSentences = isSentenceModel(base);
  const head = ofSentences ? { modules: [], tensors: [] } : headToSave(base, parameters);
  const tensors = new Map<string, Tensor<"float32">>();
  for (const [name, data] of [...layers, ...head.tensors]) tensors.set(`base_model.model.${name}`, data);
  for (const [name, data] of shared) tensors.set(`base_model.${name}`, data);
  await folder.write(PEFT_WEIGHTS, safetensorsBytes(tensors, { format: "pt" }));
  await writeJson(folder, PEFT_CONFIG, {
    base_model_name_or_path: publicName(base),
    ...(base.revision !== undefined && { revision: base.revision }),
    task_type: ofSentences ? "FEATURE_EXTRACTION" : findTaskKind(description.task.kind).huggingFace.peftTaskType,
    inference_mode: true,
    target_modules: targetModules(base, adaptation.modules),
    modules_to_save: head.modules,
    bias: "none",
    fan_in_fan_out: adaptation.modules.some(({ name }) => base.trace.weights.get(`${name}.weight`)!.transposed),
    ...config,
  });
  if (ofSentences) {
    await writeSentenceFiles(folder, base, description.maxLength, parameters);
    if (base.media) await copyFile(folder, base, "preprocessor_config.json");
    else await copyTokenizer(folder, base);
  }
  await folder.write("README.md", readmeOf(base, description, ofSentences));
}

function formOf(
  base: BaseModel,
  { description, adaptation, parameters }: FittedAdapter,
  as: PeftFormName | undefined,
): PeftForm {
  const definition = findMethod(description.method);
  const options = parseMethodOptions(definition, description.methodOptions);
  const layers = adaptation.modules.map((module) => ({ module, moduleName: fullModuleName(base, module) }));
  const own = definition.peft?.write?.(options, layers, parameters);
  if (as !== undefined && !own) {
    throw new UserError(
      `${opt("as")} ${as} is for adapters such as AdaLoRA's, which PEFT can store in two forms; an adapter of method "${definition.name}" has one form at most`,
    );
  }
  const form = as === undefined && own ? own : loraForm(adaptation, layers, parameters);
  if (form) return form;
  throw new UserError(
    `method "${definition.name}" does not make an adapter that Hugging Face PEFT knows; use ${opt("format")} merged or ${opt("format")} onnx`,
  );
}

/** Ends of names, such as `attention.self.query`, if they match only the adapted layers; otherwise whole names. */
function targetModules(base: BaseModel, modules: readonly LinearModule[]): string[] {
  const ends = [...new Set(modules.map(({ name }) => name.replace(/^.*?\.\d+\./, "")))];
  const adapted = new Set(modules.map(({ name }) => name));
  const names = [...base.trace.weights.keys()].map((name) => name.replace(/\.\w+$/, ""));
  const exact = names.every(
    (name) => adapted.has(name) || !ends.some((end) => name === end || name.endsWith(`.${end}`)),
  );
  return (exact ? ends : modules.map((module) => fullModuleName(base, module))).sort();
}

/**
 * Modules of the head that PEFT must save whole: those with parameters in the adapter, and those that PEFT always saves (names that end
 * with `classifier` or `score`).
 */
function headToSave(
  base: BaseModel,
  parameters: Tensors<"float32">,
): { modules: string[]; tensors: Map<string, Tensor<"float32">> } {
  const weights = [...base.trace.weights.values()].filter(({ part }) => part === "head");
  const moduleOf = (name: string): string => name.slice(0, name.indexOf("."));
  const saved = new Set(weights.filter(({ name }) => parameters.has(name)).map(({ name }) => moduleOf(name)));
  for (const { name } of weights) if (/(classifier|score)$/.test(moduleOf(name))) saved.add(moduleOf(name));
  const tensors = weights
    .filter(({ name }) => saved.has(moduleOf(name)))
    .map((weight) => {
      const tensor = parameters.get(weight.name) ?? base.weights.get(weight.name)!;
      return [fullName(base, weight), tensor] as const;
    });
  return { modules: [...saved].sort(), tensors: new Map(tensors) };
}

function readmeOf(base: BaseModel, description: AdapterDescription, ofSentences: boolean): string {
  const { task, method } = description;
  const title = `# ${task.name}: adapter for ${publicName(base)}\n\nTrained with aflora (method ${method}). `;
  if (base.media) return title + filesReadme(base, description);
  if (ofSentences) return title + sentenceReadme(base, description, ", where peft is installed");
  const names = labelNames(task);
  const { autoClass: auto, readme } = findTaskKind(task.kind).huggingFace;
  const { from, needs } = whereFrom(base);
  return `${title}Loads with Hugging Face PEFT${needs}:

\`\`\`python
from transformers import ${auto}
from peft import PeftModel

base = ${auto}.from_pretrained(${from}${names.length > 0 ? `, num_labels=${names.length}` : ""})
model = PeftModel.from_pretrained(base, "path/of/this/folder")
\`\`\`

${readme.outputs(names, task.options)}
`;
}

function inputsInPython({ sound }: ModelConfig, maxLength: number): { imports: string; auto: string; lines: string } {
  if (!sound) {
    return {
      imports: "from PIL import Image",
      auto: "AutoImageProcessor",
      lines: 'inputs = processor(Image.open("picture.jpg").convert("RGB"), return_tensors="pt")',
    };
  }
  const samples = samplesOf(sound, maxLength);
  return {
    imports: "import soundfile",
    auto: "AutoFeatureExtractor",
    lines: `samples, rate = soundfile.read("sound.wav", dtype="float32")
inputs = processor(samples, sampling_rate=rate, truncation=True, max_length=${samples})
inputs = processor.pad(inputs, padding="max_length", max_length=${samples}, return_tensors="pt")`,
  };
}

function filesReadme(
  { head, features = "mean", pooling, config }: BaseModel,
  { task, maxLength }: AdapterDescription,
): string {
  const embeds = head === "pooled";
  const { imports, auto, lines } = inputsInPython(config, maxLength);
  const { mode } = poolingOfFeatures(features, pooling);
  const pooled = { mean: "hidden.mean(1)", cls: "hidden[:, 0]", lasttoken: "hidden[:, -1]" }[mode];
  return `Loads with Transformers and PEFT. \`BASE\` is the model that the ONNX file was made from:

\`\`\`python
from peft import PeftModel
${imports}${embeds ? "" : "\nfrom safetensors.torch import load_file"}
from transformers import ${auto}, AutoModel

folder = "path/of/this/folder"
processor = ${auto}.from_pretrained(folder)
model = PeftModel.from_pretrained(AutoModel.from_pretrained("BASE"), folder).eval()
${embeds ? "" : 'head = load_file(f"{folder}/2_Dense/model.safetensors")\n'}${lines}
hidden = model(**inputs).last_hidden_state
${embeds ? `vector = ${pooled}` : `logits = ${pooled} @ head["linear.weight"].T + head["linear.bias"]`}
\`\`\`

${findTaskKind(task.kind).huggingFace.readme.outputs(labelNames(task), task.options)}
`;
}

/** Arguments for loading the base model with Transformers in Python, and the package that they need. */
function whereFrom(base: BaseModel): { from: string; needs: string } {
  const [, folder, file] = /^(?:(.*)[\\/])?([^\\/]+\.gguf)$/.exec(base.files.location) ?? [];
  if (file === undefined) return { from: JSON.stringify(publicName(base)), needs: "" };
  return {
    from: `${JSON.stringify(folder ?? ".")}, gguf_file=${JSON.stringify(file)}`,
    needs: ", where the package gguf is installed",
  };
}

/**
 * An adapter in the form of PEFT's LoRA, for methods whose layers are low-rank products; undefined for others. Ranks
 * and alphas that differ from the largest layer's are patterns.
 */
export function loraForm(
  { asLora, inputDropout = 0 }: Adaptation,
  named: readonly NamedLayer[],
  parameters: Tensors<"float32">,
): PeftForm | undefined {
  if (!asLora) return undefined;
  const folded = named.map(({ module, moduleName }) => ({ moduleName, ...asLora(module, parameters) }));
  const { rank: r, alpha } = folded.reduce((a, b) => (b.rank > a.rank ? b : a));
  const others = folded.filter((layer) => layer.rank !== r || layer.alpha !== alpha);
  const patternOf = (value: "rank" | "alpha") =>
    Object.fromEntries(others.map((layer) => [layer.moduleName, layer[value]]));
  const layers = new Map<string, Tensor<"float32">>();
  for (const { moduleName, A, B, magnitude } of folded) {
    layers.set(`${moduleName}.lora_A.weight`, A).set(`${moduleName}.lora_B.weight`, B);
    if (magnitude) layers.set(`${moduleName}.lora_magnitude_vector`, magnitude);
  }
  const config = {
    peft_type: "LORA",
    r,
    lora_alpha: alpha,
    lora_dropout: inputDropout,
    rank_pattern: patternOf("rank"),
    alpha_pattern: patternOf("alpha"),
    use_rslora: false,
    use_dora: folded.some(({ magnitude }) => magnitude !== undefined),
  };
  return { config, layers };
}
