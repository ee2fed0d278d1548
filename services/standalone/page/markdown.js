// Markdown to DOM nodes, from an allow-list: whatever a text holds, nothing but these elements with
// text in them comes out. There are no images and no raw HTML, and a link goes to http(s) or nowhere.

const FENCE = /^\s*(`{3,}|~{3,})(.*)$/;
const HEADING = /^(#{1,6})\s+(.*?)\s*#*$/;
const ITEM = /^(\s*)([-*+]|\d{1,4}[.)])\s+(.*)$/;
const RULE = /^\s*([-*_])(\s*\1){2,}\s*$/;
const QUOTE = /^\s*>\s?(.*)$/;
const DELIMITERS = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;
const DEPTH = 6;

const INLINE = new RegExp(
  [
    "(?<escape>\\\\[\\\\`*_{}\\[\\]()#+.!|<>~-])",
    "(?<ticks>`+)(?<code>[^`]|[^`][\\s\\S]*?[^`])\\k<ticks>(?!`)",
    "!\\[(?<alt>[^\\]]*)\\]\\([^)]*\\)",
    "\\[(?<mark>\\d{1,2})\\](?!\\()",
    "\\[(?<label>(?:[^\\[\\]]|\\\\.)+)\\]\\((?<href>[^()\\s]*(?:\\([^()\\s]*\\)[^()\\s]*)*)(?:\\s+\"[^\"]*\")?\\)",
    "\\*\\*(?<strong>\\S(?:[\\s\\S]*?\\S)?)\\*\\*",
    "(?<![\\w*])\\*(?<em>[^\\s*](?:[^*]*[^\\s*])?)\\*(?![\\w*])",
    "(?<![\\w_])_(?<em2>[^\\s_](?:[^_]*[^\\s_])?)_(?![\\w_])",
    "(?<url>https?://[^\\s<>\"'`\\])]*[^\\s<>\"'`\\]).,;:!?*_])",
  ].join("|"),
  "g",
);

/** A fragment of `text`. `onMark(n)` gives the node for a citation mark, or null to leave it text. */
export function render(text, onMark) {
  const fragment = document.createDocumentFragment();
  blocks(text.split("\n"), fragment, onMark, 0);
  return fragment;
}

function blocks(lines, parent, onMark, depth) {
  let at = 0;
  while (at < lines.length) {
    const line = lines[at];
    if (!line.trim()) at += 1;
    else if (FENCE.test(line)) at = fence(lines, at, parent);
    else if (HEADING.test(line)) at = heading(lines, at, parent, onMark);
    else if (RULE.test(line)) at = rule(at, parent);
    else if (ITEM.test(line) && depth < DEPTH) at = list(lines, at, parent, onMark, depth);
    else if (QUOTE.test(line) && depth < DEPTH) at = quote(lines, at, parent, onMark, depth);
    else if (isTable(lines, at)) at = table(lines, at, parent, onMark);
    else at = paragraph(lines, at, parent, onMark, depth);
  }
}

function fence(lines, at, parent) {
  const [, mark] = FENCE.exec(lines[at]);
  let end = at + 1;
  while (end < lines.length && !lines[end].trim().startsWith(mark)) end += 1;
  const pre = add(parent, "pre");
  pre.tabIndex = 0;
  add(pre, "code").textContent = lines.slice(at + 1, end).join("\n");
  return end + 1;
}

function heading(lines, at, parent, onMark) {
  const [, , words] = HEADING.exec(lines[at]);
  inline(words, add(parent, "h3"), onMark, 0);
  return at + 1;
}

function rule(at, parent) {
  add(parent, "hr");
  return at + 1;
}

function list(lines, at, parent, onMark, depth) {
  const [, indent, bullet] = ITEM.exec(lines[at]);
  const ordered = /\d/.test(bullet);
  const node = add(parent, ordered ? "ol" : "ul");
  if (ordered) node.start = parseInt(bullet, 10);
  while (at < lines.length) {
    const item = ITEM.exec(lines[at]);
    if (!item || item[1].length < indent.length || /\d/.test(item[2]) !== ordered) break;
    const inner = [item[3]];
    at += 1;
    while (at < lines.length && belongs(lines, at, indent.length)) {
      inner.push(lines[at].replace(/^\s{1,4}/, ""));
      at += 1;
    }
    blocks(inner, add(node, "li"), onMark, depth + 1);
  }
  return at;
}

// A line goes on with an item when it is indented under it, or follows it without a gap.
function belongs(lines, at, indent) {
  const line = lines[at];
  if (!line.trim()) return at + 1 < lines.length && leading(lines[at + 1]) > indent && !!lines[at + 1].trim();
  if (leading(line) > indent) return true;
  return !!lines[at - 1].trim() && !startsBlock(line);
}

function quote(lines, at, parent, onMark, depth) {
  const inner = [];
  while (at < lines.length && QUOTE.test(lines[at])) inner.push(QUOTE.exec(lines[at++])[1]);
  blocks(inner, add(parent, "blockquote"), onMark, depth + 1);
  return at;
}

function table(lines, at, parent, onMark) {
  const scroller = add(parent, "div");
  scroller.className = "table";
  scroller.tabIndex = 0;
  const node = add(scroller, "table");
  row(lines[at], add(add(node, "thead"), "tr"), "th", onMark);
  const body = add(node, "tbody");
  for (at += 2; at < lines.length && lines[at].includes("|"); at += 1) {
    row(lines[at], add(body, "tr"), "td", onMark);
  }
  return at;
}

function isTable(lines, at) {
  return lines[at].includes("|") && at + 1 < lines.length && lines[at + 1].includes("-") && DELIMITERS.test(lines[at + 1]);
}

function row(line, parent, tag, onMark) {
  const bare = line.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "");
  for (const cell of bare.split(/(?<!\\)\|/)) inline(cell.trim().replaceAll("\\|", "|"), add(parent, tag), onMark, 0);
}

function paragraph(lines, at, parent, onMark, depth) {
  const words = [lines[at++].trim()];
  while (at < lines.length && lines[at].trim() && !startsBlock(lines[at]) && !isTable(lines, at)) words.push(lines[at++].trim());
  // A line that only cites belongs to what stands above it.
  const before = parent.lastElementChild;
  if (before && depth === 0 && /^(\[\d{1,2}\]\s*)+$/.test(words.join(" "))) {
    const note = add(parent, "p");
    note.className = "cites";
    inline(words.join(" "), note, onMark, 0);
    return at;
  }
  inline(words.join("\n"), add(parent, "p"), onMark, 0);
  return at;
}

function startsBlock(line) {
  return FENCE.test(line) || HEADING.test(line) || ITEM.test(line) || QUOTE.test(line) || RULE.test(line);
}

function inline(text, parent, onMark, depth) {
  let last = 0;
  for (const match of text.matchAll(INLINE)) {
    const g = match.groups;
    const before = text.slice(last, match.index);
    // A mark never begins a line: the space before it does not break.
    plain(g.mark ? before.replace(/ $/, "\u202f") : before, parent);
    last = match.index + match[0].length;
    if (g.escape) plain(g.escape[1], parent);
    else if (g.code !== undefined) add(parent, "code").textContent = g.code.trim() || g.code;
    else if (g.alt !== undefined) plain(g.alt, parent);
    else if (g.mark) parent.append(onMark(Number(g.mark)) ?? match[0]);
    else if (g.label !== undefined) link(g.href, g.label, parent, onMark, depth);
    else if (g.url) link(g.url, g.url, parent, onMark, DEPTH);
    else nested(g.strong !== undefined ? "strong" : "em", g.strong ?? g.em ?? g.em2, parent, onMark, depth);
  }
  plain(text.slice(last), parent);
}

function nested(tag, words, parent, onMark, depth) {
  if (depth >= DEPTH) plain(words, parent);
  else inline(words, add(parent, tag), onMark, depth + 1);
}

function link(href, label, parent, onMark, depth) {
  const url = safeUrl(href);
  const node = url ? add(parent, "a") : parent;
  if (url) aim(node, url);
  if (depth >= DEPTH) plain(label, node);
  else inline(label, node, () => null, DEPTH);
}

/** An absolute http(s) URL, or null. */
export function safeUrl(text) {
  if (!/^https?:\/\//i.test(text)) return null;
  try {
    const url = new URL(text);
    return url.protocol === "https:" || url.protocol === "http:" ? url.href : null;
  } catch {
    return null;
  }
}

export function aim(node, url) {
  node.href = url;
  node.target = "_blank";
  node.rel = "noopener noreferrer nofollow";
}

function plain(text, parent) {
  if (text) parent.append(text);
}

function add(parent, tag) {
  return parent.appendChild(document.createElement(tag));
}

function leading(line) {
  return line.length - line.trimStart().length;
}
