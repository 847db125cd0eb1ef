import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { UserError } from "../errors.ts";

/** URL of the file that holds this code: one of the package, or a bundle. In CommonJS, `import.meta` has no URL. */
export const ownUrl = (): string => import.meta.url ?? pathToFileURL(__filename).href;

/**
 * Folder of an asset of the package: in the folder that `AFLORA_ASSETS` names, in the package, or, for a bundle, in a folder
 * `assets` beside the program.
 * @throws UserError if there is none
 */
export function assetFolder(name: string): string {
  const own = dirname(fileURLToPath(ownUrl()));
  const told = process.env.AFLORA_ASSETS;
  const program = process.argv[1];
  const places = told
    ? [told]
    : [join(own, "../../assets"), join(own, "assets"), ...(program ? [join(dirname(program), "assets")] : [])];
  const found = places.map((place) => join(place, name)).find((folder) => existsSync(folder));
  if (found !== undefined) return found;
  throw new UserError(
    `${name}, which is part of aflora, is not in ${told ?? "a folder assets beside the program"}; copy node_modules/aflora/assets there, or set AFLORA_ASSETS to that folder`,
  );
}
