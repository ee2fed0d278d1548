"""The same questions over the same chunks through LlamaIndex or Haystack, up to the prompt.

Run by benchmarks/question.py with the interpreter of `--peer-python`, an environment with
llama-index-core, llama-index-vector-stores-qdrant, llama-index-retrievers-bm25, haystack-ai,
qdrant-client, onnxruntime, tokenizers, httpx and stamina:

    peer_question.py llamaindex|haystack DATA MODELS WEIGHTS

DATA holds chunks.json (texts), vectors.npy and questions.json; MODELS and WEIGHTS are as
benchmarks/peer_ingest.py says. Both peers get the same chunks, vectors, embedder (one thread),
depth and number of passages in the prompt, and are built as their documentation builds a hybrid
search: LlamaIndex with Qdrant's local mode, its BM25 retriever and its fusion retriever; Haystack
as a pipeline of its in-memory retrievers, joiner and prompt builder. No filters, no versions, no
model.

Prints one line of JSON: CPU milliseconds of each question in all, and without what embedding,
tokenizing for and asking the two indexes took, which is measured within.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from twofold.clients.embedder import MiniLM

DEPTH, KEPT, PACKED = 30, 20, 6
WARM_UP = 20
PROMPT = """Answer from the documents only, and cite them.

{documents}

Question: {question}
"""


class Inside:
    """CPU seconds spent in what is not the framework's own."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **named: Any) -> Any:
            start = time.process_time()
            try:
                return call(*args, **named)
            finally:
                self.seconds += time.process_time() - start

        return timed


def main() -> None:
    name, data, models, weights = sys.argv[1:5]
    sys.path.append(weights)  # behind the peer's own packages
    chunks = json.loads((Path(data) / "chunks.json").read_text())
    vectors = np.load(Path(data) / "vectors.npy")
    questions = json.loads((Path(data) / "questions.json").read_text())
    embedder, inside = MiniLM.open(Path(models), threads=1), Inside()
    embed = inside.timed(lambda text: embedder.embed([text])[0].tolist())
    build = {"llamaindex": llamaindex, "haystack": haystack}[name]
    assemble = build(chunks, vectors.tolist(), embed, inside)
    for question in questions[:WARM_UP]:
        assert "Question: " + question in assemble(question)
    whole, own = [], []
    for question in questions:
        inside.seconds, start = 0.0, time.process_time()
        assemble(question)
        taken = time.process_time() - start
        whole.append(taken * 1000)
        own.append((taken - inside.seconds) * 1000)
    print(json.dumps({"whole": whole, "own": own}))


def llamaindex(
    chunks: list[str], vectors: list[list[float]], embed: Callable[[str], Any], inside: Inside
) -> Callable[[str], str]:
    import bm25s
    from llama_index.core import PromptTemplate, VectorStoreIndex
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from llama_index.core.llms import MockLLM
    from llama_index.core.retrievers import QueryFusionRetriever
    from llama_index.core.schema import TextNode
    from llama_index.retrievers.bm25 import BM25Retriever
    from llama_index.vector_stores.qdrant import QdrantVectorStore
    from qdrant_client import QdrantClient

    class Same(BaseEmbedding):
        def _get_query_embedding(self, query: str) -> list[float]:
            return embed(query)

        def _get_text_embedding(self, text: str) -> list[float]:
            return embed(text)

        async def _aget_query_embedding(self, query: str) -> list[float]:
            return embed(query)

    client = QdrantClient(":memory:")
    store = QdrantVectorStore("bench", client=client)
    nodes = [TextNode(text=t, embedding=v) for t, v in zip(chunks, vectors, strict=True)]
    store.add(nodes)
    client.query_points = inside.timed(client.query_points)  # type: ignore[method-assign]
    keywords = BM25Retriever.from_defaults(nodes=nodes, similarity_top_k=DEPTH)
    keywords.bm25.retrieve = inside.timed(keywords.bm25.retrieve)  # type: ignore[method-assign]
    bm25s.tokenize = inside.timed(bm25s.tokenize)
    index = VectorStoreIndex.from_vector_store(store, embed_model=Same())
    fusion = QueryFusionRetriever(
        [index.as_retriever(similarity_top_k=DEPTH), keywords],
        llm=MockLLM(),
        mode="reciprocal_rerank",
        similarity_top_k=KEPT,
        num_queries=1,
        use_async=False,
    )
    prompt = PromptTemplate(PROMPT)

    def assemble(question: str) -> str:
        found = fusion.retrieve(question)[:PACKED]
        documents = "\n\n".join(each.get_content() for each in found)
        return prompt.format(documents=documents, question=question)

    return assemble


def haystack(
    chunks: list[str], vectors: list[list[float]], embed: Callable[[str], Any], inside: Inside
) -> Callable[[str], str]:
    from haystack import Document, Pipeline, component
    from haystack.components.builders import PromptBuilder
    from haystack.components.joiners import DocumentJoiner
    from haystack.components.retrievers.in_memory import (
        InMemoryBM25Retriever,
        InMemoryEmbeddingRetriever,
    )
    from haystack.document_stores.in_memory import InMemoryDocumentStore

    @component
    class Same:
        @component.output_types(embedding=list[float])
        def run(self, text: str) -> dict[str, Any]:
            return {"embedding": embed(text)}

    store = InMemoryDocumentStore(return_embedding=False)
    store.write_documents(
        [Document(content=t, embedding=v) for t, v in zip(chunks, vectors, strict=True)]
    )
    store.embedding_retrieval = inside.timed(store.embedding_retrieval)  # type: ignore[method-assign]
    store.bm25_retrieval = inside.timed(store.bm25_retrieval)  # type: ignore[method-assign]
    listed = "{% for each in documents[:" + str(PACKED) + "] %}{{ each.content }}\n\n{% endfor %}"
    template = PROMPT.replace("{documents}", listed).replace("{question}", "{{ question }}")
    pipeline = Pipeline()
    pipeline.add_component("embedder", Same())
    pipeline.add_component("dense", InMemoryEmbeddingRetriever(store, top_k=DEPTH))
    pipeline.add_component("keywords", InMemoryBM25Retriever(store, top_k=DEPTH))
    pipeline.add_component("joiner", DocumentJoiner(join_mode="reciprocal_rank_fusion", top_k=KEPT))
    pipeline.add_component(
        "prompt", PromptBuilder(template, required_variables=["documents", "question"])
    )
    pipeline.connect("embedder.embedding", "dense.query_embedding")
    pipeline.connect("dense", "joiner")
    pipeline.connect("keywords", "joiner")
    pipeline.connect("joiner", "prompt.documents")

    def assemble(question: str) -> str:
        given = {
            "embedder": {"text": question},
            "keywords": {"query": question},
            "prompt": {"question": question},
        }
        prompt: str = pipeline.run(given)["prompt"]["prompt"]
        return prompt

    return assemble


if __name__ == "__main__":
    main()
