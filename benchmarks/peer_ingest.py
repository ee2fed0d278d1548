"""The same corpus through LlamaIndex: IngestionPipeline, docstore, the same embedder, Qdrant.

Run by benchmarks/ingest.py with the interpreter of `--peer-python`, an environment with
llama-index-core, llama-index-vector-stores-qdrant, onnxruntime, tokenizers, httpx and stamina:

    peer_ingest.py TREE MODELS THREADS CHUNK_TOKENS WEIGHTS

WEIGHTS is a folder of packages that holds the embedder's.

Prints one line of JSON: seconds of the first run, and of one with nothing changed. Its Qdrant is
qdrant-client's local mode in memory, which is the fastest that it has without a server.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from llama_index.core import Document
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.node_parser import MarkdownNodeParser, SentenceSplitter
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.vector_stores.qdrant import QdrantVectorStore
from pydantic import PrivateAttr
from qdrant_client import QdrantClient

from twofold.clients.embedder import MiniLM


class Same(BaseEmbedding):
    """Our embedder behind the peer's interface."""

    _model: Any = PrivateAttr()
    seconds: float = 0.0
    texts: int = 0

    def __init__(self, model: MiniLM, **values: Any) -> None:
        super().__init__(**values)
        self._model = model

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        start = time.perf_counter()
        vectors: list[list[float]] = self._model.embed(texts).tolist()
        self.seconds += time.perf_counter() - start
        self.texts += len(texts)
        return vectors

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


def main() -> None:
    tree, models, threads, chunk_tokens, weights = sys.argv[1:6]
    sys.path.append(weights)  # behind the peer's own packages
    embedder = MiniLM.open(Path(models), threads=int(threads))
    embedder.embed(["warm up"] * 64)
    same = Same(embedder, embed_batch_size=512)

    def count(text: str) -> list[int]:
        return [0] * embedder.count_tokens([text])[0]

    splitter = SentenceSplitter(chunk_size=int(chunk_tokens), chunk_overlap=0, tokenizer=count)
    pipeline = IngestionPipeline(
        transformations=[MarkdownNodeParser(), splitter, same],
        docstore=SimpleDocumentStore(),
        docstore_strategy=DocstoreStrategy.UPSERTS_AND_DELETE,
        vector_store=QdrantVectorStore("bench", client=QdrantClient(":memory:")),
    )

    def run() -> float:
        start = time.perf_counter()
        files = sorted(Path(tree).rglob("*.md"))
        documents = [Document(text=f.read_text(encoding="utf-8"), id_=str(f)) for f in files]
        pipeline.run(documents=documents)
        return time.perf_counter() - start

    first = run()
    texts, inside = same.texts, same.seconds
    unchanged = min(run() for _ in range(3))
    print(json.dumps({"first": first, "inside": inside, "unchanged": unchanged, "texts": texts}))


if __name__ == "__main__":
    main()
