import { UserError } from "../errors.ts";
import type { WholeModel, WholeModelInput } from "../runtime/whole-model.ts";
import type { EncodedExample } from "../tasks/task-kind.ts";
import { singleTexts } from "../training/batches/single-texts.ts";
import { joinTexts, type OutputReader, TOKEN_BUDGET } from "../training/prediction/predictor.ts";

/** Inputs of an exported encoder, `[texts, tokens]` each, and the number that fills a shorter text's row. */
const INPUTS: Readonly<Record<string, (encoding: EncodedExample["encoding"]) => ArrayLike<number>>> = {
  input_ids: ({ inputIds }) => inputIds,
  attention_mask: ({ inputIds }) => new Uint8Array(inputIds.length).fill(1),
  token_type_ids: ({ tokenTypeIds }) => tokenTypeIds,
};

export const EXPORTED_INPUTS: ReadonlySet<string> = new Set(Object.keys(INPUTS));

/** Outputs of the head of an exported encoder, which pads texts to the longest of a run. */
export class ExportedOutputs implements OutputReader {
  readonly #output: string;
  readonly #width: number;
  readonly #padTokenId: number;
  #released = false;

  constructor(
    private readonly model: WholeModel,
    { output, width, padTokenId }: { output: string; width: number; padTokenId: number },
  ) {
    this.#output = output;
    this.#width = width;
    this.#padTokenId = padTokenId;
  }

  async logits(
    examples: readonly EncodedExample[],
    _adapter?: unknown,
    signal?: AbortSignal,
    onDone?: (examples: number, of: number) => void | Promise<void>,
  ): Promise<Float32Array[]> {
    if (this.#released) throw new UserError("the model was released; load it again to predict");
    const texts = singleTexts(examples);
    const results: Float32Array[] = new Array(texts.length);
    let done = 0;
    for (const chosen of batchesOf(texts)) {
      signal?.throwIfAborted();
      const part = chosen.map((i) => texts[i]!);
      const sequence = Math.max(...part.map(({ encoding }) => encoding.inputIds.length));
      const values = await this.model.run(this.#inputsOf(part, sequence), this.#output);
      for (const [at, { rows }] of part.entries()) {
        // The output for tokens is `[texts, tokens, outputs]`.
        const own = rows ? Array.from(rows, (token) => at * sequence + token) : [at];
        const found = new Float32Array(own.length * this.#width);
        for (const [row, place] of own.entries()) {
          found.set(values.subarray(place * this.#width, (place + 1) * this.#width), row * this.#width);
        }
        results[chosen[at]!] = found;
      }
      done += chosen.length;
      await onDone?.(Math.round((examples.length * done) / texts.length), examples.length);
    }
    return joinTexts(examples, results);
  }

  #inputsOf(examples: readonly EncodedExample[], sequence: number): Record<string, WholeModelInput> {
    const shape = [examples.length, sequence];
    const inputs = this.model.inputNames.map((name) => {
      const data = new BigInt64Array(examples.length * sequence);
      if (name === "input_ids") data.fill(BigInt(this.#padTokenId));
      for (const [row, { encoding }] of examples.entries()) {
        data.set(Array.from(INPUTS[name]!(encoding), BigInt), row * sequence);
      }
      return [name, { data, shape }] as const;
    });
    return Object.fromEntries(inputs);
  }

  async release(): Promise<void> {
    if (this.#released) return;
    this.#released = true;
    await this.model.release();
  }
}

/** Indices of the texts of each run, longest first, so that padding is short. */
function batchesOf(texts: readonly EncodedExample[]): number[][] {
  const lengthOf = (i: number): number => texts[i]!.encoding.inputIds.length;
  const batches: number[][] = [];
  for (const i of texts.map((_, row) => row).sort((a, b) => lengthOf(b) - lengthOf(a))) {
    const last = batches.at(-1);
    if (last && (last.length + 1) * lengthOf(last[0]!) <= TOKEN_BUDGET) last.push(i);
    else batches.push([i]);
  }
  return batches;
}
