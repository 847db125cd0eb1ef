import { makeTable } from "../../architectures/length-table.ts";
import type { StreamInputs } from "../../architectures/streams/token-stream.ts";
import { UserError } from "../../errors.ts";
import { float32, int32, type Tensor } from "../../graph/tensor.ts";
import type { Encoding } from "../../inputs/tokenizer.ts";
import type { EncodedExample } from "../../tasks/task-kind.ts";

export interface RowOrigins {
  /** Index in the training set, `[rows]`. */
  examples: Uint32Array;
  /** Position in the example, `[rows]`. */
  positions: Uint32Array;
}

export interface LaidOutBatch {
  inputs: Record<string, Tensor>;
  sizes: Record<string, number>;
  rows: Record<string, RowOrigins>;
  /** Length of each example, `[batch]`, by the symbol of the padded length. */
  lengths: Record<string, readonly number[]>;
}

/**
 * Lays examples out as a model's inputs: flat rows of their tokens, one example after the other, and the position of each row
 * in the padded layout.
 * @throws UserError if the model reads a second text and the kind of task provides none.
 */
export function layOut(
  streams: readonly StreamInputs[],
  examples: readonly EncodedExample[],
  variantOf?: (index: number) => number,
): LaidOutBatch {
  const indices = Uint32Array.from(examples, ({ index }) => index);
  const batch: LaidOutBatch = {
    inputs: {},
    sizes: { batch: examples.length },
    rows: { batch: { examples: indices, positions: new Uint32Array(examples.length) } },
    lengths: {},
  };
  for (const stream of streams) {
    const encodings = examples.map((example) => (stream.prefix === "" ? example.encoding : decoderTextOf(example)));
    layOutStream(batch, stream, encodings, indices);
  }
  Object.assign(batch.inputs, extraInputs(examples, variantOf));
  const own = streams.at(-1)!;
  layOutOutputs(batch, own.prefix, examples);
  return batch;
}

/** Inputs of examples other than tokens, by name, stacked to `[batch, ...shape]`. */
export function extraInputs(
  examples: readonly EncodedExample[],
  variantOf?: (index: number) => number,
): Record<string, Tensor<"float32">> {
  const own = Object.entries(examples[0]?.inputs ?? {});
  const inputs = own.map(([name, { shape }]) => {
    const all = float32([examples.length, ...shape]);
    const size = all.data.length / examples.length;
    examples.forEach((example, i) => {
      example.inputs![name]!.write(all.data.subarray(i * size, (i + 1) * size), variantOf?.(example.index));
    });
    return [name, all] as const;
  });
  return Object.fromEntries(inputs);
}

function decoderTextOf({ decoder }: EncodedExample): Encoding {
  if (decoder) return decoder;
  throw new UserError(
    "an encoder-decoder needs a kind of task that gives its decoder a text; take another model or kind",
  );
}

function layOutStream(
  batch: LaidOutBatch,
  { prefix, heads, tables }: StreamInputs,
  encodings: readonly Encoding[],
  indices: Uint32Array,
): void {
  const lengths = encodings.map(({ inputIds }) => inputIds.length);
  const count = lengths.length;
  const sequence = Math.max(...lengths);
  const tokens = lengths.reduce((sum, length) => sum + length, 0);
  const ids = new Int32Array(tokens);
  const types = new Int32Array(tokens);
  const positions = new Int32Array(tokens);
  const owners = new Uint32Array(tokens);
  const mask = new Float32Array(count * sequence);
  const starts = new Int32Array(count);
  let row = 0;
  encodings.forEach(({ inputIds, tokenTypeIds }, example) => {
    starts[example] = row;
    ids.set(inputIds, row);
    types.set(tokenTypeIds, row);
    mask.fill(1, example * sequence, example * sequence + inputIds.length);
    for (let position = 0; position < inputIds.length; position++, row++) {
      positions[row] = position;
      owners[row] = indices[example]!;
    }
  });
  batch.sizes[`${prefix}tokens`] = tokens;
  batch.sizes[`${prefix}sequence`] = sequence;
  batch.lengths[`${prefix}sequence`] = lengths;
  batch.rows[`${prefix}tokens`] = { examples: owners, positions: Uint32Array.from(positions) };
  const put = (name: string, tensor: Tensor): void => {
    batch.inputs[prefix + name] = tensor;
  };
  put("inputIds", int32([tokens], ids));
  put("tokenTypeIds", int32([tokens], types));
  put("positionIds", int32([tokens], positions));
  put("attentionMask", float32([count, sequence], mask));
  for (const each of heads) {
    const { paddedRows, rowPositions } = paddedLayout(lengths, sequence, each);
    put(`paddedRows.${each}`, int32([count, each, sequence], paddedRows));
    put(`rowPositions.${each}`, int32([each * tokens], rowPositions));
  }
  const ends = starts.map((start, example) => start + lengths[example]! - 1);
  putSelection(batch, prefix, "firstRows", starts);
  putSelection(batch, prefix, "lastRows", ends);
  for (const [name, table] of tables) batch.inputs[name] = makeTable(table, sequence);
}

/** Row of each padded position, head by head, `[batch, heads, sequence]`, and padded position of each row, `[tokens*heads]`. */
function paddedLayout(lengths: readonly number[], sequence: number, heads: number) {
  const paddedRows = new Int32Array(lengths.length * heads * sequence).fill(-1);
  const rowPositions = new Int32Array(lengths.reduce((sum, length) => sum + length, 0) * heads);
  let row = 0;
  lengths.forEach((length, example) => {
    for (let position = 0; position < length; position++) {
      for (let head = 0; head < heads; head++, row++) {
        const place = (example * heads + head) * sequence + position;
        paddedRows[place] = row;
        rowPositions[row] = place;
      }
    }
  });
  return { paddedRows, rowPositions };
}

function layOutOutputs(batch: LaidOutBatch, prefix: string, examples: readonly EncodedExample[]): void {
  if (!examples.some(({ rows }) => rows)) return;
  const starts = batch.inputs[`${prefix}firstRows`]!.data as Int32Array;
  const chosen = examples.flatMap(({ rows }, example) => Array.from(rows!, (position) => starts[example]! + position));
  putSelection(batch, prefix, "outputRows", Int32Array.from(chosen));
  batch.sizes.outputRows = chosen.length;
  batch.rows.outputRows = batch.rows[`${prefix}outputRows`]!;
}

/** Adds the numbers of selected rows, their origins, and for every row its index among them, or -1 if it is not selected. */
function putSelection(batch: LaidOutBatch, prefix: string, name: string, rows: Int32Array): void {
  const { inputs, sizes } = batch;
  const { examples, positions } = batch.rows[`${prefix}tokens`]!;
  batch.rows[prefix + name] = {
    examples: Uint32Array.from(rows, (row) => examples[row]!),
    positions: Uint32Array.from(rows, (row) => positions[row]!),
  };
  const inverse = new Int32Array(sizes[`${prefix}tokens`]!).fill(-1);
  rows.forEach((row, place) => {
    inverse[row] = place;
  });
  inputs[prefix + name] = int32([rows.length], rows);
  inputs[`${prefix}${name}.inverse`] = int32([inverse.length], inverse);
}
