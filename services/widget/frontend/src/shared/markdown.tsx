// Markdown to elements, from an allow-list: whatever a text holds, nothing comes out but these
// elements with text in them. There are no images and no raw HTML; a link goes to http(s) or nowhere.

import type { ComponentChildren, VNode } from "preact";
import { clean, webAddress } from "./text";

const FENCE = /^\s*(`{3,}|~{3,})(.*)$/;
// Each takes time in proportion to its line: a page that is quoted may be made to hold the tab.
const HEADING = /^ {0,3}(#{1,6})\s+(.*)$/;
const ITEM = /^(\s*)([-*+]|\d{1,4}[.)])\s+(.*)$/;
const RULE = /^\s*([-*_])(\s*\1){2,}\s*$/;
const QUOTE = /^\s*>\s?(.*)$/;
const DELIMITERS = /^\|?:?-+:?(\|:?-+:?)*\|?$/;
const ONLY_MARKS = /^(\[\d{1,2}\]\s*)+$/;
const DEPTH = 6;

const INLINE = new RegExp(
  [
    "(?<escape>\\\\[\\\\`*_{}\\[\\]()#+.!|<>~-])",
    "(?<!`)(?<ticks>`+)(?!`)(?<code>[^`]|[^`][\\s\\S]*?[^`])\\k<ticks>(?!`)",
    "!\\[(?<alt>[^\\[\\]]*)\\]\\([^()]*\\)",
    "\\[(?<mark>\\d{1,2})\\](?!\\()",
    "\\[(?<label>(?:[^\\[\\]\\\\]|\\\\.)+)\\]\\((?<href>[^()\\s]*(?:\\([^()\\s]*\\)[^()\\s]*)*)(?:\\s+\"[^\"]*\")?\\)",
    "\\*\\*(?!\\s)(?<strong>(?:(?!\\*\\*)[\\s\\S])+)(?<!\\s)\\*\\*",
    "(?<![\\w*])\\*(?<em>[^\\s*](?:[^*]*[^\\s*])?)\\*(?![\\w*])",
    "(?<![\\w_])_(?<em2>[^\\s_](?:[^_]*[^\\s_])?)_(?![\\w_])",
    "(?<url>https?://[^\\s<>\"'`\\])]*[^\\s<>\"'`\\]).,;:!?*_])",
  ].join("|"),
  "g",
);

/** Makes the node of a citation mark `[n]`; undefined leaves the mark out. */
export type Mark = (n: number) => ComponentChildren;

/** Returns the elements of a Markdown text that somebody else wrote. */
export function markdown(text: string, mark: Mark = () => undefined): ComponentChildren {
  highlit = false;
  return blocks(clean(text).replace(OWN, "").split("\n"), mark, 0);
}

/** Returns a Markdown text as a screen reader shall say it: the words of its elements alone. */
export function spokenText(text: string): string {
  return words(markdown(text)).replace(/\s+/g, " ").trim();
}

function words(node: ComponentChildren): string {
  if (Array.isArray(node)) return node.map(words).join("");
  if (typeof node === "string") return node;
  if (!node || typeof node !== "object") return "";
  const { type, props } = node as VNode<{ class?: string; children?: ComponentChildren }>;
  if (props.class === "host") return "";
  const inner = words(props.children);
  if (type === "th" || type === "td") return `${inner}, `;
  if (type === "tr") return `${inner.replace(/, $/, ".")} `;
  return ["p", "h3", "li", "pre"].includes(type as string) ? `${inner} ` : inner;
}

// Two private characters stand for the ends of a highlighted span while its text is read.
const BEGIN = "\ue000";
const END = "\ue001";
const OWN = /[\ue000\ue001]/g;
const LEAD = /^[ \t]*(?:(?:[-*+]|\d{1,4}[.)]|#{1,6}|>)[ \t]+|\|)*[ \t]*/;
let highlit = false;

/** Returns the elements of a Markdown text with spans of it (in code points) highlighted. */
export function marked(text: string, spans: [number, number][]): ComponentChildren {
  const points = [...text.replace(OWN, "\ufffd")];
  for (const [from, to] of [...spans].sort((one, other) => other[0] - one[0])) {
    let end = Math.min(to, points.length);
    while (end > from && points[end - 1] === "\n") end -= 1;
    points.splice(end, 0, END);
    points.splice(behindLead(points, from), 0, BEGIN);
  }
  highlit = false;
  return blocks(clean(points.join("")).split("\n"), () => undefined, 0);
}

// A span begins behind what makes its line a heading or an item.
function behindLead(points: string[], from: number): number {
  if (from > 0 && points[from - 1] !== "\n") return from;
  const next = points.indexOf("\n", from);
  const line = points.slice(from, next < 0 ? points.length : next).join("");
  return from + (FENCE.test(line) && next >= 0 ? [...line].length + 1 : [...(LEAD.exec(line)?.[0] ?? "")].length);
}

/** Returns text as it is shown: what lies in a highlighted span as `mark`. */
function leaf(text: string): ComponentChildren {
  if (!highlit && !text.includes(BEGIN)) return text.replace(OWN, "");
  return text.split(/([\ue000\ue001])/).map((part) => {
    if (part === BEGIN || part === END) highlit = part === BEGIN;
    else if (part) return highlit ? <mark>{part}</mark> : part;
    return undefined;
  });
}

// A heading without the # that may close it, as they opened it.
function unclosed(heading: string): string {
  let end = heading.trimEnd().length;
  while (heading[end - 1] === "#") end -= 1;
  return heading.slice(0, end).trimEnd();
}

type Found = [node: VNode | undefined, next: number];

function blocks(lines: string[], mark: Mark, depth: number): VNode[] {
  const nodes: VNode[] = [];
  for (let at = 0; at < lines.length; ) {
    const [node, next] = block(lines, at, mark, depth);
    if (node) nodes.push(node);
    at = next;
  }
  return nodes;
}

function block(lines: string[], at: number, mark: Mark, depth: number): Found {
  const line = lines[at]!;
  if (!line.trim()) return [undefined, at + 1];
  if (FENCE.test(line)) return fence(lines, at);
  const heading = HEADING.exec(line);
  if (heading) return [<h3>{inline(unclosed(heading[2]!), mark, 0)}</h3>, at + 1];
  if (RULE.test(line)) return [<hr />, at + 1];
  if (ITEM.test(line) && depth < DEPTH) return list(lines, at, mark, depth);
  if (QUOTE.test(line) && depth < DEPTH) return quote(lines, at, mark, depth);
  if (isTable(lines, at)) return table(lines, at, mark);
  return paragraph(lines, at, mark, depth);
}

function fence(lines: string[], at: number): Found {
  const ticks = FENCE.exec(lines[at]!)![1]!;
  let end = at + 1;
  while (end < lines.length && !lines[end]!.trim().startsWith(ticks)) end += 1;
  const code = <code dir="ltr">{leaf(lines.slice(at + 1, end).join("\n"))}</code>;
  // A box that scrolls has to be reachable by keyboard.
  return [<pre tabIndex={0}>{code}</pre>, end + 1];
}

function list(lines: string[], at: number, mark: Mark, depth: number): Found {
  const [, indent, bullet] = ITEM.exec(lines[at]!)!;
  const ordered = /\d/.test(bullet!);
  const items: VNode[] = [];
  for (;;) {
    const item = at < lines.length ? ITEM.exec(lines[at]!) : null;
    if (!item || item[1]!.length < indent!.length || /\d/.test(item[2]!) !== ordered) break;
    const inner = [item[3]!];
    at += 1;
    while (at < lines.length && belongs(lines, at, indent!.length)) {
      inner.push(lines[at]!.replace(/^\s{1,4}/, ""));
      at += 1;
    }
    const [only, ...others] = blocks(inner, mark, depth + 1);
    const tight = !others.length && only?.type === "p";
    items.push(<li>{tight ? only.props.children : [only, ...others]}</li>);
  }
  return [ordered ? <ol start={parseInt(bullet!, 10)}>{items}</ol> : <ul>{items}</ul>, at];
}

// A line goes on with an item when it is indented under it, or follows it without a gap.
function belongs(lines: string[], at: number, indent: number): boolean {
  const line = lines[at]!;
  const next = lines[at + 1];
  if (!line.trim()) return !!next?.trim() && leading(next) > indent;
  return leading(line) > indent || (!!lines[at - 1]!.trim() && !startsBlock(line));
}

function quote(lines: string[], at: number, mark: Mark, depth: number): Found {
  const inner: string[] = [];
  for (; at < lines.length; at += 1) {
    const found = QUOTE.exec(lines[at]!);
    if (!found) break;
    inner.push(found[1]!);
  }
  return [<blockquote>{blocks(inner, mark, depth + 1)}</blockquote>, at];
}

function table(lines: string[], at: number, mark: Mark): Found {
  const head = cells(lines[at]!).map((cell) => <th>{inline(cell, mark, 0)}</th>);
  const rows: VNode[] = [];
  for (at += 2; at < lines.length && lines[at]!.includes("|"); at += 1) {
    rows.push(<tr>{cells(lines[at]!).map((cell) => <td>{inline(cell, mark, 0)}</td>)}</tr>);
  }
  const found = (
    <div class="table" tabIndex={0}>
      <table>
        <thead>
          <tr>{head}</tr>
        </thead>
        <tbody>{rows}</tbody>
      </table>
    </div>
  );
  return [found, at];
}

function isTable(lines: string[], at: number): boolean {
  const below = lines[at + 1];
  return lines[at]!.includes("|") && !!below?.includes("-") && DELIMITERS.test(below.replace(/\s/g, ""));
}

function cells(line: string): string[] {
  const bare = line.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "");
  return bare.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
}

function paragraph(lines: string[], at: number, mark: Mark, depth: number): Found {
  const words = [lines[at]!.trim()];
  for (at += 1; at < lines.length && lines[at]!.trim(); at += 1) {
    if (startsBlock(lines[at]!) || isTable(lines, at)) break;
    words.push(lines[at]!.trim());
  }
  const cites = depth === 0 && ONLY_MARKS.test(words.join(" "));
  return [<p class={cites ? "cites" : undefined}>{inline(words.join("\n"), mark, 0)}</p>, at];
}

function startsBlock(line: string): boolean {
  return [FENCE, HEADING, ITEM, QUOTE, RULE].some((each) => each.test(line));
}

function inline(text: string, mark: Mark, depth: number): ComponentChildren[] {
  const nodes: ComponentChildren[] = [];
  let last = 0;
  for (const match of text.matchAll(INLINE)) {
    const found = match.groups!;
    const before = text.slice(last, match.index);
    // A mark never begins a line: the space before it does not break.
    if (before) nodes.push(leaf(found["mark"] ? before.replace(/ $/, "\u00a0") : before));
    nodes.push(piece(found, mark, depth));
    last = match.index + match[0].length;
  }
  if (last < text.length) nodes.push(leaf(text.slice(last)));
  return nodes;
}

function piece(found: Record<string, string>, mark: Mark, depth: number): ComponentChildren {
  if (found["escape"]) return leaf(found["escape"][1]!);
  if (found["code"] !== undefined) return <code dir="ltr">{leaf(found["code"].trim() || found["code"])}</code>;
  if (found["alt"] !== undefined) return leaf(found["alt"]);
  if (found["mark"]) return mark(Number(found["mark"]));
  if (found["label"] !== undefined) return link(found["href"]!, found["label"]);
  if (found["url"]) return link(found["url"]);
  const strong = found["strong"];
  const words = strong ?? found["em"] ?? found["em2"]!;
  if (depth >= DEPTH) return leaf(words);
  const inner = inline(words, mark, depth + 1);
  return strong === undefined ? <em>{inner}</em> : <strong>{inner}</strong>;
}

/** A link says where it goes: its host stands behind its words. */
function link(target: string, label?: string): ComponentChildren {
  const address = webAddress(target.replace(OWN, ""));
  const words = label?.replace(/\\(.)/g, "$1");
  if (!address) return leaf(words ?? target);
  // A bare address is shown as the browser reads it: a host in look-alike letters as xn--….
  const shown = words === undefined ? address.href.replace(/^(https?:\/\/[^/?#]+)\/$/, "$1") : leaf(words);
  return (
    <a href={address.href} target="_blank" rel="noopener noreferrer nofollow ugc">
      {shown}
      {words !== undefined && <span class="host"> ({address.host})</span>}
    </a>
  );
}

function leading(line: string): number {
  return line.length - line.trimStart().length;
}
