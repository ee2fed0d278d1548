// The session with the server: opened once, renewed before it ends, opened again when it is gone.

import { Problem, pause, request } from "../shared/http";
import type { Session } from "../shared/types";
import { Kept, type Shell } from "./shell";

const EARLY_SECONDS = 20;
const SETTLE_SECONDS = 3;
const GONE = ["unauthorized", "session-ended"];

/** Why a call of a visitor who is forgotten ends. */
export const FORGOTTEN = "forgotten";

type Options = { body?: unknown; signal?: AbortSignal | undefined; after?: string; keepalive?: boolean };

export class Client {
  session: Session | undefined;
  private readonly kept: Kept;
  /** Ends what is asked for a visitor who is forgotten. */
  private visit = new AbortController();
  private pending: Promise<Session> | undefined;
  /** What was asked and has no reply yet. */
  private readonly calls = new Set<Promise<Response>>();

  constructor(
    private readonly shell: Shell,
    private readonly identity: () => Promise<string | undefined>,
    /** Hears of each new session, and of what was wrong with an identity. */
    private readonly onSession: (session: Session, refused: Problem | undefined) => void,
  ) {
    this.kept = new Kept(`twofold:${shell.config.site}`);
  }

  locale: string | undefined;
  /** The token that the host gave last: each is good for once. */
  vouched: string | undefined;

  /** Ends when the visitor is forgotten. */
  get visiting(): AbortSignal {
    return this.visit.signal;
  }

  /** Whether a visitor was here before. */
  get known(): boolean {
    return this.kept.get() !== null;
  }

  /** Returns the reply to a call with a session that holds; raises Problem. */
  async call(method: string, path: string, options: Options = {}): Promise<Response> {
    const { signal } = this.visit;
    let used: Session | undefined;
    const once = async () => {
      signal.throwIfAborted();
      used = this.session;
      const reply = this.once(method, path, { signal, ...options });
      this.calls.add(reply);
      return reply.finally(() => this.calls.delete(reply));
    };
    await this.ready();
    try {
      return await once();
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 401) throw error;
      if (error.slug === "token-expired") await this.renew();
      else if (!GONE.includes(error.slug)) throw error;
      else if (used === this.session) await this.start();
    }
    return once();
  }

  async json<T>(method: string, path: string, options: Options = {}): Promise<T> {
    return (await (await this.call(method, path, options)).json()) as T;
  }

  /** Waits for a session that will hold for the next call. */
  async ready(): Promise<Session> {
    if (this.pending) return this.pending;
    if (!this.session) return this.start();
    const left = this.session.expires_at - Date.now() / 1000;
    return left > EARLY_SECONDS ? this.session : this.renew();
  }

  renew(): Promise<Session> {
    return this.alone(() => this.renewed());
  }

  private async renewed(): Promise<Session> {
    // Another tab may have renewed meanwhile: what it kept counts.
    const renewal = this.kept.get() ?? this.session?.renewal;
    try {
      return await this.post("/sessions/renew", { renewal });
    } catch (error) {
      if (error instanceof Problem && error.status === 401) return this.open();
      throw error;
    }
  }

  start(): Promise<Session> {
    return this.alone(() => this.open());
  }

  /** Takes the host's word for who its user is; raises Problem where it is not accepted. */
  async identify(identity: string): Promise<void> {
    const { signal } = this.visit;
    this.vouched = identity;
    let refused: unknown;
    await this.ready();
    while (this.pending) await this.pending.catch(() => undefined);
    signal.throwIfAborted();
    await this.alone(async () => {
      // The session that they are made in ends with this one. What takes long is told so, and asked again.
      await Promise.race([Promise.allSettled(this.calls), pause(SETTLE_SECONDS, signal)]);
      for (let again = true; ; again = false) {
        try {
          signal.throwIfAborted();
          return (await (await this.once("POST", "/identity", { signal, body: { identity } })).json()) as Session;
        } catch (error) {
          signal.throwIfAborted();
          const slug = error instanceof Problem && again ? error.slug : "";
          if (slug === "token-expired") this.take(await this.renewed(), undefined);
          else if (GONE.includes(slug)) return this.open();
          else {
            refused = error;
            return this.session!;
          }
        }
      }
    });
    if (!refused) return;
    if ((refused as Problem).slug !== "identity-refused") this.vouched = undefined;
    throw refused;
  }

  /** Forgets the session here, with all that is asked for in it, and ends it on the server. */
  forget(): void {
    this.visit.abort(new Problem(FORGOTTEN, ""));
    this.visit = new AbortController();
    // Where the host's page goes away with its user, the request is still sent.
    if (this.session) this.once("DELETE", "/session", { keepalive: true }).catch(() => undefined);
    this.session = this.pending = undefined;
    this.kept.set(null);
  }

  private refused: Problem | undefined;

  private async open(): Promise<Session> {
    this.refused = undefined;
    const renewal = this.kept.get();
    const { signal } = this.visit;
    const identity = await this.identity();
    signal.throwIfAborted();
    const asked = {
      ticket: this.shell.ticket,
      origin: this.shell.origin,
      ...(renewal && { renewal }),
      ...(this.locale && { locale: this.locale }),
    };
    if (!identity) return this.post("/sessions", asked);
    this.vouched = identity;
    try {
      return await this.post("/sessions", { ...asked, identity });
    } catch (error) {
      if (!(error instanceof Problem) || error.slug !== "identity-refused") throw error;
      this.refused = error;
      return this.post("/sessions", asked);
    }
  }

  private async post(path: string, body: object): Promise<Session> {
    const headers = { "Content-Type": "application/json" };
    const init = { method: "POST", headers, body: JSON.stringify(body), signal: this.visit.signal };
    return (await (await request(this.shell.api + path, init)).json()) as Session;
  }

  private alone(work: () => Promise<Session>): Promise<Session> {
    if (this.pending) return this.pending;
    const { signal } = this.visit;
    const begun = work()
      .then((session) => {
        signal.throwIfAborted();
        return session === this.session ? session : this.take(session, this.refused);
      })
      .finally(() => {
        if (this.pending === begun) this.pending = undefined;
      });
    return (this.pending = begun);
  }

  private take(session: Session, refused: Problem | undefined): Session {
    this.session = session;
    this.kept.set(session.renewal);
    this.onSession(session, refused);
    return session;
  }

  private once(method: string, path: string, { body, signal, after, keepalive }: Options): Promise<Response> {
    const headers: Record<string, string> = {
      Authorization: `Bearer ${this.session?.token}`,
      "Twofold-Origin": this.shell.origin,
    };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    if (after) headers["Last-Event-ID"] = after;
    return request(this.shell.api + path, {
      method,
      headers,
      ...(body !== undefined && { body: JSON.stringify(body) }),
      ...(signal && { signal }),
      ...(keepalive && { keepalive }),
    });
  }
}
