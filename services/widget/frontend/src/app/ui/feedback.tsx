import { useEffect, useRef, useState } from "preact/hooks";
import { t } from "../../shared/i18n";
import { Icon } from "../../shared/icons";
import type { Answer } from "../../shared/types";
import { useChat } from "./context";
import { visible } from "./answer";

const MAX_COMMENT = 2000;
const COPIED_MS = 1500;

/** Two thumbs and a copy button; who is not helped may say why. */
export function Feedback({ answer }: { answer: Answer }) {
  const { chat } = useChat();
  const [asks, setAsks] = useState(false);
  const [thanked, setThanked] = useState(false);
  const rate = async (rating: "up" | "down", comment = "") => {
    try {
      await chat.rate(answer.answer_id, rating, comment);
    } catch (error) {
      chat.show(error);
      return;
    }
    setAsks(rating === "down" && !comment);
    setThanked(rating === "up" || !!comment);
  };
  return (
    <div class="feedback">
      <div class="tools" role="group" aria-label={t("rate")}>
        <Thumb rating="up" answer={answer} onRate={rate} />
        <Thumb rating="down" answer={answer} onRate={rate} />
        <Copy answer={answer} />
        <span class="note" role="status">
          {thanked && t("thanks")}
        </span>
      </div>
      {asks && <Comment onSend={(comment) => rate("down", comment)} />}
    </div>
  );
}

interface ThumbProps {
  rating: "up" | "down";
  answer: Answer;
  onRate(rating: "up" | "down"): void;
}

function Thumb({ rating, answer, onRate }: ThumbProps) {
  const label = t(rating === "up" ? "helpful" : "unhelpful");
  return (
    <button type="button" class="tool" aria-label={label} title={label} aria-pressed={answer.rating === rating} onClick={() => onRate(rating)}>
      <Icon name={rating} />
    </button>
  );
}

function Copy({ answer }: { answer: Answer }) {
  const { chat } = useChat();
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(visible(answer));
    } catch {
      return;
    }
    setCopied(true);
    chat.announce(t("copied"));
    setTimeout(() => setCopied(false), COPIED_MS);
  };
  return (
    <button type="button" class="tool" aria-label={t("copy")} title={t("copy")} onClick={copy}>
      <Icon name={copied ? "check" : "copy"} />
    </button>
  );
}

function Comment({ onSend }: { onSend(comment: string): void }) {
  const [text, setText] = useState("");
  const field = useRef<HTMLTextAreaElement>(null);
  useEffect(() => field.current!.focus(), []);
  const submit = (event: Event) => {
    event.preventDefault();
    if (text.trim()) onSend(text.trim());
  };
  return (
    <form class="comment" onSubmit={submit}>
      <label>
        {t("commentLabel")}
        <textarea rows={2} maxLength={MAX_COMMENT} value={text} ref={field} onInput={(event) => setText(event.currentTarget.value)} />
      </label>
      <button type="submit" class="button small" disabled={!text.trim()}>
        {t("commentSend")}
      </button>
    </form>
  );
}
