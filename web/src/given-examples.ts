import { isMedia } from "../../src/tasks/media.ts";

/** Pictures that a page takes: it keeps all of them, at the size that the model reads. */
export const MOST_PICTURES = 5000;

/** What a person gave to learn from: a file of rows, or pictures by their paths in a folder that has one for each class. */
export interface GivenExamples {
  name: string;
  file?: Blob;
  pictures?: Readonly<Record<string, Blob>>;
}

/** The folder that a person chose, its files by their paths in it. */
export function chosenFolder(files: readonly File[]): GivenExamples {
  const [name = ""] = files[0]!.webkitRelativePath.split("/");
  return folderOf(
    name,
    files.map((file) => [file.webkitRelativePath.slice(name.length + 1), file]),
  );
}

/** The file or the folders that a person dropped. To be called in the event: afterwards what was dropped is gone. */
export function dropped({ items, files }: DataTransfer): Promise<GivenExamples> {
  const entries = [...items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  const [file] = files;
  return entries.length > 1 || entries[0]?.isDirectory
    ? droppedFolders(entries)
    : Promise.resolve({ name: file!.name, file: file! });
}

/** A folder of classes, or the classes' folders. */
async function droppedFolders(entries: readonly FileSystemEntry[]): Promise<GivenExamples> {
  const several = entries.length > 1;
  const [first] = entries;
  const found: [string, File][] = [];
  const walk = async (inside: readonly FileSystemEntry[], path: string): Promise<void> => {
    for (const entry of inside) {
      // More are refused.
      if (found.length > MOST_PICTURES) return;
      const at = path + entry.name;
      if (entry.isDirectory) await walk(await entriesOf(entry as FileSystemDirectoryEntry), `${at}/`);
      else if (isMedia("pictures", at)) found.push([at, await fileOf(entry as FileSystemFileEntry)]);
    }
  };
  await walk(several ? entries : await entriesOf(first as FileSystemDirectoryEntry), "");
  return folderOf(several ? "photos" : first!.name, found);
}

/** A folder gives its entries by and by, and none at its end. */
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
