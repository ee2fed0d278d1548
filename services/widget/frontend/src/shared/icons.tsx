const PATHS = {
  send: "M12 19V5m-6.5 6.5L12 5l6.5 6.5",
  stop: "M7 7h10v10H7z",
  close: "M6 6l12 12M18 6L6 18",
  menu: "M5 12h.01M12 12h.01M19 12h.01",
  person: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8Zm-7.5 8.5c.7-3.6 3.7-6 7.5-6s6.8 2.4 7.5 6",
  up: "M7 11v9H4v-9h3Zm0 0 4-8c1.7 0 3 1.3 3 3v3h5.2a2 2 0 0 1 2 2.3l-1.1 7a2 2 0 0 1-2 1.7H7",
  down: "M17 13V4h3v9h-3Zm0 0-4 8c-1.7 0-3-1.3-3-3v-3H4.8a2 2 0 0 1-2-2.3l1.1-7a2 2 0 0 1 2-1.7H17",
  copy: "M9 9h10v11H9zM5 15V4h10",
  check: "M5 12.5l4.5 4.5L19 7.5",
  out: "M14 4h6v6M20 4l-9 9M18 14v6H4V6h6",
  page: "M7 3h7l5 5v13H7zM14 3v5h5",
  arrow: "M5 12h14m-6-6 6 6-6 6",
  clock: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18Zm0-14v5l3.5 2",
  mail: "M4 6h16v12H4zm0 1 8 6 8-6",
  alert: "M12 8v5m0 3.5v.01M12 3 2.5 20h19z",
  spark: "M12 3l1.9 5.6L19.5 10.5l-5.6 1.9L12 18l-1.9-5.6L4.5 10.5l5.6-1.9zM19 16.5v4M17 18.5h4",
  plus: "M12 5v14M5 12h14",
  save: "M12 4v11m-5-5 5 5 5-5M5 20h14",
  globe: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18ZM3 12h18M12 3c2.5 2.6 3.7 5.6 3.7 9s-1.2 6.4-3.7 9c-2.5-2.6-3.7-5.6-3.7-9S9.5 5.6 12 3Z",
  shield: "M12 3l7.5 3v5.5c0 4.5-3 8-7.5 9.5-4.5-1.5-7.5-5-7.5-9.5V6z",
  back: "M9 14l-5-5 5-5M4 9h10a6 6 0 0 1 6 6v4",
};

/** An icon that says nothing to a screen reader: words beside it, or a label, do. */
export function Icon({ name }: { name: keyof typeof PATHS }) {
  return (
    <svg class={`icon icon-${name}`} viewBox="0 0 24 24" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
