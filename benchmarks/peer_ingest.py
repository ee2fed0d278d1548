"""The same corpus through LlamaIndex: IngestionPipeline, docstore, the same embedder, Qdrant.

Run by benchmarks/ingest.py with the interpreter of `--peer-python`, an environment with
llama-index-core, llama-index-vector-stores-qdrant, onnxruntime, tokenizers, httpx and stamina:

    peer_ingest.py TREE MODELS THREADS CHUNK_TOKENS WEIGHTS STORE EMBEDDER

WEIGHTS is a folder of packages that holds the embedder's; EMBEDDER is `real` or `instant`. STORE is

- a folder: what is written outlives the process, as with ours. The docstore is persisted after a
  run that changed something, and Qdrant is qdrant-client's local mode on that folder, which is what
  it has without a server; it commits every point;
- `memory`: nothing outlives the process. No user of ours has that, but it is the peer's fastest.

Both get the peer's best: no cache of transformations, which a docstore makes needless, and batches
for the embedder as large as ours.

Prints one line of JSON: seconds of the first run, and of one with nothing changed.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from llama_index.core import Document
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.node_parser import MarkdownNodeParser, SentenceSplitter
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.vector_stores.qdrant import QdrantVectorStore
from pydantic import PrivateAttr
from qdrant_client import QdrantClient

from twofold.clients.embedder import MiniLM

REPEATS = 7


class Same(BaseEmbedding):
    """Our embedder behind the peer's interface; `alone` is a second time, as in `Recording` of
    benchmarks/ingest.py. `instant` gives vectors at no cost instead."""

    _model: Any = PrivateAttr()
    _instant: bool = PrivateAttr()
    seconds: float = 0.0
    alone: float = 0.0
    texts: int = 0

    def __init__(self, model: MiniLM, *, instant: bool, **values: Any) -> None:
        super().__init__(**values)
        self._model = model
        self._instant = instant

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        start = time.perf_counter()
        if self._instant:
            vectors = np.random.default_rng(0).standard_normal((len(texts), 384), np.float32)
        else:
            vectors = self._model.embed(texts)
        rows: list[list[float]] = vectors.tolist()
        self.seconds += time.perf_counter() - start
        if not self._instant:
            start = time.perf_counter()
            self._model.embed(texts)
            self.alone += time.perf_counter() - start
        self.texts += len(texts)
        return rows

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


def main() -> None:
    tree, models, threads, chunk_tokens, weights, store, kind = sys.argv[1:8]
    sys.path.append(weights)  # behind the peer's own packages
    embedder = MiniLM.open(Path(models), threads=int(threads))
    embedder.embed(["warm up"] * 64)
    same = Same(embedder, instant=kind == "instant", embed_batch_size=512)

    def count(text: str) -> list[int]:
        return [0] * embedder.count_tokens([text])[0]

    splitter = SentenceSplitter(chunk_size=int(chunk_tokens), chunk_overlap=0, tokenizer=count)
    lasting = store != "memory"
    client = QdrantClient(path=f"{store}/qdrant") if lasting else QdrantClient(":memory:")
    docstore = SimpleDocumentStore()
    pipeline = IngestionPipeline(
        transformations=[MarkdownNodeParser(), splitter, same],
        docstore=docstore,
        docstore_strategy=DocstoreStrategy.UPSERTS_AND_DELETE,
        vector_store=QdrantVectorStore("bench", client=client),
        disable_cache=True,
    )

    def run() -> float:
        start = time.perf_counter()
        files = sorted(Path(tree).rglob("*.md"))
        documents = [Document(text=f.read_text(encoding="utf-8"), id_=str(f)) for f in files]
        if pipeline.run(documents=documents) and lasting:
            docstore.persist(f"{store}/docstore.json")
        return time.perf_counter() - start

    first = run() - same.alone
    told = {"first": first, "alone": same.alone, "inside": same.seconds, "texts": same.texts}
    told["unchanged"] = min(run() for _ in range(REPEATS))
    client.close()
    print(json.dumps(told))


if __name__ == "__main__":
    main()
