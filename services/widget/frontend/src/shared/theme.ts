import { readable } from "./color";
import type { SiteConfig } from "./protocol";

// The darkest tint of each scheme that accent-coloured text stands on (see base.css).
const LIGHT = "#eef0f4";
const DARK = "#282b33";

/** Puts a site's colours and shape on the document, by CSSOM: no inline style, whatever the CSP. */
export function applyTheme(theme: SiteConfig["theme"]): void {
  const root = document.documentElement;
  const set: Record<string, string> = {
    "--primary-light": theme.primary,
    "--on-primary-light": theme.on_primary,
    "--primary-dark": theme.primary_dark,
    "--on-primary-dark": theme.on_primary_dark,
    "--accent-light": readable(theme.primary, LIGHT),
    "--accent-dark": readable(theme.primary_dark, DARK),
    "--radius": `${theme.radius}px`,
  };
  for (const [name, value] of Object.entries(set)) root.style.setProperty(name, value);
  root.dataset["scheme"] = theme.scheme;
}
