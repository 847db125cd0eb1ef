/** A read-only list: an array, or a `LazyList`. */
export interface List<Item> extends Iterable<Item> {
  readonly length: number;
  at(index: number): Item | undefined;
  map<Result>(make: (item: Item, index: number) => Result): Result[];
  some(test: (item: Item, index: number) => boolean): boolean;
  every(test: (item: Item, index: number) => boolean): boolean;
  filter(test: (item: Item, index: number) => boolean): Item[];
  slice(start?: number, end?: number): Item[];
}

/** A list that makes an item each time it is read, so that memory does not hold the items. */
export class LazyList<Item> implements List<Item> {
  constructor(
    readonly length: number,
    private readonly make: (index: number) => Item,
  ) {}

  at(index: number): Item | undefined {
    const place = index < 0 ? this.length + index : index;
    return place >= 0 && place < this.length ? this.make(place) : undefined;
  }

  *[Symbol.iterator](): Generator<Item, void> {
    for (let i = 0; i < this.length; i++) yield this.make(i);
  }

  map<Result>(make: (item: Item, index: number) => Result): Result[] {
    return Array.from({ length: this.length }, (_, i) => make(this.make(i), i));
  }

  some(test: (item: Item, index: number) => boolean): boolean {
    for (let i = 0; i < this.length; i++) if (test(this.make(i), i)) return true;
    return false;
  }

  every(test: (item: Item, index: number) => boolean): boolean {
    return !this.some((item, i) => !test(item, i));
  }

  filter(test: (item: Item, index: number) => boolean): Item[] {
    const found: Item[] = [];
    this.some((item, i) => {
      if (test(item, i)) found.push(item);
      return false;
    });
    return found;
  }

  slice(start = 0, end = this.length): Item[] {
    const [from, to] = [start, end].map((place) =>
      Math.min(this.length, Math.max(0, place < 0 ? this.length + place : place)),
    );
    return Array.from({ length: Math.max(0, to! - from!) }, (_, i) => this.make(from! + i));
  }
}

export const MOST_KEPT = 50_000;

/** Makes each item once, which may throw, and keeps the items of a short list. */
export function listOf<Item>(length: number, make: (index: number) => Item): List<Item> {
  const list = new LazyList(length, make);
  if (length <= MOST_KEPT) return [...list];
  for (const _ of list);
  return list;
}

export type Like<Items extends List<unknown>, Other> = Items extends readonly unknown[] ? Other[] : List<Other>;

type ItemOf<Items> = Items extends List<infer Item> ? Item : never;

export function mapped<Items extends List<unknown>, Result>(
  list: Items,
  make: (item: ItemOf<Items>, index: number) => Result,
): Like<Items, Result> {
  const made = new LazyList(list.length, (i) => make(list.at(i) as ItemOf<Items>, i));
  return (Array.isArray(list) ? [...made] : made) as Like<Items, Result>;
}

export function picked<Item>(list: List<Item>, places: ArrayLike<number>): List<Item> {
  const make = (i: number): Item => list.at(places[i]!)!;
  return Array.isArray(list) ? Array.from(places, (_, i) => make(i)) : new LazyList(places.length, make);
}

export function evenly<Item>(all: readonly Item[], most: number): Item[] {
  const step = Math.max(1, all.length / most);
  return Array.from({ length: Math.min(most, all.length) }, (_, i) => all[Math.floor(i * step)]!);
}
