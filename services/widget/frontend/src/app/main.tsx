import { render } from "preact";
import "../shared/base.css";
import "./app.css";
import { choose, filesOf, speak } from "../shared/i18n";
import type { ToFrame } from "../shared/protocol";
import { readShell } from "../shared/shell";
import { applyTheme } from "../shared/theme";
import { Bridge } from "./bridge";
import { Chat } from "./chat";
import type { Shell } from "./shell";
import { App } from "./ui/app";
import { ChatContext } from "./ui/context";

const FILES = filesOf(import.meta.glob<Record<string, string>>("../../locales/chat/*.json", { import: "default" }));

const shell = readShell<Shell>();
const site = shell.config;
const bridge = new Bridge(site.site, shell.origin);
const chat = new Chat(shell, bridge);
let locale = site.locale;
// A frame that has to be loaded again keeps what was being written.
let draft = (history.state as { draft?: string } | null)?.draft ?? "";

function setDraft(text: string): void {
  draft = text;
  history.replaceState({ draft }, "");
  draw();
}

function draw(): void {
  const onClose = bridge.closable ? () => bridge.close() : undefined;
  render(
    <ChatContext.Provider value={chat}>
      <App key={locale} locale={locale} draft={{ text: draft, set: setDraft }} onLocale={(tag) => void setLocale(tag)} onClose={onClose} />
    </ChatContext.Provider>,
    document.getElementById("root")!,
  );
}

async function setLocale(tag: string): Promise<void> {
  locale = choose([tag, ...navigator.languages], site.locales, site.locale);
  await speak(locale, FILES, site.texts[locale]);
  await chat.setLocale(locale);
  draw();
}

async function hello(message: ToFrame & { type: "hello" }): Promise<void> {
  await setLocale(message.locale);
  chat.setOpen(message.open);
  if (message.open || chat.client.known) await start();
}

async function start(): Promise<void> {
  if (chat.state.phase !== "ready") await chat.start();
}

async function reset(): Promise<void> {
  chat.reset();
  setDraft("");
  if (chat.state.open) await start();
}

function take(message: ToFrame): void {
  if (message.type === "hello") void hello(message);
  else if (message.type === "open") {
    chat.opened();
    void start();
  } else if (message.type === "close") chat.setOpen(false);
  else if (message.type === "identify") void chat.identify(message.identity);
  else if (message.type === "reset") void reset();
  else if (message.type === "prefill") setDraft(message.text);
  else if (message.type === "locale") void setLocale(message.locale);
}

applyTheme(site.theme);
bridge.listen(take);
