import { useState } from "preact/hooks";
import { t } from "../../shared/i18n";
import { Icon } from "../../shared/icons";
import { markdown } from "../../shared/markdown";
import { clean } from "../../shared/text";
import { useDesk } from "./context";
import { DetailView } from "./detail";
import { Queue } from "./queue";

const MAX_NAME = 80;
const MAX_KEY = 200;

export function App() {
  const { state } = useDesk();
  if (state.phase === "starting") return <Problem />;
  if (state.phase === "key") return <KeyForm />;
  if (state.phase === "name") return <NameForm />;
  return <Desktop />;
}

function Desktop() {
  const { desk, state } = useDesk();
  return (
    <div class={state.detail ? "desk reading" : "desk"}>
      <header class="bar">
        <Icon name="person" />
        <h1>{t("desk")}</h1>
        <span class={state.live ? "live on" : "live"} role="status">
          {t(state.live ? "live" : "offline")}
        </span>
        {state.fixed ? (
          <span class="me">{t("me", { name: clean(state.name) })}</span>
        ) : (
          <button type="button" class="me" title={t("rename")} onClick={() => desk.set({ phase: "name" })}>
            {t("me", { name: clean(state.name) })}
          </button>
        )}
      </header>
      <Queue />
      <main class="detail">
        <Problem />
        {state.detail ? <DetailView key={state.detail.id} detail={state.detail} /> : <Nothing />}
      </main>
      <div class="unseen" role="status" aria-live="polite">
        {state.told}
      </div>
    </div>
  );
}

function Nothing() {
  return (
    <div class="nothing">
      <Icon name="person" />
      <p>{t("pick")}</p>
      <p class="note">{t("pickHint")}</p>
    </div>
  );
}

function Problem() {
  const { desk, state } = useDesk();
  if (!state.problem) return null;
  return (
    <div class="problem" role="alert">
      <Icon name="alert" />
      <p>{state.problem}</p>
      <button type="button" class="tool" aria-label={t("dismiss")} onClick={() => desk.set({ problem: "" })}>
        <Icon name="close" />
      </button>
    </div>
  );
}

function KeyForm() {
  const { desk, state } = useDesk();
  return (
    <Gate title={t("keyTitle")} text={t("keyText")} label={t("keyLabel")} type="password" wrong={state.wrongKey ? t("keyWrong") : ""} onGiven={(key) => void desk.giveKey(key)} />
  );
}

function NameForm() {
  const { desk, state } = useDesk();
  return <Gate title={t("nameTitle")} text={t("nameText")} label={t("nameLabel")} type="text" given={state.name} onGiven={(name) => desk.giveName(name)} />;
}

interface GateProps {
  title: string;
  text: string;
  label: string;
  type: "text" | "password";
  given?: string;
  wrong?: string;
  onGiven(value: string): void;
}

function Gate({ title, text, label, type, given = "", wrong = "", onGiven }: GateProps) {
  const [value, setValue] = useState(given);
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    if (value.trim()) onGiven(value.trim());
  };
  const field = {
    autofocus: true,
    maxLength: type === "text" ? MAX_NAME : MAX_KEY,
    value,
    "aria-invalid": !!wrong,
    "aria-describedby": "gate-wrong",
    onInput: (event: { currentTarget: HTMLInputElement }) => setValue(event.currentTarget.value),
  };
  return (
    <main class="gate">
      <Problem />
      <form class="form" onSubmit={submit}>
        <h1>{title}</h1>
        <div class="note">{markdown(text)}</div>
        <label>
          {label}
          {type === "password" ? <input type="password" autocomplete="off" {...field} /> : <input type="text" autocomplete="name" {...field} />}
        </label>
        <p id="gate-wrong" class="wrong" role="alert">
          {wrong}
        </p>
        <button type="submit" class="button primary wide" disabled={!value.trim()}>
          {t("go")}
        </button>
      </form>
    </main>
  );
}
