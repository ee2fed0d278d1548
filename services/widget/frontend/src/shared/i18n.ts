// Words of the chat and the desk; each language is a file of its own, loaded when it is spoken.

type Words = Record<string, string>;

const RTL = new Set(["ar", "he", "fa", "ur"]);

/** The languages of a folder of word files: how each is loaded. */
export type Files = Record<string, () => Promise<Words>>;

/** Returns the languages of word files as Vite finds them, by tag. */
export function filesOf(found: Record<string, () => Promise<Words>>): Files {
  return Object.fromEntries(Object.entries(found).map(([path, load]) => [path.slice(path.lastIndexOf("/") + 1, -".json".length), load]));
}

let words: Words = {};
let spoken = "en";

/** Returns the first wanted language that is offered, by its full tag or its language alone. */
export function choose(wanted: readonly string[], offered: readonly string[], otherwise: string): string {
  for (const tag of wanted) {
    const low = tag.toLowerCase();
    const base = low.split("-")[0]!;
    const found =
      offered.find((each) => each.toLowerCase() === low) ??
      offered.find((each) => each.toLowerCase() === base) ??
      offered.find((each) => each.toLowerCase().split("-")[0] === base);
    if (found) return found;
  }
  return otherwise;
}

/** Loads a language's words and turns the document to it; `over` replaces single ones. */
export async function speak(locale: string, files: Files, over: Words = {}): Promise<void> {
  const known = choose([locale], Object.keys(files), "en");
  words = { ...(await files[known]!()), ...over };
  // A language that has no file of ours: its dates are its own, the words English.
  spoken = locale;
  document.documentElement.lang = known;
  document.documentElement.dir = RTL.has(known.split("-")[0]!) ? "rtl" : "ltr";
}

/** Returns the words of a key, with `{name}` replaced by its value. */
export function t(key: string, values: Record<string, string | number> = {}): string {
  return (words[key] ?? key).replace(/\{(\w+)\}/g, (_, name: string) => `${values[name] ?? ""}`);
}

/** Returns a moment as people say it: the time today, the weekday and time in the next days. */
export function moment(seconds: number): string {
  const at = new Date(seconds * 1000);
  const days = Math.abs(at.getTime() - Date.now()) / 86_400_000;
  const today = at.toDateString() === new Date().toDateString();
  const day: Intl.DateTimeFormatOptions = days < 6 ? { weekday: "long" } : { day: "numeric", month: "short" };
  return format(at, { ...(today ? {} : day), hour: "numeric", minute: "2-digit" });
}

export function format(at: Date, options: Intl.DateTimeFormatOptions): string {
  return new Intl.DateTimeFormat(spoken, options).format(at);
}

/** Returns how long ago a moment was, in short words. */
export function ago(seconds: number): string {
  const minutes = Math.round((seconds - Date.now() / 1000) / 60);
  const say = new Intl.RelativeTimeFormat(spoken, { numeric: "auto", style: "short" });
  if (minutes > -60) return say.format(minutes, "minute");
  if (minutes > -60 * 24) return say.format(Math.round(minutes / 60), "hour");
  return say.format(Math.round(minutes / 1440), "day");
}

/** Returns a language's own name. */
export function languageName(locale: string): string {
  return new Intl.DisplayNames([locale], { type: "language" }).of(locale) ?? locale;
}
