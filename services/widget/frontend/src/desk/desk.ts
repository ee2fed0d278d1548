// The desk's state: the queue, live; one conversation, open; and what a person does with it.

import { Problem, backoff, events, pause, request } from "../shared/http";
import { t } from "../shared/i18n";
import { Store } from "../shared/store";
import type { Card, Detail, Item } from "../shared/types";
import { uuid } from "../shared/uuid";

const API = "/desk/v1";
const KEY = "twofold.desk.key";
const NAME = "twofold.desk.name";
const TYPING_MS = 4_000;
export const WAITING = ["queued", "offhours", "reopened", "external"];

export type Tab = "waiting" | "taken" | "closed";

export interface DeskState {
  phase: "starting" | "key" | "name" | "ready";
  wrongKey: boolean;
  name: string;
  /** The name is the sign-in's, and not the person's to choose. */
  fixed: boolean;
  live: boolean;
  tab: Tab;
  cards: Record<string, Card>;
  closed: Card[];
  detail: Detail | undefined;
  typing: Record<string, boolean>;
  /** What was begun to be written, by hand-off: another one may be looked at in between. */
  drafts: Record<string, string>;
  /** Active ones that wrote while another was looked at. */
  unread: Record<string, boolean>;
  problem: string;
  told: string;
}

export class Desk extends Store<DeskState> {
  private typed = 0;
  private starting: Promise<void> | undefined;
  private readonly timers: Record<string, ReturnType<typeof setTimeout>> = {};

  constructor() {
    super({
      phase: "starting",
      wrongKey: false,
      name: "",
      fixed: false,
      live: false,
      tab: "waiting",
      cards: {},
      closed: [],
      detail: undefined,
      typing: {},
      drafts: {},
      unread: {},
      problem: "",
      told: "",
    });
  }

  // --- signing in -------------------------------------------------------------------------------

  /** Asks who is here until it is known; only a key that is refused has to be given anew. */
  start(): Promise<void> {
    this.starting ??= this.begin().finally(() => (this.starting = undefined));
    return this.starting;
  }

  private async begin(): Promise<void> {
    for (let tries = 0; ; tries += 1) {
      try {
        const me = (await (await this.call("GET", "/me")).json()) as { name: string };
        const name = me.name || remembered(() => localStorage, NAME);
        this.set({ phase: name ? "ready" : "name", name, fixed: !!me.name, wrongKey: false, problem: "" });
        if (name) void this.hear();
        return;
      } catch (error) {
        if (error instanceof Problem && error.status === 401)
          return this.set({ phase: "key", wrongKey: !!remembered(() => sessionStorage, KEY), problem: "" });
        this.show(error);
      }
      await pause(backoff(tries));
    }
  }

  async giveKey(key: string): Promise<void> {
    remember(() => sessionStorage, KEY, key);
    await this.start();
  }

  giveName(name: string): void {
    remember(() => localStorage, NAME, name);
    const first = this.state.phase === "name" && !this.state.live;
    this.set({ name, phase: "ready" });
    if (first) void this.hear();
  }

  private async call(method: string, path: string, body?: unknown): Promise<Response> {
    const key = remembered(() => sessionStorage, KEY);
    const headers: Record<string, string> = {};
    if (key) headers["Authorization"] = `Bearer ${key}`;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    return request(API + path, { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) });
  }

  // --- what comes -------------------------------------------------------------------------------

  private async hear(): Promise<void> {
    for (let tries = 0; ; tries += 1) {
      try {
        const reply = await this.call("GET", "/events");
        const open = this.state.detail?.id;
        if (open && !this.state.live) void this.open(open);
        this.set({ live: true });
        for await (const event of events(reply.body!)) {
          tries = 0;
          this.take(event.name, event.data);
        }
      } catch (error) {
        if (error instanceof Problem && error.status === 401) return void this.start();
      }
      this.set({ live: false });
      await pause(backoff(tries));
    }
  }

  private take(name: string, data: unknown): void {
    if (name === "queue") {
      const { handoffs } = data as { handoffs: Card[] };
      this.set({ cards: Object.fromEntries(handoffs.map((card) => [card.id, card])) });
    } else if (name === "card") this.put(data as Card);
    else if (name === "item") this.append(data as { handoff_id: string; item: Item });
    else if (name === "typing") this.showTyping(data as { handoff_id: string; typing: boolean });
    this.count();
  }

  private put(card: Card): void {
    const { [card.id]: known, ...others } = this.state.cards;
    const over = card.state === "closed" || card.state === "assistant";
    if (!known && WAITING.includes(card.state)) this.set({ told: t("arrived", { text: card.question }) });
    this.set({ cards: over ? others : { ...others, [card.id]: card } });
    const { detail } = this.state;
    if (detail?.id === card.id) this.set({ detail: { ...detail, ...card } });
  }

  private append({ handoff_id, item }: { handoff_id: string; item: Item }): void {
    const { detail, unread, cards } = this.state;
    const theirs = item.kind === "message" && item.from === "visitor";
    if (theirs) this.showTyping({ handoff_id, typing: false });
    if (detail?.id !== handoff_id) {
      if (theirs && cards[handoff_id]?.state === "taken") this.set({ unread: { ...unread, [handoff_id]: true } });
      return;
    }
    const items = [...detail.items.filter((each) => each.seq !== item.seq), item].sort((a, b) => a.seq - b.seq);
    this.set({ detail: { ...detail, items } });
  }

  private showTyping({ handoff_id, typing }: { handoff_id: string; typing: boolean }): void {
    clearTimeout(this.timers[handoff_id]);
    this.set({ typing: { ...this.state.typing, [handoff_id]: typing } });
    if (typing) this.timers[handoff_id] = setTimeout(() => this.showTyping({ handoff_id, typing: false }), TYPING_MS * 2);
  }

  private count(): void {
    const { cards, unread } = this.state;
    const waiting = Object.values(cards).filter((card) => WAITING.includes(card.state) || unread[card.id]).length;
    document.title = waiting ? `(${waiting}) ${t("desk")}` : t("desk");
  }

  // --- what a person does -----------------------------------------------------------------------

  async choose(tab: Tab): Promise<void> {
    this.set({ tab });
    if (tab !== "closed") return;
    await this.attempt(async () => {
      const found = (await (await this.call("GET", "/handoffs?state=closed")).json()) as { handoffs: Card[] };
      this.set({ closed: found.handoffs });
    });
  }

  open(id: string): Promise<boolean> {
    return this.attempt(async () => {
      const detail = (await (await this.call("GET", `/handoffs/${id}`)).json()) as Detail;
      this.set({ detail, unread: { ...this.state.unread, [id]: false } });
      this.count();
    });
  }

  leave(): void {
    this.set({ detail: undefined });
  }

  act(verb: "take" | "close" | "return", force = false): Promise<boolean> {
    const { detail, name } = this.state;
    return this.attempt(async () => {
      const reply = await this.call("POST", `/handoffs/${detail!.id}/${verb}`, { name, ...(force && { force }) });
      this.put((await reply.json()) as Card);
      if (verb === "take") this.set({ tab: "taken" });
      this.count();
    });
  }

  draft(id: string, text: string): void {
    this.set({ drafts: { ...this.state.drafts, [id]: text } });
  }

  /** Sends a reply; false where it did not arrive, so that its words stay where they were written. */
  reply(text: string, learn: boolean): Promise<boolean> {
    const { detail, name } = this.state;
    const documents = learn ? detail!.sources.map((source) => source.document) : [];
    return this.attempt(async () => {
      const body = { id: uuid(), text, name, learn, ...(documents.length && { documents }) };
      const reply = await this.call("POST", `/handoffs/${detail!.id}/reply`, body);
      const { item } = (await reply.json()) as { item: Item | null };
      if (item) this.append({ handoff_id: detail!.id, item });
      else this.put({ ...this.state.cards[detail!.id]!, state: "closed" });
      this.draft(detail!.id, "");
      this.count();
    });
  }

  typing(now: boolean): void {
    const { detail, name } = this.state;
    if (detail?.state !== "taken" || (now && Date.now() - this.typed < TYPING_MS) || (!now && !this.typed)) return;
    this.typed = now ? Date.now() : 0;
    void this.call("POST", `/handoffs/${detail.id}/typing`, { typing: now, name }).catch(() => undefined);
  }

  private async attempt(work: () => Promise<void>): Promise<boolean> {
    try {
      await work();
      this.set({ problem: "" });
      return true;
    } catch (error) {
      this.show(error);
      return false;
    }
  }

  private show(error: unknown): void {
    if (!(error instanceof Problem)) console.error(error);
    const offline = error instanceof Problem && error.slug === "offline";
    const detail = error instanceof Error ? error.message : "";
    this.set({ problem: offline ? t("offline") : t("error", { detail }) });
  }
}

function remembered(storage: () => Storage, key: string): string {
  try {
    return storage().getItem(key) ?? "";
  } catch {
    return "";
  }
}

function remember(storage: () => Storage, key: string, value: string): void {
  try {
    storage().setItem(key, value);
  } catch {
    // Blocked: it is asked for again next time.
  }
}
