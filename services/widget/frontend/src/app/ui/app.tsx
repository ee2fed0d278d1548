import { useEffect, useState } from "preact/hooks";
import { t } from "../../shared/i18n";
import { Icon } from "../../shared/icons";
import type { Answer } from "../../shared/types";
import { Composer, type Draft } from "./composer";
import { useChat } from "./context";
import { Head } from "./head";
import { Banner } from "./notice";
import { PersonSheet } from "./person";
import { SourceSheet } from "./source";
import { Turns } from "./turns";
import { Consent, Welcome } from "./welcome";

interface Props {
  locale: string;
  draft: Draft;
  onLocale(locale: string): void;
  onClose: (() => void) | undefined;
}

export function App({ locale, draft, onLocale, onClose }: Props) {
  const { chat, state, site } = useChat();
  const [source, setSource] = useState<{ answer: Answer; n: number }>();
  const [person, setPerson] = useState(false);
  const [held, setHeld] = useState<string>();
  const mayAsk = state.consented || !site.consent?.required;
  const ask = (text: string) => {
    draft.set("");
    if (mayAsk) void chat.say(text);
    else setHeld(text);
  };
  const agreed = () => {
    if (held) void chat.say(held);
    setHeld(undefined);
  };
  const citation = source?.answer.citations.find(({ n }) => n === source.n);
  const empty = state.items.length === 0;
  useEscape(onClose);
  return (
    <div class="app" data-stage={state.stage}>
      <Head locale={locale} onLocale={onLocale} onClose={onClose} />
      <main class="thread" tabIndex={0} aria-label={t("conversation")} aria-busy={state.phase === "starting"}>
        {empty && mayAsk && <Welcome locale={locale} onAsk={ask} />}
        {!mayAsk && <Consent locale={locale} onAgreed={agreed} />}
        {!empty && <Turns onSource={(answer, n) => setSource({ answer, n })} onPerson={() => setPerson(true)} />}
      </main>
      <footer class="foot">
        <Banner />
        <Composer draft={draft} onSend={ask} />
        <Under onPerson={() => setPerson(true)} />
      </footer>
      {source && citation && <SourceSheet answerId={source.answer.answer_id} citation={citation} onClose={() => setSource(undefined)} />}
      {person && <PersonSheet draft={draft.text} onClose={() => setPerson(false)} onDone={() => (setPerson(false), draft.set(""))} />}
      <div class="unseen" role="status" aria-live="polite">
        {state.told}
      </div>
    </div>
  );
}

/** A person is one press away, whatever the conversation is at. */
function Under({ onPerson }: { onPerson(): void }) {
  const { chat, site } = useChat();
  const done = () => chat.endHandoff().catch((error: unknown) => void chat.show(error));
  return (
    <div class="under">
      {chat.busyWithPerson ? (
        <button type="button" class="quiet" onClick={done}>
          <Icon name="back" />
          {t("endPerson")}
        </button>
      ) : (
        site.handoff.enabled && (
          <button type="button" class="quiet" onClick={onPerson}>
            <Icon name="person" />
            {t("person")}
          </button>
        )
      )}
    </div>
  );
}

// What is open closes first; a dialog and the menu keep the key to themselves.
function useEscape(onClose: (() => void) | undefined): void {
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if (event.key === "Escape" && !event.isComposing && !document.querySelector("dialog[open]")) onClose?.();
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, [onClose]);
}
