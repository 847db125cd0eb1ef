import { pick } from "./program.ts";

const NUMBERS = ["-1", "0", "1e9", "1e308", "9007199254740993", "NaN", "null", '""', "[]", "{}", "1.5", "true"];
const INTEGERS = [0n, 1n, 0x7fffffffn, 0xffffffffn, 0x7fffffffffffffffn, 0xffffffffffffffffn, 2n ** 53n, 2n ** 40n];

/** A file with one to four things changed in it, of the kind that break readers. */
export function mutate(original: Uint8Array, random: () => number): Uint8Array {
  let bytes: Buffer = Buffer.from(original);
  for (let changes = 1 + Math.floor(4 * random() ** 2); changes > 0; changes--) bytes = change(bytes, random);
  return bytes;
}

function change(bytes: Buffer, random: () => number): Buffer {
  const at = Math.floor(random() * bytes.length);
  const length = Math.min(bytes.length - at, Math.floor(random() ** 3 * bytes.length) + 1);
  switch (Math.floor(random() * 8)) {
    case 0: // A bit.
      if (bytes.length > 0) bytes[at]! ^= 1 << Math.floor(8 * random());
      return bytes;
    case 1: // The end is missing.
      return bytes.subarray(0, at);
    case 2: // A piece is missing.
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
    case 3: // A piece comes twice.
      return Buffer.concat([bytes.subarray(0, at + length), bytes.subarray(at)]);
    case 4: {
      // A number of 4 or 8 bytes; most stand near the beginning or the end.
      const size = pick([4, 8], random);
      if (bytes.length < size) return bytes;
      const place = Math.floor(random() ** 3 * (bytes.length - size));
      const start = random() < 0.5 ? place : bytes.length - size - place;
      const value = BigInt.asUintN(8 * size, pick(INTEGERS, random));
      if (size === 8) bytes.writeBigUInt64LE(value, start);
      else bytes.writeUInt32LE(Number(value), start);
      return bytes;
    }
    case 5: {
      // A number in text.
      const text = bytes.toString("latin1");
      const numbers = [...text.slice(0, 20_000).matchAll(/-?\d+(\.\d+)?/g)];
      if (numbers.length === 0) return bytes;
      const { index, 0: found } = pick(numbers, random);
      return Buffer.from(text.slice(0, index) + pick(NUMBERS, random) + text.slice(index + found.length), "latin1");
    }
    case 6: {
      // A quoted text or a name.
      const text = bytes.toString("latin1");
      const words = [...text.slice(0, 20_000).matchAll(/"[^"]*"/g)];
      if (words.length === 0) return bytes;
      const { index, 0: found } = pick(words, random);
      const other = pick([...NUMBERS, pick(words, random)[0], '"__proto__"', '"x"'], random);
      return Buffer.from(text.slice(0, index) + other + text.slice(index + found.length), "latin1");
    }
    default: // Bytes.
      for (let i = at; i < Math.min(bytes.length, at + 8); i++) bytes[i] = Math.floor(256 * random());
      return bytes;
  }
}
