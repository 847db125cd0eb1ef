import { UserError } from "../../errors.ts";
import type { ByteSource } from "../../files/byte-source.ts";

/** Bytes to read at once. */
const WINDOW = 2 ** 16;
/** Upper limit on the bytes of a field's number and size. */
const HEADER = 20;

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
      const header = await this.bytes(at, Math.min(at + HEADER, end));
      const [tag, afterTag] = this.#varint(header, 0, at);
      const id = Math.floor(tag / 8);
      const type = tag % 8;
      const content = at + afterTag;
      if (type === 0) {
        const [value, after] = this.#varint(header, afterTag, at);
        at += after;
        yield { id, start: content, end: at, value };
        continue;
      }
      const [size, after] = type === 2 ? this.#varint(header, afterTag, at) : [type === 1 ? 8 : 4, afterTag];
      if (type !== 1 && type !== 2 && type !== 5) this.damaged(`byte ${at} begins no field`);
      const from = at + after;
      if (from + size > end) this.damaged(`the field at byte ${at} has ${size} bytes and only ${end - from} are left`);
      at = from + size;
      yield { id, start: from, end: at };
    }
  }

  /** @throws UserError, always. */
  damaged(why: string): never {
    throw new UserError(`${this.source.location} is no ONNX file, or damaged: ${why}; get the file again`);
  }

  #varint(bytes: Uint8Array, from: number, at: number): [value: number, after: number] {
    let value = 0;
    for (let i = from; i < Math.min(bytes.length, from + 10); i++) {
      const byte = bytes[i]!;
      value += (byte & 127) * 2 ** (7 * (i - from));
      if (byte < 128) return [value, i + 1];
    }
    return this.damaged(`the number at byte ${at} has no end`);
  }
}
