// What the server wrote into the page, and where a session is kept.

import type { SiteConfig } from "../shared/protocol";

export interface Shell {
  config: SiteConfig;
  ticket: string;
  /** The host page's origin, or "webview". */
  origin: string;
  api: string;
}

/** A value that outlives the page where storage can be had, and lives in memory where not. */
export class Kept {
  private memory: string | null = null;

  constructor(private readonly key: string) {}

  get(): string | null {
    try {
      return localStorage.getItem(this.key) ?? this.memory;
    } catch {
      return this.memory;
    }
  }

  set(value: string | null): void {
    this.memory = value;
    try {
      if (value === null) localStorage.removeItem(this.key);
      else localStorage.setItem(this.key, value);
    } catch {
      // Blocked or full: memory has it.
    }
  }
}
