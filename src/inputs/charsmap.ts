import { UserError } from "../errors.ts";

/** Upper limit on a replacement's bytes; NFKC's longest, of an Arabic phrase, has 33. */
const LONGEST = 256;

/**
 * SentencePiece's compiled normalisation: replacements for sequences of characters. The bytes are a length, a
 * double-array trie (darts-clone) from UTF-8 to offsets, and the replacements, each ended by a zero byte.
 */
export class Charsmap {
  private readonly trie: Uint32Array;
  private readonly replacements: Uint8Array;

  constructor(bytes: Uint8Array) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const trieBytes = bytes.length < 4 ? 0 : Math.min(view.getUint32(0, true), bytes.length - 4);
    this.trie = Uint32Array.from({ length: trieBytes >> 2 }, (_, i) => view.getUint32(4 + 4 * i, true));
    this.replacements = bytes.subarray(4 + trieBytes);
  }

  static fromBase64(text: string): Charsmap {
    return new Charsmap(Uint8Array.from(atob(text), (character) => character.charCodeAt(0)));
  }

  /**
   * Normalises a text. A grapheme of less than 6 bytes is replaced as a whole if the map has a prefix of it, otherwise
   * each of its characters separately. Hugging Face's `spm_precompiled`, which Transformers uses, does the same.
   */
  apply(text: string): string {
    let result = "";
    for (const { segment } of new Intl.Segmenter().segment(text)) {
      const whole = encoder.encode(segment);
      const replacement = whole.length < 6 ? this.find(whole) : undefined;
      if (replacement !== undefined) result += replacement;
      else for (const character of segment) result += this.find(encoder.encode(character)) ?? character;
    }
    return result;
  }

  /** Returns the replacement of the shortest prefix of `key` in the trie. */
  private find(key: Uint8Array): string | undefined {
    let node = offsetOf(this.trie[0] ?? 0);
    for (const byte of key) {
      node ^= byte;
      const unit = this.trie[node] ?? 0;
      // The low byte of a unit is its label, if the top bit is not set; byte 0 ends a key.
      if (byte === 0 || (unit & 0x8000_00ff) !== byte) return undefined;
      node ^= offsetOf(unit);
      if (unit & 0x100) return this.replacement((this.trie[node] ?? 0) & 0x7fff_ffff);
    }
    return undefined;
  }

  private replacement(start: number): string {
    const end = this.replacements.indexOf(0, start);
    if (end < 0 || end - start > LONGEST) {
      throw new UserError("the tokenizer's table of characters is damaged: a replacement has no end");
    }
    return decoder.decode(this.replacements.subarray(start, end));
  }
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Returns the offset of a unit's children, which is combined with a byte by exclusive or. */
function offsetOf(unit: number): number {
  return (unit >>> 10) << ((unit & 0x200) >>> 6);
}
