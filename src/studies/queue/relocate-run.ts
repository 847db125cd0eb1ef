import { isAbsolute, join, resolve } from "node:path";
import { readJsonFile, writeJsonFile } from "../../files/json-file-node.ts";
import { dataFingerprintSchema } from "../../preparation/data-fingerprint-node.ts";
import { flatOptions, PATH_OPTIONS, resolveConfig, withAbsolutePaths } from "../../preparation/run-options-node.ts";

interface Move {
  name: string;
  from: string;
  to: string;
}

/**
 * Updates the paths in `data.json` and `config.json` of a run that began on another machine. Keeps the hashes, so that resuming
 * refuses files with other contents.
 * @param given options of the run, with the paths of this machine
 */
export async function relocateRun(directory: string, given: Readonly<Record<string, unknown>>): Promise<void> {
  const file = join(directory, "config.json");
  const config = (await readJsonFile(file)) as Record<string, unknown> | undefined;
  if (!config) return;
  const here = flatOptions(withAbsolutePaths(resolveConfig(given)));
  const moves = PATH_OPTIONS.flatMap((name): Move[] => {
    const [from, to] = [config[name], here[name]];
    return typeof from === "string" && typeof to === "string" && isAbsolute(to) && from !== to
      ? [{ name, from, to }]
      : [];
  });
  const data = join(directory, "data.json");
  const fingerprint = dataFingerprintSchema.safeParse(await readJsonFile(data)).data;
  // First, because the fingerprint is found by the paths in `config.json`.
  if (moves.length > 0 && fingerprint?.files) {
    const files = Object.entries(fingerprint.files).map(([path, hash]) => [moved(path, moves), hash]);
    await writeJsonFile(data, { ...fingerprint, files: Object.fromEntries(files) });
  }
  const output = resolve(directory);
  if (moves.length === 0 && config.output === output) return;
  await writeJsonFile(file, { ...config, ...Object.fromEntries(moves.map(({ name, to }) => [name, to])), output });
}

/** Translates a path that has moved, or that is in a folder that has. The other machine may run another system. */
function moved(path: string, moves: readonly Move[]): string {
  const move = moves.find(({ from }) => path === from || (path.startsWith(from) && /[\\/]/.test(path[from.length]!)));
  return move ? join(move.to, ...path.slice(move.from.length).split(/[\\/]/)) : path;
}
