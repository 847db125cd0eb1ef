import type { FileHandle } from "node:fs/promises";
import { ByteWriter, ParquetWriter } from "hyparquet-writer";
import { fileSource } from "../../checkpoints/file-source-node.ts";
import { UserError } from "../../errors.ts";
import { writeAtomically, writeFully } from "../../files/atomic-file-node.ts";
import { decimalsOf, VECTOR_COLUMN } from "../../tasks/vectors.ts";

export type VectorParts = AsyncIterable<{ texts: readonly string[]; vectors: readonly Float32Array[] }>;

const WRITERS: Readonly<Record<string, (file: FileHandle, parts: VectorParts) => Promise<void>>> = {
  ".jsonl": writeLines,
  ".npy": writeNpy,
  ".parquet": writeParquet,
};

/** Writes vectors as they arrive; the file is written completely or not at all. @throws UserError if the extension is unknown. */
export async function writeVectors(path: string, parts: VectorParts): Promise<void> {
  const ending = /\.\w+$/.exec(path)?.[0].toLowerCase() ?? "";
  const write = WRITERS[ending];
  if (!write) throw new UserError(`${path}: its name must end in ${Object.keys(WRITERS).join(", ")}`);
  await writeAtomically(path, (file) => write(file, parts));
}

export function vectorLine(text: string, vector: Float32Array): string {
  return `${JSON.stringify({ text, [VECTOR_COLUMN]: decimalsOf(vector) })}\n`;
}

async function writeLines(file: FileHandle, parts: VectorParts): Promise<void> {
  for await (const { texts, vectors } of parts) {
    await file.appendFile(texts.map((text, i) => vectorLine(text, vectors[i]!)).join(""));
  }
}

/** Size of a NumPy header in bytes, with space for any count, which is known only at the end (numpy.lib.format, version 1.0). */
const NPY_HEADER = 128;
const NPY_MAGIC = "\x93NUMPY\x01\x00";

async function writeNpy(file: FileHandle, parts: VectorParts): Promise<void> {
  let [rows, width] = [0, 0];
  await writeFully(file, Buffer.alloc(NPY_HEADER));
  for await (const { vectors } of parts) {
    width = vectors[0]!.length;
    const joined = new Float32Array(vectors.length * width);
    vectors.forEach((vector, i) => {
      joined.set(vector, i * width);
    });
    await writeFully(file, new Uint8Array(joined.buffer));
    rows += vectors.length;
  }
  const about = `{'descr': '<f4', 'fortran_order': False, 'shape': (${rows}, ${width}), }`;
  const header = Buffer.alloc(NPY_HEADER, " ");
  header.write(NPY_MAGIC, 0, "latin1");
  header.writeUInt16LE(NPY_HEADER - 10, 8);
  header.write(`${about.padEnd(NPY_HEADER - 11)}\n`, 10, "latin1");
  // The file has these bytes already, so a full disk does not cut this write off.
  await file.write(header, 0, NPY_HEADER, 0);
}

/** Reads a NumPy file of float32 vectors, `[rows, width]`. @throws UserError if it is not one. */
export async function readNpy(path: string): Promise<Float32Array[]> {
  const source = await fileSource(path);
  const start = Buffer.from(await source.read(0, NPY_HEADER * 8));
  const refuse = (what: string): UserError =>
    new UserError(`${path} ${what}; give a file that aflora embed --output FILE.npy wrote`);
  if (start.toString("latin1", 0, 6) !== NPY_MAGIC.slice(0, 6) || start[6] !== 1) throw refuse("is not a NumPy file");
  const begin = 10 + start.readUInt16LE(8);
  const about = start.toString("latin1", 10, begin);
  const [, rows, width] = /'shape': \((\d+), (\d+)\)/.exec(about)?.map(Number) ?? [];
  if (!about.includes("'<f4'") || !about.includes("'fortran_order': False") || !rows || !width) {
    throw refuse("holds no rows of float32 numbers");
  }
  if (source.size !== begin + rows * width * 4) throw refuse("is cut off");
  const bytes = await source.read(begin, source.size);
  const all = new Float32Array(bytes.slice().buffer);
  return Array.from({ length: rows }, (_, i) => all.subarray(i * width, (i + 1) * width));
}

async function writeParquet(file: FileHandle, parts: VectorParts): Promise<void> {
  const writer = new ParquetWriter({
    writer: new FileBytes(file),
    schema: [
      { name: "root", num_children: 2 },
      { name: "text", type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type: "REQUIRED" },
      { name: VECTOR_COLUMN, repetition_type: "REQUIRED", converted_type: "LIST", num_children: 1 },
      { name: "list", repetition_type: "REPEATED", num_children: 1 },
      { name: "element", type: "FLOAT", repetition_type: "REQUIRED" },
    ],
  });
  for await (const { texts, vectors } of parts) {
    await writer.write({
      columnData: [
        { name: "text", data: [...texts] },
        { name: VECTOR_COLUMN, data: vectors.map((vector) => Array.from(vector)) },
      ],
    });
  }
  await writer.finish();
}

class FileBytes extends ByteWriter {
  constructor(private readonly file: FileHandle) {
    super();
  }

  async flush(): Promise<void> {
    const bytes = this.getBytes().slice();
    this.index = 0;
    await writeFully(this.file, bytes);
  }

  override finish(): Promise<void> {
    return this.flush();
  }
}
