import { readdir, stat } from "node:fs/promises";
import { dirname, isAbsolute, join, sep } from "node:path";
import { didYouMean, UserError } from "../errors.ts";
import type { Example } from "../tasks/example.ts";
import { list, type Table } from "../tasks/rows.ts";
import { PICTURE_FILE } from "../tokenization/decode-picture-node.ts";

export const isFolder = async (path: string): Promise<boolean> =>
  (await stat(path).catch(() => undefined))?.isDirectory() === true;

/**
 * A folder's pictures, as torchvision's ImageFolder has them: a folder for each class, with pictures in it or in folders below. The columns
 * are `image`, a path, and `label`, the class's folder; of `unlabelled` pictures, wherever they are, `image` alone.
 * @param classes that there may be; where absent any two or more
 * @throws UserError where it holds none, or a folder that is not of a class.
 */
export async function pictureFolder(
  folder: string,
  { labelled, classes }: { labelled: boolean; classes?: readonly string[] | undefined },
): Promise<Table> {
  const found = await readdir(folder, { recursive: true }).catch((error: Error) => {
    throw new UserError(`cannot read ${folder}: ${error.message}`);
  });
  const pictures = found.filter((path) => PICTURE_FILE.test(path) && !/(^|[/\\])\./.test(path)).sort();
  const chosen = labelled ? pictures.filter((path) => path.includes(sep)) : pictures;
  if (chosen.length === 0) {
    const wanted = labelled ? "no folders of pictures, one for each class" : "no pictures";
    throw new UserError(`${folder} has ${wanted} (JPEG, PNG, WebP, GIF, TIFF or AVIF)`);
  }
  const classOf = (path: string): string => path.slice(0, path.indexOf(sep));
  if (labelled) refuseOtherClasses(folder, [...new Set(chosen.map(classOf))], classes);
  const rows = chosen.map((path, i) => {
    const image = join(folder, path);
    return { line: i + 1, cells: labelled ? [image, classOf(path)] : [image] };
  });
  return { source: folder, columns: labelled ? ["image", "label"] : ["image"], rows };
}

/** @param found names of a folder's folders of pictures */
function refuseOtherClasses(folder: string, found: readonly string[], classes: readonly string[] | undefined): void {
  const other = classes && found.find((name) => !classes.includes(name));
  if (other !== undefined) {
    throw new UserError(
      `${join(folder, other)} is no class of the task, whose classes are ${list(classes!)}${didYouMean(other, classes!)}`,
    );
  }
  if (!classes && found.length < 2)
    throw new UserError(`${folder} has one folder of pictures only, "${found[0]}"; make one for each class`);
}

/** Examples with the paths of their pictures from the folder of the file that names them. */
export const besideFile = (file: string, examples: readonly Example[]): Example[] =>
  examples.map((example) => ({
    ...example,
    text: isAbsolute(example.text) ? example.text : join(dirname(file), example.text),
  }));
