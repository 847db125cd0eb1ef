import type { Architecture } from "./architecture.ts";

interface ArchitectureKind {
  plural: string;
  /**
   * Whether an encoder reads a separate source text, and the decoder writes a text that begins with its own start
   * token. Prompts are then sources, and exports consist of an encoder's and a decoder's files.
   */
  readsSource: boolean;
}

const ARCHITECTURE_KINDS: Readonly<Record<Architecture["kind"], ArchitectureKind>> = {
  encoder: { plural: "encoders", readsSource: false },
  decoder: { plural: "decoders", readsSource: false },
  "encoder-decoder": { plural: "encoder-decoders", readsSource: true },
};

export const pluralOf = (kind: Architecture["kind"]): string => ARCHITECTURE_KINDS[kind].plural;

export const readsSource = ({ architecture }: { architecture: Pick<Architecture, "kind"> }): boolean =>
  ARCHITECTURE_KINDS[architecture.kind].readsSource;
