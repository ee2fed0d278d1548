import { useLayoutEffect, useState } from "preact/hooks";

/** State that components watch: replaced as a whole, never changed in place. */
export class Store<S extends object> {
  private readonly watchers = new Set<() => void>();

  constructor(public state: S) {}

  set(patch: Partial<S>): void {
    this.state = { ...this.state, ...patch };
    for (const watcher of this.watchers) watcher();
  }

  watch(watcher: () => void): () => void {
    this.watchers.add(watcher);
    return () => void this.watchers.delete(watcher);
  }
}

/** Returns the store's state, and draws the component again when it changes. */
export function useStore<S extends object>(store: Store<S>): S {
  const [, draw] = useState({});
  const drawn = store.state;
  useLayoutEffect(() => {
    // What came between being drawn and being watched would never be seen.
    if (store.state !== drawn) draw({});
    return store.watch(() => draw({}));
  }, [store]);
  return drawn;
}
