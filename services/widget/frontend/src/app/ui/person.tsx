import { useState } from "preact/hooks";
import { Problem } from "../../shared/http";
import { moment, t } from "../../shared/i18n";
import { Sheet } from "../../shared/sheet";
import { isAddress } from "./change";
import { useChat } from "./context";

const MAX_NAME = 80;

interface Props {
  draft: string;
  onClose(): void;
  onDone(): void;
}

/** Says what a person will see, and passes the conversation on only when the visitor wants that. */
export function PersonSheet({ draft, onClose, onDone }: Props) {
  const { chat, state, site } = useChat();
  const [message, setMessage] = useState(draft);
  const [email, setEmail] = useState(state.visitor?.email ?? "");
  const [name, setName] = useState(state.visitor?.name ?? "");
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const away = !state.office.open;
  const needed = site.handoff.email === "required";
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    if (busy) return;
    if ((needed || email.trim()) && !isAddress(email)) return setProblem(t("emailInvalid"));
    setBusy(true);
    try {
      await chat.askPerson(message.trim(), email.trim(), name.trim());
      onDone();
    } catch (error) {
      setProblem(told(error));
      setBusy(false);
    }
  };
  const anonymous = state.visitor?.kind !== "identified";
  return (
    <Sheet title={t("personTitle")} onClose={onClose}>
      <form class="form" onSubmit={submit} noValidate>
        <p>{t("personConsent")}</p>
        {away && (
          <p class="callout">
            {t("personOffhours")} {state.office.opens_at !== null && t("personBack", { time: moment(state.office.opens_at) })}
          </p>
        )}
        <label>
          {t("personMessage")}
          <textarea rows={3} dir="auto" maxLength={site.max_chars} value={message} onInput={(event) => setMessage(event.currentTarget.value)} />
        </label>
        {anonymous && (
          <label>
            {t("nameLabel")}
            <input type="text" autocomplete="name" dir="auto" maxLength={MAX_NAME} value={name} onInput={(event) => setName(event.currentTarget.value)} />
          </label>
        )}
        {site.handoff.email !== "off" && (
          <label>
            {t(needed ? "emailLabel" : "emailOptional")}
            <input
              type="email"
              autocomplete="email"
              dir="ltr"
              required={needed}
              value={email}
              aria-invalid={!!problem}
              aria-describedby="person-problem"
              onInput={(event) => setEmail(event.currentTarget.value)}
            />
          </label>
        )}
        <p id="person-problem" class="wrong" role="alert">
          {problem}
        </p>
        <div class="row end">
          <button type="button" class="button" onClick={onClose}>
            {t("cancel")}
          </button>
          <button type="submit" class="button primary" aria-disabled={busy}>
            {t("personSend")}
          </button>
        </div>
      </form>
    </Sheet>
  );
}

function told(error: unknown): string {
  if (error instanceof Problem && error.slug === "invalid-input" && error.detail) return error.detail;
  if (error instanceof Problem && error.slug === "offline") return t("errorOffline");
  return t("errorBroken");
}
