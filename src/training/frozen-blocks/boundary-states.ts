import { BOUNDARY } from "../../architectures/forward-context.ts";
import { countFlops, totalFlops } from "../../graph/flops.ts";
import { asFloat32, float32, type Tensor, type Tensors } from "../../graph/tensor.ts";
import type { CompiledGraph } from "../../runtime/compiled-graph.ts";
import type { Runtime } from "../../runtime/session.ts";
import type { EncodedExample } from "../../tasks/task-kind.ts";
import { layOut } from "../batches/model-inputs.ts";
import { type AdaptedModel, type ModelGraph, writeBlock } from "../step-graph.ts";
import { HiddenStateCache, type HiddenStateCacheOptions } from "./hidden-state-cache.ts";
import { type PackedFormat, packedSize, packRows, unpackRows } from "./packed-rows.ts";

export interface BoundaryStatesOptions extends HiddenStateCacheOptions {
  format: PackedFormat;
  tokenBudget: number;
}

/**
 * Hidden states of examples after the frozen blocks, `[tokens, hidden]`. They are computed at their first use, then cached.
 *
 * They depend only on the example and the frozen blocks, to the bit, so that micro-batches, resuming and the cache do not change a run:
 * texts of one length go through the blocks together (texts of one token alone), so that nothing is padded; each block is a graph of its
 * own for every boundary; and the output of a block is rounded as the cache would store it.
 */
export class BoundaryStates {
  readonly #cache: HiddenStateCache;
  readonly #blocks: CompiledBlock[] = [];
  readonly #width: number;
  readonly #batchStates = new Map<number, Float32Array>();
  #largestSizes = { memory: 0, file: 0 };
  #cachesAll: boolean;

  constructor(
    private readonly model: AdaptedModel,
    private readonly weights: Tensors,
    private readonly runtime: Runtime,
    private readonly options: BoundaryStatesOptions,
  ) {
    this.#cache = new HiddenStateCache(options);
    this.#width = model.config.hiddenSize;
    this.#cachesAll = options.memory > 0 || options.openSpill !== undefined;
  }

  get largest(): { memory: number; file: number } {
    return this.#largestSizes;
  }

  /** Note for the user if the file cannot be written, for example because the disk is full. */
  get note(): string | undefined {
    const { failure } = this.#cache;
    return failure === undefined
      ? undefined
      : `hidden states of frozen blocks could not be kept in the run's folder (${failure}): those that did not fit in memory were computed again at each step`;
  }

  async prepare(
    texts: readonly EncodedExample[],
    boundary: number,
    { signal, ahead }: { signal?: AbortSignal | undefined; ahead?: (() => readonly EncodedExample[]) | undefined } = {},
  ): Promise<number> {
    while (this.#blocks.length < boundary) this.#blocks.push(await this.#compile(this.#blocks.length));
    const missing = await this.#missing(texts, boundary, ahead);
    const wanted = new Set(texts.map(({ index }) => index));
    let flops = 0;
    for (const group of missing) {
      // The product of a single row sums in another order than that of several rows.
      const atOnce = group.length === 1 ? 1 : Math.max(1, Math.floor(this.options.tokenBudget / group.length));
      for (let start = 0; start < group.texts.length; start += atOnce) {
        signal?.throwIfAborted();
        const [part, rows] = [group.texts, group.rows].map((all) => all.slice(start, start + atOnce));
        const computed = await this.#compute({ ...group, texts: part, rows } as Missing);
        flops += computed.flops;
        for (const [i, text] of (part as EncodedExample[]).entries()) {
          if (wanted.has(text.index)) this.#batchStates.set(text.index, computed.rows[i]!);
        }
      }
    }
    this.#measure();
    return flops;
  }

  /**
   * Reserves the places that {@link prepare} gave the states of a batch before the run was interrupted. They are computed again at their
   * next use, and these operations do not count.
   */
  async reserve(
    texts: readonly EncodedExample[],
    boundary: number,
    ahead: () => readonly EncodedExample[],
  ): Promise<void> {
    for (const group of await this.#missing(texts, boundary, ahead, true)) {
      const size = packedSize(group.length, this.#width, this.options.format);
      for (const { index } of group.texts) if (!this.#cache.reserve(index, boundary, size)) this.#cachesAll = false;
    }
    this.#measure();
  }

  /** Returns the input that holds the states of a part of the batch, one example after the other. */
  rows(texts: readonly EncodedExample[]): Record<typeof BOUNDARY, Tensor<"float32">> {
    return { [BOUNDARY]: this.#joined(texts.map((text) => this.#batchStates.get(text.index)!)) };
  }

  async release(): Promise<void> {
    this.#batchStates.clear();
    for (const { compiled } of this.#blocks) await compiled.release();
    await this.#cache.release();
  }

  #measure(): void {
    const { memory, file } = this.#largestSizes;
    this.#largestSizes = { memory: Math.max(memory, this.#cache.bytes), file: Math.max(file, this.#cache.fileBytes) };
  }

  /** Reads the cached states of a batch, and returns the texts whose states must be computed, and those of the next batches with them. */
  async #missing(
    texts: readonly EncodedExample[],
    boundary: number,
    ahead: (() => readonly EncodedExample[]) | undefined,
    reserves = false,
  ): Promise<Missing[]> {
    this.#batchStates.clear();
    const missing = new Map<string, Missing>();
    for (const text of texts) {
      const rows = await this.#find(text, { boundary, missing, reserves });
      if (rows) this.#batchStates.set(text.index, rows);
    }
    if (missing.size > 0 && this.#cachesAll) {
      // States that an interrupted run had are restored ahead, but no others are computed for their sake.
      const isNew = [...missing.values()].some(({ counts, to }) => counts < to);
      for (const text of ahead?.() ?? [])
        await this.#find(text, { boundary: isNew ? boundary : undefined, missing, reserves });
    }
    return [...missing.values()];
  }

  async #find(
    text: EncodedExample,
    { boundary, missing, reserves }: { boundary: number | undefined; missing: Map<string, Missing>; reserves: boolean },
  ): Promise<Float32Array | undefined> {
    const { length } = text.encoding.inputIds;
    const kept = await this.#cache.get(text.index, packedSize(length, this.#width, this.options.format));
    const rows = kept?.bytes && unpackRows(kept.bytes, this.#width, this.options.format);
    const counts = kept?.boundary ?? 0;
    const to = boundary ?? counts;
    if (counts === to && (rows || reserves || to === 0)) return rows;
    const from = rows ? counts : 0;
    const key = [length, from, counts, to].join(" ");
    const sameLength = missing.get(key) ?? { length, from, counts, to, texts: [], rows: [] };
    sameLength.texts.push(text);
    if (rows) sameLength.rows.push(rows);
    missing.set(key, sameLength);
    return undefined;
  }

  async #compute({ texts, from, counts, to, rows }: Missing) {
    const { format } = this.options;
    let packed: Uint8Array<ArrayBuffer>[] = [];
    let flops = 0;
    // The graph of every block is written from the whole model, and reads the same texts.
    const { inputs, sizes } = layOut(this.#blocks[from]!.graph.streams, texts);
    for (let block = from; block < to; block++) {
      const { compiled, flopsOf } = this.#blocks[block]!;
      const { hidden } = await compiled.run({ ...inputs, ...(block > 0 && { [BOUNDARY]: this.#joined(rows) }) });
      const all = asFloat32(hidden!).data;
      const each = all.length / texts.length;
      packed = texts.map((_, i) => packRows(all.subarray(i * each, (i + 1) * each), this.#width, format));
      rows = packed.map((bytes) => unpackRows(bytes, this.#width, format));
      if (block >= counts) flops += totalFlops(flopsOf(sizes));
    }
    for (const [i, { index }] of texts.entries()) {
      if (!(await this.#cache.put(index, to, packed[i]!))) this.#cachesAll = false;
    }
    return { rows, flops };
  }

  #joined(rows: readonly Float32Array[]): Tensor<"float32"> {
    const length = rows.reduce((sum, each) => sum + each.length, 0);
    const joined = float32([length / this.#width, this.#width]);
    let end = 0;
    for (const each of rows) {
      joined.data.set(each, end);
      end += each.length;
    }
    return joined;
  }

  async #compile(block: number): Promise<CompiledBlock> {
    const graph = writeBlock(this.model, block);
    const compiled = await this.runtime.compile(graph.outputs, this.weights);
    return { graph, compiled, flopsOf: countFlops(Object.values(graph.outputs)) };
  }
}

interface Missing {
  length: number;
  from: number;
  /** Boundary from which the operations count: those before were counted before the run was interrupted. */
  counts: number;
  to: number;
  texts: EncodedExample[];
  /** Their states at boundary `from`; empty if that is 0. */
  rows: Float32Array[];
}

interface CompiledBlock {
  graph: ModelGraph;
  compiled: CompiledGraph;
  flopsOf: ReturnType<typeof countFlops>;
}
