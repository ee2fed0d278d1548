// What may be shown of a text that somebody else wrote.

// Marks that turn reading direction or hide characters: a name or a link that holds them reads as
// something it is not. Each text gets its direction by `dir="auto"` instead.
const BIDI = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
// Everything below a space but tab and newline, and what is drawn as nothing.
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u200b\u2060-\u2064\u206a-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;

/** Returns the text without characters that steer the reader instead of being read. */
export function clean(text: string): string {
  return text.replace(BIDI, "").replace(UNSEEN, "");
}

/** Returns the address and host of an absolute http(s) URL; undefined for everything else. */
export function webAddress(text: string): { href: string; host: string } | undefined {
  if (!/^https?:\/\//i.test(text)) return undefined;
  try {
    const url = new URL(clean(text));
    const web = url.protocol === "https:" || url.protocol === "http:";
    // A user name before the host (https://bank.example@evil.example) serves only to deceive.
    return web && !url.username && !url.password ? { href: url.href, host: url.host } : undefined;
  } catch {
    return undefined;
  }
}

/** Returns up to two initials of a name, for an avatar. */
export function initials(name: string): string {
  const words = clean(name).trim().split(/\s+/).filter(Boolean);
  const picked = words.length > 1 ? [words[0]!, words.at(-1)!] : words;
  return picked.map((word) => [...word][0]!.toLocaleUpperCase()).join("");
}
