// In a shadow root, as a constructed sheet: neither the page's styles nor its CSP reach it.
export const STYLE = `
:host{all:initial;position:fixed;z-index:var(--z)}
:host([hidden]){display:none}
*{box-sizing:border-box}
button,div{position:fixed;z-index:var(--z);right:calc(var(--x) + env(safe-area-inset-right));bottom:calc(var(--y) + env(safe-area-inset-bottom))}
:host(.left) :is(button,div){right:auto;left:calc(var(--x) + env(safe-area-inset-left))}
button{display:flex;align-items:center;gap:10px;height:56px;padding:0 15px;border:1px solid #0000;border-radius:28px;background:var(--p);color:var(--o);font:600 15px system-ui,sans-serif;cursor:pointer;box-shadow:0 8px 24px -4px #0005;transition:.18s}
button:hover{transform:translateY(-2px)}
button:focus-visible{outline:3px solid var(--p);outline-offset:3px}
svg{width:24px;fill:none;stroke:currentColor;stroke-width:1.8;stroke-linecap:round;stroke-linejoin:round}
.down,:host(.open) :is(.chat,i),:empty:is(b,i){display:none}
:host(.open) .down{display:block}
b{font-weight:600}
i{position:absolute;top:-5px;right:-4px;min-width:23px;padding:5px 6px;border:2px solid #fff;border-radius:12px;background:#c8102e;color:#fff;font:600 11px/1 system-ui;text-align:center}
div{margin-bottom:70px;width:min(408px,100vw - 2*var(--x));height:min(700px,100vh - var(--y) - 94px);border-radius:var(--r);overflow:hidden;visibility:hidden;opacity:0;transform:translateY(14px);transition:.2s;background:Canvas;box-shadow:0 0 0 1px #0001,0 24px 64px -12px #0006}
:host(.open) div{visibility:visible;opacity:1;transform:none}
iframe{display:block;width:100%;height:100%;border:0;color-scheme:normal}
@media (max-width:520px),(max-height:460px){
:host(.open) div{inset:var(--t) 0 auto;margin:0;width:100%;height:var(--h);border-radius:0}
:host(.open) button{display:none}
}
@media (prefers-reduced-motion:reduce){*{transition:none!important}}
@media print{:host{display:none}}
`;
