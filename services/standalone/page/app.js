// The page: asks, shows the answer as it is written, and finds the conversation again after a reload.

import { aim, render, safeUrl } from "/page/markdown.js";
import { WORDS } from "/page/words.js";

const $ = (id) => document.getElementById(id);
const KEPT = "twofold.conversation";
const CHOSEN = "twofold.choice";
const KEY = "twofold.key";

const state = { house: null, words: WORDS.en, conversation: null, running: null };

// --- small makers -------------------------------------------------------------------------------

function make(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

function button(className, label, onClick) {
  const node = make("button", className, label);
  node.type = "button";
  node.addEventListener("click", onClick);
  return node;
}

function icon(path) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

const THUMB_UP = "M7 11v9H4v-9h3Zm0 0 4-8c1.7 0 3 1.3 3 3v3h5.2a2 2 0 0 1 2 2.3l-1.1 7a2 2 0 0 1-2 1.7H7";
const THUMB_DOWN = "M17 13V4h3v9h-3Zm0 0-4 8c-1.7 0-3-1.3-3-3v-3H4.800a2 2 0 0 1-2-2.300l1.100-7a2 2 0 0 1 2-1.700H17";
const COPY = "M9 9h10v11H9zM5 15V4h10";
const OUT = "M14 4h6v6M20 4l-9 9M18 14v6H4V6h6";

// --- one turn -----------------------------------------------------------------------------------

function addTurn(question) {
  const asked = make("p", "asked", question);
  const heading = make("h2", "unseen", `${state.words.you}: ${question}`);
  const status = make("div", "status", make("span", "dots", make("i"), make("i"), make("i")), state.words.looking);
  const body = make("div", "text");
  const answer = make("article", "answer", status, body);
  const node = make("section", "turn", heading, asked, answer);
  asked.setAttribute("aria-hidden", "true");
  $("turns").querySelector(".newest")?.classList.remove("newest");
  node.classList.add("newest");
  $("turns").append(node);
  $("welcome").hidden = true;
  return { node, answer, status, body, text: "", citations: [], question };
}

function showAction(turn, { action, escalation }) {
  turn.status.remove();
  turn.answer.dataset.action = action;
  turn.badge?.remove();
  turn.badge = make("div", "badge", make("span", "dot"), state.words.actions[action] ?? action);
  turn.answer.prepend(turn.badge);
  if (escalation) showEscalation(turn, escalation);
}

function showEscalation(turn, { team, reason }) {
  const teams = state.house.teams[locale()] ?? {};
  turn.notice?.remove();
  turn.notice = make("aside", "handoff", make("strong", "", state.words.handed(teams[team] ?? team)), make("span", "", `${state.words.reason}: ${reason.replaceAll("_", " ")}`));
  turn.badge.after(turn.notice);
}

function showText(turn) {
  const cites = new Set(turn.citations.map((citation) => citation.n));
  const mark = (n) => {
    if (turn.done && !cites.has(n)) return null;
    const node = button("mark", String(n), () => openSource(turn, n));
    const title = turn.citations.find((citation) => citation.n === n)?.title;
    node.setAttribute("aria-label", state.words.source(n, title ?? ""));
    if (title) node.title = title;
    return node;
  };
  turn.body.replaceChildren(render(turn.text, mark));
}

function showSources(turn) {
  turn.sources?.remove();
  if (!turn.citations.length) return;
  const list = make("ol", "sources");
  for (const citation of turn.citations) list.append(source(citation, turn));
  turn.sources = make("section", "cited", make("h3", "", state.words.sources(turn.citations.length)), list);
  turn.body.after(turn.sources);
  for (const item of list.children) {
    const quote = item.querySelector(".quote");
    item.classList.toggle("long", quote.scrollHeight > quote.clientHeight + 4);
  }
}

function source(citation, turn) {
  const quote = make("blockquote", "quote", render(citation.quote, () => null));
  const url = safeUrl(citation.url);
  const words = citation.title.replaceAll(" > ", " › ");
  const title = url ? make("a", "title", words, icon(OUT)) : make("span", "title", words);
  if (url) {
    aim(title, url);
    title.setAttribute("aria-label", `${citation.title}, ${state.words.newTab}`);
  }
  const where = make("span", "where", `${citation.document} · ${state.words.version(citation.version)}`);
  const number = button("number", String(citation.n), () => openSource(turn, citation.n, true));
  number.setAttribute("aria-label", state.words.source(citation.n, citation.title));
  const item = make("li", "source", number, make("div", "what", title, where, quote));
  item.dataset.n = citation.n;
  item.tabIndex = -1;
  return item;
}

function openSource(turn, n, toggle = false) {
  const item = turn.sources?.querySelector(`[data-n="${n}"]`);
  if (!item) return;
  const open = toggle ? !item.classList.contains("open") : true;
  for (const other of turn.sources.querySelectorAll(".open")) other.classList.remove("open");
  item.classList.toggle("open", open);
  if (!open || toggle) return;
  item.scrollIntoView({ block: "nearest", behavior: calm() ? "auto" : "smooth" });
  item.focus({ preventScroll: true });
}

function finish(turn, answer, rating = null) {
  turn.done = true;
  turn.text = answer.text;
  turn.citations = answer.citations;
  if (!turn.badge) showAction(turn, answer);
  showText(turn);
  showSources(turn);
  turn.answer.append(feedback(turn, answer.answer_id, rating));
}

// --- feedback -----------------------------------------------------------------------------------

function feedback(turn, answerId, rating) {
  const row = make("div", "feedback");
  const buttons = [["up", THUMB_UP], ["down", THUMB_DOWN]].map(([value, path]) => {
    const node = button("tool", icon(path), () => rate(row, answerId, value));
    node.setAttribute("aria-label", state.words[value]);
    node.title = state.words[value];
    node.dataset.rating = value;
    return node;
  });
  const copy = button("tool", icon(COPY), async () => {
    await navigator.clipboard?.writeText(turn.text);
    announce(state.words.copied);
    copy.classList.add("chosen");
    setTimeout(() => copy.classList.remove("chosen"), 1200);
  });
  copy.setAttribute("aria-label", state.words.copy);
  copy.title = state.words.copy;
  row.append(...buttons, copy);
  choose(row, rating);
  return row;
}

function choose(row, rating) {
  for (const node of row.querySelectorAll("[data-rating]")) {
    const chosen = node.dataset.rating === rating;
    node.classList.toggle("chosen", chosen);
    node.setAttribute("aria-pressed", String(chosen));
  }
}

async function rate(row, answerId, rating, comment = "") {
  const reply = await send("/v1/feedback", { answer_id: answerId, rating, comment }).catch(() => null);
  if (!reply?.ok) return announce(state.words.offline);
  choose(row, rating);
  row.querySelector(".said")?.remove();
  if (rating === "down" && !comment) row.append(commentForm(row, answerId));
  else row.append(make("span", "said", state.words.thanks));
  announce(state.words.thanks);
}

function commentForm(row, answerId) {
  row.querySelector("form")?.remove();
  const input = make("input", "comment");
  input.maxLength = 2000;
  input.placeholder = state.words.more;
  input.setAttribute("aria-label", state.words.more);
  const form = make("form", "said", input, make("button", "button", state.words.sendComment));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (input.value.trim()) rate(row, answerId, "down", input.value.trim());
  });
  setTimeout(() => input.focus(), 0);
  return form;
}

// --- asking -------------------------------------------------------------------------------------

async function ask(question) {
  const turn = addTurn(question);
  const abort = new AbortController();
  running(abort);
  turn.node.scrollIntoView({ block: "start", behavior: calm() ? "auto" : "smooth" });
  try {
    await read(turn, question, abort.signal);
  } catch (error) {
    if (!error.said && error.name !== "AbortError") console.error(error);
    fail(turn, error.name === "AbortError" ? state.words.stopped : error.said ?? state.words.broken);
  } finally {
    running(null);
  }
}

async function read(turn, question, signal) {
  const body = { message: question, stream: true, audience: $("audience").value };
  if ($("locale").value) body.locale = $("locale").value;
  if (state.conversation) body.conversation_id = state.conversation;
  const reply = await send("/v1/chat", body, signal);
  if (!reply.ok) throw await problem(reply);
  for await (const [event, data] of events(reply.body)) take(turn, event, data);
  if (!turn.done) throw told(state.words.broken);
}

async function problem(reply) {
  const detail = await reply.json().then((each) => each.detail, () => null);
  if (reply.status === 404) keep(null);
  return told(detail ?? state.words.offline);
}

function take(turn, event, data) {
  if (event === "meta") keep(data.conversation_id);
  else if (event === "action") showAction(turn, data);
  else if (event === "delta") {
    turn.text += data.text;
    showSoon(turn);
  } else if (event === "citations") turn.citations = data.citations;
  else if (event === "done") {
    finish(turn, data);
    announce(`${turn.body.textContent} ${state.words.ready(data.citations.length)}`);
  } else if (event === "error") throw told(data.detail);
}

// The text is drawn once a frame, however many pieces came in it, and always from its beginning.
function showSoon(turn) {
  if (turn.drawing) return;
  turn.drawing = true;
  requestAnimationFrame(() => {
    turn.drawing = false;
    if (!turn.done) showText(turn);
  });
}

async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    buffer += value;
    for (let end = buffer.indexOf("\n\n"); end >= 0; end = buffer.indexOf("\n\n")) {
      const lines = buffer.slice(0, end).split("\n");
      buffer = buffer.slice(end + 2);
      const field = (name) => lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
      if (field("event")) yield [field("event"), JSON.parse(field("data"))];
    }
  }
}

function told(said) {
  return Object.assign(new Error(said), { said });
}

function fail(turn, said) {
  turn.status.remove();
  const again = button("button", state.words.retry, () => {
    turn.node.remove();
    ask(turn.question);
  });
  turn.answer.append(make("p", "failed", said), again);
  announce(said);
}

/** fetch, with the API key once the server has asked for one; it is kept until the tab closes. */
async function call(path, options = {}) {
  const key = sessionStorage.getItem(KEY);
  const headers = { ...options.headers, ...(key && { Authorization: `Bearer ${key}` }) };
  const reply = await fetch(path, { ...options, headers });
  if (reply.status !== 401) return reply;
  const given = window.prompt(state.words.key)?.trim();
  if (!given || given === key) return reply;
  sessionStorage.setItem(KEY, given);
  return call(path, options);
}

async function send(path, body, signal) {
  const headers = { "Content-Type": "application/json" };
  try {
    return await call(path, { method: "POST", headers, body: JSON.stringify(body), signal });
  } catch (error) {
    throw error.name === "AbortError" ? error : told(state.words.offline);
  }
}

function running(abort) {
  state.running = abort;
  document.body.classList.toggle("running", Boolean(abort));
  $("send").setAttribute("aria-label", abort ? state.words.stop : state.words.send);
  $("turns").setAttribute("aria-busy", String(Boolean(abort)));
  enable();
}

// --- the page -----------------------------------------------------------------------------------

function locale() {
  const wanted = $("locale").value || navigator.language.slice(0, 2);
  return state.house.locales.includes(wanted) ? wanted : state.house.locales[0];
}

function calm() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}

function announce(text) {
  $("announce").textContent = text;
}

function keep(conversation) {
  state.conversation = conversation;
  if (conversation) localStorage.setItem(KEPT, conversation);
  else localStorage.removeItem(KEPT);
}

function enable() {
  $("send").disabled = !state.running && !$("question").value.trim();
}

function grow() {
  const field = $("question");
  field.style.height = "auto";
  field.style.height = `${Math.min(field.scrollHeight, 200)}px`;
  enable();
}

function startFresh() {
  state.running?.abort();
  keep(null);
  $("turns").replaceChildren();
  $("welcome").hidden = false;
  $("question").focus();
}

function options(select, pairs, chosen) {
  select.replaceChildren(...pairs.map(([value, label]) => Object.assign(make("option", "", label), { value })));
  select.value = pairs.some(([value]) => value === chosen) ? chosen : pairs[0][0];
}

function say() {
  const words = (state.words = WORDS[locale()] ?? WORDS.en);
  const { company, product, examples } = state.house;
  document.documentElement.lang = locale();
  document.title = words.title(company);
  const texts = {
    title: words.title(company),
    subtitle: words.subtitle(product),
    "label-audience": words.audience,
    "label-locale": words.locale,
    "label-fresh": words.fresh,
    "label-question": words.question,
    "welcome-title": words.welcome,
    "welcome-text": words.welcomeText,
    hint: words.hint,
  };
  for (const [id, text] of Object.entries(texts)) $(id).textContent = text;
  $("question").placeholder = words.placeholder;
  $("fresh").title = words.freshTitle;
  $("fresh").setAttribute("aria-label", words.freshTitle);
  $("send").setAttribute("aria-label", words.send);
  $("examples").replaceChildren(...(examples[locale()] ?? []).map((text) => button("example", text, () => ask(text))));
}

function choices() {
  const chosen = JSON.parse(localStorage.getItem(CHOSEN) ?? "{}");
  const locales = state.house.locales.map((each) => [each, WORDS[each]?.lang ?? each]);
  options($("locale"), [["", state.words.auto], ...locales], chosen.locale);
  state.words = WORDS[locale()] ?? WORDS.en;
  options($("audience"), state.house.audiences.map((each) => [each, state.words.audiences[each] ?? each]), chosen.audience);
}

function remember() {
  localStorage.setItem(CHOSEN, JSON.stringify({ audience: $("audience").value, locale: $("locale").value }));
  choices();
  say();
}

async function restore() {
  const id = localStorage.getItem(KEPT);
  if (!id) return;
  const reply = await call(`/v1/conversations/${encodeURIComponent(id)}`);
  if (!reply.ok) {
    keep(null);
    return announce(state.words.gone);
  }
  state.conversation = id;
  for (const { question, answer, rating } of (await reply.json()).turns) finish(addTurn(question), answer, rating);
  $("turns").lastElementChild?.scrollIntoView({ block: "start" });
}

function listen() {
  $("form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (state.running) return state.running.abort();
    const question = $("question").value.trim();
    if (!question) return;
    $("question").value = "";
    grow();
    ask(question);
  });
  $("question").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    if (!state.running) $("form").requestSubmit();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") state.running?.abort();
    if (event.key === "/" && !event.target.matches("input, textarea, select")) {
      event.preventDefault();
      $("question").focus();
    }
  });
  $("question").addEventListener("input", grow);
  $("fresh").addEventListener("click", startFresh);
  $("audience").addEventListener("change", remember);
  $("locale").addEventListener("change", remember);
}

async function start() {
  state.house = await fetch("/page/house.json").then((reply) => reply.json());
  choices();
  say();
  listen();
  await restore();
  $("welcome").hidden = $("turns").childElementCount > 0;
  enable();
  $("question").focus();
  document.body.dataset.ready = "yes";
}

start();
