import type { KindHead } from "../architectures/architecture.ts";
import type { ModelDescription } from "../architectures/families.ts";
import { readsPooled } from "../architectures/heads.ts";
import type { LinearModule, WeightSpec } from "../architectures/model-parts.ts";
import { isPretrained } from "../architectures/trace.ts";
import type { AdapterDescription } from "../base-models/adapter.ts";
import type { BaseModel } from "../base-models/base-model.ts";
import { BUNDLED_MODEL, BUNDLED_ON_HUB } from "../base-models/bundled-model.ts";
import { findTaskKind } from "../tasks/task-kinds.ts";

export function className(model: ModelDescription, kind: string): string {
  const { autoClass, className: own } = findTaskKind(kind).huggingFace;
  if (autoClass === "AutoModel" && !own) return backboneClass(model);
  return familyName(model) + (own ?? autoClass.replace("AutoModel", ""));
}

export const backboneClass = (model: ModelDescription): string => `${familyName(model)}Model`;

const familyName = ({ architecture, config }: ModelDescription): string => architecture.modelTypes[config.modelType]!;

/** Whether other tools load only the backbone, within a folder of sentence-transformers. */
export const isSentenceModel = ({ head, features }: Pick<BaseModel, "head" | "features">): boolean =>
  head === "pooled" || readsPooled(head, features);

/** Name of a module or weight in a checkpoint of the task's model. The backbone's names have its prefix. */
export function fullName(
  { architecture, head = "sequence", features }: ModelDescription & { head?: KindHead },
  { name, part }: Pick<WeightSpec, "name" | "part">,
) {
  // A model without a head is the backbone itself.
  if (isSentenceModel({ head, features })) return name;
  const { prefix, headUnderPrefix = [], besidePrefix = [] } = architecture;
  const isIn = (modules: readonly string[]): boolean =>
    modules.some((module) => name === module || name.startsWith(`${module}.`));
  const underPrefix = part === "backbone" ? !isIn(besidePrefix) : isIn(headUnderPrefix);
  return underPrefix ? `${prefix}.${name}` : name;
}

export const publicName = (base: BaseModel): string => (base.name === BUNDLED_MODEL ? BUNDLED_ON_HUB : base.name);

export const fullModuleName = (base: BaseModel, { name }: LinearModule): string =>
  fullName(base, { name, part: "backbone" });

export function labelNames({ kind, labels }: AdapterDescription["task"]): string[] {
  const { head, outputs } = findTaskKind(kind);
  if (isPretrained(head) || head === "pooled") return [];
  return Array.from({ length: outputs(labels) }, (_, i) => labels[i] ?? `LABEL_${i}`);
}

/** An export's README, without its title, for a repository of the hub: the names by which it calls its folder become the repository's. */
export function readmeOnHub(readme: string, repository: string): string {
  return readme
    .replace(/^# .*\n+/, "")
    .replace(
      'folder = "path/of/this/folder"',
      `from huggingface_hub import snapshot_download\n\nfolder = snapshot_download("${repository}")`,
    )
    .replaceAll('env.localModelPath = "/models/"; // where this folder lies\n', "")
    .replace(/import \{([^}]*)\} from "@huggingface\/transformers"/g, (line) => line.replace(/\benv, |, env\b/, ""))
    .replaceAll(/path\/of\/this\/folder|NAME_OF_THIS_FOLDER/g, repository)
    .trim();
}
