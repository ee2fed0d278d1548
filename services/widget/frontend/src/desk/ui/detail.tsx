import { useEffect, useRef } from "preact/hooks";
import { format, languageName, t } from "../../shared/i18n";
import { Icon } from "../../shared/icons";
import { markdown } from "../../shared/markdown";
import { clean, webAddress } from "../../shared/text";
import type { Detail } from "../../shared/types";
import { useDesk } from "./context";
import { personOf } from "./queue";
import { Reply } from "./reply";
import { Transcript } from "./transcript";

/** One conversation: who, why, what was said, and the reply. */
export function DetailView({ detail }: { detail: Detail }) {
  const { desk, state } = useDesk();
  const text = state.drafts[detail.id] ?? "";
  const setText = (words: string) => desk.draft(detail.id, words);
  const head = useRef<HTMLHeadingElement>(null);
  useEffect(() => head.current!.focus(), []);
  return (
    <>
      <Head detail={detail} heading={head} />
      <div class="columns">
        <section class="talk" aria-label={t("conversation")}>
          <Transcript detail={detail} />
          <Reply detail={detail} text={text} onText={setText} />
        </section>
        <Aside detail={detail} onUse={setText} onCite={(n) => setText(`${text}${text && !text.endsWith(" ") ? " " : ""}[${n}]`)} />
      </div>
    </>
  );
}

function Head({ detail, heading }: { detail: Detail; heading: { current: HTMLHeadingElement | null } }) {
  const { desk } = useDesk();
  const at = new Date(detail.created_at * 1000);
  return (
    <header class="detail-head">
      <button type="button" class="tool only-narrow" aria-label={t("back")} onClick={() => desk.leave()}>
        <Icon name="back" />
      </button>
      <div class="who">
        <h2 ref={heading} tabIndex={-1} dir="auto">
          {personOf(detail)}
        </h2>
        <p class="note">
          {t("since", { time: format(at, { dateStyle: "medium", timeStyle: "short" }) })}
          {detail.state === "taken" && detail.agent && ` · ${t("takenBy", { name: clean(detail.agent) })}`}
        </p>
      </div>
      <Actions detail={detail} />
    </header>
  );
}

function Actions({ detail }: { detail: Detail }) {
  const { desk, state } = useDesk();
  const external = detail.state === "external";
  const mine = detail.state === "taken" && detail.agent === state.name;
  const others = detail.state === "taken" && !mine;
  const waits = ["queued", "offhours", "reopened"].includes(detail.state);
  return (
    <div class="row">
      {(waits || (detail.state === "closed" && detail.thread_id !== null)) && (
        <button type="button" class="button primary" onClick={() => void desk.act("take")}>
          {t("take")}
        </button>
      )}
      {others && (
        <button type="button" class="button" onClick={() => void desk.act("take", true)}>
          {t("takeFrom", { name: clean(detail.agent ?? "") })}
        </button>
      )}
      {(waits || detail.state === "taken") && (
        <button type="button" class="button" onClick={() => void desk.act("return")}>
          {t("return")}
        </button>
      )}
      {(waits || external || detail.state === "taken") && (
        <button type="button" class="button" onClick={() => void desk.act("close")}>
          {t("close")}
        </button>
      )}
    </div>
  );
}

interface AsideProps {
  detail: Detail;
  onUse(text: string): void;
  onCite(n: number): void;
}

function Aside({ detail, onUse, onCite }: AsideProps) {
  const facts: [string, string | null][] = [
    ["reason", detail.reason_text || detail.reason.replaceAll("_", " ")],
    ["team", detail.team],
    ["customer", detail.customer],
    ["email", detail.email],
    ["language", detail.locale && languageName(detail.locale)],
    ["site", detail.site],
  ];
  return (
    <aside class="aside">
      <dl>
        {facts.map(([key, value]) =>
          value ? (
            <div key={key}>
              <dt>{t(key)}</dt>
              <dd dir="auto">{clean(value)}</dd>
            </div>
          ) : null,
        )}
      </dl>
      {detail.summary && (
        <section>
          <h3>{t("summary")}</h3>
          <p class="written" dir="auto">
            {clean(detail.summary)}
          </p>
        </section>
      )}
      {detail.tried.length > 0 && (
        <section>
          <h3>{t("tried")}</h3>
          <ul class="plain">
            {detail.tried.map((each, at) => (
              <li key={at} dir="auto">
                {clean(each.question)} <span class="tag">{t(`action${each.action}`)}</span>
              </li>
            ))}
          </ul>
        </section>
      )}
      {detail.suggested_reply && (
        <section class="suggested">
          <h3>{t("suggested")}</h3>
          <div class="prose" dir="auto">
            {markdown(detail.suggested_reply, (n) => (
              <span class="mark">{n}</span>
            ))}
          </div>
          <button type="button" class="button small" onClick={() => onUse(detail.suggested_reply)}>
            {t("use")}
          </button>
        </section>
      )}
      {detail.sources.length > 0 && <Sources detail={detail} onCite={onCite} />}
    </aside>
  );
}

function Sources({ detail, onCite }: Omit<AsideProps, "onUse">) {
  return (
    <section>
      <h3>{t("sources")}</h3>
      <ol class="plain sources">
        {detail.sources.map(({ title, url, document }, at) => {
          const address = webAddress(url);
          return (
            <li key={document}>
              <button type="button" class="mark" aria-label={t("cite", { n: at + 1 })} title={t("cite", { n: at + 1 })} onClick={() => onCite(at + 1)}>
                {at + 1}
              </button>
              {address ? (
                <a href={address.href} target="_blank" rel="noopener noreferrer" dir="auto">
                  {clean(title || document)}
                  <span class="unseen"> ({t("newTab")})</span>
                </a>
              ) : (
                <span dir="auto">{clean(title || document)}</span>
              )}
            </li>
          );
        })}
      </ol>
    </section>
  );
}
