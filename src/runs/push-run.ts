import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openAdapter } from "../base-models/open-adapter-node.ts";
import { HUB_NAME } from "../checkpoints/hub-node.ts";
import { openUpload, type Uploaded } from "../checkpoints/hub-upload-node.ts";
import { opt, UserError } from "../errors.ts";
import type { ExportFormat } from "../export/export-format.ts";
import { EXPORT_FORMATS, type ExportOptions } from "../export/export-formats-node.ts";
import { exportRun } from "./export-run.ts";
import { baseOnHub, modelCard, type PushedFormat } from "./model-card.ts";
import { readFinishedRun } from "./read-run.ts";

export const formatsToPush = (): readonly ExportFormat[] =>
  EXPORT_FORMATS.all.filter(({ library }) => library !== undefined);

export interface PushOptions {
  /** Formats of the repository, of those with a library on the hub (default: `peft`). */
  formats?: readonly string[] | undefined;
  /** Options of those formats, by the names of `exportRun`. */
  formatOptions?: Readonly<Record<string, unknown>> | undefined;
  /** Whether everyone may read the repository (default: only its owner). */
  isPublic?: boolean | undefined;
  /** Licence of the repository by its name on the hub (default: the base model's). */
  license?: string | undefined;
}

export interface PushReport extends Uploaded {
  files: string[];
  notes: readonly string[];
}

/**
 * Exports a finished run and uploads it to a repository of the hub, with a model card. Large files that an interrupted push had sent are
 * not sent again.
 * @param repository `owner/name`; it is created if it is missing
 * @throws UserError if the run cannot be exported so, others could not load it, or the hub refuses
 */
export async function pushRun(
  run: string,
  repository: string,
  { formats: asked = ["peft"], formatOptions = {}, isPublic = false, license }: PushOptions,
  where: Parameters<typeof exportRun>[2] = {},
): Promise<PushReport> {
  if (!HUB_NAME.test(repository) || repository.includes("@")) {
    throw new UserError(`"${repository}" is not the name of a repository on the hub; give owner/name`);
  }
  const formats = pushedFormats(asked, formatOptions);
  const finished = await readFinishedRun(run);
  const { description } = await openAdapter(run);
  if (baseOnHub(description) === undefined && formats.some(({ merges }) => !merges)) {
    throw new UserError(
      `the base model of the run in ${run} is ${description.model} on this machine, so that others could not load its adapter; push the whole model with ${opt("format")} merged or onnx`,
    );
  }
  const target = await openUpload(repository, { ...where, isPublic });
  const folder = await mkdtemp(join(tmpdir(), "aflora-push-"));
  try {
    const files = new Map<string, string | Blob>();
    const notes: string[] = [];
    const pushed: PushedFormat[] = [];
    for (const { name, library, merges = false, own } of formats) {
      const output = join(folder, name);
      const report = await exportRun(run, { ...own, format: name, output } as ExportOptions, where);
      for (const path of Object.keys(report.files)) files.set(path, join(output, path));
      notes.push(...report.notes.map((note) => `${name}: ${note}`));
      pushed.push({ library: library!, merges, readme: await readFile(join(output, "README.md"), "utf8") });
    }
    // PEFT's form has neither the names of labels nor the calibration.
    if (pushed.some(({ merges }) => !merges)) {
      for (const path of await readdir(join(run, "adapter"))) files.set(path, join(run, "adapter", path));
    }
    const base = baseOnHub(description);
    const known = license ?? (base === undefined ? undefined : await target.licenseOf(base));
    const card = modelCard(finished, description, { repository, isPublic, license: known, formats: pushed });
    files.set("README.md", new Blob([card]));
    where.onStage?.(`uploading to ${repository}`);
    const uploaded = await target.upload(
      files,
      `Upload a run of aflora (${pushed.map((each) => each.library).join(", ")})`,
    );
    return { ...uploaded, files: [...files.keys()].sort(), notes };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The formats in the order of the registry, each with those of the options that are its own. @throws UserError if one is unknown */
function pushedFormats(
  asked: readonly string[],
  options: Readonly<Record<string, unknown>>,
): (ExportFormat & { own: Record<string, unknown> })[] {
  const known = formatsToPush();
  const unknown = asked.find((name) => !known.some((format) => format.name === name));
  if (unknown !== undefined) {
    const names = known.map(({ name }) => name);
    throw new UserError(`"${unknown}" is no format to push; give ${names.join(", ")}, or several separated by commas`);
  }
  const formats = known.filter(({ name }) => asked.includes(name));
  const unowned = Object.keys(options).find((option) => !formats.some((format) => option in format.options.shape));
  if (unowned !== undefined) {
    const owners = EXPORT_FORMATS.ownersOf(unowned);
    throw new UserError(
      `${opt(unowned)} belongs to the format ${owners.join(" or ")}, which ${opt("format")} does not name`,
    );
  }
  return formats.map((format) => ({
    ...format,
    own: Object.fromEntries(Object.entries(options).filter(([option]) => option in format.options.shape)),
  }));
}
