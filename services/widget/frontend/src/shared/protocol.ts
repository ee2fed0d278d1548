// What the host page's loader and the chat in its frame say to each other by `postMessage`.

/** From the host page to the frame. */
export type ToFrame =
  | { type: "hello"; locale: string; identified: boolean; open: boolean }
  | { type: "open" }
  | { type: "close" }
  | { type: "identify"; identity: string | undefined }
  | { type: "changed" }
  | { type: "reset" }
  | { type: "prefill"; text: string }
  | { type: "locale"; locale: string };

/** From the frame to the host page. */
export type ToHost =
  | { type: "ready" }
  | { type: "close" }
  | { type: "identify" }
  | { type: "event"; name: EventName; detail?: unknown };

/** What a host page can listen to with `on`. */
export type EventName =
  | "ready"
  | "open"
  | "close"
  | "message"
  | "answer"
  | "handoff"
  | "agent_message"
  | "unread"
  | "identified"
  | "reset"
  | "error";

/** The part of a site that everybody may know; the server writes it into loader and app. */
export interface SiteConfig {
  site: string;
  name: string;
  theme: {
    primary: string;
    on_primary: string;
    primary_dark: string;
    on_primary_dark: string;
    radius: number;
    scheme: "auto" | "light" | "dark";
    logo: string;
  };
  position: { side: "left" | "right"; x: number; y: number; z_index: number };
  hidden_paths: string[];
  locales: string[];
  locale: string;
  texts: Record<string, Record<string, string>>;
  starters: Record<string, string[]>;
  consent: null | { text: Record<string, string>; privacy_url: string; required: boolean };
  handoff: { enabled: boolean; email: "off" | "optional" | "required" };
  identity: "none" | "optional" | "required";
  max_chars: number;
}
