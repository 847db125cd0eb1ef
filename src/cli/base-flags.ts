import { BASE_FORMATS, type BaseFormat } from "../architectures/base-format.ts";
import type { BaseModel } from "../base-models/base-model.ts";
import type { BaseOptions } from "../base-models/open-adapter-node.ts";
import { checkOptions } from "../errors.ts";
import { askingOptions } from "../preparation/run-options-node.ts";
import { downloadLine } from "./terminal/download-line.ts";
import { say } from "./terminal/print.ts";

/** Flags about the base model of a run. */
export interface BaseFlags {
  model?: string | undefined;
  base?: BaseFormat | undefined;
  offline?: boolean | undefined;
}

/** Options for loading, with a line that shows a download. @throws UserError if a flag is malformed */
export function baseOptions({ model, offline, base }: BaseFlags): BaseOptions {
  const checked = checkOptions(askingOptions.pick({ base: true }), { base });
  return { model, offline, base: checked.base, onProgress: downloadLine() };
}

/** Notes on stderr why a base model is stored in fewer bits than float32. */
export function noteBaseFormat({ format }: Pick<BaseModel, "format">, { base }: BaseFlags): void {
  if (base !== undefined || format === "float32") return;
  const why = BASE_FORMATS.includes(format)
    ? "because float32 would not fit into free memory (--base float32 uses it anyway)"
    : "which is nearest to its file (--base float32 converts it)";
  say(`note: the base model is in ${format}, ${why}\n`);
}
