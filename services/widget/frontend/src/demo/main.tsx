// A host page to try the widget on: it embeds the real one by the real script tag.

import { render, type ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import "../shared/base.css";
import "./demo.css";
import { request } from "../shared/http";
import { Icon } from "../shared/icons";
import { readShell } from "../shared/shell";

type Role = "anonymous" | "customer" | "internal";

interface Shell {
  site: string;
  api: string;
  desk: string;
  console: string;
  company: string;
  as: Role[];
}

interface Widget {
  open(): void;
  prefill(text: string): void;
  identify(identity: () => Promise<string>): void;
  reset(): void;
}

const shell = readShell<Shell>();
const page = window as unknown as { Twofold: { push(use: (widget: Widget) => void): void } };
const ROLES: Record<Role, string> = { anonymous: "A visitor", customer: "A signed-in customer", internal: "A colleague" };
const ROLE_HINTS: Record<Role, string> = {
  anonymous: "Nobody knows who asks. Public pages alone answer.",
  customer: "This page vouches for its user with a signed token. Pages for customers answer too.",
  internal: "A token says that a member of staff asks. Internal pages answer too.",
};

function widget(use: (widget: Widget) => void): void {
  (page.Twofold ??= [] as unknown as typeof page.Twofold).push(use);
}

async function identity(role: Role): Promise<string> {
  const reply = await request(`${shell.api}/identity?as=${role}`, {});
  return ((await reply.json()) as { identity: string }).identity;
}

function become(role: Role, before: Role | undefined): void {
  location.hash = role === "anonymous" ? "" : role;
  widget((each) => {
    if (before) each.reset();
    if (role !== "anonymous") each.identify(() => identity(role));
  });
}

const first = shell.as.find((role) => location.hash === `#${role}`) ?? "anonymous";
const person = () =>
  widget((each) => {
    each.prefill("Can I talk to a person, please?");
    each.open();
  });

function Demo() {
  const [role, setRole] = useState<Role>(first);
  const choose = (next: Role) => {
    become(next, role);
    setRole(next);
  };
  return (
    <>
      <header class="nav">
        <strong>{shell.company}</strong>
        <nav aria-label="Links">
          <a href={shell.desk} target="_blank" rel="noopener">
            Desk
          </a>
          <a href={shell.console} target="_blank" rel="noopener">
            Console
          </a>
        </nav>
      </header>
      <main>
        <section class="hero">
          <p class="eyebrow">A demo page, standing in for your site</p>
          <h1>Support that shows its sources</h1>
          <p class="lead">The button in the corner is the widget, embedded by one script tag. It answers from the help center of {shell.company}, and passes on what a person should decide.</p>
          <button type="button" class="button primary large" onClick={() => widget((each) => each.open())}>
            Ask a question
          </button>
        </section>
        <section class="panel" aria-labelledby="as">
          <h2 id="as">Who is asking?</h2>
          <div class="roles" role="group" aria-labelledby="as">
            {shell.as.map((each) => (
              <button key={each} type="button" aria-pressed={each === role} onClick={() => choose(each)}>
                {ROLES[each]}
              </button>
            ))}
          </div>
          <p class="note">{ROLE_HINTS[role]}</p>
        </section>
        <section class="steps" aria-label="Try it">
          <Step icon="page" title="Ask, and check">
            Open a citation: the page it comes from appears at its heading, with the words that the answer rests on marked.
          </Step>
          <Step icon="person" title="Ask for a person">
            <button type="button" class="link" onClick={person}>
              Ask for one
            </button>{" "}
            in the widget, then answer at the{" "}
            <a href={shell.desk} target="_blank" rel="noopener">
              desk
            </a>
            . The answer arrives here.
          </Step>
          <Step icon="globe" title="Put it on your site">
            Add a site with its origins, and one tag to your pages:
            <Snippet />
          </Step>
        </section>
      </main>
    </>
  );
}

function Step({ icon, title, children }: { icon: "page" | "person" | "globe"; title: string; children: ComponentChildren }) {
  return (
    <article>
      <Icon name={icon} />
      <h2>{title}</h2>
      <div class="text">{children}</div>
    </article>
  );
}

function Snippet() {
  const tag = `<script async src="${location.origin}/widget/loader.js?site=${shell.site}"></script>`;
  return (
    <pre>
      <code>{tag}</code>
    </pre>
  );
}

if (first !== "anonymous") become(first, undefined);
render(<Demo />, document.getElementById("root")!);
