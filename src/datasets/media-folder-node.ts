import { readdir, stat } from "node:fs/promises";
import { dirname, isAbsolute, join, sep } from "node:path";
import { didYouMean, UserError } from "../errors.ts";
import type { Example } from "../tasks/example.ts";
import { MEDIA, type Media } from "../tasks/media.ts";
import { list, type Table } from "../tasks/rows.ts";

export const isFolder = async (path: string): Promise<boolean> =>
  (await stat(path).catch(() => undefined))?.isDirectory() === true;

/**
 * A folder's pictures or sounds, as torchvision's ImageFolder has them: a folder for each class, with files in it or in folders below. The
 * columns are `image` or `audio`, a path, and `label`, the class's folder; of `unlabelled` files, wherever they are, the path alone.
 * @param media which of them; where absent those of which there is one
 * @param classes that there may be; where absent any two or more
 * @throws UserError where it holds none, or a folder that is not of a class.
 */
export async function mediaFolder(
  folder: string,
  {
    media: asked,
    labelled,
    classes,
  }: { media?: Media | undefined; labelled: boolean; classes?: readonly string[] | undefined },
): Promise<Table> {
  const found = await readdir(folder, { recursive: true }).catch((error: Error) => {
    throw new UserError(`cannot read ${folder}: ${error.message}`);
  });
  const shown = found.filter((path) => (!labelled || path.includes(sep)) && !/(^|[/\\])\./.test(path)).sort();
  const wanted = asked ? [asked] : (Object.keys(MEDIA) as Media[]);
  const media = wanted.find((each) => shown.some((path) => MEDIA[each].file.test(path)));
  if (!media) {
    const all = wanted.join(" or ");
    const formats = wanted.map((each) => MEDIA[each].formats).join("; ");
    throw new UserError(
      `${folder} has ${labelled ? `no folders of ${all}, one for each class` : `no ${all}`} (${formats})`,
    );
  }
  const { file, column } = MEDIA[media];
  const chosen = shown.filter((path) => file.test(path));
  const classOf = (path: string): string => path.slice(0, path.indexOf(sep));
  if (labelled) refuseOtherClasses(folder, [...new Set(chosen.map(classOf))], classes, media);
  const rows = chosen.map((path, i) => {
    const own = join(folder, path);
    return { line: i + 1, cells: labelled ? [own, classOf(path)] : [own] };
  });
  return { source: folder, columns: labelled ? [column, "label"] : [column], rows };
}

/** @param found names of a folder's folders of files */
function refuseOtherClasses(
  folder: string,
  found: readonly string[],
  classes: readonly string[] | undefined,
  media: Media,
): void {
  const other = classes && found.find((name) => !classes.includes(name));
  if (other !== undefined) {
    throw new UserError(
      `${join(folder, other)} is no class of the task, whose classes are ${list(classes!)}${didYouMean(other, classes!)}`,
    );
  }
  if (!classes && found.length < 2)
    throw new UserError(`${folder} has one folder of ${media} only, "${found[0]}"; make one for each class`);
}

/** Examples with the paths of their files from the folder of the file that names them. */
export const besideFile = (file: string, examples: readonly Example[]): Example[] =>
  examples.map((example) => ({
    ...example,
    text: isAbsolute(example.text) ? example.text : join(dirname(file), example.text),
  }));
