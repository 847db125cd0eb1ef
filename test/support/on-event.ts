interface AnyEvent {
  kind: string;
}
type Hearing<Event> = (event: Event) => Promise<void>;

/** Hears events of one kind alone. */
export const on =
  <Event extends AnyEvent, Kind extends Event["kind"]>(
    kind: Kind,
    hear: (event: Extract<Event, { kind: Kind }>) => unknown,
  ): Hearing<Event> =>
  async (event) => {
    if (event.kind === kind) await hear(event as Extract<Event, { kind: Kind }>);
  };

/** Tells each of several. */
export const together =
  <Event extends AnyEvent>(...hearings: Hearing<Event>[]): Hearing<Event> =>
  async (event) => {
    for (const hear of hearings) await hear(event);
  };
