/** Storage for states that do not fit in memory, such as a file. Places are byte offsets. */
export interface SpillFile {
  write(place: number, bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  read(place: number, bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  remove(): Promise<void>;
}

export interface HiddenStateCacheOptions {
  memory: number;
  /** Opens the storage for states beyond that limit. If undefined, they are not cached. */
  openSpill?: (() => Promise<SpillFile>) | undefined;
}

export interface CachedStates {
  boundary: number;
  /** Undefined if only their place is reserved, see {@link HiddenStateCache.reserve}. */
  bytes: Uint8Array<ArrayBuffer> | undefined;
}

/** Location of an example's states: in memory, or at a place of the file. Their size is the same at every boundary. */
interface Slot {
  boundary: number;
  size: number;
  bytes?: Uint8Array<ArrayBuffer> | undefined;
  place?: number;
  isReserved?: boolean;
}

/**
 * Caches hidden states by example: in memory up to a limit, beyond it in a file. If the file cannot be written any more, the cache keeps
 * its entries and adds none.
 */
export class HiddenStateCache {
  readonly #slots = new Map<number, Slot>();
  #bytes = 0;
  #fileBytes = 0;
  #file: SpillFile | undefined;
  #failure: string | undefined;

  constructor(private readonly options: HiddenStateCacheOptions) {}

  get bytes(): number {
    return this.#bytes;
  }

  get fileBytes(): number {
    return this.#fileBytes;
  }

  get failure(): string | undefined {
    return this.#failure;
  }

  async get(example: number, size: number): Promise<CachedStates | undefined> {
    const slot = this.#slots.get(example);
    if (slot?.size !== size) return undefined;
    const { boundary } = slot;
    if (slot.place === undefined || slot.isReserved) return { boundary, bytes: slot.bytes };
    const bytes = new Uint8Array(size);
    await this.#file!.read(slot.place, bytes);
    return { boundary, bytes };
  }

  async put(example: number, boundary: number, bytes: Uint8Array<ArrayBuffer>): Promise<boolean> {
    const size = bytes.length;
    const known = this.#slots.get(example);
    if (known && known.size !== size) return false;
    if (known && known.place === undefined) {
      this.#slots.set(example, { boundary, size, bytes });
    } else if (known) {
      // After a failure nothing is written any more; the entry of the earlier boundary stays valid.
      if (this.#failure !== undefined) return false;
      const written = await this.#write(known.place!, bytes);
      if (written) this.#slots.set(example, { boundary, size, place: known.place! });
      else this.#slots.delete(example);
      return written;
    } else if (this.#fits(size)) {
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

  /**
   * Reserves the place that {@link put} would give states of this size, without the states: those that an interrupted run had.
   */
  reserve(example: number, boundary: number, size: number): boolean {
    const known = this.#slots.get(example);
    if (known) {
      known.boundary = boundary;
      return known.size === size;
    }
    if (this.#fits(size)) {
      this.#slots.set(example, { boundary, size });
      this.#bytes += size;
      return true;
    }
    if (this.options.openSpill === undefined) return false;
    this.#slots.set(example, { boundary, size, place: this.#fileBytes, isReserved: true });
    this.#fileBytes += size;
    return true;
  }

  #fits(size: number): boolean {
    return this.#bytes + size <= this.options.memory;
  }

  async release(): Promise<void> {
    this.#slots.clear();
    await this.#file?.remove();
    this.#file = undefined;
  }

  async #write(place: number, bytes: Uint8Array<ArrayBuffer>): Promise<boolean> {
    if (this.#failure !== undefined) return false;
    try {
      this.#file ??= await this.options.openSpill?.();
      await this.#file?.write(place, bytes);
      return this.#file !== undefined;
    } catch (error) {
      this.#failure = error instanceof Error ? error.message : String(error);
      return false;
    }
  }
}
