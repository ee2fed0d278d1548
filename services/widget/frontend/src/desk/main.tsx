import { render } from "preact";
import "../shared/base.css";
import "./desk.css";
import { choose, filesOf, speak } from "../shared/i18n";
import { Desk } from "./desk";
import { App } from "./ui/app";
import { DeskContext } from "./ui/context";

const files = filesOf(import.meta.glob<Record<string, string>>("../../locales/desk/*.json", { import: "default" }));
const desk = new Desk();

await speak(choose(navigator.languages, Object.keys(files), "en"), files);
render(
  <DeskContext.Provider value={desk}>
    <App />
  </DeskContext.Provider>,
  document.getElementById("root")!,
);
await desk.start();
