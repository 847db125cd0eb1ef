import type { Architecture } from "./architecture.ts";

/** What all families of a kind have in common. */
interface ArchitectureKind {
  /** What several of them are called. */
  plural: string;
  /**
   * Whether an encoder reads a text of its own, the source, and the decoder writes another, which begins with a token of its own:
   * a prompt is a source, and files of other tools are an encoder's and a decoder's.
   */
  readsSource: boolean;
}

const ARCHITECTURE_KINDS: Readonly<Record<Architecture["kind"], ArchitectureKind>> = {
  encoder: { plural: "encoders", readsSource: false },
  decoder: { plural: "decoders", readsSource: false },
  "encoder-decoder": { plural: "encoder-decoders", readsSource: true },
};

export const pluralOf = (kind: Architecture["kind"]): string => ARCHITECTURE_KINDS[kind].plural;

/** {@link ArchitectureKind.readsSource} of a model. */
export const readsSource = ({ architecture }: { architecture: Pick<Architecture, "kind"> }): boolean =>
  ARCHITECTURE_KINDS[architecture.kind].readsSource;
