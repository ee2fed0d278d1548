import { t } from "../../shared/i18n";
import { Icon } from "../../shared/icons";
import { useChat } from "./context";
import { PrivacyLink } from "./head";

/** What a visitor sees first: an invitation, and questions that others ask. */
export function Welcome({ locale, onAsk }: { locale: string; onAsk(question: string): void }) {
  const { site, state } = useChat();
  const starters = site.starters[locale] ?? site.starters[site.locale] ?? [];
  return (
    <section class="welcome">
      <h2>{t("greeting")}</h2>
      <p>{t("intro")}</p>
      {starters.length > 0 && (
        <>
          <h3 id="starters">{t("starters")}</h3>
          <ul aria-labelledby="starters">
            {starters.map((question) => (
              <li key={question}>
                <button type="button" class="starter" disabled={state.phase !== "ready"} onClick={() => onAsk(question)}>
                  <span dir="auto">{question}</span>
                  <Icon name="arrow" />
                </button>
              </li>
            ))}
          </ul>
        </>
      )}
    </section>
  );
}

/** The site's own words about data, agreed to before anything is sent. */
export function Consent({ locale, onAgreed }: { locale: string; onAgreed(): void }) {
  const { chat, site } = useChat();
  const consent = site.consent!;
  const agree = () => chat.consent().then(onAgreed, (error: unknown) => void chat.show(error));
  return (
    <section class="card consent" aria-label={t("consentTitle")}>
      <h2>
        <Icon name="shield" />
        {t("consentTitle")}
      </h2>
      <p>{consent.text[locale] ?? consent.text[site.locale] ?? Object.values(consent.text)[0]}</p>
      <div class="row">
        <button type="button" class="button primary" onClick={agree}>
          {t("consentAgree")}
        </button>
        <PrivacyLink />
      </div>
    </section>
  );
}
