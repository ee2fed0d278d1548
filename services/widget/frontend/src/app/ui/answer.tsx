import { useState } from "preact/hooks";
import { t } from "../../shared/i18n";
import { Icon } from "../../shared/icons";
import { markdown } from "../../shared/markdown";
import { clean } from "../../shared/text";
import type { Answer, Citation, Question } from "../../shared/types";
import { useChat } from "./context";
import { Feedback } from "./feedback";

const LABELS = { CLARIFY: "clarify", DECLINE: "decline", ESCALATE: "escalate" } as const;

interface Props {
  question: Question;
  onSource(answer: Answer, n: number): void;
}

/** What the assistant said to a question, as far as it has. */
export function AnswerView({ question, onSource }: Props) {
  const { state, site } = useChat();
  const { answer, status } = question;
  const shown = answer ? visible(answer) : "";
  const writing = status === "answering";
  if (!shown && !writing) return status === "stopped" ? <Stopped /> : null;
  return (
    <article class="answer" data-action={answer?.action} aria-busy={writing}>
      <Avatar logo={site.theme.logo} />
      <div class="said">
        <h2 class="unseen">{t("assistant")}</h2>
        {answer && answer.action !== "ANSWER" && shown && <span class="kind">{t(LABELS[answer.action])}</span>}
        {shown ? <Prose answer={answer!} text={shown} writing={writing} onSource={onSource} /> : <Thinking />}
        {writing && state.waiting && <p class="note">{t("reconnecting")}</p>}
        {status === "stopped" && <Stopped />}
        {!writing && answer && <Sources answer={answer} text={shown} onSource={onSource} />}
        {status === "answered" && answer && <Feedback answer={answer} />}
      </div>
    </article>
  );
}

export function visible(answer: Answer): string {
  return answer.stopped === null ? answer.text : [...answer.text].slice(0, answer.stopped).join("");
}

function Prose({ answer, text, writing, onSource }: { answer: Answer; text: string; writing: boolean } & Pick<Props, "onSource">) {
  const known = new Map(answer.citations.map((citation) => [citation.n, citation]));
  const mark = (n: number) => {
    const citation = known.get(n);
    if (!citation) return writing && <span class="mark">{n}</span>;
    const label = t("source", { n, title: clean(citation.title) });
    return (
      <button type="button" class="mark" aria-label={label} title={clean(citation.title)} onClick={() => onSource(answer, n)}>
        {n}
      </button>
    );
  };
  return (
    <div class={writing ? "prose writing" : "prose"} dir="auto">
      {markdown(text, mark)}
    </div>
  );
}

function Sources({ answer, text, onSource }: { answer: Answer; text: string } & Pick<Props, "onSource">) {
  const cited = answer.stopped === null ? answer.citations : answer.citations.filter(({ n }) => text.includes(`[${n}]`));
  if (!cited.length) return null;
  return (
    <section class="sources" aria-label={t("sources")}>
      <ul>
        {cited.map((citation) => (
          <li key={citation.n}>
            <Chip citation={citation} onOpen={() => onSource(answer, citation.n)} />
          </li>
        ))}
      </ul>
    </section>
  );
}

function Chip({ citation, onOpen }: { citation: Citation; onOpen(): void }) {
  const title = clean(citation.title);
  const [page, ...headings] = title.split(" > ");
  return (
    <button type="button" class="chip" onClick={onOpen} aria-label={t("source", { n: citation.n, title })} title={title}>
      <span class="chip-n">{citation.n}</span>
      <span class="chip-title" dir="auto">
        {page}
        {headings.length > 0 && <span class="chip-heading"> › {headings.at(-1)}</span>}
      </span>
    </button>
  );
}

export function Avatar({ logo }: { logo: string }) {
  return (
    <span class="avatar" aria-hidden="true">
      {logo ? <Logo src={logo} /> : <Icon name="spark" />}
    </span>
  );
}

/** A site's logo; its place is taken by our icon where it cannot be loaded. */
export function Logo({ src }: { src: string }) {
  const [broken, setBroken] = useState(false);
  return broken ? <Icon name="spark" /> : <img src={src} alt="" onError={() => setBroken(true)} />;
}

function Thinking() {
  return (
    <p class="thinking">
      <span class="dots" aria-hidden="true">
        <i />
        <i />
        <i />
      </span>
      {t("thinking")}
    </p>
  );
}

function Stopped() {
  return <p class="note">{t("stopped")}</p>;
}
