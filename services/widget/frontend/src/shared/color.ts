// Accent colours that can be read: a site's colour is made for buttons, not for text on every surface.

type Rgb = [number, number, number];

function parse(hex: string): Rgb {
  const full = hex.length === 4 ? [...hex.slice(1)].map((c) => c + c).join("") : hex.slice(1, 7);
  return [0, 2, 4].map((at) => parseInt(full.slice(at, at + 2), 16)) as Rgb;
}

function luminance(color: Rgb): number {
  const [r, g, b] = color.map((part) => {
    const share = part / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  }) as Rgb;
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(one: Rgb, other: Rgb): number {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b) as [number, number];
  return (high + 0.05) / (low + 0.05);
}

/** Returns `color`, darkened or lightened until it reads on `surface` at `least` to one. */
export function readable(color: string, surface: string, least = 4.5): string {
  const below = parse(surface);
  const towards = luminance(below) > 0.4 ? 0 : 255;
  let shown = parse(color);
  for (let step = 0; step < 20 && contrast(shown, below) < least; step += 1) {
    shown = shown.map((part) => Math.round(part + (towards - part) * 0.12)) as Rgb;
  }
  return `#${shown.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
}
