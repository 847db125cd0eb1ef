import { basename, join } from "node:path";
import { type FileHashes, hashedFiles, refuseOtherFiles } from "../checkpoints/file-hashes-node.ts";
import { resolveModel } from "../checkpoints/hub-node.ts";
import type { HubOptions } from "../checkpoints/hub-repository-node.ts";
import { modelFiles } from "../checkpoints/model-folder-node.ts";
import { UserError } from "../errors.ts";
import { assetFolder } from "../files/package-place-node.ts";
import { decodePicture } from "../inputs/decode-picture-node.ts";
import { decodeSound } from "../inputs/decode-sound-node.ts";
import type { TaskData } from "../tasks/example.ts";
import { type BaseModel, type FormatChoice, type OpenedModel, openBaseModel } from "./base-model.ts";
import { BUNDLED_MODEL } from "./bundled-model.ts";

const DECODERS = { pictures: decodePicture, sounds: decodeSound };

export function modelDirectory(name: string): string {
  return name === BUNDLED_MODEL ? assetFolder(BUNDLED_MODEL) : name;
}

/**
 * Folder or GGUF file of a model: the bundled one's, the user's own, or the hub's cache, which downloads missing files.
 */
export const resolveModelFolder = async (name: string, hub?: HubOptions): Promise<string> =>
  name === BUNDLED_MODEL ? modelDirectory(name) : await resolveModel(name, hub);

export interface LoadedBaseModel extends BaseModel {
  /** Returns the hashes of its files; undefined for a model on the hub, which its commit identifies. */
  fileHashes?(): Promise<FileHashes>;
}

export interface RecordedBase {
  fileHashes: FileHashes | undefined;
  /** Name of the run or adapter trained on it, for error messages: `the run in runs/tickets`. */
  whose: string;
}

export interface OpenOptions extends HubOptions {
  /** Hashes of the files that a run or an adapter was trained on: changed files are refused. */
  recorded?: RecordedBase | undefined;
}

export async function openModel(
  name: string,
  { recorded, ...hub }: OpenOptions = {},
): Promise<OpenedModel<LoadedBaseModel>> {
  const directory = await resolveModelFolder(name, hub);
  const onHub = name !== BUNDLED_MODEL && directory !== name;
  const identity = onHub ? { name: name.replace(/@.*$/, ""), revision: basename(directory) } : { name };
  const found = await modelFiles(directory);
  const files = hashedFiles(found);
  const known = onHub ? undefined : recorded?.fileHashes;
  if (known) await refuseOtherFiles(found, known, recorded!.whose);
  const opened = await openBaseModel(files, { ...identity, decoders: DECODERS });
  return {
    ...opened,
    async read(...asked) {
      const base = await opened.read(...asked);
      const unread = Object.keys(known ?? {}).find((file) => !files.opened.has(file));
      if (unread !== undefined) {
        throw new UserError(
          `${join(directory, unread)} belongs to the base model that ${recorded!.whose} was trained on, but other files in its folder override it; remove those`,
        );
      }
      return onHub ? base : { ...base, fileHashes: files.hashes };
    },
  };
}

export async function loadBaseModel(
  name: string,
  task?: Pick<TaskData, "kind" | "labels">,
  seed = 0,
  { format, ...options }: OpenOptions & { format?: FormatChoice | undefined } = {},
): Promise<LoadedBaseModel> {
  return (await openModel(name, options)).read(task, seed, format);
}
