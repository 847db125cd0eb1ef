import { isMedia } from "../../src/tasks/media.ts";

/** Maximum number of pictures. A page keeps all of them in memory, at the model's input size. */
export const MOST_PICTURES = 5000;

/** Examples from the user: a file of rows, or pictures by their paths in a folder that has a subfolder for each class. */
export interface GivenExamples {
  name: string;
  file?: Blob;
  pictures?: Readonly<Record<string, Blob>>;
}

export function chosenFolder(files: readonly File[]): GivenExamples {
  const [name = ""] = files[0]!.webkitRelativePath.split("/");
  return folderOf(
    name,
    files.map((file) => [file.webkitRelativePath.slice(name.length + 1), file]),
  );
}

/** Reads the file or folders that the user dropped. Must be called within the event: the data is gone afterwards. */
export function dropped({ items, files }: DataTransfer): Promise<GivenExamples> {
  const entries = [...items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  const [file] = files;
  return entries.length > 1 || entries[0]?.isDirectory
    ? droppedFolders(entries)
    : Promise.resolve({ name: file!.name, file: file! });
}

async function droppedFolders(entries: readonly FileSystemEntry[]): Promise<GivenExamples> {
  const several = entries.length > 1;
  const [first] = entries;
  const found: [string, File][] = [];
  const walk = async (inside: readonly FileSystemEntry[], path: string): Promise<void> => {
    for (const entry of inside) {
      // A folder with more pictures is refused.
      if (found.length > MOST_PICTURES) return;
      const at = path + entry.name;
      if (entry.isDirectory) await walk(await entriesOf(entry as FileSystemDirectoryEntry), `${at}/`);
      else if (isMedia("pictures", at)) found.push([at, await fileOf(entry as FileSystemFileEntry)]);
    }
  };
  await walk(several ? entries : await entriesOf(first as FileSystemDirectoryEntry), "");
  return folderOf(several ? "photos" : first!.name, found);
}

/** Lists a folder, which returns its entries in parts, and an empty part at the end. */
async function entriesOf(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader();
  const all: FileSystemEntry[] = [];
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return all;
    all.push(...some);
  }
}

const fileOf = (entry: FileSystemFileEntry): Promise<File> =>
  new Promise((resolve, reject) => entry.file(resolve, reject));

const folderOf = (name: string, files: readonly (readonly [string, File])[]): GivenExamples => ({
  name,
  pictures: Object.fromEntries(files.filter(([path]) => isMedia("pictures", path))),
});
