// The frame's side of the conversation with the host page.

import type { EventName, ToFrame, ToHost } from "../shared/protocol";

const IDENTITY_MS = 10_000;

/** Talks to the page around the frame; in a WebView there is none, and what is said goes nowhere. */
export class Bridge {
  private readonly embedded: boolean;
  private waiting: ((identity: string | undefined) => void) | undefined;
  identified = false;

  constructor(
    private readonly site: string,
    private readonly origin: string,
  ) {
    this.embedded = origin !== "webview" && parent !== window;
  }

  /** Hears what the host page says: nobody else's messages, and none from another origin. */
  listen(take: (message: ToFrame) => void): void {
    if (!this.embedded) {
      // An app gives its user's token behind `#`: that part of an address is sent to no server.
      const given = new URLSearchParams(location.hash.slice(1)).get("identity") ?? undefined;
      history.replaceState(history.state, "", location.pathname + location.search);
      this.identified = !!given;
      this.inHash = given;
      take({ type: "hello", locale: navigator.language, identified: !!given, open: true });
      take({ type: "open" });
      return;
    }
    addEventListener("message", (event: MessageEvent<ToFrame & { twofold?: string }>) => {
      if (event.source !== parent || event.origin !== this.origin) return;
      const message = event.data;
      if (message?.twofold !== this.site) return;
      if (message.type === "hello") this.identified = message.identified;
      if (message.type === "identify" && this.waiting) this.waiting(message.identity);
      else take(message);
    });
    this.send({ type: "ready" });
  }

  private inHash: string | undefined;

  /** Asks the host page for a signed token of its user; undefined where there is none. */
  identity(): Promise<string | undefined> {
    if (!this.identified) return Promise.resolve(undefined);
    if (!this.embedded) return Promise.resolve(this.inHash);
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.waiting?.(undefined), IDENTITY_MS);
      this.waiting = (identity) => {
        clearTimeout(timer);
        this.waiting = undefined;
        resolve(identity);
      };
      this.send({ type: "identify" });
    });
  }

  /** Who was asked for is gone: nobody's token is waited for. */
  forget(): void {
    this.identified = false;
    this.waiting?.(undefined);
  }

  tell(name: EventName, detail?: unknown): void {
    this.send({ type: "event", name, detail });
  }

  close(): void {
    this.send({ type: "close" });
  }

  get closable(): boolean {
    return this.embedded;
  }

  private send(message: ToHost): void {
    if (this.embedded) parent.postMessage({ twofold: this.site, ...message }, this.origin);
  }
}
