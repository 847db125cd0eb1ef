// A separate file: a program's types must not need the packages that open connections.

/** Options of a run on many machines. */
export interface SharedRunOptions {
  /** Receives notes: which workers join, which are refused, and that no worker answers. */
  onNote?: ((note: string) => void) | undefined;
  /**
   * Accepts workers whose results differ from this machine's in the last bits. The adapter then depends on which worker computed what.
   */
  mixedProcessors?: boolean | undefined;
}
