/** Place of a projection matrix: its block, and its name within the block. */
export interface Place {
  /** Number of the block; for an encoder-decoder with its stack: `e0`, `d0`. */
  block: string;
  kind: string;
}

/** Returns a function that finds the places of a run's matrices. */
export function placer(matrices: Iterable<string>): (matrix: string) => Place {
  const hasDecoder = [...matrices].some((matrix) => matrix.startsWith("decoder."));
  return (matrix) => {
    const [, block, kind] = /^(?:.*?\.)?(\d+)\.(.+)$/.exec(matrix) ?? [];
    if (!block || !kind) return { block: "–", kind: matrix };
    return { block: (hasDecoder ? matrix[0]! : "") + block, kind: kind.replace(".dense", "") };
  };
}

/** Sorts blocks, the encoder's first. */
export function inOrder(blocks: Iterable<string>): string[] {
  const stack = (block: string): number => Number(block.startsWith("d"));
  const number = (block: string): number => Number(block.replace(/^[de]/, ""));
  return [...new Set(blocks)].sort((a, b) => stack(a) - stack(b) || number(a) - number(b));
}
