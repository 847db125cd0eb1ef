import { didYouMean, UserError } from "../errors.ts";
import { isMedia, MEDIA, type Media } from "../tasks/media.ts";
import { list, type Table } from "../tasks/rows.ts";

export interface MediaFolderOptions {
  /** Which of them; where absent those of which there is one. */
  media?: Media | undefined;
  /** Whether a folder is a class: what lies beside the folders is left out. */
  labelled: boolean;
  /** Classes that there may be; where absent any two or more. */
  classes?: readonly string[] | undefined;
  /** A file's path as the table is to have it. @param path within the folder */
  placed?(path: string): string;
}

/**
 * A folder's pictures or sounds, as torchvision's ImageFolder has them: a folder for each class, with files in it or in folders below. The
 * columns are `image` or `audio`, a path, and `label`, the class's folder; of files that are not labelled, wherever they are, the path alone.
 * @param folder for error messages
 * @param found paths of its files within it, with slashes
 * @throws UserError where it holds none, or a folder that is not of a class.
 */
export function mediaTable(
  folder: string,
  found: readonly string[],
  { media: asked, labelled, classes, placed = (path) => path }: MediaFolderOptions,
): Table {
  const shown = found.filter((path) => !labelled || path.includes("/")).sort();
  const wanted = asked ? [asked] : (Object.keys(MEDIA) as Media[]);
  const media = wanted.find((each) => shown.some((path) => isMedia(each, path)));
  if (!media) {
    const all = wanted.join(" or ");
    const formats = wanted.map((each) => MEDIA[each].formats).join("; ");
    throw new UserError(
      `${folder} has ${labelled ? `no folders of ${all}, one for each class` : `no ${all}`} (${formats})`,
    );
  }
  const { column } = MEDIA[media];
  const chosen = shown.filter((path) => isMedia(media, path));
  const classOf = (path: string): string => path.slice(0, path.indexOf("/"));
  if (labelled) refuseOtherClasses(folder, [...new Set(chosen.map(classOf))], classes, media);
  const rows = chosen.map((path, i) => {
    const own = placed(path);
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
      `${folder}/${other} is no class of the task, whose classes are ${list(classes!)}${didYouMean(other, classes!)}`,
    );
  }
  if (!classes && found.length < 2)
    throw new UserError(`${folder} has one folder of ${media} only, "${found[0]}"; make one for each class`);
}
