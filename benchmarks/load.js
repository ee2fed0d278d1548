// What k6 does for benchmarks/load.py: one question an iteration, to the answer service or through the widget.
import { check } from "k6";
import exec from "k6/execution";
import { SharedArray } from "k6/data";
import http from "k6/http";

const { URL, KEY, SITE, TICKET, ORIGIN, SUFFIX, MODE, SECONDS } = __ENV;
const RATE = Number(__ENV.RATE);
const questions = new SharedArray("questions", () => JSON.parse(open(__ENV.QUESTIONS)));
const duration = `${SECONDS}s`;
const arriving = { executor: "constant-arrival-rate", rate: RATE, timeUnit: "1s", duration, preAllocatedVUs: 64, maxVUs: 256 };
const closed = { executor: "constant-vus", vus: 2, duration };

export const options = {
  scenarios: { load: { ...(RATE > 0 ? arriving : closed), gracefulStop: "20s" } },
  // A threshold makes k6 tell these apart from the other requests of an iteration.
  thresholds: { "http_req_duration{name:ask}": ["p(99)<1e9"], "http_reqs{name:ask}": ["count>=0"] },
  summaryTrendStats: ["med", "p(95)", "p(99)", "max"],
};

export default function () {
  const text = questions[exec.scenario.iterationInTest % questions.length] + SUFFIX;
  const [address, body, headers] = MODE === "widget" ? throughWidget(text) : [`${URL}/v1/chat`, { message: text }, { Authorization: `Bearer ${KEY}` }];
  const told = http.post(address, JSON.stringify(body), { headers: { "Content-Type": "application/json", ...headers }, tags: { name: "ask" }, timeout: "30s" });
  check(told, { answered: (reply) => reply.status === 200 && (MODE !== "widget" || reply.body.includes("event: done")) });
}

function throughWidget(text) {
  const base = `${URL}/widget/v1/${SITE}`;
  const begun = http.post(`${base}/sessions`, JSON.stringify({ ticket: TICKET, origin: ORIGIN }), { headers: { "Content-Type": "application/json" }, tags: { name: "session" } });
  return [`${base}/messages`, { id: uuid(), text }, { Authorization: `Bearer ${begun.json("token")}`, "Twofold-Origin": ORIGIN }];
}

function uuid() {
  const hex = () => Math.floor(Math.random() * 2 ** 32).toString(16).padStart(8, "0");
  const digits = hex() + hex() + hex() + hex();
  return `${digits.slice(0, 8)}-${digits.slice(8, 12)}-4${digits.slice(13, 16)}-8${digits.slice(17, 20)}-${digits.slice(20)}`;
}

export function handleSummary(data) {
  return { stdout: JSON.stringify(data.metrics) };
}
