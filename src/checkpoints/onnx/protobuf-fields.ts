import { UserError } from "../../errors.ts";
import type { ByteSource } from "../../files/byte-source.ts";
import { type FieldHeader, MAX_FIELD_HEADER, readFieldHeader } from "../../graph/protobuf-message.ts";

/** Bytes to read at once. */
const WINDOW = 2 ** 16;

/** A field of a message: the position of its content, and an integer's value. */
export interface FieldPlace {
  id: number;
  start: number;
  end: number;
  /** Value of an integer field. */
  value?: number;
}

/** A protobuf file that is read in chunks, so that its large parts need not be in memory. */
export class ProtobufFile {
  readonly source: ByteSource;
  #window = new Uint8Array(0);
  #start = 0;

  constructor(source: ByteSource) {
    this.source = source;
  }

  /** Reads the bytes `[start, end)`. @throws UserError if they do not exist or cannot be read. */
  async bytes(start: number, end: number): Promise<Uint8Array> {
    if (start < this.#start || end > this.#start + this.#window.length) {
      this.#window = await this.source.read(start, Math.max(end, Math.min(start + WINDOW, this.source.size)));
      this.#start = start;
    }
    if (end > this.#start + this.#window.length) this.damaged(`it ends at byte ${this.#start + this.#window.length}`);
    return this.#window.subarray(start - this.#start, end - this.#start);
  }

  /** Yields the fields of the message at `[start, end)`. @throws UserError if it is not a message. */
  async *fields(start: number, end: number): AsyncGenerator<FieldPlace> {
    for (let at = start; at < end; ) {
      const { id, length, size, value } = await this.#headerAt(at, end);
      const from = at + length;
      if (from + size > end) this.damaged(`the field at byte ${at} has ${size} bytes and only ${end - from} are left`);
      at = from + size;
      yield { id, start: from, end: at, ...(value !== undefined && { value }) };
    }
  }

  async #headerAt(at: number, end: number): Promise<FieldHeader> {
    const bytes = await this.bytes(at, Math.min(at + MAX_FIELD_HEADER, end));
    try {
      return readFieldHeader(bytes);
    } catch {
      return this.damaged(`byte ${at} begins no field`);
    }
  }

  /** @throws UserError, always. */
  damaged(why: string): never {
    throw new UserError(`${this.source.location} is not an ONNX file, or is damaged: ${why}; get the file again`);
  }
}
