import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { t } from "../../shared/i18n";
import { Icon } from "../../shared/icons";
import { clean } from "../../shared/text";
import { useChat } from "./context";

const MAX_HEIGHT = 160;
const COUNT_FROM = 0.9;

export interface Draft {
  text: string;
  set(text: string): void;
}

/** Where the visitor writes: Enter sends, Shift + Enter begins a new line. */
export function Composer({ draft, onSend }: { draft: Draft; onSend(text: string): void }) {
  const { chat, state, site } = useChat();
  const field = useRef<HTMLTextAreaElement>(null);
  const { refused, onFiles } = useFiles();
  const over = [...draft.text].length - site.max_chars;
  const ready = !!draft.text.trim() && over <= 0 && state.phase === "ready" && state.asking === undefined;
  useLayoutEffect(() => {
    const node = field.current!;
    node.style.height = "auto";
    node.style.height = `${Math.min(node.scrollHeight, MAX_HEIGHT)}px`;
  }, [draft.text]);
  useEffect(() => {
    if (state.opened) focusField(field.current!);
  }, [state.opened]);
  const send = (event?: Event) => {
    event?.preventDefault();
    if (ready) onSend(draft.text.trim());
  };
  const keyed = (event: KeyboardEvent) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    send(event);
  };
  const typed = (event: { currentTarget: HTMLTextAreaElement }) => {
    draft.set(event.currentTarget.value);
    chat.typing(!!event.currentTarget.value);
  };
  return (
    <form class="composer" onSubmit={send} {...onFiles}>
      <label class="unseen" for="message">
        {t("messageLabel")}
      </label>
      <textarea
        id="message"
        ref={field}
        rows={1}
        dir={draft.text ? "auto" : undefined}
        enterkeyhint="send"
        autocomplete="off"
        placeholder={placeholder(state.stage, state.handoff?.agent)}
        value={draft.text}
        aria-describedby="message-note"
        aria-invalid={over > 0}
        onInput={typed}
        onKeyDown={keyed}
        onBlur={() => chat.typing(false)}
      />
      {state.asking !== undefined && !chat.withPerson ? (
        <button type="button" class="send" aria-label={t("stop")} title={t("stop")} onClick={() => void chat.stop()}>
          <Icon name="stop" />
        </button>
      ) : (
        <button type="submit" class="send" aria-label={t("send")} title={t("send")} disabled={!ready}>
          <Icon name="send" />
        </button>
      )}
      <p id="message-note" class="composer-note" role="status">
        {refused ? t("filesRefused") : over > 0 ? t("tooLong", { n: over }) : over > -site.max_chars * (1 - COUNT_FROM) ? `${-over}` : ""}
      </p>
    </form>
  );
}

function placeholder(stage: string, agent: string | null | undefined): string {
  if (stage === "taken") return t("placeholderPerson", { name: clean(agent ?? "") || t("agent") });
  if (stage === "queued" || stage === "offhours") return t("placeholderWaiting");
  return t("placeholder");
}

// A phone's keyboard would cover half of the chat before anything was read.
function focusField(field: HTMLTextAreaElement): void {
  if (matchMedia("(pointer: coarse)").matches) field.closest(".app")?.querySelector<HTMLElement>("h1")?.focus();
  else field.focus();
}

function useFiles() {
  const [refused, setRefused] = useState(false);
  const refuse = (files: DataTransfer | null, event: Event) => {
    const some = !!files?.types.includes("Files");
    if (some) event.preventDefault();
    setRefused(some);
  };
  const onFiles = {
    onPaste: (event: ClipboardEvent) => refuse(event.clipboardData, event),
    onDrop: (event: DragEvent) => refuse(event.dataTransfer, event),
    onDragOver: (event: DragEvent) => event.dataTransfer?.types.includes("Files") && event.preventDefault(),
    onInput: () => setRefused(false),
  };
  return { refused, onFiles };
}
