import { useState } from "preact/hooks";
import { moment, t } from "../../shared/i18n";
import { Icon } from "../../shared/icons";
import { clean } from "../../shared/text";
import type { Change, State } from "../../shared/types";
import { useChat } from "./context";

/** Who has the conversation now: a card while it holds, a quiet line once it is past. */
export function ChangeView({ change, current }: { change: Change; current: boolean }) {
  const { state } = useChat();
  const holds = current && state.stage === change.state;
  if (holds && (change.state === "queued" || change.state === "offhours")) return <Waiting away={change.state === "offhours"} />;
  if (holds && change.state === "closed") return <Closed />;
  return (
    <p class="change">
      <span>{line(change)}</span>
    </p>
  );
}

function line({ state, name }: Change): string {
  const who = clean(name) || t("agent");
  const lines: Record<State, string> = {
    queued: t("statusQueued"),
    offhours: t("statusQueued"),
    taken: t("takenLine", { name: who }),
    reopened: t("reopenedLine"),
    assistant: t("returnedLine"),
    closed: t("statusClosed"),
  };
  return lines[state];
}

function Waiting({ away }: { away: boolean }) {
  const { state, site } = useChat();
  const back = state.handoff?.office.opens_at ?? state.office.opens_at;
  const email = state.handoff?.email;
  return (
    <section class="card" aria-label={t(away ? "offhoursTitle" : "queuedTitle")}>
      <h2>
        <Icon name={away ? "clock" : "person"} />
        {t(away ? "offhoursTitle" : "queuedTitle")}
      </h2>
      <p>{t(away ? "offhoursText" : "queuedText")}</p>
      {away && back !== null && back !== undefined && <p>{t("personBack", { time: moment(back) })}</p>}
      {email ? (
        <p class="kept">
          <Icon name="mail" />
          {t("contactKept", { email: clean(email) })}
        </p>
      ) : (
        site.handoff.email !== "off" && <Contact />
      )}
    </section>
  );
}

function Contact() {
  const { chat } = useChat();
  const [email, setEmail] = useState("");
  const [wrong, setWrong] = useState(false);
  const save = async (event: SubmitEvent) => {
    event.preventDefault();
    const bad = !isAddress(email);
    setWrong(bad);
    if (bad) return;
    try {
      await chat.leaveAddress(email.trim());
    } catch (error) {
      chat.show(error);
    }
  };
  return (
    <form class="contact" onSubmit={save} noValidate>
      <label>
        {t("emailLabel")}
        <input
          type="email"
          autocomplete="email"
          dir="ltr"
          value={email}
          aria-invalid={wrong}
          aria-describedby="contact-hint"
          onInput={(event) => setEmail(event.currentTarget.value)}
        />
      </label>
      <button type="submit" class="button">
        {t("contactSave")}
      </button>
      <p id="contact-hint" class={wrong ? "wrong" : "note"} role={wrong ? "alert" : undefined}>
        {t(wrong ? "emailInvalid" : "emailHint")}
      </p>
    </form>
  );
}

/** Whether a text can be an e-mail address; only writing to it tells more. */
export function isAddress(text: string): boolean {
  return /^[^\s@]+@[^\s@]+\.[^\s@]+$/.test(text.trim());
}

function Closed() {
  const { chat } = useChat();
  const reopen = () => chat.reopen().catch((error: unknown) => void chat.show(error));
  return (
    <section class="card" aria-label={t("closedTitle")}>
      <h2>
        <Icon name="check" />
        {t("closedTitle")}
      </h2>
      <p>{t("closedText")}</p>
      <button type="button" class="button" onClick={reopen}>
        {t("reopen")}
      </button>
    </section>
  );
}
