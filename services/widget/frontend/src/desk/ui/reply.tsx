import { useState } from "preact/hooks";
import { t } from "../../shared/i18n";
import { Icon } from "../../shared/icons";
import type { Detail } from "../../shared/types";
import { useDesk } from "./context";
import { personOf } from "./queue";

interface Props {
  detail: Detail;
  text: string;
  onText(text: string): void;
}

/** What the person answers; kept here until it has arrived. */
export function Reply({ detail, text, onText }: Props) {
  const { desk, state } = useDesk();
  const external = detail.thread_id === null;
  const [learn, setLearn] = useState(external);
  const [busy, setBusy] = useState(false);
  const may = external || (detail.state === "taken" && detail.agent === state.name);
  const ready = may && !!text.trim() && !busy;
  const send = async (event?: Event) => {
    event?.preventDefault();
    if (!ready) return;
    setBusy(true);
    await desk.reply(text.trim(), learn);
    desk.typing(false);
    setBusy(false);
  };
  const typed = (event: { currentTarget: HTMLTextAreaElement }) => {
    onText(event.currentTarget.value);
    desk.typing(!!event.currentTarget.value);
  };
  const keyed = (event: KeyboardEvent) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    void send(event);
  };
  return (
    <form class="reply" onSubmit={send}>
      {external && <p class="callout">{t(detail.state === "closed" ? "externalDone" : "externalHint")}</p>}
      <label class="unseen" for="reply">
        {t("reply")}
      </label>
      <textarea
        id="reply"
        rows={3}
        dir="auto"
        value={text}
        disabled={!may}
        aria-describedby="reply-hint"
        placeholder={may ? t("placeholder", { name: personOf(detail) }) : t("placeholderTake")}
        onInput={typed}
        onKeyDown={keyed}
        onBlur={() => desk.typing(false)}
      />
      <div class="row">
        <label class="check">
          <input type="checkbox" checked={learn} disabled={external || !may} onChange={(event) => setLearn(event.currentTarget.checked)} />
          {t("learn")}
        </label>
        <button type="submit" class="button primary" disabled={!ready}>
          {t("send")}
          <Icon name="send" />
        </button>
      </div>
      <p id="reply-hint" class="note">
        {t("replyHint")}
      </p>
    </form>
  );
}
