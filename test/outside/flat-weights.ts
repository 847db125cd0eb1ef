import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { z } from "zod";
import { type ExportFormat, float32, registerExportFormat } from "../../src/extend.ts";

const options = z.object({
  gzip: z.boolean().default(false).describe("compress the numbers"),
});

declare module "../../src/extend.ts" {
  interface ExportFormats {
    flat: z.input<typeof options>;
  }
}

/** A made-up format: all weights, the adapter folded in, as one row of float32 numbers, with an index of names and shapes. */
export const flat: ExportFormat<typeof options> = {
  name: "flat",
  summary: "one file of numbers",
  options,
  merges: true,
  async write({ folder, base, adapter: { description }, weights, options: { gzip }, compare }) {
    const index = [...weights].map(([name, { shape }]) => ({ name, shape }));
    const numbers = Buffer.concat(
      [...weights.values()].map(({ data }) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength)),
    );
    await writeFile(join(folder, "index.json"), JSON.stringify({ index, gzip }));
    await writeFile(join(folder, "numbers.bin"), gzip ? gzipSync(numbers) : numbers);

    const written = await readFile(join(folder, "numbers.bin"));
    const bytes = Uint8Array.from(gzip ? gunzipSync(written) : written);
    let at = 0;
    const read = index.map(({ name, shape }) => {
      const size = shape.reduce((product, each) => product * each, 1);
      const tensor = float32(shape, new Float32Array(bytes.buffer, at, size));
      at += tensor.data.byteLength;
      return [name, tensor] as const;
    });
    const alone = { ...description, method: "head", methodOptions: {} };
    return compare({ ...base, weights: new Map(read) }, { description: alone, parameters: new Map() });
  },
};

registerExportFormat(flat);
