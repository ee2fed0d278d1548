// The conversation: what was said, what is being said, and who has it.

import { Problem, backoff, events, pause, problemOf } from "../shared/http";
import { t } from "../shared/i18n";
import { spokenText } from "../shared/markdown";
import { Store } from "../shared/store";
import { clean } from "../shared/text";
import type { Answer, Handoff, Item, Office, Question, Session, Source, State, Thread } from "../shared/types";
import { uuid } from "../shared/uuid";
import type { Bridge } from "./bridge";
import { Client, FORGOTTEN } from "./client";
import type { Shell } from "./shell";

const TRIES = 6;
const TYPING_MS = 4_000;
/** Without an answer the server takes more time than a network usually does. */
const AGAIN = ["offline", "unavailable", "upstream", "setup"];
/** What passes by itself, so that a chat that could not begin yet is begun later. */
const PASSES = [...AGAIN, "internal", "overloaded", "too-slow"];

export interface ChatState {
  phase: "starting" | "ready";
  items: Item[];
  stage: State;
  handoff: Handoff | null;
  office: Office;
  visitor: Session["visitor"] | undefined;
  consented: boolean;
  /** The question that is being answered in this window. */
  asking: string | undefined;
  /** Asked in this window: scrolled to when it is. */
  newest: string | undefined;
  waiting: boolean;
  typing: string | undefined;
  /** Why a question got no answer, by its id. */
  failures: Record<string, Problem>;
  problem: Problem | undefined;
  open: boolean;
  /** So many times the visitor opened it. */
  opened: number;
  /** What a screen reader is told next. */
  told: string;
}

export class Chat extends Store<ChatState> {
  readonly client: Client;
  private stopAsking: AbortController | undefined;
  private listening: AbortController | undefined;
  private beginning: Promise<void> | undefined;
  private seq = 0;
  private read = 0;
  private unread = 0;
  private typed = 0;
  private typingTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    readonly shell: Shell,
    private readonly bridge: Bridge,
  ) {
    super({
      phase: "starting",
      items: [],
      stage: "assistant",
      handoff: null,
      office: { open: true, opens_at: null },
      visitor: undefined,
      consented: true,
      asking: undefined,
      newest: undefined,
      waiting: false,
      typing: undefined,
      failures: {},
      problem: undefined,
      open: false,
      opened: 0,
      told: "",
    });
    this.client = new Client(shell, () => bridge.identity(), (session, refused) => this.onSession(session, refused));
    addEventListener("online", () => this.set({ problem: undefined }));
    document.addEventListener("visibilitychange", () => this.markRead());
  }

  // --- beginning --------------------------------------------------------------------------------

  /** Gets a session and the conversation so far; what goes wrong is shown, and tried again. */
  start(): Promise<void> {
    if (this.beginning) return this.beginning;
    const beginning = this.begin(this.client.visiting).finally(() => {
      if (this.beginning === beginning) this.beginning = undefined;
    });
    return (this.beginning = beginning);
  }

  private async begin(visit: AbortSignal): Promise<void> {
    for (let tries = 0; ; tries += 1) {
      if (visit.aborted) return;
      try {
        await this.client.ready();
        this.takeThread(await this.client.json<Thread>("GET", "/thread"));
        break;
      } catch (error) {
        if (!this.show(error)) return;
        const { slug, retryAfter } = error as Problem;
        if (!PASSES.includes(slug)) return;
        await pause(Math.max(backoff(tries), retryAfter), visit);
      }
    }
    this.set({ phase: "ready", problem: this.state.problem?.slug === "identity-refused" ? this.state.problem : undefined });
    this.listen();
    const open = this.state.items.findLast((item): item is Question => item.kind === "question" && item.status === "answering");
    if (open) void this.run(open.id, open.text);
  }

  private onSession(session: Session, refused: Problem | undefined): void {
    const { visitor, consented, office } = session;
    if (visitor.kind === "identified" && this.state.visitor?.id !== visitor.id) this.bridge.tell("identified");
    this.set({ visitor, consented, office });
    if (refused && visitor.kind !== "identified") this.show(refused);
  }

  private takeThread(thread: Thread): void {
    const mine = this.state.asking;
    const running = this.state.items.find((item) => item.kind === "question" && item.id === mine);
    const items = thread.items.map((item) => (running && item.kind === "question" && item.id === mine ? { ...running, seq: item.seq } : item));
    this.seq = thread.seq;
    this.read = thread.read;
    this.set({ items, stage: thread.state, handoff: thread.handoff });
    this.setUnread(thread.unread);
    this.markRead();
  }

  // --- asking -----------------------------------------------------------------------------------

  get withPerson(): boolean {
    return this.state.stage === "taken" || this.state.stage === "reopened";
  }

  /** Whether a person has the conversation, or it waits for one. */
  get busyWithPerson(): boolean {
    return !["assistant", "closed"].includes(this.state.stage);
  }

  /** Sends what the visitor wrote: to the assistant, or to the person who has the conversation. */
  async say(text: string): Promise<void> {
    const id = uuid();
    const placed = { id, text, seq: this.seq + 0.5, at: Date.now() / 1000 };
    const item: Item = this.withPerson
      ? { ...placed, kind: "message", from: "visitor", name: "" }
      : { ...placed, kind: "question", status: "answering", answer: null };
    this.set({ items: [...this.state.items, item], newest: id, problem: undefined, told: "" });
    this.bridge.tell("message");
    await this.run(id, text);
  }

  /** Asks a question again that failed. */
  async again(id: string): Promise<void> {
    const item = this.state.items.find((each) => each.kind !== "state" && each.id === id);
    if (!item || item.kind === "state") return;
    const { [id]: _, ...failures } = this.state.failures;
    this.set({ failures, problem: undefined });
    if (item.kind === "question") this.change(id, { status: "answering", answer: null });
    await this.run(id, item.text);
  }

  /** Stops the answer that is being written; what was shown stays. */
  async stop(): Promise<void> {
    const id = this.state.asking;
    const item = this.state.items.find((each): each is Question => each.kind === "question" && each.id === id);
    this.stopAsking?.abort();
    if (!id || !item) return;
    const chars = [...(item.answer?.text ?? "")].length;
    this.change(id, { status: "stopped", answer: item.answer && { ...item.answer, stopped: chars } });
    this.set({ asking: undefined });
    await this.client.call("POST", `/messages/${id}/stop`, { body: { chars } }).catch(() => undefined);
  }

  // Until the answer is whole: a connection that drops is made again, behind what has arrived.
  private async run(id: string, text: string): Promise<void> {
    const stop = (this.stopAsking = new AbortController());
    this.set({ asking: id });
    let after = "";
    let tries = 0;
    try {
      for (;;) {
        try {
          const reply = await this.client.call("POST", "/messages", { body: { id, text }, signal: stop.signal, after });
          this.set({ waiting: false });
          if (reply.status === 202) return this.put(((await reply.json()) as { item: Item }).item);
          for await (const event of events(reply.body!)) {
            if (stop.signal.aborted) return;
            after = event.id || after;
            tries = 0;
            this.take(id, event.name, event.data);
          }
          if (stop.signal.aborted || this.finished(id)) return;
        } catch (error) {
          if (stop.signal.aborted) return;
          if (!(error instanceof Problem) || !AGAIN.includes(error.slug) || tries >= TRIES) throw error;
        }
        this.set({ waiting: true });
        await pause(backoff(tries), stop.signal);
        tries += 1;
      }
    } catch (error) {
      this.fail(id, error);
    } finally {
      if (this.stopAsking === stop) this.set({ asking: undefined, waiting: false });
    }
  }

  private take(id: string, name: string, data: unknown): void {
    const item = this.state.items.find((each): each is Question => each.kind === "question" && each.id === id);
    const answer = item?.answer;
    if (name === "meta") this.change(id, { answer: emptyAnswer((data as Answer).answer_id) });
    else if (name === "action" && answer) this.change(id, { answer: { ...answer, ...(data as Partial<Answer>) } });
    else if (name === "delta") this.grow(id, (data as { text: string }).text);
    else if (name === "citations" && answer) this.change(id, { answer: { ...answer, ...(data as Partial<Answer>) } });
    else if (name === "done") this.finish(id, data as Answer);
    else if (name === "state") this.takeState(data as { state: State; handoff: Handoff | null });
    else if (name === "error") throw problemOf(data);
  }

  private grow(id: string, piece: string): void {
    const item = this.state.items.find((each): each is Question => each.kind === "question" && each.id === id);
    const answer = item?.answer ?? emptyAnswer("");
    this.change(id, { answer: { ...answer, text: answer.text + piece } });
  }

  private finish(id: string, answer: Answer): void {
    this.change(id, { status: "answered", answer });
    const sources = answer.citations.length ? ` ${t("answerSources", { n: answer.citations.length })}` : "";
    this.announce(t("answerReady", { text: spokenText(answer.text) }) + sources);
    this.bridge.tell("answer", { action: answer.action });
  }

  private finished(id: string): boolean {
    return this.state.items.some((item) => item.kind !== "state" && item.id === id && (item.kind === "message" || item.status !== "answering"));
  }

  private fail(id: string, error: unknown): void {
    const problem = error instanceof Problem ? error : new Problem("broken", "");
    if (!(error instanceof Problem)) console.error(error);
    if (problem.slug === "consent-needed") this.set({ consented: false });
    this.change(id, { status: "failed" });
    this.set({ failures: { ...this.state.failures, [id]: problem } });
    this.bridge.tell("error", { slug: problem.slug });
  }

  private change(id: string, patch: Partial<Question>): void {
    const items = this.state.items.map((item) => (item.kind === "question" && item.id === id ? { ...item, ...patch } : item));
    this.set({ items });
  }

  // --- what comes from elsewhere ----------------------------------------------------------------

  private listen(): void {
    const wanted = this.state.open || this.busyWithPerson;
    if (wanted && !this.listening && this.state.phase === "ready") void this.hear((this.listening = new AbortController()));
    if (!wanted && this.listening) {
      this.listening.abort();
      this.listening = undefined;
    }
  }

  private async hear(ended: AbortController): Promise<void> {
    for (let tries = 0; !ended.signal.aborted; tries += 1) {
      try {
        const reply = await this.client.call("GET", `/events?after=${this.seq}`, { signal: ended.signal });
        if (this.state.problem?.slug === "offline") this.set({ problem: undefined });
        for await (const event of events(reply.body!)) {
          if (ended.signal.aborted) return;
          tries = 0;
          this.seq = Math.max(this.seq, Number(event.id) || 0);
          if (event.name === "item") this.put(event.data as Item, true);
          else if (event.name === "state") this.takeState(event.data as { state: State; handoff: Handoff | null });
          else if (event.name === "typing") this.showTyping(event.data as { typing: boolean; name: string });
          else if (event.name === "renew") await this.client.renew();
        }
      } catch (error) {
        if (ended.signal.aborted) return;
        if (!AGAIN.includes((error as Problem).slug) && tries > TRIES) return void this.show(error);
        if ((error as Problem).slug === "offline") this.show(error);
      }
      await pause(backoff(tries), ended.signal);
    }
  }

  private put(item: Item, heard = false): void {
    const key = item.kind === "state" ? undefined : item.id;
    const same = (each: Item) => (key === undefined ? each.kind === "state" && each.seq === item.seq : each.kind !== "state" && each.id === key);
    const known = this.state.items.find(same);
    const next = known?.kind === "question" && item.kind === "question" ? merged(known, item, this.state.asking === key) : item;
    const items = [...this.state.items.filter((each) => !same(each)), next].sort((a, b) => a.seq - b.seq);
    this.seq = Math.max(this.seq, item.seq);
    this.set({ items });
    if (!heard || known) return this.markRead();
    this.hears(item);
  }

  private hears(item: Item): void {
    if (item.kind === "message" && item.from === "agent") {
      this.set({ typing: undefined });
      this.announce(t("personSaid", { name: clean(item.name) || t("agent"), text: spokenText(item.text) }));
      this.bridge.tell("agent_message", { name: item.name });
    }
    // What a person did, as taking over, is no message: their reply to come is the one.
    const said = item.kind === "question" || (item.kind === "message" && item.from !== "visitor");
    if (said && !this.reading) this.setUnread(this.unread + 1);
    this.markRead();
  }

  private takeState({ state, handoff }: { state: State; handoff: Handoff | null }): void {
    if (state !== this.state.stage) this.bridge.tell("handoff", { state });
    this.set({ stage: state, handoff, ...(state !== "taken" && { typing: undefined }) });
    this.listen();
  }

  private showTyping({ typing, name }: { typing: boolean; name: string }): void {
    clearTimeout(this.typingTimer);
    this.set({ typing: typing ? name : undefined });
    if (typing) this.typingTimer = setTimeout(() => this.set({ typing: undefined }), TYPING_MS * 2);
  }

  // --- people -----------------------------------------------------------------------------------

  /** Hands the conversation to a person; the visitor has agreed to that. */
  async askPerson(message: string, email: string, name: string): Promise<void> {
    await this.stop();
    const body = { consent: true, ...(message && { message }), ...(email && { email }), ...(name && { name }) };
    this.moved(await this.client.json<Thread>("POST", "/handoff", { body }));
  }

  async leaveAddress(email: string): Promise<void> {
    await this.client.call("POST", "/handoff/contact", { body: { email } });
    if (this.state.handoff) this.set({ handoff: { ...this.state.handoff, email } });
  }

  async reopen(): Promise<void> {
    this.moved(await this.client.json<Thread>("POST", "/handoff/reopen", { body: {} }));
  }

  async endHandoff(): Promise<void> {
    this.moved(await this.client.json<Thread>("POST", "/handoff/close", { body: {} }));
  }

  private moved(thread: Thread): void {
    const before = this.state.stage;
    this.takeThread(thread);
    if (before !== thread.state) this.bridge.tell("handoff", { state: thread.state });
    this.listen();
  }

  /** Lets the person see that the visitor writes. */
  typing(now: boolean): void {
    if (!this.withPerson || (now && Date.now() - this.typed < TYPING_MS) || (!now && !this.typed)) return;
    this.typed = now ? Date.now() : 0;
    void this.client.call("POST", "/typing", { body: { typing: now } }).catch(() => undefined);
  }

  // --- the rest ---------------------------------------------------------------------------------

  async consent(): Promise<void> {
    await this.client.call("POST", "/consent", { body: { accepted: true } });
    this.set({ consented: true });
  }

  async rate(answerId: string, rating: "up" | "down", comment = ""): Promise<void> {
    await this.client.call("POST", "/feedback", { body: { answer_id: answerId, rating, ...(comment && { comment }) } });
    const items = this.state.items.map((item) =>
      item.kind === "question" && item.answer?.answer_id === answerId ? { ...item, answer: { ...item.answer, rating } } : item,
    );
    this.set({ items });
  }

  source(answerId: string, n: number): Promise<Source> {
    return this.client.json<Source>("GET", `/sources/${answerId}/${n}`);
  }

  async transcript(): Promise<Blob> {
    return (await this.client.call("GET", "/transcript?format=text")).blob();
  }

  async fresh(): Promise<void> {
    this.stopAsking?.abort();
    this.takeThread(await this.client.json<Thread>("POST", "/threads", { body: {} }));
    this.set({ failures: {}, newest: undefined });
  }

  async setLocale(locale: string): Promise<void> {
    this.client.locale = locale;
    if (this.client.session) await this.client.call("POST", "/locale", { body: { locale } }).catch(() => undefined);
  }

  async identify(identity: string | undefined): Promise<void> {
    this.bridge.identified = !!identity;
    if (!identity) return;
    const visit = this.client.visiting;
    await this.beginning;
    if (visit.aborted || identity === this.client.vouched) return;
    // A site that wants to know its visitors let nobody in before.
    if (!this.client.session) return void (this.state.open && (await this.start()));
    try {
      await this.client.identify(identity);
      this.takeThread(await this.client.json<Thread>("GET", "/thread"));
      this.listenAnew();
    } catch (error) {
      this.show(error);
    }
  }

  /** Forgets the visitor: what logging out of the host page calls. */
  reset(): void {
    this.stopAsking?.abort();
    this.listening?.abort();
    this.listening = undefined;
    this.beginning = undefined;
    this.bridge.forget();
    this.client.forget();
    this.set({ phase: "starting", items: [], stage: "assistant", handoff: null, visitor: undefined, failures: {}, problem: undefined, newest: undefined });
    this.setUnread(0);
    this.bridge.tell("reset");
  }

  /** The visitor opened it, and did not find it open with the page: the focus is theirs to give. */
  opened(): void {
    this.set({ opened: this.state.opened + 1 });
    this.setOpen(true);
  }

  setOpen(open: boolean): void {
    this.set({ open });
    this.listen();
    this.markRead();
  }

  /** Shows a problem above the composer; false for what is no problem of the server's or network's. */
  show(error: unknown): boolean {
    if (!(error instanceof Problem)) {
      console.error(error);
      this.set({ problem: new Problem("broken", "") });
      return false;
    }
    if (error.slug === FORGOTTEN) return false;
    this.set({ problem: error });
    this.bridge.tell("error", { slug: error.slug });
    return true;
  }

  /** Has a screen reader say something: what is finished, never what is being written. */
  announce(words: string): void {
    this.set({ told: words });
  }

  private listenAnew(): void {
    this.listening?.abort();
    this.listening = undefined;
    this.listen();
  }

  private get reading(): boolean {
    return this.state.open && document.visibilityState === "visible";
  }

  private markRead(): void {
    if (!this.reading || !this.client.session) return;
    if (this.unread) this.setUnread(0);
    if (this.read >= this.seq) return;
    this.read = this.seq;
    void this.client.call("POST", "/read", { body: { seq: this.seq } }).catch(() => undefined);
  }

  private setUnread(count: number): void {
    const shown = this.reading ? 0 : count;
    if (shown !== this.unread) this.bridge.tell("unread", shown);
    this.unread = shown;
  }
}

// What streams in here is ahead of what the server has written down; what was stopped here stays so.
function merged(known: Question, told: Question, running: boolean): Question {
  if (running) return { ...known, seq: told.seq, at: told.at };
  const stopped = known.status === "stopped" && told.status === "answering";
  return { ...told, answer: told.answer ?? known.answer, ...(stopped && { status: known.status }) };
}

function emptyAnswer(id: string): Answer {
  return { answer_id: id, action: "ANSWER", text: "", citations: [], escalation: null, served_by: "", rating: null, stopped: null };
}
