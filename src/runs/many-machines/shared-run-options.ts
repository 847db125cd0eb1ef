// Apart from what opens connections: a program's types need none of the packages that do.

/** How a run lets other machines compute. */
export interface SharedRunOptions {
  /** Told who takes part, who is refused, and that nobody is there. */
  onNote?: ((note: string) => void) | undefined;
  /** Takes workers, too, whose results differ from this machine's in the last bits; the adapter then hangs on who computed what. */
  mixedProcessors?: boolean | undefined;
}
