import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { t } from "./i18n";
import { Icon } from "./icons";

interface Props {
  title: string;
  onClose(): void;
  children: ComponentChildren;
}

/** A sheet over everything else: the browser keeps the focus in it and gives it back after. */
export function Sheet({ title, onClose, children }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const node = dialog.current!;
    const before = document.activeElement;
    node.showModal();
    node.querySelector("h2")!.focus();
    return () => {
      node.close();
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  const outside = (event: MouseEvent) => event.target === dialog.current && onClose();
  return (
    <dialog ref={dialog} class="sheet" aria-labelledby="sheet-title" onClose={onClose} onClick={outside}>
      <div class="sheet-body">
        <header class="sheet-head">
          <h2 id="sheet-title" tabIndex={-1}>
            {title}
          </h2>
          <button type="button" class="tool" aria-label={t("dismiss")} onClick={onClose}>
            <Icon name="close" />
          </button>
        </header>
        {children}
      </div>
    </dialog>
  );
}
