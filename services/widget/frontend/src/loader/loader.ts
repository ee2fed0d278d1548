// The script of the host page: a button, and the chat in a frame once somebody asks for it. Before
// that it requests nothing, stores nothing and sets no cookie.

import type { EventName, SiteConfig, ToFrame, ToHost } from "../shared/protocol";
import { STYLE } from "./style";

/** The server writes the site in here. */
declare const __TWOFOLD_SITE__: SiteConfig;

type Listener = (detail?: unknown) => void;
/** A token that the host signed, or what gets a fresh one whenever one is needed. */
type Identity = string | (() => string | Promise<string>);

interface Widget {
  site: string;
  isOpen: boolean;
  open(): void;
  close(): void;
  toggle(): void;
  identify(identity: Identity): void;
  reset(): void;
  prefill(text: string): void;
  locale(tag: string): void;
  on(name: EventName, listener: Listener): () => void;
  destroy(): void;
}

type Use = (widget: Widget) => void;
/** The one global: the page's first widget, and the way to the others. */
interface Twofold extends Widget {
  all: Map<string, Widget>;
  widget(site: string): Widget | undefined;
  push(use: Use): void;
}

// "Chat" is understood in most languages.
const NAMES: Record<string, string> = { ar: "دردشة", he: "צ׳אט", ja: "チャット" };
const GRACE_MS = 15_000;

(() => {
  const site = __TWOFOLD_SITE__;
  const key = site.site;
  const doc = document;
  const html = doc.documentElement;
  const script = doc.currentScript as HTMLScriptElement;
  const origin = new URL(script.src).origin;
  const page = window as unknown as { Twofold?: Twofold | Use[]; navigation?: EventTarget };
  const before = page.Twofold;
  const all = (before as Twofold | undefined)?.all ?? new Map<string, Widget>();
  if (all.has(key)) return;

  const given = script.dataset;
  let locale = given["locale"] || html.lang || navigator.language;
  const listeners: [EventName, Listener][] = [];
  const ended = new AbortController();
  const heard = { signal: ended.signal };
  let frame: HTMLIFrameElement | undefined;
  let ready = false;
  let queue: ToFrame[] = [];
  let identity: Identity | undefined;
  let unread = 0;

  // --- what is drawn ----------------------------------------------------------------------------

  function make<K extends keyof HTMLElementTagNameMap>(tag: K, className: string): HTMLElementTagNameMap[K] {
    const node = doc.createElement(tag);
    node.className = className;
    return node;
  }

  function icon(className: string, path: string): Element {
    const draw = (tag: string) => doc.createElementNS("http://www.w3.org/2000/svg", tag);
    const svg = draw("svg");
    const line = draw("path");
    svg.setAttribute("class", className);
    svg.setAttribute("viewBox", "0 0 24 24");
    line.setAttribute("d", path);
    svg.append(line);
    return svg;
  }

  const host = make("div", "twofold");
  const root = host.attachShadow({ mode: "open" });
  const panel = make("div", "panel");
  const button = make("button", "launcher");
  const words = make("b", "");
  const badge = make("i", "");
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(STYLE);
  root.adoptedStyleSheets = [sheet];
  const { theme, position } = site;
  const set = (name: string, value: string | number) => host.style.setProperty(`--${name}`, `${value}`);
  set("p", theme.primary);
  set("o", theme.on_primary);
  set("r", `${theme.radius}px`);
  set("x", `${position.x}px`);
  set("y", `${position.y}px`);
  set("z", given["zIndex"] || position.z_index);
  if ((given["position"] || position.side) === "left") host.classList.add("left");
  button.append(icon("chat", "M21 11.5a8.5 8.5 0 0 1-12.6 7.4L3.5 20.5l1.6-4.9A8.5 8.5 0 1 1 21 11.5Z"), icon("down", "m6 9 6 6 6-6"), words, badge);
  root.append(panel, button);
  // Beside the body: a router that swaps the body leaves the widget and its conversation alone.
  html.append(host);

  function draw(): void {
    const texts = site.texts[locale] ?? site.texts[locale.slice(0, 2)] ?? site.texts[site.locale];
    const shown = texts?.["launcher"] ?? "";
    const name = shown || NAMES[locale.slice(0, 2)] || "Chat";
    words.textContent = shown;
    badge.textContent = unread ? `${unread}` : "";
    button.ariaLabel = unread ? `${name} (${unread})` : name;
    button.ariaExpanded = `${widget.isOpen}`;
    if (frame) frame.title = name;
    host.classList.toggle("open", widget.isOpen);
  }

  // --- the frame --------------------------------------------------------------------------------

  function send(message: ToFrame): void {
    if (ready) frame!.contentWindow!.postMessage({ twofold: key, ...message }, origin);
    else queue.push(message);
  }

  function tell(event: EventName, detail?: unknown): void {
    for (const [name, listener] of listeners) if (name === event) listener(detail);
  }

  function load(): void {
    if (frame) return;
    frame = make("iframe", "");
    frame.allow = "clipboard-write";
    frame.referrerPolicy = "origin";
    const src = `${origin}/widget/app/${key}?origin=${encodeURIComponent(location.origin)}`;
    const missing = () => !ready && !ended.signal.aborted;
    // What came instead of the chat, while the server restarts: asked for again, each time later.
    let wait = 1_000;
    frame.onload = () => setTimeout(() => missing() && frame!.contentWindow!.location.replace(src), (wait *= 2));
    frame.src = src;
    panel.append(frame);
    setTimeout(() => {
      if (!missing()) return;
      console.error(`Twofold: no chat. Does the site allow ${location.origin}, and this page's CSP "frame-src ${origin}"?`);
      tell("error", { slug: "blocked" });
    }, GRACE_MS);
  }

  async function giveIdentity(): Promise<void> {
    let token: string | undefined;
    try {
      token = typeof identity === "function" ? await identity() : identity;
    } catch {
      // The host has none now: the frame goes on without.
    }
    send({ type: "identify", identity: token });
  }

  function hear({ data, origin: from, source }: MessageEvent<ToHost & { twofold?: string }>): void {
    if (from !== origin || !frame || source !== frame.contentWindow || data?.twofold !== key) return;
    if (data.type === "ready") {
      // A frame that was loaded anew says so too.
      ready = true;
      send({ type: "hello", locale, identified: !!identity, open: widget.isOpen });
      queue.splice(0).forEach(send);
      tell("ready");
    } else if (data.type === "close") widget.close();
    else if (data.type === "identify") void giveIdentity();
    else {
      if (data.name === "unread") {
        unread = data.detail as number;
        draw();
      }
      tell(data.name, data.detail);
    }
  }
  addEventListener("message", hear, heard);

  // --- where and when it shows ------------------------------------------------------------------

  // A phone's keyboard covers a fixed frame: what is visible is followed.
  const view = visualViewport!;
  function fit(): void {
    set("t", `${view.offsetTop}px`);
    set("h", `${view.height}px`);
  }
  view.addEventListener("resize", fit, heard);
  view.addEventListener("scroll", fit, heard);
  fit();

  function place(): void {
    const path = location.pathname;
    host.hidden = site.hidden_paths.some((each) => new RegExp(`^${each.replace(/[.+?^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*")}$`).test(path));
  }
  const watch = page.navigation ? 0 : setInterval(place, 500);
  page.navigation?.addEventListener("currententrychange", place, heard);
  addEventListener("popstate", place, heard);
  place();

  // Whether this visitor ever opened the chat, and whether it is open in this tab; storage that
  // throws means no. Not the frame's own entry: a page of the widget's origin has its storage in
  // common with it.
  const entry = `twofold-opened:${key}`;
  function kept(where: "localStorage" | "sessionStorage", value?: string | null): string | null | undefined {
    try {
      const storage = window[where];
      if (value === null) storage.removeItem(entry);
      else if (value) storage.setItem(entry, value);
      else return storage.getItem(entry);
    } catch {}
    return;
  }

  // --- what the page can do ---------------------------------------------------------------------

  const widget: Widget = {
    site: key,
    isOpen: false,
    open() {
      if (widget.isOpen) return;
      show();
      frame!.focus();
      send({ type: "open" });
    },
    close() {
      if (!widget.isOpen) return;
      widget.isOpen = false;
      kept("sessionStorage", null);
      const inside = root.activeElement === frame;
      draw();
      if (inside) button.focus();
      send({ type: "close" });
      tell("close");
    },
    toggle: () => (widget.isOpen ? widget.close() : widget.open()),
    identify(by) {
      identity = by;
      if (frame) void giveIdentity();
    },
    reset() {
      identity = undefined;
      kept("localStorage", null);
      kept("sessionStorage", null);
      if (frame) send({ type: "reset" });
    },
    prefill: (text) => send({ type: "prefill", text }),
    locale(tag) {
      locale = tag;
      draw();
      if (frame) send({ type: "locale", locale });
    },
    on(name, listener) {
      const entry: [EventName, Listener] = [name, listener];
      listeners.push(entry);
      return () => void listeners.splice(listeners.indexOf(entry), 1);
    },
    destroy() {
      ended.abort();
      clearInterval(watch);
      host.remove();
      all.delete(key);
    },
  };
  function show(): void {
    widget.isOpen = true;
    load();
    kept("localStorage", "1");
    kept("sessionStorage", "1");
    draw();
    tell("open");
  }
  button.onclick = widget.toggle;
  // Who opened it before may have got an answer meanwhile: the badge says so.
  if (kept("localStorage")) load();
  draw();

  if (!all.size) {
    page.Twofold = Object.assign(Object.create(widget), { all, widget: (site: string) => all.get(site), push: (use: Use) => use(widget) }) as Twofold;
    if (Array.isArray(before)) before.forEach((use) => use(widget));
  }
  all.set(key, widget);
  // It was open before the page was loaded anew: it is again, and leaves the focus to the page.
  if (kept("sessionStorage")) show();
})();
