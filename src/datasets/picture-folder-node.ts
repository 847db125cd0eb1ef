import { readdir, stat } from "node:fs/promises";
import { dirname, isAbsolute, join, sep } from "node:path";
import { UserError } from "../errors.ts";
import type { Example } from "../tasks/example.ts";
import type { Table } from "../tasks/rows.ts";
import { PICTURE_FILE } from "../tokenization/decode-picture-node.ts";

export const isFolder = async (path: string): Promise<boolean> =>
  (await stat(path).catch(() => undefined))?.isDirectory() === true;

/**
 * A folder's pictures, as torchvision's ImageFolder has them: a folder for each class, with pictures in it or in folders below. The columns
 * are `image`, a path, and `label`, the class's folder; of `unlabelled` pictures, wherever they are, `image` alone.
 * @throws UserError where it holds none.
 */
export async function pictureFolder(folder: string, { labelled }: { labelled: boolean }): Promise<Table> {
  const found = await readdir(folder, { recursive: true }).catch((error: Error) => {
    throw new UserError(`cannot read ${folder}: ${error.message}`);
  });
  const pictures = found.filter((path) => PICTURE_FILE.test(path) && !/(^|[/\\])\./.test(path)).sort();
  const chosen = labelled ? pictures.filter((path) => path.includes(sep)) : pictures;
  if (chosen.length === 0) {
    const wanted = labelled ? "no folders of pictures, one for each class" : "no pictures";
    throw new UserError(`${folder} has ${wanted} (JPEG, PNG, WebP, GIF, TIFF or AVIF)`);
  }
  const rows = chosen.map((path, i) => {
    const image = join(folder, path);
    return { line: i + 1, cells: labelled ? [image, path.slice(0, path.indexOf(sep))] : [image] };
  });
  return { source: folder, columns: labelled ? ["image", "label"] : ["image"], rows };
}

/** Examples with the paths of their pictures from the folder of the file that names them. */
export const besideFile = (file: string, examples: readonly Example[]): Example[] =>
  examples.map((example) => ({
    ...example,
    text: isAbsolute(example.text) ? example.text : join(dirname(file), example.text),
  }));
