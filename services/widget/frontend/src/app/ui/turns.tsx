import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { moment, t } from "../../shared/i18n";
import { Icon } from "../../shared/icons";
import { markdown } from "../../shared/markdown";
import { clean, initials } from "../../shared/text";
import type { Answer, Item, Message, Question } from "../../shared/types";
import type { ChatState } from "../chat";
import { AnswerView } from "./answer";
import { ChangeView } from "./change";
import { useChat } from "./context";
import { FailureNote } from "./notice";

const NEAR_END = 120;
const WAITS = ["queued", "offhours"];

interface Props {
  onSource(answer: Answer, n: number): void;
  onPerson(): void;
}

/** Everything that was said, a group for each thing the visitor wrote. */
export function Turns(props: Props) {
  const { state } = useChat();
  const list = useRef<HTMLDivElement>(null);
  const [below, setBelow] = useState(false);
  useFollow(list, state, setBelow);
  const last = state.items.findLast((item) => item.kind === "state")?.seq;
  const groups = grouped(state.items);
  const down = () => toEnd(list.current!);
  return (
    <div class="turns" ref={list}>
      {groups.map((group) => (
        <div key={key(group[0]!)} class={isNewest(group, state.newest) ? "group newest" : "group"}>
          {group.map((item) => (
            <ItemView key={key(item)} item={item} current={item.seq === last} {...props} />
          ))}
          {group === groups.at(-1) && state.typing !== undefined && <Typing name={state.typing} />}
        </div>
      ))}
      {below && (
        <button type="button" class="button small below" onClick={down}>
          {t("newMessage")}
          <Icon name="arrow" />
        </button>
      )}
    </div>
  );
}

function ItemView({ item, current, onSource, onPerson }: { item: Item; current: boolean } & Props) {
  if (item.kind === "state") return <ChangeView change={item} current={current} />;
  if (item.kind === "message") return <MessageView message={item} />;
  return <QuestionView question={item} onSource={onSource} onPerson={onPerson} />;
}

function QuestionView({ question, ...props }: { question: Question } & Props) {
  const { state } = useChat();
  const problem = state.failures[question.id];
  return (
    <>
      <Bubble text={question.text} />
      <AnswerView question={question} onSource={props.onSource} />
      {question.status === "failed" && <FailureNote id={question.id} problem={problem} onPerson={props.onPerson} />}
    </>
  );
}

function MessageView({ message }: { message: Message }) {
  const { state } = useChat();
  if (message.from === "visitor") {
    const problem = state.failures[message.id];
    return (
      <>
        <Bubble text={message.text} />
        {problem && <FailureNote id={message.id} problem={problem} />}
      </>
    );
  }
  const name = clean(message.name) || t("agent");
  return (
    <article class="answer by-agent">
      <span class="avatar" aria-hidden="true">
        {initials(name)}
      </span>
      <div class="said">
        <h2 class="from" dir="auto">
          {name} <time>{moment(message.at)}</time>
        </h2>
        <div class="prose bubble-agent" dir="auto">
          {markdown(message.text)}
        </div>
      </div>
    </article>
  );
}

/** What the visitor wrote: as it was written, never as Markdown. */
function Bubble({ text }: { text: string }) {
  return (
    <div class="asked">
      <h2 class="unseen">{t("you")}</h2>
      <p class="bubble" dir="auto">
        {clean(text)}
      </p>
    </div>
  );
}

function Typing({ name }: { name: string }) {
  return (
    <p class="thinking typing">
      <span class="dots" aria-hidden="true">
        <i />
        <i />
        <i />
      </span>
      {t("typing", { name: clean(name) || t("agent") })}
    </p>
  );
}

function grouped(items: Item[]): Item[][] {
  const groups: Item[][] = [];
  for (const item of items) {
    const begins = item.kind === "question" || (item.kind === "message" && item.from === "visitor");
    if (begins || !groups.length) groups.push([item]);
    else groups.at(-1)!.push(item);
  }
  return groups;
}

function key(item: Item): string {
  return item.kind === "state" ? `s${item.seq}` : item.id;
}

function isNewest(group: Item[], newest: string | undefined): boolean {
  const first = group[0]!;
  return first.kind !== "state" && first.id === newest;
}

function calm(): ScrollBehavior {
  return matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
}

// What the visitor asks goes to the top, and the answer grows below it without moving: a long one is
// read from its beginning. What a person writes is followed, by whoever reads at the end.
function useFollow(list: { current: HTMLDivElement | null }, state: ChatState, setBelow: (below: boolean) => void): void {
  const count = useRef(0);
  const shown = useRef<string | undefined>(undefined);
  const follows = useRef(false);
  const { items, newest, typing } = state;
  useLayoutEffect(() => {
    const node = list.current!;
    const last = items.at(-1);
    const more = items.length > count.current;
    const first = count.current === 0;
    count.current = items.length;
    if (newest && newest !== shown.current) {
      shown.current = newest;
      follows.current = last?.kind !== "question";
      setBelow(false);
      node.querySelector(".newest")?.scrollIntoView({ block: "start", behavior: calm() });
    } else if (first) {
      [...node.querySelectorAll(".group")].at(-1)?.scrollIntoView({ block: "start" });
    } else if (more && last?.kind === "state" && WAITS.includes(last.state)) {
      // What the visitor asked for themselves, with a form in it: nothing lies over that.
      follows.current = true;
      toEnd(node);
    } else if ((more && last?.kind !== "question") || typing) {
      if (nearEnd(scrollerOf(node), lastOf(node)?.clientHeight)) toEnd(node);
      else if (more) setBelow(true);
    }
  }, [items, newest, typing]);
  useEffect(() => {
    const node = list.current!;
    const scroller = scrollerOf(node);
    const look = () => {
      follows.current = nearEnd(scroller) && items.at(-1)?.kind !== "question";
      if (nearEnd(scroller)) setBelow(false);
    };
    scroller.addEventListener("scroll", look, { passive: true });
    return () => scroller.removeEventListener("scroll", look);
  }, [items]);
  useEffect(() => {
    const node = list.current!;
    const grown = new ResizeObserver(() => follows.current && toEnd(node));
    grown.observe(node);
    return () => grown.disconnect();
  }, []);
}

function scrollerOf(node: Element): Element {
  return node.closest(".thread")!;
}

function lastOf(list: Element): Element | undefined {
  return [...list.querySelectorAll(".group")].at(-1)?.lastElementChild ?? undefined;
}

function nearEnd(scroller: Element, added = 0): boolean {
  return scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR_END + added;
}

function toEnd(list: Element): void {
  const scroller = scrollerOf(list);
  scroller.scrollTo({ top: scroller.scrollHeight, behavior: calm() });
}
