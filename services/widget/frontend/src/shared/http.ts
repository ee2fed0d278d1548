// Problem documents and server-sent events.

/** A request that the server refused, or that did not reach it (`slug` is then "offline"). */
export class Problem extends Error {
  constructor(
    readonly slug: string,
    readonly detail: string,
    readonly status = 0,
    readonly retryAfter = 0,
  ) {
    super(detail || slug);
  }
}

/** Returns the reply; raises Problem for a refusal and for a network that does not answer. */
export async function request(url: string, init: RequestInit): Promise<Response> {
  let reply: Response;
  try {
    reply = await fetch(url, { credentials: "omit", cache: "no-store", ...init });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new Problem("offline", "");
  }
  if (reply.ok) return reply;
  throw problemOf(await reply.json().catch(() => ({})), reply.status, reply.headers.get("Retry-After"));
}

/** Returns the Problem that a problem document tells. */
export function problemOf(body: unknown, status = 0, retryAfter: string | null = null): Problem {
  const told = (body ?? {}) as { type?: string; detail?: string; status?: number; retry_after?: number };
  const slug = told.type?.split(":").at(-1) ?? "unavailable";
  const wait = told.retry_after ?? Number(retryAfter ?? 0);
  return new Problem(slug, told.detail ?? "", status || (told.status ?? 0), wait || 0);
}

export interface ServerEvent {
  name: string;
  id: string;
  data: unknown;
}

/** Yields each complete event of a stream; one that broke off in the middle is left out. */
export async function* events(body: ReadableStream<Uint8Array>): AsyncGenerator<ServerEvent> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let buffer = "";
  try {
    for (;;) {
      const { value, done } = await reader.read().catch(() => ({ value: undefined, done: true }));
      if (done) return;
      buffer += decoder.decode(value, { stream: true });
      for (let end = buffer.indexOf("\n\n"); end >= 0; end = buffer.indexOf("\n\n")) {
        const event = parse(buffer.slice(0, end));
        buffer = buffer.slice(end + 2);
        if (event) yield event;
      }
    }
  } finally {
    void reader.cancel().catch(() => undefined);
  }
}

function parse(block: string): ServerEvent | undefined {
  const found: Record<string, string> = {};
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    if (colon > 0) found[line.slice(0, colon)] = line.slice(colon + 1).replace(/^ /, "");
  }
  if (!found["event"] || found["data"] === undefined) return undefined;
  return { name: found["event"], id: found["id"] ?? "", data: JSON.parse(found["data"]) };
}

/** Waits so many seconds, or until the network is back or `signal` ends it. */
export function pause(seconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      removeEventListener("online", done);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, seconds * 1000);
    addEventListener("online", done);
    signal?.addEventListener("abort", done);
  });
}

/** Returns how long to wait before the n-th try: 1, 2, 4 … 30 s, spread so that not all come at once. */
export function backoff(tries: number): number {
  return Math.min(30, 2 ** tries) * (0.75 + Math.random() / 2);
}
