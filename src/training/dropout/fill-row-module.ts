import { GOLDEN, MULTIPLIERS } from "./mix.ts";

const [FROM, TO, KEY, KEY2, THRESHOLD, KEPT, COUNTERS, HASH, EVEN, ODD] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] as const;
const PARAMETERS = 6;
const LOCALS = 4;

const [I32, V128] = [0x7f, 0x7b];

/** A number in LEB128, as WebAssembly stores all of its numbers. */
function leb(value: number, signed = false): number[] {
  const low = value & 0x7f;
  const rest = signed ? value >> 7 : value >>> 7;
  const ends = signed ? rest === (low & 0x40 ? -1 : 0) : rest === 0;
  return ends ? [low] : [low | 0x80, ...leb(rest, signed)];
}

const get = (local: number): number[] => [0x20, local];
const set = (local: number): number[] => [0x21, local];
const tee = (local: number): number[] => [0x22, local];
const i32 = (value: number): number[] => [0x41, ...leb(value, true)];
const simd = (code: number): number[] => [0xfd, ...leb(code)];
const constant = (numbers: readonly number[]): number[] => [
  ...simd(0x0c),
  ...new Uint8Array(Int32Array.from(numbers).buffer),
];
const each = (value: number): number[] => constant([value, value, value, value]);
const splat = (local: number): number[] => [...get(local), ...simd(0x11)];
const [add, multiply, and, xor, atLeast] = [0xae, 0xb5, 0x4e, 0x51, 0x3f].map(simd) as [
  ...[number[], number[], number[], number[], number[]],
];
const shiftRight = (bits: number): number[] => [...i32(bits), ...simd(0xad)];
const foldHash = (bits: number): number[] => [...tee(HASH), ...get(HASH), ...shiftRight(bits), ...xor];
const choose = [...splat(THRESHOLD), ...atLeast, ...splat(KEPT), ...and];
/** Stores lanes of EVEN (0 to 3) and ODD (4 to 7), side by side. */
const store = (lanes: readonly number[], offset: number): number[] => {
  const bytes = lanes.flatMap((lane) => [0, 1, 2, 3].map((byte) => 4 * lane + byte));
  return [...get(FROM), ...get(EVEN), ...get(ODD), ...simd(0x0d), ...bytes, ...simd(0x0b), 2, offset];
};

const steps = (count: number): number => Math.imul(count, GOLDEN);

/** `fillRow` of dropout.ts for eight numbers at a time, from byte FROM to at least byte TO. */
const CODE = [
  ...[...splat(KEY), ...constant([0, steps(1), steps(2), steps(3)]), ...add, ...set(COUNTERS)],
  ...[0x03, 0x40], // loop
  ...[...get(COUNTERS), ...foldHash(16), ...each(MULTIPLIERS[0]), ...multiply],
  ...[...foldHash(15), ...splat(KEY2), ...xor, ...each(MULTIPLIERS[1]), ...multiply],
  ...[...foldHash(16), ...tee(HASH)],
  ...[...each(0xffff), ...and, ...choose, ...set(EVEN)],
  ...[...get(HASH), ...shiftRight(16), ...choose, ...set(ODD)],
  ...[...store([0, 4, 1, 5], 0), ...store([2, 6, 3, 7], 16)],
  ...[...get(COUNTERS), ...each(steps(4)), ...add, ...set(COUNTERS)],
  ...[...get(FROM), ...i32(32), 0x6a, ...tee(FROM), ...get(TO), 0x49], // FROM += 32, FROM < TO
  ...[0x0d, 0, 0x0b], // branch to the loop's start
  0x0b,
];

const sized = (bytes: readonly number[]): number[] => [...leb(bytes.length), ...bytes];
const name = (text: string): number[] => sized([...new TextEncoder().encode(text)]);
const section = (id: number, ...entries: readonly number[][]): number[] => [
  id,
  ...sized([entries.length, ...entries.flat()]),
];

let compiled: WebAssembly.Module | undefined;

/** Returns the module: it imports `mask.memory` and exports `fillRow(from, to, key, key2, threshold, kept)`. */
export function fillRowModule(): WebAssembly.Module {
  compiled ??= new WebAssembly.Module(
    Uint8Array.from([
      ...[0, ...new TextEncoder().encode("asm"), 1, 0, 0, 0],
      ...section(1, [0x60, PARAMETERS, ...Array<number>(PARAMETERS).fill(I32), 0]),
      ...section(2, [...name("mask"), ...name("memory"), 2, 0, 0]),
      ...section(3, [0]),
      ...section(7, [...name("fillRow"), 0, 0]),
      ...section(10, sized([1, LOCALS, V128, ...CODE])),
    ]),
  );
  return compiled;
}
