import { createContext } from "preact";
import { useContext } from "preact/hooks";
import { useStore } from "../../shared/store";
import type { Desk, DeskState } from "../desk";

export const DeskContext = createContext<Desk | undefined>(undefined);

export function useDesk(): { desk: Desk; state: DeskState } {
  const desk = useContext(DeskContext)!;
  return { desk, state: useStore(desk) };
}
