import { useEffect, useRef, useState } from "preact/hooks";
import { languageName, t } from "../../shared/i18n";
import { Icon } from "../../shared/icons";
import { clean } from "../../shared/text";
import type { ChatState } from "../chat";
import { Logo } from "./answer";
import { useChat } from "./context";

interface Props {
  locale: string;
  onLocale(locale: string): void;
  onClose: (() => void) | undefined;
}

/** Whose chat it is, who answers now, and everything that is seldom needed. */
export function Head(props: Props) {
  const { state, site } = useChat();
  return (
    <header class="head">
      <span class="brand" aria-hidden="true">
        {site.theme.logo ? <Logo src={site.theme.logo} /> : <Icon name="spark" />}
      </span>
      <div class="who">
        <h1 tabIndex={-1}>{t("title")}</h1>
        <p class="presence" data-stage={state.problem?.slug === "offline" ? "offline" : state.stage}>
          {presence(state)}
        </p>
      </div>
      <Menu {...props} />
      {props.onClose && (
        <button type="button" class="tool" aria-label={t("close")} title={t("close")} onClick={props.onClose}>
          <Icon name="close" />
        </button>
      )}
    </header>
  );
}

function presence({ problem, stage, handoff }: ChatState): string {
  if (problem?.slug === "offline") return t("statusOffline");
  if (stage === "taken") return t("statusTaken", { name: clean(handoff?.agent ?? "") || t("agent") });
  if (stage === "queued" || stage === "offhours" || stage === "reopened") return t("statusQueued");
  if (stage === "closed") return t("statusClosed");
  return t("statusAssistant");
}

function Menu({ locale, onLocale }: Props) {
  const { chat, state, site } = useChat();
  const [open, setOpen] = useState(false);
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!open) return;
    const outside = (event: Event) => !box.current!.contains(event.target as Node) && setOpen(false);
    document.addEventListener("pointerdown", outside);
    document.addEventListener("focusin", outside);
    return () => {
      document.removeEventListener("pointerdown", outside);
      document.removeEventListener("focusin", outside);
    };
  }, [open]);
  const escape = (event: KeyboardEvent) => {
    if (event.key !== "Escape" || !open) return;
    event.stopPropagation();
    setOpen(false);
    box.current!.querySelector("button")!.focus();
  };
  const act = (work: () => Promise<unknown>) => () => {
    setOpen(false);
    box.current!.querySelector("button")!.focus();
    work().catch((error: unknown) => void chat.show(error));
  };
  const some = state.items.length > 0;
  return (
    <div class="menu" ref={box} onKeyDown={escape}>
      <button type="button" class="tool" aria-label={t("menu")} title={t("menu")} aria-expanded={open} aria-controls="menu" onClick={() => setOpen(!open)}>
        <Icon name="menu" />
      </button>
      <div id="menu" class="menu-list" hidden={!open}>
        <button type="button" disabled={!some || chat.busyWithPerson} onClick={act(() => chat.fresh())}>
          <Icon name="plus" />
          {t("newConversation")}
        </button>
        <button type="button" disabled={!some} onClick={act(() => download(chat.transcript()))}>
          <Icon name="save" />
          {t("transcript")}
        </button>
        {chat.busyWithPerson && (
          <button type="button" onClick={act(() => chat.endHandoff())}>
            <Icon name="back" />
            {t("endPerson")}
          </button>
        )}
        {site.locales.length > 1 && (
          <label>
            <Icon name="globe" />
            <span class="unseen">{t("language")}</span>
            <select value={locale} onChange={(event) => onLocale(event.currentTarget.value)}>
              {site.locales.map((each) => (
                <option key={each} value={each} lang={each}>
                  {languageName(each)}
                </option>
              ))}
            </select>
          </label>
        )}
        <PrivacyLink />
      </div>
    </div>
  );
}

export function PrivacyLink() {
  const { site } = useChat();
  if (!site.consent?.privacy_url) return null;
  return (
    <a href={site.consent.privacy_url} target="_blank" rel="noopener noreferrer">
      <Icon name="shield" />
      {t("privacy")}
      <span class="unseen">({t("newTab")})</span>
    </a>
  );
}

async function download(file: Promise<Blob>): Promise<void> {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await file);
  link.download = `${t("conversation")}.txt`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
