/** Reads a decimal number such as `-0.5` or `1e-3`; NaN for any other text, among them `0x10` and `Infinity`. */
export function decimalNumber(text: string): number {
  const plain = text.trim();
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(plain) ? Number(plain) : Number.NaN;
}
