import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { SiteConfig } from "../../shared/protocol";
import { useStore } from "../../shared/store";
import type { Chat, ChatState } from "../chat";

export const ChatContext = createContext<Chat | undefined>(undefined);

/** Returns the conversation, its state, and the site that it stands on. */
export function useChat(): { chat: Chat; state: ChatState; site: SiteConfig } {
  const chat = useContext(ChatContext)!;
  return { chat, state: useStore(chat), site: chat.shell.config };
}
