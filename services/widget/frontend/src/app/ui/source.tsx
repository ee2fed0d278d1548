import { useEffect, useRef, useState } from "preact/hooks";
import { t } from "../../shared/i18n";
import { Icon } from "../../shared/icons";
import { markdown, marked } from "../../shared/markdown";
import { Sheet } from "../../shared/sheet";
import { clean, webAddress } from "../../shared/text";
import type { Citation, Section, Source } from "../../shared/types";
import { useChat } from "./context";

interface Props {
  answerId: string;
  citation: Citation;
  onClose(): void;
}

/** The page that a citation stands for, at its heading, with the quoted words marked. */
export function SourceSheet({ answerId, citation, onClose }: Props) {
  const { chat } = useChat();
  const [source, setSource] = useState<Source>();
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    chat.source(answerId, citation.n).then(setSource, () => setFailed(true));
  }, [chat, answerId, citation.n]);
  const title = clean(source?.title ?? citation.title);
  return (
    <Sheet title={title} onClose={onClose}>
      <div class="source">
        {source && !source.current && <p class="callout">{t("sourceOutdated")}</p>}
        {source ? <Sections source={source} /> : failed ? <Quote citation={citation} /> : <p class="note">{t("sourceLoading")}</p>}
      </div>
      <Outward url={citation.url} />
    </Sheet>
  );
}

function Sections({ source }: { source: Source }) {
  const target = useRef<HTMLElement>(null);
  useEffect(() => {
    const node = target.current;
    (node?.querySelector("mark") ?? node)?.scrollIntoView({ block: "center" });
  }, [source]);
  return (
    <div class="prose" dir="auto" tabIndex={0} role="region" aria-label={t("quoted")}>
      {source.sections.map((section, at) => (
        <section key={at} ref={at === source.at ? target : null}>
          {section.heading.length > 0 && <h3>{clean(section.heading.at(-1)!)}</h3>}
          {text(section)}
        </section>
      ))}
    </div>
  );
}

function text({ text, marks }: Section) {
  return marks.length ? marked(text, marks) : markdown(text);
}

function Quote({ citation }: { citation: Citation }) {
  return (
    <blockquote class="prose" dir="auto">
      {markdown(citation.quote)}
    </blockquote>
  );
}

function Outward({ url }: { url: string }) {
  const address = webAddress(url);
  if (!address) return null;
  return (
    <a class="button wide" href={address.href} target="_blank" rel="noopener noreferrer">
      {t("openSource")}
      <span class="host">{address.host}</span>
      <Icon name="out" />
      <span class="unseen">({t("newTab")})</span>
    </a>
  );
}
