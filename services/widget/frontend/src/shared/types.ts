// What goes over HTTP between the chat, the desk and the service (`/openapi.json` has it whole).

export type State = "assistant" | "queued" | "offhours" | "taken" | "reopened" | "closed";

export interface Office {
  open: boolean;
  opens_at: number | null;
}

export interface Handoff {
  id: string;
  team: string;
  reason: string;
  agent: string | null;
  email: string | null;
  office: Office;
}

export interface Citation {
  n: number;
  title: string;
  url: string;
  document: string;
  version: number;
  quote: string;
}

export interface Escalation {
  team: string;
  reason: string;
}

export interface Answer {
  answer_id: string;
  action: "ANSWER" | "CLARIFY" | "ESCALATE" | "DECLINE";
  text: string;
  citations: Citation[];
  escalation: Escalation | null;
  served_by: string;
  rating: "up" | "down" | null;
  /** So many characters had been shown when the visitor stopped it. */
  stopped: number | null;
}

interface Placed {
  seq: number;
  at: number;
}

export interface Question extends Placed {
  kind: "question";
  id: string;
  text: string;
  status: "answering" | "answered" | "failed" | "stopped";
  answer: Answer | null;
}

export interface Message extends Placed {
  kind: "message";
  id: string;
  from: "visitor" | "agent" | "assistant";
  name: string;
  text: string;
}

export interface Change extends Placed {
  kind: "state";
  state: State;
  by: "visitor" | "assistant" | "agent" | "system";
  name: string;
  team: string;
  reason: string;
}

export type Item = Question | Message | Change;

export interface Thread {
  thread_id: string | null;
  state: State;
  handoff: Handoff | null;
  items: Item[];
  seq: number;
  read: number;
  unread: number;
}

export interface Session {
  token: string;
  expires_at: number;
  renewal: string;
  renewal_until: number;
  resumed: boolean;
  visitor: { id: string; kind: "anonymous" | "identified"; name: string; email: string };
  locale: string;
  consented: boolean;
  office: Office;
  quota_left: number | null;
  unread: number;
}

export interface Section {
  heading: string[];
  text: string;
  /** Spans of `text` to highlight, in code points. */
  marks: [number, number][];
}

export interface Source {
  n: number;
  title: string;
  url: string;
  document: string;
  version: number;
  current: boolean;
  heading: string[];
  quote: string;
  sections: Section[];
  at: number;
}

export interface Card {
  id: string;
  thread_id: string | null;
  state: State | "external";
  site: string;
  team: string;
  reason: string;
  reason_text: string;
  /** False where the reason is that the sources could not be searched. */
  searched: boolean;
  customer: string | null;
  visitor: string;
  email: string | null;
  locale: string;
  created_at: number;
  changed_at: number;
  question: string;
  agent: string | null;
  seq: number;
}

export interface Detail extends Card {
  summary: string;
  items: Item[];
  sources: { title: string; url: string; document: string }[];
  suggested_reply: string;
  tried: { question: string; action: Answer["action"]; why: string }[];
}
