import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { moment, t } from "../../shared/i18n";
import { markdown } from "../../shared/markdown";
import { clean } from "../../shared/text";
import type { Change, Detail, Item } from "../../shared/types";
import { useDesk } from "./context";
import { personOf } from "./queue";

/** Everything that was said, as the visitor saw it. */
export function Transcript({ detail }: { detail: Detail }) {
  const { state } = useDesk();
  const box = useRef<HTMLDivElement>(null);
  const typing = state.typing[detail.id];
  useLayoutEffect(() => {
    box.current!.scrollTop = box.current!.scrollHeight;
  }, [detail.items.length, typing]);
  return (
    <div class="transcript" ref={box} tabIndex={0} role="log" aria-label={t("conversation")}>
      {detail.items.map((item) => (
        <ItemView key={item.seq} item={item} person={personOf(detail)} />
      ))}
      {typing && <p class="note">{t("typing", { name: personOf(detail) })}</p>}
    </div>
  );
}

function ItemView({ item, person }: { item: Item; person: string }) {
  if (item.kind === "state") return <Line change={item} />;
  if (item.kind === "message") {
    const theirs = item.from === "visitor";
    const who = { visitor: person, agent: clean(item.name), assistant: t("assistant") };
    const side = { visitor: "theirs", agent: "ours", assistant: "ours assistant" };
    return (
      <Said who={who[item.from]} at={item.at} side={side[item.from]}>
        {theirs ? <p class="written">{clean(item.text)}</p> : markdown(item.text, mark)}
      </Said>
    );
  }
  return (
    <>
      <Said who={person} at={item.at} side="theirs">
        <p class="written">{clean(item.text)}</p>
      </Said>
      {item.answer ? (
        <Said who={t("assistant")} at={item.at} side="ours assistant">
          {markdown(item.answer.text, mark)}
          {item.status === "stopped" && <p class="note">{t("stopped")}</p>}
        </Said>
      ) : (
        item.status === "failed" && <p class="note">{t("failed")}</p>
      )}
    </>
  );
}

function mark(n: number) {
  return <span class="mark">{n}</span>;
}

interface SaidProps {
  who: string;
  at: number;
  side: string;
  children: ComponentChildren;
}

function Said({ who, at, side, children }: SaidProps) {
  return (
    <article class={`said ${side}`}>
      <h3 dir="auto">
        {who} <time>{moment(at)}</time>
      </h3>
      <div class="prose" dir="auto">
        {children}
      </div>
    </article>
  );
}

function Line({ change }: { change: Change }) {
  const itself = change.by === "assistant";
  const lines = {
    queued: itself ? "lineHandedOver" : "lineQueued",
    offhours: itself ? "lineHandedOverOffhours" : "lineOffhours",
    taken: "lineTaken",
    reopened: "lineReopened",
    assistant: "lineAssistant",
    closed: "lineClosed",
  };
  return (
    <p class="change">
      <span>
        {t(lines[change.state], { name: clean(change.name) })} · {moment(change.at)}
      </span>
    </p>
  );
}
