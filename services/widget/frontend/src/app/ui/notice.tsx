import { useEffect, useState } from "preact/hooks";
import type { Problem } from "../../shared/http";
import { t } from "../../shared/i18n";
import { Icon } from "../../shared/icons";
import { useChat } from "./context";

const WORDS: Record<string, string> = {
  "offline": "errorOffline",
  "overloaded": "errorOverloaded",
  "quota-exhausted": "errorQuota",
  "ticket-expired": "errorExpired",
  "identity-refused": "errorIdentity",
  "identity-needed": "errorIdentityNeeded",
  "forbidden": "errorForbidden",
  "conflict": "errorBusy",
  "unavailable": "errorUnavailable",
  "upstream": "errorUnavailable",
  "setup": "errorUnavailable",
  "consent-needed": "consentTitle",
};
/** The server's own sentence says more than ours would. */
const OWN_WORDS = ["invalid-input", "too-large"];
const FOR_A_PERSON = ["quota-exhausted", "unavailable", "upstream", "setup"];

function words(problem: Problem | undefined, seconds: number): string {
  if (problem && OWN_WORDS.includes(problem.slug) && problem.detail) return problem.detail;
  return t(WORDS[problem?.slug ?? ""] ?? "errorBroken", { seconds });
}

/** Why a question got no answer, and what can be done. */
export function FailureNote({ id, problem, onPerson }: { id: string; problem: Problem | undefined; onPerson?: () => void }) {
  const { chat, site } = useChat();
  const left = useCountdown(problem?.retryAfter ?? 0);
  const person = onPerson && site.handoff.enabled && FOR_A_PERSON.includes(problem?.slug ?? "");
  const quota = problem?.slug === "quota-exhausted";
  return (
    <div class="failure" role="alert">
      <p>
        <Icon name="alert" />
        {words(problem, left)}
      </p>
      <div class="row">
        {problem?.slug === "ticket-expired" && <Reload />}
        {!quota && problem?.slug !== "ticket-expired" && (
          <button type="button" class="button small" disabled={left > 0} onClick={() => chat.again(id)}>
            {t("tryAgain")}
          </button>
        )}
        {person && (
          <button type="button" class="button small" onClick={onPerson}>
            {t("person")}
          </button>
        )}
      </div>
    </div>
  );
}

/** What is wrong with the chat as a whole, above the composer. */
export function Banner() {
  const { state, chat } = useChat();
  const { problem } = state;
  if (!problem) return null;
  const reload = problem.slug === "ticket-expired";
  return (
    <div class="banner" role="alert">
      <Icon name="alert" />
      <p>{words(problem, problem.retryAfter)}</p>
      {reload ? (
        <Reload />
      ) : (
        <button type="button" class="tool" aria-label={t("dismiss")} onClick={() => chat.set({ problem: undefined })}>
          <Icon name="close" />
        </button>
      )}
    </div>
  );
}

function Reload() {
  return (
    <button type="button" class="button small" onClick={() => location.reload()}>
      {t("reload")}
    </button>
  );
}

function useCountdown(seconds: number): number {
  const [left, setLeft] = useState(Math.ceil(seconds));
  useEffect(() => {
    const end = Date.now() + seconds * 1000;
    const timer = setInterval(() => {
      const now = Math.max(0, Math.ceil((end - Date.now()) / 1000));
      setLeft(now);
      if (!now) clearInterval(timer);
    }, 1000);
    return () => clearInterval(timer);
  }, [seconds]);
  return left;
}
