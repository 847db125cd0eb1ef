import type { z } from "zod";
import { Registry } from "../registry.ts";
import type { ExportFormat } from "./export-format.ts";
import { ggufFormat } from "./gguf/format-node.ts";
import { mergedFormat } from "./merged-node.ts";
import { onnxFormat } from "./onnx/format-node.ts";
import { peftFormat } from "./peft/format-node.ts";

/**
 * The own options of each format (docs/exports.md). A program that registers a format declares its options here, so that they
 * are checked like the others': `declare module "aflora/extend" { interface ExportFormats { … } }`.
 */
export interface ExportFormats {
  peft: z.input<typeof peftFormat.options>;
  onnx: z.input<typeof onnxFormat.options>;
  // Without options: zod's type of none would forbid every other key, too.
  merged: object;
  gguf: object;
}

/** What to write, with the format's own options beside it. */
export type ExportOptions = {
  [Name in keyof ExportFormats]: {
    format: Name;
    /** Folder to write; it must not hold anything. */
    output: string;
  } & ExportFormats[Name];
}[keyof ExportFormats];

/** Every format: a new one is one file, one line here, and its options above. */
export const EXPORT_FORMATS = new Registry<ExportFormat, keyof ExportFormats>("export format", [
  ...[peftFormat, mergedFormat, onnxFormat, ggufFormat],
]);

/**
 * Makes a format of the caller's own known by its name, to this process: `exportRun` and `aflora export` take it.
 * @throws UserError where the name is taken.
 */
export const registerExportFormat = (format: ExportFormat): void => EXPORT_FORMATS.register(format);
