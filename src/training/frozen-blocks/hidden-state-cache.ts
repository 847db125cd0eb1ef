/** A place for what does not fit into memory, such as a file. Places are in bytes from its start. */
export interface SpillFile {
  write(place: number, bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  read(place: number, bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  /** Closes and removes it. */
  remove(): Promise<void>;
}

export interface HiddenStateCacheOptions {
  /** Most bytes that are kept in memory. */
  memory: number;
  /** Opens the place for what is beyond that; without one it is not kept. */
  openSpill?: (() => Promise<SpillFile>) | undefined;
}

/** What is kept of an example. */
export interface CachedStates {
  /** Blocks behind which these are the hidden states. */
  boundary: number;
  bytes: Uint8Array<ArrayBuffer>;
}

/** Where an example's states are; they take as many bytes at every boundary. */
type Slot = { boundary: number; size: number } & ({ bytes: Uint8Array<ArrayBuffer> } | { place: number });

/**
 * Hidden states by example: in memory up to a bound, beyond it in a file. Where that cannot be written any more, what is there
 * stays and nothing is added.
 */
export class HiddenStateCache {
  readonly #options: HiddenStateCacheOptions;
  readonly #slots = new Map<number, Slot>();
  #bytes = 0;
  #fileBytes = 0;
  #file: SpillFile | undefined;
  #failure: string | undefined;

  constructor(options: HiddenStateCacheOptions) {
    this.#options = options;
  }

  /** Bytes kept in memory. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Bytes kept in the file. */
  get fileBytes(): number {
    return this.#fileBytes;
  }

  /** Why nothing more is written to the file, where that is so. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** @param size in bytes: what is kept of another size is of another example */
  async get(example: number, size: number): Promise<CachedStates | undefined> {
    const slot = this.#slots.get(example);
    if (slot?.size !== size) return undefined;
    if ("bytes" in slot) return slot;
    const bytes = new Uint8Array(size);
    await this.#file!.read(slot.place, bytes);
    return { boundary: slot.boundary, bytes };
  }

  /** Keeps states of an example, in place of those of an earlier boundary. @returns whether it does */
  async put(example: number, { boundary, bytes }: CachedStates): Promise<boolean> {
    const size = bytes.length;
    const known = this.#slots.get(example);
    if (known && known.size !== size) return false;
    if (known && "bytes" in known) {
      this.#slots.set(example, { boundary, size, bytes });
    } else if (known) {
      // Nothing is written any more: what is there, of an earlier boundary, stays good.
      if (this.#failure !== undefined) return false;
      const written = await this.#write(known.place, bytes);
      if (written) known.boundary = boundary;
      else this.#slots.delete(example);
      return written;
    } else if (this.#bytes + size <= this.#options.memory) {
      this.#slots.set(example, { boundary, size, bytes });
      this.#bytes += size;
    } else {
      const place = this.#fileBytes;
      if (!(await this.#write(place, bytes))) return false;
      this.#slots.set(example, { boundary, size, place });
      this.#fileBytes += size;
    }
    return true;
  }

  /** Drops all that is kept and removes the file. */
  async release(): Promise<void> {
    this.#slots.clear();
    await this.#file?.remove();
    this.#file = undefined;
  }

  async #write(place: number, bytes: Uint8Array<ArrayBuffer>): Promise<boolean> {
    if (this.#failure !== undefined) return false;
    try {
      this.#file ??= await this.#options.openSpill?.();
      await this.#file?.write(place, bytes);
      return this.#file !== undefined;
    } catch (error) {
      this.#failure = error instanceof Error ? error.message : String(error);
      return false;
    }
  }
}
