"""SmolLM2's layers with LoRA for training on a CPU: few passes over memory, by hand.

Adapters are added to the weights once a step, as they are served, so that a pass is that of the
plain model; their gradients come from what goes into and out of each product. Attention, norms and
the loss have their backward written out. PEFT's model holds the parameters, and saves them.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch.nn import functional

BLOCK = 192
"""Queries of the documents that attention takes at a time."""
ROWS = 32
"""Positions whose logits are made at a time."""


class Pass(NamedTuple):
    """`head` tokens that all see, the turns of all positions, and what branches do not see of each
    other: -inf at (reader, read), both counted from the head's end."""

    head: int
    cos: torch.Tensor
    sin: torch.Tensor
    apart: torch.Tensor


class Product:
    """Frozen matrices that read the same, with their adapters; `weight` is what they come to."""

    def __init__(self, modules: Sequence[Any]) -> None:
        self.tuned = [m for m in modules if hasattr(m, "lora_A")]
        bases = [m.base_layer if hasattr(m, "lora_A") else m for m in modules]
        self.base = torch.cat([base.weight.detach() for base in bases])
        self.weight = self.base
        if self.tuned:
            self.weight = self.base.clone()
            self.scale = self.tuned[0].scaling["default"]
            self.downs = [m.lora_A["default"].weight for m in self.tuned]
            self.ups = [m.lora_B["default"].weight for m in self.tuned]

    def renew(self) -> None:
        """After a change of the adapters."""
        self.down = torch.cat([w.detach() for w in self.downs]).bfloat16()
        up = torch.block_diag(*[w.detach() * self.scale for w in self.ups])
        self.up = up.bfloat16()
        torch.addmm(self.base, self.up, self.down, out=self.weight)
        self.down_grad = torch.zeros(self.down.shape)
        self.up_grad = torch.zeros(up.shape)

    def hand_over(self) -> None:
        """The gradients to the adapters' parameters."""
        rank = self.downs[0].shape[0]
        at = 0
        for n, (down, up) in enumerate(zip(self.downs, self.ups, strict=True)):
            mine = slice(n * rank, (n + 1) * rank)
            down.grad = self.down_grad[mine].clone()
            up.grad = self.up_grad[at : at + up.shape[0], mine] * self.scale
            at += up.shape[0]


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, product: Product) -> torch.Tensor:
        ctx.save_for_backward(x)
        ctx.product = product
        return x @ product.weight.t()

    @staticmethod
    def backward(ctx: Any, given: torch.Tensor) -> tuple[torch.Tensor, None]:
        (x,) = ctx.saved_tensors
        product = ctx.product
        if product.tuned:
            inner = given @ product.up
            product.up_grad += (given.t() @ (x @ product.down.t())).float()
            product.down_grad += (inner.t() @ x).float()
        return given @ product.weight, None


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, least: float) -> torch.Tensor:
        wide = x.float()
        inverse = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
        inverse = inverse.square_().div_(x.shape[-1]).add_(least).rsqrt_()
        unit = wide.mul_(inverse).bfloat16()
        ctx.save_for_backward(unit, inverse, weight)
        return unit * weight

    @staticmethod
    def backward(ctx: Any, given: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        unit, inverse, weight = ctx.saved_tensors
        given = (given * weight).float()
        mean = (given * unit).mean(-1, keepdim=True)
        return given.addcmul_(unit.float(), mean, value=-1).mul_(inverse).bfloat16(), None, None


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, both: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(both)
        gate, up = both.chunk(2, -1)
        return functional.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, given: torch.Tensor) -> torch.Tensor:
        (both,) = ctx.saved_tensors
        gate, up = both.chunk(2, -1)
        back = torch.empty_like(both)
        first, second = back.chunk(2, -1)
        torch.mul(functional.silu(gate), given, out=second)
        first.copy_(torch.ops.aten.silu_backward(given * up, gate))
        return back


class _Attention(torch.autograd.Function):
    """Queries, keys and values side by side (length, heads) -> what is read (length, heads)."""

    @staticmethod
    def forward(ctx: Any, mixed: torch.Tensor, shape: Any, over: Pass) -> torch.Tensor:
        many, few, size = shape
        length = mixed.shape[0]
        heads = mixed.view(length, many + 2 * few, size).transpose(0, 1)
        turned = _turn(heads[: many + few], over.cos, over.sin)
        query = (turned[:many] * size**-0.5).view(few, many // few, length, size)
        key, value = turned[many:], heads[many + few :].contiguous()
        said = torch.empty(few, many // few, length, size, dtype=mixed.dtype)
        kept = []
        for start, end in _segments(over, length):
            width = end - start
            asked = query[:, :, start:end].reshape(few, -1, size)
            scores = asked @ key[:, :end].transpose(1, 2)
            scores = scores.view(few, many // few, width, end)
            scores[..., start:] += over.apart if start == over.head else _future(width)
            weights = scores.softmax(-1).view(few, -1, end)
            said[:, :, start:end] = (weights @ value[:, :end]).view(few, -1, width, size)
            kept.append((asked, weights))
        ctx.kept, ctx.shape, ctx.over, ctx.read = kept, shape, over, (key, value)
        return said.view(many, length, size).transpose(0, 1).reshape(length, many * size)

    @staticmethod
    def backward(ctx: Any, given: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        many, few, size = ctx.shape
        keys, values = ctx.read
        length = keys.shape[1]
        given = given.view(length, few, many // few, size).permute(1, 2, 0, 3)
        turned = torch.zeros(many + few, length, size, dtype=given.dtype)
        query = turned[:many].view(few, many // few, length, size)
        key, value = torch.zeros(2, few, length, size).unbind()  # sums, so in float32
        segments = _segments(ctx.over, length)
        for (start, end), (asked, weights) in zip(segments, ctx.kept, strict=True):
            piece = given[:, :, start:end].reshape(few, -1, size)
            value[:, :end] += weights.transpose(1, 2) @ piece
            scores = torch._softmax_backward_data(
                piece @ values[:, :end].transpose(1, 2), weights, -1, weights.dtype
            )
            query[:, :, start:end] = (scores @ keys[:, :end]).view(few, -1, end - start, size)
            key[:, :end] += scores.transpose(1, 2) @ asked
        turned[:many] *= size**-0.5
        turned[many:] = key
        back = torch.empty(length, many + 2 * few, size, dtype=given.dtype)
        back[:, : many + few] = _turn(turned, ctx.over.cos, -ctx.over.sin).transpose(0, 1)
        back[:, many + few :] = value.transpose(0, 1)
        return back.view(length, -1), None, None


def _turn(heads: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    first, second = heads.chunk(2, -1)
    turned = torch.empty(heads.shape, dtype=heads.dtype)
    one, two = turned.chunk(2, -1)
    torch.mul(first, cos, out=one)
    one.addcmul_(second, sin, value=-1)
    torch.mul(second, cos, out=two)
    two.addcmul_(first, sin)
    return turned


def _segments(over: Pass, length: int) -> list[tuple[int, int]]:
    """Queries that attention takes at a time: the documents in blocks, all branches together."""
    blocks = [(at, min(at + BLOCK, over.head)) for at in range(0, over.head, BLOCK)]
    return [*blocks, (over.head, length)]


def _apart(batch: Any) -> torch.Tensor:
    """-inf where a branch would see another, or what comes later."""
    starts = torch.tensor((batch.head, *batch.ends))
    branch = torch.arange(len(starts) - 1).repeat_interleave(starts.diff())
    seen = (branch[:, None] == branch[None]).tril()
    return torch.zeros(seen.shape, dtype=torch.bfloat16).masked_fill_(~seen, float("-inf"))


_FUTURE: dict[int, torch.Tensor] = {}


def _future(width: int) -> torch.Tensor:
    if width not in _FUTURE:
        _FUTURE[width] = torch.full((width, width), float("-inf"), dtype=torch.bfloat16).triu(1)
    return _FUTURE[width]


class Fast:
    """A PEFT model's passes. `renew` after each change of its parameters."""

    def __init__(self, model: Any) -> None:
        inner = model.get_base_model()
        self._config, self._model = inner.config, inner.model
        self._head = inner.lm_head.weight.detach()
        self._layers = [
            (
                layer.input_layernorm.weight.detach(),
                Product([getattr(layer.self_attn, f"{n}_proj") for n in "qkv"]),
                Product([layer.self_attn.o_proj]),
                layer.post_attention_layernorm.weight.detach(),
                Product([layer.mlp.gate_proj, layer.mlp.up_proj]),
                Product([layer.mlp.down_proj]),
            )
            for layer in inner.model.layers
        ]
        self._tuned = [p for layer in self._layers for p in layer if isinstance(p, Product)]
        self._tuned = [product for product in self._tuned if product.tuned]
        self.renew()

    def renew(self) -> None:
        for product in self._tuned:
            product.renew()

    def hand_over(self) -> None:
        for product in self._tuned:
            product.hand_over()

    def loss(self, batch: Any, share: float) -> float:
        """Weighted sum of the replies' cross entropy; gradients of `share` times it are added."""
        at, last = self._read(batch)
        weights = batch.weights[at]
        loss, grad = _loss(last.detach(), self._head, batch.labels[at], weights, share)
        last.backward(grad)
        return loss

    @torch.no_grad()
    def told(self, batch: Any) -> list[tuple[list[int], list[int]]]:
        """Of each branch its reply's tokens, and what the model would say in place of each. A
        greedy reply is the reply where all are the same, and begins like it as far as they are."""
        at, last = self._read(batch)
        said = torch.cat([(x @ self._head.t()).argmax(-1) for x in last.split(ROWS)])
        labels = batch.labels[at]
        ends = torch.tensor(batch.ends)
        branch = (at[:, None] >= ends[None]).sum(1)
        return [
            (labels[branch == n].tolist(), said[branch == n].tolist()) for n in range(len(ends))
        ]

    def _read(self, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Places of the replies' tokens, and what the model knows before each."""
        config = self._config
        ids, positions = batch.ids[0], batch.positions[0]
        cos, sin = self._model.rotary_emb(torch.empty(1, dtype=torch.bfloat16), positions[None])
        half = cos.shape[-1] // 2
        over = Pass(batch.head, cos[0, :, :half], sin[0, :, :half], _apart(batch))
        many, few = config.num_attention_heads, config.num_key_value_heads
        shape = (many, few, config.hidden_size // many)
        least = config.rms_norm_eps
        x = self._model.embed_tokens.weight.detach()[ids]
        for norm, qkv, out, after, gates, down in self._layers:
            if qkv.tuned and torch.is_grad_enabled() and not x.requires_grad:
                x.requires_grad_()
            read = _Attention.apply(_Linear.apply(_Norm.apply(x, norm, least), qkv), shape, over)
            x = x + _Linear.apply(read, out)
            both = _Linear.apply(_Norm.apply(x, after, least), gates)
            x = x + _Linear.apply(_Gated.apply(both), down)
        at = (batch.labels != -100).nonzero().flatten()
        return at, _Norm.apply(x[at - 1], self._model.norm.weight.detach(), least)


def _loss(
    hidden: torch.Tensor,
    head: torch.Tensor,
    labels: torch.Tensor,
    weights: torch.Tensor,
    share: float,
) -> tuple[float, torch.Tensor]:
    total, grads = 0.0, []
    parts = (hidden.split(ROWS), labels.split(ROWS), weights.split(ROWS))
    for x, y, counts in zip(*parts, strict=True):
        logits = (x @ head.t()).float()
        sums = logits.logsumexp(-1, keepdim=True)
        total += float(((sums[:, 0] - logits.gather(1, y[:, None])[:, 0]) * counts).sum())
        logits.sub_(sums).exp_()
        logits[torch.arange(len(y)), y] -= 1.0
        grads.append(logits.mul_(counts[:, None] * share).bfloat16() @ head)
    return total, torch.cat(grads)
