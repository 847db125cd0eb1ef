import { readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { z } from "zod";
import { opt, UserError } from "../../errors.ts";
import { makeFolder, writeFailure } from "../../files/atomic-file-node.ts";
import { readJsonFile } from "../../files/json-file-node.ts";
import { messageBytes, readMessage } from "../../runs/many-machines/message.ts";
import { HIDDEN_STATES, REPORT, RUN_FILES } from "../../runs/run-folder.ts";
import { namesCode } from "../../tasks/reward-functions.ts";
import { REPORTED } from "../reported-scores.ts";
import { TRIAL_TIME } from "../run-study.ts";

/** Files and folders of a run to pack. A page can be written again from them. */
const PARTS = [...RUN_FILES.filter((name) => name !== REPORT && name !== HIDDEN_STATES), REPORTED, TRIAL_TIME];

/** Valid file names in a pack. A pack cannot write outside the run's folder. */
const NAME = /^(?:[\w-]+\.jsonl?|(?:checkpoints|adapter)\/[\w-]+\.(?:json|safetensors))$/;

const MOST_FILES = 100;

/** Packs a run's folder: a message with each file as a tensor of bytes. @throws UserError if the queue's server cannot keep it */
export async function packRun(directory: string): Promise<Buffer> {
  const names = (await Promise.all(PARTS.map((part) => filesOf(directory, part)))).flat();
  const files = names.map(async (name) => {
    const data = await readFile(join(directory, name));
    return [name, { dtype: "uint8" as const, shape: [data.length], data }] as const;
  });
  return messageBytes({}, new Map(await Promise.all(files)), `the run in ${directory} is`);
}

/** Replaces the contents of a folder with a packed run, atomically. */
export async function unpackRun(packed: Buffer, directory: string): Promise<void> {
  const { tensors: files = new Map() } = readMessage(packed, z.object({})) ?? {};
  const isRun = [...files].every(([name, { dtype }]) => dtype === "uint8" && NAME.test(name));
  if (files.size === 0 || files.size > MOST_FILES || !isRun) {
    throw new UserError("a result on the queue's server is not a packed run; does another program use that server?");
  }
  const folder = `${directory}.unpacking`;
  await rm(folder, { recursive: true, force: true });
  try {
    for (const [name, { data }] of files) {
      const path = join(folder, name);
      await makeFolder(dirname(path));
      await writeFile(path, data).catch((error: unknown) => {
        throw writeFailure(path, error);
      });
    }
    const config = (await readJsonFile(join(folder, "config.json"))) as Record<string, unknown> | undefined;
    if (namesCode(config ?? {})) throw new UserError(NO_CODE);
    await rm(directory, { recursive: true, force: true });
    await rename(folder, directory);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Error for a trial whose reward is a file: anybody with access to the queue could name any file of a worker. */
export const NO_CODE = `a trial of a queue may not name a file to run (${opt("reward")}); train it with aflora train, or use a reward of the package`;

async function filesOf(directory: string, part: string): Promise<string[]> {
  const found = await stat(join(directory, part)).catch(() => undefined);
  if (!found) return [];
  if (!found.isDirectory()) return [part];
  return (await readdir(join(directory, part))).map((name) => `${part}/${name}`).filter((name) => NAME.test(name));
}
