import { didYouMean, UserError } from "../errors.ts";
import { isMedia, MEDIA, type Media } from "../tasks/media.ts";
import { list, type Table } from "../tasks/rows.ts";

export interface MediaFolderOptions {
  /** Type of media (default: the type that the folder contains). */
  media?: Media | undefined;
  /** Whether subfolders are classes; files outside of them are then ignored. */
  labelled: boolean;
  /** Allowed classes. Without them, a folder may have any classes, but at least two. */
  classes?: readonly string[] | undefined;
  /** Returns the path to put into the table. @param path within the folder */
  placed?(path: string): string;
}

/**
 * Returns the table of a folder's pictures or sounds, in the layout of torchvision's ImageFolder: a folder for each class, with files in it
 * or its subfolders. The columns are `image` or `audio`, a path, and `label`, the class's folder; without labels only the path of each file.
 * @param folder for error messages
 * @param found paths of its files within it, with slashes
 * @throws UserError if there are no such files, or a folder is not a class.
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

/** Checks the classes. @param found names of the subfolders with files */
function refuseOtherClasses(
  folder: string,
  found: readonly string[],
  classes: readonly string[] | undefined,
  media: Media,
): void {
  const other = classes && found.find((name) => !classes.includes(name));
  if (other !== undefined) {
    throw new UserError(
      `${folder}/${other} is not a class of the task, whose classes are ${list(classes!)}${didYouMean(other, classes!)}`,
    );
  }
  if (!classes && found.length < 2)
    throw new UserError(`${folder} has one folder of ${media} only, "${found[0]}"; make one for each class`);
}
