import { useEffect, useState } from "preact/hooks";
import { ago, t } from "../../shared/i18n";
import { clean } from "../../shared/text";
import type { Card } from "../../shared/types";
import { WAITING, type DeskState, type Tab } from "../desk";
import { useDesk } from "./context";

const TABS: Tab[] = ["waiting", "taken", "closed"];
const EMPTY = { waiting: "emptyWaiting", taken: "emptyTaken", closed: "emptyClosed" };
const MINUTE_MS = 60_000;

/** Who waits, who is being helped, and what is done: the longest wait first. */
export function Queue() {
  const { desk, state } = useDesk();
  useMinutes();
  const shown = cardsOf(state, state.tab);
  return (
    <nav class="queue" aria-label={t("queue")}>
      <div class="tabs" role="group" aria-label={t("queue")}>
        {TABS.map((tab) => (
          <button key={tab} type="button" aria-pressed={state.tab === tab} onClick={() => void desk.choose(tab)}>
            {t(tab)}
            {tab !== "closed" && <span class="count">{cardsOf(state, tab).length}</span>}
          </button>
        ))}
      </div>
      {shown.length === 0 && <p class="note empty">{t(EMPTY[state.tab])}</p>}
      <ul>
        {shown.map((card) => (
          <li key={card.id}>
            <CardView card={card} current={state.detail?.id === card.id} typing={!!state.typing[card.id]} unread={!!state.unread[card.id]} onOpen={() => void desk.open(card.id)} />
          </li>
        ))}
      </ul>
    </nav>
  );
}

function cardsOf(state: DeskState, tab: Tab): Card[] {
  if (tab === "closed") return state.closed;
  const cards = Object.values(state.cards).filter((card) => (tab === "taken" ? card.state === "taken" : WAITING.includes(card.state)));
  return cards.sort((one, other) => one.created_at - other.created_at);
}

interface CardProps {
  card: Card;
  current: boolean;
  typing: boolean;
  unread: boolean;
  onOpen(): void;
}

function CardView({ card, current, typing, unread, onOpen }: CardProps) {
  const who = personOf(card);
  return (
    <button type="button" class="card" aria-current={current} onClick={onOpen}>
      <span class="card-top">
        <b dir="auto">{who}</b>
        <time>{ago(card.changed_at)}</time>
      </span>
      <span class="card-text" dir="auto">
        {typing ? t("typing", { name: who }) : clean(card.question)}
      </span>
      <span class="tags">
        {unread && <span class="tag warm">{t("unread")}</span>}
        <span class="tag">{card.searched ? clean(card.reason.replaceAll("_", " ")) : t("unsearched")}</span>
        {card.state === "offhours" && <span class="tag warm">{t("offhours")}</span>}
        {card.state === "reopened" && <span class="tag warm">{t("reopened")}</span>}
        {card.thread_id === null && <span class="tag">{t("external")}</span>}
        {card.agent && <span class="tag good">{clean(card.agent)}</span>}
      </span>
    </button>
  );
}

/** Returns what the person is called here. */
export function personOf(card: Card): string {
  return clean(card.visitor || card.customer || card.email || "") || t("visitor");
}

// What happened a minute ago did so two minutes ago a minute later.
function useMinutes(): void {
  const [, draw] = useState({});
  useEffect(() => {
    const timer = setInterval(() => draw({}), MINUTE_MS);
    return () => clearInterval(timer);
  }, []);
}
